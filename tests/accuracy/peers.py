"""`make bench-peers`: Doorward beside other programs, on the same frames in one run.

    python -m tests.accuracy.peers --images DIR --pairs FILE --python PYTHON [--sample N]

Each program sees a frame right after the others did, so that ratios of their CPU times hold on a
machine that is shared. Nothing of a photograph is kept.
"""

import argparse
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from tests.accuracy.pairs import (
    FEWEST,
    Pair,
    Photograph,
    SampleError,
    photographs,
    read_pairs,
    sampled,
)
from tests.accuracy.programs import Results, measured
from tests.accuracy.rates import (
    FOLDS,
    Mated,
    People,
    Rate,
    Scores,
    Strangers,
    accuracy,
    lowest_rate,
    score,
    share,
    strangers,
    true_accept_rate,
)
from tests.bench import processor

SAMPLE = 300
TOLERANCE = 0.6
"""The distance up to which face_recognition itself calls two faces the same."""


@dataclass(frozen=True, slots=True)
class Program:
    """What is measured. worker: its name in `worker.py`. ours: whether in our own environment."""

    name: str
    worker: str
    ours: bool


DOOR = Program("Doorward", "doorward-int8", ours=True)
DLIB = Program("face_recognition", "face_recognition", ours=False)
PROGRAMS = (
    DOOR,
    Program("Doorward, float embedder", "doorward-float", ours=True),
    Program("MTCNN + the float embedder", "mtcnn", ours=False),
    DLIB,
)


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """What a program makes of the pairs.

    scores: (P,). mated: (P,) which are. whose: (P,) number of the first's person. others: everybody
    with everybody else. people: how many are numbered.
    """

    scores: Scores
    mated: NDArray[np.bool_]
    whose: People
    others: Strangers
    people: int

    def true_accept_rate(self, rate: float, *, acquired: bool) -> Rate:
        """Give it of the pairs that were acquired, or of all: who is not acquired is refused."""
        kept = self.mated & (np.isfinite(self.scores) | (not acquired))
        mated = Mated(self.scores[kept], self.whose[kept])
        return true_accept_rate(mated, self.others, rate, self.people)


def compared(vectors: Mapping[Photograph, NDArray[np.float64]], pairs: Sequence[Pair]) -> Compared:
    """Compare each pair, and everybody with everybody else by the first photograph acquired."""
    names = sorted({photograph.name for pair in pairs for photograph in pair})
    number = {name: place for place, name in enumerate(names)}
    nothing = np.full(len(next(iter(vectors.values()))), np.inf)
    one, other = (np.stack([vectors.get(pair[side], nothing) for pair in pairs]) for side in (0, 1))
    first = {each.name: vectors[each] for each in sorted(vectors, reverse=True)}
    with np.errstate(invalid="ignore"):
        scores = score(one, other)
    return Compared(
        np.where(np.isnan(scores), -np.inf, scores),
        np.array([pair.mated for pair in pairs]),
        np.array([number[pair.one.name] for pair in pairs]),
        strangers(np.stack(list(first.values())), np.array([number[name] for name in first])),
        len(names),
    )


def report(results: Mapping[Program, Results], pairs: Sequence[Pair], rate: float) -> str:
    """Describe what was measured, in Markdown. rate: the FMR at which the TAR is told."""
    mated = sum(pair.mated for pair in pairs)
    frames = len({photograph for pair in pairs for photograph in pair})
    people = _people(pairs)
    header = [
        "program",
        "failure to acquire, %",
        f"accuracy, {FOLDS} folds, %",
        f"TAR at FMR {rate:g}, %",
        "same, a failure to acquire counted as a refusal, %",
        "CPU ms a frame, p50",
        "p95",
        "times Doorward's CPU",
        "RSS, MB",
    ]
    rows = [
        _row(program, each, compared(each.vectors, pairs), rate, results[DOOR])
        for program, each in results.items()
        if not _failed(each, pairs)
    ]
    sample = (
        f"{frames:,} photographs of {people:,} people; {mated:,} mated and {len(pairs) - mated:,} "
        "non-mated pairs. FMR: everybody with everybody else, by one photograph each. "
        "±: standard error; in brackets: 95 %."
    )
    table = tabulate(rows, header, "github", disable_numparse=True)
    notes = [_note(program, each, pairs) for program, each in results.items()]
    return "\n".join([sample, "", table, "", *notes])


