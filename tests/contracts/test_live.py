"""Pictures that are frozen or black are no evidence, and a camera that gives them is faulty."""

import logging
from collections.abc import Callable, Generator, Iterable
from itertools import islice

import numpy as np
import pytest

from agent.adapters.live import DARK, PROBATION, LiveCamera, Source
from agent.core.types import Frame, Pixels
from agent.errors import DeviceError

FPS = 8.0
SHAPE = (72, 128, 3)


class Scripted(Source):
    """A camera that gives what it is told to, eight a second, the next script at each start."""

    def __init__(self, *scripts: Iterable[Pixels | str]) -> None:
        self._scripts = iter(scripts)
        self._at = 0.0
        self.started = 0
        self.ended = 0

    def frames(self) -> Generator[Frame, None, None]:
        self.started += 1
        try:
            for picture in next(self._scripts):
                self._at += 1 / FPS
                if isinstance(picture, str):
                    raise DeviceError(picture)
                yield Frame(picture, self._at)
        finally:
            self.ended += 1

    def close(self) -> None:
        pass


def seen(level: float, sigma: float, seconds: float, seed: int = 1) -> list[Pixels]:
    """A still scene of one level, with a sensor's noise."""
    noise = np.random.default_rng(seed)
    return [
        np.clip(level + sigma * noise.standard_normal(SHAPE, np.float32), 0, 255).astype(np.uint8)
        for _ in range(round(seconds * FPS))
    ]


def same(picture: Pixels, seconds: float) -> list[Pixels]:
    return [picture] * round(seconds * FPS)


BLANK = np.zeros(SHAPE, np.uint8)
FROZEN = r"^camera: its picture is frozen, .*: check its cable"
BLACK = r"^camera: its picture is black, .*: uncover the lens"


def test_pictures_with_noise_are_handed_on_but_for_the_first() -> None:
    pictures = seen(120, 1, 5)
    handed_on = [frame.pixels for frame in LiveCamera(Scripted(pictures)).frames()]
    assert len(handed_on) == len(pictures) - 1
    assert all(a is b for a, b in zip(handed_on, pictures[1:], strict=True))


def test_a_night_without_any_light_is_no_fault() -> None:
    night = LiveCamera(Scripted(seen(1, 1.5, 4 * DARK)))
    assert len(list(night.frames())) == 4 * DARK * FPS - 1


def test_a_picture_that_stays_is_not_handed_on_and_after_three_seconds_a_fault() -> None:
    [*before, last] = seen(120, 1, 2)
    camera = Scripted([*before, *same(last, 60)])
    frames = LiveCamera(camera).frames()
    assert len(list(islice(frames, len(before)))) == len(before)
    with pytest.raises(DeviceError, match=FROZEN):
        next(frames)
    assert (camera.started, camera.ended) == (1, 1)


def test_a_few_values_that_still_change_do_not_hide_a_frozen_picture() -> None:
    still = np.random.default_rng(1).integers(0, 256, (360, 640, 3), np.uint8)
    stuck = same(still, 10)
    for number, picture in enumerate(stuck):
        stuck[number] = picture.copy()
        stuck[number][0, 0] = number
    with pytest.raises(DeviceError, match=FROZEN):
        list(LiveCamera(Scripted(stuck)).frames())


def test_a_picture_that_stays_for_a_moment_only_is_no_fault() -> None:
    [*before, last] = seen(120, 1, 2)
    pictures = [*before, *same(last, 2.0), *seen(120, 1, 2, seed=2)]
    assert len(list(LiveCamera(Scripted(pictures)).frames())) == 15 + 16


def test_black_without_noise_is_handed_on_until_the_light_had_its_chance() -> None:
    camera = Scripted([*seen(120, 1, 2), *same(BLANK, 2 * DARK)], same(BLANK, 2 * DARK))
    handed_on: list[Pixels] = []
    with pytest.raises(DeviceError, match=BLACK):
        handed_on.extend(frame.pixels for frame in LiveCamera(camera).frames())
    assert camera.started == 2
    assert sum(not picture.any() for picture in handed_on) == pytest.approx(DARK * FPS, abs=2)


