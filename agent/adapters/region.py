"""The region of interest: what lies outside is neither looked at nor measured."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from agent.core.pad import Series
from agent.core.types import Frame, Pixels
from agent.ports import Camera, Switch

Region: TypeAlias = tuple[float, float, float, float]
"""x, y, width and height, as shares of the upright picture."""


class RegionCamera(Camera):
    """Gives a part of what another camera gives; implements ports.Camera."""

    def __init__(self, camera: Camera, region: Region) -> None:
        self._camera = camera
        self._region = region

    def frames(self) -> Iterator[Frame]:
        """Yield that part of each frame. Raises DeviceError."""
        for frame in self._camera.frames():
            yield self._part(frame)

    def series(self, lit: Sequence[bool], switch: Switch, until: float) -> Series | None:
        """Give that part of each frame of a series. Raises DeviceError."""
        series = self._camera.series(lit, switch, until)
        if series is None:
            return None
        return replace(series, frames=tuple(map(self._part, series.frames)))

    def close(self) -> None:
        """Close the other camera."""
        self._camera.close()

    def _part(self, frame: Frame) -> Frame:
        grey = None if frame.grey is None else self._cut(frame.grey)
        return Frame(self._cut(frame.pixels), frame.captured_at, grey)

    def _cut(self, pixels: Pixels) -> Pixels:
        height, width = pixels.shape[:2]
        x, y, w, h = self._region
        rows = slice(int(y * height), max(int((y + h) * height), int(y * height) + 1))
        columns = slice(int(x * width), max(int((x + w) * width), int(x * width) + 1))
        return np.ascontiguousarray(pixels[rows, columns])
