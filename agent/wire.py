"""The MQTT contract: topics, and bytes <-> what they mean. There is no client in here.

Every parser raises ValueError, and nothing else, for bytes that do not fit; what it returns is
safe to use. No function takes a Frame or an Embedding, and an array in an event is refused.
"""

import json
import math
from dataclasses import dataclass, field, fields
from typing import Annotated, ClassVar, Literal, TypeVar

import msgspec
from msgspec import Meta

from agent.core.events import (
    ConsentRenewed,
    ConsentSuspended,
    Denied,
    Enrolled,
    EnrolmentAuthorised,
    EnrolmentFailed,
    EnrolmentLapsed,
    EnrolmentStarted,
    Erased,
    ErasureCertified,
    Event,
    FaultCleared,
    FaultRaised,
    Forgotten,
    Granted,
    LockedOut,
    LogPruned,
    Restored,
    Revoked,
    Started,
)
from agent.core.types import LockState, SubjectId
from agent.ports import Recorded

MAX_PAYLOAD = 16 * 1024
"""Bytes of a payload, at most."""
MAX_INTEGER = 2**63 - 1
ONLINE = b"online"
OFFLINE = b"offline"

_Version = Literal[1]
_RequestId = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{1,64}\Z")]
_T = TypeVar("_T")

# Written out, because logs and collectors keep these names: renaming a class must not rename them.
_EVENTS: dict[str, type[Event]] = {
    "started": Started,
    "granted": Granted,
    "denied": Denied,
    "locked_out": LockedOut,
    "enrolment_authorised": EnrolmentAuthorised,
    "enrolment_started": EnrolmentStarted,
    "enrolment_failed": EnrolmentFailed,
    "enrolled": Enrolled,
    "enrolment_lapsed": EnrolmentLapsed,
    "consent_suspended": ConsentSuspended,
    "consent_renewed": ConsentRenewed,
    "revoked": Revoked,
    "erased": Erased,
    "erasure_certified": ErasureCertified,
    "log_pruned": LogPruned,
    "restored": Restored,
    "forgotten": Forgotten,
    "fault_raised": FaultRaised,
    "fault_cleared": FaultCleared,
}
_KINDS = {shape: kind for kind, shape in _EVENTS.items()}


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one door. door: its name on MQTT."""

    door: str

    @property
    def status(self) -> str:
        """ONLINE or OFFLINE, retained."""
        return f"doorward/{self.door}/status"

    @property
    def lock_state(self) -> str:
        """LOCKED or UNLOCKED, retained."""
        return f"doorward/{self.door}/lock/state"

    @property
    def event(self) -> str:
        """Events as they happen."""
        return f"doorward/{self.door}/event"

    @property
    def backlog(self) -> str:
        """Events that no collector has acknowledged, once more."""
        return f"doorward/{self.door}/event/backlog"

    @property
    def ack(self) -> str:
        """Up to which event a collector has them all."""
        return f"doorward/{self.door}/event/ack"

    @property
    def head(self) -> str:
        """The newest signed head of the event log, retained."""
        return f"doorward/{self.door}/event/head"

    @property
    def enrol(self) -> str:
        """Commands to start or cancel an enrolment."""
        return f"doorward/{self.door}/cmd/enrol"

    @property
    def erase(self) -> str:
        """Commands to erase a subject, by its own leave code."""
        return f"doorward/{self.door}/cmd/erase"

    def reply(self, request: str) -> str:
        """Name the topic that the command with this id is answered on."""
        return f"doorward/{self.door}/reply/{request}"


@dataclass(frozen=True, slots=True)
class EnrolRequest:
    """A command on cmd/enrol. code: six digits to start, None to cancel."""

    id: str
    action: Literal["start", "cancel"]
    code: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class EraseRequest:
    """A command on cmd/erase. code: the subject's leave code as given, right or wrong."""

    action: ClassVar[Literal["erase"]] = "erase"
    id: str
    subject: SubjectId
    code: str = field(repr=False)


class _Envelope(msgspec.Struct, frozen=True):
    v: _Version
    seq: int
    boot_id: str
    monotonic: float
    wall: float
    time_trusted: bool
    kind: str
    event: msgspec.Raw


class _Ack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    v: _Version
    seq: Annotated[int, Meta(ge=0, le=MAX_INTEGER)]


