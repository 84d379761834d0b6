"""What a frame shows at a glance: how bright it is, and whether something moved.

Cheap enough for every frame: the models are for those in which there may be somebody.
"""

from collections.abc import Sequence

import numpy as np

from agent.core.types import Float32, Frame

CELLS = 36, 64
"""Rows and columns of the means that are compared."""
DENSITY = 5
"""Values a side of which a cell's mean is made at the most: enough to average noise away."""
LUMA: Sequence[float] = (0.299, 0.587, 0.114)
LEAST = 6.0
"""Grey levels by which a cell changes at the least where something moved."""
ABOVE_NOISE = 6.0
"""The same, in medians of what all cells change by: sensors are noisy in the dark."""
MOVED = 0.004
"""Share of the cells that change where something moved: an adult's head at three metres."""


class Motion:
    """Compares each frame with the one before."""

    def __init__(self) -> None:
        self._before: Float32 | None = None

    def look(self, frame: Frame) -> tuple[float, bool]:
        """Give the frame's mean luma, 0 to 255, and whether something moved since the last."""
        cells = _cells(frame)
        before, self._before = self._before, cells
        return float(cells.mean()), before is not None and _moved(before, cells)


def _cells(frame: Frame) -> Float32:
    """Give the mean luma of each part of the picture, about CELLS of them."""
    picture = frame.pixels if frame.grey is None else frame.grey
    sizes = zip(picture.shape[:2], CELLS, strict=True)
    step = max(1, min(size // (count * DENSITY) for size, count in sizes))
    sparse = picture[::step, ::step].astype(np.float32)
    grey = sparse if sparse.ndim == 2 else sparse @ np.array(LUMA, np.float32)  # noqa: PLR2004
    high, wide = (max(1, size // count) for size, count in zip(grey.shape, CELLS, strict=True))
    rows, columns = grey.shape[0] // high, grey.shape[1] // wide
    cut = grey[: rows * high, : columns * wide]
    means: Float32 = cut.reshape(rows, high, columns, wide).mean(axis=(1, 3))
    return means


def _moved(before: Float32, now: Float32) -> bool:
    if before.shape != now.shape:
        return True
    # Exposure makes all brighter by one factor; what moves is the less part of the picture.
    gain = float(np.median((now + 1.0) / (before + 1.0)))
    change = np.abs(now + 1.0 - gain * (before + 1.0))
    limit = max(LEAST, ABOVE_NOISE * float(np.median(change)))
    return int(np.count_nonzero(change > limit)) > MOVED * change.size
