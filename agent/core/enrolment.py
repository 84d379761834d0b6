"""Enrolment at the door: a few diverse good frames of one face in time, or a reason why not."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from hmac import compare_digest
from typing import TypeAlias

from agent.core.events import (
    Append,
    Effect,
    Enrol,
    Enrolled,
    EnrolmentFailed,
    EnrolmentFailure,
    EnrolmentStarted,
    Indication,
    Show,
    SpendCodes,
)
from agent.core.matching import mean_template
from agent.core.types import (
    AuthorityKind,
    Consent,
    Embedding,
    EnrolmentCode,
    Float32,
    Now,
    Probe,
    QualityIssue,
    Subject,
    SubjectId,
    Terms,
)

FindCollision: TypeAlias = Callable[[Float32], SubjectId | None]
"""Gives the enrolled subject that a template (D,) is dangerously close to, if any."""

REFUSALS_APART = 10.0
"""Seconds between two records of refused enrolments: whoever can hold the button, or publish, could
otherwise fill the log, and a full disk is a shut door."""

HINTS: Mapping[QualityIssue, Indication] = {
    QualityIssue.TOO_FAR: Indication.COME_CLOSER,
    QualityIssue.CUT_OFF: Indication.LOOK_HERE,
    QualityIssue.TOO_DARK: Indication.MORE_LIGHT,
    QualityIssue.TOO_BRIGHT: Indication.MORE_LIGHT,
    QualityIssue.BLURRED: Indication.LOOK_HERE,
    QualityIssue.TURNED_AWAY: Indication.LOOK_HERE,
    QualityIssue.EYES_CLOSED: Indication.LOOK_HERE,
    QualityIssue.UNREADABLE: Indication.LOOK_HERE,
}


@dataclass(frozen=True, slots=True)
class Enrolment:
    """How residents are enrolled."""

    frames: int = 5
    """References taken of each enrolee, 3 to 20."""
    seconds: float = 20.0
    """How long the enrolee has, 5 to 120 s."""
    spacing: float = 0.4
    """Seconds between two references at the least."""
    max_similarity: float = 0.985
    """Cosine above which a frame is too like one already taken."""
    min_consistency: float = 0.5
    """Cosine to the mean of those taken below which it is another face."""
    collision: float = 0.1
    """How far below the threshold, in cosine, another subject already is a collision, 0 to 1."""
    authority_seconds: float = 60.0
    """How long a code, or an administrator's visit, authorises an enrolment, 5 to 600 s."""
    hold_seconds: float = 2.0
    """How long the enrol button must be held, 0.5 to 10 s."""
    notice: str = "2026-11"
    """Version of the privacy notice that enrolees are given."""

    def __post_init__(self) -> None:
        if not 3 <= self.frames <= 20:  # noqa: PLR2004
            message = "frames must be 3 to 20"
            raise ValueError(message)
        if not (5 <= self.seconds <= 120 and 5 <= self.authority_seconds <= 600):  # noqa: PLR2004
            message = "seconds must be 5 to 120, authority_seconds 5 to 600"
            raise ValueError(message)
        if not (self.spacing >= 0 and 0.5 <= self.hold_seconds <= 10):  # noqa: PLR2004
            message = "spacing must be 0 or more, hold_seconds 0.5 to 10"
            raise ValueError(message)
        similarities = (self.max_similarity, self.min_consistency, self.collision)
        if not all(0 <= value <= 1 for value in similarities):
            message = "max_similarity, min_consistency and collision must be 0 to 1"
            raise ValueError(message)
        if not self.notice.strip():
            message = "notice must name a version of the privacy notice"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Authority:
    """What authorised an enrolment. name: for the consent record only."""

    kind: AuthorityKind
    name: str
    terms: Terms


class Step(Enum):
    """What came of one more good frame."""

    TAKEN = auto()
    TOO_SOON = auto()
    TOO_ALIKE = auto()
    SOMEBODY_ELSE = auto()


