"""The demonstration's story: two residents enrol and enter, a third has no face, one is erased.

Everything is what `doorward run` uses, but for the corridor (stage.py) and the simulated door.
"""

import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np

from agent import app, credentials, installation, operations
from agent.adapters.clock import SystemClock
from agent.adapters.console import in_words
from agent.adapters.simulated import SimulatedDoor
from agent.config import Config, Door as DoorSettings, Mqtt
from agent.core.decision import Recognition
from agent.core.enrolment import Enrolment
from agent.core.events import (
    Admitted,
    CodeDenied,
    Denied,
    Enrolled,
    EnrolmentFailed,
    ErasureCertified,
    Event,
    Granted,
    Started,
)
from agent.core.inputs import Observed
from agent.core.types import Frame, Probe, SubjectId, Terms
from agent.demonstration.broker import LOOPBACK, Collector, broker, find_mosquitto
from agent.demonstration.narrator import PATIENCE, Narrator, Summary, Write
from agent.demonstration.stage import Stage, photograph
from agent.errors import DoorwardError
from agent.ports import Clock, Digest, Store, Vision

DOOR = "demo"
RELEASE_SECONDS = 2.0
SLOWEST = 5.0
"""Seconds for a frame, and a look at it, that the demonstration allows for, at the most."""


class TimedVision:
    """Vision that remembers how long each frame that gave a probe took, in milliseconds."""

    def __init__(self, vision: Vision, clock: Clock) -> None:
        self._vision = vision
        self._clock = clock
        self.milliseconds: list[float] = []

    def __call__(self, frame: Frame) -> Observed:
        """Look at a frame."""
        seen = self._vision(frame)
        if isinstance(seen.nearest, Probe):
            taken = self._clock.now().monotonic - frame.captured_at
            self.milliseconds.append(taken * 1000.0)
        return seen


class Play:
    """The acts. surprises: visits that did not end as they should."""

    def __init__(
        self, narrator: Narrator, stage: Stage, door: SimulatedDoor, store: Store, look: float
    ) -> None:
        self._narrator = narrator
        self._look = look
        self._stage = stage
        self._door = door
        self._store = store
        self._clock = SystemClock()
        self._admitted: set[int] = set()
        self.surprises = 0

    @property
    def false_admissions(self) -> int:
        """Grants that no visit called for: to a stranger, an erased or the wrong person."""
        grants = sum(isinstance(event, Granted | Admitted) for event in self._narrator.events)
        return grants - len(self._admitted)

    def enrol(self, title: str, photographs: Sequence[str], terms: Terms | None) -> SubjectId:
        """Enrol whoever is in the photographs; without terms, on an administrator's authority."""
        self._narrator.say(f"\n{title}")
        told = len(self._narrator.events)
        if terms is not None:
            operations.issue_code(self._store, self._clock, "the demonstration", terms)
        self._door.hold_enrol_button()
        with self._at_the_door(photographs):
            outcome = self._narrator.await_event((Enrolled, EnrolmentFailed), told)
        if not isinstance(outcome, Enrolled):
            message = f"demo: {in_words(outcome)}"
            raise DoorwardError(message)
        return outcome.subject

    def visit(self, title: str, photographs: Sequence[str], admits: SubjectId | None) -> None:
        """Have somebody walk up, and wait for the decision and for the door to be locked."""
        self._narrator.say(f"\n{title}")
        told = len(self._narrator.events)
        with self._at_the_door(photographs):
            outcome = self._narrator.await_event((Granted, Denied), told)
        self._narrator.await_lock()
        self.surprises += isinstance(outcome, Granted) != (admits is not None)
        for number, event in enumerate(self._narrator.events[told:], told):
            if isinstance(event, Granted) and admits is not None and event.subject == admits:
                self._admitted.add(number)

    def admit_by_pin(self, title: str, digest: Digest, terms: Terms) -> None:
        """Give a resident without a face a PIN, and have it typed, after a wrong one."""
        self._narrator.say(f"\n{title}")
        subject = credentials.add_resident(self._store, self._clock, terms)
        pin = credentials.new_pin()
        credentials.set_pin(self._store, self._clock, digest, subject, pin, duress=False)
        wrong = pin[::-1] + pin[0]
        self.surprises += not isinstance(self._type(digest(wrong)), CodeDenied)
        told = len(self._narrator.events)
        self.surprises += not isinstance(self._type(digest(pin)), Admitted)
        # The event comes first, then the door.
        time.sleep(RELEASE_SECONDS / 2)
        self._narrator.await_lock()
        for number, event in enumerate(self._narrator.events[told:], told):
            if isinstance(event, Admitted) and event.subject == subject:
                self._admitted.add(number)

    def _type(self, entry: bytes) -> Event:
        told = len(self._narrator.events)
        self._door.enter_code(entry)
        return self._narrator.await_event((CodeDenied, Admitted), told)

    def erase(self, title: str, subject: SubjectId) -> None:
        """Erase a resident, as `doorward erase` does."""
        self._narrator.say(f"\n{title}")
        told = len(self._narrator.events)
        operations.erase(self._store, self._clock, subject)
        self._narrator.await_event((ErasureCertified,), told)

    @contextmanager
    def _at_the_door(self, photographs: Sequence[str]) -> Iterator[None]:
        self._stage.walk_up([photograph(name) for name in photographs], patience(self._look))
        yield
        self._stage.leave()
        # The next presentation begins only once the corridor was seen empty.
        time.sleep(1.0 + 2 * self._look)


