"""The camera of the Pi, over a simulator of picamera2, and the choice between cameras."""

import sys
import threading
import time
from collections.abc import Callable, Generator
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from agent.adapters import camera as camera_module
from agent.adapters.camera import CONVERSIONS, PiCamera, age_of, open_camera, to_rgb
from agent.adapters.clock import SystemClock
from agent.adapters.frames import FramesCamera, VideoCamera
from agent.config import Camera as Settings
from agent.core.types import Frame
from agent.errors import ConfigError, DeviceError
from tests.contracts.pictures import QUADRANTS, corners, write_picture, write_video
from tests.simulated_picamera2 import SimulatedCamera, in_format

SMALL = Settings(width=320, height=240, fps=50.0)
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


@pytest.fixture
def plug_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[SimulatedCamera], SimulatedCamera]:
    """Have picamera2 find this camera."""

    def plug(camera: SimulatedCamera) -> SimulatedCamera:
        monkeypatch.setitem(sys.modules, "picamera2", camera.module())
        return camera

    return plug


@pytest.fixture
def simulated(plug_in: Callable[[SimulatedCamera], SimulatedCamera]) -> SimulatedCamera:
    return plug_in(SimulatedCamera(QUADRANTS))


def pi_camera(settings: Settings = SMALL) -> PiCamera:
    return PiCamera(settings, SystemClock())


def first(settings: Settings = SMALL) -> Frame:
    stream = frames(pi_camera(settings))
    frame = next(stream)
    stream.close()
    return frame


def frames(camera: PiCamera) -> Generator[Frame, None, None]:
    return cast("Generator[Frame, None, None]", camera.frames())


def test_frames_are_rgb_of_the_size_that_was_asked_for(simulated: SimulatedCamera) -> None:
    frame = first()
    assert frame.pixels.shape == (240, 320, 3)
    assert frame.pixels.flags.c_contiguous
    assert corners(frame.pixels) == [RED, GREEN, BLUE, WHITE]
    assert simulated.durations == [20_000, 20_000]


@pytest.mark.parametrize("name", CONVERSIONS)
def test_whatever_the_camera_gives_instead_becomes_rgb(
    name: str, plug_in: Callable[[SimulatedCamera], SimulatedCamera]
) -> None:
    plug_in(SimulatedCamera(QUADRANTS, formats=(name,)))
    pixels = first().pixels
    assert pixels.shape == (240, 320, 3)
    found = np.array(corners(pixels), int)
    assert np.abs(found - [RED, GREEN, BLUE, WHITE]).max() <= 3


def test_a_format_that_cannot_be_used_is_told_in_one_line() -> None:
    with pytest.raises(DeviceError, match=r"^camera: it gives R8 only: use one that gives one of"):
        to_rgb(np.zeros((2, 2), np.uint8), "R8", (2, 2))


