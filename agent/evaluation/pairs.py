"""The pairs file of Labeled Faces in the Wild: which photographs are compared, in which fold."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.errors import ConfigError
from agent.evaluation.collection import Collection

HEADER, MATED, NON_MATED = 2, 3, 4
"""Words on the first line, and on a line: `name i j`, and `name i name j`."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Comparisons of rows of a collection.

    one, other: (P,) rows. mated: (P,) bool. fold: (P,) from 0. folds: how many the file has.
    malformed: its lines that are no pair. missing: lines that name a photograph which is not there.
    without_probe: how many pairs have a photograph that gave no probe.
    """

    one: NDArray[np.intp]
    other: NDArray[np.intp]
    mated: NDArray[np.bool_]
    fold: NDArray[np.intp]
    folds: int
    malformed: list[str]
    missing: list[str]
    without_probe: int


def read_pairs(file: Path, collection: Collection) -> Pairs:
    """Read a pairs file: `folds pairs` first, then in each fold so many mated and non-mated ones.

    Raises:
        ConfigError: it cannot be read, does not begin so, or leaves no pair to compare.
    """
    try:
        header, *lines = file.read_text(encoding="utf-8").splitlines() or [""]
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}: name another with --pairs") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: is no text: name another with --pairs") from None
    words = [int(word) for word in header.split() if word.isdecimal()]
    if not (len(words) == len(header.split()) == HEADER and min(words) > 0):
        raise ConfigError(
            f"{file}: is no pairs file: its first line is how many folds, and how many pairs of "
            "each kind in one"
        )
    folds, size = words
    place = {
        (str(name), str(stem)): row
        for row, (name, stem) in enumerate(zip(collection.names, collection.stems, strict=True))
    }
    turned_away = {
        (path.parent.name, path.stem) for files in collection.failed.values() for path in files
    }
    kept: list[tuple[int, int, bool, int]] = []
    malformed: list[str] = []
    missing: list[str] = []
    without_probe = 0
    for position, line in enumerate(lines):
        pair = _pair(line)
        if pair is None or not position < 2 * folds * size:
            malformed.append(f"line {position + 2}: {line[:80]!r}")
        elif pair[0] in place and pair[1] in place:
            fold = position // (2 * size)
            kept.append((place[pair[0]], place[pair[1]], pair[0][0] == pair[1][0], fold))
        elif all(each in place or each in turned_away for each in pair):
            without_probe += 1
        else:
            missing.append(f"line {position + 2}: {line[:80]!r}")
    if not kept:
        raise ConfigError(
            f"{file}: no pair to compare: {len(malformed)} lines malformed, {len(missing)} naming "
            f"photographs that are not there, {without_probe} of photographs without a usable face"
        )
    return Pairs(
        one=np.array([pair[0] for pair in kept]),
        other=np.array([pair[1] for pair in kept]),
        mated=np.array([pair[2] for pair in kept]),
        fold=np.array([pair[3] for pair in kept]),
        folds=folds,
        malformed=malformed,
        missing=missing,
        without_probe=without_probe,
    )


def _pair(line: str) -> tuple[tuple[str, str], tuple[str, str]] | None:
    words = line.split()
    if len(words) not in (MATED, NON_MATED):
        return None
    name, i, *rest = words
    other, j = rest if len(words) == NON_MATED else (name, rest[0])
    if not (i.isdecimal() and j.isdecimal()):
        return None
    return (name, f"{name}_{int(i):04}"), (other, f"{other}_{int(j):04}")
