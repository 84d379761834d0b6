"""`python -m tests.bench_references DIR`: what the limits of an enrolment rest on.

DIR holds a folder of photographs for each person, as Labeled Faces in the Wild has them. Nothing is
written, and what is printed are counts and shares only.
"""

import sys
from dataclasses import astuple, fields
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from agent.config import Config
from agent.core.enrolment import Enrolment
from agent.core.matching import likeness_to_others
from agent.core.types import Float32, Frame, Probe, Quality
from agent.evaluation.collection import read_photograph
from agent.installation import models_directory
from agent.vision.pipeline import load_pipeline

THRESHOLD = 0.53
"""Cosine at which about 1 of 10,000 non-mated pairs of single photographs matches."""
BANDS = {
    "sharpness": (0, 30, 40, 50, 60, 80, 120, 200, np.inf),
    "pitch": (0, 0.1, 0.2, 0.3, 0.4, 0.45, 0.5, 0.6),
    "yaw": (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6),
    "eye_distance": (0, 34, 36, 38, 40, 44, np.inf),
    "exposure": (0, 90, 110, 150, 170, np.inf),
    "eyes_open": (0, 0.2, 0.22, 0.24, 0.26, 0.3, 1),
}
SETS_EACH = 20
"""Sets of references that are drawn of each person."""
LEAST_PHOTOGRAPHS = 6


def main() -> None:
    """Measure and print."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    pipeline = load_pipeline(models_directory(Config()), Config().quality)
    owners, probes, without = [], [], 0
    for file in sorted(Path(sys.argv[1]).glob("*/*.jpg")):
        pixels = read_photograph(file)
        seen = None if pixels is None else pipeline(Frame(pixels, 0.0)).nearest
        if isinstance(seen, Probe):
            owners.append(file.parent.name)
            probes.append(seen)
        else:
            without += 1
    if not probes:
        sys.exit(f"{sys.argv[1]}: no photograph with a good face: name a folder of folders")
    print(
        f"{len(probes)} photographs of {len(set(owners))} people; {without} fail the door's limits"
    )
    vectors = np.array([probe.embedding.vector for probe in probes])
    report(vectors, np.array(owners), np.array([astuple(probe.quality) for probe in probes]))


def report(vectors: Float32, owners: NDArray[np.str_], qualities: NDArray[np.float64]) -> None:
    """Print both tables. vectors: (N, D). owners: N names. qualities: (N, 6), as in Quality."""
    names = [field.name for field in fields(Quality)]
    print(tabulate(_bands(vectors, owners, dict(zip(names, qualities.T, strict=True))), "firstrow"))
    print()
    print(tabulate(_sets(vectors, owners), "firstrow", floatfmt=".4f"))


def _bands(
    vectors: Float32, owners: NDArray[np.str_], qualities: dict[str, NDArray[np.float64]]
) -> list[list[object]]:
    """Give by quality of the reference how many of the other photographs do not match it."""
    mates = np.zeros(len(vectors))
    missed, passed = np.zeros(len(vectors)), np.zeros(len(vectors))
    for row, vector in enumerate(vectors):
        match, same = vectors @ vector >= THRESHOLD, owners == owners[row]
        mates[row] = same.sum() - 1
        missed[row] = (same & ~match).sum()
        passed[row] = (match & ~same).sum() / (~same).sum()
    # So that who was photographed a hundred times does not decide.
    weight = 1 / np.sqrt(mates + 1)
    rows: list[list[object]] = [["quality", "from", "below", "references", "FNMR", "FMR"]]
    for name, edges in BANDS.items():
        values = np.abs(qualities[name])
        for low, high in pairwise(edges):
            inside = (values >= low) & (values < high)
            mated = inside & (mates > 0)
            shares = missed[mated] / mates[mated]
            fnmr = np.average(shares, weights=weight[mated]) if mated.any() else np.nan
            rows.append(
                [name, low, high, int(mated.sum()), f"{fnmr:.3f}", f"{passed[inside].mean():.1e}"]
            )
    return rows


def _sets(vectors: Float32, owners: NDArray[np.str_]) -> list[list[object]]:
    """Give how well sets agree that are of one person, and such with one photograph of another."""
    random = np.random.default_rng(0)
    limit = Enrolment().min_consistency
    people = [np.flatnonzero(owners == name) for name in np.unique(owners)]
    rows: list[list[object]] = [
        ["references", "sets", f"one person, below {limit}", f"one of another, not below {limit}",
         "the other is the odd one", "greatest agreement of another"],
    ]  # fmt: skip
    for size in (3, 5):
        least, other, found = [], [], []
        for rows_of in (each for each in people if len(each) >= LEAST_PHOTOGRAPHS):
            for _ in range(SETS_EACH):
                chosen = random.permutation(rows_of)[:size]
                least.append(min(likeness_to_others(vectors[chosen])))
                place = int(random.integers(size))
                strangers = np.flatnonzero(owners != owners[chosen[0]])
                chosen[place] = random.choice(strangers)
                alike = likeness_to_others(vectors[chosen])
                other.append(alike[place])
                found.append(alike[place] == min(alike))
        rows.append(
            [size, len(least), np.mean(np.array(least) < limit), np.mean(np.array(other) >= limit),
             np.mean(found), max(other)]
        )  # fmt: skip
    return rows


if __name__ == "__main__":
    main()
