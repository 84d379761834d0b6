"""A door with a keypad and a card reader, and a store in memory beside it.

Digests are of SHA-256 here: which function makes them is nobody's business in the core.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Protocol

from agent.core.controller import Controller
from agent.core.credentials import NO_ATTEMPTS, Attempts, Credentials, Visitor, VisitorId
from agent.core.effects import (
    Append,
    Change,
    Effect,
    Energise,
    Erase,
    ForgetVisitor,
    Indication,
    SetAttempts,
    Show,
    SpendCodes,
    SuspendConsent,
)
from agent.core.events import CodeDenied, Event
from agent.core.inputs import (
    CardPresented,
    CodeEntered,
    EnrolButtonHeld,
    EnrolButtonPressed,
    Input,
    Observed,
    StoreLoaded,
    Tick,
)
from agent.core.rules import Rules
from agent.core.types import Now, Subject, SubjectId
from tests.core.people import CALIBRATION, NOTICE, OUTSIDE, Person, now_at, resident, store_of

WALL = 1_000_000.0
FRAME, AGE = 0.3, 0.1
"""Seconds from frame to frame, and from a frame to the decision on it."""


def digest(typed: str) -> bytes:
    """Give what the core is told of a code or a card."""
    return sha256(typed.encode()).digest()


def holding(pin: str | None = None, *cards: str, duress: str | None = None) -> Credentials:
    """Give the digests of what somebody holds."""
    return Credentials(
        None if pin is None else digest(pin),
        None if duress is None else digest(duress),
        tuple(digest(card) for card in cards),
    )


def visitor(name: str, code: str, first: float = 0.0, last: float = 2e9) -> Visitor:
    """Give somebody who may enter once. first, last: seconds since the Unix epoch."""
    return Visitor(VisitorId(name), digest(code), first, last)


class Keeps(Protocol):
    """What is needed of a store to play an agent with it, in one boot of its computer."""

    def load(self) -> StoreLoaded:
        """Give everything that is kept."""

    def append(self, event: Event, now: Now, change: Change | None) -> None:
        """Commit an event with what changes by it."""


@dataclass
class Memory:
    """Keeps what the core decides by. boot: which boot of the computer it is."""

    people: tuple[Person, ...] = ()
    subjects: Mapping[SubjectId, Subject] = field(default_factory=dict)
    visitors: Mapping[VisitorId, Visitor] = field(default_factory=dict)
    attempts: Attempts = NO_ATTEMPTS
    boot: int = 0
    kept_in: int = 0
    events: list[Event] = field(default_factory=list)

    def load(self) -> StoreLoaded:
        faces = [each for each in self.people if each.id in self.subjects]
        loaded = store_of(faces, self.subjects.values())
        return replace(
            loaded,
            subjects=dict(self.subjects),
            visitors=tuple(self.visitors.values()),
            attempts=self.attempts,
            attempts_of_this_boot=self.kept_in == self.boot,
        )

    def append(self, event: Event, _: Now, change: Change | None) -> None:
        self.events.append(event)
        match change:
            case SetAttempts(attempts=attempts):
                self.attempts, self.kept_in = attempts, self.boot
            case ForgetVisitor(visitor=gone):
                assert gone in self.visitors, "a visitor forgotten twice"
                self.visitors = {v: each for v, each in self.visitors.items() if v != gone}
            case Erase(subject=left):
                assert left in self.subjects, "an erasure of nobody"
                self.subjects = {s: each for s, each in self.subjects.items() if s != left}
            case SuspendConsent(subject=about, reason=reason):
                changed = replace(self.subjects[about], suspended=reason)
                self.subjects = {**self.subjects, about: changed}
            case None | SpendCodes():
                pass
            case _:
                raise AssertionError(f"nobody keeps {change}")


def memory(
    *people: Person,
    held: Mapping[Person, Credentials] | None = None,
    visitors: Iterable[Visitor] = (),
    **changes: object,
) -> Memory:
    """Give a store of residents, who consented unless the changes to all of them say otherwise."""
    held = held or {}
    known = {
        each.id: resident(each.id, credentials=held.get(each, Credentials()), **changes)
        for each in people
    }
    faces = tuple(each for each in people if known[each.id].consent is not None)
    return Memory(faces, known, {each.id: each for each in visitors})


@dataclass
class House:
    """An agent at work, played by a test: what is decided is committed, and then loaded."""

    store: Keeps
    rules: Rules = field(default_factory=lambda: Rules(notice=NOTICE))
    at: float = 100.0
    wall: float = WALL
    week_minute: int = 600
    trusted: bool = True
    seeds: int = 0
    controller: Controller = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start the agent, or start it again."""
        self.controller = Controller(self.rules, CALIBRATION, OUTSIDE)
        self.load()

    @property
    def now(self) -> Now:
        wall = self.wall + self.at
        return now_at(self.at, wall, self.week_minute, trusted=self.trusted)

    def load(self) -> list[Effect]:
        return self.give(self.store.load())

    def give(self, happened: Input, after: float = 0.0) -> list[Effect]:
        self.at += after
        effects = self.controller.handle(happened, self.now)
        appends = [effect for effect in effects if isinstance(effect, Append)]
        for append in appends:
            self.store.append(append.event, self.now, append.change)
        # What is kept of attempts is known to whoever counted them.
        if any(not isinstance(append.change, SetAttempts | None) for append in appends):
            self.load()
        return effects

    def code(self, typed: str, after: float = 1.0) -> list[Effect]:
        return self.give(CodeEntered(digest(typed), self.at + after), after)

    def card(self, number: str, after: float = 1.0) -> list[Effect]:
        return self.give(CardPresented(digest(number), self.at + after), after)

    def hold(self, after: float = 1.0) -> list[Effect]:
        return self.give(EnrolButtonHeld(SubjectId("newcomer")), after)

    def push(self, after: float = 1.0) -> list[Effect]:
        return self.give(EnrolButtonPressed(), after)

    def stand(self, person: Person, frames: int = 3) -> list[Effect]:
        effects = []
        for _ in range(frames):
            self.seeds += 1
            probe = person.probe(self.seeds)
            effects += self.give(Observed(self.at + FRAME - AGE, 1, probe), after=FRAME)
        return effects

    def wait(self, seconds: float) -> list[Effect]:
        return self.give(Tick(), after=seconds)


def events(effects: Iterable[Effect]) -> list[Event]:
    """Give what is recorded."""
    return [effect.event for effect in effects if isinstance(effect, Append)]


def shown(effects: Iterable[Effect]) -> list[Indication]:
    """Give what is shown."""
    return [effect.indication for effect in effects if isinstance(effect, Show)]


def opened(effects: Iterable[Effect]) -> list[tuple[SubjectId | None, str]]:
    """Give for whom the door was released, and by which method."""
    return [(e.grant.subject, e.grant.method) for e in effects if isinstance(e, Energise)]


def denials(effects: Iterable[Effect]) -> list[tuple[str, SubjectId | None]]:
    """Give why codes and cards were refused, and whose they are."""
    return [(e.reason, e.subject) for e in events(effects) if isinstance(e, CodeDenied)]
