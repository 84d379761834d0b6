"""Events to bytes and back, each with its number and times; and how far a collector has them."""

import math
from dataclasses import fields
from typing import Annotated

import msgspec
from msgspec import Meta

from agent.core.events import (
    Admitted,
    AttackPresented,
    ClockSet,
    CodeDenied,
    CodesLockedOut,
    Commanded,
    CommandRejected,
    ConsentRenewed,
    ConsentSuspended,
    ControllerRemoved,
    ControllerTrusted,
    CredentialsChanged,
    Denied,
    DoorbellRang,
    DuressSignalled,
    Enrolled,
    EnrolmentAuthorised,
    EnrolmentFailed,
    EnrolmentLapsed,
    EnrolmentStarted,
    Erased,
    ErasureCertified,
    Event,
    ExitRequested,
    FaultCleared,
    FaultRaised,
    ForcedOpen,
    Forgotten,
    Granted,
    HeldOpen,
    LockedOut,
    LogPruned,
    PolicyChanged,
    Restored,
    Revoked,
    SelfServiceBegun,
    Started,
    Tampered,
    VisitorAdmitted,
    VisitorForgotten,
    VisitorInvited,
)
from agent.core.orders import MAX_PAYLOAD
from agent.ports import Recorded
from agent.wire.format import MAX_INTEGER, Version, decode

# Written out, because logs and collectors keep these names: renaming a class must not rename them.
EVENTS: dict[str, type[Event]] = {
    "started": Started,
    "granted": Granted,
    "denied": Denied,
    "admitted": Admitted,
    "visitor_admitted": VisitorAdmitted,
    "code_denied": CodeDenied,
    "codes_locked_out": CodesLockedOut,
    "duress_signalled": DuressSignalled,
    "credentials_changed": CredentialsChanged,
    "visitor_invited": VisitorInvited,
    "visitor_forgotten": VisitorForgotten,
    "self_service_begun": SelfServiceBegun,
    "attack_presented": AttackPresented,
    "locked_out": LockedOut,
    "doorbell_rang": DoorbellRang,
    "exit_requested": ExitRequested,
    "forced_open": ForcedOpen,
    "held_open": HeldOpen,
    "tampered": Tampered,
    "commanded": Commanded,
    "command_rejected": CommandRejected,
    "controller_trusted": ControllerTrusted,
    "controller_removed": ControllerRemoved,
    "policy_changed": PolicyChanged,
    "clock_set": ClockSet,
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
_KINDS = {shape: kind for kind, shape in EVENTS.items()}


class Envelope(msgspec.Struct, frozen=True):
    """An event as it is sent. monotonic: seconds since the boot. wall: since the Unix epoch."""

    v: Version
    seq: Annotated[int, Meta(ge=1, le=MAX_INTEGER)]
    boot_id: str
    monotonic: float
    wall: float
    time_trusted: bool
    kind: str
    event: msgspec.Raw


class Ack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a collector says. seq: up to which it has every event."""

    v: Version
    seq: Annotated[int, Meta(ge=0, le=MAX_INTEGER)]


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
    envelope = Envelope(
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


def read_envelope(payload: bytes) -> Envelope:
    """Read an event of any kind, as a collector does. Raises ValueError."""
    return decode(payload, Envelope)


def encode_ack(seq: int) -> bytes:
    """Write that a collector has every event up to this one."""
    return msgspec.json.encode(Ack(1, seq))


def decode_body(kind: str, body: bytes) -> Event:
    """Read back what `encode_body` wrote. Raises ValueError where the bytes are no such event."""
    shape = EVENTS.get(kind)
    if shape is None:
        raise ValueError(f"there is no event {kind!r}")
    event = decode(body, shape)
    _require_sound(event)
    return event


def parse_ack(payload: bytes) -> int:
    """Read the sequence number up to which a collector has every event, 0 to 2^63 - 1.

    Raises ValueError.
    """
    return decode(payload, Ack).seq


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