@dataclass(slots=True)
class Collection:
    """An enrolment under way. deadline: monotonic seconds."""

    rules: Enrolment
    subject: SubjectId
    authority: Authority
    deadline: float
    references: list[Embedding] = field(default_factory=list)
    issues: Counter[QualityIssue] = field(default_factory=Counter)
    _taken_at: float = float("-inf")
    _others: int = 0

    @property
    def complete(self) -> bool:
        """Whether there are enough references."""
        return len(self.references) >= self.rules.frames

    def add(self, probe: Probe, captured_at: float) -> Step:
        """Take the frame if it is spaced, of the same face, and unlike those taken."""
        if captured_at - self._taken_at < self.rules.spacing:
            return Step.TOO_SOON
        vector = probe.embedding.vector
        taken = [reference.vector for reference in self.references]
        if taken:
            if not float(vector @ mean_template(taken)) >= self.rules.min_consistency:
                self._others += 1
                return Step.SOMEBODY_ELSE
            if not all(float(vector @ other) <= self.rules.max_similarity for other in taken):
                return Step.TOO_ALIKE
        self.references.append(probe.embedding)
        self._taken_at = captured_at
        return Step.TAKEN

    def failure(self) -> tuple[EnrolmentFailure, QualityIssue | None]:
        """Say why the time ran out, and the commonest quality issue where that was it."""
        if self._others > len(self.references):
            return EnrolmentFailure.NOT_ONE_PERSON, None
        if not self.references and not self.issues:
            return EnrolmentFailure.NO_FACE, None
        commonest = self.issues.most_common(1)
        return EnrolmentFailure.POOR_FRAMES, commonest[0][0] if commonest else None