def _people(pairs: Sequence[Pair]) -> int:
    return len({photograph.name for pair in pairs for photograph in pair})


def _failed(results: Results, pairs: Sequence[Pair]) -> str:
    acquired = [pair.mated for pair in pairs if results.vectors.keys() >= set(pair)]
    few = not min(sum(acquired), len(acquired) - sum(acquired)) >= FEWEST
    return results.failed or (
        f"both faces acquired in {len(acquired)} of {len(pairs)} pairs only" if few else ""
    )


def _row(
    program: Program, results: Results, made: Compared, rate: float, door: Results
) -> list[str]:
    acquired = np.isfinite(made.scores)
    frames = len(results.cpu)
    mean, error = accuracy(made.scores[acquired], made.mated[acquired])
    milliseconds = np.percentile(results.cpu, [50, 95]) * 1000
    return [
        program.name,
        _percent(share(frames - len(results.vectors), frames)),
        f"{mean * 100:.1f} ± {error * 100:.1f}",
        _percent(made.true_accept_rate(rate, acquired=True)),
        _percent(made.true_accept_rate(rate, acquired=False)),
        *(f"{taken:.1f}" for taken in milliseconds),
        f"{sum(results.cpu) / sum(door.cpu):.1f}" if not door.failed else "-",
        f"{results.megabytes:.0f}",
    ]


def _percent(rate: Rate) -> str:
    return "{:.1f} ({:.1f}–{:.1f})".format(*(part * 100 for part in rate))


def _note(program: Program, results: Results, pairs: Sequence[Pair]) -> str:
    note = f"- {program.name}: {results.made_of or 'no answer'}"
    if results.raised:
        note += f"; raised in {len(results.raised)} frames, at last {results.raised[-1]}"
    failed = _failed(results, pairs)
    if failed:
        note += f"; not measured, {failed}"
    elif program is DLIB:
        made = compared(results.vectors, pairs)
        false = (made.others.scores >= -TOLERANCE).sum()
        acquired = made.scores[made.mated & np.isfinite(made.scores)]
        note += (
            f"; at its own tolerance of {TOLERANCE} FMR "
            f"{_percent(share(int(false), made.others.comparisons))} % and FNMR "
            f"{_percent(share(int((acquired < -TOLERANCE).sum()), len(acquired)))} %"
        )
    return note


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure Doorward beside other programs.")
    parser.add_argument("--images", type=Path, required=True, help="holds NAME/NAME_0001.jpg")
    parser.add_argument("--pairs", type=Path, required=True, help="pairs.txt")
    parser.add_argument("--python", type=Path, required=True, help="the others' interpreter")
    parser.add_argument(
        "--sample", type=int, default=SAMPLE, help=f"pairs of each kind, {SAMPLE}; 0 takes all"
    )
    arguments = parser.parse_args()
    try:
        pairs = sampled(read_pairs(arguments.pairs), arguments.sample)
        found = photographs(arguments.images, pairs)
    except SampleError as error:
        sys.exit(f"bench-peers: {error}")
    rate = lowest_rate(_people(pairs))
    if rate is None:
        sys.exit(
            f"bench-peers: {_people(pairs)} people are too few to tell an FMR: take more pairs"
        )
    if not arguments.python.exists():
        sys.exit(f"bench-peers: {arguments.python} is missing: `make bench-peers` makes it")
    commands = [_command(program, arguments.python) for program in PROGRAMS]
    results = dict(zip(PROGRAMS, measured(commands, found), strict=True))
    print(f"{processor()}, Python {platform.python_version()}, 1 thread\n")
    print(report(results, pairs, rate))


def _command(program: Program, others: Path) -> list[str]:
    python = sys.executable if program.ours else str(others)
    return [python, "-W", "ignore", "-m", "tests.accuracy.worker", program.worker]


if __name__ == "__main__":
    main()
