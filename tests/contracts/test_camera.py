"""What only the camera of the Pi does, over a simulator of picamera2, and the choice of one."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from agent.adapters.camera import PiCamera, open_camera
from agent.adapters.clock import SystemClock
from agent.adapters.formats import CONVERSIONS, age_of, to_rgb
from agent.adapters.frames import FramesCamera, VideoCamera
from agent.adapters.live import LiveCamera
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
    stream = pi_camera(settings).frames()
    frame = next(stream)
    stream.close()
    return frame


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


def test_what_motion_is_measured_on_is_the_small_picture_of_the_camera_itself(
    simulated: SimulatedCamera,
) -> None:
    grey = first(Settings(width=320, height=240, fps=50.0, rotation=90)).grey
    assert grey is not None
    assert grey.shape == (80, 60)
    # Green is bright, red less so, blue dark: the whole range of grey, the way up that it is.
    expected = np.array([[29, 76], [255, 150]])
    found = np.array([[grey[20, 15], grey[20, 45]], [grey[60, 15], grey[60, 45]]], int)
    assert np.abs(found - expected).max() <= 2
    assert simulated.held == 0


def test_a_camera_of_one_stream_is_used_without_a_small_picture(
    plug_in: Callable[[SimulatedCamera], SimulatedCamera],
) -> None:
    plug_in(SimulatedCamera(QUADRANTS, streams=1))
    frame = first()
    assert frame.grey is None
    assert corners(frame.pixels) == [RED, GREEN, BLUE, WHITE]


ALL_CONTROLS = (
    "FrameDurationLimits",
    "NoiseReductionMode",
    "AeMeteringMode",
    "AeConstraintMode",
    "AeExposureMode",
    "ExposureValue",
    "AfMode",
    "LensPosition",
)


def test_it_exposes_for_faces_against_the_light_and_focuses_on_whoever_stands_there(
    plug_in: Callable[[SimulatedCamera], SimulatedCamera],
) -> None:
    camera = plug_in(SimulatedCamera(QUADRANTS, model="imx708_wide", controls=ALL_CONTROLS))
    first(Settings(width=320, height=240, fps=50.0, exposure_value=1.0))
    assert camera.given == {
        "FrameDurationLimits": (20_000, 20_000),
        "AeMeteringMode": 0,
        "AeConstraintMode": 2,
        "AeExposureMode": 1,
        "ExposureValue": 1.0,
        "AfMode": 0,
        "LensPosition": pytest.approx(1 / 0.7),
    }


def test_a_camera_without_these_controls_is_used_as_it_is(
    plug_in: Callable[[SimulatedCamera], SimulatedCamera],
) -> None:
    camera = plug_in(SimulatedCamera(QUADRANTS, controls=()))
    assert corners(first().pixels)[0] == RED
    assert camera.given == {}


@pytest.mark.parametrize(
    ("model", "size", "mode"),
    [
        ("imx219", (1280, 720), (1640, 1232)),
        ("imx708_wide_noir", (1280, 720), (2304, 1296)),
        ("imx219", (1920, 1080), None),
        ("unheard_of", (1280, 720), None),
    ],
)
def test_the_sensor_gives_the_whole_field_where_that_is_known(
    model: str,
    size: tuple[int, int],
    mode: tuple[int, int] | None,
    plug_in: Callable[[SimulatedCamera], SimulatedCamera],
) -> None:
    camera = plug_in(SimulatedCamera(QUADRANTS, model=model))
    first(Settings(width=size[0], height=size[1], fps=50.0))
    assert camera.mode == mode


def test_a_stamp_of_the_boot_time_clock_is_understood(
    plug_in: Callable[[SimulatedCamera], SimulatedCamera],
) -> None:
    plug_in(SimulatedCamera(QUADRANTS, clock=lambda: time.clock_gettime(time.CLOCK_BOOTTIME)))
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


def test_a_camera_in_use_is_told_by_its_first_cause(simulated: SimulatedCamera) -> None:
    holding = pi_camera().frames()
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
    stream = pi_camera().frames()
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
    for spec in ("picamera2", "usb", "usb:/dev/video0"):
        assert isinstance(open_camera(spec, SMALL, clock), LiveCamera)
    folder = open_camera(f"frames:{tmp_path / 'pictures'}", SMALL, clock)
    assert isinstance(folder, FramesCamera)
    assert isinstance(open_camera(f"video:{tmp_path / 'video.avi'}", SMALL, clock), VideoCamera)
    assert simulated.opened == 0


@pytest.mark.parametrize(
    "spec", ["", "webcam", "frames", "frames:", "video:", "picamera2:0", "usb:", "x:y"]
)
def test_any_other_spec_is_refused_with_the_forms_there_are(spec: str) -> None:
    with pytest.raises(
        ConfigError, match="picamera2, usb, usb:DEVICE, frames:FOLDER or video:FILE"
    ):
        open_camera(spec, SMALL, SystemClock())
