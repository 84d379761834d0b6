"""What the cameras have in common: pixels made RGB and upright, and the age of a frame."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.core.types import Pixels
from agent.errors import DeviceError

PATIENCE = 3.0
"""Seconds without a new picture after which a camera counts as hung.

Twice this, for it is started again once, is less than what the watchdog allows.
"""

CONVERSIONS: Mapping[str, int | None] = MappingProxyType(
    {
        # picamera2 names colours from the high byte of a word down: "BGR888" is R, G, B in memory.
        "BGR888": None,
        "RGB888": cv2.COLOR_BGR2RGB,
        "XBGR8888": cv2.COLOR_RGBA2RGB,
        "XRGB8888": cv2.COLOR_BGRA2RGB,
        "NV12": cv2.COLOR_YUV2RGB_NV12,
        "YUV420": cv2.COLOR_YUV2RGB_I420,
        "YUYV": cv2.COLOR_YUV2RGB_YUYV,
        "MJPEG": None,
    }
)
"""The formats that can be used, and how OpenCV makes them RGB; None where they are so already."""
TURNS: Mapping[int, int | None] = MappingProxyType(
    {
        0: None,
        90: cv2.ROTATE_90_CLOCKWISE,
        180: cv2.ROTATE_180,
        270: cv2.ROTATE_90_COUNTERCLOCKWISE,
    }
)
BLACK, WHITE = 16, 235
"""Luma of black and white in the limited range, which video has."""
FULL_RANGE: Pixels = np.clip(
    (np.arange(256) - BLACK) * 255.0 / (WHITE - BLACK) + 0.5, 0, 255
).astype(np.uint8)


def to_rgb(array: Pixels, name: str, size: tuple[int, int]) -> Pixels:
    """Make what picamera2 gives for a stream (H, W, 3) RGB.

    array: as from `make_array`, rows of YUV420 still padded. name: the format. size: width and
    height in pixels. Raises DeviceError for a format that cannot be used.
    """
    if name not in CONVERSIONS:
        usable = ", ".join(CONVERSIONS)
        raise DeviceError(f"camera: it gives {name} only: use one that gives one of {usable}")
    code = CONVERSIONS[name]
    width, height = size
    rgb = array if code is None else cv2.cvtColor(array, code)
    return np.ascontiguousarray(rgb[:height, :width], np.uint8)


def from_bgr(picture: NDArray[Any]) -> Pixels:
    """Make what OpenCV reads, (H, W, 3) in the order B, G, R, RGB."""
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def to_grey(array: Pixels, size: tuple[int, int]) -> Pixels:
    """Make the Y plane of YUV420, as from `make_array`, (H, W) of the full range 0 to 255."""
    width, height = size
    return cv2.LUT(np.ascontiguousarray(array[:height, :width]), FULL_RANGE).astype(
        np.uint8, copy=False
    )


def upright(pixels: Pixels, rotation: int) -> Pixels:
    """Turn what a camera sees that is mounted turned clockwise by `rotation` degrees.

    Not left to libcamera, whose cameras may say that they turned a picture that they did not.
    """
    turn = TURNS[rotation]
    return pixels if turn is None else cv2.rotate(pixels, turn).astype(np.uint8, copy=False)


def age_of(stamp: int | None, monotonic: float, boottime: float) -> float:
    """Give the age of a frame in seconds, 0 where it cannot be told.

    stamp: SensorTimestamp in nanoseconds. libcamera says that it counts by CLOCK_BOOTTIME, yet the
    drivers take CLOCK_MONOTONIC. They differ by the time that the machine was suspended only, so
    the wrong one is off by far, or else by less than the frame's age. monotonic, boottime: those
    clocks now, in seconds.
    """
    if stamp is None:
        return 0.0
    ages = (now - stamp / 1e9 for now in (monotonic, boottime))
    return min((age for age in ages if 0 <= age <= PATIENCE), default=0.0)


def open_silently(source: str, backend: int) -> cv2.VideoCapture:
    """Open what OpenCV reads, without the errors that it writes itself: ours say what there is."""
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        return cv2.VideoCapture(source, backend)
    finally:
        cv2.utils.logging.setLogLevel(level)
