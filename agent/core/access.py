"""What opens the door when: a face, a card or a PIN alone, or two of them together.

And how much is asked of a face before it counts.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from agent.core.pad import PadLevel
from agent.core.types import Method, Now, Span


class Mode(StrEnum):
    """What the door asks for.

    `face` asks a face of whoever gave one; who did not, or does not any more, uses a PIN or a card.
    `face+pin` asks for two: the PIN, and the face or a card.
    """

    ANY = "any"
    FACE = "face"
    FACE_AND_PIN = "face+pin"
    CARD = "card"
    PIN = "pin"


@dataclass(frozen=True, slots=True)
class Hours:
    """A mode for some of the week. pad: a level for it; None: that of all other hours."""

    spans: tuple[Span, ...]
    mode: Mode
    pad: PadLevel | None = None

    def cover(self, now: Now) -> bool:
        """Say whether it is time for them."""
        return any(span.start <= now.week_minute < span.end for span in self.spans)


@dataclass(frozen=True, slots=True)
class Access:
    """mode, pad: outside all hours. hours: the first that it is time for counts."""

    mode: Mode = Mode.ANY
    hours: tuple[Hours, ...] = ()
    pad: PadLevel = PadLevel.BASIC

    def at(self, now: Now) -> Hours | None:
        """Give the hours that it is time for, if any."""
        return next((hours for hours in self.hours if hours.cover(now)), None)

    @property
    def every_mode(self) -> frozenset[Mode]:
        """The modes that are in force at some hour."""
        return frozenset({self.mode, *(hours.mode for hours in self.hours)})

    @property
    def levels(self) -> list[PadLevel]:
        """The levels that are in force at some hour, the least first."""
        asked = {self.pad, *(hours.pad for hours in self.hours)}
        return [level for level in PadLevel if level in asked]

    @property
    def strictest(self) -> PadLevel:
        """The highest of them."""
        return self.levels[-1]


BY_FACE = frozenset({Method.FACE, Method.FACE_AND_PIN, Method.FACE_AND_CARD})
"""Methods in which a camera had a say."""
_CARDS = frozenset({Method.CARD, Method.CARD_AND_PIN, Method.FACE_AND_CARD})
_PINS = frozenset({Method.PIN, Method.FACE_AND_PIN, Method.CARD_AND_PIN})
_TWO = frozenset({Method.FACE_AND_PIN, Method.CARD_AND_PIN})


def modes(access: Access, now: Now) -> frozenset[Mode]:
    """Give the mode in force; where the clock is not set, all that may be: each must be met."""
    if not now.trusted:
        return access.every_mode
    hours = access.at(now)
    return frozenset({access.mode if hours is None else hours.mode})


def pad_level(access: Access, now: Now) -> PadLevel:
    """Give the level in force; where the clock is not set, the strictest of all."""
    if not now.trusted:
        return access.strictest
    hours = access.at(now)
    return access.pad if hours is None or hours.pad is None else hours.pad


def accepts(modes: Iterable[Mode], method: Method, *, has_face: bool) -> bool:
    """Say whether a method opens under all of these modes. has_face: the subject can show one."""
    return all(_accepts(mode, method, has_face=has_face) for mode in modes)


def _accepts(mode: Mode, method: Method, *, has_face: bool) -> bool:
    match mode:
        case Mode.ANY:
            return method in BY_FACE | _CARDS | _PINS
        case Mode.FACE:
            return method in (BY_FACE if has_face else _CARDS | _PINS)
        case Mode.FACE_AND_PIN:
            return method in _TWO
        case Mode.CARD:
            return method in _CARDS
        case Mode.PIN:  # pragma: no branch - there is no other mode
            return method in _PINS
