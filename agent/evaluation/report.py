"""All figures of one collection, for programs; agent/evaluation/words.py says them in words."""

from collections.abc import Callable, Iterable, Sequence
from itertools import product
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent import __version__
from agent.core.types import Float32
from agent.evaluation.collection import NO_FACE, SHOWN, UNREADABLE, Collection
from agent.evaluation.identification import (
    FPIRS,
    POOLS,
    SIZES,
    SPLITS,
    Rate,
    Trials,
    fnir_at,
    run_trials,
)
from agent.evaluation.nonmated import NonMated, compared, suspects
from agent.evaluation.pairs import Pairs
from agent.evaluation.resampling import CONFIDENCE, REPLICATES, Weights, drawn, interval
from agent.evaluation.verification import (
    BEYOND,
    FMRS,
    Mated,
    accept_rate,
    accept_rates,
    det_curve,
    mated,
    thresholds_beyond,
    told_rightly,
)
from agent.vision.models import RUNTIME

SEED = 6
BINS = 100
Report = dict[str, Any]


def evaluated(collection: Collection, pairs: Pairs) -> Report:
    """Measure each embedder; docs/evaluation.md lists the keys."""
    first, *others = collection.vectors
    people = collection.by_person(first)
    suspected = suspects(people)
    names = list(collection.rows)
    notes = [*failures(collection), *_unpaired(pairs)]
    report: Report = {
        "version": __version__,
        "runtime": RUNTIME,
        "confidence": CONFIDENCE,
        "replicates": REPLICATES,
        "splits": SPLITS,
        "files": collection.files,
        "photographs": collection.photographs,
        "people": len(names),
        "usable": len(collection.names),
        "frames_failed": {reason: len(files) for reason, files in collection.failed.items()},
        "failure_to_acquire": {str(k): _number(collection.failure_to_acquire(k)) for k in POOLS},
        "many_faces": len(collection.many),
        "pairs": {
            "folds": pairs.folds,
            "compared": len(pairs.mated),
            "mated": int(pairs.mated.sum()),
            "malformed": len(pairs.malformed),
            "missing": len(pairs.missing),
            "without_probe": pairs.without_probe,
        },
        "suspects": [[names[one], names[other]] for one, other in np.argwhere(np.triu(suspected))],
    }
    report |= _measured(collection, first, pairs, suspected, notes)
    report["others"] = [
        _measured(collection, name, pairs, suspected, [])
        | {"cosine": _agreement(collection.vectors[first], collection.vectors[name])}
        for name in others
    ]
    return report | {"notes": notes}


def _measured(
    collection: Collection,
    embedder: str,
    pairs: Pairs,
    suspected: NDArray[np.bool_],
    notes: list[str],
) -> Report:
    """Measure one embedder, with all pairs of people and without the suspected ones."""
    people = collection.by_person(embedder)
    weights = drawn(len(people), np.random.default_rng(SEED))
    figures: Report = {"embedder": embedder, "model": collection.models[embedder]}
    figures |= _accuracy(collection, embedder, pairs, weights, notes)
    same = mated(people)
    listed = _listed(collection, embedder, pairs)
    try:
        strangers = compared(people, 1, 1, 1, np.random.default_rng(SEED))
    except ValueError:
        notes.append(f"no rates: they take two people, and there are {len(people)}")
        return figures | dict.fromkeys(("tar_at_fmr", "fnir_at_fpir"), None)
    figures |= _verification(same, listed, strangers, weights, notes)
    figures["det"] = det_curve(same, strangers) if len(same.scores) else []
    figures["histogram"] = _histogram(same, people)
    figures |= _identification(people, np.zeros_like(suspected), weights, notes)
    if suspected.any():
        clean = _verification(same, listed, strangers.without(suspected), weights, [])
        figures["without_suspects"] = clean | _identification(people, suspected, weights, [])
    return figures


