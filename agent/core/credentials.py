"""What opens the door beside a face, and in its place: PINs, cards, and the codes of visitors.

None is kept as it is typed or read: a digest is, of 32 bytes, made with a slow function outside the
core, and all comparisons take the same time.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

DIGEST_BYTES = 32
VisitorId = NewType("VisitorId", str)
"""A random pseudonym of one visit, never a name."""


class Reader(StrEnum):
    """Where a credential is presented."""

    KEYPAD = "keypad"
    CARD_READER = "card_reader"


@dataclass(frozen=True, slots=True)
class Credentials:
    """The digests of what one subject may use.

    duress_pin: opens like the other, and raises a silent alarm. cards: any number of them.
    """

    pin: bytes | None = field(default=None, repr=False)
    duress_pin: bytes | None = field(default=None, repr=False)
    cards: tuple[bytes, ...] = field(default=(), repr=False)

    @property
    def pins(self) -> list[bytes]:
        """The PINs there are, whatever they mean."""
        return [pin for pin in (self.pin, self.duress_pin) if pin is not None]


NO_CREDENTIALS = Credentials()


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who may enter once, by a code typed on the keypad.

    not_before, not_after: seconds since the Unix epoch.
    """

    id: VisitorId
    digest: bytes = field(repr=False)
    not_before: float
    not_after: float


@dataclass(frozen=True, slots=True)
class Strikes:
    """What is known of wrong entries on one reader.

    in_a_row: since the last right one. until: monotonic seconds up to which nothing is taken.
    """

    in_a_row: int = 0
    until: float = float("-inf")


@dataclass(frozen=True, slots=True)
class Attempts:
    """Wrong entries so far, kept across restarts (see `throttle`).

    level: of all readers together, drained with time. at: monotonic seconds at which it was that.
    """

    keypad: Strikes = Strikes()
    card_reader: Strikes = Strikes()
    level: float = 0.0
    at: float = 0.0


NO_ATTEMPTS = Attempts()
