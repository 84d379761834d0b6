from dataclasses import replace

import cv2
import numpy as np
import pytest

from agent.config import Quality as Limits
from agent.core.types import AlignedFace, Pixels, Quality, QualityIssue
from agent.vision.align import align
from agent.vision.detect import Detector, Landmarker, Mesh
from agent.vision.quality import EYES, assess, eyes_open, is_cut_off, issue
from tests.vision.scenes import PEOPLE, photograph

GOOD = Quality(eye_distance=60, sharpness=200, exposure=120, yaw=0.1, pitch=-0.1, eyes_open=0.27)


@pytest.fixture(scope="module")
def meshes(near_detector: Detector, landmarks: Landmarker) -> dict[str, Mesh]:
    found = {}
    for name in PEOPLE:
        pixels = photograph(name)
        mesh = landmarks.locate(pixels, near_detector.find(pixels)[0])
        assert mesh is not None
        found[name] = mesh
    return found


def measure(pixels: Pixels, mesh: Mesh) -> Quality:
    return assess(mesh, align(pixels, mesh.five))


def turned(mesh: Mesh, yaw: float = 0, pitch: float = 0) -> Mesh:
    """Turn a head about its own centre. yaw, pitch: degrees."""
    centre = mesh.points.mean(0)
    a, b = np.radians(yaw), np.radians(pitch)
    about_y = [[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]]
    about_x = [[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]]
    points = (mesh.points - centre) @ (np.array(about_x) @ about_y).T + centre
    return Mesh(points.astype(np.float32))


def with_lids_at(mesh: Mesh, opening: float) -> Mesh:
    """Bring the lids together. opening: share that is left, 0 to 1."""
    points = mesh.points.copy()
    for _, lids in EYES:
        for upper, lower in lids:
            middle = (points[upper] + points[lower]) / 2
            points[upper] = middle + (points[upper] - middle) * opening
            points[lower] = middle + (points[lower] - middle) * opening
    return Mesh(points)


@pytest.mark.parametrize("name", PEOPLE)
def test_a_good_photograph_passes_every_limit(name: str, meshes: dict[str, Mesh]) -> None:
    pixels = photograph(name)
    assert issue(measure(pixels, meshes[name]), Limits()) is None
    assert not is_cut_off(meshes[name], *pixels.shape[:2])


@pytest.mark.parametrize("name", PEOPLE)
def test_a_blurred_face_is_refused(name: str, meshes: dict[str, Mesh]) -> None:
    apart = float(np.linalg.norm(meshes[name].five[1] - meshes[name].five[0]))
    pixels = cv2.GaussianBlur(photograph(name), (0, 0), 0.08 * apart)
    quality = measure(np.asarray(pixels, np.uint8), meshes[name])
    assert issue(quality, Limits()) is QualityIssue.BLURRED


@pytest.mark.parametrize("name", PEOPLE)
def test_a_face_in_the_dark_is_refused(name: str, meshes: dict[str, Mesh]) -> None:
    pixels = (photograph(name) * 0.12).astype(np.uint8)
    assert issue(measure(pixels, meshes[name]), Limits()) is QualityIssue.TOO_DARK


@pytest.mark.parametrize("name", PEOPLE)
def test_a_dim_face_still_passes(name: str, meshes: dict[str, Mesh]) -> None:
    pixels = (photograph(name) * 0.4).astype(np.uint8)
    assert issue(measure(pixels, meshes[name]), Limits()) is None


@pytest.mark.parametrize("name", PEOPLE)
def test_an_overexposed_face_is_refused(name: str, meshes: dict[str, Mesh]) -> None:
    pixels = np.clip(photograph(name) * 2.5 + 80, 0, 255).astype(np.uint8)
    assert issue(measure(pixels, meshes[name]), Limits()) is QualityIssue.TOO_BRIGHT


