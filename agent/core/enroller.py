"""Enrolment at the door: a few diverse good frames of one face in time, or a reason why not."""

from collections.abc import Callable, Mapping
from hmac import compare_digest
from typing import TypeAlias

from agent.core.effects import Append, Effect, Enrol, Indication, Show, SpendCodes
from agent.core.enrolment import (
    Authority,
    Collection,
    Enrolment,
    Step,
    give_consent,
    on_terms,
)
from agent.core.events import (
    Enrolled,
    EnrolmentFailed,
    EnrolmentFailure,
    EnrolmentLapsed,
    EnrolmentStarted,
)
from agent.core.matching import mean_template
from agent.core.types import (
    AuthorityKind,
    EnrolmentCode,
    Float32,
    Notice,
    Now,
    Probe,
    QualityIssue,
    Subject,
    SubjectId,
    Terms,
)

FindCollision: TypeAlias = Callable[[Float32, str | None], SubjectId | None]
"""Gives the enrolled subject that a template (D,), of this household, is dangerously close to."""

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


class Enroller:
    """Who may enrol, and the enrolment under way, if any: at most one at a time."""

    def __init__(self, rules: Enrolment, notice: Notice) -> None:
        self._rules = rules
        self._notice = notice
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

    def loaded(self, codes: tuple[EnrolmentCode, ...]) -> None:
        """Take the store's codes, in place of all earlier ones."""
        self._codes = codes
        self._committing = None

    def review(self, subjects: Mapping[SubjectId, Subject]) -> None:
        """Forget the visit of one who is no administrator any more, or not to be matched.

        subjects: everybody whose consent stands.
        """
        if self._administrator is not None:
            visitor = subjects.get(self._administrator[0])
            if visitor is None or visitor.revoked or not visitor.administrator:
                self._administrator = None

    def administrator_granted(self, subject: SubjectId, at: float) -> None:
        """Remember an administrator's visit: it authorises one enrolment for a while."""
        self._administrator = (subject, at)

    def button_held(
        self, subject: SubjectId, now: Now, *, faulty: bool, at_door: bool
    ) -> list[Effect]:
        """Begin, on the authority of a live code or of an administrator's recent visit.

        at_door: whether somebody was seen to hold the button there. A visit authorises nobody else:
        whoever comes home did not mean to.
        """
        authority = self._authority(now, at_door=at_door)
        return self._start(subject, authority, now, faulty=faulty)

    def expects(self, now: Now) -> bool:
        """Say whether the button, held at the door, would begin an enrolment."""
        return self._authority(now, at_door=True) is not None

    def _authority(self, now: Now, *, at_door: bool) -> Authority | None:
        by_code = next((_by_code(code) for code in self._live_codes(now)), None)
        if by_code is None and at_door and self._administrator is not None:
            administrator, at = self._administrator
            if now.monotonic - at <= self._rules.authority_seconds:
                return Authority(AuthorityKind.ADMINISTRATOR, administrator, Terms())
        return by_code

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

    def ordered(self, subject: SubjectId, authority: Authority, now: Now) -> list[Effect]:
        """Begin, on the authority of a controller whose order was found good."""
        return self._start(subject, authority, now, faulty=False)

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
        if isinstance(nearest, Probe):
            nearest = self._rules.objection(nearest.quality) or nearest
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
            case Step.SOMEBODY_ELSE if collection.mixed:
                return self.abandon(*collection.failure())
            case Step.TOO_SOON | Step.SOMEBODY_ELSE:  # pragma: no branch - there is no other step
                return []

    def tick(self, now: float) -> list[Effect]:
        """End the enrolment whose time is over. now: monotonic seconds."""
        if self._collection is None or now < self._collection.deadline:
            return []
        reason, hint = self._collection.failure()
        return self.abandon(reason, hint)

    def lapse(self, now: float) -> list[Effect]:
        """Have the codes forgotten that nobody used in time. now: monotonic seconds.

        The store gives them once more where it could not commit that, and then it is said again.
        """
        if not self._codes or any(self._in_time(code, now) for code in self._codes):
            return []
        self._codes = ()
        return [Append(EnrolmentLapsed(), SpendCodes())]

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
        return [
            code
            for code in self._codes
            if self._in_time(code, now.monotonic) and code.issued_at > self._spent_at
        ]

    def _in_time(self, code: EnrolmentCode, now: float) -> bool:
        return 0 <= now - code.issued_at <= self._rules.authority_seconds

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
            collision=find_collision(template, terms.household),
        )
        consent = give_consent(self._rules, self._notice, authority.name, terms.guardian, now.wall)
        change = Enrol(
            subject=on_terms(collection.subject, terms, consent),
            label=terms.label,
            references=tuple(collection.references),
        )
        return [Append(event, change), Show(Indication.ENROLLED)]


def _by_code(code: EnrolmentCode) -> Authority:
    return Authority(AuthorityKind.CODE, code.authorised_by, code.terms)
