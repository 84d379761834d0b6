"""What may be ordered from afar, by whom, and why an order is refused."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType, TypeAlias

from agent.core.types import SubjectId, Terms, Validity

MAX_PAYLOAD = 16 * 1024
"""Bytes of a command, or of any other payload, at most."""

ControllerId = NewType("ControllerId", str)
"""Names a controller's key: 16 hexadecimal digits of its SHA-256. No name goes over the wire."""


class Operation(StrEnum):
    """What can be ordered; the right to it has the same name."""

    UNLOCK = "unlock"
    LOCK = "lock"
    ENROL = "enrol"
    REVOKE = "revoke"
    ERASE = "erase"
    POLICY = "policy"
    LIST = "list"
    EXPORT = "export"
    PING = "ping"
    IDENTIFY = "identify"


class RemoteUnlock(StrEnum):
    """Who may open the door from afar: nobody, a trusted key, or whoever the broker lets."""

    OFF = "off"
    SIGNED = "signed"
    BROKER = "broker"


class Rejection(StrEnum):
    """Why a message that asks for something does nothing."""

    RETAINED = "retained"
    DUPLICATE = "duplicate"
    OVERSIZED = "oversized"
    MALFORMED = "malformed"
    UNKNOWN_CONTROLLER = "unknown_controller"
    FORGED = "forged"
    OTHER_DOOR = "other_door"
    STALE = "stale"
    REPLAYED = "replayed"
    UNAUTHORISED = "unauthorised"
    SWITCHED_OFF = "switched_off"
    CLOCK_NOT_SET = "clock_not_set"
    EXPIRED = "expired"
    FLOODED = "flooded"
    NO_SUBJECT = "no_subject"
    BUSY = "busy"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class TrustedController:
    """A key that the door takes orders from.

    name: what the administrator calls it. key: 32 bytes, an Ed25519 public key. counter: that of
    its last order which was carried out.
    """

    id: ControllerId
    name: str
    key: bytes = field(repr=False)
    rights: frozenset[Operation]
    counter: int = 0


@dataclass(frozen=True, slots=True)
class Order:
    """A signed command whose signature holds; whether it counts is yet to be decided.

    challenge: the door's, as the controller saw it. counter: rises with each order of a
    controller. request: the controller's name for it, which the reply repeats. subject: whom it is
    about. terms: for an enrolment; None cancels the one under way. validity: for a policy.
    """

    operation: Operation
    door: str
    controller: ControllerId
    challenge: str
    counter: int
    request: str
    subject: SubjectId | None = None
    terms: Terms | None = field(default=None, repr=False)
    validity: Validity | None = None


class Button(StrEnum):
    """What Home Assistant's entities ask for, in the broker's name and unsigned."""

    UNLOCK = "unlock"
    LOCK = "lock"
    ENROL = "enrol"
    IDENTIFY = "identify"


@dataclass(frozen=True, slots=True)
class Press:
    """An unsigned command. expires: seconds since the Unix epoch."""

    button: Button
    expires: float


@dataclass(frozen=True, slots=True)
class Leave:
    """A resident's own wish to be erased. code: as given, to be compared in constant time."""

    request: str
    subject: SubjectId
    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Delivered:
    """A message that asks the door for something, as it came.

    topic: what follows the door's `cmd/`. retained, duplicate: the flags it was delivered with.
    """

    topic: str
    payload: bytes = field(repr=False)
    retained: bool = False
    duplicate: bool = False


class RejectedError(ValueError):
    """A message does nothing. request: the name for it, of who signed with a trusted key."""

    def __init__(self, reason: Rejection, request: str | None = None) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.request = request


FindKey: TypeAlias = Callable[[ControllerId], bytes | None]
"""Gives the public key (32 bytes) of a trusted controller; None for any other."""
Read: TypeAlias = Callable[[Delivered, FindKey], Order | Press | Leave]
"""Reads a message, and checks the signature where there must be one. Raises RejectedError."""
