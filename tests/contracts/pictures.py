"""Pictures and videos of known colours."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from agent.core.types import Pixels

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def plain(colour: tuple[int, int, int], width: int = 64, height: int = 48) -> Pixels:
    """One colour, RGB."""
    return np.full((height, width, 3), colour, np.uint8)


QUADRANTS: Pixels = np.vstack(
    [np.hstack([plain(RED), plain(GREEN)]), np.hstack([plain(BLUE), plain(WHITE)])]
)
"""Red, green, and below blue, white."""


def corners(pixels: Pixels) -> list[tuple[int, ...]]:
    """The colours a quarter in from the corners: top left and right, bottom left and right."""
    height, width = pixels.shape[:2]
    places = [(y, x) for y in (height // 4, height * 3 // 4) for x in (width // 4, width * 3 // 4)]
    return [tuple(int(value) for value in pixels[place]) for place in places]


def write_picture(file: Path, rgb: Pixels) -> None:
    """Write RGB to a file of the kind that its name says."""
    file.parent.mkdir(exist_ok=True)
    assert cv2.imwrite(str(file), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))


def write_video(file: Path, pictures: Sequence[Pixels], rate: float, codec: str = "MJPG") -> None:
    """Write RGB pictures of one size."""
    height, width = pictures[0].shape[:2]
    fourcc = cv2.VideoWriter.fourcc(*codec)
    writer = cv2.VideoWriter(str(file), cv2.CAP_FFMPEG, fourcc, rate, (width, height))
    assert writer.isOpened()
    for picture in pictures:
        writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    writer.release()
