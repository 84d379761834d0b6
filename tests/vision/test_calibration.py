import tomllib
from pathlib import Path

import numpy as np
import pytest

from agent.core.decision import Recognition
from agent.core.enrolment import Enrolment
from agent.core.matching import threshold_for
from agent.errors import ModelError
from agent.vision.calibration import load_calibration
from agent.vision.models import RUNTIME, load_model
from tests.vision.scenes import MODELS

GOOD = """
schema = 2
provisional = true

[[calibration]]
model = "other/litert"
[[calibration.curve]]
references = 1
frames = 1
measured_to = 0.1
points = [[0.1, 0.5]]

[[calibration]]
model = "ours/litert"
[[calibration.curve]]
references = 1
frames = 3
measured_to = 0.5
points = [[0.4, 1e-3], [0.5, 1e-4], [0.6, 1e-5]]
[[calibration.curve]]
references = 5
frames = 5
measured_to = 0.4
points = [[0.4, 1e-2]]
"""


def load(folder: Path, text: str, model: str = "ours/litert") -> object:
    (folder / "calibration.toml").write_text(text)
    return load_calibration(folder, model)


def test_the_committed_calibration_is_of_the_committed_embedder() -> None:
    calibration = load_calibration(MODELS, f"{load_model(MODELS, 'embedder').digest}/{RUNTIME}")
    assert calibration.provisional
    for curve in calibration.curves:
        assert curve.points[0].threshold == pytest.approx(0.4)
        assert curve.measured_to <= 0.75


def test_a_form_of_the_embedder_that_was_not_calibrated_is_refused(tmp_path: Path) -> None:
    (tmp_path / "calibration.toml").write_text(GOOD)
    model = f"{load_model(MODELS, 'embedder_float').digest}/{RUNTIME}"
    with pytest.raises(ModelError, match=f"has no calibration for {model}: ") as error:
        load_calibration(tmp_path, model)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("residents", [1, 2, 10, 50, 120, 500])
def test_the_default_target_can_be_met_for_a_house(residents: int) -> None:
    model = f"{load_model(MODELS, 'embedder').digest}/{RUNTIME}"
    rules, enrolment = Recognition(), Enrolment()
    references = np.full(residents, enrolment.frames)
    threshold = threshold_for(
        load_calibration(MODELS, model), references, rules.max_frames, rules.target_fpir
    )
    assert threshold.met
    # Above 0.8 the calibration has residents refused who should not be.
    assert 0.4 <= threshold.cosine <= 0.8


def test_no_rate_is_told_that_the_comparisons_cannot_support() -> None:
    document = tomllib.loads((MODELS / "calibration.toml").read_text())
    for entry in document["calibration"]:
        for curve in entry["curve"]:
            measured = [fmr for cosine, fmr in curve["points"] if cosine <= curve["measured_to"]]
            assert all(fmr >= 3 / curve["comparisons"] for fmr in measured)


def test_the_entry_of_the_model_asked_for_is_given(tmp_path: Path) -> None:
    (tmp_path / "calibration.toml").write_text(GOOD)
    calibration = load_calibration(tmp_path, "ours/litert")
    assert calibration.model == "ours/litert"
    assert calibration.provisional is True
    single, pooled = calibration.curves
    assert (single.references, single.frames, single.measured_to) == (1, 3, 0.5)
    assert [(p.threshold, p.fmr) for p in single.points] == [(0.4, 1e-3), (0.5, 1e-4), (0.6, 1e-5)]
    assert (pooled.references, pooled.frames, pooled.measured_to) == (5, 5, 0.4)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "schema",
        "\x00",
        GOOD.replace("schema = 2", "schema = 1"),
        GOOD.replace("provisional = true", ""),
        GOOD.replace("provisional = true", "provisional = 1"),
        GOOD.replace("ours/litert", "ours/tflite-runtime"),
        GOOD.replace("[0.5, 1e-4]", "[0.5]"),
        GOOD.replace("[0.5, 1e-4]", "0.5"),
        GOOD.replace("[0.5, 1e-4]", '["a", 1e-4]'),
        GOOD.replace("[0.5, 1e-4]", "[0.5, nan]"),
        GOOD.replace("[0.5, 1e-4]", "[0.5, 0.0]"),
        GOOD.replace("[0.5, 1e-4]", "[0.5, 1e-2]"),
        GOOD.replace("[0.5, 1e-4]", "[0.3, 1e-4]"),
        GOOD.replace("points = [[0.4, 1e-3], [0.5, 1e-4], [0.6, 1e-5]]", "points = []"),
        GOOD.replace("points = [[0.4, 1e-3], [0.5, 1e-4], [0.6, 1e-5]]", "points = 7"),
        GOOD.replace("references = 5", ""),
        GOOD.replace("references = 5", "references = 0"),
        GOOD.replace("references = 5", 'references = "many"'),
        GOOD.replace("frames = 3", "frames = [3]"),
        GOOD.replace("measured_to = 0.5", ""),
        GOOD.replace("measured_to = 0.5", "measured_to = nan"),
        'schema = 2\nprovisional = true\n[[calibration]]\nmodel = "ours/litert"',
        'schema = 2\nprovisional = true\n[[calibration]]\nmodel = "ours/litert"\ncurve = []',
        "schema = 2\nprovisional = true\ncalibration = 3",
        "schema = 2\nprovisional = true\ncalibration = [3]",
    ],
)
def test_a_calibration_that_cannot_be_used_is_an_error_of_one_line(
    text: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError) as error:
        load(tmp_path, text)
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_a_missing_calibration_is_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"calibration\.toml: No such file"):
        load_calibration(tmp_path, "ours/litert")


def test_bytes_that_are_no_text_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "calibration.toml").write_bytes(b"\xff\xfe schema")
    with pytest.raises(ModelError):
        load_calibration(tmp_path, "ours/litert")
