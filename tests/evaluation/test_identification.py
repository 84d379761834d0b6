import numpy as np
import pytest

from agent.evaluation.identification import SPLITS, fnir_at, run_trials
from agent.evaluation.resampling import drawn
from tests.evaluation.crowd import crowd, strangers, true_cosine

NOBODY = np.zeros((200, 200), dtype=bool)


@pytest.fixture(scope="module")
def weights() -> np.ndarray:
    return drawn(200, np.random.default_rng(0))


@pytest.mark.parametrize("size", [1, 10, 50])
def test_the_threshold_is_the_one_that_lets_this_share_of_strangers_in(
    size: int, weights: np.ndarray
) -> None:
    trials = run_trials(strangers(200, 2, 0), 1, 1, NOBODY, [size])[size]
    rate = fnir_at(trials, size, 1e-2, weights)
    assert rate is not None
    assert not rate.estimated
    assert rate.threshold == pytest.approx(true_cosine(1 - 0.99 ** (1 / size)), abs=0.03)
    assert rate.fnir > 0.9  # Their photographs have nothing to do with each other.


def test_beyond_what_the_strangers_bear_out_the_rate_is_an_estimate(weights: np.ndarray) -> None:
    trials = run_trials(strangers(200, 2, 0), 1, 1, NOBODY, [50])[50]
    rate = fnir_at(trials, 50, 1e-3, weights)
    assert rate is not None
    assert rate.estimated
    assert rate.threshold == pytest.approx(true_cosine(2e-5), abs=0.06)


def test_pooling_lets_more_residents_in(weights: np.ndarray) -> None:
    people = crowd(200, 10, 1.3, 0)
    rates = []
    for enrolment, pool in ((1, 1), (3, 1), (5, 5)):
        rate = fnir_at(run_trials(people, enrolment, pool, NOBODY, [50])[50], 50, 1e-2, weights)
        assert rate is not None
        assert rate.interval is not None
        assert rate.interval[0] <= rate.fnir <= rate.interval[1]
        rates.append(rate.fnir)
    assert rates[0] > rates[1] > rates[2]


def test_no_misses_at_all_do_not_make_a_certainty(weights: np.ndarray) -> None:
    trials = run_trials(crowd(200, 4, 0.1, 0), 1, 1, NOBODY, [10])[10]
    rate = fnir_at(trials, 10, 1e-2, weights)
    assert rate is not None
    assert rate.fnir == 0
    # The rule of Clopper and Pearson, one try for each.
    residents = len(np.unique(trials.residents))
    assert rate.interval is not None
    assert rate.interval[0] == 0
    assert rate.interval[1] == pytest.approx(1 - 0.025 ** (1 / residents))


def test_a_resident_whom_another_outscores_is_missed(weights: np.ndarray) -> None:
    people = crowd(200, 4, 0.1, 0)
    people[5] = people[9]
    trials = run_trials(people, 1, 1, NOBODY, [120])[120]
    assert (trials.best_others >= trials.scores).any()
    rate = fnir_at(trials, 120, 1e-2, weights)
    assert rate is not None
    assert rate.fnir > 0
    suspected = NOBODY.copy()
    suspected[5, 9] = suspected[9, 5] = True
    apart = run_trials(people, 1, 1, suspected, [120])[120]
    assert not (apart.best_others >= apart.scores).any()


def test_templates_of_fewer_photographs_fill_a_gallery_and_are_told() -> None:
    people = [*strangers(140, 1, 0), *strangers(60, 8, 1)]
    trials = run_trials(people, 5, 3, NOBODY, [10, 100])
    assert trials[10].full == 1
    assert trials[100].full == pytest.approx(36 / 100, abs=0.05)
    # Only who has the photographs for a pool can try, resident or not.
    assert min(trials[100].strangers.min(), trials[100].residents.min()) >= 140


def test_a_gallery_that_leaves_no_room_for_strangers_is_not_made() -> None:
    assert set(run_trials(strangers(200, 2, 0), 1, 1, NOBODY, [10, 120, 121])) == {10, 120}
    assert run_trials(strangers(2, 2, 0), 1, 1, NOBODY[:2, :2], [10]) == {}


def test_nobody_has_photographs_enough() -> None:
    assert run_trials(strangers(200, 2, 0), 5, 3, NOBODY, [10]) == {}


def test_no_photograph_is_both_in_a_template_and_in_a_probe() -> None:
    people = [np.eye(24, dtype=np.float32)[:8] for _ in range(40)]
    trials = run_trials(people, 5, 3, NOBODY[:40, :40], [10])[10]
    assert (trials.scores == 0).all()
    assert len(trials.scores) == SPLITS * 24


def test_the_same_people_give_the_same_trials() -> None:
    one, other = (run_trials(strangers(60, 4, 0), 1, 3, NOBODY[:60, :60], [10]) for _ in range(2))
    assert (one[10].stranger_scores == other[10].stranger_scores).all()
