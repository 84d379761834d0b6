"""`python -m tests.accuracy.pad --images DIR`: how often level `flash` errs, in simulation.

DIR holds a folder of photographs for each person, as lfw-dev does. Each person sits for a bona fide
presentation, for each group and for each attack species, at a random hour: the pictures are
simulated (light.py, attacks.py) and go through the very detector, landmarks and tests of the door.
The limits in force were chosen on one half of the people, by the hash of their names; what is
printed is of the other half.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from tabulate import tabulate

from agent.config import Quality
from agent.core.pad import Liveness, Verdict
from agent.core.types import Probe
from agent.evaluation.collection import read_photograph
from agent.presentations import bounds
from agent.vision.pad import FlashPad
from agent.vision.pipeline import Pipeline, load_pipeline
from tests.accuracy.attacks import ATTACKS, BONA_FIDE, Sitter
from tests.accuracy.light import FIELD_OF_VIEW, Door

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agent.core.pad import Series
    from agent.vision.detect import Mesh
    from agent.vision.pad import Measured

MODELS = Path(__file__).parents[2] / "models"
LIGHT = 400.0
"""Lux at 0.5 m: 1 to 3 W of diffused white LED."""
BANDS = ((2.0, 6.0), (1.0, 2.0), (0.5, 1.0), (0.25, 0.5))
"""Ratio of the door's light at 0.5 m to the ambient light."""

ALL = (*BONA_FIDE, *ATTACKS)


class Recording(FlashPad):
    """The door's own tests, of which what they measured is kept."""

    measured: Measured | None = None

    def measure(self, series: Series, meshes: list[Mesh]) -> Measured | None:
        self.measured = None
        self.measured = super().measure(series, meshes)
        return self.measured


@dataclass(frozen=True)
class Row:
    """One presentation. band: of BANDS. measured: as agent.vision.pad.Measured has it."""

    person: str
    species: str
    attack: bool
    band: int
    ambient: float
    liveness: str
    cue: str
    measured: dict[str, float | None] | None


@cache
def _pipeline() -> Pipeline:
    cv2.setNumThreads(1)
    return load_pipeline(MODELS, Quality())


def tunes(person: str) -> bool:
    """Say whether the limits were chosen on a person."""
    return hashlib.sha256(person.encode()).digest()[0] % 2 == 0


def sitter_of(folder: Path) -> Sitter | None:
    """Take a folder's first photograph of one face that the door would compare, if any."""
    for path in sorted(folder.iterdir()):
        pixels = read_photograph(path)
        if pixels is None:
            continue
        faces, mesh = _pipeline().nearest(pixels)
        if faces == 1 and mesh and isinstance(_pipeline().probe(pixels, mesh), Probe):
            return Sitter(pixels, mesh)
    return None


def present(folder: Path, number: int, species: Sequence[str], seed: int) -> list[Row]:
    """Have one person sit for each species, in a band of light that goes by the number."""
    sitter = sitter_of(folder)
    if sitter is None:
        return []
    rows = []
    for name in species:
        index = ALL.index(name)
        random = np.random.default_rng([seed, number, index])
        band = (number + index) % len(BANDS)
        ratio = float(np.exp(random.uniform(*np.log(BANDS[band]))))
        series = {**BONA_FIDE, **ATTACKS}[name](sitter, Door(LIGHT / ratio, LIGHT), random)
        pad = Recording(_pipeline(), LIGHT, FIELD_OF_VIEW)
        verdict: Verdict = pad(series).verdict
        measured = None if pad.measured is None else asdict(pad.measured)
        attack = name in ATTACKS
        rows.append(
            Row(
                folder.name,
                name,
                attack,
                band,
                LIGHT / ratio,
                verdict.liveness,
                verdict.cue,
                measured,
            )
        )
    return rows


def table(rows: Sequence[Row]) -> list[list[object]]:
    """Count per species and band: presentations, errors, share, 95 % bounds, unclear."""
    counted = []
    for name in ALL:
        for band, (low, high) in enumerate(BANDS):
            these = [row for row in rows if (row.species, row.band) == (name, band)]
            if not these:
                continue
            attack = name in ATTACKS
            passed = sum(row.liveness == Liveness.BONA_FIDE for row in these)
            unclear = sum(row.liveness == Liveness.UNCLEAR for row in these)
            errors = passed if attack else len(these) - passed - unclear
            least, most = bounds(errors, len(these))
            counted.append(
                [
                    name,
                    f"{low:g}-{high:g}",
                    len(these),
                    errors,
                    f"{100 * errors / len(these):.1f} %",
                    f"{100 * least:.1f}-{100 * most:.1f} %",
                    unclear,
                    f"{100 * unclear / len(these):.1f} %",
                ]
            )
    return counted


TITLES = ("presented as", "F/A", "n", "errors", "rate", "95 %", "unclear", "share")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.accuracy.pad")
    parser.add_argument("--images", type=Path, required=True, help="a folder for each person")
    parser.add_argument("--people", type=int, default=60, help="how many sit (60)")
    parser.add_argument("--skip", type=int, default=0, help="how many do not (0)")
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--species", help="only these, with commas between")
    parser.add_argument("--tuning", action="store_true", help="the half that limits were chosen on")
    parser.add_argument("--rows", type=Path, help="write each presentation's figures, JSON lines")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    species = given.species.split(",") if given.species else ALL
    unknown = set(species) - set(ALL)
    if unknown or not given.images.is_dir():
        sys.exit(f"no species {sorted(unknown)}" if unknown else f"{given.images}: is no folder")
    folders = sorted(
        (
            each
            for each in given.images.iterdir()
            if each.is_dir() and tunes(each.name) == given.tuning
        ),
        # In an order that has nothing to do with the alphabet.
        key=lambda each: hashlib.sha256(each.name.encode()).digest()[1:],
    )[given.skip :][: given.people]
    rows: list[Row] = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for made in pool.map(
            present,
            folders,
            range(len(folders)),
            [species] * len(folders),
            [given.seed] * len(folders),
        ):
            rows += made
            if given.rows is not None:
                _append(given.rows, made)
    sat = len({row.person for row in rows})
    counted = table(rows)
    if given.json:
        lines = [dict(zip(TITLES, row, strict=True)) for row in counted]
        print(json.dumps({"people": sat, "simulated": True, "table": lines}, indent=1))
        return
    print(f"{sat} of {len(folders)} people had a photograph that the door would compare.")
    print(
        "Simulated. For bona fide an error is ATTACK (BPCER), for attacks it is BONA FIDE (APCER)."
    )
    print(tabulate(counted, TITLES, tablefmt="github"))


def _append(path: Path, rows: Iterable[Row]) -> None:
    with path.open("a") as file:
        file.writelines(json.dumps(asdict(row)) + "\n" for row in rows)


if __name__ == "__main__":
    main()