def lit_spot(level: int, share: float = 0.02) -> Pixels:
    """A night in which one thing shines, and nothing is of noise."""
    picture = BLANK.copy()
    picture[: round(SHAPE[0] * share * 10), : SHAPE[1] // 10] = level
    return picture


@pytest.mark.parametrize("level", [17, 120, 255])
def test_a_dark_picture_with_one_lit_spot_is_no_frozen_camera(level: int) -> None:
    pictures = [*same(lit_spot(level), DARK - 1), *seen(90, 1, 1)]
    handed_on = list(LiveCamera(Scripted(pictures)).frames())
    assert len(handed_on) == len(pictures) - 1


def test_no_face_of_a_dark_still_picture_is_handed_on() -> None:
    camera = LiveCamera(Scripted(same(lit_spot(200, 0.4), DARK)))
    handed_on = [frame.pixels for frame in camera.frames()]
    assert len(handed_on) >= 0.9 * DARK * FPS
    assert {picture.shape for picture in handed_on} == {SHAPE}
    assert not any(picture.any() for picture in handed_on)


def test_a_dark_picture_with_noise_is_handed_on_as_it_is() -> None:
    night = [np.maximum(each, lit_spot(200)) for each in seen(1, 1.5, 5)]
    handed_on = [frame.pixels for frame in LiveCamera(Scripted(night)).frames()]
    assert all(a is b for a, b in zip(handed_on, night[1:], strict=True))


def test_a_picture_of_which_more_than_half_is_lit_is_frozen_and_not_dark() -> None:
    picture = BLANK.copy()
    picture[SHAPE[0] // 2 - 1 :] = 120
    with pytest.raises(DeviceError, match=FROZEN):
        list(LiveCamera(Scripted(same(picture, DARK - 1))).frames())


def test_black_that_the_light_ends_is_no_fault() -> None:
    pictures = [*same(BLANK, DARK - 1), *seen(90, 1, 2), *same(BLANK, DARK - 1), *seen(90, 1, 1)]
    handed_on = list(LiveCamera(Scripted(pictures)).frames())
    assert len(handed_on) == len(pictures) - 1


def test_only_what_is_without_noise_counts_as_black() -> None:
    night = seen(1, 1.5, 1.2 * DARK)
    pictures = [*night, *same(BLANK, DARK - 1), *night]
    assert len(list(LiveCamera(Scripted(pictures)).frames())) == len(pictures) - 1


def test_a_camera_that_is_still_black_when_tried_again_gives_nothing_until_it_is_not() -> None:
    black = [same(BLANK, 2 * DARK)] * 3
    camera = LiveCamera(Scripted(*black, seen(90, 1, 1)))
    with pytest.raises(DeviceError, match=BLACK):
        list(camera.frames())
    # Or the fault would be cleared and raised in turn for ever.
    with pytest.raises(DeviceError, match=BLACK):
        next(camera.frames())
    assert next(camera.frames()).pixels.any()


AILMENTS: list[Callable[[], list[Pixels | str]]] = [
    lambda: ["camera: no frame for 3 s: check the ribbon cable"],
    lambda: [*same(np.full(SHAPE, 90, np.uint8), 10)],
]


@pytest.mark.parametrize("ailment", AILMENTS)
def test_a_camera_that_was_well_is_started_again_before_it_counts_as_faulty(
    ailment: Callable[[], list[Pixels | str]], caplog: pytest.LogCaptureFixture
) -> None:
    well = PROBATION + 1.0
    camera = Scripted([*seen(120, 1, well), *ailment()], seen(120, 1, well, seed=2))
    with caplog.at_level(logging.WARNING):
        handed_on = list(LiveCamera(camera).frames())
    assert len(handed_on) == pytest.approx(2 * (well * FPS - 1), abs=1)
    assert (camera.started, camera.ended) == (2, 2)
    assert "it is started again" in caplog.text


@pytest.mark.parametrize("ailment", AILMENTS)
def test_a_camera_that_fails_again_soon_is_faulty(
    ailment: Callable[[], list[Pixels | str]],
) -> None:
    well = seen(120, 1, PROBATION + 1.0)
    soon = seen(120, 1, PROBATION / 2)
    camera = Scripted([*well, *ailment()], [*soon, *ailment()])
    with pytest.raises(DeviceError, match=r"^camera: "):
        list(LiveCamera(camera).frames())
    assert (camera.started, camera.ended) == (2, 2)


def test_a_camera_that_never_was_well_is_faulty_at_once() -> None:
    camera = Scripted(["camera: there is none: plug it in"])
    with pytest.raises(DeviceError, match="there is none"):
        list(LiveCamera(camera).frames())
    assert camera.started == 1


def test_whoever_stops_taking_frames_has_the_camera_closed() -> None:
    camera = Scripted(seen(120, 1, 5))
    frames = LiveCamera(camera).frames()
    next(frames)
    del frames
    assert camera.ended == 1
