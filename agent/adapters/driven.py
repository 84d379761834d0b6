"""Which line the last agent drove, kept for whoever has to lock the door after it."""

import os
from pathlib import Path

import msgspec

from agent.adapters.files import open_for_owner
from agent.config import Gpio as Lines

NAME = "release.json"


class _Kept(msgspec.Struct, frozen=True):
    relay: int
    relay_active_high: bool


def keep(directory: Path, lines: Lines) -> None:
    """Keep the line and its polarity in the state folder. Raises OSError."""
    kept = msgspec.json.encode(_Kept(lines.relay, lines.relay_active_high))
    file = open_for_owner(directory / NAME, os.O_TRUNC)
    try:
        os.write(file, kept)
    finally:
        os.close(file)


def last(directory: Path) -> Lines | None:
    """Give them, with nothing else connected; None where no agent has driven any line yet."""
    try:
        kept = msgspec.json.decode((directory / NAME).read_bytes(), type=_Kept)
    except (OSError, ValueError):
        return None
    return Lines(
        relay=kept.relay,
        relay_active_high=kept.relay_active_high,
        enrol_button=None,
        led_red=None,
        led_green=None,
        led_blue=None,
        buzzer=None,
    )
