"""Confidence intervals by the bootstrap over people.

Comparisons that share a person depend on each other, so people are drawn anew and not comparisons:
one of two people counts as often as both were drawn, multiplied. That is Owen's pigeonhole
bootstrap (Annals of Applied Statistics 1, 2007), whose variance is never too small for long.
"""

import numpy as np
from numpy.typing import NDArray

REPLICATES = 200
CONFIDENCE = 0.95

Weights = NDArray[np.float64]


def drawn(people: int, random: np.random.Generator) -> Weights:
    """Draw people with replacement, REPLICATES times: (REPLICATES, people), how often each was."""
    return random.multinomial(people, np.full(people, 1 / people), size=REPLICATES).astype(float)


def interval(values: NDArray[np.float64]) -> tuple[float, float] | None:
    """Give the two-sided interval of replicates (R,); None where one of them tells nothing."""
    if not np.isfinite(values).all():
        return None
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def upper(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the one-sided upper bound of replicates (R, ...), over the first axis."""
    return np.asarray(np.quantile(values, CONFIDENCE, axis=0))
