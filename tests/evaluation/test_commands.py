"""`doorward evaluate` and `doorward calibrate` over photographs of the demonstration."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from msgspec import json

from agent.config import Quality
from agent.errors import ConfigError
from agent.evaluation import plots
from agent.evaluation.collection import Collection, read_collection
from agent.evaluation.pairs import read_pairs
from agent.evaluation.report import evaluated, failures
from agent.evaluation.words import in_words
from agent.vision.pipeline import load_pipeline
from tests.system.computer import Computer
from tests.vision.scenes import MODELS, PHOTOGRAPHS, photograph

PAIRS = """2 2
Obama 1 2
Biden 1 2
Obama 1 Biden 1
Obama 2 Collins 1
Obama 1 3
Obama 2 3
Obama 3 Biden 2
Biden 1 Collins 1
"""


def save(folder: Path, person: str, number: int, pixels: np.ndarray) -> None:
    (folder / person).mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / person / f"{person}_{number:04}.jpg"), pixels[..., ::-1])


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything wrong in it that there may be, beside three people."""
    folder = tmp_path_factory.mktemp("images")
    for number, name in enumerate(("obama", "obama2", "obama3"), 1):
        save(folder, "Obama", number, photograph(name))
    save(folder, "Biden", 1, photograph("biden"))
    save(folder, "Biden", 2, photograph("biden")[:, ::-1])
    save(folder, "Collins", 1, photograph("astronaut"))
    save(folder, "Nobody", 1, np.full((120, 160, 3), 128, np.uint8))
    save(folder, "Nobody", 2, np.zeros((1, 1, 3), np.uint8))
    (folder / "Nobody" / "Nobody_0003.jpg").write_bytes(b"no picture")
    (folder / "Nobody" / "Nobody_0004.jpg").write_bytes(b"")
    save(folder, "Biden", 3, photograph("biden") // 8)
    one, other = photograph("biden"), photograph("obama")
    height = min(len(one), len(other))
    save(folder, "Two", 1, np.concatenate([one[:height], other[:height]], axis=1))
    (folder / "Empty").mkdir()
    (folder / "Biden" / ".thumbnail").write_bytes(b"hidden")
    return folder


@pytest.fixture
def computer(tmp_path: Path) -> Computer:
    return Computer(tmp_path)


@pytest.fixture(scope="module")
def collection(images: Path) -> Collection:
    return read_collection(images, {"embedder": load_pipeline(MODELS, Quality())})


def paired(text: str, folder: Path) -> Path:
    file = folder / "pairs.txt"
    file.write_text(text)
    return file


def test_each_photograph_is_used_or_counted_with_its_reason(collection: Collection) -> None:
    failed = {reason: len(files) for reason, files in collection.failed.items()}
    assert failed == {"unreadable_file": 2, "no_face": 2, "too_dark": 1}
    assert len(collection.names) + sum(failed.values()) == collection.files == 12
    assert [path.parent.name for path in collection.many] == ["Two"]
    assert collection.photographs == 10
    assert collection.failure_to_acquire(1) == pytest.approx(0.3)
    # Of Biden's three photographs one failed, and Obama has three good ones.
    assert collection.failure_to_acquire(3) == 0
    notes = failures(collection)
    assert any("2 files cannot be read as pictures: Nobody/" in note for note in notes)
    assert any("1 files fail the limit too_dark: Biden/Biden_0003.jpg" in note for note in notes)
    assert any("1 files show more than one face" in note for note in notes)


def test_the_door_makes_the_same_of_a_face_in_the_middle(collection: Collection) -> None:
    vectors = collection.vectors["embedder"]
    rows = collection.rows
    assert (vectors[rows["Obama"]] @ vectors[rows["Obama"]].T).min() > 0.5
    assert (vectors[rows["Obama"]] @ vectors[rows["Biden"]].T).max() < 0.5


def test_of_many_faces_the_one_in_the_middle_is_taken_though_it_is_smaller(
    collection: Collection, tmp_path: Path
) -> None:
    bystander, labelled = photograph("biden"), photograph("obama2")
    half = cv2.resize(labelled, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    labelled = np.asarray(half, np.uint8)
    height, width = bystander.shape[:2]
    scene = np.full((height, 2 * width + labelled.shape[1], 3), 128, np.uint8)
    scene[:, :width] = bystander
    scene[: len(labelled), width:-width] = labelled
    save(tmp_path, "Obama", 1, scene)
    found = read_collection(tmp_path, {"embedder": load_pipeline(MODELS, Quality())})
    assert len(found.many) == 1
    obama = collection.vectors["embedder"][collection.rows["Obama"]]
    assert (found.vectors["embedder"] @ obama.T).max() > 0.7


def test_a_small_folder_is_measured_as_far_as_it_goes(
    collection: Collection, tmp_path: Path
) -> None:
    text = PAIRS + "what is this\nObama 1 99\nObama 1 x\nNobody 1 2\n"
    report = evaluated(collection, read_pairs(paired(text, tmp_path), collection))
    assert json.decode(json.encode(report))["accuracy"] >= 0.5
    assert report["pairs"] == {
        "folds": 2,
        "compared": 8,
        "mated": 4,
        "malformed": 4,
        "missing": 0,
        "without_probe": 0,
    }
    # Four people bear out no such rates, and leave no room for a gallery.
    assert report["tar_at_fmr"] == {"1e-3": None, "1e-4": None, "1e-5": None}
    assert report["fnir_at_fpir"]["500"]["5"]["3"]["1e-3"] is None
    assert report["frames_failed"] == {"no_face": 2, "unreadable_file": 2, "too_dark": 1}
    words = in_words(report)
    for said in (
        "4 lines are no pairs: line 10: 'what is this'",
        "no true accept rate at FMR 1e-5",
        "no estimate beyond the data: too few comparisons",
        "no gallery of 1000: 4 people leave no room for it and strangers",
    ):
        assert said in words


def test_another_embedder_is_measured_beside_the_first(
    collection: Collection, tmp_path: Path
) -> None:
    other = np.roll(collection.vectors["embedder"], 1, axis=0)
    vectors = collection.vectors | {"other": other}
    both = replace(collection, vectors=vectors, models={"embedder": "a/x", "other": "b/x"})
    report = evaluated(both, read_pairs(paired(PAIRS, tmp_path), both))
    [compared] = report["others"]
    assert (report["model"], compared["model"]) == ("a/x", "b/x")
    assert report["accuracy"] > compared["accuracy"]
    assert compared["cosine"]["lowest"] < compared["cosine"]["mean"] < 1
    assert "cosine with embedder" in in_words(report)


def test_pairs_that_cannot_be_compared_are_counted_by_why(
    collection: Collection, tmp_path: Path
) -> None:
    text = "2 3\nObama 1 2\nObama 1 99\nNobody 1 2\nObama 1 Nobody 3\nStranger 1 Biden 1\nx\n"
    pairs = read_pairs(paired(text, tmp_path), collection)
    assert (len(pairs.mated), pairs.without_probe) == (1, 2)
    assert pairs.missing == ["line 3: 'Obama 1 99'", "line 6: 'Stranger 1 Biden 1'"]
    assert pairs.malformed == ["line 7: 'x'"]


@pytest.mark.parametrize("text", ["", "\n", "ten 300\n", "10\n", "0 300\n", "2 3 4\n", "-1 3\n"])
def test_a_file_that_does_not_begin_as_pairs_do_is_an_error_of_one_line(
    text: str, collection: Collection, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="is no pairs file: its first line"):
        read_pairs(paired(text, tmp_path), collection)


def test_pairs_of_nobody_here_are_an_error_that_counts_them(
    collection: Collection, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="1 lines malformed, 1 naming photographs"):
        read_pairs(paired("1 2\nAda 1 2\nx\n", tmp_path), collection)
    with pytest.raises(ConfigError, match=r"missing\.txt: No such file"):
        read_pairs(tmp_path / "missing.txt", collection)
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is no text"):
        read_pairs(tmp_path / "binary.txt", collection)


def test_one_person_alone_is_compared_with_nobody_and_told(images: Path, tmp_path: Path) -> None:
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "Obama").symlink_to(images / "Obama")
    alone = read_collection(tmp_path / "alone", {"embedder": load_pipeline(MODELS, Quality())})
    report = evaluated(alone, read_pairs(paired("1 3\nObama 1 2\n", tmp_path), alone))
    assert (report["accuracy"], report["tar_at_fmr"]) == (None, None)
    assert "no rates: they take two people, and there are 1" in report["notes"]
    assert "no rates" in in_words(report)


def test_curves_without_matplotlib_are_refused_before_the_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(plots, "import_module", missing)
    with pytest.raises(ConfigError, match=r"pip install 'doorward\[plots\]'"):
        plots.pyplot()


def test_an_operator_measures_and_is_told_what_is_wrong(computer: Computer, images: Path) -> None:
    pairs = computer.folder / "pairs.txt"
    pairs.write_text(PAIRS)
    [report] = computer.ask("evaluate", "--images", str(images), "--pairs", str(pairs))
    assert report["accuracy"] >= 0.5
    assert report["frames_failed"]["unreadable_file"] == 2
    empty = computer.folder / "empty"
    empty.mkdir()
    told = computer.refuses("evaluate", "--images", str(empty), "--pairs", str(pairs))
    assert "holds no photographs" in told
    told = computer.refuses("evaluate", "--images", "nowhere", "--pairs", str(pairs))
    assert "there is no such folder" in told
    (empty / "Ada").mkdir()
    (empty / "Ada" / "Ada_0001.jpg").write_bytes(b"")
    told = computer.refuses("evaluate", "--images", str(empty), "--pairs", str(pairs))
    assert "no face to compare in 1 files: 1 unreadable_file" in told


def test_too_few_people_calibrate_nothing_and_leave_the_file(
    computer: Computer, images: Path
) -> None:
    out = computer.folder / "calibration.toml"
    out.write_text("schema = 2\n")
    told = computer.refuses("calibrate", "--images", str(images), "--out", str(out))
    assert "4 people with usable photographs are too few" in told
    assert out.read_text() == "schema = 2\n"
    told = computer.refuses("calibrate", "--images", str(PHOTOGRAPHS), "--out", str(out))
    assert "holds no photographs" in told