@pytest.mark.parametrize("name", ["NV12", "YUV420"])
def test_padding_at_the_end_of_rows_is_cut_off(name: str) -> None:
    grey = np.full((4, 6, 3), 128, np.uint8)
    rgb = to_rgb(in_format(grey, name), name, (6, 4))
    assert rgb.shape == (4, 6, 3)
    assert np.abs(rgb.astype(int) - 128).max() <= 2


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_what_a_turned_camera_sees_is_turned_upright(
    rotation: int, plug_in: Callable[[SimulatedCamera], SimulatedCamera]
) -> None:
    # A camera that is turned clockwise sees the world turned the other way round.
    seen = np.ascontiguousarray(np.rot90(QUADRANTS, rotation // 90))
    plug_in(SimulatedCamera(seen))
    frame = first(Settings(width=320, height=240, fps=50.0, rotation=rotation))
    assert frame.pixels.shape == ((240, 320, 3) if rotation in {0, 180} else (320, 240, 3))
    assert corners(frame.pixels) == [RED, GREEN, BLUE, WHITE]


def test_a_slow_consumer_gets_the_newest_frame(simulated: SimulatedCamera) -> None:
    stream = frames(pi_camera(Settings(width=320, height=240, fps=10.0)))
    before = next(stream)
    time.sleep(0.5)
    asked = time.monotonic()
    frame = next(stream)
    stream.close()
    assert frame.captured_at > before.captured_at
    assert frame.captured_at > asked - 0.25
    assert simulated.held == 0


def test_no_frame_is_given_twice_and_every_buffer_is_given_back(
    simulated: SimulatedCamera,
) -> None:
    stream = frames(pi_camera())
    times = [next(stream).captured_at for _ in range(12)]
    stream.close()
    assert all(later - earlier > 0.01 for earlier, later in pairwise(times))
    assert simulated.held == 0


@pytest.mark.parametrize(
    "clock", [time.monotonic, lambda: time.clock_gettime(time.CLOCK_BOOTTIME), None]
)
def test_frames_are_dated_by_the_monotonic_clock(
    clock: Callable[[], float] | None, plug_in: Callable[[SimulatedCamera], SimulatedCamera]
) -> None:
    plug_in(SimulatedCamera(QUADRANTS, clock=clock))
    began = time.monotonic()
    frame = first()
    assert began <= frame.captured_at <= time.monotonic()


def test_a_stamp_is_read_by_the_clock_that_makes_the_frame_youngest() -> None:
    assert age_of(int(99.8e9), monotonic=100.0, boottime=100.0) == pytest.approx(0.2)
    # suspended for 900 s: first stamped by the monotonic clock, then by the boot-time one
    assert age_of(int(99.8e9), monotonic=100.0, boottime=1000.0) == pytest.approx(0.2)
    assert age_of(int(999.8e9), monotonic=100.0, boottime=1000.0) == pytest.approx(0.2)


@pytest.mark.parametrize("stamp", [None, 0, int(1e18)])
def test_a_stamp_of_neither_clock_is_not_believed(stamp: int | None) -> None:
    assert age_of(stamp, monotonic=100.0, boottime=1000.0) == 0.0


def test_a_camera_without_a_settable_rate_is_used_as_it_is(
    plug_in: Callable[[SimulatedCamera], SimulatedCamera],
) -> None:
    camera = plug_in(SimulatedCamera(QUADRANTS, controls=()))
    assert corners(first().pixels)[0] == RED
    assert camera.durations == []


def test_close_from_another_thread_ends_a_wait_for_a_frame(simulated: SimulatedCamera) -> None:
    simulated.hung = True
    camera = pi_camera()
    got: list[Frame] = []
    watching = threading.Thread(target=lambda: got.extend(camera.frames()))
    watching.start()
    while not simulated.opened:
        time.sleep(0.001)
    camera.close()
    # The wait may begin just after the close, and then takes its full length.
    watching.join(camera_module.PATIENCE + 10.0)
    assert not watching.is_alive()
    assert got == []
    assert simulated.closed == 1


def test_close_ends_the_frames_and_may_be_called_again(simulated: SimulatedCamera) -> None:
    camera = pi_camera()
    stream = camera.frames()
    next(stream)
    camera.close()
    camera.close()
    assert list(stream) == []
    assert list(camera.frames()) == []
    assert (simulated.opened, simulated.closed) == (1, 1)


def test_a_hung_camera_is_told_and_can_be_tried_again(
    simulated: SimulatedCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = pi_camera()
    simulated.hung = True
    with monkeypatch.context() as impatient:
        impatient.setattr(camera_module, "PATIENCE", 0.05)
        with pytest.raises(
            DeviceError, match=r"^camera: no frame for .* s: check the ribbon cable"
        ):
            next(camera.frames())
    assert simulated.closed == 1
    simulated.hung = False
    stream = frames(camera)
    assert corners(next(stream).pixels)[0] == RED
    stream.close()


def test_a_camera_that_was_away_is_found_when_it_is_back(simulated: SimulatedCamera) -> None:
    camera = pi_camera()
    simulated.present = False
    with pytest.raises(DeviceError, match=r"^camera: there is none: .*rpicam-hello"):
        next(camera.frames())
    simulated.present = True
    stream = frames(camera)
    assert corners(next(stream).pixels)[0] == RED
    stream.close()


def test_a_camera_in_use_is_told_by_its_first_cause(simulated: SimulatedCamera) -> None:
    holding = frames(pi_camera())
    next(holding)
    with pytest.raises(DeviceError, match=r"^camera: Failed to acquire camera: Device or resource"):
        next(pi_camera().frames())
    holding.close()
    assert (simulated.opened, simulated.closed) == (1, 1)


def test_a_camera_that_cannot_be_opened_is_told_by_its_first_cause(
    simulated: SimulatedCamera,
) -> None:
    simulated.error = OSError("Input/output error")
    with pytest.raises(DeviceError, match=r"^camera: Input/output error: end the other program"):
        next(pi_camera().frames())


def test_a_camera_that_cannot_be_closed_is_logged(
    simulated: SimulatedCamera, caplog: pytest.LogCaptureFixture
) -> None:
    stream = frames(pi_camera())
    next(stream)
    simulated.stuck = True
    stream.close()
    assert "camera: it could not be closed: Failed to stop camera" in caplog.text


def test_a_missing_picamera2_is_told_in_one_line_with_the_mend(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    missing = r"^camera: picamera2 is not installed: sudo apt install python3-picamera2$"
    with pytest.raises(DeviceError, match=missing):
        pi_camera()


def test_a_picamera2_of_another_numpy_is_told_in_one_line_with_the_mend(
    simulated: SimulatedCamera,
) -> None:
    def refuse(_: str) -> object:
        raise ValueError("numpy.dtype size changed, may indicate binary incompatibility")

    module = sys.modules["picamera2"]
    del module.__dict__["Picamera2"]
    module.__dict__["__getattr__"] = refuse
    with pytest.raises(DeviceError, match=r"cannot be loaded: numpy\.dtype .*: pip install"):
        pi_camera()
    assert simulated.opened == 0


# --- the choice -----------------------------------------------------------------------------------


def test_a_spec_names_the_camera(simulated: SimulatedCamera, tmp_path: Path) -> None:
    write_picture(tmp_path / "pictures" / "1.png", QUADRANTS)
    write_video(tmp_path / "video.avi", [QUADRANTS], rate=10)
    clock = SystemClock()
    assert isinstance(open_camera("picamera2", SMALL, clock), PiCamera)
    folder = open_camera(f"frames:{tmp_path / 'pictures'}", SMALL, clock)
    assert isinstance(folder, FramesCamera)
    assert isinstance(open_camera(f"video:{tmp_path / 'video.avi'}", SMALL, clock), VideoCamera)
    assert simulated.opened == 0


@pytest.mark.parametrize(
    "spec", ["", "webcam", "frames", "frames:", "video:", "picamera2:0", "x:y"]
)
def test_any_other_spec_is_refused_with_the_forms_there_are(spec: str) -> None:
    with pytest.raises(ConfigError, match="picamera2, frames:FOLDER or video:FILE"):
        open_camera(spec, SMALL, SystemClock())
