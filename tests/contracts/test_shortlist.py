"""Shortlists of large galleries, where faiss is installed."""

import sys
from importlib.util import find_spec

import numpy as np
import pytest

from agent.adapters.shortlist import LENGTH, require_faiss, shortlist_of
from agent.config import Config
from agent.core.matching import search
from agent.core.types import Float32, Gallery, SubjectId
from agent.errors import ConfigError
from agent.installation import open_store
from tests.residents import StoppedClock, vectors

needs_faiss = pytest.mark.skipif(find_spec("faiss") is None, reason="faiss is not installed")


def galleries(matrix: Float32, households: int) -> tuple[Gallery, Gallery]:
    subjects = tuple(SubjectId(str(row)) for row in range(len(matrix)))
    homes = np.arange(len(matrix)) % households
    five = np.full(len(matrix), 5)
    plain = Gallery(matrix, subjects, homes, five, "m")
    return plain, Gallery(matrix, subjects, homes, five, "m", shortlist_of(matrix))


@needs_faiss
@pytest.mark.parametrize("households", [1, 7, 100_000])
def test_what_is_found_with_faiss_is_what_is_found_without(households: int) -> None:
    matrix = vectors(4000, seed=1)
    # Twins, and many who are nearly alike: more than fit on a shortlist.
    matrix[2000] = matrix[3]
    matrix[3000 : 3000 + 2 * LENGTH] = matrix[3000]
    plain, listed = galleries(matrix, households)
    probes = [*vectors(50, seed=2), matrix[3], matrix[3000], matrix[7]]

    for probe in probes:
        one, other = search(plain, probe), search(listed, probe)
        assert one is not None
        assert other is not None
        assert one.best.score == pytest.approx(other.best.score, abs=1e-6)
        assert (one.rival is None) == (other.rival is None)
        if one.rival is not None and other.rival is not None:
            assert one.rival.score == pytest.approx(other.rival.score, abs=1e-6)
        assert bool((matrix[one.best.row] == matrix[other.best.row]).all())


@needs_faiss
def test_no_row_is_above_what_the_shortlist_says_of_those_it_leaves_out() -> None:
    matrix = vectors(3000, seed=3)
    shortlist = shortlist_of(matrix)
    assert shortlist is not None

    for probe in [*vectors(30, seed=4), matrix[5]]:
        rows, bound = shortlist(probe)
        left = np.delete(matrix @ probe, rows)
        assert float(left.max()) <= bound
        # And says so sharply enough to be of use.
        assert bound < float(left.max()) + 0.05
        assert sorted(rows) == list(rows)


@needs_faiss
def test_a_gallery_that_is_no_longer_than_the_list_has_none() -> None:
    assert shortlist_of(vectors(LENGTH)) is None
    assert shortlist_of(np.empty((0, 0), np.float32)) is None


def test_without_faiss_one_line_says_what_to_install(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    settings = Config(state_directory=str(tmp_path), large_gallery=True)
    with pytest.raises(ConfigError, match=r"^large_gallery: faiss is not installed: pip install"):
        open_store(settings, StoppedClock())
    with pytest.raises(ConfigError, match="faiss is not installed"):
        require_faiss()
