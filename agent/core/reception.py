"""What comes of who stands before the camera: a hint, a refusal, a grant, or an enrolee's frame."""

from dataclasses import dataclass, replace

from agent.core.access import pad_level
from agent.core.admission import Admission, Factor
from agent.core.consent import Roll
from agent.core.decision import LEAST_LATER, Judge, Presentation
from agent.core.door import Door
from agent.core.effects import Append, Effect, Indication, Show
from agent.core.enroller import HINTS, Enroller
from agent.core.events import AttackPresented, Denied, Granted, LockedOut
from agent.core.examination import CODE_FRAMES, MOVED, Claim, Examination, Finding
from agent.core.inputs import Observed
from agent.core.matching import Calibration, Threshold
from agent.core.pad import Examined, Liveness, PadLevel
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


@dataclass(frozen=True, slots=True)
class Unclear:
    """A face could not be told alive.

    hint: what to show whoever has nothing that goes with it. tried: whether it was examined.
    """

    hint: Indication
    tried: bool


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
        examination: Examination,
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
        self._examination = examination
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

    def review(self, now: float) -> None:
        """Compare with the gallery of the roll as it is now. now: monotonic seconds."""
        self._examination.keep(self._roll.standing, now)
        self._judge = Judge(self._rules.recognition, self._calibration, self._roll.gallery)

    def faulted(self, now: float) -> None:
        """Forget what was seen so far. now: monotonic seconds."""
        self._presentation.clear()
        self._examination.drop(now)

    def observe(self, seen: Observed, nearest: Probe | QualityIssue, now: Now) -> list[Effect]:
        """Take what a frame showed. nearest: of the face that decides."""
        if self._enroller.deadline is not None:
            self._presentation.clear()
            self._examination.drop(now.monotonic)
            return self._enroller.observe(nearest, seen.captured_at, now, self._collision)
        if not self._admission.looks_at_faces(now):
            self._presentation.clear()
            self._examination.drop(now.monotonic)
            return []
        if self._examination.deadline is not None:
            return self._conclude(self._examination.observed(seen, now.monotonic), now)
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
        frames = len(self._presentation)
        if isinstance(verdict, Refusal):
            return self._refuse(verdict, frames, seen.faces, now)
        return self._admit(Claim(verdict, frames, seen.faces, seen.captured_at), now)

    def break_off(self, now: float) -> None:
        """Examine nobody any more who came for something else. now: monotonic seconds."""
        self._examination.break_off(now)

    def admitted(self, subject: SubjectId | None, now: float) -> None:
        """Examine nobody any more who is let in. now: monotonic seconds."""
        self._examination.admitted(subject, now)

    @property
    def deadline(self) -> float | None:
        """Monotonic seconds at which an examination ends; None without one."""
        return self._examination.deadline

    def examined(self, examined: Examined, now: Now) -> list[Effect]:
        """Take what a series of frames showed."""
        return self._conclude(self._examination.answered(examined, now.monotonic), now)

    def tick(self, now: Now) -> list[Effect]:
        """Do without an answer that did not come in time."""
        return self._conclude(self._examination.tick(now.monotonic), now)

    def _conclude(self, found: Finding | list[Effect] | None, now: Now) -> list[Effect]:
        if not isinstance(found, Finding):
            return found or []
        if self._enroller.deadline is not None:
            return []
        claim, verdict = found.claim, found.verdict
        recognised = claim.match.subject
        # Whatever it showed before, this is what it is now.
        self._admission.withdraw_face(recognised)
        if verdict.liveness is Liveness.ATTACK:
            self._examination.failed(claim, verdict, now.monotonic)
            refused = self._refuse_claim(claim, Reason.PRESENTATION_ATTACK, now)
            return [Append(AttackPresented(verdict.cue, CODE_FRAMES)), *refused]
        alive = verdict.liveness is Liveness.BONA_FIDE
        # Of a face that could not be told there may be too little to compare.
        compared = [each for each in found.faces if alive or len(each) >= LEAST_LATER]
        if not all(self._judge.bears_out(recognised, faces) for faces in compared):
            # One face was shown to be recognised, and another one to be examined.
            swapped = replace(verdict, liveness=Liveness.ATTACK)
            self._examination.failed(claim, swapped, now.monotonic)
            return self._refuse_claim(claim, Reason.INCONSISTENT, now)
        if not alive:
            self._examination.failed(claim, verdict, now.monotonic)
            hint = Indication.LOOK_HERE if verdict.cue in MOVED else Indication.REFUSED
            return self._admit(claim, now, unclear=Unclear(hint, tried=True))
        self._examination.passed(claim)
        return self._admit(claim, now, examined=True)

    def _admit(
        self, claim: Claim, now: Now, *, examined: bool = False, unclear: Unclear | None = None
    ) -> list[Effect]:
        """Let in, or say why not, or what must come first.

        examined: whether the face is there in the flesh. unclear: that this could not be told: then
        it never does without a second factor.
        """
        # Who does not stand any more is not in the gallery, nor examined.
        subject = self._roll.standing[claim.match.subject]
        if self._service.serving == subject.id:
            # Nobody opens the door by standing there while choosing.
            self._presentation.clear()
            return []
        asked = self._service.asks
        if not asked and self._admission.rests(subject.id, now.monotonic):
            return []
        method = self._method(subject, now, unclear)
        if isinstance(method, Reason):
            hint = Indication.REFUSED
            if unclear is not None and method is Reason.NOT_TOLD_ALIVE:
                hint = unclear.hint
            return self._refuse_claim(claim, method, now, hint)
        level = pad_level(self._rules.access, now)
        if level is not PadLevel.BASIC and not examined and unclear is None:
            return self._examine(claim, subject, level, now)
        if method is None:
            self._presentation.clear()
            # What cannot be told must not be tried until it can.
            counted = self._count(now) if unclear is not None and unclear.tried else []
            waiting = self._admission.wait(subject, Factor.FACE, now, unclear=unclear is not None)
            return [*waiting, *counted]
        if asked:
            self._presentation.clear()
            self._admission.spend()
            return self._service.identified(subject, method, now)
        # Whoever comes to enter is not who was choosing.
        granted = self._grant(subject, method, claim, now, weak=unclear is not None)
        return [*self._service.end(), *granted]

    def _method(
        self, subject: Subject, now: Now, unclear: Unclear | None
    ) -> Method | Reason | None:
        """Say by which method a face is known now. unclear: as for _admit."""
        if unclear is None:
            known = self._admission.known_by if self._service.asks else self._admission.method
            return known(subject, Factor.FACE, now)
        # Where it is the face itself that is asked for, nothing stands in for it.
        if self._service.asks or not self._admission.takes_a_face_alone(now):
            return Reason.NOT_TOLD_ALIVE
        method = self._admission.method(subject, Factor.FACE, now, alone=False)
        if method is None and not (subject.credentials.pin or subject.credentials.cards):
            return Reason.NOT_TOLD_ALIVE
        return method

    def _examine(self, claim: Claim, subject: Subject, level: PadLevel, now: Now) -> list[Effect]:
        self._presentation.clear()
        backed = any(
            self._admission.waits(subject, each, now) for each in (Factor.PIN, Factor.CARD)
        )
        claim = replace(claim, backed=backed)
        known = self._admission.waits(subject, Factor.FACE, now)
        waits = self._examination.waits(claim, now.monotonic)
        if known and (waits or not self._examination.moved(subject.id)):
            # Nobody is lit again and again while looking for the keys.
            return [Show(Indication.ENTER_PIN)]
        if waits:
            return self._admit(claim, now, unclear=Unclear(Indication.REFUSED, tried=False))
        return self._examination.begin(claim, subject, level, now.monotonic)

    def _grant(
        self, subject: Subject, method: Method, claim: Claim, now: Now, *, weak: bool
    ) -> list[Effect]:
        match = claim.match
        grant = Grant(subject.id, method, match.score, now.monotonic)
        event = Granted(
            subject=subject.id,
            method=method,
            score=match.score,
            threshold=match.threshold,
            margin=match.margin,
            frames=claim.frames,
            faces=claim.faces,
            latency_ms=(now.monotonic - claim.captured_at) * 1000.0,
        )
        self.decided_in = event.latency_ms
        self._attempts.granted()
        self._presentation.clear()
        return self._admission.admit(subject, grant, event, weak=weak)

    def _refuse_claim(
        self,
        claim: Claim,
        reason: Reason,
        now: Now,
        hint: Indication = Indication.REFUSED,
    ) -> list[Effect]:
        refusal = Refusal(reason, claim.match.subject)
        return self._refuse(refusal, claim.frames, claim.faces, now, hint)

    def _refuse(
        self,
        refusal: Refusal,
        frames: int,
        faces: int,
        now: Now,
        hint: Indication = Indication.REFUSED,
    ) -> list[Effect]:
        self._presentation.clear()
        self._retry_at = now.monotonic + self._rules.recognition.retry_after
        denied = Denied(refusal.reason, refusal.subject, frames, faces)
        return [Append(denied), Show(hint), *self._count(now)]

    def _count(self, now: Now) -> list[Effect]:
        if not self._attempts.refused(now.monotonic):
            return []
        lockout = self._rules.lockout
        return [Append(LockedOut(lockout.refusals, lockout.seconds))]

    def _collision(self, template: Float32, household: str | None) -> SubjectId | None:
        ranking = self._judge.nearest(template)
        if ranking is None:
            return None
        near = self.threshold.cosine - self._rules.enrolment.collision
        close = (each for each in (ranking.best, ranking.rival) if each and each.score >= near)
        # A sibling is let in at the same door anyway: the double of somebody else is told first.
        return min(
            (each.subject for each in close),
            key=lambda subject: (
                household is not None and self._roll.standing[subject].household == household
            ),
            default=None,
        )

    def _hint(self, indication: Indication) -> list[Effect]:
        # While the door is open, that is what there is to say.
        return [Show(indication)] if self._door.deadline is None else []
