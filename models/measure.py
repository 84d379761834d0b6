"""Measure what quantising costs the embedder, on pairs of photographs.

    python models/measure.py --images DIR --pairs FILE

DIR and FILE are laid out as in Labeled Faces in the Wild (NAME/NAME_0001.jpg; `name i j` is a mated
pair, `name i name j` a non-mated one). Faces are found and aligned as at the door; nothing of them
is kept. Both the committed embedder and its float original see the same aligned faces.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import build
import cv2
import numpy as np
from flatbuffer_graph import Graph
from int8 import set_single_batch

from agent.vision.align import align
from agent.vision.detect import FAR, NEAR, Detector, Landmarker
from agent.vision.models import load_model

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from agent.core.types import Float32, Pixels

FOLDS = 10
RATES = (1e-3, 1e-4, 1e-5)


Photograph = tuple[str, int]
"""Whose it is, and its number."""


class Pairs(NamedTuple):
    """Pairs of rows of a matrix of embeddings.

    names: (N,) whose each row is. one, other: (P,) rows. mated: (P,) bool.
    """

    names: NDArray[np.str_]
    one: NDArray[np.int64]
    other: NDArray[np.int64]
    mated: NDArray[np.bool_]


def read_pairs(lines: list[str]) -> list[tuple[Photograph, Photograph]]:
    """Read a pairs file, whose first line counts folds and pairs."""
    pairs = []
    for words in (line.split() for line in lines[1:]):
        name, i, *other, j = words
        pairs.append(((name, int(i)), (other[0] if other else name, int(j))))
    return pairs


def aligned_faces(images: Path, photographs: Iterable[Photograph]) -> dict[Photograph, Pixels]:
    """Align the face nearest to each photograph's centre, which is whom it is labelled with."""
    detectors = [
        Detector(load_model(build.HERE, "detector"), NEAR),
        Detector(load_model(build.HERE, "detector_far"), FAR),
    ]
    landmarks = Landmarker(load_model(build.HERE, "landmarks"))
    aligned = {}
    for name, number in photographs:
        path = images / name / f"{name}_{number:04d}.jpg"
        picture = cv2.imread(str(path))
        if picture is None:
            raise SystemExit(f"{path} is missing or no picture")
        pixels = np.ascontiguousarray(picture[..., ::-1], np.uint8)
        centre = np.array(pixels.shape[1::-1]) / 2
        found = [face for detector in detectors for face in detector.find(pixels)]
        meshes = filter(None, (landmarks.locate(pixels, face) for face in found))
        fives = sorted(
            (mesh.five for mesh in meshes), key=lambda f: np.hypot(*(f.mean(0) - centre))
        )
        if fives:
            aligned[name, number] = align(pixels, fives[0]).pixels
    return aligned


def rows(pairs: list[tuple[Photograph, Photograph]], faces: Iterable[Photograph]) -> Pairs:
    """Say which rows each pair compares, row k being of the k-th face; some pairs have none."""
    place = {photograph: row for row, photograph in enumerate(faces)}
    kept = [(a, b) for a, b in pairs if a in place and b in place]
    one, other = np.array([(place[a], place[b]) for a, b in kept]).T
    mated = np.array([a[0] == b[0] for a, b in kept])
    return Pairs(np.array([name for name, _ in place]), one, other, mated)


def accuracy(scores: Float32, mated: NDArray[np.bool_]) -> tuple[float, float]:
    """Return mean and standard deviation over folds of the share of pairs told rightly.

    Each fold is judged by the threshold that is best for the others.
    """
    fold = np.empty(len(scores), int)
    for kind in (mated, ~mated):
        fold[kind] = np.arange(kind.sum()) * FOLDS // kind.sum()
    right = []
    for held_out in (fold == k for k in range(FOLDS)):
        thresholds = np.unique(scores[~held_out])
        told = scores[~held_out] >= thresholds[:, np.newaxis]
        best = thresholds[(told == mated[~held_out]).mean(axis=1).argmax()]
        right.append(((scores[held_out] >= best) == mated[held_out]).mean())
    return float(np.mean(right)), float(np.std(right))


def true_accept_rate(mated: Float32, non_mated: Float32, rate: float) -> tuple[float, float]:
    """Return the share of mated scores above the threshold that passes `rate` of the others."""
    threshold = np.sort(non_mated)[::-1][int(rate * len(non_mated))]
    return float((mated > threshold).mean()), float(threshold)


def report(vectors: Float32, pairs: Pairs) -> str:
    """Describe one embedder in one line."""
    scores = (vectors[pairs.one] * vectors[pairs.other]).sum(axis=1)
    mean, deviation = accuracy(scores, pairs.mated)
    strangers = np.triu(pairs.names[:, np.newaxis] != pairs.names, 1)
    everybody = (vectors @ vectors.T)[strangers]
    rates = [true_accept_rate(scores[pairs.mated], everybody, rate) for rate in RATES]
    text = [
        f"{t:.1%} at FMR {rate:g} (cosine {c:.3f})"
        for (t, c), rate in zip(rates, RATES, strict=True)
    ]
    return f"accuracy {mean:.2%} ± {deviation:.2%}; TAR {', '.join(text)}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure what quantising costs the embedder.")
    parser.add_argument(
        "--images", type=Path, required=True, help="folder of folders of one person"
    )
    parser.add_argument("--pairs", type=Path, required=True, help="pairs.txt")
    parser.add_argument("--archives", type=Path, help="folder with the packages, to fetch nothing")
    arguments = parser.parse_args()
    wanted = read_pairs(arguments.pairs.read_text().splitlines())
    original = Graph(build.upstream_files(arguments.archives)["embedder_float"])
    set_single_batch(original)
    photographs = sorted({photograph for pair in wanted for photograph in pair})
    faces = aligned_faces(arguments.images, photographs)
    pairs = rows(wanted, faces)
    pixels = build.scaled(np.stack(list(faces.values())))
    committed = (build.HERE / build.manifest()["embedder_int8"]["file"]).read_bytes()
    before, after = (build.embeddings(model, pixels) for model in (original.to_bytes(), committed))
    cosines = (before * after).sum(axis=1)
    print(
        f"{len(faces)} faces in {len(photographs)} photographs; "
        f"{len(pairs.mated)} pairs, {pairs.mated.sum()} of them mated"
    )
    print(f"float: {report(before, pairs)}")
    print(f"int8:  {report(after, pairs)}")
    print(
        f"cosine of int8 with float: mean {cosines.mean():.4f}, "
        f"1st percentile {np.percentile(cosines, 1):.4f}, lowest {cosines.min():.4f}"
    )


if __name__ == "__main__":
    main()
