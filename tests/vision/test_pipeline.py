import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.config import Quality
from agent.core.types import Frame, Pixels, Probe, QualityIssue
from agent.errors import ModelError
from agent.vision.models import RUNTIME, load_model
from agent.vision.pipeline import Pipeline, load_pipeline
from tests.vision.scenes import MODELS, PEOPLE, hall, photograph, portray
from tests.vision.test_detect import EYES


def probe(pipeline: Pipeline, pixels: Pixels) -> Probe:
    nearest = pipeline(Frame(pixels, captured_at=0)).nearest
    assert isinstance(nearest, Probe), nearest
    return nearest


def hint(pipeline: Pipeline, pixels: Pixels) -> QualityIssue:
    nearest = pipeline(Frame(pixels, captured_at=0)).nearest
    assert isinstance(nearest, QualityIssue), nearest
    return nearest


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(4)


@pytest.mark.parametrize("name", PEOPLE)
@pytest.mark.parametrize("apart", [31, 60, 150])
def test_the_distance_to_the_camera_hardly_changes_the_embedding(
    name: str, apart: float, pipeline: Pipeline, random: np.random.Generator
) -> None:
    frame = hall(random)
    portray(frame, name, EYES[name], 500 + 330j, apart)
    reference = probe(pipeline, photograph(name)).embedding
    seen = probe(pipeline, frame)
    assert seen.embedding.vector @ reference.vector > 0.93
    assert seen.quality.eye_distance == pytest.approx(apart, rel=0.1)
    assert seen.embedding.model == pipeline.model


@pytest.mark.parametrize("apart", [26, 70])
def test_the_nearest_of_two_decides_and_both_are_counted(
    apart: float, pipeline: Pipeline, random: np.random.Generator
) -> None:
    frame = hall(random)
    portray(frame, "biden", EYES["biden"], 300 + 330j, apart)
    portray(frame, "obama", EYES["obama"], 900 + 330j, apart * 1.6)
    seen = pipeline(Frame(frame, captured_at=7.5))
    assert seen.faces == 2
    assert seen.captured_at == 7.5
    assert isinstance(seen.nearest, Probe)
    obama = probe(pipeline, photograph("obama")).embedding.vector
    assert seen.nearest.embedding.vector @ obama > 0.9


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_a_blank_frame_shows_nobody(shade: int, pipeline: Pipeline) -> None:
    seen = pipeline(Frame(np.full((720, 1280, 3), shade, np.uint8), captured_at=1.0))
    assert (seen.faces, seen.nearest) == (0, None)


def test_noise_and_an_empty_hall_show_nobody(
    pipeline: Pipeline, random: np.random.Generator
) -> None:
    noise = random.integers(0, 256, (720, 1280, 3), dtype=np.uint8)
    for frame in (noise, hall(random), hall(random)):
        assert pipeline(Frame(frame, captured_at=1.0)).faces == 0


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (4, 700), (700, 4), (17, 17)])
def test_a_tiny_frame_shows_nobody(shape: tuple[int, int], pipeline: Pipeline) -> None:
    assert pipeline(Frame(np.full((*shape, 3), 99, np.uint8), captured_at=0)).faces == 0


def test_the_same_frame_gives_the_same_embedding_bit_for_bit(pipeline: Pipeline) -> None:
    first = probe(pipeline, photograph("biden"))
    probe(pipeline, photograph("obama"))
    again = probe(pipeline, photograph("biden"))
    np.testing.assert_array_equal(first.embedding.vector, again.embedding.vector)
    assert first.quality == again.quality


def test_a_frame_is_left_as_it_was_and_may_be_read_only(pipeline: Pipeline) -> None:
    pixels = photograph("biden")
    pixels.flags.writeable = False
    before = pixels.copy()
    probe(pipeline, pixels)
    np.testing.assert_array_equal(pixels, before)


def test_a_view_into_other_memory_is_as_good_as_a_copy(pipeline: Pipeline) -> None:
    pixels = photograph("obama")
    height, width = pixels.shape[:2]
    backwards = np.ascontiguousarray(pixels[..., ::-1])[..., ::-1]
    padded = np.zeros((height, width + 37, 3), np.uint8)
    padded[:, :width] = pixels
    expected = probe(pipeline, pixels).embedding.vector
    for view in (backwards, padded[:, :width], np.asfortranarray(pixels)):
        np.testing.assert_array_equal(probe(pipeline, view).embedding.vector, expected)


@pytest.mark.parametrize("shape", [(479, 641), (1280, 720), (721, 1281)])
def test_odd_and_upright_frames_are_seen(
    shape: tuple[int, int], pipeline: Pipeline, random: np.random.Generator
) -> None:
    frame = hall(random, *shape)
    at = complex(shape[1] // 2, shape[0] // 2)
    portray(frame, "obama", EYES["obama"], at, apart=62)
    expected = probe(pipeline, photograph("obama")).embedding.vector
    assert probe(pipeline, frame).embedding.vector @ expected > 0.93


def test_who_is_too_far_away_is_asked_to_come_closer(
    pipeline: Pipeline,
) -> None:
    frame = hall(np.random.default_rng(6))
    portray(frame, "obama", EYES["obama"], 640 + 330j, apart=19)
    assert hint(pipeline, frame) is QualityIssue.TOO_FAR


@pytest.mark.parametrize("visible", [slice(570, None), slice(660)])
def test_who_stands_half_in_the_frame_is_cut_off(
    visible: slice, pipeline: Pipeline, random: np.random.Generator
) -> None:
    frame = hall(random)
    portray(frame, "obama", EYES["obama"], 600 + 330j, apart=90)
    assert hint(pipeline, np.ascontiguousarray(frame[:, visible])) is QualityIssue.CUT_OFF


def test_each_fault_of_a_picture_has_its_hint(pipeline: Pipeline) -> None:
    pixels = photograph("biden")
    blurred = np.asarray(cv2.GaussianBlur(pixels, (0, 0), 4), np.uint8)
    dark = (pixels * 0.15).astype(np.uint8)
    bright = np.clip(pixels * 2.0 + 60, 0, 255).astype(np.uint8)
    assert hint(pipeline, blurred) is QualityIssue.BLURRED
    assert hint(pipeline, dark) is QualityIssue.TOO_DARK
    assert hint(pipeline, bright) is QualityIssue.TOO_BRIGHT


def test_the_limits_are_those_of_the_configuration() -> None:
    strict = load_pipeline(MODELS, Quality(min_eye_distance=500))
    assert hint(strict, photograph("obama")) is QualityIssue.TOO_FAR


@pytest.mark.parametrize("form", ["embedder_int8", "embedder_float"])
def test_the_embedder_can_be_another_than_the_one_in_force(form: str) -> None:
    pipeline = load_pipeline(MODELS, Quality(), embedder=form)
    model = f"{load_model(MODELS, form).digest}/{RUNTIME}"
    assert pipeline.model == model
    assert probe(pipeline, photograph("obama")).embedding.model == model


def test_a_folder_without_models_is_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as error:
        load_pipeline(tmp_path, Quality())
    assert "\n" not in str(error.value)
    assert os.fspath(tmp_path) in str(error.value)


def test_looking_at_frames_writes_no_file(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    probe(pipeline, photograph("obama"))
    assert list(tmp_path.iterdir()) == []