class _Enrol(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    v: _Version
    id: _RequestId
    action: Literal["start", "cancel"]
    code: Annotated[str, Meta(pattern=r"\A[0-9]{6}\Z")] | None = None


class _Erase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    v: _Version
    id: _RequestId
    subject: Annotated[str, Meta(pattern=r"\As-[0-9a-f]{16}\Z")]
    code: Annotated[str, Meta(pattern=r"\A[0-9a-f]{20}\Z")]


class _Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    v: _Version
    id: str
    action: Literal["start", "cancel", "erase"]
    subject: SubjectId | None = None


# --- what the door says -------------------------------------------------------------------------


def event_kind(event: Event) -> str:
    """Name the kind of an event. Raises ValueError for anything that is no event."""
    try:
        return _KINDS[type(event)]
    except KeyError:
        raise ValueError(f"{type(event).__name__} is no event") from None


def encode_body(event: Event) -> bytes:
    """Write the fields of an event as JSON. Raises ValueError where `decode_body` would."""
    event_kind(event)
    _require_sound(event)
    try:
        body = msgspec.json.encode(event)
    except (TypeError, ValueError) as error:
        raise ValueError(str(error)) from None
    if not len(body) <= MAX_PAYLOAD:
        raise ValueError(f"an event of {len(body)} bytes is longer than {MAX_PAYLOAD}")
    return body


def encode_event(recorded: Recorded) -> bytes:
    """Write an event with its number and its times. Raises ValueError as `encode_body` does."""
    now = recorded.now
    if not (math.isfinite(now.monotonic) and math.isfinite(now.wall)):
        raise ValueError("an event needs finite times")
    envelope = _Envelope(
        v=1,
        seq=recorded.seq,
        boot_id=recorded.boot_id,
        monotonic=now.monotonic,
        wall=now.wall,
        time_trusted=now.trusted,
        kind=event_kind(recorded.event),
        event=msgspec.Raw(encode_body(recorded.event)),
    )
    return msgspec.json.encode(envelope)


def encode_lock_state(state: LockState) -> bytes:
    """Write the state as Home Assistant's lock platform spells it."""
    return state.value.upper().encode()


def encode_reply(request: EnrolRequest | EraseRequest, subject: SubjectId | None) -> bytes:
    """Answer a command that was handed on, whether or not its code is right.

    subject: whom the events about it will name, if anybody.
    """
    reply = _Reply(v=1, id=request.id, action=request.action, subject=subject)
    return msgspec.json.encode(reply)


# --- what the door reads --------------------------------------------------------------------------


def decode_body(kind: str, body: bytes) -> Event:
    """Read back what `encode_body` wrote. Raises ValueError where the bytes are no such event."""
    shape = _EVENTS.get(kind)
    if shape is None:
        raise ValueError(f"there is no event {kind!r}")
    event = _decode(body, shape)
    _require_sound(event)
    return event


def parse_ack(payload: bytes) -> int:
    """Read the sequence number up to which a collector has every event, 0 to 2^63 - 1.

    Raises ValueError.
    """
    return _decode(payload, _Ack).seq


def parse_enrol(payload: bytes) -> EnrolRequest:
    """Read a command on cmd/enrol; whether the code is good is not decided here.

    Raises ValueError.
    """
    command = _decode(payload, _Enrol)
    if (command.action == "start") != (command.code is not None):
        raise ValueError("a code belongs to start, and to start only")
    return EnrolRequest(command.id, command.action, command.code)


def parse_erase(payload: bytes) -> EraseRequest:
    """Read a command on cmd/erase; whether the code is the subject's is not decided here.

    Raises ValueError.
    """
    command = _decode(payload, _Erase)
    return EraseRequest(command.id, SubjectId(command.subject), command.code)


def _decode(payload: bytes, shape: type[_T]) -> _T:
    if not len(payload) <= MAX_PAYLOAD:
        raise ValueError(f"{len(payload)} bytes are more than {MAX_PAYLOAD}")
    try:
        value = msgspec.json.decode(payload, type=shape)
        # msgspec keeps the last of two equal keys, where another reader may keep the first.
        json.loads(payload, object_pairs_hook=_require_distinct)
    except (ValueError, RecursionError) as error:
        # UnicodeDecodeError among others: its own type would hide that this is the only one.
        raise ValueError(str(error)) from None
    return value


def _require_distinct(pairs: list[tuple[str, object]]) -> None:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key occurs twice")


def _require_sound(event: Event) -> None:
    """Raise ValueError for values that JSON, SQLite or a C string would change on the way."""
    for each in fields(event):
        value = getattr(event, each.name)
        if isinstance(value, float) and not math.isfinite(value):
            message = f"{each.name} is not finite"
        elif isinstance(value, int) and not abs(value) <= MAX_INTEGER:
            message = f"{each.name} is out of range"
        elif isinstance(value, str) and "\0" in value:
            message = f"{each.name} has a NUL in it"
        else:
            continue
        raise ValueError(message)
