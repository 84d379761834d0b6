"""What keys that are pressed amount to: codes on a keypad, and the numbers of cards."""

import math
from collections.abc import Iterator

from agent.core.inputs import CardPresented, CodeEntered, Input, KeyPressed
from agent.ports import Digest

ENTER, ESCAPE = "\n", "\x1b"
CODE_DIGITS = range(4, 13)
"""How many digits a PIN or a visitor's code may have."""
CARD_CHARACTERS = range(4, 65)
"""How many letters and digits the number of a card may have."""
ENTRY_PAUSE = 10.0
"""Seconds after a key in which a person must have typed the next one."""
BURST_PAUSE = 0.5
"""Seconds after a character in which a card reader must have typed the next one."""
SAME_CARD = 2.0
"""Seconds in which the same card, read again, was only held for longer."""


class Typed:
    """What was typed so far, without a pause, in a buffer that is overwritten once it is done with.

    What is taken out of it for the digest is a copy that nobody can overwrite; it is short-lived.
    longest: how many characters are kept; what is longer is cut to one more, so that it is known
    to be too long. pause: seconds after a character in which the next one must come.
    """

    def __init__(self, longest: int, pause: float) -> None:
        # A buffer that grew would leave copies of itself behind.
        self._buffer = bytearray(longest + 1)
        self._length = 0
        self._pause = pause
        self._at = -math.inf
        self._broken = False

    def add(self, character: str, at: float) -> None:
        """Append one ASCII character. at: monotonic seconds."""
        self._at = at
        if self._length < len(self._buffer):
            self._buffer[self._length] = ord(character)
            self._length += 1

    def take(self) -> str:
        """Give what there is, nothing where some of it was lost, and begin anew."""
        with memoryview(self._buffer) as buffer:
            text = "" if self._broken else str(buffer[: self._length], "ascii")
        self.wipe()
        return text

    def wipe(self) -> None:
        """Overwrite it, and begin anew."""
        self._buffer[:] = bytes(len(self._buffer))
        self._length = 0
        self._broken = False

    def lose(self, at: float) -> None:
        """Take note that some characters were lost: what is left of them is not to be used."""
        self.wipe()
        self._at, self._broken = at, True

    def expire(self, at: float) -> None:
        """Overwrite it where the pause was too long."""
        if not at - self._at <= self._pause:
            self.wipe()


class Entry:
    """Makes the keys of a keypad codes: Enter or `#` ends one, `*`, Esc and Backspace clear it."""

    def __init__(self, digest: Digest) -> None:
        self._digest = digest
        self._typed = Typed(CODE_DIGITS[-1], ENTRY_PAUSE)

    def press(self, key: str, at: float) -> Iterator[Input]:
        """Give a KeyPressed, and a CodeEntered where an entry is over.

        One that is too long is digested as well: it is nobody's, and refused as any other is.
        """
        self.expire(at)
        yield KeyPressed()
        if key.isdigit():
            self._typed.add(key, at)
        elif key in {ENTER, "#"}:
            code = self._typed.take()
            if len(code) >= CODE_DIGITS[0]:
                yield CodeEntered(self._digest(code), at)
        elif key in {ESCAPE, "*"}:
            self._typed.wipe()

    def lose(self, at: float) -> None:
        """Drop the entry: what comes up to the next Enter is not all of it."""
        self._typed.lose(at)

    def expire(self, at: float) -> None:
        """Forget an entry that nobody went on with."""
        self._typed.expire(at)


class Burst:
    """Makes what a card reader types the numbers of cards: letters and digits up to Enter."""

    def __init__(self, digest: Digest) -> None:
        self._digest = digest
        self._typed = Typed(CARD_CHARACTERS[-1], BURST_PAUSE)
        self._last = b""
        self._last_at = -math.inf

    def press(self, key: str, at: float) -> Iterator[Input]:
        """Give a CardPresented where a number is over, unless the card was there just now."""
        self.expire(at)
        if key.isalnum():
            self._typed.add(key, at)
        elif key == ENTER:
            number = self._typed.take()
            if len(number) in CARD_CHARACTERS:
                yield from self._present(self._digest(number), at)

    def lose(self, at: float) -> None:
        """Drop the number: what comes up to the next Enter is not all of it."""
        self._typed.lose(at)

    def expire(self, at: float) -> None:
        """Forget a number that did not go on, and the last card."""
        self._typed.expire(at)
        if not at - self._last_at <= SAME_CARD:
            self._last = b""

    def _present(self, digest: bytes, at: float) -> Iterator[Input]:
        if digest != self._last:
            yield CardPresented(digest, at)
        self._last, self._last_at = digest, at
