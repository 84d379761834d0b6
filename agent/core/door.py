"""The release: locked, or unlocked until a deadline that nothing moves."""

from agent.core.effects import Announce, Drop, Effect, Energise
from agent.core.types import Grant, LockState, Method


class Door:
    """Transitions: locked --grant--> unlocked --deadline, the leaf shut, or a fault--> locked.

    release_seconds, accessible_seconds: how long a grant unlocks, the latter for who needs more.
    """

    def __init__(self, release_seconds: float, accessible_seconds: float) -> None:
        self._seconds = {False: release_seconds, True: accessible_seconds}
        self._relocks = False
        self._released_at = float("-inf")
        self.deadline: float | None = None
        self.released_by: Method | None = None

    @property
    def state(self) -> LockState:
        """Whether the release holds the door."""
        return LockState.LOCKED if self.deadline is None else LockState.UNLOCKED

    def release(self, grant: Grant, *, accessible: bool = False) -> list[Effect]:
        """Unlock. A grant while unlocked neither lengthens nor repeats the pulse.

        accessible: for longer, and not over when the leaf falls shut: it may take a second try.
        """
        if self.deadline is not None:
            return []
        seconds = self._seconds[accessible]
        self._relocks = not accessible
        self._released_at = grant.at
        self.deadline = grant.at + seconds
        self.released_by = grant.method
        return [Energise(grant, seconds), Announce(LockState.UNLOCKED)]

    def leaf_closed(self, opened_at: float) -> list[Effect]:
        """Lock behind whoever came in. opened_at: of the leaf, monotonic seconds.

        A leaf that was open before the release has let in nobody yet.
        """
        if self.deadline is None or not (self._relocks and opened_at >= self._released_at):
            return []
        return self.lock()

    def tick(self, now: float) -> list[Effect]:
        """Lock once the deadline has come. now: monotonic seconds."""
        if self.deadline is None or now < self.deadline:
            return []
        return self.lock()

    def lock(self) -> list[Effect]:
        """Lock, whatever the state."""
        self.deadline = self.released_by = None
        return [Drop(), Announce(LockState.LOCKED)]
