from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from agent.core.pad import Cue, Liveness, Series, Verdict
from agent.core.types import Frame, Pixels, Probe
from agent.vision.detect import Detector, Landmarker
from agent.vision.pad import FlashPad, Measured, field_of_view, holds_still, judge
from agent.vision.pipeline import Pipeline
from tests.accuracy import attacks
from tests.accuracy.attacks import Sitter, bona_fide
from tests.accuracy.light import FIELD_OF_VIEW, Body, Door, code, record
from tests.vision.scenes import central_mesh, photograph

LUX = 400.0
DUSK = Door(ambient=250.0, light=LUX)
NIGHT = Door(ambient=60.0, light=LUX)
NOON = Door(ambient=20_000.0, light=LUX)
FACE = Measured(
    expected=1.0, ratio=0.9, follows=0.99, tinted=1.0, relief=0.7, frontal=0.5, depth=0.2
)


@pytest.fixture(scope="module", params=["biden", "obama3"])
def sitter(
    request: pytest.FixtureRequest, near_detector: Detector, landmarks: Landmarker
) -> Sitter:
    return sat(request.param, near_detector, landmarks)


@pytest.fixture(scope="module")
def biden(near_detector: Detector, landmarks: Landmarker) -> Sitter:
    return sat("biden", near_detector, landmarks)


def sat(name: str, detector: Detector, landmarks: Landmarker) -> Sitter:
    pixels = photograph(name)
    mesh = central_mesh(pixels, detector, landmarks)
    assert mesh is not None
    return Sitter(pixels, mesh)


@pytest.fixture(scope="module")
def pad(pipeline: Pipeline) -> FlashPad:
    return FlashPad(pipeline, LUX, FIELD_OF_VIEW)


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(1)


@pytest.fixture(scope="module")
def living(biden: Sitter) -> Series:
    """Somebody at dusk, who passes."""
    return bona_fide(biden, DUSK, np.random.default_rng(1))


def said(pad: FlashPad, series: Series) -> tuple[Liveness, Cue]:
    verdict = pad(series).verdict
    return verdict.liveness, verdict.cue


def with_frame(series: Series, change: int, pixels: Pixels) -> Series:
    frames = list(series.frames)
    frames[change] = Frame(pixels, frames[change].captured_at)
    return replace(series, frames=tuple(frames))


def test_a_living_face_passes_and_is_there_to_be_recognised(
    pad: FlashPad, sitter: Sitter, random: np.random.Generator, pipeline: Pipeline
) -> None:
    series = bona_fide(sitter, DUSK, random)
    examined = pad(series)
    verdict = examined.verdict
    assert (verdict.liveness, verdict.cue) == (Liveness.BONA_FIDE, Cue.ALL)
    assert verdict.ratio is not None
    assert verdict.relief is not None
    assert verdict.ratio > 0.3
    assert verdict.relief > 0.5
    assert examined.captured_at == series.frames[-1].captured_at
    own = pipeline(Frame(sitter.photograph, captured_at=0)).nearest
    assert isinstance(own, Probe)
    assert len(examined.probes) == len(series.frames)
    assert all(each.embedding.vector @ own.embedding.vector > 0.6 for each in examined.probes)


@pytest.mark.parametrize(
    "attack",
    [attacks.flat_print, attacks.bent_print, attacks.phone_replay, attacks.tablet_replay],
)
def test_a_picture_of_a_face_does_not_pass(
    attack: attacks.Presentation, pad: FlashPad, sitter: Sitter
) -> None:
    examined = pad(attack(sitter, DUSK, np.random.default_rng(2)))
    assert examined.verdict.liveness is not Liveness.BONA_FIDE


def test_paper_returns_the_light_but_is_even(
    pad: FlashPad, sitter: Sitter, random: np.random.Generator
) -> None:
    verdict = pad(attacks.flat_print(sitter, DUSK, random)).verdict
    assert (verdict.liveness, verdict.cue) == (Liveness.ATTACK, Cue.RELIEF)
    assert verdict.ratio is not None
    assert verdict.ratio > 0.3


