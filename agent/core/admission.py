"""From who is known to be there to what opens the door: one factor, or two that go together."""

from dataclasses import dataclass, field
from enum import Enum, auto

from agent.core.access import BY_FACE, accepts, modes
from agent.core.consent import Roll
from agent.core.credentials import Credentials
from agent.core.door import Door
from agent.core.effects import Append, Change, Effect, Indication, Show
from agent.core.enroller import Enroller
from agent.core.events import Admitted, Granted
from agent.core.policy import admissible
from agent.core.rules import Rules, patience
from agent.core.types import Grant, Method, Now, Reason, Subject, SubjectId


class Factor(Enum):
    """What a subject is known by."""

    FACE = auto()
    PIN = auto()
    CARD = auto()


_ALONE = {Factor.FACE: Method.FACE, Factor.PIN: Method.PIN, Factor.CARD: Method.CARD}
_TOGETHER = {
    Factor.FACE: ((Factor.PIN, Method.FACE_AND_PIN), (Factor.CARD, Method.FACE_AND_CARD)),
    Factor.CARD: ((Factor.PIN, Method.CARD_AND_PIN), (Factor.FACE, Method.FACE_AND_CARD)),
    Factor.PIN: ((Factor.FACE, Method.FACE_AND_PIN), (Factor.CARD, Method.CARD_AND_PIN)),
}


