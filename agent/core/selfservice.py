"""What residents do for themselves at the door, with the one button: pause, resume, or leave.

Whoever holds the button and is known by face, PIN or card is shown nothing about anybody. A short
push then pauses the matching of the own face, or resumes it; to have everything erased takes the
button held, and held twice more to confirm. Anything else changes nothing.
"""

from agent.core.consent import Roll
from agent.core.effects import Append, Effect, Indication, Show, SuspendConsent
from agent.core.events import ConsentRenewed, ConsentSuspended, SelfServiceBegun
from agent.core.types import Method, Now, Subject, Suspension

ASKS = 15.0
"""Seconds within which whoever held the button must be known."""
WAITS = 20.0
"""Seconds between two things that a resident does."""
MORE_TIME = 2.0
"""How much longer it waits for those who need more time."""

_CONFIRMING = (Indication.CONFIRM, Indication.CONFIRM_AGAIN)


class SelfService:
    """At most one at a time. deadline: monotonic seconds at which it ends; None without one."""

    def __init__(self, roll: Roll) -> None:
        self._roll = roll
        self._subject: Subject | None = None
        self._holds = 0
        self.deadline: float | None = None

    @property
    def asks(self) -> bool:
        """Whether it is to be told who is there."""
        return self.deadline is not None and self._subject is None

    @property
    def serves(self) -> bool:
        """Whether it knows who is there, and waits for what is wanted."""
        return self._subject is not None

    def begin(self, now: float) -> list[Effect]:
        """Ask who is there. now: monotonic seconds."""
        self.deadline = now + ASKS
        return [Show(Indication.WHO_ARE_YOU)]

    def identified(self, subject: Subject, method: Method, now: Now) -> list[Effect]:
        """Take who is there, and by what they were known."""
        self._subject, self._holds = subject, 0
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
        if known is None or known.id not in self._roll.standing or not _has_other(known):
            return [Show(Indication.REFUSED)]
        reason = Suspension.PAUSED
        paused = Append(ConsentSuspended(known.id, reason), SuspendConsent(known.id, reason))
        return [paused, Show(Indication.PAUSED)]

    def held(self, now: Now) -> list[Effect]:
        """Take the button held: the wish to be erased, and twice the confirmation."""
        subject = self._subject
        if subject is None:
            return []
        if self._holds < len(_CONFIRMING):
            self._extend(now)
            self._holds += 1
            return [Show(_CONFIRMING[self._holds - 1])]
        self.end()
        if self._roll.knows(subject.id):
            self._roll.expel(subject.id)
        return [Show(Indication.LEAVING)]

    def tick(self, now: float) -> list[Effect]:
        """End what nobody goes on with. now: monotonic seconds."""
        return [] if self.deadline is None or now < self.deadline else self.end()

    def end(self) -> list[Effect]:
        """End it, if there is one."""
        if self.deadline is None:
            return []
        self.deadline = self._subject = None
        return [Show(Indication.IDLE)]

    def _extend(self, now: Now) -> None:
        slow = self._subject is not None and self._subject.accessible
        self.deadline = now.monotonic + WAITS * (MORE_TIME if slow else 1)


def _has_other(subject: Subject) -> bool:
    # Who paused the face and has nothing else could neither enter nor resume.
    return subject.credentials.pin is not None or bool(subject.credentials.cards)
