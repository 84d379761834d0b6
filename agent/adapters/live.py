"""Whether a live camera is well: it hangs, is frozen or is black, and is started again."""

import contextlib
import logging
from collections.abc import Generator, Iterator, Sequence
from typing import Protocol

import numpy as np

from agent.adapters.formats import PATIENCE
from agent.core.pad import Series
from agent.core.types import Frame, Pixels
from agent.errors import DeviceError
from agent.ports import Camera, Switch

SPARSE = 4
"""Each so manieth row and column is compared: noise is everywhere, and this is cheap."""
SAME = 1e-4
"""Share of values that may differ in two pictures of a sensor that is stuck. In daylight noise
changes every tenth at the least."""
BLACKEST = 16
"""Median of a picture that is black, at the most: video's own black, where it was not made 0."""
DARK = 30.0
"""Seconds for which pictures black and without noise are handed on, so that the door's light comes
on and shows whether that was all."""
PROBATION = 10.0
"""Seconds of good pictures that earn a camera another start before it counts as faulty."""

log = logging.getLogger(__name__)


class Source(Camera, Protocol):
    """What can be watched here: a camera that is opened by `frames` and closed with its end."""

    def frames(self) -> Generator[Frame, None, None]:
        """Yield frames until closed. Raises DeviceError."""
        ...


class LiveCamera(Camera):
    """Hands on the pictures of a camera that are new; implements ports.Camera.

    A sensor's noise makes each picture differ from the one before, in the dark most of all. What is
    the same to the bit is no evidence of anybody, and not handed on. Not for replays, which may
    well hold the same picture twice.
    """

    def __init__(self, camera: Source) -> None:
        self._camera = camera
        self._black_since: float | None = None

    def frames(self) -> Iterator[Frame]:
        """Yield new frames until closed; start the camera again, once, where it stops being well.

        Raises DeviceError where that did not help, and where it never was well.
        """
        while True:
            first = last = None
            try:
                with contextlib.closing(self._camera.frames()) as taken:
                    for frame in self._new(taken):
                        last = frame.captured_at
                        first = last if first is None else first
                        yield frame
            except DeviceError as error:
                if first is None or last is None or not last - first >= PROBATION:
                    raise
                log.warning("%s: it is started again", error)
            else:
                return

    def close(self) -> None:
        """End `frames`, from any thread; may be called again."""
        self._camera.close()

    def series(self, lit: Sequence[bool], switch: Switch, until: float) -> Series | None:
        """Have the camera take it: light that goes on and off shows that a sensor is not stuck."""
        return self._camera.series(lit, switch, until)

    def _new(self, taken: Iterator[Frame]) -> Iterator[Frame]:
        before: Pixels | None = None
        sound_at = float("-inf")
        for frame in taken:
            now = frame.captured_at
            sample = np.ascontiguousarray(frame.pixels[::SPARSE, ::SPARSE])
            if before is None:
                before, sound_at = sample, now
                continue
            changed = _differ(sample, before)
            before = sample
            # By most of it: a lamp that stands for itself in the dark does not make it light.
            black = not changed and float(np.median(sample)) <= BLACKEST
            if not black:
                self._black_since = None
            elif self._black_since is None:
                self._black_since = now
            dark = self._black_since is not None and now - self._black_since < DARK
            if changed:
                sound_at = now
                yield frame
            elif dark:
                sound_at = now
                # Only how dark it is: what stands still in it is nobody who is there.
                yield Frame(np.zeros_like(frame.pixels), now)
            elif not now - sound_at < PATIENCE:
                raise DeviceError(f"camera: {_ailment(black=black)}")


def _differ(one: Pixels, other: Pixels) -> bool:
    if one.shape != other.shape:
        return True
    return int(np.count_nonzero(one != other)) > SAME * one.size


def _ailment(*, black: bool) -> str:
    if black:
        return "its picture is black, without any noise: uncover the lens, then check its cable"
    return "its picture is frozen, without any noise: check its cable, then switch it off and on"