STRONG = BY_FACE | {Method.CARD_AND_PIN}
"""What an administrator must have entered by to authorise an enrolment: no PIN that was watched,
and no card that was copied, is to become a face that stays."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """credentials: as they were then: a PIN that was changed since is none.

    unclear: whether it is a face that was not told to be alive.
    """

    subject: SubjectId
    credentials: Credentials = field(repr=False)
    until: float
    duress: bool
    unclear: bool


class Admission:
    """Decides by which method a subject may enter, and lets in.

    A factor that needs a second is remembered for a while; a second one of somebody else is not
    taken for it.
    """

    def __init__(self, rules: Rules, door: Door, roll: Roll, enroller: Enroller) -> None:
        self._rules = rules
        self._door = door
        self._roll = roll
        self._enroller = enroller
        self._shown: dict[Factor, _Shown] = {}
        self._rests_until: dict[SubjectId, float] = {}

    def forget(self) -> None:
        """Forget every factor that waits, and who was let in just now."""
        self._shown.clear()
        # Whoever was granted on what then failed was not let in, and need not wait to be.
        self._rests_until.clear()

    def deadline(self, now: float) -> float | None:
        """Give when the last factor that waits is forgotten, monotonic seconds; None without."""
        untils = (shown.until for shown in self._shown.values() if now < shown.until)
        return max(untils, default=None)

    def rests(self, subject: SubjectId, now: float) -> bool:
        """Say whether a subject was let in just now, and stands there still."""
        return not now >= self._rests_until.get(subject, float("-inf"))

    def leaf_closed(self) -> None:
        """Let in again at once whom the leaf fell shut on."""
        self._rests_until.clear()

    def looks_at_faces(self, now: Now) -> bool:
        """Say whether a face is worth anything now: else nobody is to be recognised for nothing."""
        if self.takes_a_face_alone(now):
            return True
        in_force = modes(self._rules.access, now)
        return any(
            accepts(in_force, together, has_face=True)
            and not accepts(in_force, _ALONE[other], has_face=True)
            for other, together in _TOGETHER[Factor.FACE]
        )

    def takes_a_face_alone(self, now: Now) -> bool:
        """Say whether a face opens without a second factor at this hour."""
        return accepts(modes(self._rules.access, now), Method.FACE, has_face=True)

    def method(
        self, subject: Subject, factor: Factor, now: Now, *, alone: bool = True
    ) -> Method | Reason | None:
        """Say by which method this factor, with what was shown before, lets a subject in.

        None where another factor must follow. alone: whether it may do without another at all.
        """
        objection = admissible(subject, now, biometric=factor is Factor.FACE)
        if objection is not None:
            return objection
        # Where a face is asked for beside the PIN, one that could not be told is none.
        return self._by(subject, factor, now, alone=alone, unclear=self.takes_a_face_alone(now))

    def known_by(self, subject: Subject, factor: Factor, now: Now) -> Method | Reason | None:
        """Say the same of somebody who may be known here, whether they may enter now or not."""
        return self._by(subject, factor, now, alone=True, unclear=False)

    def _by(
        self, subject: Subject, factor: Factor, now: Now, *, alone: bool, unclear: bool
    ) -> Method | Reason | None:
        """Say by which method. unclear: whether a face counts that was not told to be alive."""
        in_force, has_face = modes(self._rules.access, now), self._has_face(subject)
        if alone and accepts(in_force, _ALONE[factor], has_face=has_face):
            return _ALONE[factor]
        together = [
            (other, method)
            for other, method in _TOGETHER[factor]
            # A face that was shown before its consent fell does not count any more.
            if has_face or other is not Factor.FACE
            if accepts(in_force, method, has_face=has_face)
        ]
        for other, method in together:
            if self.waits(subject, other, now) and (unclear or not self._shown[other].unclear):
                return method
        return None if together else Reason.METHOD_NOT_ALLOWED

    def may_pause(self, subject: Subject, method: Method) -> bool:
        """Say whether whoever is known by this method may have the subject's face paused.

        Whose face is paused enters without it. So that must be possible at every hour, and what
        they are known by must be as much as any hour asks for: else a PIN alone would do away with
        the face that it takes beside it.
        """
        has_pin, has_card = subject.credentials.pin is not None, bool(subject.credentials.cards)
        having = {
            Method.PIN: has_pin,
            Method.CARD: has_card,
            Method.CARD_AND_PIN: has_pin and has_card,
        }
        every = self._rules.access.every_mode
        return accepts(every, method, has_face=True) and all(
            any(accepts([mode], each, has_face=False) for each in having if having[each])
            for mode in every
        )

    def waits(self, subject: Subject, factor: Factor, now: Now) -> bool:
        """Say whether a subject has shown a factor that waits for another."""
        shown = self._shown.get(factor)
        return shown is not None and self._counts(shown, subject, now)

    def withdraw_face(self, subject: SubjectId) -> None:
        """Forget that a subject's face was shown: it was none, or is shown better now."""
        shown = self._shown.get(Factor.FACE)
        if shown is not None and shown.subject == subject:
            del self._shown[Factor.FACE]

    def forget_unclear(self) -> None:
        """Forget a face that was not told to be alive: it does not say who is there."""
        self._shown = {each: shown for each, shown in self._shown.items() if not shown.unclear}

    def spend(self) -> None:
        """Take what was shown as used: nobody is known twice by it."""
        self._shown.clear()

    def wait(
        self,
        subject: Subject,
        factor: Factor,
        now: Now,
        *,
        duress: bool = False,
        unclear: bool = False,
    ) -> list[Effect]:
        """Remember a factor until the other is shown. unclear: a face not told to be alive."""
        until = now.monotonic + patience(self._rules.codes.second_factor_seconds, subject)
        self._shown[factor] = _Shown(subject.id, subject.credentials, until, duress, unclear)
        in_force, has_face = modes(self._rules.access, now), self._has_face(subject)
        pin_goes_with_card = accepts(in_force, Method.CARD_AND_PIN, has_face=has_face)
        shows = factor is Factor.PIN or (factor is Factor.CARD and not pin_goes_with_card)
        return [Show(Indication.SHOW_FACE if shows else Indication.ENTER_PIN)]

    def admit(
        self,
        subject: Subject,
        grant: Grant,
        event: Granted | Admitted,
        *,
        change: Change | None = None,
        weak: bool = False,
    ) -> list[Effect]:
        """Record, let in, and take note of it. change: to be committed with the event.

        weak: whether it is under duress, or by a face that was not told to be alive, which adds
        nothing to the PIN: neither authorises an enrolment.
        """
        shown = [each for each in self._shown.values() if each.subject == subject.id]
        weak = weak or any(each.duress or each.unclear for each in shown)
        self.spend()
        # A grant that finds the door open releases nothing: the next may come once it has locked.
        locks_at = self._door.deadline
        rested_at = grant.at + self._rules.recognition.cooldown
        self._rests_until[subject.id] = rested_at if locks_at is None else locks_at
        if subject.administrator and grant.method in STRONG and not weak:
            self._enroller.administrator_granted(subject.id, grant.at)
        return [
            Append(event, change),
            *self._door.release(grant, accessible=subject.accessible),
            Show(Indication.GRANTED),
        ]

    def _has_face(self, subject: Subject) -> bool:
        return subject.id in self._roll.gallery.subjects

    def _counts(self, shown: _Shown, subject: Subject, now: Now) -> bool:
        same = (shown.subject, shown.credentials) == (subject.id, subject.credentials)
        return same and now.monotonic < shown.until
