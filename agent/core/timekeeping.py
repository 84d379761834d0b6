"""When the wall clock came to be set: what happened before bears a wrong time."""

from math import isfinite

from agent.core.effects import Append, Effect
from agent.core.events import ClockSet
from agent.core.types import Now


class Timekeeping:
    """Compares the wall clock with the monotonic one, from the start on until it is trusted."""

    def __init__(self) -> None:
        self._offset: float | None = None
        self._trusted = True

    def look(self, now: Now) -> list[Effect]:
        """Tell that the wall clock was not trusted at the last look, and is now."""
        was_trusted, self._trusted = self._trusted, now.trusted
        offset = now.wall - now.monotonic
        if not now.trusted:
            self._offset = offset
            return []
        by = 0.0 if was_trusted or self._offset is None else offset - self._offset
        return [] if was_trusted or not isfinite(by) else [Append(ClockSet(by))]
