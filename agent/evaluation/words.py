"""A report in words, for who reads it in a terminal."""

from collections.abc import Iterator
from itertools import product
from typing import Any

from tabulate import tabulate

from agent.evaluation.identification import POOLS, SIZES
from agent.evaluation.report import Report


def in_words(report: Report) -> str:
    """Give a report as lines of text."""
    return "\n".join([*_collection(report), *_all_embedders(report), "", *_noted(report)])


def _collection(report: Report) -> Iterator[str]:
    failed = ", ".join(f"{count} {reason}" for reason, count in report["frames_failed"].items())
    yield (
        f"{report['photographs']} photographs of {report['people']} people with a usable face, "
        f"runtime {report['runtime']}; {report['confidence']:.0%} intervals by "
        f"{report['replicates']} draws of people"
    )
    yield f"frames failed: {failed or 'none'}; usable: {report['usable']}"
    rates = report["failure_to_acquire"].items()
    yield "failure to acquire in attempts of " + ", ".join(f"{k}: {_share(r)}" for k, r in rates)
    pairs = report["pairs"]
    yield f"pairs compared: {pairs['compared']}, {pairs['mated']} of them mated"


def _all_embedders(report: Report) -> Iterator[str]:
    for figures in [report, *report["others"]]:
        yield ""
        yield f"{figures['embedder']}, model {figures['model']}"
        if "cosine" in figures:
            cosine = figures["cosine"]
            yield (
                f"cosine with {report['embedder']}: mean {cosine['mean']}, first percentile "
                f"{cosine['first_percentile']}, lowest {cosine['lowest']}"
            )
        if figures["accuracy"] is not None:
            yield (
                f"accuracy {_share(figures['accuracy'])} ± {_share(figures['accuracy_deviation'])} "
                f"over folds, {_range(figures['accuracy_interval'])}"
            )
        if figures["tar_at_fmr"] is None:
            continue
        yield from _rates(figures, "all pairs of people as labelled")
        if "without_suspects" in figures:
            told = f"without {len(report['suspects'])} pairs of people suspected to be one"
            yield from _rates(figures["without_suspects"], told)


def _rates(figures: dict[str, Any], which: str) -> Iterator[str]:
    yield ""
    yield (
        f"{which}: {figures['mated']} mated comparisons, {figures['non_mated']} non-mated ones of "
        "one photograph per person"
    )
    rows = [
        [
            key,
            _plain(figures["threshold_at_fmr"][key]),
            f"{_share(figures['tar_at_fmr'][key])} {_range(figures['tar_interval_at_fmr'][key])}",
            _share(figures["tar_by_person_at_fmr"][key]),
            " ".join(
                [
                    _share(figures["tar_of_pairs_at_fmr"][key]),
                    _range(figures["tar_of_pairs_interval_at_fmr"][key]),
                ]
            ),
        ]
        for key in figures["tar_at_fmr"]
    ]
    titles = ["FMR", "cosine", "TAR, all pairs", "each person the same", "pairs file"]
    yield tabulate(rows, titles, disable_numparse=True)
    if figures["tail"] is not None:
        tail = figures["tail"]
        yield ""
        yield f"estimated beyond the data, tail of shape {tail['shape']} from {tail['start']}:"
        for key, threshold in tail["threshold_at_fmr"].items():
            bounds = _plain_range(tail["threshold_interval_at_fmr"][key])
            yield f"  FMR {key} at cosine {_plain(threshold)} {bounds}"
    yield ""
    yield "FNIR at FPIR; ~ is estimated by the tail of the strangers' scores"
    titles = ["N", "enrolment", "pool", *figures["fnir_at_fpir"]["10"]["1"]["1"]]
    yield tabulate(list(_identified(figures)), titles, disable_numparse=True)


def _identified(figures: dict[str, Any]) -> Iterator[list[str]]:
    for size, enrolment, pool in (map(str, each) for each in product(SIZES, POOLS, POOLS)):
        rates = figures["fnir_at_fpir"][size][enrolment][pool]
        bounds = figures["fnir_interval_at_fpir"][size][enrolment][pool]
        estimated = figures["estimated_at_fpir"][size][enrolment][pool]
        if any(rate is not None for rate in rates.values()):
            yield [size, enrolment, pool] + [
                f"{'~' if estimated[key] else ''}{_share(rates[key])} {_range(bounds[key])}"
                for key in rates
            ]


def _noted(report: Report) -> Iterator[str]:
    for note in report["notes"]:
        yield f"note: {note}"
    for one, other in report["suspects"]:
        yield f"suspected to be one person, or twins: {one}, {other}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"


def _range(bounds: list[float] | None) -> str:
    return "" if bounds is None else f"({bounds[0]:.2%}-{bounds[1]:.2%})"


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _plain_range(bounds: list[float] | None) -> str:
    return "" if bounds is None else f"({bounds[0]:.3f}-{bounds[1]:.3f})"
