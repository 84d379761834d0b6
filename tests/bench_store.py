"""What the store takes with a thousand residents, on the disk that temporary files are on."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from agent.core.types import SubjectId
from tests.bench_writes import device_bytes_per_event
from tests.residents import DENIED, MODEL, NOW, enrol, erase, granted, new_store, opened, vectors

RESIDENTS = 1000
REFERENCES = 5
ROUNDS = 20
EVENTS = 20_000


def store_rows() -> list[list[object]]:
    """Give a row for each figure: what, and how much."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state" / "doorward.db"
        return [*_residents(path), *_events(Path(folder) / "log" / "doorward.db"), *_writes()]


def _residents(path: Path) -> list[list[object]]:
    taken: list[float] = []
    with opened(path) as store:
        for number in range(RESIDENTS):
            with _stopwatch(taken):
                enrol(store, f"s-{number:016x}", references=vectors(REFERENCES, seed=number))
    openings: list[float] = []
    for _ in range(ROUNDS):
        with _stopwatch(openings):
            store = new_store(path)
            store.load(MODEL)
        store.close()
    grants: list[float] = []
    erasures: list[float] = []
    with opened(path) as store:
        store.load(MODEL)
        for number in range(10 * ROUNDS):
            with _stopwatch(grants):
                store.append(granted(f"s-{number:016x}"), NOW)
        for number in range(ROUNDS):
            with _stopwatch(erasures):
                erase(store, SubjectId(f"s-{number:016x}"))
    return [
        [f"enrol commit, up to {RESIDENTS:,} enrolled, ms p50", np.median(taken)],
        [f"open and load {RESIDENTS:,}, ms p50", np.median(openings)],
        [f"grant appended, {RESIDENTS:,} enrolled, ms p50", np.median(grants)],
        [f"erase one of {RESIDENTS:,}, certified, ms p50", np.median(erasures)],
    ]


def _events(path: Path) -> list[list[object]]:
    appended: list[float] = []
    with opened(path) as store:
        for _ in range(EVENTS):
            with _stopwatch(appended):
                store.append(DENIED, NOW)
        checks: list[float] = []
        _repeat(store.verify, checks)
    return [
        ["event appended, ms p50", np.median(appended)],
        ["log verified, events a second", EVENTS / (np.median(checks) / 1000.0)],
    ]


def _writes() -> list[list[object]]:
    measured, reason = device_bytes_per_event()
    if measured is None:
        return [[f"device bytes per event: not measured, {reason}", float("nan")]]
    return [
        ["device bytes per event, one after the other", measured.per_event],
        ["device bytes while idle", float(measured.idle)],
    ]


def _repeat(step: Callable[[], object], taken: list[float]) -> None:
    for _ in range(5):
        with _stopwatch(taken):
            step()


@contextmanager
def _stopwatch(taken: list[float]) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    taken.append((time.perf_counter() - begun) * 1000.0)
