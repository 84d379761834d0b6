from __future__ import annotations

import numpy as np
import pytest

from agent.core.types import Float32, Pixels
from agent.vision.detect import Detector, Landmarker, Mesh
from agent.vision.relief import (
    BEND,
    LINEAR,
    SIDE,
    TEMPLATE,
    comparable,
    register,
    relief,
    surface,
    tinted,
    unroll,
)
from tests.vision.scenes import central_mesh, photograph

AHEAD = (0.0, 0.0, 0.0)
INSIDE = np.array([[1.0, 0, 4.0], [0, 1.0, 4.0]])
"""Cells of a pixel each, away from the edge of the picture."""


@pytest.fixture(scope="module")
def face() -> Pixels:
    return photograph("obama")


@pytest.fixture(scope="module")
def mesh(face: Pixels, near_detector: Detector, landmarks: Landmarker) -> Mesh:
    found = central_mesh(face, near_detector, landmarks)
    assert found is not None
    return found


def moved(pixels: Pixels, mesh: Mesh, right: int, down: int) -> tuple[Pixels, Mesh]:
    rolled = np.ascontiguousarray(np.roll(pixels, (down, right), (0, 1)))
    return rolled, Mesh(mesh.points + np.array([right, down, 0], np.float32))


def test_a_picture_on_the_grid_is_in_linear_light() -> None:
    grey = np.full((80, 80, 3), 188, np.uint8)
    light = unroll(grey, INSIDE)
    assert light.shape == (SIDE, SIDE, 3)
    assert light == pytest.approx(0.5, abs=0.01)


def test_the_grid_counts_from_the_corners_of_pixels() -> None:
    ramp = np.repeat(np.arange(80, dtype=np.uint8)[None, :, None] + 60, 80, axis=0)
    light = unroll(np.repeat(ramp, 3, axis=2), INSIDE)
    # The centre of cell 0 is that of pixel 4.
    assert light[5, :5, 0] == pytest.approx(LINEAR[[64, 65, 66, 67, 68]], rel=1e-3)
    beside = unroll(np.repeat(ramp, 3, axis=2), INSIDE + np.array([[0, 0, 1.0], [0, 0, 0]]))
    assert beside[:, :-1] == pytest.approx(light[:, 1:], rel=1e-3)


def test_what_is_saturated_or_beyond_the_picture_is_no_number() -> None:
    bright = np.full((80, 80, 3), 120, np.uint8)
    bright[30:40, 30:40, 0] = 253
    light = unroll(bright, np.array([[1.0, 0, 40.0], [0, 1.0, 0]]))
    assert np.isnan(light[:, 50:]).all()
    light = unroll(bright, INSIDE)
    assert np.isnan(light[28:34, 28:34]).all()
    assert np.isfinite(light[:24, :24]).all()
    assert np.isnan(unroll(bright, np.array([[1.0, 0, 900.0], [0, 1.0, 0]]))).all()


@pytest.mark.parametrize("slip", [(0.0, 0.0), (1.6, -1.2)])
def test_a_face_that_moved_is_laid_on_itself_even_where_the_landmarks_slip(
    slip: tuple[float, float], face: Pixels, mesh: Mesh
) -> None:
    there, its_mesh = moved(face, mesh, 9, -6)
    slipped = Mesh(its_mesh.points + np.array([*slip, 0], np.float32))
    dimmed = (there * 0.7).astype(np.uint8)
    one, other = register([face, dimmed], [mesh, slipped]).mean(3, np.float64)
    skin = surface(mesh, 0.5, AHEAD).skin
    ratio = np.log(other[skin] / one[skin])
    assert ratio.std() < 0.05


def test_a_nose_and_cheeks_are_skin_and_eyes_and_lips_are_not(mesh: Mesh) -> None:
    skin = surface(mesh, 0.5, AHEAD).skin

    def at(point: Float32) -> bool:
        return bool(skin[int(point[1]), int(point[0])])

    left_eye, right_eye, nose, left_mouth, right_mouth = TEMPLATE
    assert at(nose)
    assert at((left_eye + left_mouth) / 2)
    assert at((right_eye + right_mouth) / 2)
    assert not any(at(point) for point in (left_eye, right_eye, (left_mouth + right_mouth) / 2))
    assert not skin[:, 0].any()


def test_the_sides_of_a_nose_get_less_light_than_its_ridge(mesh: Mesh) -> None:
    shading = surface(mesh, 0.5, AHEAD).shades[..., 0]
    nose = TEMPLATE[2]
    row = int(nose[1]) - 5
    ridge = shading[row, int(nose[0])]
    assert ridge > shading[row, int(nose[0]) - 4] + 0.05
    assert ridge > shading[row, int(nose[0]) + 4] + 0.05


def test_relief_is_that_of_the_face_and_a_bent_sheet_has_none(mesh: Mesh) -> None:
    face = surface(mesh, 0.5, AHEAD)
    unlit = np.full((SIDE, SIDE), 0.2)
    own = relief(unlit, unlit * (1 + face.shades[..., 0]), face, face.skin)
    assert own.correlation > 0.95
    assert own.frontal > 0.9
    assert own.depth > 0.05
    grain = np.random.default_rng(0).normal(1, 0.01, (SIDE, SIDE))
    sheet = 1 + 0.5 * (BEND @ np.array([1, 0.2, 0.1, -0.3, 0.1, -0.2]))
    bent = relief(unlit, unlit * sheet * grain, face, face.skin)
    assert bent.depth < 0.03
    assert bent.correlation < 0.4
    other = relief(unlit, unlit * (2 - face.shades[..., 0]), face, face.skin)
    assert other.frontal < -0.9


def test_what_is_much_darker_than_the_skin_is_not_compared(mesh: Mesh) -> None:
    face = surface(mesh, 0.5, AHEAD)
    light = np.full((2, SIDE, SIDE), 0.3)
    light[0, 40:44] = 0.05
    light[1, :, 20] = np.nan
    usable = comparable(light, face)
    assert not usable[39:45].any()
    assert not usable[:, 19:22].any()
    assert usable.sum() > 0.7 * face.skin.sum()


def test_a_mesh_that_has_collapsed_is_refused(mesh: Mesh) -> None:
    for points in (mesh.points * 0, mesh.points * np.nan):
        with pytest.raises(ValueError, match="similarity"):
            surface(Mesh(points.astype(np.float32)), 0.5, AHEAD)


def test_skin_returns_light_by_its_colour_and_a_pane_returns_it_evenly() -> None:
    shown = np.random.default_rng(0).uniform(0.1, 0.4, (SIDE, SIDE))
    everywhere = np.ones((SIDE, SIDE), bool)
    assert tinted(shown, shown * 1.6, everywhere) == pytest.approx(1.0)
    assert tinted(shown, shown + 0.05, everywhere) == pytest.approx(0.0, abs=1e-6)
