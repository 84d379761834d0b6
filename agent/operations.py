"""What operators do beside the agent: enrolment, revocation, erasure, a look at the state."""

import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from agent import app
from agent.adapters.clock import SystemClock
from agent.adapters.console import LocalReporter
from agent.config import Config, Mqtt
from agent.core.events import (
    EnrolCommanded,
    Enrolled,
    EnrolmentAuthorised,
    EnrolmentFailed,
    EnrolmentStarted,
    Erase,
    Erased,
    IssueCode,
    Revoke,
    Revoked,
)
from agent.core.matching import Threshold, threshold_for
from agent.core.types import AuthorityKind, EnrolmentCode, SubjectId, Terms
from agent.errors import StoreError
from agent.ports import Clock, Recorded, Reporter, Store
from agent.runtime import Runtime

CODE_DIGITS = 6
POLL_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class IssuedCode:
    """A one-time code, and the event that says it was given out."""

    code: str
    recorded: Recorded


def issue_code(store: Store, clock: Clock, authorised_by: str, terms: Terms) -> IssuedCode:
    """Give out a one-time code that authorises one enrolment from now on. Raises StoreError."""
    now = clock.now()
    digits = f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"
    code = EnrolmentCode(digits, now.monotonic, authorised_by, terms)
    return IssuedCode(digits, store.append(EnrolmentAuthorised(), now, IssueCode(code)))


def follow_enrolment(store: Store, issued: IssuedCode, seconds: float) -> Iterator[Recorded]:
    """Give the start and the outcome of the enrolment that a code was issued for.

    Raises StoreError where there is none within these seconds.
    """
    seen = issued.recorded.seq
    subject = None
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for recorded in store.events(after=seen):
            seen = recorded.seq
            match recorded.event:
                case EnrolmentStarted(authority=AuthorityKind.CODE) as started:
                    subject = started.subject
                    yield recorded
                case Enrolled() | EnrolmentFailed() as outcome if outcome.subject == subject:
                    yield recorded
                    return
        time.sleep(POLL_SECONDS)
    message = "nobody was enrolled in time: give out another code with `doorward enrol`"
    raise StoreError(message)


class UntilEnrolled(LocalReporter):
    """Stops a runtime at the outcome of an enrolment."""

    def __init__(self) -> None:
        self.runtime: Runtime | None = None
        self.outcome: Enrolled | EnrolmentFailed | None = None

    def publish(self, recorded: Recorded) -> None:
        """Look for the outcome."""
        if isinstance(recorded.event, Enrolled | EnrolmentFailed):
            self.outcome = recorded.event
            if self.runtime is not None:
                self.runtime.stop()


def enrol_here(
    config: Config, camera: str, authorised_by: str, terms: Terms, reporters: Sequence[Reporter]
) -> Enrolled | EnrolmentFailed | None:
    """Enrol whoever is before this camera, with no agent and no door. None: the replay ended first.

    The broker is left out, so that nobody there can interfere; the events wait in the outbox.
    Raises DoorwardError.
    """
    until = UntilEnrolled()
    config = msgspec.structs.replace(config, mqtt=Mqtt())
    with app.agent(config, camera, [*reporters, until], simulate=True) as runtime:
        until.runtime = runtime
        with app.opened_store(config) as store:
            issued = issue_code(store, SystemClock(), authorised_by, terms)
        runtime.post(EnrolCommanded(app.new_subject(), issued.code))
        runtime.run()
    return until.outcome


def revoke(store: Store, clock: Clock, subject: SubjectId) -> Recorded:
    """Stop admitting a subject. Raises StoreError where there is no such subject."""
    return store.append(Revoked(subject), clock.now(), Revoke(subject))


def erase(store: Store, clock: Clock, subject: SubjectId) -> Recorded:
    """Forget a subject. Raises StoreError where there is no such subject, or it is not all gone."""
    return store.append(Erased(subject), clock.now(), Erase(subject))


@dataclass(frozen=True, slots=True)
class Status:
    """What the door is like now. waiting: events that no collector has acknowledged."""

    door: str
    running: bool
    residents: int
    revoked: int
    threshold: Threshold
    target_fpir: float
    provisional: bool
    waiting: int
    last_event: Recorded | None

    @property
    def sureness(self) -> str:
        """What the threshold in force means, in words."""
        once = f"about once in {1 / self.threshold.fpir:,.0f} attempts, at the most"
        who = f"with {self.residents + self.revoked} enrolled, a stranger is admitted {once}"
        unmet = "" if self.threshold.met else f"; the target of {self.target_fpir:g} is NOT met"
        caveat = "; provisional calibration" if self.provisional else ""
        return f"{who}{unmet}{caveat}"


def status(config: Config) -> Status:
    """Look at the store, the models and their calibration. Raises DoorwardError."""
    _, calibration = app.load_vision(config)
    with app.opened_store(config) as store:
        loaded = store.load(calibration.model)
        last = store.last_events(1)
        cursor = store.cursor()
    subjects = loaded.subjects.values()
    revoked = sum(subject.revoked for subject in subjects)
    target = config.recognition.target_fpir
    return Status(
        door=config.door.name,
        running=app.agent_is_running(config),
        residents=len(subjects) - revoked,
        revoked=revoked,
        threshold=threshold_for(calibration, len(loaded.gallery.subjects), target),
        target_fpir=target,
        provisional=calibration.provisional,
        waiting=(last[0].seq if last else 0) - cursor,
        last_event=last[0] if last else None,
    )
