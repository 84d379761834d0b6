"""What the door shows, told once, and what it shows once nothing renews that."""

from agent.core.effects import Effect, Indication, Show

LINGER = 1.5
"""Seconds that an indication stays on once nothing renews it."""
IDENTIFYING = 10.0
"""Seconds for which the door makes itself known to somebody who looks for it."""


class Display:
    """Remembers what is shown. now: monotonic seconds."""

    def __init__(self) -> None:
        self._shown = Indication.IDLE
        self._shown_at = float("-inf")

    def rest(self, now: float, *, faulty: bool) -> list[Effect]:
        """Give what is to be shown where nothing else is. faulty: whether faces are not let in."""
        rest = Indication.FAULT if faulty else Indication.IDLE
        linger = IDENTIFYING if self._shown is Indication.IDENTIFY else LINGER
        over = self._shown is not rest and now - self._shown_at > linger
        return [Show(rest)] if over else []

    def is_news(self, effect: Effect, now: float) -> bool:
        """Say whether an effect is to be done: what is shown already is not shown again."""
        if not isinstance(effect, Show):
            return True
        if effect.indication is Indication.KEY:
            # A click beside whatever is shown.
            return True
        again = effect.indication is self._shown and effect.indication is not Indication.FRAME_TAKEN
        self._shown, self._shown_at = effect.indication, now
        return not again
