"""Who and what a test of the whole agent needs around it: a corridor, an archive, a faulty part."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from agent.adapters.clock import SystemClock
from agent.adapters.simulated import SimulatedDoor
from agent.adapters.store import SqliteStore
from agent.adapters.systemd import NotifySocket
from agent.app import OUTSIDE, new_subject
from agent.config import Retention
from agent.core.controller import Controller
from agent.core.decision import Recognition
from agent.core.effects import Answer, Change, Enrol, RenewConsent
from agent.core.enrolment import Enrolment
from agent.core.events import ConsentRenewed, Enrolled, Event, Granted, Started
from agent.core.inputs import Observed, StoreLoaded
from agent.core.rules import Condition, Rules
from agent.core.types import (
    AuthorityKind,
    Consent,
    Frame,
    Grant,
    LockState,
    Notice,
    Now,
    QualityIssue,
    Subject,
    Terms,
)
from agent.errors import DeviceError, StoreError
from agent.housekeeping import Housekeeping
from agent.ports import Camera, Post, Recorded, Reporter
from agent.runtime import Door, Runtime
from tests.contracts.waiting import DEADLINE
from tests.core.people import CALIBRATION, MODEL, NOTICE, Person
from tests.residents import KEY

RELEASE_SECONDS = 0.3
RULES = Rules(
    recognition=Recognition(patience=0.1, max_gap=0.3, cooldown=30.0, retry_after=0.2),
    enrolment=Enrolment(spacing=0.0, seconds=10.0),
    release_seconds=RELEASE_SECONDS,
    notice=NOTICE,
)


class Corridor(Camera):
    """Camera and vision in one: a frame shows whoever stands there, and that they move.

    Frames come at 50 a second.
    """

    def __init__(self) -> None:
        self.standing: Person | QualityIssue | None = None
        self.broken: Exception | None = None
        self.over = threading.Event()
        self._scene = np.array([[[0] * 3, [255] * 3]], np.uint8)
        self._seed = 0

    def frames(self) -> Iterator[Frame]:
        while not self.over.wait(0.02):
            if isinstance(self.broken, DeviceError):
                raise self.broken
            if self.standing is not None:
                self._scene = np.ascontiguousarray(self._scene[:, ::-1])
            yield Frame(self._scene, time.monotonic())

    def close(self) -> None:
        self.over.set()

    def __call__(self, frame: Frame) -> Observed:
        if self.broken is not None:
            raise self.broken
        self._seed += 1
        match self.standing:
            case None:
                return Observed(frame.captured_at, 0, None)
            case Person():
                return Observed(frame.captured_at, 1, self.standing.probe(self._seed))
            case QualityIssue():
                return Observed(frame.captured_at, 1, self.standing)


class Archive:
    """A reporter that keeps all it is told, with what the door was like at that moment."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.sent_again: list[int] = []
        self.states: list[LockState] = []
        self.conditions: list[Condition] = []
        self.beginnings: list[int] = []
        self.challenges: list[str] = []
        self.replies: list[bytes] = []
        self._changed = threading.Condition()

    @property
    def alive(self) -> bool:
        return True

    def start(self, post: Post) -> None:
        pass

    def publish(self, recorded: Recorded) -> None:
        with self._changed:
            self.events.append(recorded.event)
            self._changed.notify_all()

    def republish(self, recorded: Recorded) -> None:
        with self._changed:
            self.sent_again.append(recorded.seq)
            self._changed.notify_all()

    def announce(self, state: LockState) -> None:
        with self._changed:
            self.states.append(state)
            self._changed.notify_all()

    def announce_contact(self, *, is_open: bool) -> None:
        pass

    def describe(self, condition: Condition, log_begins: int) -> None:
        with self._changed:
            self.conditions.append(condition)
            self.beginnings.append(log_begins)
            self._changed.notify_all()

    def challenge(self, challenge: str) -> None:
        with self._changed:
            self.challenges.append(challenge)
            self._changed.notify_all()

    def answer(self, _answer: Answer, reply: bytes) -> None:
        with self._changed:
            self.replies.append(reply)
            self._changed.notify_all()

    def tend(self) -> None:
        pass

    def close(self) -> None:
        pass

    def of(self, kind: type[Event], count: int = 1) -> Event:
        """Wait for so many events of a kind, and give the last of them."""

        def found() -> list[Event]:
            return [event for event in self.events if isinstance(event, kind)]

        with self._changed:
            assert self._changed.wait_for(lambda: len(found()) >= count, DEADLINE), self.events
            return found()[count - 1]


