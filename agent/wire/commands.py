"""Commands to bytes and back: signed ones, those of Home Assistant, and a resident's leave.

A signed command is an Ed25519 signature (RFC 8032, 64 bytes) over DOMAIN and the JSON that follows.
"""

import hashlib
from collections.abc import Callable
from typing import Annotated, Literal, TypeAlias

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Meta

from agent.core.orders import (
    Button,
    ControllerId,
    Delivered,
    FindKey,
    Leave,
    Operation,
    Order,
    Press,
    RejectedError,
    Rejection,
)
from agent.core.policy import format_schedule, parse_schedule
from agent.core.types import SubjectId, Terms, Validity
from agent.wire.format import Version, decode

DOMAIN = b"doorward command v1\n"
"""Goes before what is signed, so that a signature made for anything else is none."""
SIGNATURE_BYTES = 64
MAX_COUNTER = 2**53 - 1
"""The largest number that every JSON library reads exactly."""
LONGEST_SCHEDULE = 2000
"""Characters of a schedule, as it comes and spelled out day by day."""
LATEST = 253_402_300_799
"""The last second of the year 9999, since the Unix epoch."""

SUBJECT = r"\As-[0-9a-f]{16}\Z"
"""What a subject's pseudonym looks like."""

RequestId: TypeAlias = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{1,64}\Z")]
Subject: TypeAlias = Annotated[str, Meta(pattern=SUBJECT)]
_Controller: TypeAlias = Annotated[str, Meta(pattern=r"\A[0-9a-f]{16}\Z")]
_Challenge: TypeAlias = Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
_Counter: TypeAlias = Annotated[int, Meta(ge=1, le=MAX_COUNTER)]
_Door: TypeAlias = Annotated[str, Meta(min_length=1, max_length=32)]
Time: TypeAlias = Annotated[float, Meta(ge=0, le=LATEST)]
_Schedule: TypeAlias = Annotated[str, Meta(max_length=LONGEST_SCHEDULE)]
_Household: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]


class _Header(msgspec.Struct, frozen=True):
    # Required here, since msgspec lets a tag be left out: such a command would be good for another
    # operation too, whichever topic somebody puts it on.
    op: str
    controller: _Controller
    id: RequestId


class Signed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="op"):
    """What every signed command has; the door's current challenge makes it good for a minute."""

    v: Version
    door: _Door
    controller: _Controller
    challenge: _Challenge
    counter: _Counter
    id: RequestId


class Unlock(Signed, frozen=True, kw_only=True, tag="unlock"):
    """Release the door as long as a grant does."""


class Lock(Signed, frozen=True, kw_only=True, tag="lock"):
    """Lock the door before the release ends by itself."""


class Enrol(Signed, frozen=True, kw_only=True, omit_defaults=True, tag="enrol"):
    """Begin to enrol whoever stands at the door, on these terms, or stop doing so."""

    action: Literal["start", "cancel"]
    household: _Household | None = None
    administrator: bool = False
    not_before: Time | None = None
    not_after: Time | None = None
    schedule: _Schedule = ""


class Revoke(Signed, frozen=True, kw_only=True, tag="revoke"):
    """Stop admitting a subject."""

    subject: Subject


class Erase(Signed, frozen=True, kw_only=True, tag="erase"):
    """Forget a subject for good."""

    subject: Subject


class Policy(Signed, frozen=True, kw_only=True, omit_defaults=True, tag="policy"):
    """Set when a subject may enter, in place of all that was set before."""

    subject: Subject
    not_before: Time | None = None
    not_after: Time | None = None
    schedule: _Schedule = ""


class List(Signed, frozen=True, kw_only=True, omit_defaults=True, tag="list"):
    """Tell who is enrolled, by pseudonym, a page at a time."""

    after: Subject | None = None


class Export(Signed, frozen=True, kw_only=True, tag="export"):
    """Tell what is held on a subject, but for names, templates and events."""

    subject: Subject


class Ping(Signed, frozen=True, kw_only=True, tag="ping"):
    """Answer."""


class Identify(Signed, frozen=True, kw_only=True, tag="identify"):
    """Blink and beep, so that somebody can tell which door this is."""


SHAPES: dict[Operation, type[Signed]] = {
    Operation.UNLOCK: Unlock,
    Operation.LOCK: Lock,
    Operation.ENROL: Enrol,
    Operation.REVOKE: Revoke,
    Operation.ERASE: Erase,
    Operation.POLICY: Policy,
    Operation.LIST: List,
    Operation.EXPORT: Export,
    Operation.PING: Ping,
    Operation.IDENTIFY: Identify,
}


