"""Faces in a frame, and the mesh of one of them.

The detector is BlazeFace (Bazarevsky et al., 2019), run over the whole frame; the mesh is the face
landmark model of Kartynnik et al. (2019), run on one face. Decoding follows MediaPipe's
calculators. docs/adr/0003-face-detection.md holds the measurements behind models and input sizes.
All coordinates are pixels of the frame, continuous: pixel 0 spans 0 to 1.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from agent.core.types import Float32, Pixels
from agent.vision.sampling import Similarity, sample, shrink

if TYPE_CHECKING:
    from agent.vision.models import Model

ANCHORS_PER_CELL = (2, 6)
KEY_POINTS = 6
MIN_OVERLAP = 0.3
"""Intersection over union from which two boxes are of one face, as in MediaPipe."""

MESH_SIZE = 192
MESH_POINTS = 468
MESH_MARGIN = 1.5
"""Side of what the landmark model sees, in sides of the detector's box, as it was trained."""
MIN_PRESENCE_LOGIT = 10.0
"""Faces have 14 and more, at any distance in view; a mesh that has slipped off one has less."""

LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS = (33, 133), (362, 263)
NOSE, LEFT_MOUTH_CORNER, RIGHT_MOUTH_CORNER = 1, 61, 291


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """A face as the detector sees it.

    box: (4,) float32 px, x, y, width, height, which may reach beyond the frame.
    eyes: (2, 2) float32 px, image-left and image-right, good to about a tenth of their distance.
    score: 0 to 1.
    """

    box: Float32
    eyes: Float32
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """The landmarks of one face. points: (468, 3) float32 px; z points away from the camera."""

    points: Float32

    @property
    def five(self) -> Float32:
        """(5, 2) float32 px: eyes, nose and mouth corners, image-left before image-right."""
        flat = self.points[:, :2]
        return np.stack(
            [
                flat[LEFT_EYE_CORNERS, :].mean(0),
                flat[RIGHT_EYE_CORNERS, :].mean(0),
                flat[NOSE],
                flat[LEFT_MOUTH_CORNER],
                flat[RIGHT_MOUTH_CORNER],
            ]
        )


@dataclass(frozen=True, slots=True)
class Layout:
    """A detector's input and anchors.

    width, height: of the input in pixels. strides: of its two layers in pixels of the input.
    min_score: of what counts as a face, 0 to 1.
    """

    width: int
    height: int
    strides: tuple[int, int]
    min_score: float

    def anchors(self) -> Float32:
        """(N, 2) centres in pixels of the input, in the order of the detector's outputs."""
        centres = []
        for stride, per_cell in zip(self.strides, ANCHORS_PER_CELL, strict=True):
            x = (np.arange(self.width // stride) + 0.5) * stride
            y = (np.arange(self.height // stride) + 0.5) * stride
            cells = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
            centres.append(np.repeat(cells, per_cell, axis=0))
        return np.concatenate(centres).astype(np.float32)


NEAR = Layout(160, 96, (8, 16), min_score=0.75)
"""Of the short-range model: three times as fast as FAR, and finds who stands within a metre. It
boxes smaller faces too, but badly and with low scores: those are left to FAR."""
FAR = Layout(224, 128, (16, 32), min_score=0.4)
"""Of the back-camera model, which sees two metres and more. The score is below the usual 0.5 since
the landmark model turns away what is no face."""


class Detector:
    """Finds every face that is large enough for it; how large that is, the ADR tells."""

    def __init__(self, model: "Model", layout: Layout) -> None:
        self._model = model
        self._layout = layout
        self._anchors = layout.anchors()
        self._min_logit = float(np.log(layout.min_score / (1 - layout.min_score)))

    def find(self, pixels: Pixels) -> list[Detection]:
        """Find faces in (H, W, 3) uint8 RGB of any size, the largest first."""
        (height, width), layout = pixels.shape[:2], self._layout
        fit = min(layout.width / width, layout.height / height)
        inner_width, inner_height = max(round(width * fit), 1), max(round(height * fit), 1)
        left, top = (layout.width - inner_width) // 2, (layout.height - inner_height) // 2
        tensor = np.full((1, layout.height, layout.width, 3), -1, np.float32)
        inner = tensor[0, top : top + inner_height, left : left + inner_width]
        np.multiply(shrink(pixels, inner_width, inner_height), np.float32(1 / 127.5), out=inner)
        inner -= 1
        raw, logits = self._model(tensor)
        logits = logits.reshape(-1)
        chosen = np.flatnonzero(logits > self._min_logit)
        if not len(chosen) > 0:
            return []
        scale = np.array([width / inner_width, height / inner_height], np.float32)
        shapes = raw.reshape(-1, KEY_POINTS + 2, 2)[chosen]
        sizes = shapes[:, 1] * scale
        origin = np.array([left, top], np.float32)
        points = (shapes + (self._anchors[chosen, None] - origin)) * scale
        scores = np.reciprocal(1 + np.exp(-logits[chosen]))
        faces = _merge(points[:, 0], sizes, points[:, 2:4], scores)
        return sorted(faces, key=lambda face: float(face.box[2:].prod()), reverse=True)


def _merge(centres: Float32, sizes: Float32, eyes: Float32, scores: Float32) -> list[Detection]:
    """Make one face of all boxes that overlap with a better one: non-maximum suppression.

    The mean weighted by score is steadier than the best box alone (Bazarevsky et al.).
    centres, sizes: (N, 2) px. eyes: (N, 2, 2) px. scores: (N,).
    """
    low, high = centres - sizes / 2, centres + sizes / 2
    areas = sizes.prod(1)
    found = []
    left = (sizes > 0).all(1)
    while left.any():
        best = int(np.argmax(np.where(left, scores, 0)))
        sides = np.minimum(high, high[best]) - np.maximum(low, low[best])
        shared = np.maximum(sides, 0).prod(1)
        same = left & (shared >= MIN_OVERLAP * (areas + areas[best] - shared))
        left &= ~same
        weights = scores[same] / scores[same].sum()
        extent = weights @ sizes[same]
        corner = weights @ centres[same] - extent / 2
        mean_eyes = np.tensordot(weights, eyes[same], axes=1)
        found.append(Detection(np.concatenate([corner, extent]), mean_eyes, float(scores[best])))
    return found


class Landmarker:
    """Finds the mesh of one detected face."""

    def __init__(self, model: "Model") -> None:
        self._model = model

    def locate(self, pixels: Pixels, face: Detection) -> Mesh | None:
        """Fit the mesh to a face in (H, W, 3) uint8 RGB; None where there is no face after all."""
        side = MESH_MARGIN * float(face.box[2:].max()) / MESH_SIZE
        left_eye, right_eye, corner, extent = (
            complex(x, y) for x, y in (*face.eyes, face.box[:2], face.box[2:])
        )
        across = right_eye - left_eye
        turn = side * across / abs(across) if across else complex(side)
        centre = corner + extent / 2
        view = Similarity(turn, centre - turn * complex(MESH_SIZE / 2, MESH_SIZE / 2))
        square = sample(pixels, view, MESH_SIZE)
        tensor = np.multiply(square, np.float32(1 / 255), dtype=np.float32)[None]
        raw, presence = self._model(tensor)
        if not float(presence.item()) > MIN_PRESENCE_LOGIT:
            return None
        points = raw.reshape(MESH_POINTS, 3)
        return Mesh(np.column_stack([view.apply(points[:, :2]), points[:, 2] * np.float32(side)]))