class Disk(SqliteStore):
    """The real store, on a disk that can be full, not be read for once, or be gone for a while."""

    gone = False
    full = False
    full_for_enrolments = False
    unreadable = 0
    waiting = False
    """Whether a grant waits to be committed, or did."""

    def _data_version(self) -> int:
        self._require_there()
        return super()._data_version()

    def log_begins(self) -> int:
        self._require_there()
        return super().log_begins()

    def events(self, *, after: int = 0, limit: int = 100) -> Sequence[Recorded]:
        self._require_there()
        return super().events(after=after, limit=limit)

    def _require_there(self) -> None:
        if self.gone:
            raise StoreError("disk is gone: replace it")

    def load(self, model: str) -> StoreLoaded:
        loaded = super().load(model)
        if self.unreadable > 0:
            self.unreadable -= 1
            raise StoreError("disk cannot be read: replace it")
        return loaded

    def append(self, event: Event, now: Now, change: Change | None = None) -> Recorded:
        self._require_there()
        if self.full or (self.full_for_enrolments and isinstance(change, Enrol)):
            raise StoreError("disk is full: free some space")
        self.waiting = isinstance(event, Granted)
        return super().append(event, now, change)

    def check(self) -> None:
        self._require_there()
        if self.full:
            raise StoreError("disk is full: free some space")
        super().check()


class Hesitant(SqliteStore):
    """Another process's store, in which something happens before a change is committed."""

    meanwhile: Callable[[], None]

    def _append(self, event: Event, now: Now, difference: int) -> Recorded:
        self.meanwhile()
        return super()._append(event, now, difference)


class Strike(SimulatedDoor):
    """The simulated door, on a relay that can be dead, and that knows what was committed before."""

    dead = False

    def energise(self, grant: Grant, seconds: float) -> None:
        if self.dead:
            raise DeviceError("gpio: the relay does not answer: check its wiring")
        super().energise(grant, seconds)

    def drop(self) -> None:
        if self.dead:
            raise DeviceError("gpio: the relay does not answer: check its wiring")
        super().drop()


class Agent:
    """An agent on a real database and a simulated door, with somebody to narrate to."""

    def __init__(
        self,
        folder: Path,
        *reporters: Reporter,
        notified: str | None = None,
        corridor: Corridor | None = None,
        clock: SystemClock | None = None,
    ) -> None:
        self.clock = clock or SystemClock()
        self.path = folder / "doorward.db"
        self.corridor = corridor or Corridor()
        self.archive = Archive()
        self.door = Strike(self.clock, new_subject)
        self.store = Disk(self.path, self.clock, KEY)
        self.error: BaseException | None = None
        self.runtime = Runtime(
            controller=Controller(RULES, CALIBRATION, OUTSIDE),
            vision=self.corridor,
            door=Door(self.corridor, self.door, [self.door], self.door),
            store=self.store,
            reporters=[self.archive, *reporters],
            service=NotifySocket(notified),
            clock=self.clock,
            model=MODEL,
            started=Started("test", simulated=True),
            housekeeping=Housekeeping(self.store, Retention()),
        )
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self.runtime.run()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run while the block does; the agent must end when told to."""
        self.thread.start()
        try:
            self.archive.of(Started)
            yield
        finally:
            self.runtime.stop()
            self.thread.join(DEADLINE)
            assert not self.thread.is_alive()

    @contextmanager
    def command_line(self) -> Iterator[SqliteStore]:
        """The database as another process has it open."""
        store = SqliteStore(self.path, self.clock, KEY)
        try:
            yield store
        finally:
            store.close()

    def enrol(self, person: Person, terms: Terms | None = None, notice: Notice = NOTICE) -> None:
        """Enrol somebody from outside, as if it had been done at the door before."""
        kept = terms or Terms()
        change = Enrol(
            subject=Subject(
                person.id,
                kept.household,
                kept.administrator,
                consent=Consent("test", notice, "test", 0.0),
            ),
            label=kept.label,
            references=tuple(person.probe(seed).embedding for seed in range(5)),
        )
        event = Enrolled(person.id, AuthorityKind.CODE, 5, None)
        with self.command_line() as store:
            store.append(event, self.clock.now(), change)

    def renew(self, person: Person, consent: Consent) -> None:
        """Have somebody consent anew, from outside."""
        with self.command_line() as store:
            change = RenewConsent(person.id, consent)
            store.append(ConsentRenewed(person.id), self.clock.now(), change)

    def certificate(self, person: Person) -> str | None:
        """The certificate of somebody's erasure."""
        with self.command_line() as store:
            return store.certificate(person.id)
