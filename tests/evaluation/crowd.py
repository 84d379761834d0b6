"""Made-up people whose true rates are known: unit vectors, spread evenly or about a centre."""

import numpy as np
from numpy.typing import NDArray

from agent.core.types import Float32

DIMENSIONS = 48


def strangers(
    people: int, photographs: int, seed: int, dimensions: int = DIMENSIONS
) -> list[Float32]:
    """People none of whose photographs has anything to do with another, of anybody."""
    random = np.random.default_rng(seed)
    return list(_unit(random.normal(size=(people, photographs, dimensions))))


def crowd(people: int, photographs: int, noise: float, seed: int) -> list[Float32]:
    """People whose photographs lie about a centre of their own."""
    random = np.random.default_rng(seed)
    centres = _unit(random.normal(size=(people, 1, DIMENSIONS)))
    spread = random.normal(size=(people, photographs, DIMENSIONS)) * noise / DIMENSIONS**0.5
    return list(_unit(centres + spread))


def true_fmr(cosine: float, dimensions: int = DIMENSIONS) -> float:
    """Share of a sphere's unit vectors within a cosine of a given one."""
    cosines = np.linspace(-1, 1, 400_001)
    density = (1 - cosines**2) ** ((dimensions - 3) / 2)
    return float(density[cosines >= cosine].sum() / density.sum())


def true_cosine(fmr: float, dimensions: int = DIMENSIONS) -> float:
    """The cosine of which true_fmr is this."""
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if true_fmr(middle, dimensions) > fmr else (low, middle)
    return low


def _unit(vectors: NDArray[np.float64]) -> Float32:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / lengths, np.float32)
