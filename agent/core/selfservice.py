"""What residents do for themselves at the door, with the one button: pause, resume, or leave.

Whoever holds the button and is known, by what opens the door at this hour, is shown nothing about
anybody. A short push then pauses the matching of the own face, or resumes it. To have everything
erased takes the button held, held once more, and to be known once more: nobody does it for somebody
who went away. Anything else changes nothing.
"""

from collections.abc import Callable

from agent.core.consent import Roll
from agent.core.effects import Append, Effect, Indication, Show, SuspendConsent
from agent.core.events import ConsentRenewed, ConsentSuspended, SelfServiceBegun
from agent.core.rules import patience
from agent.core.types import Method, Now, Subject, SubjectId, Suspension

ASKS = 15.0
"""Seconds within which whoever held the button must be known."""
WAITS = 20.0
"""Seconds between two things that a resident does."""


class SelfService:
    """At most one at a time. deadline: monotonic seconds at which it ends; None without one.

    may_pause: says whether a subject who is known by a method may have the own face paused.
    """

    def __init__(self, roll: Roll, may_pause: Callable[[Subject, Method], bool]) -> None:
        self._roll = roll
        self._may_pause = may_pause
        self._subject: Subject | None = None
        self._method = Method.FACE
        self._holds = 0
        self.deadline: float | None = None

    @property
    def asks(self) -> bool:
        """Whether it is to be told who is there."""
        confirming = self._holds > 1
        return self.deadline is not None and (self._subject is None or confirming)

    @property
    def serving(self) -> SubjectId | None:
        """Of whom it waits to be told what is wanted."""
        return None if self._subject is None or self.asks else self._subject.id

    def begin(self, now: float) -> list[Effect]:
        """Ask who is there. now: monotonic seconds."""
        self.deadline = now + ASKS
        return [Show(Indication.WHO_ARE_YOU)]

    def identified(self, subject: Subject, method: Method, now: Now) -> list[Effect]:
        """Take who is there, and by what they were known."""
        if self._subject is not None:
            return self._confirmed(subject)
        self._subject, self._method, self._holds = subject, method, 0
        self._extend(now)
        return [Append(SelfServiceBegun(subject.id, method)), Show(Indication.CHOOSE)]

    def pushed(self, now: Now) -> list[Effect]:
        """Take a short push: no to what is to be confirmed, or else pause or resume."""
        subject = self._subject
        if subject is None:
            return self.end()
        if self._holds:
            self._holds = 0
            self._extend(now)
            return [Show(Indication.CHOOSE)]
        self.end()
        # As it is by now: the store may have been loaded since.
        known = self._roll.find(subject.id)
        if known is not None and known.suspended is Suspension.PAUSED:
            resumed = Append(ConsentRenewed(known.id), SuspendConsent(known.id, None))
            return [resumed, Show(Indication.RESUMED)]
        matched = known is not None and known.id in self._roll.standing
        if known is None or not matched or not self._may_pause(known, self._method):
            return [Show(Indication.REFUSED)]
        reason = Suspension.PAUSED
        paused = Append(ConsentSuspended(known.id, reason), SuspendConsent(known.id, reason))
        return [paused, Show(Indication.PAUSED)]

    def held(self, now: Now) -> list[Effect]:
        """Take the button held: the wish to be erased, and the first confirmation of two."""
        if self.serving is None:
            return []
        self._extend(now)
        self._holds += 1
        return [Show(Indication.CONFIRM if self._holds == 1 else Indication.CONFIRM_AGAIN)]

    def tick(self, now: float) -> list[Effect]:
        """End what nobody goes on with. now: monotonic seconds."""
        return [] if self.deadline is None or now < self.deadline else self.end()

    def end(self) -> list[Effect]:
        """End it, if there is one."""
        if self.deadline is None:
            return []
        self.deadline = self._subject = None
        return [Show(Indication.IDLE)]

    def _confirmed(self, subject: Subject) -> list[Effect]:
        """Erase whoever is known for the second time, and nobody else."""
        meant = self._subject is not None and self._subject.id == subject.id
        ended = self.end()
        if not meant:
            return ended
        self._roll.expel(subject.id)
        return [Show(Indication.LEAVING)]

    def _extend(self, now: Now) -> None:
        self.deadline = now.monotonic + patience(WAITS, self._subject)
