"""The region of interest: what lies outside is neither looked at nor measured."""

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np

from agent.core.types import Frame, Pixels
from agent.ports import Camera

Region: TypeAlias = tuple[float, float, float, float]
"""x, y, width and height, as shares of the upright picture."""


class RegionCamera:
    """Gives a part of what another camera gives; implements ports.Camera."""

    def __init__(self, camera: Camera, region: Region) -> None:
        self._camera = camera
        self._region = region

    def frames(self) -> Iterator[Frame]:
        """Yield that part of each frame. Raises DeviceError."""
        for frame in self._camera.frames():
            grey = None if frame.grey is None else self._cut(frame.grey)
            yield Frame(self._cut(frame.pixels), frame.captured_at, grey)

    def close(self) -> None:
        """Close the other camera."""
        self._camera.close()

    def _cut(self, pixels: Pixels) -> Pixels:
        height, width = pixels.shape[:2]
        x, y, w, h = self._region
        rows = slice(int(y * height), max(int((y + h) * height), int(y * height) + 1))
        columns = slice(int(x * width), max(int((x + w) * width), int(x * width) + 1))
        return np.ascontiguousarray(pixels[rows, columns])
