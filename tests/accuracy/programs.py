"""Programs in processes of their own, which look at the same frames in turn."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from agent.core.types import Pixels
from tests.accuracy.pairs import Photograph, read

ROOT = Path(__file__).parents[2]
WARM_UP = 3
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class PeerError(Exception):
    """A program cannot go on. One line."""


@dataclass(slots=True, eq=False)
class Results:
    """What a program did.

    made_of: its packages. cpu: seconds for each frame. vectors: of the frames that it acquired.
    raised: what it raised, in as many frames. megabytes: RSS after the last. failed: why it could
    not go on, in one line, or nothing.
    """

    made_of: str = ""
    cpu: list[float] = field(default_factory=list)
    vectors: dict[Photograph, NDArray[np.float64]] = field(default_factory=dict)
    raised: list[str] = field(default_factory=list)
    megabytes: float = 0.0
    failed: str = ""


class Worker:
    """A program's process.

    Every method but `close` raises PeerError. command: starts it; it answers as `worker.py` says.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.results = Results()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - `close` does
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=ROOT,
            env=os.environ | ONE_THREAD,
        )

    def warm_up(self, pixels: Pixels) -> None:
        """Wait until its packages are loaded, and have it look at a frame that does not count."""
        self.results.made_of = self._answer()
        for _ in range(WARM_UP):
            self._ask(pixels)

    def look(self, photograph: Photograph, pixels: Pixels) -> None:
        """Have it look at a frame."""
        answer = self._ask(pixels)
        self.results.cpu.append(answer["cpu"])
        if answer["raised"] is not None:
            self.results.raised.append(answer["raised"])
        if answer["vector"] is not None:
            self.results.vectors[photograph] = np.array(answer["vector"])

    def finish(self) -> None:
        """Have it end."""
        self._stdin.close()
        self.results.megabytes = self._answer()

    def close(self) -> None:
        """Have no more of it."""
        self._process.kill()
        self._process.wait()
        for file in (self._process.stdin, self._process.stdout, self._errors):
            assert file is not None
            with suppress(OSError):
                file.close()

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    def _ask(self, pixels: Pixels) -> Any:  # noqa: ANN401 - JSON
        height, width, _ = pixels.shape
        with suppress(OSError):  # What it says at its end tells more.
            self._stdin.write(b"%d %d\n" % (height, width))
            self._stdin.write(pixels.tobytes())
            self._stdin.flush()
        return self._answer()

    def _answer(self) -> Any:  # noqa: ANN401 - JSON
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        code = self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").split("\n")
        last = next((line for line in reversed(said) if line.strip()), "said nothing")
        raise PeerError(f"ended with {code}: {last.strip()}")


def measured(commands: Sequence[Sequence[str]], found: Mapping[Photograph, Path]) -> list[Results]:
    """Have every program look at every frame, each frame by all before the next.

    commands: as of Worker. found: photographs that can be read.
    """
    with ExitStack() as stack:
        workers = [stack.enter_context(closing(Worker(command))) for command in commands]
        _each(workers, lambda worker: worker.warm_up(_pixels(next(iter(found.values())))))
        for number, (photograph, path) in enumerate(found.items(), 1):
            _look(workers, photograph, _pixels(path))
            print(f"\r{number} of {len(found)} photographs", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        _each(workers, Worker.finish)
        return [worker.results for worker in workers]


def _look(workers: Sequence[Worker], photograph: Photograph, pixels: Pixels) -> None:
    _each(workers, lambda worker: worker.look(photograph, pixels))


def _each(workers: Sequence[Worker], step: Callable[[Worker], None]) -> None:
    for worker in workers:
        if not worker.results.failed:
            try:
                step(worker)
            except PeerError as error:
                worker.results.failed = str(error)


def _pixels(path: Path) -> Pixels:
    pixels = read(path)
    assert pixels is not None, f"{path} was there a moment ago"
    return pixels
