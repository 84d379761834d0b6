"""Which cosine admits how many strangers: the curves of calibration.toml."""

import tomllib
from collections.abc import Iterable, Sequence
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np

from agent.core.types import Float32
from agent.errors import ConfigError
from agent.evaluation.identification import POOLS
from agent.evaluation.nonmated import NonMated, compared, pooled, suspects
from agent.evaluation.report import SEED
from agent.evaluation.resampling import REPLICATES, Weights, drawn, upper
from agent.evaluation.tail import Tail

SCHEMA = 2
DRAWS = 3
"""How often photographs are picked anew for each person's probe and template."""
MIN_MATCHES = 20
"""Non-mated matches of different people above a cosine that is said to be measured."""
FEWEST = 150
"""People with the photographs that a curve takes; with fewer it is left out."""
THRESHOLDS = np.arange(40, 96) / 100
LOWEST = 1e-10
"""FMR below which no further point is wanted."""
FNMR_THRESHOLDS = (0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8)
MADE_WITH = "doorward calibrate --images DIR --out models/calibration.toml"

Entry = dict[str, Any]


def calibrated(people: Sequence[Float32], model: str, images: int) -> tuple[Entry, list[str]]:
    """Make the entry of one embedder and runtime.

    Below measured_to, each point's FMR is the upper bound of what draws of people have; above it
    that of their fitted tails. All tails have the shape of the one of single photographs, which far
    more comparisons tell, drawn anew with the same people. People suspected to be one are left out.

    Args:
        people: each one's unit vectors, (K, D).
        model: as in Embedding.
        images: how many photographs were read, for the record.

    Returns:
        The entry, and in a line each what was left out.

    Raises:
        ConfigError: there are too few people for any curve.
    """
    weights = drawn(len(people), np.random.default_rng(SEED))
    suspected = suspects(people)
    shapes: list[float] = []
    curves, notes = [], []
    for references, frames in product(POOLS, POOLS):
        enough = [sum(len(each) >= least for each in people) for least in (references, frames)]
        if min(enough) < FEWEST:
            notes.append(
                f"no curve of {references} references and {frames} frames: {min(enough)} people "
                f"have so many photographs, and it takes {FEWEST}"
            )
            continue
        random = np.random.default_rng([SEED, references, frames])
        non_mated = compared(people, references, frames, DRAWS, random).without(suspected)
        try:
            shapes = shapes or [tail.shape for tail in non_mated.tails(weights)]
            tails = non_mated.tails(weights, shapes)
        except ValueError as error:
            raise ConfigError(f"--images: no tail can be fitted: {error}") from None
        curves.append(
            {
                "references": references,
                "frames": frames,
                "comparisons": non_mated.count // DRAWS,
                "measured_to": measured_to(non_mated),
                "points": points(non_mated, tails, weights),
                "fnmr": _fnmr(people, references, frames, random),
            }
        )
    if not curves:
        raise ConfigError(
            f"--images: {len(people)} people with usable photographs are too few: it takes {FEWEST}"
        )
    if suspected.any():
        left_out = int(suspected.sum()) // 2
        notes.append(f"{left_out} pairs of people left out, suspected to be one person")
    entry = {
        "model": model,
        "images": images,
        "people": len(people),
        "suspected": int(suspected.sum()) // 2,
        "made_with": MADE_WITH,
        "curve": curves,
    }
    return entry, notes


def measured_to(non_mated: NonMated) -> float:
    """Give the highest of THRESHOLDS that MIN_MATCHES different pairs of people reach."""
    pairs = np.sort(np.stack([non_mated.one, non_mated.other], 1), axis=1)
    seen = np.unique(pairs, axis=0, return_index=True)[1]
    scores = np.sort(non_mated.scores[seen])[::-1]
    enough = scores[MIN_MATCHES - 1] if len(scores) >= MIN_MATCHES else -1.0
    reached = THRESHOLDS[enough >= THRESHOLDS]
    return float(reached[-1]) if len(reached) else float(THRESHOLDS[0])