def test_a_bright_screen_hardly_returns_the_light(
    pad: FlashPad, biden: Sitter, random: np.random.Generator
) -> None:
    body = attacks.print_of(biden, random, lambda x, _: np.zeros_like(x), (1.0, 1.0))
    emitted = np.full((*body.depth.shape, 1), 700.0, np.float32)
    screen: Body = replace(body, emitted=emitted, reflects=0.02)
    told = said(pad, record(screen, NIGHT, random, code(random)))
    assert told == (Liveness.ATTACK, Cue.REFLECTION)


def test_a_face_that_is_lit_by_another_code_is_an_attack(pad: FlashPad, living: Series) -> None:
    wrong = replace(living, lit=(living.lit[-1], *living.lit[:-1]))
    assert wrong.lit != living.lit
    assert said(pad, wrong)[0] is Liveness.ATTACK
    assert said(pad, replace(living, lit=tuple(not on for on in living.lit)))[0] is Liveness.ATTACK


def test_the_ratio_does_not_depend_on_the_colour_of_the_skin(pad: FlashPad, biden: Sitter) -> None:
    ratios = []
    for tone in (1.0, 0.5, 0.25):
        random = np.random.default_rng(5)
        body = replace(attacks.head(biden, random, tone=tone), sheen=0.0)
        verdict = pad(record(body, DUSK, random, code(random))).verdict
        assert verdict.liveness is Liveness.BONA_FIDE
        ratios.append(verdict.ratio)
    assert ratios == pytest.approx([ratios[0]] * 3, rel=0.1)


@pytest.mark.parametrize("ambient", [None, float("nan"), float("inf"), 0.0, -3.0])
def test_without_a_sensible_ambient_light_nothing_is_clear(
    ambient: float | None, pad: FlashPad, living: Series
) -> None:
    assert said(pad, replace(living, ambient=ambient)) == (Liveness.UNCLEAR, Cue.AMBIENT)


def test_at_noon_nothing_is_clear(
    pad: FlashPad, biden: Sitter, random: np.random.Generator
) -> None:
    assert said(pad, bona_fide(biden, NOON, random)) == (Liveness.UNCLEAR, Cue.AMBIENT)


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_too_few_frames_are_no_series(kept: int, pad: FlashPad, living: Series) -> None:
    short = replace(living, frames=living.frames[:kept], lit=living.lit[:kept])
    assert said(pad, short)[0] is Liveness.UNCLEAR


@pytest.mark.parametrize("lit", [True, False])
def test_frames_all_lit_or_all_unlit_are_no_series(
    lit: bool, pad: FlashPad, living: Series
) -> None:
    same = replace(living, lit=(lit,) * len(living.lit))
    assert said(pad, same) == (Liveness.UNCLEAR, Cue.LIGHT_CODE)


def test_a_code_of_another_length_is_no_series(pad: FlashPad, living: Series) -> None:
    assert said(pad, replace(living, lit=living.lit[:-1])) == (Liveness.UNCLEAR, Cue.LIGHT_CODE)


def test_a_face_that_is_missing_from_a_frame_is_unclear_and_the_others_are_probes(
    pad: FlashPad, living: Series
) -> None:
    empty = np.full_like(living.frames[2].pixels, 90)
    examined = pad(with_frame(living, 2, empty))
    assert examined.verdict == Verdict(Liveness.UNCLEAR, Cue.MOTION)
    assert len(examined.probes) == len(living.frames) - 1


def test_a_face_that_jumps_is_unclear(pad: FlashPad, living: Series) -> None:
    jumped = np.roll(living.frames[2].pixels, 60, axis=1)
    assert said(pad, with_frame(living, 2, np.ascontiguousarray(jumped))) == (
        Liveness.UNCLEAR,
        Cue.MOTION,
    )


