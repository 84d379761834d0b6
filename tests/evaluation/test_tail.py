import numpy as np
import pytest

from agent.evaluation.tail import Tail, fit_tail


def drawn(tail: Tail, count: int, seed: int) -> np.ndarray:
    """Excesses of made-up scores, rising."""
    shares = np.random.default_rng(seed).uniform(0, tail.share, count)
    return np.sort([tail.score_at(share) - tail.start for share in shares])


@pytest.mark.parametrize("shape", [-0.3, -0.1, 0.0, 0.2])
def test_a_known_tail_is_recovered(shape: float) -> None:
    known = Tail(0.4, 1e-3, 0.05, shape)
    fitted = fit_tail(0.4, 1e-3, drawn(known, 20_000, 1))
    assert fitted.shape == pytest.approx(shape, abs=0.03)
    assert fitted.scale == pytest.approx(0.05, rel=0.05)
    assert fitted.score_at(1e-6) == pytest.approx(known.score_at(1e-6), abs=0.03)


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.2])
def test_the_score_of_a_share_has_that_share_above_it(shape: float) -> None:
    tail = Tail(0.4, 1e-2, 0.05, shape)
    for share in (1e-2, 1e-4, 1e-8):
        assert tail.above(tail.score_at(share)) == pytest.approx(share)


def test_nothing_lies_beyond_the_end_of_a_tail_that_has_one() -> None:
    assert Tail(0.4, 1e-2, 0.05, -0.5).above(0.51) == 0


def test_a_score_that_counts_twice_is_as_two() -> None:
    excesses = np.sort(np.random.default_rng(0).exponential(0.05, 500))
    counts = np.random.default_rng(1).integers(0, 3, 500).astype(float)
    twice = np.repeat(excesses, counts.astype(int))
    weighted, repeated = fit_tail(0, 1, excesses, counts), fit_tail(0, 1, twice)
    assert weighted.shape == pytest.approx(repeated.shape, abs=0.01)
    assert weighted.scale == pytest.approx(repeated.scale, rel=0.01)


def test_with_its_shape_known_the_scale_is_fitted_alone() -> None:
    fitted = fit_tail(0.4, 1e-3, drawn(Tail(0.4, 1e-3, 0.05, -0.1), 2_000, 2), shape=-0.1)
    assert fitted.shape == -0.1
    assert fitted.scale == pytest.approx(0.05, rel=0.06)


@pytest.mark.parametrize("excesses", [[], [0.0, 0.0]])
def test_scores_without_a_tail_are_an_error(excesses: list[float]) -> None:
    with pytest.raises(ValueError, match="scores above the start"):
        fit_tail(0.4, 1e-3, np.array(excesses))
