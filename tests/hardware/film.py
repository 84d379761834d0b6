"""Writes a film for a replayed camera: python -m tests.hardware.film FILE nobody|face|both.

Eight minutes of an empty hall, of a resident, or of one who stands there for ten seconds of
each minute.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from agent.core.types import Pixels

FPS = 4
MINUTES = 8
SIZE = (640, 480)
PERSON = Path(__file__).parents[2] / "agent/demonstration/photographs/biden.jpg"


def empty() -> Pixels:
    wide, high = SIZE
    slope = np.linspace(60, 150, wide, dtype=np.uint8)
    return np.ascontiguousarray(np.broadcast_to(slope[None, :, None], (high, wide, 3)))


def person(photograph: Pixels, sway: int) -> Pixels:
    """Somebody who does not quite stand still. sway: how far from upright, 0 to 11."""
    wide, high = SIZE
    scale = (1.0 - 0.02 * sway) * min(wide / photograph.shape[1], high / photograph.shape[0])
    smaller = cv2.resize(photograph, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    smaller = cv2.convertScaleAbs(smaller, alpha=1.0, beta=3.0 * sway)
    picture = empty()
    left = (wide - smaller.shape[1]) // 2 + 4 * sway
    picture[: smaller.shape[0], left : left + smaller.shape[1]] = smaller
    return picture


def film(file: Path, which: str) -> None:
    photograph = cv2.imread(str(PERSON))
    if photograph is None:
        raise FileNotFoundError(PERSON)
    swaying = [person(photograph.astype(np.uint8, copy=False), sway) for sway in range(12)]
    nobody = empty()
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), FPS, SIZE)
    for number in range(60 * FPS * MINUTES):
        there = which == "face" or (which == "both" and 30 <= number // FPS % 60 < 40)
        writer.write(swaying[number % 12] if there else nobody)
    writer.release()


if __name__ == "__main__":
    film(Path(sys.argv[1]), sys.argv[2])
