import numpy as np
import pytest

from agent.evaluation.nonmated import compared, suspects
from agent.evaluation.resampling import drawn, interval, upper
from agent.evaluation.verification import (
    Mated,
    accept_rate,
    accept_rates,
    det_curve,
    mated,
    told_rightly,
)
from tests.evaluation.crowd import crowd, strangers, true_cosine, true_fmr


def test_the_threshold_for_an_fmr_is_the_true_one() -> None:
    non_mated = compared(strangers(400, 1, 0), 1, 1, 1, np.random.default_rng(0))
    assert non_mated.count == 400 * 399
    for fmr in (1e-2, 1e-3):
        assert non_mated.score_at(fmr) == pytest.approx(true_cosine(fmr), abs=0.02)
        assert non_mated.fmr(np.array([non_mated.score_at(fmr)]))[0] == pytest.approx(fmr, rel=0.05)


def test_the_tail_of_the_scores_leads_to_the_true_thresholds_beyond_them() -> None:
    people = strangers(500, 1, 1)
    non_mated = compared(people, 1, 1, 1, np.random.default_rng(0))
    weights = drawn(500, np.random.default_rng(0))
    scores = np.array([tail.score_at(1e-6) for tail in non_mated.tails(weights)])
    bounds = interval(scores)
    assert bounds is not None
    assert bounds[0] < true_cosine(1e-6) < bounds[1]
    assert non_mated.tail().score_at(1e-6) == pytest.approx(true_cosine(1e-6), abs=0.05)


def test_the_interval_of_a_rate_holds_the_true_one_about_as_often_as_it_says() -> None:
    cosine = true_cosine(1e-2, 8)
    held, above = 0, 0
    for seed in range(60):
        people = strangers(60, 1, seed, dimensions=8)
        non_mated = compared(people, 1, 1, 1, np.random.default_rng(0))
        reached = int((non_mated.scores >= cosine).sum())
        weights = drawn(60, np.random.default_rng(seed))
        share = max(reached - 1, 0) / non_mated.count
        sums = [counts[-1] / total for counts, total in non_mated.resampled(weights, share)]
        bounds = interval(np.array(sums))
        assert bounds is not None
        held += bounds[0] <= true_fmr(cosine, 8) <= bounds[1]
        above += bool(upper(np.array(sums)) >= true_fmr(cosine, 8))
    # 57 of 60 where it is exact; the bootstrap may err on the safe side.
    assert held >= 54
    assert above >= 54


def test_an_interval_over_people_is_wider_where_one_is_photographed_often() -> None:
    random = np.random.default_rng(0)
    even = Mated(random.normal(size=2000), np.repeat(np.arange(100), 20))
    offset = np.repeat(random.normal(size=100), 20)
    depending = Mated(even.scores + 2 * offset, even.person)
    non_mated = compared(strangers(100, 1, 0), 1, 1, 1, np.random.default_rng(0))
    weights = drawn(100, np.random.default_rng(0))
    widths = []
    for each in (even, depending):
        bounds = interval(accept_rates(each, non_mated, 1e-2, weights))
        assert bounds is not None
        widths.append(bounds[1] - bounds[0])
    assert widths[1] > 2 * widths[0]


def test_without_a_draw_of_people_the_accept_rate_is_that_above_the_threshold() -> None:
    people = crowd(80, 4, 1.0, 0)
    non_mated = compared(people, 1, 1, 1, np.random.default_rng(0))
    same = mated(people)
    assert len(same.scores) == 80 * 6
    [rate] = accept_rates(same, non_mated, 1e-2, np.ones((1, 80)))
    assert rate == pytest.approx(accept_rate(same, non_mated.score_at(1e-2))[0], abs=0.01)


def test_who_was_photographed_often_may_count_no_more_than_others() -> None:
    same = Mated(np.array([0.9, 0.9, 0.9, 0.1]), np.array([0, 0, 0, 2]))
    assert accept_rate(same, 0.5) == (0.75, 0.5)


def test_two_names_of_one_person_are_suspected_and_left_out_only_where_asked() -> None:
    people = crowd(60, 3, 0.8, 3)
    people[7] = people[3][::-1].copy()
    suspected = suspects(people)
    assert np.argwhere(np.triu(suspected)).tolist() == [[3, 7]]
    non_mated = compared(people, 3, 3, 1, np.random.default_rng(0))
    assert non_mated.scores[0] == pytest.approx(1.0)
    without = non_mated.without(suspected)
    assert without.scores[0] < 0.9
    assert without.count == non_mated.count - 2


def test_pools_take_only_people_with_the_photographs() -> None:
    people = [*strangers(10, 1, 0), *strangers(6, 3, 1)]
    assert compared(people, 3, 1, 2, np.random.default_rng(0)).count == 2 * (6 * 16 - 6)
    with pytest.raises(ValueError, match="fewer than two people have 5 photographs"):
        compared(people, 1, 5, 1, np.random.default_rng(0))


def test_accuracy_judges_each_fold_by_the_threshold_of_the_others() -> None:
    same = np.arange(40) < 20
    fold = np.arange(40) % 20 // 2
    scores = np.where(same, 0.8, 0.4).astype(np.float32)
    assert told_rightly(scores, same, fold).all()
    # One fold that a threshold of its own would tell rightly, and nobody else's does.
    scores[:2], scores[20:22] = 0.3, 0.1
    assert told_rightly(scores, same, fold).mean() == pytest.approx(0.95)


def test_accuracy_takes_two_folds() -> None:
    with pytest.raises(ValueError, match="two folds"):
        told_rightly(np.zeros(4, np.float32), np.arange(4) < 2, np.zeros(4, int))


def test_the_det_curve_trades_one_rate_for_the_other() -> None:
    people = crowd(80, 4, 1.2, 0)
    curve = det_curve(mated(people), compared(people, 1, 1, 1, np.random.default_rng(0)))
    thresholds, fmrs, fnmrs = (list(column) for column in zip(*curve, strict=True))
    assert thresholds == sorted(thresholds)
    assert fmrs == sorted(fmrs, reverse=True)
    assert fnmrs == sorted(fnmrs)
    assert fnmrs[0] < 0.5 < fnmrs[-1]
