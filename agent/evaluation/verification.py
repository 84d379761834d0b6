"""One photograph against one: accuracy, FMR and FNMR (ISO/IEC 19795-1)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agent.core.types import Float32
from agent.evaluation.nonmated import NonMated
from agent.evaluation.resampling import Weights
from agent.evaluation.tail import Tail

FMRS = (1e-3, 1e-4, 1e-5)
"""At which true accept rates are told."""
SLACK = 4
"""So many times an FMR of comparisons is looked at for its threshold in a draw of people."""
BEYOND = (1e-5, 1e-6, 1e-7, 1e-8, 1e-9)
"""For which the tail is asked for a threshold."""


@dataclass(frozen=True, slots=True, eq=False)
class Mated:
    """Comparisons of two photographs of one person. scores: (M,). person: (M,) whose they are."""

    scores: NDArray[np.float64] = field(repr=False)
    person: NDArray[np.intp] = field(repr=False)


def mated(people: Sequence[Float32]) -> Mated:
    """Compare every two photographs of each person; people: each one's unit vectors (K, D)."""
    scores = [
        (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)].astype(float) for vectors in people
    ]
    return Mated(
        np.concatenate(scores), np.repeat(np.arange(len(people)), [len(each) for each in scores])
    )


def told_rightly(
    scores: Float32, mated: NDArray[np.bool_], fold: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Say which pairs are told rightly, each fold by the threshold that is best for the others.

    The protocol of Labeled Faces in the Wild, View 2. scores, mated, fold: (P,).

    Raises:
        ValueError: there are fewer than two folds with pairs in them.
    """
    right = np.zeros(len(scores), dtype=bool)
    folds = np.unique(fold)
    if len(folds) < 2:  # noqa: PLR2004
        raise ValueError("accuracy takes two folds or more")
    for held_out in (fold == each for each in folds):
        order = np.argsort(scores[~held_out], kind="stable")
        ordered, kinds = scores[~held_out][order], mated[~held_out][order]
        # With the threshold at each score: mated ones from there on, non-mated ones before.
        before = np.concatenate([[0], np.cumsum(~kinds)])[:-1]
        after = kinds.sum() - np.concatenate([[0], np.cumsum(kinds)])[:-1]
        threshold = ordered[int(np.argmax(before + after))]
        right[held_out] = (scores[held_out] >= threshold) == mated[held_out]
    return right


def accept_rates(
    mated: Mated, non_mated: NonMated, fmr: float, weights: Weights
) -> NDArray[np.float64]:
    """Give the true accept rate at an FMR for each draw of people (R, N), threshold included."""
    order = np.argsort(mated.scores)
    scores, person = mated.scores[order], mated.person[order]
    rates = []
    resampled = non_mated.resampled(weights, SLACK * fmr)
    for drawn, (counts, total) in zip(weights, resampled, strict=True):
        last = min(int(np.searchsorted(counts, fmr * total, side="right")), len(counts) - 1)
        each = drawn[person]
        above = int(np.searchsorted(scores, non_mated.scores[last], side="right"))
        whole = each.sum()
        rates.append(each[above:].sum() / whole if whole > 0 else np.nan)
    return np.array(rates)


def accept_rate(mated: Mated, threshold: float) -> tuple[float, float]:
    """Give the share of mated scores above a threshold; and where each person counts the same."""
    accepted = mated.scores > threshold
    counts = np.bincount(mated.person)
    hits = np.bincount(mated.person, weights=accepted)
    return float(accepted.mean()), float((hits[counts > 0] / counts[counts > 0]).mean())


def thresholds_beyond(tails: Sequence[Tail], fmr: float) -> NDArray[np.float64]:
    """Give each tail's threshold for an FMR."""
    return np.array([tail.score_at(fmr) for tail in tails])


def det_curve(mated: Mated, non_mated: NonMated, points: int = 200) -> list[list[float]]:
    """Give threshold, FMR and FNMR at thresholds where one of the rates changes, rising."""
    levels = np.quantile(mated.scores, np.linspace(0, 1, points))
    seen = np.geomspace(1 / non_mated.count, len(non_mated.scores) / non_mated.count, points)
    levels = np.concatenate([levels, [non_mated.score_at(fmr) for fmr in seen]])
    levels = np.unique(levels[levels >= non_mated.scores[-1]])
    refused = np.searchsorted(np.sort(mated.scores), levels, side="left") / len(mated.scores)
    rates = non_mated.fmr(levels)
    return [
        [float(f"{value:.6g}") for value in row] for row in zip(levels, rates, refused, strict=True)
    ]
