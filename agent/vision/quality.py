"""How fit a face is for comparison, and which limit it fails.

The limits refuse what would fail comparison anyway, so that who stands at the door gets a hint in
place of a refusal; docs/adr/0003-face-detection.md tells how they were chosen.
"""

from typing import TYPE_CHECKING

import cv2
import numpy as np

from agent.core.types import AlignedFace, Float32, Quality, QualityIssue
from agent.vision.detect import LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS, Mesh

if TYPE_CHECKING:
    from agent.config import Quality as Limits

LEFT_CHEEK, RIGHT_CHEEK, FOREHEAD, CHIN = 234, 454, 10, 152
EYES = (
    (LEFT_EYE_CORNERS, ((159, 145), (158, 153))),
    (RIGHT_EYE_CORNERS, ((386, 374), (385, 380))),
)
"""Corners of each eye, and two pairs of points on its upper and lower lid."""

PROFILE = 50.0
"""Degrees that the mesh reports for a head in profile; it flattens large turns."""
LEVEL = -6.0
"""Degrees from chin to forehead, away from the camera, of a head held level: median of LFW."""

FACE = np.s_[16:108, 20:92]
"""The part of an aligned face with little but skin, eyes and mouth in it."""

CUT_OFF_SHARE = 0.04
"""Share of the face's own size that may lie beyond the frame: the mesh guesses that much anyway."""


def assess(mesh: Mesh, aligned: AlignedFace) -> Quality:
    """Measure a face. Values are not finite where the mesh has collapsed."""
    left, right = mesh.five[:2]
    luma = cv2.cvtColor(aligned.pixels, cv2.COLOR_RGB2GRAY)[FACE]
    points = mesh.points
    with np.errstate(invalid="ignore", divide="ignore"):
        return Quality(
            eye_distance=float(np.linalg.norm(right - left)),
            sharpness=float(cv2.Laplacian(luma, cv2.CV_32F).var()),
            exposure=float(luma.mean()),
            yaw=yaw_of(points),
            pitch=(_slant(points[CHIN], points[FOREHEAD]) - LEVEL) / PROFILE,
            eyes_open=eyes_open(points),
        )


def yaw_of(points: Float32) -> float:
    """Give the yaw of a mesh (468, 3), as in Quality; above 0 it looks to its own left."""
    return _slant(points[LEFT_CHEEK], points[RIGHT_CHEEK]) / PROFILE


def eyes_open(points: Float32) -> float:
    """Give the mean eye aspect ratio of a mesh (468, 3): height over width, about 0.1 when shut.

    After Soukupová and Čech, "Real-time eye blink detection using facial landmarks", 2016.
    """
    flat = points[:, :2]
    ratios = []
    for (outer, inner), lids in EYES:
        heights = [np.linalg.norm(flat[upper] - flat[lower]) for upper, lower in lids]
        ratios.append(np.mean(heights) / np.linalg.norm(flat[outer] - flat[inner]))
    return float(np.mean(ratios))


def is_cut_off(mesh: Mesh, height: int, width: int) -> bool:
    """Say whether part of a face lies outside a frame of this size in pixels."""
    low, high = mesh.points[:, :2].min(0), mesh.points[:, :2].max(0)
    slack = CUT_OFF_SHARE * (high - low)
    return not bool((low >= -slack).all() and (high <= np.array([width, height]) + slack).all())


def issue(quality: Quality, limits: "Limits") -> QualityIssue | None:
    """Name the first limit that a face fails, in the order in which hints help."""
    figures = (quality.yaw, quality.pitch, quality.sharpness, quality.exposure, quality.eyes_open)
    checks = (
        (QualityIssue.UNREADABLE, bool(np.isfinite(figures).all())),
        (QualityIssue.TOO_FAR, quality.eye_distance >= limits.min_eye_distance),
        (QualityIssue.TOO_DARK, quality.exposure >= limits.min_exposure),
        (QualityIssue.TOO_BRIGHT, quality.exposure <= limits.max_exposure),
        (QualityIssue.TURNED_AWAY, abs(quality.yaw) <= limits.max_yaw),
        (QualityIssue.TURNED_AWAY, abs(quality.pitch) <= limits.max_pitch),
        (QualityIssue.BLURRED, quality.sharpness >= limits.min_sharpness),
        (QualityIssue.EYES_CLOSED, quality.eyes_open >= limits.min_eyes_open),
    )
    return next((name for name, passed in checks if not passed), None)


def _slant(low: Float32, high: Float32) -> float:
    """Give the degrees by which the line from `low` to `high` (3,) leads away from the camera."""
    across = high[:2] - low[:2]
    return float(np.degrees(np.arctan2(high[2] - low[2], np.linalg.norm(across))))