def test_a_face_that_comes_nearer_at_a_run_is_unclear() -> None:
    five = np.array([[30, 30], [70, 30], [50, 50], [35, 70], [65, 70]], np.float32)
    assert holds_still([five] * 6)
    assert holds_still([five, five * 1.1])
    assert not holds_still([(five - 50) * grown + 50 for grown in (1, 1.1, 1.2, 1.3)])
    assert not holds_still([five, five + 20])
    assert not holds_still([five, five * np.nan])


def test_a_saturated_face_is_unclear(pad: FlashPad, living: Series) -> None:
    frames = tuple(
        Frame(np.clip(frame.pixels.astype(int) * 3 + 60, 0, 255).astype(np.uint8), 0.0)
        for frame in living.frames
    )
    assert said(pad, replace(living, frames=frames))[0] is Liveness.UNCLEAR


def test_a_face_in_the_dark_is_unclear(pad: FlashPad, living: Series) -> None:
    frames = tuple(
        frame if on else Frame(frame.pixels // 12, frame.captured_at)
        for frame, on in zip(living.frames, living.lit, strict=True)
    )
    assert said(pad, replace(living, frames=frames))[0] is not Liveness.BONA_FIDE


def test_what_is_measured_of_a_face_passes() -> None:
    assert judge(FACE).liveness is Liveness.BONA_FIDE


@pytest.mark.parametrize(
    "figure", ["expected", "ratio", "follows", "tinted", "relief", "frontal", "depth"]
)
def test_nan_never_passes(figure: str) -> None:
    assert judge(replace(FACE, **{figure: float("nan")})).liveness is not Liveness.BONA_FIDE


@pytest.mark.parametrize(
    ("change", "liveness", "cue"),
    [
        ({"expected": None}, Liveness.UNCLEAR, Cue.AMBIENT),
        ({"expected": 0.2}, Liveness.UNCLEAR, Cue.AMBIENT),
        ({"ratio": 0.14}, Liveness.ATTACK, Cue.REFLECTION),
        ({"ratio": 0.11, "expected": 0.5}, Liveness.UNCLEAR, Cue.REFLECTION),
        ({"tinted": 0.2}, Liveness.ATTACK, Cue.REFLECTION),
        ({"follows": 0.9}, Liveness.ATTACK, Cue.LIGHT_CODE),
        ({"follows": -1.0}, Liveness.ATTACK, Cue.LIGHT_CODE),
        ({"depth": 0.03}, Liveness.ATTACK, Cue.RELIEF),
        ({"depth": 0.05}, Liveness.UNCLEAR, Cue.RELIEF),
        ({"relief": 0.3}, Liveness.UNCLEAR, Cue.RELIEF),
        ({"frontal": 0.1}, Liveness.UNCLEAR, Cue.RELIEF),
    ],
)
def test_every_test_must_pass(
    change: dict[str, float | None], liveness: Liveness, cue: Cue
) -> None:
    verdict = judge(replace(FACE, **change))  # type: ignore[arg-type]
    assert (verdict.liveness, verdict.cue) == (liveness, cue)


def test_a_face_that_is_hidden_but_for_its_mouth_is_unclear(pad: FlashPad, living: Series) -> None:
    frames = []
    for frame in living.frames:
        pixels = frame.pixels.copy()
        dark = cv2.GaussianBlur(pixels, (0, 0), 2) // 40
        pixels[: pixels.shape[0] // 2] = dark[: pixels.shape[0] // 2]
        frames.append(Frame(pixels, frame.captured_at))
    assert said(pad, replace(living, frames=tuple(frames)))[0] is not Liveness.BONA_FIDE


def test_part_of_a_picture_has_part_of_its_field_of_view() -> None:
    whole, half = field_of_view(1.0), field_of_view(0.5)
    assert np.tan(np.radians(half) / 2) == pytest.approx(np.tan(np.radians(whole) / 2) / 2)


def test_a_camera_that_froze_is_unclear(pad: FlashPad, living: Series) -> None:
    frozen = replace(living, frames=living.frames[:1] * len(living.frames))
    assert said(pad, frozen)[0] is not Liveness.BONA_FIDE
