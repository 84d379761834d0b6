"""Compare the forms of the embedder on pairs of photographs: size, time and accuracy.

    python models/measure.py --images DIR --pairs FILE

DIR and FILE are laid out as in Labeled Faces in the Wild (NAME/NAME_0001.jpg; `name i j` is a mated
pair, `name i name j` a non-mated one). Faces are found and aligned as at the door; nothing of them
is kept. Every form and the float original see each aligned face in turn, on one thread, so that
what else the machine does slows them alike.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import build
import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from flatbuffer_graph import Graph
from int8 import set_single_batch
from tabulate import tabulate

from agent.vision.align import align
from agent.vision.detect import FAR, NEAR, Detector, Landmarker
from agent.vision.models import load_model

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from agent.core.types import Float32, Pixels

FOLDS = 10
RATES = (1e-3, 1e-4, 1e-5)


ORIGINAL = "float original"

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


class Made(NamedTuple):
    """What a form makes of faces: unit vectors (N, D), and the median CPU time of one face."""

    vectors: Float32
    milliseconds: float


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


def embedded(forms: dict[str, bytes], faces: Float32) -> dict[str, Made]:
    """Run each form on each face (N, 112, 112, 3), scaled as the network takes them."""
    loaded = {}
    for name, content in forms.items():
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
        [taken], [given] = interpreter.get_input_details(), interpreter.get_output_details()
        loaded[name] = interpreter, taken["index"], given["index"]
    vectors: dict[str, list[Float32]] = {name: [] for name in forms}
    times: dict[str, list[float]] = {name: [] for name in forms}
    for face in faces:
        for name, (interpreter, taken, given) in loaded.items():
            interpreter.set_tensor(taken, face[np.newaxis])
            begun = time.process_time()
            interpreter.invoke()
            times[name].append((time.process_time() - begun) * 1000)
            [vector] = interpreter.get_tensor(given)
            vectors[name].append(vector / np.linalg.norm(vector))
    return {name: Made(np.stack(vectors[name]), float(np.median(times[name]))) for name in forms}


def row(made: Made, original: Float32, pairs: Pairs) -> list[str]:
    """Describe one form: CPU time, accuracy, TAR at each of RATES, and cosine with the original."""
    scores = (made.vectors[pairs.one] * made.vectors[pairs.other]).sum(axis=1)
    mean, deviation = accuracy(scores, pairs.mated)
    strangers = np.triu(pairs.names[:, np.newaxis] != pairs.names, 1)
    everybody = (made.vectors @ made.vectors.T)[strangers]
    rates = [true_accept_rate(scores[pairs.mated], everybody, rate) for rate in RATES]
    cosines = (made.vectors * original).sum(axis=1)
    return [
        f"{made.milliseconds:.1f}",
        f"{mean:.2%} ± {deviation * 100:.2f}",
        *(f"{rate:.1%} ({cosine:.3f})" for rate, cosine in rates),
        f"{cosines.mean():.4f}, {np.percentile(cosines, 1):.4f}, {cosines.min():.4f}",
    ]


HEADERS = [
    "form",
    "KB",
    "CPU ms",
    "accuracy",
    *(f"TAR at FMR {rate:.0e}" for rate in RATES),
    "cosine with the original: mean, 1st percentile, lowest",
]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Compare the forms of the embedder.")
    parser.add_argument(
        "--images", type=Path, required=True, help="folder of folders of one person"
    )
    parser.add_argument("--pairs", type=Path, required=True, help="pairs.txt")
    parser.add_argument("--archives", type=Path, help="folder with the packages, to fetch nothing")
    arguments = parser.parse_args()
    wanted = read_pairs(arguments.pairs.read_text().splitlines())
    source = Graph(build.upstream_files(arguments.archives)["embedder_float"])
    set_single_batch(source)
    forms = {ORIGINAL: source.to_bytes()}
    for name, entry in build.manifest().items():
        if name.startswith("embedder"):
            forms[name] = (build.HERE / entry["file"]).read_bytes()
    photographs = sorted({photograph for pair in wanted for photograph in pair})
    faces = aligned_faces(arguments.images, photographs)
    pairs = rows(wanted, faces)
    print(
        f"{len(faces)} faces in {len(photographs)} photographs; "
        f"{len(pairs.mated)} pairs, {pairs.mated.sum()} of them mated\n"
    )
    made = embedded(forms, build.scaled(np.stack(list(faces.values()))))
    table = [
        [name, len(content) // 1000, *row(made[name], made[ORIGINAL].vectors, pairs)]
        for name, content in forms.items()
    ]
    print(tabulate(table, HEADERS, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
