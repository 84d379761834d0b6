"""What operators do beside the agent: enrolment, revocation, erasure, a look at the state."""

import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from agent import app, attacks, installation
from agent.adapters.clock import SystemClock
from agent.adapters.console import LocalReporter, as_object
from agent.config import Config, Mqtt
from agent.core.access import pad_level
from agent.core.effects import Erase, IssueCode, RenewConsent, Revoke, SuspendConsent
from agent.core.enrolment import give_consent
from agent.core.events import (
    ConsentRenewed,
    ConsentSuspended,
    Enrolled,
    EnrolmentAuthorised,
    EnrolmentFailed,
    EnrolmentStarted,
    Erased,
    Event,
    Revoked,
)
from agent.core.inputs import EnrolCommanded
from agent.core.matching import Threshold
from agent.core.pad import PadLevel
from agent.core.types import AuthorityKind, EnrolmentCode, SubjectId, Suspension, Terms
from agent.errors import StoreError
from agent.ports import Clock, Recorded, Reporter, Store, SubjectRow
from agent.runtime import Runtime

CODE_DIGITS = 6
POLL_SECONDS = 0.3
EXPORT_BATCH = 1000


@dataclass(frozen=True, slots=True)
class IssuedCode:
    """A one-time code, and the event that says it was given out."""

    code: str = field(repr=False)
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
        with installation.opened_store(config) as store:
            issued = issue_code(store, SystemClock(), authorised_by, terms)
        runtime.post(EnrolCommanded(app.new_subject(), issued.code))
        runtime.run()
    return until.outcome


def revoke(store: Store, clock: Clock, subject: SubjectId) -> Recorded:
    """Stop admitting a subject. Raises StoreError where there is no such subject."""
    return store.append(Revoked(subject), clock.now(), Revoke(subject))


def erase(store: Store, clock: Clock, subject: SubjectId) -> str:
    """Forget a subject; give the certificate, also of one who was forgotten before.

    Raises StoreError where there is no such subject, or it is not all gone.
    """
    try:
        store.append(Erased(subject), clock.now(), Erase(subject))
    except StoreError:
        # It may have been done before, or by somebody else just now.
        if store.certificate(subject) is None:
            raise
    certificate = store.certificate(subject)
    if certificate is None:
        raise StoreError(f"the erasure of {subject} is not complete yet: try again")
    return certificate


def withdraw_consent(store: Store, clock: Clock, subject: SubjectId) -> Recorded:
    """Stop comparing a subject's face, at once; the references are kept. Raises StoreError."""
    # One that is suspended for another reason counts again once that reason is gone.
    if store.resident(subject).subject.suspended is Suspension.WITHDRAWN:
        raise StoreError(f"{subject}: the consent is withdrawn already")
    reason = Suspension.WITHDRAWN
    return store.append(
        ConsentSuspended(subject, reason), clock.now(), SuspendConsent(subject, reason)
    )


def renew_consent(
    config: Config, store: Store, subject: SubjectId, authorised_by: str, guardian: str | None
) -> Recorded:
    """Record that a subject, or a minor's guardian, consented to the notice in force.

    Raises ConfigError without the notice, StoreError.
    """
    now = SystemClock().now()
    minor = store.resident(subject).subject.minor
    if minor != bool(guardian and guardian.strip()):
        raise StoreError(f"{subject}: a minor needs --guardian, and nobody else has one")
    notice = installation.load_notice(config)
    consent = give_consent(config.enrolment, notice, authorised_by, guardian, now.wall)
    return store.append(ConsentRenewed(subject), now, RenewConsent(subject, consent))


@dataclass(frozen=True, slots=True)
class Export:
    """All that is held on a subject; times are seconds since the Unix epoch.

    references: how many templates there are; their numbers never leave the device. receipt: of the
    consent, a signed note. leave_code: whoever shows it over MQTT has the subject erased.
    """

    subject: SubjectRow
    references: int
    receipt: str | None
    leave_code: str = field(repr=False)
    verifier: str
    events: list[dict[str, object]]


def export(store: Store, subject: SubjectId) -> Export:
    """Put together what a resident has a right to see. Raises StoreError."""
    resident = store.resident(subject)
    row = next(row for row in store.subjects() if row.id == subject)
    events: list[dict[str, object]] = []
    seen = 0
    while batch := store.events(after=seen, limit=EXPORT_BATCH):
        seen = batch[-1].seq
        events += [as_object(each) for each in batch if _is_about(each.event, subject)]
    return Export(
        row,
        row.references,
        resident.receipt,
        resident.subject.leave_code,
        store.verifier,
        events,
    )


def _is_about(event: Event, subject: SubjectId) -> bool:
    # Not whom it mentions beside: that is another's event.
    return getattr(event, "subject", None) == subject


@dataclass(frozen=True, slots=True)
class Status:
    """What the door is like now.

    residents: who may enter by face. suspended: whose consent does not count, so that they are
    compared with nobody. compared: how many templates are. waiting: events that no collector has
    acknowledged. sureness: what the threshold in force means, in words. verifier: the key to check
    with what this device signs. pad: the level of presentation-attack detection at this hour.
    """

    door: str
    running: bool
    residents: int
    revoked: int
    suspended: int
    compared: int
    threshold: Threshold
    target_fpir: float
    sureness: str
    provisional: bool
    waiting: int
    last_event: Recorded | None
    verifier: str
    pad: PadLevel

    @property
    def attacks(self) -> str:
        """Which attacks on a face that level stops, in words."""
        return attacks.in_words(self.pad)


def status(config: Config) -> Status:
    """Look at the store, the models and their calibration. Raises DoorwardError."""
    _, calibration = app.load_vision(config)
    with installation.opened_store(config) as store:
        loaded = store.load(calibration.model)
        last = store.last_events(1)
        cursor = store.cursor()
        verifier = store.verifier
    now = SystemClock().now()
    roll, judge = app.as_the_agent(config, calibration, loaded, now)
    subjects = loaded.subjects.values()
    revoked = sum(subject.revoked for subject in subjects)
    admitted = sum(not subject.revoked for subject in roll.standing.values())
    return Status(
        door=config.door.name,
        running=installation.agent_is_running(config),
        residents=admitted,
        revoked=revoked,
        suspended=sum(
            each.consent is not None and each.id not in roll.standing for each in subjects
        ),
        compared=len(roll.gallery.subjects),
        threshold=judge.threshold,
        target_fpir=config.recognition.target_fpir,
        sureness=judge.sureness,
        provisional=calibration.provisional,
        waiting=(last[0].seq if last else 0) - cursor,
        last_event=last[0] if last else None,
        verifier=verifier,
        pad=pad_level(app.access(config), now),
    )
