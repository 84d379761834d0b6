"""What the door says of itself beside its events: its state, its challenge, and its answers."""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agent.core.effects import Answer
from agent.core.events import DuressSignalled, Part
from agent.core.orders import Rejection
from agent.core.pad import PadLevel
from agent.core.rules import Condition
from agent.core.types import Suspension
from agent.ports import Recorded, SubjectRow
from agent.wire.format import MAX_INTEGER, Version, decode

PAGE = 100
"""Residents in one answer to `list`, at most."""


class State(msgspec.Struct, frozen=True):
    """What the door is like now.

    residents: who may enter by face. fpir: of a stranger's attempt, in force, at the most;
    fpir_met: whether it reaches the operator's target; sureness: the same in words, and what to do
    if not. last_decision_ms: from the deciding frame's capture to the last grant, None before the
    first. tamper: whether the case is open. refused: how many commands did nothing since the start,
    by reason. log_begins: number of the oldest event that the log has left, or that of the next.
    pad: the level of presentation-attack detection.
    """

    v: Version
    residents: Annotated[int, Meta(ge=0)]
    fpir: Annotated[float, Meta(ge=0, le=1)]
    fpir_met: bool
    sureness: str
    last_decision_ms: Annotated[float, Meta(ge=0)] | None
    tamper: bool
    faults: tuple[Part, ...]
    refused: dict[Rejection, int]
    log_begins: Annotated[int, Meta(ge=1)]
    pad: PadLevel


class Outline(msgspec.Struct, frozen=True):
    """What a reader relies on of a State, whatever words a later version adds to it."""

    v: Version
    log_begins: Annotated[int, Meta(ge=1)]


class Challenge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a signed command must carry: good for a minute from when it was first given out."""

    v: Version
    challenge: Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]


class Alarm(msgspec.Struct, frozen=True):
    """A subject opened the door under duress.

    seq: number of the event that says so. wall: seconds since the Unix epoch, None while the clock
    is not set.
    """

    v: Version
    subject: str
    seq: Annotated[int, Meta(ge=1, le=MAX_INTEGER)]
    wall: float | None


class Entry(msgspec.Struct, frozen=True):
    """A resident, by pseudonym. Times are seconds since the Unix epoch; seen_on is a day.

    references: how many templates there are.
    """

    subject: str
    administrator: bool
    minor: bool
    revoked: bool
    suspended: Suspension | None
    not_before: float | None
    not_after: float | None
    schedule: str
    references: int
    enrolled_at: float
    seen_on: float | None


class Held(msgspec.Struct, frozen=True):
    """What is held on a resident, but for names, templates and events.

    notice: version of the privacy notice that was consented to. consent_expires: seconds since the
    Unix epoch, None for a consent that holds until it is withdrawn.
    """

    resident: Entry
    notice: str
    consent_expires: float | None


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to a command. reason: why it was refused. more: whether the list goes on."""

    v: Version
    id: str
    result: Literal["done", "refused"]
    reason: Rejection | None = None
    subject: str | None = None
    residents: tuple[Entry, ...] | None = None
    more: bool | None = None
    held: Held | None = None


def encode_state(condition: Condition, log_begins: int) -> bytes:
    """Write what the door is like, and with which event its log begins."""
    return msgspec.json.encode(
        State(
            v=1,
            residents=condition.residents,
            fpir=condition.fpir,
            fpir_met=condition.fpir_met,
            sureness=condition.sureness,
            last_decision_ms=condition.last_decision_ms,
            tamper=condition.tamper,
            faults=condition.faults,
            refused=dict(condition.rejected),
            log_begins=log_begins,
            pad=condition.pad,
        )
    )


def read_state(payload: bytes) -> Outline:
    """Read what a door of any version is like. Raises ValueError."""
    return decode(payload, Outline)


def encode_challenge(challenge: str) -> bytes:
    """Write a challenge."""
    return msgspec.json.encode(Challenge(1, challenge))


def read_challenge(payload: bytes) -> str:
    """Read a challenge. Raises ValueError."""
    return decode(payload, Challenge).challenge


def encode_alarm(recorded: Recorded) -> bytes | None:
    """Write that somebody opened under duress; None for any other event."""
    event, now = recorded.event, recorded.now
    if not isinstance(event, DuressSignalled):
        return None
    alarm = Alarm(1, event.subject, recorded.seq, now.wall if now.trusted else None)
    return msgspec.json.encode(alarm)


def encode_answer(answer: Answer) -> bytes:
    """Write an answer that tells no more than what became of the command."""
    return msgspec.json.encode(_reply(answer))


def encode_list(answer: Answer, residents: Sequence[SubjectRow], *, more: bool) -> bytes:
    """Write a page of the list of residents."""
    page = tuple(map(_entry, residents))
    reply = msgspec.structs.replace(_reply(answer), residents=page, more=more)
    return msgspec.json.encode(reply)


def encode_held(answer: Answer, row: SubjectRow) -> bytes:
    """Write what is held on a resident."""
    held = Held(_entry(row), row.notice, row.consent_expires)
    return msgspec.json.encode(msgspec.structs.replace(_reply(answer), held=held))


def read_reply(payload: bytes) -> Reply:
    """Read an answer. Raises ValueError."""
    try:
        return msgspec.json.decode(payload, type=Reply)
    except (ValueError, RecursionError) as error:
        raise ValueError(str(error)) from None


def _reply(answer: Answer) -> Reply:
    result: Literal["done", "refused"] = "done" if answer.refusal is None else "refused"
    return Reply(1, answer.request, result, answer.refusal, answer.subject)


def _entry(row: SubjectRow) -> Entry:
    return Entry(
        subject=row.id,
        administrator=row.administrator,
        minor=row.minor,
        revoked=row.revoked,
        suspended=row.suspended,
        not_before=row.not_before,
        not_after=row.not_after,
        schedule=row.schedule,
        references=row.references,
        enrolled_at=row.enrolled_at,
        seen_on=row.seen_on,
    )
