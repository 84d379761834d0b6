"""What a frame shows at a glance: how bright it is, and whether something moved."""

import cv2
import numpy as np
import pytest

from agent.core.types import Float32, Frame, Pixels
from agent.motion import Motion

HEIGHT, WIDTH = 360, 640
NOISE = np.random.default_rng(1)


def corridor() -> Float32:
    """A still scene with light and shade."""
    shades = np.linspace(150, 90, HEIGHT, dtype=np.float32)[:, None]
    wall = np.broadcast_to(shades, (HEIGHT, WIDTH)).copy()
    wall[:, 400:] *= 0.4
    wall[100:200, 100:180] = 220
    return wall


def with_head(x: int, size: int = 40) -> Float32:
    """Somebody's head in it: 40 pixels of 640 are an adult's at three metres."""
    scene = corridor()
    cv2.circle(scene, (x, 180), size // 2, 60.0, -1)
    return scene


def frame(scene: Float32, sigma: float = 2.0, *, grey: bool = False) -> Frame:
    """What a sensor makes of a scene."""
    grain = NOISE.standard_normal((*scene.shape, 3), np.float32)
    noisy = scene[..., None] + sigma * grain
    pixels: Pixels = np.clip(noisy, 0, 255).astype(np.uint8)
    small = cv2.resize(pixels[..., 1], (160, 90), interpolation=cv2.INTER_AREA) if grey else None
    return Frame(pixels, 0.0, None if small is None else small.astype(np.uint8))


def moved(before: Frame, after: Frame) -> bool:
    motion = Motion()
    motion.look(before)
    return motion.look(after)[1]


@pytest.fixture(params=[False, True], ids=["whole", "small"])
def grey(request: pytest.FixtureRequest) -> bool:
    """Whether the camera gives a small grey picture beside the whole one."""
    given: bool = request.param
    return given


def test_in_the_first_frame_nothing_moved() -> None:
    assert not Motion().look(frame(corridor()))[1]


@pytest.mark.parametrize("sigma", [0.5, 3.0, 12.0])
def test_noise_is_no_movement(sigma: float, grey: bool) -> None:
    motion = Motion()
    assert not any(motion.look(frame(corridor(), sigma, grey=grey))[1] for _ in range(10))


@pytest.mark.parametrize("exposure", [0.8, 0.95, 1.1, 1.3])
def test_another_exposure_is_no_movement(exposure: float, grey: bool) -> None:
    before = frame(corridor() * 0.7, grey=grey)
    assert not moved(before, frame(corridor() * 0.7 * exposure, grey=grey))


@pytest.mark.parametrize("exposure", [1.0, 0.9, 1.2])
def test_whoever_comes_in_moves_even_while_the_exposure_changes(
    exposure: float, grey: bool
) -> None:
    assert moved(frame(corridor(), grey=grey), frame(with_head(300) * exposure, grey=grey))


def test_a_step_is_movement_in_the_dark_too(grey: bool) -> None:
    dark = 0.25
    before = frame(with_head(300, 80) * dark, 4.0, grey=grey)
    assert moved(before, frame(with_head(330, 80) * dark, 4.0, grey=grey))


def test_pictures_of_another_size_have_moved() -> None:
    assert moved(frame(corridor()), frame(corridor()[:200]))


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (240, 320), (720, 1280), (1280, 720)])
def test_any_size_will_do(shape: tuple[int, int]) -> None:
    motion = Motion()
    plain = Frame(np.full((*shape, 3), 100, np.uint8), 0.0)
    for _ in range(2):
        luma, has_moved = motion.look(plain)
        assert luma == pytest.approx(100.0, abs=0.1)
        assert not has_moved


def test_luma_weighs_colours_as_the_eye_does() -> None:
    red = np.zeros((90, 160, 3), np.uint8)
    red[..., 0] = 255
    luma, _ = Motion().look(Frame(red, 0.0))
    assert luma == pytest.approx(0.299 * 255, abs=0.1)


def test_luma_is_that_of_the_small_picture_where_there_is_one() -> None:
    whole = np.zeros((90, 160, 3), np.uint8)
    luma, _ = Motion().look(Frame(whole, 0.0, np.full((45, 80), 50, np.uint8)))
    assert luma == pytest.approx(50.0)
