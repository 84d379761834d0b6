"""Faces turned and scaled so that eyes, nose and mouth lie where the embedder expects them."""

import numpy as np

from agent.core.types import AlignedFace, Float32, Pixels
from agent.vision.sampling import Similarity, sample

SIZE = 112

TEMPLATE = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ],
    np.float32,
)
"""Where the five points lie in 112x112, in pixels counted from pixel centres: ArcFace's template
(Deng et al., 2019), on which MobileFaceNet was trained."""

CONTINUOUS_TEMPLATE = TEMPLATE + np.float32(0.5)


def fit(source: Float32, target: Float32) -> Similarity:
    """Find the least-squares similarity (turn, scale, shift; no mirroring) between point sets.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns",
    IEEE TPAMI 13(4), 1991. In the plane, with points as complex numbers, the singular value
    decomposition of that paper comes down to one complex regression coefficient.

    Args:
        source: (N, 2).
        target: (N, 2), N >= 2.

    Returns:
        What takes source to target.

    Raises:
        ValueError: the source or the target points coincide, or a coordinate is not finite.
    """
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise ValueError("no similarity between points that are not finite")
    before, after = (points.astype(np.float64) @ (1, 1j) for points in (source, target))
    centre, goal = before.mean(), after.mean()
    before -= centre
    spread = float(np.vdot(before, before).real)
    turn = complex(np.vdot(before, after - goal)) / spread if spread > 0 else 0j
    if not abs(turn) > 0:
        raise ValueError("no similarity between points that coincide")
    return Similarity(turn, complex(goal - turn * centre))


def align(pixels: Pixels, five: Float32) -> AlignedFace:
    """Warp a face to the template.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        five: (5, 2) float32 px, continuous, in the order of TEMPLATE.

    Raises:
        ValueError: the points coincide or are not finite.
    """
    return AlignedFace(sample(pixels, fit(CONTINUOUS_TEMPLATE, five), SIZE))
