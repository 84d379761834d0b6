"""The door leaf as its contact sees it: opened by force, or left open (UL 294)."""

from agent.core.effects import Append, Effect
from agent.core.events import ForcedOpen, HeldOpen

GRACE = 2.0
"""Seconds after locking in which an opening still counts as released: hands are slow."""


class Portal:
    """Watches the contact. held_open_seconds: how long the leaf may stand open.

    opened_at: monotonic seconds at which the leaf was opened; None while it is shut.
    """

    def __init__(self, held_open_seconds: float) -> None:
        self._held_open_seconds = held_open_seconds
        self.opened_at: float | None = None
        self._released_until = float("-inf")
        self.is_open: bool | None = None
        self.deadline: float | None = None

    def released(self, until: float) -> None:
        """Take note that the leaf may be opened. until: monotonic seconds."""
        self._released_until = max(self._released_until, until + GRACE)

    def locked(self, now: float) -> None:
        """Take note that the leaf may not be opened any more. now: monotonic seconds."""
        self._released_until = min(self._released_until, now + GRACE)

    def changed(self, now: float, *, is_open: bool) -> list[Effect]:
        """Take what the contact says. now: monotonic seconds."""
        before, self.is_open = self.is_open, is_open
        if not is_open:
            self.opened_at = self.deadline = None
            return []
        if before:
            return []
        self.opened_at = now
        self.deadline = now + self._held_open_seconds
        # An agent that starts at an open door does not know who opened it.
        forced = before is not None and not now <= self._released_until
        return [Append(ForcedOpen())] if forced else []

    def tick(self, now: float) -> list[Effect]:
        """Tell, once, that the leaf has stood open for too long. now: monotonic seconds."""
        if self.deadline is None or self.opened_at is None or now < self.deadline:
            return []
        self.deadline = None
        return [Append(HeldOpen(now - self.opened_at))]