class Enroller:
    """Who may enrol, and the enrolment under way, if any: at most one at a time."""

    def __init__(self, rules: Enrolment) -> None:
        self._rules = rules
        self._collection: Collection | None = None
        self._administrator: tuple[SubjectId, float] | None = None
        self._codes: tuple[EnrolmentCode, ...] = ()
        self._spent_at = float("-inf")
        self._refused_at = float("-inf")
        self._committing: Collection | None = None

    @property
    def deadline(self) -> float | None:
        """Monotonic seconds at which the enrolment under way ends; None where there is none."""
        return None if self._collection is None else self._collection.deadline

    def loaded(
        self, codes: tuple[EnrolmentCode, ...], subjects: Mapping[SubjectId, Subject]
    ) -> None:
        """Take the store's codes; forget the visit of one who is no administrator any more."""
        self._codes = codes
        self._committing = None
        if self._administrator is not None:
            visitor = subjects.get(self._administrator[0])
            if visitor is None or visitor.revoked or not visitor.administrator:
                self._administrator = None

    def administrator_granted(self, subject: SubjectId, at: float) -> None:
        """Remember an administrator's visit: it authorises one enrolment for a while."""
        self._administrator = (subject, at)

    def button_held(self, subject: SubjectId, now: Now, *, faulty: bool) -> list[Effect]:
        """Begin, on the authority of a live code or of an administrator's recent visit."""
        authority = next((_by_code(code) for code in self._live_codes(now)), None)
        if authority is None and self._administrator is not None:
            administrator, at = self._administrator
            if now.monotonic - at <= self._rules.authority_seconds:
                authority = Authority(AuthorityKind.ADMINISTRATOR, administrator, Terms())
        return self._start(subject, authority, now, faulty=faulty)

    def commanded(self, subject: SubjectId, typed: str, now: Now, *, faulty: bool) -> list[Effect]:
        """Begin, if the code is right. A wrong one spends the live codes: no second guess."""
        for code in self._live_codes(now):
            if compare_digest(code.code.encode(), typed.encode()):
                return self._start(subject, _by_code(code), now, faulty=faulty)
        if not self._codes:
            return self._refuse(subject, EnrolmentFailure.UNAUTHORISED, now)
        self._spend_codes(now)
        failed = EnrolmentFailed(subject, EnrolmentFailure.UNAUTHORISED)
        return [Append(failed, SpendCodes())]

    def observe(
        self,
        nearest: Probe | QualityIssue,
        captured_at: float,
        now: Now,
        find_collision: FindCollision,
    ) -> list[Effect]:
        """Take the nearest face of a frame into the enrolment under way."""
        collection = self._collection
        if collection is None:
            return []
        if isinstance(nearest, QualityIssue):
            collection.issues[nearest] += 1
            return [Show(HINTS[nearest])]
        match collection.add(nearest, captured_at):
            case Step.TAKEN if collection.complete:
                self._collection, self._committing = None, collection
                return self._complete(collection, now, find_collision)
            case Step.TAKEN:
                return [Show(Indication.FRAME_TAKEN)]
            case Step.TOO_ALIKE:
                return [Show(Indication.TURN_A_LITTLE)]
            case Step.TOO_SOON | Step.SOMEBODY_ELSE:  # pragma: no branch - there is no other step
                return []

    def tick(self, now: float) -> list[Effect]:
        """End the enrolment whose time is over. now: monotonic seconds."""
        if self._collection is None or now < self._collection.deadline:
            return []
        reason, hint = self._collection.failure()
        return self.abandon(reason, hint)

    def abandon(self, reason: EnrolmentFailure, hint: QualityIssue | None = None) -> list[Effect]:
        """End the enrolment under way, if any, with nothing kept."""
        if self._collection is None:
            return []
        collection, self._collection = self._collection, None
        frames = len(collection.references)
        failed = EnrolmentFailed(collection.subject, reason, frames, hint)
        return [Show(Indication.NOT_ENROLLED), Append(failed)]

    def faulted(self) -> list[Effect]:
        """End what a fault ends: the enrolment under way, or one that could not be committed."""
        self._administrator = None
        self._collection, self._committing = self._collection or self._committing, None
        return self.abandon(EnrolmentFailure.FAULT)

    def _live_codes(self, now: Now) -> list[EnrolmentCode]:
        valid = self._rules.authority_seconds
        return [
            code
            for code in self._codes
            if 0 <= now.monotonic - code.issued_at <= valid and code.issued_at > self._spent_at
        ]

    def _spend_codes(self, now: Now) -> None:
        # The store may give them once more, where it could not commit that they are spent.
        self._codes, self._spent_at = (), now.monotonic

    def _start(
        self, subject: SubjectId, authority: Authority | None, now: Now, *, faulty: bool
    ) -> list[Effect]:
        if self._collection is not None:
            return self._refuse(subject, EnrolmentFailure.BUSY, now)
        if authority is None or faulty:
            reason = EnrolmentFailure.FAULT if faulty else EnrolmentFailure.UNAUTHORISED
            return [Show(Indication.NOT_ENROLLED), *self._refuse(subject, reason, now)]
        self._administrator = None
        self._spend_codes(now)
        deadline = now.monotonic + self._rules.seconds
        self._collection = Collection(self._rules, subject, authority, deadline)
        started = EnrolmentStarted(subject, authority.kind)
        return [Append(started, SpendCodes()), Show(Indication.ENROLLING)]

    def _refuse(self, subject: SubjectId, reason: EnrolmentFailure, now: Now) -> list[Effect]:
        if now.monotonic - self._refused_at < REFUSALS_APART:
            return []
        self._refused_at = now.monotonic
        return [Append(EnrolmentFailed(subject, reason))]

    def _complete(
        self, collection: Collection, now: Now, find_collision: FindCollision
    ) -> list[Effect]:
        authority, terms = collection.authority, collection.authority.terms
        template = mean_template(reference.vector for reference in collection.references)
        event = Enrolled(
            subject=collection.subject,
            authority=authority.kind,
            references=len(collection.references),
            collision=find_collision(template),
        )
        change = Enrol(
            subject=Subject(
                id=collection.subject,
                household=terms.household,
                administrator=terms.administrator,
                validity=terms.validity,
            ),
            label=terms.label,
            references=tuple(collection.references),
            consent=Consent(authority.name, self._rules.notice, now.wall),
        )
        return [Append(event, change), Show(Indication.ENROLLED)]


def _by_code(code: EnrolmentCode) -> Authority:
    return Authority(AuthorityKind.CODE, code.authorised_by, code.terms)
