"""A whole report on people who are drawn, so that what it must come to is known."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from agent.evaluation.collection import Collection
from agent.evaluation.pairs import read_pairs
from agent.evaluation.plots import draw
from agent.evaluation.report import Report, evaluated

PEOPLE, PHOTOGRAPHS, SIZE = 120, 8, 24


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    random = np.random.default_rng(5)
    faces = random.normal(size=(PEOPLE, 1, SIZE))
    vectors = faces + 0.45 * random.normal(size=(PEOPLE, PHOTOGRAPHS, SIZE))
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    names = [f"p{number:03}" for number in range(PEOPLE)]
    collection = Collection(
        names=np.repeat(names, PHOTOGRAPHS),
        stems=np.array([f"{name}_{n:04}" for name in names for n in range(1, PHOTOGRAPHS + 1)]),
        vectors={"embedder": vectors.reshape(-1, SIZE).astype(np.float32)},
        models={"embedder": "m/x"},
        files=PEOPLE * PHOTOGRAPHS,
        failed={},
        many=[],
        people=dict.fromkeys(names, PHOTOGRAPHS),
    )
    file = tmp_path_factory.mktemp("report") / "pairs.txt"
    mated = [f"{name} 1 2" for name in names]
    others = [f"{one} 1 {other} 1" for one, other in zip(names, names[1:] + names[:1], strict=True)]
    half = PEOPLE // 2
    lines = [*mated[:half], *others[:half], *mated[half:], *others[half:]]
    file.write_text("\n".join([f"2 {half}", *lines]), encoding="utf-8")
    return evaluated(collection, read_pairs(file, collection))


def test_every_two_photographs_of_a_person_are_compared(report: Report) -> None:
    assert report["mated"] == PEOPLE * PHOTOGRAPHS * (PHOTOGRAPHS - 1) // 2
    assert report["non_mated"] == PEOPLE * (PEOPLE - 1) // 2
    assert report["accuracy"] > 0.9


def test_what_is_estimated_beyond_the_data_lies_in_its_interval(report: Report) -> None:
    tail = report["tail"]
    for fmr, threshold in tail["threshold_at_fmr"].items():
        low, high = tail["threshold_interval_at_fmr"][fmr]
        assert low <= threshold <= high
        assert low > tail["start"]


def test_each_condition_has_its_own_figures(report: Report) -> None:
    rates = report["fnir_at_fpir"]["50"]
    assert rates["5"]["3"]["1e-2"] <= rates["1"]["1"]["1e-2"]
    assert report["fnir_at_fpir"]["500"]["5"]["3"]["1e-2"] is None
    sample = report["transactions"]["50"]["5"]["3"]
    # Of eight photographs five are enrolled, and three are one transaction: of 72 in ten splits.
    assert sample["of_residents"] == 720
    assert sample["full_templates"] == 1.0


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="matplotlib is not installed")
def test_the_curves_are_drawn(report: Report, tmp_path: Path) -> None:
    drawn = draw(report, tmp_path / "plots")
    assert [file.name for file in drawn] == ["det.svg", "scores.svg", "fnir.svg"]
    assert all(file.read_text(encoding="utf-8").startswith("<?xml") for file in drawn)
