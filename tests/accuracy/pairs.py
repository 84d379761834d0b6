"""Photographs in pairs: who is compared with whom, and whether all of it is there."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from agent.core.types import Pixels
from agent.evaluation.collection import read_photograph


class Photograph(NamedTuple):
    """Whose it is, and its number."""

    name: str
    number: int


class Pair(NamedTuple):
    """Two photographs, mated if they are of one person."""

    one: Photograph
    other: Photograph

    @property
    def mated(self) -> bool:
        """Tell whether both are of one person."""
        return self.one.name == self.other.name


class SampleError(Exception):
    """The photographs cannot be compared. One line that names what is wrong, and the mend."""


FEWEST = 10
"""Pairs of a kind: each makes a fold at least."""

LAYOUT = "IMAGES is a folder of NAME/NAME_0001.jpg, PAIRS has lines `NAME 1 2` or `NAME 1 OTHER 2`"


def read_pairs(path: Path) -> list[Pair]:
    """Read a pairs file of the layout of Labeled Faces in the Wild. Raises SampleError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise SampleError(f"{path}: {error}; {LAYOUT}") from error
    return [
        _pair(path, number, words)
        for number, words in enumerate(map(str.split, lines), 1)
        # The first line counts folds and pairs.
        if words and not (number == 1 and len(words) < 3)
    ]


def _pair(path: Path, number: int, words: list[str]) -> Pair:
    try:
        name, i, *other, j = words
        [second] = other or [name]
        return Pair(Photograph(name, int(i)), Photograph(second, int(j)))
    except ValueError as error:
        raise SampleError(f"{path}, line {number}: no pair: mend or remove it; {LAYOUT}") from error


def sampled(pairs: list[Pair], number: int) -> list[Pair]:
    """Take so many pairs of each kind, evenly over the file, or with 0 all. Raises SampleError."""
    kinds = ([p for p in pairs if p.mated], [p for p in pairs if not p.mated])
    fewest = min(map(len, kinds))
    if not fewest >= FEWEST or not (number == 0 or number >= FEWEST):
        raise SampleError(
            f"PAIRS has {len(kinds[0])} mated and {len(kinds[1])} non-mated pairs, "
            f"{number or 'all'} of each are wanted, and rates need {FEWEST} or more; {LAYOUT}"
        )
    return [
        kind[place]
        for kind in kinds
        for place in np.unique(np.linspace(0, len(kind) - 1, number or len(kind)).astype(int))
    ]


def photographs(images: Path, pairs: list[Pair]) -> dict[Photograph, Path]:
    """Give where each photograph is. Raises SampleError unless all can be read."""
    found = {
        each: images / each.name / f"{each.name}_{each.number:04d}.jpg"
        for each in sorted({photograph for pair in pairs for photograph in pair})
    }
    # Now, and not after ten minutes.
    missing = [path for path in found.values() if read(path) is None]
    if missing:
        raise SampleError(
            f"{missing[0]}: missing or no picture, the first of {len(missing)} such among the "
            f"{len(found)} that PAIRS names: put them there or take their pairs out; {LAYOUT}"
        )
    return found


def read(path: Path) -> Pixels | None:
    """Read a photograph, RGB, if it is one."""
    return read_photograph(path) if path.is_file() else None
