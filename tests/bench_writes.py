"""What the store has the card write, measured on a real file system in an image.

A card wears out by what is written to it, and a door is idle for most of its life.
"""

import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from agent.core.events import Event
from tests.contracts.images import (
    NoImageError,
    bytes_written,
    image_mounted,
    make_image,
    sync,
)
from tests.residents import DENIED, MODEL, NOW, enrol, granted, opened, vectors

REFERENCES = 5
POLLS_PER_SECOND = 100


class Writes(NamedTuple):
    """Bytes that reached the device. per_event: on average. idle: while nothing happened."""

    per_event: float
    idle: int


def device_bytes_per_event(
    events: int = 300, residents: int = 20, idle_seconds: float = 3.0
) -> tuple[Writes | None, str]:
    """Measure; where no image can be mounted give None and why.

    events: half of them grants, half denials, each in a commit of its own and acknowledged by a
    collector before the next.
    """
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder, "image")
        try:
            make_image(image)
            with image_mounted(image, Path(folder, "mounted")) as mounted:
                return _measure(mounted, events, residents, idle_seconds), ""
        except NoImageError as refused:
            return None, str(refused)


def _measure(mounted: Path, events: int, residents: int, idle_seconds: float) -> Writes:
    with opened(mounted / "doorward.db") as store:
        names = [
            enrol(store, f"resident-{number}", references=vectors(REFERENCES, number))
            for number in range(residents)
        ]
        store.load(MODEL)
        sync(mounted)
        before = bytes_written(mounted)
        for number in range(events):
            event: Event = granted(names[number // 2 % residents]) if number % 2 else DENIED
            store.move_cursor(store.append(event, NOW).seq)
        sync(mounted)
        busy = bytes_written(mounted) - before

        store.load(MODEL)
        sync(mounted)
        before = bytes_written(mounted)
        end = time.monotonic() + idle_seconds
        while time.monotonic() < end:
            store.changed()
            time.sleep(1 / POLLS_PER_SECOND)
        sync(mounted)
        return Writes(busy / events, bytes_written(mounted) - before)
