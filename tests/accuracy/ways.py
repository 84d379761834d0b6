"""Ways to pool the frames of a presentation: which frames to take, and how to score them."""

from collections.abc import Callable
from math import log
from typing import NamedTuple, TypeAlias

import numpy as np

from agent.core.types import Float32, Quality

NEAREST = 20
"""Of a cohort, how many count."""
WINDOW, FIRST = 5, 3
"""Frames pooled at most, and before a decision at least."""


class Shot(NamedTuple):
    """A good frame. vector: (D,) of unit norm."""

    vector: Float32
    quality: Quality


class Shown(NamedTuple):
    """The frames of an attempt, (n, D), and what each is worth, (n,)."""

    vectors: Float32
    worth: Float32


class Known(NamedTuple):
    """What a score may draw on: (N, D) templates, (M, D) of a cohort, and how scores lie."""

    templates: Float32
    cohort: Float32
    mated: tuple[float, float]
    non_mated: tuple[float, float]
    likeness: float


Score: TypeAlias = Callable[[Shown, Known], Float32]
"""Gives a score (N,) for every template."""
People: TypeAlias = dict[str, list[Shot]]


def unit(vectors: Float32) -> Float32:
    """Scale to unit norm along the last axis."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)


# --- ways to pool ---------------------------------------------------------------------------------


def mean(shown: Shown, known: Known) -> Float32:
    """Compare the mean embedding."""
    return known.templates @ unit(shown.vectors.mean(0))


def weighted(shown: Shown, known: Known) -> Float32:
    """Compare the mean embedding weighted by quality."""
    return known.templates @ unit(shown.worth @ shown.vectors)


def k_of_n(shown: Shown, known: Known) -> Float32:
    """Let three frames of five, or two of three, have passed on their own."""
    scores = np.sort(known.templates @ shown.vectors.T, axis=1)
    return np.asarray(scores[:, -(len(shown.vectors) // 2 + 1)])


def sequential(shown: Shown, known: Known) -> Float32:
    """Add up the log-likelihood ratios of the frames, as if they were independent (Wald 1945)."""
    scores = known.templates @ shown.vectors.T
    ratios = _density(scores, *known.mated) - _density(scores, *known.non_mated)
    return np.asarray(ratios.sum(1), np.float32)


def discounted(shown: Shown, known: Known) -> Float32:
    """Divide that by how much the frames repeat each other: n / (1 + (n - 1) rho) of them count."""
    count = len(shown.vectors)
    if count == 1:
        return sequential(shown, known)
    cosines = shown.vectors @ shown.vectors.T
    alike = (cosines.sum() - count) / (count * (count - 1))
    repeat = min(max((alike - known.likeness) / (1 - known.likeness), 0.0), 1.0)
    return np.asarray(sequential(shown, known) / (1 + (count - 1) * repeat), np.float32)


def normalised(shown: Shown, known: Known) -> Float32:
    """Take from the mean's score that with the nearest of a cohort."""
    pooled = unit(shown.vectors.mean(0))
    nearest = np.sort(known.cohort @ pooled)[-NEAREST:]
    return np.asarray(known.templates @ pooled - nearest.mean(), np.float32)


def both_normalised(shown: Shown, known: Known) -> Float32:
    """Do the same on the template's side too, in standard deviations (adaptive s-norm)."""
    pooled = unit(shown.vectors.mean(0))
    mine = np.sort(known.cohort @ pooled)[-NEAREST:]
    theirs = np.sort(known.templates @ known.cohort.T, axis=1)[:, -NEAREST:]
    scores = known.templates @ pooled
    sides = (scores - mine.mean()) / mine.std() + (scores - theirs.mean(1)) / theirs.std(1)
    return np.asarray(sides / 2, np.float32)


def _density(scores: Float32, centre: float, spread: float) -> Float32:
    return np.asarray(-0.5 * ((scores - centre) / spread) ** 2 - log(spread), np.float32)


SCORES: dict[str, Score] = {
    "mean embedding": mean,
    "mean weighted by quality": weighted,
    "k of n frames (2 of 3)": k_of_n,
    "sequential test": sequential,
    "mean, cohort on the probe's side": normalised,
    "mean, cohort on both sides": both_normalised,
}


# --- which frames to pool -------------------------------------------------------------------------


def newest(vectors: Float32) -> list[int]:
    """Give the newest frames."""
    return list(range(len(vectors)))[-WINDOW:]


def everything(vectors: Float32) -> list[int]:
    """Give all frames."""
    return list(range(len(vectors)))


def spaced(vectors: Float32) -> list[int]:
    """Give every third frame, counted from the newest."""
    return list(range(len(vectors)))[::-3][:WINDOW][::-1]


def most_different(vectors: Float32) -> list[int]:
    """Give what is left where, of the two frames most alike, the older one goes each time."""
    kept: list[int] = []
    for frame in range(len(vectors)):
        kept.append(frame)
        if len(kept) > WINDOW:
            cosines = np.triu(vectors[kept] @ vectors[kept].T, 1)
            kept.pop(int(np.unravel_index(np.argmax(cosines), cosines.shape)[0]))
    return kept


def some_new_some_different(vectors: Float32) -> list[int]:
    """Do the same among the newest ten, but never drop one of the newest three."""
    kept: list[int] = []
    for frame in range(len(vectors)):
        kept = [each for each in kept if each > frame - 2 * WINDOW]
        kept.append(frame)
        if len(kept) > WINDOW:
            cosines = vectors[kept] @ vectors[kept].T - 2 * np.eye(len(kept))
            kept.pop(int(np.argmax(cosines.max(1)[:-FIRST])))
    return kept


CHOICES: dict[str, tuple[Callable[[Float32], list[int]], Score]] = {
    "newest 5, mean": (newest, mean),
    "newest 5, mean weighted by quality": (newest, weighted),
    "newest 5, k of n (3 of 5)": (newest, k_of_n),
    "every third, mean": (spaced, mean),
    "5 most different, mean": (most_different, mean),
    "newest 3 and 2 most different, mean": (some_new_some_different, mean),
    "all, mean": (everything, mean),
    "all, sequential test": (everything, sequential),
    "all, sequential test, discounted": (everything, discounted),
}
