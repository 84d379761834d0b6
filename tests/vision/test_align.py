import cmath

import numpy as np
import pytest
from hypothesis import given, strategies as st

from agent.core.types import Float32
from agent.vision.align import SIZE, TEMPLATE, align, fit
from agent.vision.sampling import Similarity, sample, shrink

FINITE = st.floats(-1000, 1000, width=32)


@st.composite
def similarities(draw: st.DrawFn) -> Similarity:
    scale, angle = draw(st.floats(0.05, 20)), draw(st.floats(-cmath.pi, cmath.pi))
    return Similarity(cmath.rect(scale, angle), complex(draw(FINITE), draw(FINITE)))


@given(similarities())
def test_a_known_similarity_is_found_again(known: Similarity) -> None:
    found = fit(TEMPLATE, known.apply(TEMPLATE))
    assert abs(found.turn - known.turn) <= 1e-4 * abs(known.turn) + 1e-5
    np.testing.assert_allclose(found.apply(TEMPLATE), known.apply(TEMPLATE), atol=0.02)


@given(similarities(), st.integers(0, 2**32 - 1))
def test_no_other_similarity_is_nearer_to_points_that_do_not_quite_fit(
    other: Similarity, seed: int
) -> None:
    target = TEMPLATE + np.random.default_rng(seed).normal(0, 3, (5, 2)).astype(np.float32)
    best = fit(TEMPLATE, target)
    least = np.square(best.apply(TEMPLATE) - target).sum()
    near = Similarity(best.turn * (1 + other.turn / 200), best.shift + other.shift / 200)
    assert least <= np.square(near.apply(TEMPLATE) - target).sum() + 1e-3


def test_a_mirrored_face_is_turned_rather_than_mirrored_back() -> None:
    mirrored = TEMPLATE * np.array([-1, 1], np.float32)
    moved = fit(TEMPLATE, mirrored).apply(TEMPLATE)
    assert not np.allclose(moved, mirrored, atol=1)


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((5, 2), np.float32),
        np.full((5, 2), 7, np.float32),
        np.full((5, 2), np.nan, np.float32),
        np.where(np.eye(5, 2) > 0, np.float32(np.inf), TEMPLATE),
    ],
)
def test_points_that_coincide_or_are_not_finite_are_refused(points: Float32) -> None:
    with pytest.raises(ValueError, match="no similarity"):
        align(np.zeros((50, 50, 3), np.uint8), points)


def test_a_picture_that_is_aligned_already_stays_as_it_is() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    np.testing.assert_array_equal(align(picture, TEMPLATE + np.float32(0.5)).pixels, picture)


@pytest.mark.parametrize("scale", [2.5, 4, 8])
def test_shrinking_averages_and_does_not_skip_pixels(scale: float) -> None:
    side = round(SIZE * scale)
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    aligned = align(noise, (TEMPLATE + np.float32(0.5)) * np.float32(scale))
    # Each pixel is the mean of pixels over at least half the width that it stands for.
    assert aligned.pixels.std() < 2 * noise.std() / scale
    assert aligned.pixels.mean() == pytest.approx(127.5, abs=1)


@pytest.mark.parametrize("scale", [0.5, 1, 1.9, 2, 3.3, 6])
@pytest.mark.parametrize("roll", [0, 20, -75])
def test_the_square_shows_what_lies_under_it(scale: float, roll: float) -> None:
    # Red grows with x and green with y, so that a colour tells its place.
    x, y = np.meshgrid(np.arange(900), np.arange(900))
    picture = np.stack([x / 4, y / 4, 0 * x], axis=-1).round().astype(np.uint8)
    view = Similarity(cmath.rect(scale, np.radians(roll)), 450 + 450j - 0j)
    view = Similarity(view.turn, view.shift - view.turn * complex(28, 28))
    square = sample(picture, view, 56)
    places = np.array([[10.5, 10.5], [28.5, 28.5], [45.5, 12.5]], np.float32)
    expected = (view.apply(places) - 0.5) / 4
    shown = [square[int(row), int(column), :2] for column, row in places]
    np.testing.assert_allclose(shown, expected, atol=1.2)


def test_what_lies_beyond_the_frame_is_black() -> None:
    picture = np.full((200, 200, 3), 255, np.uint8)
    assert not sample(picture, Similarity(3 + 0j, 5000 + 5000j), 64).any()
    assert not sample(picture, Similarity(1 + 0j, -5000 + 0j), 64).any()


def test_a_frame_shrinks_to_the_size_asked_for_whatever_its_own() -> None:
    for height, width in [(720, 1280), (479, 641), (90, 160), (1, 1), (3000, 17)]:
        assert shrink(np.zeros((height, width, 3), np.uint8), 160, 90).shape == (90, 160, 3)
