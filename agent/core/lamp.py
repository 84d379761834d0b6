"""The light at the door: on while somebody is there in the dark."""

from agent.core.effects import Effect, Light
from agent.core.inputs import Observed
from agent.core.types import QualityIssue

DARK = 40.0
"""Mean luma of a frame, 0 to 255, below which the scene is dark."""
BURNS = 20.0
"""Seconds for which the light stays on once nobody moves, shows a face or touches anything."""

DAZZLED = 1.0
"""Seconds after it was switched in which nothing moved but the light itself."""


class Lamp:
    """Decides when the light is on. deadline: monotonic seconds at which it goes off, if it is."""

    def __init__(self) -> None:
        self._dark = False
        self._switched_at = float("-inf")
        self.deadline: float | None = None

    def observed(self, seen: Observed, now: float) -> list[Effect]:
        """Take what a frame showed. now: monotonic seconds."""
        # With the light on no frame says how dark it is without.
        if self.deadline is None:
            self._dark = seen.luma < DARK or seen.nearest is QualityIssue.TOO_DARK
        moved = seen.moved and not now - self._switched_at < DAZZLED
        return self.touched(now) if moved or seen.faces else []

    def touched(self, now: float) -> list[Effect]:
        """Take note that somebody is there. now: monotonic seconds."""
        if not self._dark:
            return []
        was_off = self.deadline is None
        self.deadline = now + BURNS
        if not was_off:
            return []
        self._switched_at = now
        return [Light(on=True)]

    def tick(self, now: float) -> list[Effect]:
        """Switch off what has burned for long enough. now: monotonic seconds."""
        if self.deadline is None or now < self.deadline:
            return []
        self.deadline = None
        self._switched_at = now
        return [Light(on=False)]
