"""Comparisons of different people: how they score, and how sure that is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agent.core.matching import mean_template
from agent.core.types import Float32
from agent.evaluation.resampling import Weights
from agent.evaluation.tail import Tail, fit_tail

SUSPECT = 0.70
"""Cosine from which two people of a collection are held to be one under two names, or twins.

Nearly all such pairs in Labeled Faces in the Wild are wrong labels. It decides on what is left out
of a second set of figures of an evaluation, never of the first, and of a calibration.
"""
KEPT = 0.05
"""Share of the scores that is kept, from the highest."""
TAIL = 0.003
"""Share of the scores that a tail is fitted to."""
BLOCK = 512


def suspects(people: Sequence[Float32]) -> NDArray[np.bool_]:
    """Say of which two people any two photographs score SUSPECT or more: (N, N), symmetrical.

    people: each one's unit vectors, (K, D).
    """
    owner = np.repeat(np.arange(len(people)), [len(vectors) for vectors in people])
    vectors = np.concatenate(people)
    found = np.zeros((len(people), len(people)), dtype=bool)
    for start in range(0, len(vectors), BLOCK):
        one, other = np.nonzero(vectors[start : start + BLOCK] @ vectors.T >= SUSPECT)
        found[owner[start + one], owner[other]] = True
    np.fill_diagonal(found, val=False)
    return found | found.T


def pooled(
    people: Sequence[Float32], photographs: int, random: np.random.Generator
) -> tuple[NDArray[np.intp], Float32]:
    """Give who has as many photographs, and for each the mean of so many picked at random."""
    who = [n for n, vectors in enumerate(people) if len(vectors) >= photographs]
    means = [mean_template(random.permutation(people[n])[:photographs]) for n in who]
    width = people[0].shape[1]
    return np.array(who, np.intp), np.stack(means) if means else np.empty((0, width), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class NonMated:
    """The highest scores of comparisons of different people.

    scores: (K,) falling. one, other: (K,) the two people of each. count: how many comparisons there
    were, kept or not. draws: how often each two people were compared, with other photographs.
    """

    scores: NDArray[np.float64] = field(repr=False)
    one: NDArray[np.intp] = field(repr=False)
    other: NDArray[np.intp] = field(repr=False)
    count: int
    draws: int
    probes: NDArray[np.intp] = field(repr=False)
    templates: NDArray[np.intp] = field(repr=False)

    def without(self, suspected: NDArray[np.bool_]) -> "NonMated":
        """Leave out pairs of people: (N, N) as of `suspects`."""
        keep = ~suspected[self.one, self.other]
        left_out = int(suspected[np.ix_(self.probes, self.templates)].sum()) * self.draws
        return NonMated(
            self.scores[keep],
            self.one[keep],
            self.other[keep],
            self.count - left_out,
            self.draws,
            self.probes,
            self.templates,
        )

    def score_at(self, fmr: float) -> float:
        """Give the score that this share of the comparisons exceeds."""
        return float(self.scores[min(int(fmr * self.count), len(self.scores) - 1)])

    def fmr(self, thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the share of comparisons that reach each threshold."""
        return np.searchsorted(-self.scores, -thresholds, side="right") / self.count

    def tail(self, shape: float | None = None) -> Tail:
        """Fit the tail from the highest TAIL of the scores. Raises ValueError where it cannot."""
        [tail] = self._tails(np.ones((1, self._people)), [shape])
        return tail

    def tails(self, weights: Weights, shapes: Sequence[float | None] | None = None) -> list[Tail]:
        """Likewise, for each draw of people (R, N), from one and the same score."""
        return list(self._tails(weights, shapes or [None] * len(weights)))

    def resampled(
        self, weights: Weights, share: float
    ) -> Iterator[tuple[NDArray[np.float64], float]]:
        """For each draw of people (R, N), sum the counts down to each of the highest scores.

        Gives the sums, for this share of the scores, and that of all comparisons.
        """
        reach = int(share * self.count) + 1
        one, other = self.one[:reach], self.other[:reach]
        totals = weights[:, self.probes].sum(1) * weights[:, self.templates].sum(1)
        both = np.intersect1d(self.probes, self.templates)
        totals -= (weights[:, both] ** 2).sum(1)
        for drawn, total in zip(weights, totals * self.draws, strict=True):
            yield np.cumsum(drawn[one] * drawn[other]), float(total)

    @property
    def _people(self) -> int:
        return int(max(self.probes.max(), self.templates.max())) + 1

    def _tails(self, weights: Weights, shapes: Sequence[float | None]) -> Iterator[Tail]:
        reach = int(TAIL * self.count)
        if not 1 < reach < len(self.scores):
            raise ValueError("too few comparisons for the tail of their scores")
        start = float(self.scores[reach])
        excesses = (self.scores[:reach] - start)[::-1]
        resampled = self.resampled(weights, TAIL)
        for drawn, shape, (counts, total) in zip(weights, shapes, resampled, strict=True):
            each = drawn[self.one[:reach]] * drawn[self.other[:reach]]
            yield fit_tail(start, counts[reach - 1] / total, excesses, each[::-1], shape)


def compared(
    people: Sequence[Float32],
    references: int,
    frames: int,
    draws: int,
    random: np.random.Generator,
) -> NonMated:
    """Compare everybody's probe with everybody else's template.

    Args:
        people: as in `suspects`.
        references: photographs pooled in a template, picked anew each draw.
        frames: likewise in a probe.
        draws: how often. With one photograph each and one draw, one photograph stands for a person
            on both sides.
        random: seeded.

    Raises:
        ValueError: fewer than two people have that many photographs.
    """
    scores, ones, others = [], [], []
    count = 0
    probes = templates = np.empty(0, np.intp)
    for _ in range(draws):
        probes, probe = pooled(people, frames, random)
        templates, template = probes, probe
        if (references, draws) != (frames, 1):
            templates, template = pooled(people, references, random)
        if min(len(probes), len(templates)) < 2:  # noqa: PLR2004
            raise ValueError(f"fewer than two people have {max(references, frames)} photographs")
        matrix = probe @ template.T
        different = probes[:, np.newaxis] != templates
        values = matrix[different]
        count += len(values)
        bound = np.partition(values, -_kept(len(values)))[-_kept(len(values))]
        one, other = np.nonzero(different & (matrix >= bound))
        scores.append(matrix[one, other])
        ones.append(probes[one])
        others.append(templates[other])
    flat = np.concatenate(scores).astype(np.float64)
    order = np.argsort(-flat, kind="stable")
    one, other = np.concatenate(ones)[order], np.concatenate(others)[order]
    return NonMated(flat[order], one, other, count, draws, probes, templates)


def _kept(count: int) -> int:
    return min(count, max(int(KEPT * count), 10_000))
