"""What comes of who stands before the camera: a hint, a refusal, a grant, or an enrolee's frame."""

from agent.core.admission import Admission, Factor
from agent.core.consent import Roll
from agent.core.decision import Judge, Match, Presentation
from agent.core.door import Door
from agent.core.effects import Append, Effect, Indication, Show
from agent.core.enroller import HINTS, Enroller
from agent.core.events import Denied, Granted, LockedOut
from agent.core.inputs import Observed
from agent.core.matching import Calibration, Threshold
from agent.core.policy import Refusals
from agent.core.rules import Rules
from agent.core.selfservice import SelfService
from agent.core.types import (
    Float32,
    Grant,
    Method,
    Now,
    Probe,
    QualityIssue,
    Reason,
    Refusal,
    Subject,
    SubjectId,
)


class Reception:
    """Looks at fresh observations of a door at which nothing is at fault.

    decided_in: milliseconds from the deciding frame's capture to the last grant; None before one.
    """

    def __init__(  # noqa: PLR0913 - it is given every part, and makes none
        self,
        rules: Rules,
        calibration: Calibration,
        roll: Roll,
        door: Door,
        enroller: Enroller,
        admission: Admission,
        service: SelfService,
    ) -> None:
        self._rules = rules
        self._calibration = calibration
        self._roll = roll
        self._door = door
        self._enroller = enroller
        self._attempts = Refusals(rules.lockout)
        self._presentation = Presentation(rules.recognition)
        self._admission = admission
        self._service = service
        self._retry_at = float("-inf")
        self._judge = Judge(rules.recognition, calibration, roll.gallery)
        self.decided_in: float | None = None

    @property
    def threshold(self) -> Threshold:
        """The threshold in force."""
        return self._judge.threshold

    @property
    def sureness(self) -> str:
        """What it means, in words."""
        return self._judge.sureness

    def review(self) -> None:
        """Compare with the gallery of the roll as it is now."""
        self._judge = Judge(self._rules.recognition, self._calibration, self._roll.gallery)

    def faulted(self) -> None:
        """Forget what was seen so far."""
        self._presentation.clear()

    def observe(self, seen: Observed, nearest: Probe | QualityIssue, now: Now) -> list[Effect]:
        """Take what a frame showed. nearest: of the face that decides."""
        if self._enroller.deadline is not None:
            self._presentation.clear()
            return self._enroller.observe(nearest, seen.captured_at, now, self._collision)
        if not self._admission.looks_at_faces(now):
            self._presentation.clear()
            return []
        if self._attempts.locked(now.monotonic):
            return [Show(Indication.WAIT)]
        if now.monotonic < self._retry_at:
            return []
        if isinstance(nearest, QualityIssue):
            return self._hint(HINTS[nearest])
        self._presentation.add(nearest, seen.captured_at)
        verdict = self._judge.judge(self._presentation)
        if verdict is None:
            return self._hint(Indication.LOOKING)
        if isinstance(verdict, Refusal):
            return self._refuse(verdict, seen, now)
        if self._service.serving == verdict.subject:
            # Nobody opens the door by standing there while choosing.
            self._presentation.clear()
            return []
        return self._admit(verdict, seen, now)

    def _admit(self, match: Match, seen: Observed, now: Now) -> list[Effect]:
        subject = self._roll.standing[match.subject]
        asked = self._service.asks
        if not asked and self._admission.rests(subject.id, now.monotonic):
            return []
        decide = self._admission.known_by if asked else self._admission.method
        method = decide(subject, Factor.FACE, now)
        if isinstance(method, Reason):
            return self._refuse(Refusal(method, subject.id), seen, now)
        if method is None:
            self._presentation.clear()
            return self._admission.wait(subject, Factor.FACE, now)
        if asked:
            self._presentation.clear()
            self._admission.spend()
            return self._service.identified(subject, method, now)
        # Whoever comes to enter is not who was choosing.
        return [*self._service.end(), *self._grant(subject, method, match, seen, now)]

    def _grant(
        self, subject: Subject, method: Method, match: Match, seen: Observed, now: Now
    ) -> list[Effect]:
        grant = Grant(subject.id, method, match.score, now.monotonic)
        event = Granted(
            subject=subject.id,
            method=method,
            score=match.score,
            threshold=match.threshold,
            margin=match.margin,
            frames=len(self._presentation),
            faces=seen.faces,
            latency_ms=(now.monotonic - seen.captured_at) * 1000.0,
        )
        self.decided_in = event.latency_ms
        self._attempts.granted()
        self._presentation.clear()
        return self._admission.admit(subject, grant, event)

    def _refuse(self, refusal: Refusal, seen: Observed, now: Now) -> list[Effect]:
        frames = len(self._presentation)
        self._presentation.clear()
        self._retry_at = now.monotonic + self._rules.recognition.retry_after
        effects: list[Effect] = [
            Append(Denied(refusal.reason, refusal.subject, frames, seen.faces)),
            Show(Indication.REFUSED),
        ]
        if self._attempts.refused(now.monotonic):
            lockout = self._rules.lockout
            effects.append(Append(LockedOut(lockout.refusals, lockout.seconds)))
        return effects

    def _collision(self, template: Float32, household: str | None) -> SubjectId | None:
        ranking = self._judge.nearest(template)
        if ranking is None:
            return None
        near = self.threshold.cosine - self._rules.enrolment.collision
        close = [each for each in (ranking.best, ranking.rival) if each and each.score >= near]
        # A sibling is let in at the same door anyway: the double of somebody else is told first.
        others_first = sorted(
            (each.subject for each in close),
            key=lambda subject: (
                household is not None and self._roll.standing[subject].household == household
            ),
        )
        return others_first[0] if others_first else None

    def _hint(self, indication: Indication) -> list[Effect]:
        # While the door is open, that is what there is to say.
        return [Show(indication)] if self._door.deadline is None else []