class LockPress(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What Home Assistant's lock sends. expires: seconds since the Unix epoch."""

    v: Version
    action: Literal["LOCK", "UNLOCK", "OPEN"]
    expires: Time


class ButtonPress(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What Home Assistant's buttons send. expires: seconds since the Unix epoch."""

    v: Version
    expires: Time


class LeaveRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Erase the subject whose own leave code this is."""

    v: Version
    id: RequestId
    subject: Subject
    code: Annotated[str, Meta(pattern=r"\A[0-9a-f]{20}\Z")]


def controller_id(key: bytes) -> ControllerId:
    """Name a controller's public key (32 bytes)."""
    return ControllerId(hashlib.sha256(key).hexdigest()[:16])


def encode_order(order: Order, sign: Callable[[bytes], bytes]) -> bytes:
    """Write a signed command. sign: gives the Ed25519 signature, 64 bytes, of what it is given.

    Raises ValueError for an order that no door would read.
    """
    body = msgspec.json.encode(_shape_of(order))
    # A number that is not finite would be written as null, and so set no bound.
    if not _order_of(order.operation, decode(body, SHAPES[order.operation])) == order:
        raise ValueError("it says what its command has no field for")
    return sign(DOMAIN + body) + body


def read_command(delivered: Delivered, find_key: FindKey) -> Order | Press | Leave:
    """Read what came on a topic below cmd/. Raises RejectedError, and nothing else."""
    if delivered.topic in _OPERATIONS:
        return _read_order(Operation(delivered.topic), delivered.payload, find_key)
    try:
        match delivered.topic:
            case "broker/lock":
                pressed = decode(delivered.payload, LockPress)
                button = Button.LOCK if pressed.action == "LOCK" else Button.UNLOCK
                return Press(button, pressed.expires)
            case "broker/enrol" | "broker/identify":
                button = Button(delivered.topic.partition("/")[2])
                return Press(button, decode(delivered.payload, ButtonPress).expires)
            case "leave":
                wish = decode(delivered.payload, LeaveRequest)
                return Leave(wish.id, SubjectId(wish.subject), wish.code)
            case _:
                pass
    except ValueError:
        pass
    raise RejectedError(Rejection.MALFORMED)


_OPERATIONS = frozenset(operation.value for operation in Operation)


def _read_order(operation: Operation, payload: bytes, find_key: FindKey) -> Order:
    signature, body = payload[:SIGNATURE_BYTES], payload[SIGNATURE_BYTES:]
    try:
        header = decode(body, _Header)
    except ValueError:
        raise RejectedError(Rejection.MALFORMED) from None
    key = find_key(ControllerId(header.controller))
    if key is None:
        raise RejectedError(Rejection.UNKNOWN_CONTROLLER)
    if not _signed(key, signature, body):
        raise RejectedError(Rejection.FORGED)
    try:
        return _order_of(operation, decode(body, SHAPES[operation]))
    except ValueError:
        raise RejectedError(Rejection.MALFORMED, header.id) from None


def _signed(key: bytes, signature: bytes, body: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, DOMAIN + body)
    except (InvalidSignature, ValueError):
        return False
    return True


def _order_of(operation: Operation, command: Signed) -> Order:
    subject = getattr(command, "subject", None) or getattr(command, "after", None)
    terms = validity = None
    if isinstance(command, Enrol | Policy):
        schedule = parse_schedule(command.schedule)
        # The store would refuse a row that long, and that is a fault, whoever caused it.
        if not len(format_schedule(schedule)) <= LONGEST_SCHEDULE:
            raise ValueError("the schedule has too many spans")
        validity = Validity(command.not_before, command.not_after, schedule)
        if isinstance(command, Enrol):
            starts = command.action == "start"
            terms = Terms("", command.household, command.administrator, validity)
            terms, validity = terms if starts else None, None
    return Order(
        operation=operation,
        door=command.door,
        controller=ControllerId(command.controller),
        challenge=command.challenge,
        counter=command.counter,
        request=command.id,
        subject=None if subject is None else SubjectId(subject),
        terms=terms,
        validity=validity,
    )


def _shape_of(order: Order) -> Signed:
    fields: dict[str, object] = {
        "v": 1,
        "door": order.door,
        "controller": order.controller,
        "challenge": order.challenge,
        "counter": order.counter,
        "id": order.request,
    }
    validity, terms = order.validity, order.terms
    match order.operation:
        case Operation.ENROL if terms is None:
            fields["action"] = "cancel"
        case Operation.ENROL if terms is not None:
            fields |= {"action": "start", "household": terms.household}
            fields["administrator"] = terms.administrator
            validity = terms.validity
        case Operation.LIST:
            fields["after"] = order.subject
        case Operation.REVOKE | Operation.ERASE | Operation.POLICY | Operation.EXPORT:
            fields["subject"] = order.subject
        case _:
            pass
    if validity is not None:
        fields |= {"not_before": validity.not_before, "not_after": validity.not_after}
        fields["schedule"] = format_schedule(validity.schedule)
    return SHAPES[order.operation](**fields)  # type: ignore[arg-type]
