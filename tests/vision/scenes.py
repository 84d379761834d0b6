"""Frames made of photographs: a face of chosen size and place before a made background."""

from __future__ import annotations

import cmath
import math
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

import agent.demonstration
from agent.vision.sampling import Similarity, sample

if TYPE_CHECKING:
    from agent.core.types import Float32, Pixels
    from agent.vision.detect import Detector, Landmarker, Mesh

PHOTOGRAPHS = Path(agent.demonstration.__file__).parent / "photographs"
MODELS = Path(__file__).parents[2] / "models"
HEIGHT, WIDTH = 720, 1280
PEOPLE = {
    "astronaut": "collins",
    "biden": "biden",
    "obama": "obama",
    "obama2": "obama",
    "obama3": "obama",
}
"""Photograph of the demonstration -> whom it shows."""
FEATHER = 0.12
"""Share of a photograph's sides over which it fades into the background."""


def read(path: Path) -> Pixels:
    """Read a picture as (H, W, 3) RGB."""
    picture = cv2.imread(str(path))
    assert picture is not None, f"{path} is missing or no picture"
    return np.ascontiguousarray(picture[..., ::-1])


def photograph(name: str) -> Pixels:
    """Read a photograph of the demonstration."""
    return read(PHOTOGRAPHS / f"{name}.jpg")


def central_mesh(pixels: Pixels, detector: Detector, landmarks: Landmarker) -> Mesh | None:
    """Fit the mesh to the face nearest to the middle, which a portrait is of."""
    middle = np.array(pixels.shape[1::-1]) / 2
    faces = detector.find(pixels)
    faces.sort(key=lambda face: float(np.linalg.norm(face.box[:2] + face.box[2:] / 2 - middle)))
    return next((mesh for face in faces if (mesh := landmarks.locate(pixels, face))), None)


def hall(random: np.random.Generator, height: int = HEIGHT, width: int = WIDTH) -> Pixels:
    """Make a background: blotches of every size, as walls, doors and coats have, and grain."""
    picture = np.full((height, width, 3), 110, np.float32)
    for cells in (3, 8, 25, 80):
        blotches = random.normal(0, 22, (max(cells * height // width, 2), cells, 3))
        picture += cv2.resize(blotches.astype(np.float32), (width, height))
    return np.clip(picture + random.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)


def place(frame: Pixels, picture: Pixels, view: Similarity) -> None:
    """Draw a picture into a frame, where `view` takes coordinates of the frame to the picture's."""
    height, width = picture.shape[:2]
    side = max(frame.shape[:2])
    drawn = sample(picture, view, side)[: frame.shape[0], : frame.shape[1]]
    x, y = np.arange(width), np.arange(height)[:, None]
    nearest_edge = np.minimum(np.minimum(x, width - 1 - x), np.minimum(y, height - 1 - y))
    opacity = np.clip(nearest_edge / (FEATHER * min(height, width)), 0, 1) * 255
    mask = np.repeat(opacity[..., None].astype(np.uint8), 3, axis=2)
    share = sample(mask, view, side)[: frame.shape[0], : frame.shape[1]] / 255
    frame[:] = (drawn * share + frame * (1 - share)).astype(np.uint8)


def portray(
    frame: Pixels, name: str, eyes: Float32, at: complex, apart: float, roll: float = 0
) -> None:
    """Draw a photograph of the demonstration into a frame.

    eyes: (2, 2) px, the photograph's. at: x + yj where the middle between them goes. apart: their
    distance in the frame, px. roll: degrees by which the head is turned anticlockwise.
    """
    left, right = (complex(*eye) for eye in eyes)
    turn = abs(right - left) / apart * cmath.rect(1, math.radians(roll))
    place(frame, photograph(name), Similarity(turn, (left + right) / 2 - turn * at))
