"""Copies of the code in which one piece of text is another, and processes that judge each of them.

Whatever judges runs beside the copy, and asserts that it imported that one.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TypeAlias

Edit: TypeAlias = tuple[str, str, str]
"""A file below `root`, a text that is in it once, and what stands there instead."""

ROOT = Path(__file__).parents[1]
AT_ONCE = 2

SERVER = """
import os
import signal
import sys

for line in sys.stdin:
    folder = line.rstrip()
    child = os.fork()
    if child == 0:
        signal.alarm(120)
        output = os.open(f"{folder}/output", os.O_CREAT | os.O_WRONLY)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(folder)
        sys.path.insert(0, folder)
        code = 2
        try:
            import driver

            code = driver.main()
        except BaseException:
            sys.excepthook(*sys.exc_info())
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Runs the driver in each folder that it is told of."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """What is done to the code, and how it is judged.

    mutants: the edits of each. root: what their paths count from. needed: the files and folders to
    copy. packages: what all judges import anyway, loaded once. driver: a module whose `main` gives
    the exit code.
    """

    mutants: Mapping[str, Sequence[Edit]]
    root: str
    needed: Sequence[str]
    packages: Sequence[str]
    driver: str


class Laboratory:
    """Judges each mutant, one ahead of the test that asks for it."""

    def __init__(self, experiment: Experiment, folder: Path) -> None:
        self._experiment = experiment
        self._folder = folder
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._running: dict[str, Future[tuple[int, str]]] = {}
        self._servers: SimpleQueue[subprocess.Popen[str]] = SimpleQueue()
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        loading = "".join(f"import {package}\n" for package in experiment.packages)
        for _ in range(AT_ONCE):
            server = subprocess.Popen(
                [sys.executable, "-c", loading + SERVER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=kept | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
                cwd="/",
                text=True,
            )
            self._servers.put(server)

    def result(self, name: str) -> tuple[int, str]:
        """Give the exit code of a mutant's judge, and what it said."""
        names = list(self._experiment.mutants)
        place = names.index(name)
        for each in names[place : place + AT_ONCE]:
            if each not in self._running:
                self._running[each] = self._pool.submit(self._run, each)
        return self._running[name].result()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        for _ in range(AT_ONCE):
            with self._servers.get() as server:
                assert server.stdin is not None
                server.stdin.close()

    def _run(self, name: str) -> tuple[int, str]:
        folder = self._folder / name.replace(" ", "-")
        self._copy(self._experiment.mutants[name], folder)
        server = self._servers.get()
        try:
            assert server.stdin is not None
            assert server.stdout is not None
            print(folder, file=server.stdin, flush=True)
            code = int(server.stdout.readline())
        finally:
            self._servers.put(server)
        return code, (folder / "output").read_text()

    def _copy(self, edits: Sequence[Edit], folder: Path) -> None:
        for name in self._experiment.needed:
            target = folder / name
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, target)
        for module, text, instead in edits:
            path = folder / self._experiment.root / module
            source = path.read_text()
            assert source.count(text) == 1, f"{text!r} is {source.count(text)} times in {module}"
            path.write_text(source.replace(text, instead))
        (folder / "driver.py").write_text(self._experiment.driver)
        (folder / "pytest.ini").write_text("[pytest]\n")
