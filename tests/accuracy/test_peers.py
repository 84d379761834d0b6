import sys
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.accuracy.pairs import (
    Pair,
    Photograph,
    SampleError,
    photographs,
    read_pairs,
    sampled,
)
from tests.accuracy.peers import DLIB, DOOR, compared, report
from tests.accuracy.programs import Results, measured
from tests.accuracy.rates import (
    accuracy,
    lowest_rate,
    score,
    share,
    strangers,
)

PEOPLE = 60
NAMES = [f"Person_{number:02}" for number in range(PEOPLE)]
PAIRS = [
    *(Pair(Photograph(name, 1), Photograph(name, 2)) for name in NAMES),
    *(Pair(Photograph(a, 1), Photograph(b, 1)) for a, b in list(combinations(NAMES, 2))[:PEOPLE]),
]


def made_up(noise: float = 0.5) -> dict[Photograph, NDArray[np.float64]]:
    """Vectors of two photographs of each person, who are nothing like each other."""
    random = np.random.default_rng(3)
    people = random.normal(size=(PEOPLE, 16))
    return {
        Photograph(name, number): person + noise * random.normal(size=16)
        for name, person in zip(NAMES, people, strict=True)
        for number in (1, 2)
    }


def results(vectors: dict[Photograph, NDArray[np.float64]]) -> Results:
    return Results("a package", [0.02] * PEOPLE * 2, vectors, [], 100.0)


def test_a_threshold_lets_no_more_strangers_pass_than_the_rate_says() -> None:
    vectors = np.random.default_rng(1).normal(size=(200, 8))
    others = strangers(vectors, np.arange(200))
    everybody = np.array(
        [score(vectors[[a]], vectors[[b]])[0] for a, b in combinations(range(200), 2)]
    )
    for rate in (1e-3, 1e-2):
        threshold = others.threshold(rate, np.ones(200))
        assert (everybody > threshold).mean() <= rate
        assert (everybody >= threshold - 1e-9).mean() > rate


def test_a_person_drawn_twice_counts_as_two_people() -> None:
    vectors = np.random.default_rng(1).normal(size=(50, 8))
    twice, once = np.zeros(50), np.zeros(50)
    twice[:20], once[:20] = 2, 1
    alone = strangers(vectors[:20], np.arange(20))
    assert strangers(vectors, np.arange(50)).threshold(0.1, once) == pytest.approx(
        alone.threshold(0.1, np.ones(20))
    )
    assert alone.comparisons == 190
    few = strangers(vectors[:5], np.arange(5))
    for weight in (np.ones(5), np.full(5, 2.0)):
        assert few.threshold(0.5, weight) == few.scores[5]


def test_who_is_not_acquired_is_refused_or_left_out() -> None:
    vectors = made_up(noise=0.1)
    for name in NAMES[:15]:
        del vectors[Photograph(name, 2)]
    made = compared(vectors, PAIRS)
    assert made.true_accept_rate(1e-2, acquired=True).value == 1.0
    all_pairs = made.true_accept_rate(1e-2, acquired=False)
    assert all_pairs.value == 0.75
    assert all_pairs.low < 0.75 < all_pairs.high


def test_accuracy_is_that_of_the_best_threshold_of_the_other_folds() -> None:
    mated = np.arange(40) >= 20
    scores = np.arange(40.0) + 10 * mated
    assert accuracy(scores, mated) == (1.0, 0.0)
    assert accuracy(scores, ~mated)[0] <= 0.5


def test_the_interval_of_a_share_is_wilsons() -> None:
    assert share(0, 100) == pytest.approx((0.0, 0.0, 0.0370), abs=1e-4)
    assert share(10, 100) == pytest.approx((0.1, 0.0552, 0.1744), abs=1e-4)


def test_a_rate_is_told_only_where_enough_strangers_exceed_it() -> None:
    assert [lowest_rate(people) for people in (20, 46, 142, 448)] == [None, 1e-2, 1e-3, 1e-4]


def test_people_who_look_alike_are_told_apart_less_often() -> None:
    tight, loose = (
        compared(made_up(noise), PAIRS).true_accept_rate(1e-2, acquired=True).value
        for noise in (0.3, 1.5)
    )
    assert tight > 0.9 > loose


def test_a_program_that_fails_is_a_line_and_the_others_are_a_table() -> None:
    told = report(
        {DOOR: results(made_up()), DLIB: Results(failed="ended with 1: no dlib")}, PAIRS, 1e-2
    )
    assert "| Doorward " in told
    assert "- face_recognition: no answer; not measured, ended with 1: no dlib" in told
    assert "| face_recognition " not in told


