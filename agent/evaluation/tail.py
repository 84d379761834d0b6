"""The tail of the non-mated scores beyond what was seen. What comes of it is an estimate."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PLOTTING = 0.35
"""Of the plotting positions (i - 0.35) / n, which Hosking and Wallis found best."""
STRAIGHT = 1e-9
"""A shape nearer to zero than this is the exponential distribution."""


@dataclass(frozen=True, slots=True)
class Tail:
    """A generalised Pareto tail.

    start: score from which it holds. share: of all scores, those above start. scale, shape: a shape
    below 0 has an end, one of 0 is exponential, one above 0 falls as a power.
    """

    start: float
    share: float
    scale: float
    shape: float

    def above(self, score: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Give the share of all scores above one that is no less than start."""
        excess = (np.asarray(score, np.float64) - self.start) / self.scale
        if abs(self.shape) < STRAIGHT:
            return self.share * np.exp(-excess)
        return self.share * np.maximum(1 + self.shape * excess, 0.0) ** (-1 / self.shape)

    def score_at(self, share: float) -> float:
        """Give the score above which this share of all lies, no more than self.share."""
        ratio = share / self.share
        if abs(self.shape) < STRAIGHT:
            return float(self.start - self.scale * np.log(ratio))
        return float(self.start + self.scale / self.shape * (ratio**-self.shape - 1))


def fit_tail(
    start: float,
    share: float,
    excesses: NDArray[np.float64],
    weights: NDArray[np.float64] | None = None,
    shape: float | None = None,
) -> Tail:
    """Fit a tail by probability-weighted moments (Hosking and Wallis, Technometrics 29, 1987).

    Args:
        start: as in Tail.
        share: as in Tail.
        excesses: (K,) above start, rising, not all alike.
        weights: (K,) how often each counts; once where left out.
        shape: taken as known, so that only the scale is fitted.

    Raises:
        ValueError: there is nothing to fit.
    """
    counts = np.ones(len(excesses)) if weights is None else weights
    total = counts.sum()
    mean = float(counts @ excesses / total) if total > 0 else 0.0
    if not mean > 0:
        raise ValueError("no scores above the start of the tail")
    if shape is not None:
        return Tail(start, share, mean * (1 - shape), shape)
    below = (np.cumsum(counts) - PLOTTING * counts) / total
    moment = float(counts @ ((1 - below) * excesses) / total)
    spread = mean - 2 * moment
    if not spread > 0:
        raise ValueError("the scores above the start of the tail are all alike")
    return Tail(start, share, 2 * mean * moment / spread, 2 - mean / spread)