def _accuracy(
    collection: Collection, embedder: str, pairs: Pairs, weights: Weights, notes: list[str]
) -> Report:
    vectors = collection.vectors[embedder]
    scores = (vectors[pairs.one] * vectors[pairs.other]).sum(axis=1)
    try:
        right = told_rightly(scores, pairs.mated, pairs.fold)
    except ValueError as error:
        notes.append(f"no accuracy: {error}")
        return {"accuracy": None}
    folds = [right[pairs.fold == fold].mean() for fold in np.unique(pairs.fold)]
    one, other = collection.owners[pairs.one], collection.owners[pairs.other]
    # A mated pair has one person, who counts once.
    counts = weights[:, one] * np.where(one == other, 1, weights[:, other])
    with np.errstate(invalid="ignore"):
        shares = (counts * right).sum(1) / counts.sum(1)
    return {
        "accuracy": _number(np.mean(folds)),
        "accuracy_deviation": _number(np.std(folds)),
        "accuracy_interval": _bounds(interval(shares)),
    }


def _verification(
    same: Mated, listed: Mated, strangers: NonMated, weights: Weights, notes: list[str]
) -> Report:
    keys = [f"{name}_at_fmr" for name in ("tar", "tar_interval", "threshold", "tar_by_person")]
    keys += [f"{name}_at_fmr" for name in ("tar_of_pairs", "tar_of_pairs_interval")]
    figures: Report = {key: {} for key in keys}
    # Each two people stand twice among the comparisons, with the same photographs.
    figures |= {"mated": len(same.scores), "non_mated": strangers.count // 2}
    for fmr in FMRS:
        if not (len(same.scores) > 0 and fmr * figures["non_mated"] >= 1):
            for key in keys:
                figures[key][_key(fmr)] = None
            notes.append(
                f"no true accept rate at FMR {_key(fmr)}: {figures['mated']} mated and "
                f"{figures['non_mated']} non-mated comparisons do not bear it out"
            )
            continue
        threshold = strangers.score_at(fmr)
        rate, by_person = accept_rate(same, threshold)
        values = [
            _number(rate),
            _bounds(interval(accept_rates(same, strangers, fmr, weights))),
            _number(threshold),
            _number(by_person),
        ]
        if len(listed.scores):
            values += [
                _number(accept_rate(listed, threshold)[0]),
                _bounds(interval(accept_rates(listed, strangers, fmr, weights))),
            ]
        for key, value in zip(keys, [*values, None, None], strict=False):
            figures[key][_key(fmr)] = value
    return figures | {"tail": _tail(strangers, weights, notes)}


def _tail(strangers: NonMated, weights: Weights, notes: list[str]) -> Report | None:
    """Estimate thresholds beyond the data."""
    try:
        tail, tails = strangers.tail(), strangers.tails(weights)
    except ValueError as error:
        notes.append(f"no estimate beyond the data: {error}")
        return None
    return {
        "start": _number(tail.start),
        "share": _number(tail.share),
        "scale": _number(tail.scale),
        "shape": _number(tail.shape),
        "shape_interval": _bounds(interval(np.array([each.shape for each in tails]))),
        "threshold_at_fmr": {_key(fmr): _number(tail.score_at(fmr)) for fmr in BEYOND},
        "threshold_interval_at_fmr": {
            _key(fmr): _bounds(interval(thresholds_beyond(tails, fmr))) for fmr in BEYOND
        },
    }


def _identification(
    people: Sequence[Float32], suspected: NDArray[np.bool_], weights: Weights, notes: list[str]
) -> Report:
    trials = {
        (enrolment, pool): run_trials(people, enrolment, pool, suspected)
        for enrolment, pool in product(POOLS, POOLS)
    }
    room = len(people)
    notes.extend(
        f"no gallery of {size}: {room} people leave no room for it and strangers"
        for size in SIZES
        if not any(size in each for each in trials.values())
    )
    rates = {
        (size, enrolment, pool, fpir): fnir_at(each[size], size, fpir, weights)
        for (enrolment, pool), each in trials.items()
        for size in each
        for fpir in FPIRS
    }
    unmeasured = {
        f"enrolment {enrolment} and pool {pool}"
        for enrolment, pool in trials
        if not trials[enrolment, pool] and room > SIZES[0]
    }
    notes.extend(f"no FNIR with {each}: too few people with the photographs" for each in unmeasured)

    def nested(figure: Callable[[int, int, int], object]) -> Report:
        return {
            str(size): {
                str(enrolment): {str(pool): figure(size, enrolment, pool) for pool in POOLS}
                for enrolment in POOLS
            }
            for size in SIZES
        }

    def at_fpirs(value: Callable[[Rate], object]) -> Report:
        return nested(
            lambda *condition: {
                _key(fpir): None if rate is None else value(rate)
                for fpir in FPIRS
                for rate in [rates.get((*condition, fpir))]
            }
        )

    return {
        "fnir_at_fpir": at_fpirs(lambda rate: _number(rate.fnir)),
        "fnir_interval_at_fpir": at_fpirs(lambda rate: _bounds(rate.interval)),
        "threshold_at_fpir": at_fpirs(lambda rate: _number(rate.threshold)),
        "estimated_at_fpir": at_fpirs(lambda rate: rate.estimated),
        "transactions": nested(
            lambda size, enrolment, pool: _sample(trials[enrolment, pool], size)
        ),
    }


def _sample(trials: dict[int, Trials], size: int) -> Report | None:
    if size not in trials:
        return None
    each = trials[size]
    return {
        "strangers": len(np.unique(each.strangers)),
        "of_strangers": len(each.strangers),
        "residents": len(np.unique(each.residents)),
        "of_residents": len(each.residents),
        "full_templates": _number(each.full),
    }


def _listed(collection: Collection, embedder: str, pairs: Pairs) -> Mated:
    vectors = collection.vectors[embedder]
    one, other = pairs.one[pairs.mated], pairs.other[pairs.mated]
    return Mated((vectors[one] * vectors[other]).sum(1).astype(float), collection.owners[one])


def _histogram(same: Mated, people: Sequence[Float32]) -> Report:
    """Count scores: mated ones, and those of the first photograph of each two people."""
    edges = np.linspace(-1, 1, 2 * BINS + 1)
    first = np.stack([vectors[0] for vectors in people])
    others = (first @ first.T)[np.triu_indices(len(first), 1)]
    return {
        "edges": [round(float(edge), 2) for edge in edges],
        "mated": np.histogram(same.scores, edges)[0].tolist(),
        "non_mated": np.histogram(others, edges)[0].tolist(),
    }


def _agreement(one: Float32, other: Float32) -> Report:
    if one.shape != other.shape:
        return {"mean": None, "first_percentile": None, "lowest": None}
    cosines = (one * other).sum(1)
    return {
        "mean": _number(cosines.mean()),
        "first_percentile": _number(np.percentile(cosines, 1)),
        "lowest": _number(cosines.min()),
    }


def failures(collection: Collection) -> list[str]:
    """Say in a line each which photographs could not be used, or are of many people."""
    told = {UNREADABLE: "cannot be read as pictures", NO_FACE: "show no face"}
    notes = [
        f"{len(files)} files {told.get(reason, f'fail the limit {reason}')}: {_some(files)}"
        for reason, files in collection.failed.items()
    ]
    if collection.many:
        many = collection.many
        notes.append(
            f"{len(many)} files show more than one face, the middle one was taken: {_some(many)}"
        )
    return notes


def _unpaired(pairs: Pairs) -> list[str]:
    notes = []
    if pairs.malformed:
        notes.append(f"{len(pairs.malformed)} lines are no pairs: {_some(pairs.malformed)}")
    if pairs.missing:
        notes.append(
            f"{len(pairs.missing)} pairs name files that are missing: {_some(pairs.missing)}"
        )
    if pairs.without_probe:
        notes.append(f"{pairs.without_probe} pairs have a photograph without a usable face")
    return notes


def _some(things: Iterable[object]) -> str:
    named = [
        f"{thing.parent.name}/{thing.name}" if isinstance(thing, Path) else str(thing)
        for thing in things
    ]
    more = f" and {len(named) - SHOWN} more" if len(named) > SHOWN else ""
    return ", ".join(named[:SHOWN]) + more


def _key(rate: float) -> str:
    return f"1e-{round(-np.log10(rate))}"


def _number(value: float) -> float | None:
    return float(f"{float(value):.6g}") if isfinite(value) else None


def _bounds(bounds: tuple[float, float] | None) -> list[float | None] | None:
    return None if bounds is None else [_number(bound) for bound in bounds]
