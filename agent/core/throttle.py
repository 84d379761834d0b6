"""How many wrong codes and cards a door takes, and how long it takes none after that.

A row of wrong entries shuts the one reader, for longer each time, until one that may open the door.
Whoever has such a one could use it to end the row and go on guessing: so all wrong entries also add
up, whatever is between them, to a level that only time drains. Both survive restarts.
"""

from dataclasses import dataclass, replace

from agent.core.credentials import NO_ATTEMPTS, Attempts, Reader, Strikes

LONGEST_DOUBLING = 12
"""Doublings after which the shortest time that can be set exceeds the longest."""


@dataclass(frozen=True, slots=True)
class Codes:
    """PINs, cards and visitors' codes: how many wrong ones, and how long they wait for a second.

    See NIST SP 800-63B-4, which wants failed attempts limited.
    """

    attempts: int = 5
    """Wrong entries in a row on one reader that shut it, 1 to 10."""
    seconds: float = 60.0
    """How long it is shut then, 30 to 3600 s; each further wrong entry doubles that."""
    longest_seconds: float = 3600.0
    """How long it is shut at the most, 30 to 86400 s."""
    overall: int = 30
    """Wrong entries on all readers, right ones between them or not, that shut all, 1 to 1000."""
    drain_seconds: float = 300.0
    """Time after which one of those is forgotten, 1 to 86400 s."""
    second_factor_seconds: float = 15.0
    """How long a PIN waits for the face or card that it goes with, and these for it, 5 to 60 s."""

    def __post_init__(self) -> None:
        if not 1 <= self.attempts <= 10:  # noqa: PLR2004
            raise ValueError("attempts must be 1 to 10")
        if not 30 <= self.seconds <= 3600:  # noqa: PLR2004
            raise ValueError("seconds must be 30 to 3600")
        if not self.seconds <= self.longest_seconds <= 86_400:  # noqa: PLR2004
            raise ValueError("longest_seconds must be `seconds` to 86400")
        if not 1 <= self.overall <= 1000:  # noqa: PLR2004
            raise ValueError("overall must be 1 to 1000")
        if not 1 <= self.drain_seconds <= 86_400:  # noqa: PLR2004
            raise ValueError("drain_seconds must be 1 to 86400")
        if not 5 <= self.second_factor_seconds <= 60:  # noqa: PLR2004
            raise ValueError("second_factor_seconds must be 5 to 60")


class Throttle:
    """Counts wrong entries. attempts: those so far, to be kept whenever they change."""

    def __init__(self, rules: Codes) -> None:
        self._rules = rules
        self._loaded = False
        self.attempts: Attempts = NO_ATTEMPTS

    def load(self, kept: Attempts, now: float, *, of_this_boot: bool) -> None:
        """Take what was kept, once: from then on nobody knows better. now: monotonic seconds.

        of_this_boot: whether its times mean anything now; a reader that was shut when they did is
        shut for as long again, and nothing was drained meanwhile.
        """
        if self._loaded:
            return
        self._loaded = True
        self.attempts = kept
        if not of_this_boot:
            self.attempts = replace(
                kept,
                keypad=self._shut_again(kept.keypad, now),
                card_reader=self._shut_again(kept.card_reader, now),
                at=now,
            )

    def shut(self, reader: Reader, now: float) -> bool:
        """Say whether a reader takes nothing. now: monotonic seconds."""
        open_again = now >= self._strikes(reader).until
        return not (open_again and self._level(now) <= self._rules.overall - 1)

    def wrong(self, reader: Reader, now: float) -> tuple[Reader | None, float] | None:
        """Count a wrong entry; give which reader is shut by it, and for how many seconds.

        None for the reader: all are, until one is drained.
        """
        in_a_row = self._strikes(reader).in_a_row + 1
        seconds = self._seconds(in_a_row)
        until = now + seconds if seconds else float("-inf")
        level = self._level(now) + 1
        self._keep(reader, Strikes(in_a_row, until))
        self.attempts = replace(self.attempts, level=level, at=now)
        if level > self._rules.overall - 1:
            return None, (level - self._rules.overall + 1) * self._rules.drain_seconds
        return (reader, seconds) if seconds else None

    def right(self, reader: Reader) -> None:
        """End a row of wrong entries, with one that may open the door."""
        self._keep(reader, Strikes())

    def _seconds(self, in_a_row: int) -> float:
        beyond = in_a_row - self._rules.attempts
        if beyond < 0:
            return 0.0
        # Without a bound the power of a long row would be too large for a float.
        doublings = min(beyond, LONGEST_DOUBLING)
        return min(self._rules.seconds * 2.0**doublings, self._rules.longest_seconds)

    def _level(self, now: float) -> float:
        drained = (now - self.attempts.at) / self._rules.drain_seconds
        return max(self.attempts.level - drained, 0.0)

    def _shut_again(self, kept: Strikes, now: float) -> Strikes:
        seconds = self._seconds(kept.in_a_row)
        return replace(kept, until=now + seconds if seconds else float("-inf"))

    def _strikes(self, reader: Reader) -> Strikes:
        return self.attempts.keypad if reader is Reader.KEYPAD else self.attempts.card_reader

    def _keep(self, reader: Reader, strikes: Strikes) -> None:
        if reader is Reader.KEYPAD:
            self.attempts = replace(self.attempts, keypad=strikes)
        else:
            self.attempts = replace(self.attempts, card_reader=strikes)