def test_a_program_that_acquires_nobody_is_a_line() -> None:
    told = report({DOOR: results(made_up()), DLIB: results({})}, PAIRS, 1e-2)
    assert "face_recognition: a package; not measured, both faces acquired in 0 of 120" in told


def test_a_photograph_less_is_named_before_anything_is_measured(tmp_path: Path) -> None:
    person = tmp_path / "Ada"
    person.mkdir()
    cv2.imwrite(str(person / "Ada_0001.jpg"), np.zeros((8, 8, 3), np.uint8))
    (person / "Ada_0002.jpg").write_text("no picture")
    pairs = [Pair(Photograph("Ada", 1), Photograph("Ada", number)) for number in (2, 3)]
    with pytest.raises(SampleError, match=r"Ada_0002\.jpg: missing or no picture.*first of 2"):
        photographs(tmp_path, pairs)


def test_a_pairs_file_is_read_as_lfw_lays_it_out(tmp_path: Path) -> None:
    file = tmp_path / "pairs.txt"
    file.write_text("1\t2\nAda\t1\t2\nAda\t1\tBob\t3\n")
    mated, other = read_pairs(file)
    assert mated.mated
    assert other == Pair(Photograph("Ada", 1), Photograph("Bob", 3))


@pytest.mark.parametrize("line", ["Ada one 2", "Ada 1 Bob x", "Ada 1 2 3 4", "Ada 1"])
def test_a_line_that_is_no_pair_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "pairs.txt"
    file.write_text(f"Ada 1 2\n{line}\n")
    with pytest.raises(SampleError, match=r"line 2: no pair"):
        read_pairs(file)


def test_a_pairs_file_that_is_none_is_a_line(tmp_path: Path) -> None:
    with pytest.raises(SampleError, match="No such file"):
        read_pairs(tmp_path / "pairs.txt")


def test_a_sample_is_spread_over_the_file_and_has_as_many_of_each_kind() -> None:
    taken = sampled(PAIRS, 10)
    assert len(taken) == 20
    assert sum(pair.mated for pair in taken) == 10
    assert {PAIRS[0], PAIRS[-1]} < set(taken)
    assert sampled(PAIRS, 0) == PAIRS


@pytest.mark.parametrize(("pairs", "number"), [(PAIRS[:PEOPLE], 0), (PAIRS, 3), (PAIRS, -1)])
def test_too_few_pairs_of_a_kind_are_refused(pairs: list[Pair], number: int) -> None:
    with pytest.raises(SampleError, match="rates need 10 or more"):
        sampled(pairs, number)


PEER = """
import json, sys
print(json.dumps("a peer"), flush=True)
for number, line in enumerate(iter(sys.stdin.buffer.readline, b"")):
    height, width = map(int, line.split())
    seen = sys.stdin.buffer.read(height * width * 3)
    if number == {dies_at}:
        sys.exit("it is too dark")
    answer = dict(cpu=0.5, vector=[seen[0] / 1, height], raised=None)
    print(json.dumps(answer), flush=True)
print(json.dumps(12.5), flush=True)
"""


def test_programs_see_the_same_frames_and_one_that_dies_does_not_stop_the_other(
    tmp_path: Path,
) -> None:
    found = {}
    for number in (1, 2, 3):
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), np.full((number + 4, 6, 3), number * 10, np.uint8))
        found[Photograph("Ada", number)] = path
    commands = [[sys.executable, "-c", PEER.format(dies_at=at)] for at in (-1, 4)]
    lasting, dying = measured(commands, found)
    assert [list(each) for each in lasting.vectors.values()] == [[10, 5], [20, 6], [30, 7]]
    assert (lasting.made_of, lasting.cpu, lasting.megabytes) == ("a peer", [0.5] * 3, 12.5)
    assert dying.failed == "ended with 1: it is too dark"
    assert not lasting.failed
    assert len(dying.cpu) == 1


def test_the_doors_own_worker_embeds_a_face() -> None:
    photograph = Path("agent/demonstration/photographs/obama.jpg")
    command = [sys.executable, "-m", "tests.accuracy.worker", "doorward-int8"]
    [door] = measured([command], {Photograph("him", 1): photograph})
    assert not door.failed
    [vector] = door.vectors.values()
    assert np.linalg.norm(vector) == pytest.approx(1)
    assert door.megabytes > 20
