"""Open-set identification: whether the gallery's best score lets a stranger in, and a resident.

The people of a collection are split at random into strangers and residents, many times over. Every
transaction is a pool of photographs, none of which is in a template.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.core.matching import mean_template
from agent.core.types import Float32
from agent.evaluation.resampling import CONFIDENCE, Weights, interval
from agent.evaluation.tail import Tail, fit_tail

SIZES = (10, 50, 100, 500, 1000)
POOLS = (1, 3, 5)
FPIRS = (1e-2, 1e-3, 1e-4)
SPLITS = 10
STRANGERS = 0.4
"""Share of the people that a split makes strangers."""
TRANSACTIONS = 3
"""Of each person in one split, at the most: who was photographed often counts no more."""
TAIL = 0.1
"""Share of the strangers' scores that a tail is fitted to."""
BORNE = 5
"""False positives that must be expected among distinct comparisons, or a rate is an estimate."""


class Condition(NamedTuple):
    """How many subjects a gallery has, and photographs a template and a probe are pooled of."""

    size: int
    enrolment: int
    pool: int


@dataclass(frozen=True, slots=True, eq=False)
class Trials:
    """Transactions of all splits, under one condition.

    stranger_scores: (S,) best score of each stranger's transaction. strangers: (S,) who it was.
    scores: (M,) of each resident's with the own template. best_others: (M,) the best of the other
    templates. residents: (M,) who it was. full: share of the templates made of as many photographs
    as the condition asks for; the rest are of what there was. comparisons: how many pairs of a
    stranger and a resident there may be.
    """

    stranger_scores: NDArray[np.float64] = field(repr=False)
    strangers: NDArray[np.intp] = field(repr=False)
    scores: NDArray[np.float64] = field(repr=False)
    best_others: NDArray[np.float64] = field(repr=False)
    residents: NDArray[np.intp] = field(repr=False)
    full: float
    comparisons: int


class Rate(NamedTuple):
    """FNIR at an FPIR. threshold: cosine. estimated: whether a fitted tail gives the threshold."""

    fnir: float
    threshold: float
    estimated: bool
    interval: tuple[float, float] | None


def run_trials(
    people: Sequence[Float32],
    enrolment: int,
    pool: int,
    suspected: NDArray[np.bool_],
    sizes: Sequence[int] = SIZES,
) -> dict[int, Trials]:
    """Let strangers and residents try galleries of each size that the people suffice for.

    A gallery is first filled with those who have the most photographs. Each resident with more than
    `enrolment` + `pool` is in turn one of a gallery, with so many others.

    Args:
        people: each one's unit vectors (K, D).
        enrolment: photographs in a template.
        pool: photographs in a probe.
        suspected: (N, N) people who are not compared with each other.
        sizes: of the galleries, rising.
    """
    random = np.random.default_rng([enrolment, pool])
    room = len(people) - round(STRANGERS * len(people))
    fitting = [size for size in sizes if 1 <= size <= room]
    splits = [
        _split(people, enrolment, pool, suspected, fitting, random)
        for _ in range(SPLITS if fitting else 0)
    ]
    trials = {}
    for column, size in enumerate(fitting):
        strangers = np.concatenate([split.strangers for split in splits])
        residents = np.concatenate([split.residents for split in splits])
        if len(strangers) and len(residents):
            in_galleries = {n for split in splits for n in split.gallery[:size].tolist()}
            trials[size] = Trials(
                np.concatenate([split.stranger_scores[:, column] for split in splits]),
                strangers,
                np.concatenate([split.scores for split in splits]),
                np.concatenate([split.best_others[:, column] for split in splits]),
                residents,
                float(np.mean([split.full[:size].mean() for split in splits])),
                len(np.unique(strangers)) * len(in_galleries),
            )
    return trials


def fnir_at(trials: Trials, size: int, fpir: float, weights: Weights) -> Rate | None:
    """Give the FNIR at the threshold that lets this share of strangers in.

    Where too few distinct comparisons bear the threshold out, the tail of the strangers' scores
    gives it, an estimate. None where there are too few even for that.

    Args:
        trials: of galleries of this size.
        size: of the galleries.
        fpir: share of strangers' transactions that a gallery may answer with somebody.
        weights: (R, N) draws of people, for the interval.
    """
    order = np.argsort(-trials.stranger_scores, kind="stable")
    scores, strangers = trials.stranger_scores[order], trials.strangers[order]
    borne = fpir * min(len(scores), trials.comparisons / size) >= BORNE
    missed = trials.best_others >= trials.scores

    def rate(drawn: NDArray[np.float64]) -> tuple[float, float]:
        counts, each = drawn[strangers], drawn[trials.residents]
        if not (counts.sum() > 0 and each.sum() > 0):
            return float("nan"), float("nan")
        if borne:
            passed = np.searchsorted(np.cumsum(counts), fpir * counts.sum(), side="right")
            threshold = float(scores[min(int(passed), len(scores) - 1)])
        else:
            threshold = _tail(scores, counts).score_at(fpir)
        refused = missed | (trials.scores <= threshold)
        return float(each @ refused / each.sum()), threshold

    try:
        fnir, threshold = rate(np.ones(weights.shape[1]))
        replicates = np.array([rate(drawn)[0] for drawn in weights])
    except ValueError:
        return None
    bounds = interval(replicates)
    if bounds is not None and not fnir > 0:
        # Draws of people without a miss show none, however few they are: as if each had one try.
        people = len(np.unique(trials.residents))
        bounds = (0.0, 1 - ((1 - CONFIDENCE) / 2) ** (1 / people))
    return Rate(fnir, threshold, not borne, bounds)


