"""Rates of a program from the scores of its comparisons, with intervals.

A score is higher the more alike two faces are, and minus infinity where a face was not acquired.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FOLDS = 10
RATES = (1e-4, 1e-3, 1e-2)
ENOUGH = 10
"""Non-mated comparisons above a threshold without which it is not told."""
RESAMPLES = 1000
HIGHEST = 0.2
"""Share of many non-mated comparisons that is kept: no threshold lies below."""
QUANTILE = 1.96
"""Of the normal distribution: two-sided, 95 %."""

Scores = NDArray[np.float64]
People = NDArray[np.int64]


class Rate(NamedTuple):
    """A share, and its interval at 95 %."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Mated:
    """Comparisons of people with themselves. scores: (M,). people: (M,) whose each is."""

    scores: Scores
    people: People


@dataclass(frozen=True, slots=True, eq=False)
class Strangers:
    """Everybody compared with everybody else, by one photograph each.

    everybody: (N,). scores: (K,) the highest, falling. one, other: (K,) whom each compares.
    """

    everybody: People
    scores: Scores
    one: People
    other: People

    @property
    def comparisons(self) -> int:
        """How many were made."""
        return len(self.everybody) * (len(self.everybody) - 1) // 2

    def threshold(self, rate: float, weight: Scores) -> float:
        """Give the lowest score above which no more than this share of the comparisons lies.

        weight: (P,) how often each person counts; a pair counts as the product.
        """
        counted = weight[self.everybody]
        allowed = rate * (counted.sum() ** 2 - (counted**2).sum()) / 2
        passed = np.cumsum(weight[self.one] * weight[self.other])
        first = np.searchsorted(passed, allowed, side="right")
        return float(self.scores[min(first, len(self.scores) - 1)])


def score(one: NDArray[Any], other: NDArray[Any]) -> Scores:
    """Compare rows, (N, D) each, by what dlib's and unit vectors have in common: their distance."""
    return np.asarray(-np.linalg.norm(one - other, axis=1))


def strangers(vectors: NDArray[Any], people: People) -> Strangers:
    """Compare everybody with everybody else. vectors: (N, D). people: (N,) each once."""
    one, other = np.triu_indices(len(vectors), 1)
    squares = (vectors**2).sum(axis=1)
    apart = squares[:, None] + squares - 2 * vectors @ vectors.T
    scores = -np.sqrt(np.maximum(apart[one, other], 0))
    highest = np.argsort(-scores, kind="stable")[: max(int(HIGHEST * len(scores)), 10_000)]
    return Strangers(people, scores[highest], people[one[highest]], people[other[highest]])


def lowest_rate(people: int) -> float | None:
    """Give the lowest FMR that can be told by comparing so many people, or None."""
    comparisons = people * (people - 1) // 2
    return next((rate for rate in RATES if rate * comparisons >= ENOUGH), None)


def true_accept_rate(mated: Mated, others: Strangers, rate: float, people: int) -> Rate:
    """Give the share of mated comparisons above the threshold at a rate of false matches.

    The interval is of the bootstrap over people, who are drawn for both sides at once: a person's
    comparisons depend on each other.
    """

    def accepted(weight: Scores) -> float:
        passed = mated.scores > others.threshold(rate, weight)
        counted = weight[mated.people]
        return float((counted * passed).sum() / counted.sum())

    random = np.random.default_rng(0)
    drawn = random.multinomial(people, np.full(people, 1 / people), RESAMPLES).astype(np.float64)
    told = [accepted(weight) for weight in drawn if weight[mated.people].any()]
    low, high = np.percentile(told, [2.5, 97.5])
    return Rate(accepted(np.ones(people)), float(low), float(high))


def accuracy(scores: Scores, mated: NDArray[np.bool_]) -> tuple[float, float]:
    """Give the share of pairs told rightly, mean and standard error over folds.

    As Labeled Faces in the Wild asks for, but that the folds are tenths of this sample: each is
    judged by the threshold that is best for the others.
    """
    fold = np.empty(len(scores), int)
    for kind in (mated, ~mated):
        fold[kind] = np.arange(kind.sum()) * FOLDS // max(int(kind.sum()), 1)
    right = []
    for held_out in (fold == k for k in range(FOLDS)):
        seen = np.unique(scores[~held_out])
        thresholds = np.append(seen[:1], (seen[1:] + seen[:-1]) / 2)
        told = scores[~held_out] >= thresholds[:, None]
        best = thresholds[(told == mated[~held_out]).mean(axis=1).argmax()]
        right.append(((scores[held_out] >= best) == mated[held_out]).mean())
    return float(np.mean(right)), float(np.std(right, ddof=1) / FOLDS**0.5)


def share(count: int, number: int) -> Rate:
    """Give a share with its interval after Wilson, JASA 22, 1927."""
    part, spread = count / number, QUANTILE**2 / number
    centre = (part + spread / 2) / (1 + spread)
    half = (part * (1 - part) * spread + spread**2 / 4) ** 0.5 / (1 + spread)
    return Rate(part, max(centre - half, 0.0), centre + half)