@pytest.mark.parametrize("name", PEOPLE)
def test_a_small_face_is_refused(name: str, meshes: dict[str, Mesh]) -> None:
    mesh = Mesh(meshes[name].points * np.float32(0.25))
    pixels = cv2.resize(photograph(name), None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    quality = measure(np.asarray(pixels, np.uint8), mesh)
    assert issue(quality, Limits()) is QualityIssue.TOO_FAR


@pytest.mark.parametrize("degrees", [-45, 45])
def test_a_head_turned_to_the_side_is_refused(degrees: float, meshes: dict[str, Mesh]) -> None:
    mesh = turned(meshes["obama"], yaw=degrees)
    quality = assess(mesh, align(photograph("obama"), meshes["obama"].five))
    assert issue(quality, Limits()) is QualityIssue.TURNED_AWAY
    assert abs(quality.yaw) > 0.6 > abs(quality.pitch)


@pytest.mark.parametrize("degrees", [-45, 45])
def test_a_head_tilted_up_or_down_is_refused(degrees: float, meshes: dict[str, Mesh]) -> None:
    mesh = turned(meshes["obama"], pitch=degrees)
    quality = assess(mesh, align(photograph("obama"), meshes["obama"].five))
    assert issue(quality, Limits()) is QualityIssue.TURNED_AWAY
    assert abs(quality.pitch) > 0.6 > abs(quality.yaw)


def test_yaw_has_a_sign_and_grows_with_the_turn(meshes: dict[str, Mesh]) -> None:
    aligned = align(photograph("obama"), meshes["obama"].five)
    yaws = [assess(turned(meshes["obama"], yaw=d), aligned).yaw for d in (-40, -20, 0, 20, 40)]
    assert yaws == sorted(yaws) or yaws == sorted(yaws, reverse=True)
    assert yaws[0] * yaws[-1] < 0
    assert abs(yaws[2]) < 0.1


def test_a_head_that_looks_into_the_camera_has_hardly_any_pose(meshes: dict[str, Mesh]) -> None:
    quality = measure(photograph("obama"), meshes["obama"])
    assert abs(quality.yaw) < 0.1
    assert abs(quality.pitch) < 0.1


def test_a_bright_window_behind_the_head_does_not_lighten_the_face(
    meshes: dict[str, Mesh],
) -> None:
    aligned = align(photograph("biden"), meshes["biden"].five)
    backlit = aligned.pixels.copy()
    backlit[:, :15], backlit[:, -15:], backlit[:12] = 255, 255, 255
    before, after = (assess(meshes["biden"], face) for face in (aligned, AlignedFace(backlit)))
    assert after.exposure == before.exposure
    assert after.sharpness == before.sharpness


def test_turning_the_picture_changes_no_pose(meshes: dict[str, Mesh]) -> None:
    mesh = meshes["obama2"]
    aligned = align(photograph("obama2"), mesh.five)
    cosine, sine = np.cos(0.5), np.sin(0.5)
    rolled = mesh.points @ np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]], np.float32)
    upright, askew = assess(mesh, aligned), assess(Mesh(rolled), aligned)
    assert askew.yaw == pytest.approx(upright.yaw, abs=1e-3)
    assert askew.pitch == pytest.approx(upright.pitch, abs=1e-3)
    assert askew.eyes_open == pytest.approx(upright.eyes_open, abs=1e-3)


@pytest.mark.parametrize("name", PEOPLE)
def test_closed_eyes_are_refused(name: str, meshes: dict[str, Mesh]) -> None:
    shut = with_lids_at(meshes[name], opening=0.3)
    quality = assess(shut, align(photograph(name), meshes[name].five))
    assert issue(quality, Limits()) is QualityIssue.EYES_CLOSED


@pytest.mark.parametrize("name", PEOPLE)
def test_narrowed_eyes_still_pass(name: str, meshes: dict[str, Mesh]) -> None:
    narrow = with_lids_at(meshes[name], opening=0.6)
    assert eyes_open(narrow.points) >= Limits().min_eyes_open


@pytest.mark.parametrize("beyond", [(-120, 0), (120, 0), (0, -120), (0, 120)])
def test_a_face_across_the_edge_of_the_frame_is_cut_off(
    beyond: tuple[int, int], meshes: dict[str, Mesh]
) -> None:
    points = meshes["obama"].points - meshes["obama"].points.min(0)
    width, height = points.max(0)[:2]
    inside = Mesh(points)
    moved = Mesh(points + np.array([*beyond, 0], np.float32))
    frame = round(float(height)) + 2, round(float(width)) + 2
    assert not is_cut_off(inside, *frame)
    assert is_cut_off(moved, *frame)


@pytest.mark.parametrize("name", ["sharpness", "exposure", "yaw", "pitch", "eyes_open"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_figure_that_is_not_finite_is_unreadable(name: str, value: float) -> None:
    assert issue(replace(GOOD, **{name: value}), Limits()) is QualityIssue.UNREADABLE


def test_an_eye_distance_that_is_no_number_is_refused() -> None:
    assert issue(replace(GOOD, eye_distance=float("nan")), Limits()) is not None


def test_a_figure_just_at_its_limit_passes() -> None:
    at = Quality(eye_distance=22, sharpness=20, exposure=25, yaw=0.6, pitch=-0.6, eyes_open=0.12)
    assert issue(at, Limits()) is None
    assert issue(replace(at, exposure=225, yaw=-0.6, pitch=0.6), Limits()) is None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"eye_distance": 21.9}, QualityIssue.TOO_FAR),
        ({"sharpness": 19.9}, QualityIssue.BLURRED),
        ({"exposure": 24.9}, QualityIssue.TOO_DARK),
        ({"exposure": 225.1}, QualityIssue.TOO_BRIGHT),
        ({"yaw": 0.61}, QualityIssue.TURNED_AWAY),
        ({"yaw": -0.61}, QualityIssue.TURNED_AWAY),
        ({"pitch": 0.61}, QualityIssue.TURNED_AWAY),
        ({"pitch": -0.61}, QualityIssue.TURNED_AWAY),
        ({"eyes_open": 0.11}, QualityIssue.EYES_CLOSED),
    ],
)
def test_each_limit_has_its_own_hint(change: dict[str, float], expected: QualityIssue) -> None:
    assert issue(replace(GOOD, **change), Limits()) is expected
