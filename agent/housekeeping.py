"""What is not needed any more goes: events that are too old, residents whom nobody has seen."""

from agent.config import Retention
from agent.core.effects import Erase
from agent.core.events import Erased, ErasureCause
from agent.core.types import Now
from agent.ports import Store

EVERY = 86_400.0
"""Seconds between two looks at what is too old: what goes leaves an event, which will go too."""
CURSOR_EVERY = 60.0
"""Seconds between two times that the cursor is written where no event takes it along."""
DAY = 86_400.0


class Housekeeping:
    """Prunes the store a little at a time, so that the deciding thread is never long away."""

    def __init__(self, store: Store, retention: Retention) -> None:
        self._store = store
        self._retention = retention
        self._due = float("-inf")
        self._cursor_due = float("-inf")

    def look(self, now: Now) -> None:
        """Take out the next batch of old events, or else one resident; nothing without a set clock.

        Raises StoreError.
        """
        if now.monotonic >= self._cursor_due:
            self._store.keep_cursor()
            self._cursor_due = now.monotonic + CURSOR_EVERY
        if not (now.trusted and now.monotonic >= self._due):
            return
        self._due = now.monotonic + EVERY
        days = self._retention.event_days
        if self._store.prune(now.wall - days * DAY, now) is not None or self._erase_unused(now):
            # There may be more.
            self._due = now.monotonic

    def _erase_unused(self, now: Now) -> bool:
        days = self._retention.unused_days
        unused = [] if days is None else self._store.unused_since(now.wall - days * DAY)
        for subject in unused[:1]:
            self._store.append(Erased(subject, ErasureCause.UNUSED), now, Erase(subject))
        return bool(unused)