def patience(look: float) -> float:
    """Give the seconds that an act may take where a look at a frame takes so many."""
    return PATIENCE * (1 + look)


def _seconds_of_a_look(vision: Vision, clock: Clock) -> float:
    stage = Stage(Config().camera.fps, clock)
    stage.walk_up([photograph("obama.jpg")], PATIENCE)
    frames = stage.frames()
    vision(next(frames))  # The first one takes longer.
    began = clock.now().monotonic
    vision(next(frames))
    return min(clock.now().monotonic - began, SLOWEST)


ACKNOWLEDGED = 0.5
"""Seconds that an acknowledgement may take from the collector to the agent."""


def play(write: Write, *, json: bool) -> bool:
    """Play the whole story, a line at a time, and end with the summary.

    Gives whether every visit ended as it should. Raises DoorwardError.
    """
    clock = SystemClock()
    vision, calibration = app.load_vision(Config())
    # On a slow machine frames are older, and everything takes longer.
    look = _seconds_of_a_look(vision, clock)
    narrator = Narrator(write, clock, patience(look), json=json)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="doorward-demo-"))
        program = find_mosquitto()
        port = stack.enter_context(broker(program)) if program else None
        settings = Mqtt() if port is None else Mqtt(host=LOOPBACK, port=port, tls=False)
        usual = Recognition()
        config = Config(
            door=DoorSettings(name=DOOR, release_seconds=RELEASE_SECONDS),
            mqtt=settings,
            recognition=Recognition(
                max_age=usual.max_age + 3 * look, max_gap=usual.max_gap + 1.5 * look
            ),
            # A still photograph is more like itself, a moment later, than a face.
            enrolment=Enrolment(seconds=20.0 * (1 + look), max_similarity=0.997),
            state_directory=folder,
        )
        collector = Collector(port, DOOR) if port else None
        if collector is not None:
            stack.callback(collector.close)
        timed = TimedVision(vision, clock)
        stage = Stage(config.camera.fps, clock)
        door = SimulatedDoor(clock, app.new_subject)
        # One connection for the agent's thread, one for this: as for daemon and command line.
        ours = stack.enter_context(installation.opened_store(config))
        runtime = app.assemble(
            config,
            timed,
            calibration,
            app.simulation(stage, door),
            installation.open_store(config, clock),
            [narrator, *app.broker(config)],
            clock,
            simulated=True,
        )
        thread = threading.Thread(
            target=narrator.witness, args=[runtime.run], name="agent", daemon=True
        )
        thread.start()
        acts = Play(narrator, stage, door, ours, look)
        try:
            narrator.await_event((Started,), 0)
            _story(acts, installation.code_digest(config).pin)
            last = ours.last_events(1)[-1].seq
            arrived = _arrived(collector, last, patience(look))
        finally:
            runtime.stop()
            thread.join(PATIENCE)
        delivered = None if arrived is None else arrived and ours.cursor() >= last
        narrator.say(f"\n{_delivery(last, delivered=delivered)}")
        summary = _summary(narrator.events, acts, len(door.pulses), timed)
        narrator.conclude(summary, door.pulses)
        if narrator.error is not None:
            raise narrator.error
        sound = summary.false_admissions == 0 and summary.release_pulses == summary.granted
        return sound and acts.surprises == 0 and not thread.is_alive()


def _story(acts: Play, digest: Digest) -> None:
    first = acts.enrol(
        "A resident enrols: the administrator gave her a one-time code, she holds the button.",
        ["obama.jpg", "obama2.jpg"],
        Terms(label="Flat 1", administrator=True),
    )
    acts.visit("The resident walks up, on another day.", ["obama3.jpg"], first)
    second = acts.enrol(
        "A second resident enrols: the first, an administrator, was just seen at the door.",
        ["biden.jpg"],
        None,
    )
    acts.visit("The second resident walks up.", ["biden.jpg"], second)
    acts.admit_by_pin(
        "A third gives no face: a wrong PIN, and then the right one.",
        digest,
        Terms(label="Flat 3"),
    )
    acts.visit("A stranger walks up.", ["astronaut.jpg"], None)
    acts.erase("The first resident has his face erased.", first)
    acts.visit("He walks up again.", ["obama3.jpg"], None)


def _arrived(collector: Collector | None, last: int, seconds: float) -> bool | None:
    if collector is None:
        return None
    arrived = collector.has_all(last, seconds)
    # The last acknowledgement is on its way back; the agent writes it down when it ends.
    time.sleep(ACKNOWLEDGED)
    return arrived


def _delivery(last: int, *, delivered: bool | None) -> str:
    if delivered is None:
        return f"No mosquitto here: the {last} events wait in the outbox (apt install mosquitto)."
    if delivered:
        return f"A collector has all {last} events over MQTT, and has acknowledged them."
    return f"Not all of the {last} events reached the collector; the rest wait in the outbox."


def _summary(events: Sequence[Event], acts: Play, pulses: int, timed: TimedVision) -> Summary:
    p50, p95 = (float(np.percentile(timed.milliseconds, share)) for share in (50, 95))
    return Summary(
        granted=sum(isinstance(event, Granted | Admitted) for event in events),
        refused=sum(isinstance(event, Denied | CodeDenied) for event in events),
        false_admissions=acts.false_admissions,
        release_pulses=pulses,
        p50_ms=round(p50, 1),
        p95_ms=round(p95, 1),
    )
