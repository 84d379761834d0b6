"""What happens at the door as a line for people, or as one JSON object a line for programs."""

import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from agent.core.effects import Answer
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
    ErasureCause,
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
from agent.core.rules import Condition
from agent.core.types import LockState, Suspension
from agent.ports import Post, Recorded
from agent.wire.events import event_kind

log = logging.getLogger(__name__)

SIMULATED = (
    ", simulated door: whether a face is there in the flesh is looked at by level basic only"
)

_SUSPENDED = {
    Suspension.PAUSED: "paused at the door",
    Suspension.WITHDRAWN: "the consent was withdrawn",
    Suspension.EXPIRED: "the consent expired",
    Suspension.NOTICE_CHANGED: "the consent is to another privacy notice",
    Suspension.NO_GUARDIAN: "no guardian consented for this minor",
}


class LocalReporter:
    """A reporter within this process: it sends no inputs, and needs nothing twice.

    Implements ports.Reporter but for what a child does with events and states.
    """

    alive = True
    """It has no thread that could hang."""

    def start(self, post: Post) -> None:
        """Do nothing."""

    def publish(self, recorded: Recorded) -> None:
        """Do nothing."""

    def republish(self, recorded: Recorded) -> None:
        """Do nothing: it had the event when it happened."""

    def announce(self, state: LockState) -> None:
        """Do nothing."""

    def announce_contact(self, *, is_open: bool) -> None:
        """Do nothing."""

    def describe(self, condition: Condition, log_begins: int) -> None:
        """Do nothing."""

    def challenge(self, challenge: str) -> None:
        """Do nothing: nobody here signs commands."""

    def answer(self, answer: Answer, reply: bytes) -> None:
        """Do nothing: no command comes from here."""

    def tend(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class ConsoleReporter(LocalReporter):
    """Writes a line for each event and each change of the lock."""

    def __init__(self, write: Callable[[str], None], *, as_json: bool) -> None:
        self._write = write
        self._as_json = as_json
        self._broken = False

    def publish(self, recorded: Recorded) -> None:
        """Write the event."""
        if self._as_json:
            self._say(as_json(as_object(recorded)))
        else:
            self._say(f"{local_time(recorded.now.wall)}  {in_words(recorded.event)}")

    def announce(self, state: LockState) -> None:
        """Write the state."""
        if self._as_json:
            self._say(as_json({"event": "lock_state", "state": state}))
        else:
            self._say(f"{local_time(time.time())}  door {state}")

    def _say(self, line: str) -> None:
        if self._broken:
            return
        try:
            self._write(line)
        except OSError as error:
            # A terminal that went away must not take the door with it.
            self._broken = True
            log.warning("console: %s: nothing more is written to it", error.strerror)


def in_words(event: Event) -> str:  # noqa: C901, PLR0912, PLR0915 - one arm an event
    """Give one readable line."""
    match event:
        case Started():
            return f"agent {event.version} ready{SIMULATED if event.simulated else ''}"
        case Granted():
            sure = f"score {event.score:.2f} over {event.threshold:.2f}, {event.frames} frames"
            return f"granted to {event.subject} by {event.method} ({sure}{_crowd(event.faces)})"
        case Denied():
            who = f" to {event.subject}" if event.subject else ""
            seen = f"{event.frames} frames{_crowd(event.faces)}"
            return f"denied{who}: {_spaced(event.reason)} ({seen})"
        case Admitted():
            return f"admitted {event.subject} by {event.method}"
        case VisitorAdmitted():
            return f"admitted visitor {event.visitor}, whose code is spent"
        case CodeDenied():
            who = f" to {event.subject}" if event.subject else ""
            return f"denied{who} at the {_spaced(event.reader)}: {_spaced(event.reason)}"
        case CodesLockedOut():
            where = f"at the {_spaced(event.reader)}" if event.reader else "at all readers"
            return f"too many wrong entries: nothing is taken {where} for {event.seconds:.0f} s"
        case DuressSignalled():
            return f"ALARM: {event.subject} opened under duress"
        case CredentialsChanged():
            pin = "a PIN" if event.pin else "no PIN"
            return f"{event.subject} has {pin} and {event.cards} cards"
        case VisitorInvited():
            bounds = f"{local_time(event.not_before)} to {local_time(event.not_after)}"
            return f"a code for visitor {event.visitor} is good from {bounds}"
        case VisitorForgotten():
            return f"the code of visitor {event.visitor} is good no more, unused"
        case SelfServiceBegun():
            return f"{event.subject} is at the self-service, by {event.method}"
        case AttackPresented():
            return f"no bona fide face: {_spaced(event.reason)} ({event.frames} frames)"
        case DoorbellRang():
            return "the doorbell rang"
        case ExitRequested():
            return "opened from inside"
        case ForcedOpen():
            return "ALARM: the door was opened, and nothing had released it"
        case HeldOpen():
            return f"the door has stood open for {event.seconds:.0f} s"
        case Tampered():
            return "ALARM: the case was opened" if event.active else "the case is closed again"
        case Commanded():
            who = f"controller {event.controller}" if event.controller else "the broker"
            about = f" {event.subject}" if event.subject else ""
            return f"{who} commands: {event.operation}{about}"
        case CommandRejected():
            return f"commands refused: {_spaced(event.reason)} ({event.count} since the start)"
        case ControllerTrusted():
            return f"controller {event.controller} is trusted"
        case ControllerRemoved():
            return f"controller {event.controller} is trusted no more"
        case PolicyChanged():
            return f"when {event.subject} may enter was set anew"
        case ClockSet():
            return f"the clock was set by {event.by:+.1f} s"
        case LockedOut():
            return f"{event.refusals} refusals in a row: no faces for {event.seconds:.0f} s"
        case EnrolmentAuthorised():
            return "one-time code given out"
        case EnrolmentStarted():
            return f"enrolling {event.subject}, authorised by {event.authority}"
        case EnrolmentFailed():
            hint = f", mostly {_spaced(event.hint)}" if event.hint else ""
            why = f"{_spaced(event.reason)} ({event.frames} frames taken{hint})"
            return f"not enrolled: {why}"
        case Enrolled():
            near = f"; WARNING: looks like {event.collision}" if event.collision else ""
            how = f"from {event.references} frames" if event.references else "without a face"
            return f"enrolled {event.subject} {how}{near}"
        case EnrolmentLapsed():
            return "one-time code not used in time, and forgotten"
        case ConsentSuspended():
            return f"{event.subject} is not matched any more: {_SUSPENDED[event.reason]}"
        case ConsentRenewed():
            return f"consent of {event.subject} counts again"
        case Revoked():
            return f"revoked {event.subject}"
        case Erased():
            unused = ", not seen for too long" if event.cause is ErasureCause.UNUSED else ""
            return f"erased {event.subject}{unused}"
        case ErasureCertified():
            return f"erasure of {event.subject} checked and certified"
        case LogPruned():
            return f"events up to {event.up_to} deleted for their age"
        case Restored():
            return f"restored from a backup that ends with event {event.up_to}"
        case Forgotten():
            return f"{_spaced(event.kind)}, of somebody erased since"
        case FaultRaised():
            return f"FAULT of the {event.part}: {event.reason}"
        case FaultCleared():
            return f"the {event.part} works again"


def as_object(recorded: Recorded) -> dict[str, Any]:
    """Give a flat object: seq, wall time, kind under "event", and the event's own fields."""
    fields: dict[str, Any] = msgspec.to_builtins(recorded.event)
    kind = event_kind(recorded.event)
    return {"event": kind, "seq": recorded.seq, "wall": recorded.now.wall} | fields


def as_json(value: object) -> str:
    """Give one line of JSON."""
    return msgspec.json.encode(value).decode()


def local_time(wall: float) -> str:
    """Give seconds since the Unix epoch as local date and time."""
    return datetime.fromtimestamp(wall).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _spaced(word: str) -> str:
    return word.replace("_", " ")


def _crowd(faces: int) -> str:
    return f", nearest of {faces} faces" if faces > 1 else ""
