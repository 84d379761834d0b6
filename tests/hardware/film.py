"""Writes a film for a replayed camera: python -m tests.hardware.film FILE [face | empty].

A quarter of an hour of nobody, with a resident who stands there for ten seconds of each minute;
or only one of the two.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from agent.core.types import Pixels

FPS = 4
MINUTES = 15
SIZE = (640, 480)
PERSON = Path(__file__).parents[2] / "agent/demonstration/photographs/biden.jpg"


def empty() -> Pixels:
    wide, high = SIZE
    slope = np.linspace(60, 150, wide, dtype=np.uint8)
    return np.ascontiguousarray(np.broadcast_to(slope[None, :, None], (high, wide, 3)))


def person() -> Pixels:
    photograph = cv2.imread(str(PERSON))
    if photograph is None:
        raise FileNotFoundError(PERSON)
    wide, high = SIZE
    scale = min(wide / photograph.shape[1], high / photograph.shape[0])
    smaller = cv2.resize(photograph, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    picture = empty()
    left = (wide - smaller.shape[1]) // 2
    picture[: smaller.shape[0], left : left + smaller.shape[1]] = smaller
    return picture


def film(file: Path, which: str) -> None:
    nobody, somebody = empty(), person()
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), FPS, SIZE)
    for second in range(60 * MINUTES):
        there = which == "face" or (which == "both" and 30 <= second % 60 < 40)
        for _ in range(FPS):
            writer.write(somebody if there else nobody)
    writer.release()


if __name__ == "__main__":
    film(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "both")
