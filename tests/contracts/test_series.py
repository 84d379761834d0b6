"""A series under one exposure with the light on and off: over a simulator of picamera2."""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from agent.adapters import flashing
from agent.adapters.camera import PiCamera, open_camera
from agent.adapters.clock import SystemClock
from agent.adapters.v4l2 import UsbCamera
from agent.config import Camera as Settings
from agent.core.examination import CODES
from agent.core.pad import Series
from agent.core.types import Pixels
from agent.errors import DeviceError
from agent.ports import Camera
from tests.contracts.pictures import write_picture
from tests.simulated_picamera2 import SimulatedCamera

CONTROLS = (
    "FrameDurationLimits",
    "AeEnable",
    "AwbEnable",
    "ExposureTime",
    "AnalogueGain",
    "ColourGains",
)
GREY: Pixels = np.full((60, 80, 3), 90, np.uint8)
SETTINGS = Settings(width=320, height=240, fps=50.0)
CODE = (False, True, True, False, True, False)
LATER = 20.0
"""Seconds that are enough on a busy machine."""


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> SimulatedCamera:
    simulated = SimulatedCamera(GREY, controls=CONTROLS, noise=False)
    monkeypatch.setitem(sys.modules, "picamera2", simulated.module())
    return simulated


@contextmanager
def looking(settings: Settings = SETTINGS) -> Iterator[PiCamera]:
    pi = PiCamera(settings, SystemClock())
    with closing(pi.frames()) as frames:
        next(frames)
        yield pi


def taken(
    simulated: SimulatedCamera,
    code: Sequence[bool] = CODE,
    switch: Callable[[bool], None] | None = None,
    seconds: float = LATER,
) -> Series | None:
    with looking() as pi:
        return pi.series(code, switch or simulated.shine, time.monotonic() + seconds)


@pytest.mark.parametrize("code", [CODE, CODES[0], CODES[-1]])
def test_every_frame_is_wholly_lit_or_wholly_dark_as_the_code_says(
    code: tuple[bool, ...], camera: SimulatedCamera
) -> None:
    series = taken(camera, code)
    assert series is not None
    assert series.lit == code
    assert len(series.frames) == len(code)
    for frame, lit in zip(series.frames, code, strict=True):
        rows = frame.pixels.mean(axis=(1, 2))
        # 0.8 of the exposure, and as much light again from the lamp
        assert rows == pytest.approx(90 * 0.8 * (1 + lit), rel=0.04)
    times = [frame.captured_at for frame in series.frames]
    assert times == sorted(set(times))


def test_the_light_is_switched_only_where_the_code_changes(camera: SimulatedCamera) -> None:
    taken(camera)
    assert [on for _, on in camera.shone] == [on for on, _ in groupby(CODE)]


def test_the_light_waits_until_the_exposure_is_locked(camera: SimulatedCamera) -> None:
    taken(camera)
    first = camera.shone[0][0]
    locked = [shot for shot in camera.shots if shot.locked]
    assert first > locked[0].done
    # So that nothing that the light does gets into it: it is what daylight made it.
    assert locked[0].exposure == pytest.approx(0.8 * 0.006, rel=0.05)


def test_frames_come_as_fast_as_the_camera_can_meanwhile(camera: SimulatedCamera) -> None:
    taken(camera)
    assert {round(shot.duration, 4) for shot in camera.shots if shot.locked} == {0.008}


def test_the_ambient_light_is_told_without_the_lamp(camera: SimulatedCamera) -> None:
    series = taken(camera)
    assert series is not None
    assert series.ambient == pytest.approx(150.0)


def test_a_camera_that_tells_no_lux_is_used_without(camera: SimulatedCamera) -> None:
    camera.lux = None
    series = taken(camera)
    assert series is not None
    assert series.ambient is None


def unlocked(camera: SimulatedCamera) -> bool:
    wanted = {"AeEnable": True, "AwbEnable": True, "FrameDurationLimits": (20_000, 20_000)}
    return all(camera.given[name] == value for name, value in wanted.items())


