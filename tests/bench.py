"""`make bench`: how long each step takes on this machine, on one thread, and what the agent costs.

Timings say little about a Pi; their ratios, taken in one run, say more. Steps are timed by the
processor's clock, since other work on the machine would count in any other, and what is compared
takes turns.
"""

import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from tabulate import tabulate

from agent.adapters.clock import SystemClock
from agent.adapters.shortlist import shortlist_of
from agent.config import Config
from agent.core.matching import search
from agent.core.types import Frame, Gallery, Pixels, SubjectId
from agent.demonstration.stage import NOISE_FIELDS, Stage, photograph
from agent.installation import models_directory
from agent.motion import Motion
from agent.vision.align import align
from agent.vision.detect import FAR, NEAR, Detector, Landmarker
from agent.vision.embed import Embedder
from agent.vision.models import RUNTIME, load_model
from agent.vision.pipeline import load_pipeline
from agent.vision.quality import assess
from tests.bench_embedders import FORMS, turns
from tests.bench_store import store_rows
from tests.bench_wire import cpu_seconds, wire_rows

FPS = 10
AGENT_SECONDS = 10


def main() -> None:
    """Measure and print."""
    print(f"{processor()}, Python {platform.python_version()}, {RUNTIME}, 1 thread\n")
    face, corridor = _frames()
    print(
        tabulate(_vision(face) + _galleries(), ["step", "p50 CPU ms", "p95 CPU ms"], floatfmt=".2f")
    )
    print()
    print(tabulate(store_rows(), ["the store", ""], floatfmt=",.2f"))
    print()
    print(tabulate(wire_rows(), ["the wire", ""], floatfmt=",.1f"))
    print()
    print(tabulate(_agent(corridor, face), ["the running agent", ""], floatfmt=".2f"))


def _frames() -> tuple[Pixels, list[Pixels]]:
    """Give a frame with a resident close by, and some with nobody: (720, 1280, 3) each."""
    stage = Stage(1000.0, SystemClock())
    frames = stage.frames()
    corridor = [next(frames).pixels for _ in range(NOISE_FIELDS)]
    stage.walk_up([photograph("obama.jpg")], 60.0)
    time.sleep(2.0)
    face = next(frames).pixels
    stage.close()
    return face, corridor


def _vision(pixels: Pixels) -> list[list[object]]:
    directory = models_directory(Config())
    near = Detector(load_model(directory, "detector"), NEAR)
    far = Detector(load_model(directory, "detector_far"), FAR)
    landmarks = Landmarker(load_model(directory, "landmarks"))
    embedders = {form: Embedder(load_model(directory, form)) for form in FORMS}
    pipelines = {form: load_pipeline(directory, Config().quality, embedder=form) for form in FORMS}
    [face, *_] = near.find(pixels)
    mesh = landmarks.locate(pixels, face)
    if mesh is None:
        sys.exit("bench: no face in the demonstration's frame")
    aligned = align(pixels, mesh.five)
    frame = Frame(pixels, 0.0)
    motion = Motion()
    steps: dict[str, Callable[[], object]] = {
        "brightness and motion, of every frame": lambda: motion.look(frame),
        "detect, near": lambda: near.find(pixels),
        "detect, far: where near finds nobody": lambda: far.find(pixels),
        "landmarks": lambda: landmarks.locate(pixels, face),
        "align": lambda: align(pixels, mesh.five),
        "quality": lambda: assess(mesh, aligned),
    }
    for form, embedder in embedders.items():
        steps[f"embed, {form}"] = partial(embedder.embed, aligned)
    for form, pipeline in pipelines.items():
        steps[f"whole frame, 1280x720, one face, {form}"] = partial(pipeline, frame)
    return turns(steps)


def _galleries() -> list[list[object]]:
    few = [row for size in (100, 10_000, 100_000, 1_000_000) for row in _match(size)]
    if find_spec("faiss") is None:
        return few
    return [
        *few,
        *(row for size in (100_000, 1_000_000) for row in _match(size, shortlisted=True)),
    ]


def _match(size: int, *, shortlisted: bool = False) -> list[list[object]]:
    random = np.random.default_rng(size)
    matrix = random.standard_normal((size, 192), np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    subjects = tuple(SubjectId(str(row)) for row in range(size))
    index = shortlist_of(matrix) if shortlisted else None
    gallery = Gallery(matrix, subjects, np.arange(size), np.full(size, 5), "bench", index)
    # Of a stranger, for whom the shortlist is the least sure.
    probe = random.standard_normal(192, np.float32)
    probe /= np.linalg.norm(probe)
    name = f"match, gallery of {size:,}{', with faiss' if shortlisted else ''}"
    return turns({name: lambda: search(gallery, probe)})


def _agent(corridor: list[Pixels], face: Pixels) -> list[list[object]]:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import agent.cli"], check=True)
    imported = time.perf_counter() - begun
    idle = _run(corridor)
    busy = _run([face])
    return [
        ["import, s", imported],
        ["start to ready, s", idle["ready"]],
        [f"nobody there, {FPS} fps: CPU, % of one core", idle["cpu"]],
        [f"nobody there, {FPS} fps: RSS, MB", idle["rss"]],
        [f"a face in every frame, {FPS} fps: CPU, % of one core", busy["cpu"]],
        [f"a face in every frame, {FPS} fps: RSS, MB", busy["rss"]],
        [
            "CPU with nobody there as a share of that with a face, %",
            idle["cpu"] / busy["cpu"] * 100,
        ],
    ]


def _run(seen: list[Pixels]) -> dict[str, float]:
    """Run `doorward run` on a replay of these pictures in turn, and watch the process."""
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures"
        pictures.mkdir()
        # Not compressed, for a camera's frames need no decoding either.
        for number, pixels in enumerate(seen):
            bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(pictures / f"{number:05}.bmp"), bgr)
        for number in range(len(seen), 60 * FPS):
            (pictures / f"{number:05}.bmp").symlink_to(f"{number % len(seen):05}.bmp")
        settings = Path(folder) / "doorward.toml"
        settings.write_text(
            f'state_directory = "{folder}/state"\n[camera]\nfps = {FPS}\n', encoding="utf-8"
        )
        command = ["--config", str(settings), "run", "--simulate", "--json"]
        begun = time.perf_counter()
        agent = subprocess.Popen(
            [sys.executable, "-m", "agent", *command, "--camera", f"frames:{pictures}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            told = (json.loads(line)["event"] for line in agent.stdout or ())
            if "started" not in told:
                sys.exit("bench: the agent does not start")
            ready = time.perf_counter() - begun
            time.sleep(2.0)
            spent = cpu_seconds(agent.pid)
            time.sleep(AGENT_SECONDS)
            used = (cpu_seconds(agent.pid) - spent) / AGENT_SECONDS * 100
            return {"ready": ready, "cpu": used, "rss": _rss(agent.pid)}
        finally:
            agent.terminate()
            agent.wait()


def _rss(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def processor() -> str:
    """Give the name of this machine's."""
    described = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.split(":", 1)[1].strip() for line in described if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    main()