def _tail(scores: NDArray[np.float64], counts: NDArray[np.float64]) -> Tail:
    reach = int(TAIL * len(scores))
    if not 1 < reach < len(scores):
        raise ValueError("too few strangers for the tail of their scores")
    start = float(scores[reach])
    share = float(counts[:reach].sum() / counts.sum())
    return fit_tail(start, share, (scores[:reach] - start)[::-1], counts[:reach][::-1])


class _Split(NamedTuple):
    """Transactions of one split; columns are sizes of the gallery, full is of the gallery."""

    stranger_scores: NDArray[np.float64]
    strangers: NDArray[np.intp]
    scores: NDArray[np.float64]
    best_others: NDArray[np.float64]
    residents: NDArray[np.intp]
    gallery: NDArray[np.intp]
    full: NDArray[np.bool_]


def _split(  # noqa: PLR0913 - what run_trials was given, taken apart
    people: Sequence[Float32],
    enrolment: int,
    pool: int,
    suspected: NDArray[np.bool_],
    sizes: Sequence[int],
    random: np.random.Generator,
) -> _Split:
    order = random.permutation(len(people))
    cut = round(STRANGERS * len(people))
    gallery = np.array(sorted(order[cut:], key=lambda n: len(people[n]) < enrolment), np.intp)
    mixed = {n: random.permutation(people[n]) for n in range(len(people))}
    templates = np.stack([mean_template(mixed[n][:enrolment]) for n in gallery.tolist()])

    who, probes = _pools(order[:cut].tolist(), mixed, 0, pool)
    scores = _scores(who, probes, gallery, templates, suspected)
    mine, own = _pools(gallery.tolist(), mixed, enrolment, pool)
    others = _scores(mine, own, gallery, templates, suspected)
    place = np.argsort(gallery)[np.searchsorted(np.sort(gallery), mine)]
    mated = (own * templates[place]).sum(1).astype(float)
    others[np.arange(len(mine)), place] = -np.inf
    # So many others as make a gallery with oneself, who may stand among the first or behind them.
    last = [np.where(place < size, others[:, size - 1], -np.inf) for size in sizes]
    best_others = [
        np.maximum(best, column)
        for best, column in zip(_best(others, [size - 1 for size in sizes]), last, strict=True)
    ]
    return _Split(
        np.stack(_best(scores, sizes), axis=1),
        who,
        mated,
        np.stack(best_others, axis=1),
        mine,
        gallery,
        np.array([len(people[n]) >= enrolment for n in gallery.tolist()]),
    )


def _pools(
    who: Sequence[int], mixed: dict[int, Float32], skipped: int, pool: int
) -> tuple[NDArray[np.intp], Float32]:
    owners, probes = [], []
    for n in who:
        for number in range(min((len(mixed[n]) - skipped) // pool, TRANSACTIONS)):
            start = skipped + number * pool
            owners.append(n)
            probes.append(mean_template(mixed[n][start : start + pool]))
    width = mixed[0].shape[1]
    stacked = np.stack(probes) if probes else np.empty((0, width), np.float32)
    return np.array(owners, np.intp), stacked


def _best(scores: NDArray[np.float64], sizes: Sequence[int]) -> list[NDArray[np.float64]]:
    """Give the best score of the first so many templates, for rising sizes."""
    best = np.full(len(scores), -np.inf)
    bests = []
    for start, size in pairwise([0, *sizes]):
        if size > start:
            best = np.maximum(best, scores[:, start:size].max(1))
        bests.append(best)
    return bests


def _scores(
    who: NDArray[np.intp],
    probes: Float32,
    gallery: NDArray[np.intp],
    templates: Float32,
    suspected: NDArray[np.bool_],
) -> NDArray[np.float64]:
    scores: NDArray[np.float64] = (probes @ templates.T).astype(np.float64)
    scores[suspected[np.ix_(who, gallery)]] = -np.inf
    return scores