def test_the_exposure_is_free_again_afterwards(camera: SimulatedCamera) -> None:
    with looking() as pi:
        assert pi.series(CODE, camera.shine, time.monotonic() + LATER) is not None
        assert unlocked(camera)


def test_the_exposure_is_free_again_where_the_light_fails(camera: SimulatedCamera) -> None:
    def fail(_: bool) -> None:
        raise DeviceError("gpio: line 12: I/O error")

    with pytest.raises(DeviceError, match="line 12"):
        taken(camera, switch=fail)
    assert unlocked(camera)


def test_there_is_no_series_where_it_takes_too_long(camera: SimulatedCamera) -> None:
    camera.latency = 1000
    assert taken(camera, seconds=0.3) is None
    assert unlocked(camera)
    assert camera.shone == []


def test_closing_the_camera_ends_a_series(camera: SimulatedCamera) -> None:
    with looking() as pi:

        def close(on: bool) -> None:
            camera.shine(on)
            camera.hung = True
            threading.Timer(0.1, pi.close).start()

        assert pi.series(CODE, close, time.monotonic() + LATER) is None


def test_there_is_no_series_of_a_camera_that_is_closed(camera: SimulatedCamera) -> None:
    with pytest.raises(DeviceError, match="it is closed"):
        PiCamera(SETTINGS, SystemClock()).series(CODE, camera.shine, time.monotonic() + LATER)


@pytest.mark.parametrize("lacking", ["AeEnable", "ExposureTime", "AnalogueGain"])
def test_a_camera_whose_exposure_is_its_own_business_is_refused(
    lacking: str, camera: SimulatedCamera
) -> None:
    camera.controls = tuple(name for name in CONTROLS if name != lacking)
    with pytest.raises(DeviceError, match=r"^camera: .*\[pad\] level"):
        taken(camera)
    assert camera.shone == []


def test_a_camera_that_does_not_say_when_it_took_a_frame_is_refused(
    camera: SimulatedCamera,
) -> None:
    camera.stamped = False
    with pytest.raises(DeviceError, match=r"cannot be locked: set \[pad\] level"):
        taken(camera)


def test_the_part_that_is_looked_at_is_all_that_a_series_shows(camera: SimulatedCamera) -> None:
    settings = Settings(width=320, height=240, fps=50.0, roi=(0.0, 0.5, 0.5, 0.5))
    camera.noise = True
    opened = open_camera("picamera2", settings, SystemClock())
    frames = opened.frames()
    next(frames)
    series = opened.series(CODE, camera.shine, time.monotonic() + LATER)
    opened.close()
    assert series is not None
    assert {frame.pixels.shape for frame in series.frames} == {(120, 160, 3)}
    assert series.lit == CODE


def test_cameras_that_no_light_can_be_had_of_say_so(tmp_path: Path) -> None:
    write_picture(tmp_path / "1.png", GREY)
    clock = SystemClock()
    cameras: list[Camera] = [
        open_camera(f"frames:{tmp_path}", SETTINGS, clock),
        UsbCamera(None, SETTINGS, clock),
    ]
    for each in cameras:
        with pytest.raises(DeviceError, match=r'locks no exposure: set \[pad\] level = "basic"'):
            each.series(CODE, lambda _: None, 1.0)


@pytest.mark.parametrize(
    ("light", "lux", "exposure"),
    [(0.0, 200.0, 8000), (400.0, 2000.0, 7937), (400.0, 200.0, 2778), (400.0, 0.0, 200)],
)
def test_the_exposure_leaves_room_for_the_light(light: float, lux: float, exposure: int) -> None:
    before = {"ExposureTime": 10_000, "AnalogueGain": 1.0, "SensorTimestamp": 1, "Lux": lux}
    known = dict.fromkeys(("AeEnable", "ExposureTime", "AnalogueGain"))
    assert flashing.hold(before, known, light)["ExposureTime"] == exposure
