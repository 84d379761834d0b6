"""Measure which cosine admits how many strangers, with the very pipeline of the door.

    python models/calibrate.py --images DIR --out models/calibration.toml

DIR holds one folder per person with that person's photographs (the layout of Labeled Faces in the
Wild). Nothing of the photographs is kept but counts. Each person's photographs are split into a
probe, the mean of up to three, and a template, the mean of up to five others; every probe is
compared with every other person's template. Wrong labels are left in, so rates are too high rather
than too low. Other runtimes' entries in the output stay, if they are of the same embedder.
"""

from __future__ import annotations

import argparse
import tomllib
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from agent.config import Quality
from agent.core.matching import mean_template
from agent.core.types import Frame, Probe
from agent.vision.pipeline import load_pipeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from agent.core.types import Float32

HERE = Path(__file__).resolve().parent
PROBE, TEMPLATE = 3, 5
"""Photographs pooled at most."""
POOLED = 6
"""Photographs of a person from which the FNMR of the door's own pooling is told."""
THRESHOLDS = np.arange(40, 76) / 100
CONFIDENCE = 0.95
MIN_MATCHES = 20
"""Non-mated matches from which their dependence can be told from chance."""
FNMR_THRESHOLDS = (0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75)
MADE_WITH = "python models/calibrate.py --images DIR --out models/calibration.toml"


class People(NamedTuple):
    """Unit vectors of the people of a collection.

    vectors: of each person, (K, D), K >= 1. images: how many were read, refused ones included.
    model: as in Embedding.
    """

    vectors: list[Float32]
    images: int
    model: str


def embedded(images: Path) -> People:
    """Embed every photograph whose nearest face passes the door's default quality limits."""
    pipeline = load_pipeline(HERE, Quality())
    count, people = 0, []
    for folder in sorted({path.parent for path in images.rglob("*.jpg")}):
        vectors = []
        for path in sorted(folder.glob("*.jpg")):
            count += 1
            picture = cv2.imread(str(path))
            if picture is None:
                raise SystemExit(f"{path} is no picture: remove it")
            frame = Frame(np.ascontiguousarray(picture[..., ::-1]), captured_at=0.0)
            nearest = pipeline(frame).nearest
            if isinstance(nearest, Probe):
                vectors.append(nearest.embedding.vector)
        if vectors:
            people.append(np.stack(vectors))
    return People(people, count, pipeline.model)


def split(vectors: Float32) -> tuple[Float32, Float32]:
    """Pool one person's vectors (K, D) into a probe and a template, of different photographs.

    A person with a single photograph gives it for both; the two are never compared.
    """
    probe = max(min(PROBE, len(vectors) // 2), 1)
    rest = vectors[probe : probe + TEMPLATE]
    return mean_template(vectors[:probe]), mean_template(rest if len(rest) else vectors)


def design_effect(matches: NDArray[np.bool_]) -> float:
    """Tell how many times the variance of the match rate exceeds that of independent comparisons.

    Comparisons that share a person depend on each other. The variance comes from the jackknife over
    people: each in turn is left out, as probe and as template. Every comparison has two people, so
    this tells twice the variance where nothing depends on anything: it errs on the safe side.
    matches: (N, N), none on the diagonal.
    """
    people = len(matches)
    total = int(matches.sum())
    without = total - matches.sum(0) - matches.sum(1)
    rates = without / ((people - 1) * (people - 2))
    variance = (people - 1) / people * ((rates - rates.mean()) ** 2).sum()
    comparisons = people * (people - 1)
    if total == 0:
        return 1.0
    rate = total / comparisons
    return max(float(variance / (rate * (1 - rate) / comparisons)), 1.0)


def upper_bounds(scores: Float32) -> list[float]:
    """Bound the FMR at each of THRESHOLDS from above, one-sided at CONFIDENCE.

    The exact bound on as many comparisons as the design effect leaves, after Korn and Graubard,
    Survey Methodology 24, 1998. Without any match it is the rule of three's.

    Args:
        scores: (N, N) cosines of every probe with every template; the diagonal is mated.

    Raises:
        SystemExit: no threshold has enough matches.
    """
    others = ~np.eye(len(scores), dtype=bool)
    comparisons = int(others.sum())
    matches = [(scores >= threshold) & others for threshold in THRESHOLDS]
    effects: list[float] = []
    for each in matches:
        effect, enough = design_effect(each), each.sum() >= MIN_MATCHES
        if not (enough or effects):
            raise SystemExit("too few people: no threshold has enough non-mated matches")
        # Told by a few matches, an effect may raise the one told by many and never lowers it.
        effects.append(effect if enough else max(effect, effects[-1]))
    bounds = [
        min(most_expected(ceil(each.sum() / effect)) * effect / comparisons, 1.0)
        for each, effect in zip(matches, effects, strict=True)
    ]
    # A higher threshold admits no more people, whatever its bound says.
    return [max(bounds[position:]) for position in range(len(bounds))]


def most_expected(count: int) -> float:
    """Give the largest Poisson mean that still yields no more than `count` in 1 of 20 trials.

    Garwood, Biometrika 28, 1936; a little above Clopper and Pearson's binomial bound. 3.0 for none.
    """
    numbers = np.arange(count + 1)
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(numbers[1:]))])
    low, high = float(count), count + 10 * (count + 1) ** 0.5
    while high - low > 1e-9 * high:
        mean = (low + high) / 2
        chance = np.exp(numbers * np.log(mean) - mean - log_factorials).sum()
        low, high = (mean, high) if chance > 1 - CONFIDENCE else (low, mean)
    return float(high)


