"""Resampling without aliasing: every reduction beyond half goes through exact halvings first.

Averaging 2x2 pixels is the one area reduction that OpenCV has a fast path for; an area resize by
any other factor costs several times as much, and a plain bilinear one skips most pixels, which
turns fine texture into false detail. Coordinates are continuous: pixel 0 spans 0 to 1.
"""

from dataclasses import dataclass
from math import ceil, floor, frexp
from typing import cast

import cv2
import numpy as np

from agent.core.types import Float32, Pixels

# At the sizes in use OpenCV's threads cost more than they give, and the camera's thread and the
# deciding thread need the cores.
cv2.setNumThreads(1)

HALF_PIXEL = 0.5 + 0.5j


@dataclass(frozen=True, slots=True)
class Similarity:
    """Turn, scale and shift of the plane: z -> turn * z + shift, where z is x + iy."""

    turn: complex
    shift: complex

    def apply(self, points: Float32) -> Float32:
        """Move points (N, 2)."""
        x, y = self.turn.real, self.turn.imag
        matrix = np.array([[x, y], [-y, x]], np.float32)
        return points @ matrix + np.array([self.shift.real, self.shift.imag], np.float32)


def shrink(pixels: Pixels, width: int, height: int) -> Pixels:
    """Resize (H, W, 3) uint8 to (height, width, 3), skipping no more than every other pixel.

    A reduction of four and more takes every n-th pair of pixels, then averages 2x2 of those: a
    sixth of the time of a first halving, and the detector finds as many faces.
    """
    if pixels.shape[1] >= 2 * width and pixels.shape[0] >= 2 * height:
        pixels = _resize(pixels, 2 * width, 2 * height)
        return _halve(pixels)
    return _resize(pixels, width, height)


def sample(pixels: Pixels, similarity: Similarity, size: int) -> Pixels:
    """Cut a turned square out of a picture, black where it reaches beyond.

    Args:
        pixels: (H, W, 3) uint8.
        similarity: takes coordinates of the square to those of the picture.
        size: the square's side in its own pixels.

    Returns:
        (size, size, 3) uint8.
    """
    turn, shift = similarity.turn, similarity.shift
    scale = abs(turn)
    # frexp(scale)[1] - 1 is the whole part of its binary logarithm.
    halvings = frexp(scale)[1] - 1
    if halvings > 0:
        step = 2**halvings
        corners = [turn * corner + shift for corner in (0, size, size * 1j, size * (1 + 1j))]
        # A margin, so that the bilinear sampling below finds the neighbours it averages.
        left, right = _span([corner.real for corner in corners], step, pixels.shape[1])
        top, bottom = _span([corner.imag for corner in corners], step, pixels.shape[0])
        if not (left < right and top < bottom):
            return np.zeros((size, size, 3), np.uint8)
        pixels = pixels[top:bottom, left:right]
        for _ in range(halvings):
            pixels = _halve(pixels)
        turn, shift = turn / step, (shift - complex(left, top)) / step
    # OpenCV counts from the centres of pixels.
    shift += turn * HALF_PIXEL - HALF_PIXEL
    matrix = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cast("Pixels", cv2.warpAffine(pixels, matrix, (size, size), flags=flags))


def _span(coordinates: list[float], step: int, limit: int) -> tuple[int, int]:
    """Give the pixels, a multiple of `step` of them, that cover coordinates and a margin."""
    low = max(floor(min(coordinates)) - step, 0)
    high = min(ceil(max(coordinates)) + 2 * step, limit)
    return low, low + (high - low) // step * step


def _resize(pixels: Pixels, width: int, height: int) -> Pixels:
    return cast("Pixels", cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR))


def _halve(pixels: Pixels) -> Pixels:
    half = (max(pixels.shape[1] // 2, 1), max(pixels.shape[0] // 2, 1))
    return cast("Pixels", cv2.resize(pixels, half, interpolation=cv2.INTER_AREA))
