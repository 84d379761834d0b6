from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "models"))

import calibrate

if TYPE_CHECKING:
    from agent.core.types import Float32


def strangers(people: int) -> Float32:
    """Cosines of the probes and templates of made-up people."""
    random = np.random.default_rng(0)
    vectors = random.normal(size=(people, 24))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors @ vectors.T).astype(np.float32)


@pytest.mark.parametrize(("count", "bound"), [(0, 2.996), (1, 4.744), (5, 10.513), (100, 118.08)])
def test_the_bound_on_a_count_is_garwoods(count: int, bound: float) -> None:
    assert calibrate.most_expected(count) == pytest.approx(bound, rel=1e-4)


@pytest.mark.parametrize("people", [60, 90, 130, 600])
def test_bounds_fall_with_the_threshold_and_lie_above_what_was_seen(people: int) -> None:
    scores = strangers(people)
    others = ~np.eye(people, dtype=bool)
    bounds = calibrate.upper_bounds(scores)
    seen = [(scores >= t)[others].mean() for t in calibrate.THRESHOLDS]
    assert bounds == sorted(bounds, reverse=True)
    assert all(bound > rate for bound, rate in zip(bounds, seen, strict=True))
    assert all(3 / others.sum() <= bound <= 1 for bound in bounds)


def test_mated_comparisons_count_for_nothing() -> None:
    scores = strangers(600)
    other = scores.copy()
    np.fill_diagonal(other, -1)
    assert calibrate.upper_bounds(scores) == calibrate.upper_bounds(other)


def test_people_that_recur_raise_the_design_effect() -> None:
    independent = np.random.default_rng(0).random((600, 600)) > 0.99
    blocks = np.kron(np.random.default_rng(0).random((60, 60)) > 0.99, np.ones((10, 10))) > 0
    assert calibrate.design_effect(independent) < 2.5
    assert calibrate.design_effect(blocks) > 10


def test_too_few_people_are_an_error() -> None:
    with pytest.raises(SystemExit, match="too few people"):
        calibrate.upper_bounds(np.eye(5, dtype=np.float32))


def test_a_point_that_lowers_no_bound_is_left_out() -> None:
    bounds = [1e-2, 1e-3, 1e-3, 1e-3, 1e-4]
    assert calibrate.points(bounds + [1e-4] * (len(calibrate.THRESHOLDS) - 5)) == [
        [0.4, 1e-2],
        [0.41, 1e-3],
        [0.44, 1e-4],
    ]


@pytest.mark.parametrize(("photographs", "probe", "template"), [(2, 1, 1), (5, 2, 3), (20, 3, 5)])
def test_probe_and_template_share_no_photograph(
    photographs: int, probe: int, template: int
) -> None:
    vectors = np.eye(photographs, 24, dtype=np.float32)
    pooled, kept = calibrate.split(vectors)
    assert np.count_nonzero(pooled) == probe
    assert np.count_nonzero(kept) == template
    assert not (pooled * kept).any()
