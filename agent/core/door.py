"""The release: locked, or unlocked until a deadline that nothing moves."""

from agent.core.effects import Announce, Drop, Effect, Energise
from agent.core.types import Grant, LockState, Method


class Door:
    """Transitions: locked --grant--> unlocked --deadline, or a fault--> locked."""

    def __init__(self, release_seconds: float) -> None:
        self._release_seconds = release_seconds
        self.deadline: float | None = None
        self.released_by: Method | None = None

    @property
    def state(self) -> LockState:
        """Whether the release holds the door."""
        return LockState.LOCKED if self.deadline is None else LockState.UNLOCKED

    def release(self, grant: Grant) -> list[Effect]:
        """Unlock. A grant while unlocked neither lengthens nor repeats the pulse."""
        if self.deadline is not None:
            return []
        self.deadline = grant.at + self._release_seconds
        self.released_by = grant.method
        return [Energise(grant, self._release_seconds), Announce(LockState.UNLOCKED)]

    def tick(self, now: float) -> list[Effect]:
        """Lock once the deadline has come. now: monotonic seconds."""
        if self.deadline is None or now < self.deadline:
            return []
        return self.lock()

    def lock(self) -> list[Effect]:
        """Lock, whatever the state."""
        self.deadline = self.released_by = None
        return [Drop(), Announce(LockState.LOCKED)]