def points(
    non_mated: NonMated, tails: Sequence[Tail], weights: Weights
) -> list[tuple[float, float]]:
    """Bound the FMR from above at each of THRESHOLDS, one-sided, leaving out what lowers nothing.

    tails: of the draws of people, weights (R, N).
    """
    measured = THRESHOLDS[measured_to(non_mated) >= THRESHOLDS]
    reached = np.searchsorted(-non_mated.scores, -measured, side="right")
    share = min(float(reached[0]) / non_mated.count, 1.0)
    seen = np.empty((REPLICATES, len(measured)))
    for row, (counts, total) in enumerate(non_mated.resampled(weights, share)):
        seen[row] = np.where(reached > 0, counts[reached - 1], 0.0) / total
    fitted = np.array([tail.above(THRESHOLDS[len(measured) :]) for tail in tails])
    bounds = upper(np.concatenate([seen, fitted], axis=1))
    # A higher threshold admits no more people, whatever its bound says.
    falling = np.maximum.accumulate(bounds[::-1])[::-1]
    rounded = [float(f"{bound:.3g}") for bound in falling]
    lower = [True, *(after < before for before, after in pairwise(rounded))]
    return [
        (float(threshold), bound)
        for threshold, bound, falls in zip(THRESHOLDS, rounded, lower, strict=True)
        if falls and bound >= LOWEST
    ]


def _fnmr(
    people: Sequence[Float32], references: int, frames: int, random: np.random.Generator
) -> list[tuple[float, float]]:
    """Give the share of mated comparisons below a cosine, of people with photographs for both."""
    scores = []
    for vectors in people:
        if len(vectors) >= references + frames:
            mixed = random.permutation(vectors)
            [(_, template), (_, probe)] = (
                pooled([part], len(part), random)
                for part in (mixed[:references], mixed[references : references + frames])
            )
            scores.append(float(template[0] @ probe[0]))
    found = np.array(scores)
    return [(t, round(float((found < t).mean()), 4)) for t in FNMR_THRESHOLDS if len(found)]


def kept(out: Path, model: str) -> list[Entry]:
    """Read the entries of other embedders and runtimes. Raises ConfigError where it is no TOML.

    Entries of an older schema are left out: they must be made anew.
    """
    try:
        document = tomllib.loads(out.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(f"{out}: {error.strerror}: name another with --out") from None
    except ValueError as error:
        raise ConfigError(f"{out}: is no TOML, {error}: name another with --out") from None
    entries: list[Entry] = document.get("calibration", [])
    if document.get("schema") != SCHEMA:
        return []
    return [entry for entry in entries if entry["model"] != model]


def rendered(entries: Iterable[Entry]) -> str:
    """Write entries as TOML."""
    lines = [
        "# Cosine, and the share of non-mated comparisons that pass it: upper bounds at 95 %, made",
        "# by `doorward calibrate`. Above measured_to they are an estimate, by a fit of the tail.",
        "# PROVISIONAL: photographs of adults in the news, not faces at a door. fnmr: share of",
        "# mated comparisons below a cosine.",
        f"schema = {SCHEMA}",
        "provisional = true",
    ]
    for entry in sorted(entries, key=lambda each: str(each["model"])):
        lines += ["", "[[calibration]]", *_table(entry)]
        for curve in entry["curve"]:
            lines += ["", "[[calibration.curve]]", *_table(curve)]
    return "\n".join(lines) + "\n"


def _table(entry: Entry) -> Iterable[str]:
    for key, value in entry.items():
        if key == "curve":
            continue
        if isinstance(value, list):
            yield f"{key} = ["
            yield from (f"    [{threshold:.2f}, {rate}]," for threshold, rate in value)
            yield "]"
        else:
            yield f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}"
