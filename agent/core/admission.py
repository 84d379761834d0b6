"""From who is known to be there to what opens the door: one factor, or two that go together."""

from dataclasses import dataclass
from enum import Enum, auto

from agent.core.access import accepts, modes
from agent.core.consent import Roll
from agent.core.door import Door
from agent.core.effects import Append, Change, Effect, Indication, Show
from agent.core.enroller import Enroller
from agent.core.events import Admitted, DuressSignalled, Event, Granted
from agent.core.policy import admissible
from agent.core.rules import Rules
from agent.core.types import Grant, Method, Now, Reason, Subject, SubjectId


class Factor(Enum):
    """What a subject is known by."""

    FACE = auto()
    PIN = auto()
    CARD = auto()


_ALONE = {Factor.FACE: Method.FACE, Factor.PIN: Method.PIN, Factor.CARD: Method.CARD}
_TOGETHER = {
    Factor.FACE: ((Factor.PIN, Method.FACE_AND_PIN),),
    Factor.CARD: ((Factor.PIN, Method.CARD_AND_PIN),),
    Factor.PIN: ((Factor.FACE, Method.FACE_AND_PIN), (Factor.CARD, Method.CARD_AND_PIN)),
}
MORE_TIME = 2.0
"""How much longer the door waits for those who need more time."""


@dataclass(frozen=True, slots=True)
class _Shown:
    subject: SubjectId
    until: float
    duress: bool


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

    def method(self, subject: Subject, factor: Factor, now: Now) -> Method | Reason | None:
        """Say by which method this factor, with what was shown before, lets a subject in.

        None where another factor must follow, for which the door waits now.
        """
        biometric = factor is Factor.FACE
        objection = admissible(subject, now, biometric=biometric)
        if objection is not None:
            return objection
        in_force = modes(self._rules.access, now)
        has_face = subject.id in self._roll.standing
        if accepts(in_force, _ALONE[factor], has_face=has_face):
            return _ALONE[factor]
        together = [
            (other, method)
            for other, method in _TOGETHER[factor]
            # A face that was shown before its consent fell does not count any more.
            if has_face or other is not Factor.FACE
            if accepts(in_force, method, has_face=has_face)
        ]
        for other, method in together:
            shown = self._shown.get(other)
            if shown and shown.subject == subject.id and now.monotonic < shown.until:
                return method
        return None if together else Reason.METHOD_NOT_ALLOWED

    def wait(self, subject: Subject, factor: Factor, now: Now, *, duress: bool) -> list[Effect]:
        """Remember a factor until the other is shown."""
        patience = self._rules.codes.second_factor_seconds
        if subject.accessible:
            patience *= MORE_TIME
        self._shown[factor] = _Shown(subject.id, now.monotonic + patience, duress)
        return [Show(Indication.SHOW_FACE if factor is Factor.PIN else Indication.ENTER_PIN)]

    def admit(
        self,
        subject: Subject,
        grant: Grant,
        event: Granted | Admitted,
        *,
        duress: bool = False,
        change: Change | None = None,
    ) -> list[Effect]:
        """Record, let in, and take note of it. change: to be committed with the event."""
        # Whoever typed the PIN of duress first may have shown the face last.
        duress = duress or any(
            shown.duress and shown.subject == subject.id and grant.at < shown.until
            for shown in self._shown.values()
        )
        self._shown.clear()
        # A grant that finds the door open releases nothing: the next may come once it has locked.
        locks_at = self._door.deadline
        rested_at = grant.at + self._rules.recognition.cooldown
        self._rests_until[subject.id] = rested_at if locks_at is None else locks_at
        if subject.administrator:
            self._enroller.administrator_granted(subject.id, grant.at)
        told: list[Event] = [DuressSignalled(subject.id)] if duress else []
        return [
            Append(event, change),
            *map(Append, told),
            *self._door.release(grant, accessible=subject.accessible),
            Show(Indication.GRANTED),
        ]
