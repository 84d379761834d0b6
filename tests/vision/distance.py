"""Measure how small a face the detectors find, on any folder of portraits.

    python -m tests.vision.distance DIR

Each portrait is drawn at each eye distance into a frame of 1280x720 with a made background, in the
middle and off it. Prints the share of frames whose face was found; docs/adr/0003-face-detection.md
holds the results.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from agent.vision.detect import FAR, NEAR, Detector, Landmarker
from agent.vision.models import load_model
from agent.vision.sampling import Similarity
from tests.vision.scenes import HEIGHT, MODELS, WIDTH, central_mesh, hall, place, read

if TYPE_CHECKING:
    from agent.core.types import Float32, Pixels

EYE_DISTANCES = (20, 24, 28, 31, 35, 40, 50, 62, 80, 124, 200)
PORTRAITS, PER_DISTANCE = 150, 80


def scene(
    random: np.random.Generator, picture: Pixels, eyes: Float32, apart: float
) -> tuple[Pixels, complex]:
    """Draw a portrait, its eyes (2, 2) px, with them `apart` px; give the frame and their place."""
    left, right = eyes @ (1, 1j)
    scale = abs(right - left) / apart
    # Off centre, but with the whole head in the frame as far as it is high enough.
    margin = min(2.2 * apart, HEIGHT / 2 - 1)
    at = complex(random.uniform(margin, WIDTH - margin), random.uniform(margin, HEIGHT - margin))
    frame = hall(random)
    place(frame, picture, Similarity(complex(scale), (left + right) / 2 - scale * at))
    return frame, at


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure how small a face the detectors find.")
    parser.add_argument("images", type=Path, help="folder of portraits, searched in depth")
    paths = sorted(parser.parse_args().images.rglob("*.jpg"))
    random = np.random.default_rng(1)
    near = Detector(load_model(MODELS, "detector"), NEAR)
    far = Detector(load_model(MODELS, "detector_far"), FAR)
    landmarks = Landmarker(load_model(MODELS, "landmarks"))
    pictures = [read(paths[position]) for position in random.permutation(len(paths))[:PORTRAITS]]
    meshes = [central_mesh(picture, far, landmarks) for picture in pictures]
    portraits = [
        (picture, mesh.five[:2]) for picture, mesh in zip(pictures, meshes, strict=True) if mesh
    ]
    print("eye distance px   near    far  located by either   ms near  ms far")  # noqa: T201
    for apart in EYE_DISTANCES:
        hits, spent = np.zeros(3), np.zeros(2)
        for _ in range(PER_DISTANCE):
            frame, at = scene(random, *portraits[random.integers(len(portraits))], apart)
            located = False
            for column, detector in enumerate((near, far)):
                started = time.perf_counter()
                faces = detector.find(frame)
                spent[column] += time.perf_counter() - started
                good = [f for f in faces if abs(complex(*f.eyes.mean(0)) - at) < apart / 2]
                hits[column] += bool(good)
                located |= any(landmarks.locate(frame, face) for face in good)
            hits[2] += located
        shares = (hits / PER_DISTANCE).round(2)
        ms = (spent / PER_DISTANCE * 1e3).round(1)
        print(f"{apart:15} {shares[0]:6} {shares[1]:6} {shares[2]:18} {ms[0]:9} {ms[1]:7}")  # noqa: T201


if __name__ == "__main__":
    main()
