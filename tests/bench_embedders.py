"""How long each form of the embedder takes with the runtime of this environment, on one thread.

    .venv/bin/python -m tests.bench_embedders
    .venv-tflite/bin/python -m tests.bench_embedders

`make bench` has the same figures beside those of the other steps, for ai-edge-litert only.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from agent.vision.models import RUNTIME, load_model

FORMS = ("embedder_int8", "embedder_float")
MODELS = Path(__file__).parents[1] / "models"
ROUNDS = 200
WARM_UP = 20


def turns(steps: Mapping[str, Callable[[], object]]) -> list[list[object]]:
    """Run steps in turns, and give the median and 95th percentile of each's CPU time in ms.

    What else a machine does slows steps that take turns alike, and its own clock would count it.
    """
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(WARM_UP + ROUNDS):
        for name, step in steps.items():
            begun = time.process_time()
            step()
            taken[name].append((time.process_time() - begun) * 1000.0)
    return [[name, *np.percentile(each[WARM_UP:], [50, 95])] for name, each in taken.items()]


def main() -> None:
    """Measure and print."""
    face = np.random.default_rng(0).uniform(-1, 1, (1, 112, 112, 3)).astype(np.float32)
    print(f"{RUNTIME}, 1 thread; CPU ms: p50, p95")
    for name, *milliseconds in turns({f: partial(load_model(MODELS, f), face) for f in FORMS}):
        print(f"{name:16}", *(f"{each:8.2f}" for each in milliseconds))


if __name__ == "__main__":
    main()