def points(bounds: Sequence[float]) -> list[list[float]]:
    """Pair thresholds and bounds, to three digits, leaving out what does not lower the bound.

    Past the last match that was seen a higher threshold refuses residents and shows nothing for it.
    """
    rounded = [float(f"{bound:.3g}") for bound in bounds]
    lower = [True, *(after < before for before, after in pairwise(rounded))]
    return [
        [float(threshold), bound]
        for threshold, bound, falls in zip(THRESHOLDS, rounded, lower, strict=True)
        if falls
    ]


def calibrated(people: People) -> dict[str, Any]:
    """Make the entry of one embedder and runtime."""
    pairs = [split(vectors) for vectors in people.vectors]
    probes, templates = (np.stack(side) for side in zip(*pairs, strict=True))
    scores = probes @ templates.T
    pooled = np.array([len(vectors) >= POOLED for vectors in people.vectors])
    mated = np.diag(scores)[pooled]
    return {
        "model": people.model,
        "images": people.images,
        "people": len(pairs),
        "comparisons": len(pairs) * (len(pairs) - 1),
        "made_with": MADE_WITH,
        "pooling": f"probe: mean of up to {PROBE} photographs, template: mean of up to {TEMPLATE}",
        "points": points(upper_bounds(scores)),
        "mated": len(mated),
        "fnmr": [[t, round(float((mated < t).mean()), 4)] for t in FNMR_THRESHOLDS if len(mated)],
    }


def kept(out: Path, model: str) -> list[dict[str, Any]]:
    """Read the output's entries of the same embedder in other runtimes."""
    if not out.exists():
        return []
    entries: list[dict[str, Any]] = tomllib.loads(out.read_text()).get("calibration", [])
    embedder, _ = model.split("/")
    return [e for e in entries if e["model"] != model and e["model"].startswith(f"{embedder}/")]


def rendered(entries: Sequence[dict[str, Any]]) -> str:
    """Write entries as TOML."""
    lines = [
        "# Cosine, and the share of non-mated comparisons that pass it: upper bounds at 95 %, made",
        "# by models/calibrate.py. PROVISIONAL: photographs of adults in the news, not faces at a",
        "# door. fnmr: share of mated comparisons below a cosine, of people with 6 photographs.",
        "schema = 1",
        "provisional = true",
    ]
    for entry in entries:
        lines += ["", "[[calibration]]"]
        for key, value in entry.items():
            if isinstance(value, list):
                rows = [f"    [{threshold:.2f}, {rate}]," for threshold, rate in value]
                lines += [f"{key} = [", *rows, "]"]
            else:
                lines.append(f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, write, and print what it comes to."""
    parser = argparse.ArgumentParser(description="Measure which cosine admits how many strangers.")
    parser.add_argument("--images", type=Path, required=True, help="a folder per person in it")
    parser.add_argument("--out", type=Path, required=True, help="calibration.toml to write")
    arguments = parser.parse_args()
    entry = calibrated(embedded(arguments.images))
    entries = [*kept(arguments.out, entry["model"]), entry]
    arguments.out.write_text(rendered(sorted(entries, key=lambda each: str(each["model"]))))
    for threshold, bound in entry["points"]:
        print(f"{threshold:.2f}  FMR at most {bound:.2e}")
    print("FNMR:", ", ".join(f"{rate:.2%} at {t}" for t, rate in entry["fnmr"]))


if __name__ == "__main__":
    main()
