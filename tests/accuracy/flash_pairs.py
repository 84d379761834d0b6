"""`python -m tests.accuracy.flash_pairs --images DIR`: the tests of level `flash` on real pictures.

DIR holds fours of pictures, NAME_live_background, NAME_live_flash, NAME_spoof_background and
NAME_spoof_flash: somebody, and a print of that person, without and with a flash. There is one
picture of each kind, the light is unknown and the camera chose the exposure of each by itself, so
neither the light code nor the expected ratio can be tried: what is printed is the median ratio R,
put right by how the surroundings changed, and the relief, with whether it would pass.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from tabulate import tabulate

from agent.config import Quality
from agent.evaluation.collection import read_photograph
from agent.vision.pad import LIGHT_AT, MIN_CELLS, MIN_DEPTH, MIN_FRONTAL, MIN_RELIEF
from agent.vision.pipeline import load_pipeline
from agent.vision.relief import LINEAR, comparable, register, relief, surface

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.core.types import Pixels
    from agent.vision.detect import Mesh
    from agent.vision.pipeline import Pipeline

MODELS = Path(__file__).parents[2] / "models"
DISTANCE = 0.3
"""Metres at which somebody is thought to hold a phone."""
SURROUNDINGS = 2.0
"""Distances between the eyes from the face, from which the light of a flash hardly counts."""


@dataclass(frozen=True)
class Shown:
    """Figures of one pair. exposure: by which the flash picture was exposed more than the other."""

    name: str
    kind: str
    exposure: float
    ratio: float
    relief: float
    frontal: float
    depth: float
    passes: bool


def examine(pipeline: Pipeline, name: str, kind: str, unlit: Pixels, lit: Pixels) -> Shown:
    """Measure a pair. Raises ValueError where there is no face, or too little of it."""
    meshes = [pipeline.nearest(pixels)[1] for pixels in (unlit, lit)]
    found = [mesh for mesh in meshes if mesh is not None]
    if len(found) != len(meshes):
        raise ValueError("no face in one of the pictures")
    exposure = exposed(unlit, lit, found)
    light = register([unlit, lit], found).mean(3, np.float64)
    face = surface(found[0], DISTANCE, LIGHT_AT)
    usable = comparable(light, face)
    if not int(usable.sum()) >= MIN_CELLS:
        raise ValueError("too little of the face is neither dark nor saturated")
    dark, bright = light[0] * exposure, light[1]
    ratio = float(np.median(bright[usable] / dark[usable])) - 1
    shown = relief(dark, bright, face, usable)
    like_a_face = shown.correlation >= MIN_RELIEF and shown.frontal >= MIN_FRONTAL
    passes = like_a_face and shown.depth >= MIN_DEPTH
    return Shown(name, kind, exposure, ratio, shown.correlation, shown.frontal, shown.depth, passes)


def exposed(unlit: Pixels, lit: Pixels, meshes: Sequence[Mesh]) -> float:
    """Estimate by what the second picture was exposed more, from what lies around the face."""
    before, after = (np.ascontiguousarray(mesh.points[:, :2]) for mesh in meshes)
    move, _ = cv2.estimateAffinePartial2D(after, before)
    high, wide = unlit.shape[:2]
    laid = cv2.warpAffine(lit, move, (wide, high))
    apart = float(np.linalg.norm(meshes[0].five[1] - meshes[0].five[0]))
    outside = np.ones((high, wide), np.uint8)
    cv2.fillPoly(outside, [cv2.convexHull(np.round(before).astype(np.int32))], 0)
    far = cv2.distanceTransform(outside, cv2.DIST_L2, 3) > SURROUNDINGS * apart
    one, other = (
        cv2.GaussianBlur(LINEAR[pixels].mean(2), (0, 0), apart / 20) for pixels in (unlit, laid)
    )
    sound = far & (one > 0.02) & (one < 0.8) & (other > 0.005) & (other < 0.8)
    if not int(sound.sum()) >= MIN_CELLS:
        raise ValueError("no surroundings to compare the exposures by")
    return float(np.median(other[sound] / one[sound]))


def read(path: Path) -> Pixels:
    pixels = read_photograph(path)
    if pixels is None:
        raise ValueError(f"{path.name} is no picture")
    return pixels


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.accuracy.flash_pairs")
    parser.add_argument("--images", type=Path, required=True, help="a folder of such pictures")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    pipeline = load_pipeline(MODELS, Quality())
    marks = [
        path for path in sorted(given.images.glob("*_background.*")) if path.stem.count("_") >= 2
    ]
    if not marks:
        sys.exit(f"{given.images}: has no picture named NAME_live_background or the like")
    shown, failed = [], []
    for unlit in marks:
        name, kind, _ = unlit.stem.rsplit("_", 2)
        lit = unlit.with_name(f"{name}_{kind}_flash{unlit.suffix}")
        try:
            shown.append(examine(pipeline, name, kind, read(unlit), read(lit)))
        except ValueError as error:
            failed.append(f"{name} {kind}: {error}")
    if given.json:
        print(json.dumps({"pairs": [asdict(each) for each in shown], "failed": failed}, indent=1))
        return
    rows = [list(asdict(each).values()) for each in shown]
    titles = ["name", "kind", "exposure", "R", "relief", "frontal", "depth", "relief test passes"]
    print(tabulate(rows, titles, tablefmt="github", floatfmt=".3f"))
    print(*failed, sep="\n")


if __name__ == "__main__":
    main()
