"""What every live camera does: that of the Pi over a simulator of picamera2, a USB one over one of
OpenCV's Video4Linux."""

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import pytest

from agent.adapters import camera as camera_module, live, v4l2
from agent.adapters.camera import PiCamera, open_camera
from agent.adapters.clock import SystemClock
from agent.adapters.formats import PATIENCE
from agent.adapters.v4l2 import UsbCamera
from agent.config import Camera as Settings
from agent.core.types import Frame, Pixels
from agent.errors import DeviceError
from tests.contracts.pictures import BLUE, GREEN, QUADRANTS, RED, WHITE, corners
from tests.contracts.waiting import eventually
from tests.simulated_picamera2 import SimulatedCamera
from tests.simulated_v4l2 import SimulatedUsb

SMALL = Settings(width=320, height=240, fps=50.0)


class World(Protocol):
    """What a test can do to a simulated camera."""

    scene: Pixels
    hung: bool
    stamped: bool
    opened: int
    closed: int

    @property
    def present(self) -> bool: ...

    @present.setter
    def present(self, there: bool) -> None: ...


@dataclass
class Kind:
    """A kind of camera. spec: for `open_camera`. missing: what is told without one."""

    spec: str
    world: World
    make: Callable[[Settings], PiCamera | UsbCamera]
    missing: str


@pytest.fixture(params=["picamera2", "usb"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Kind:
    clock = SystemClock()
    if request.param == "picamera2":
        camera = SimulatedCamera(QUADRANTS)
        monkeypatch.setitem(sys.modules, "picamera2", camera.module())
        missing = r"^camera: there is none: .*rpicam-hello"
        return Kind("picamera2", camera, lambda settings: PiCamera(settings, clock), missing)
    node = tmp_path / "by-id" / "usb-Maker_Camera_1-video-index0"
    usb = SimulatedUsb(node, QUADRANTS)
    monkeypatch.setattr(v4l2, "BY_ID", node.parent)
    monkeypatch.setattr(cv2, "VideoCapture", usb.capture)
    missing = r"^camera: there is no USB camera: plug one in"
    return Kind("usb", usb, lambda settings: UsbCamera(None, settings, clock), missing)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a camera count as hung after a moment."""
    for module in (camera_module, v4l2, live):
        monkeypatch.setattr(module, "PATIENCE", 0.05)


def first(kind: Kind, settings: Settings = SMALL) -> Frame:
    stream = kind.make(settings).frames()
    frame = next(stream)
    stream.close()
    return frame


def test_frames_are_rgb_of_the_size_that_was_asked_for(kind: Kind) -> None:
    frame = first(kind)
    assert frame.pixels.shape == (240, 320, 3)
    assert frame.pixels.flags.c_contiguous
    assert corners(frame.pixels) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_what_a_turned_camera_sees_is_turned_upright(rotation: int, kind: Kind) -> None:
    # A camera that is turned clockwise sees the world turned the other way round.
    kind.world.scene = np.ascontiguousarray(np.rot90(QUADRANTS, rotation // 90))
    frame = first(kind, Settings(width=320, height=240, fps=50.0, rotation=rotation))
    assert frame.pixels.shape == ((240, 320, 3) if rotation in {0, 180} else (320, 240, 3))
    assert corners(frame.pixels) == [RED, GREEN, BLUE, WHITE]


def test_a_slow_consumer_gets_the_newest_frame(kind: Kind) -> None:
    stream = kind.make(Settings(width=320, height=240, fps=10.0)).frames()
    before = next(stream)
    time.sleep(0.5)
    asked = time.monotonic()
    frame = next(stream)
    stream.close()
    assert frame.captured_at > before.captured_at
    assert frame.captured_at > asked - 0.25


def test_no_frame_is_given_twice(kind: Kind) -> None:
    stream = kind.make(SMALL).frames()
    times = [next(stream).captured_at for _ in range(12)]
    stream.close()
    assert all(later - earlier > 0.01 for earlier, later in pairwise(times))


@pytest.mark.parametrize("stamped", [True, False])
def test_frames_are_dated_by_the_monotonic_clock(stamped: bool, kind: Kind) -> None:
    kind.world.stamped = stamped
    began = time.monotonic()
    frame = first(kind)
    assert began <= frame.captured_at <= time.monotonic()


def test_close_from_another_thread_ends_a_wait_for_a_frame(kind: Kind) -> None:
    kind.world.hung = True
    camera = kind.make(SMALL)
    got: list[Frame] = []
    watching = threading.Thread(target=lambda: got.extend(camera.frames()))
    watching.start()
    assert eventually(lambda: kind.world.opened)
    camera.close()
    # The wait may begin just after the close, and then takes its full length.
    watching.join(2 * PATIENCE + 10.0)
    assert not watching.is_alive()
    assert got == []
    kind.world.hung = False
    assert eventually(lambda: kind.world.closed == 1)


def test_close_ends_the_frames_and_may_be_called_again(kind: Kind) -> None:
    camera = kind.make(SMALL)
    stream = camera.frames()
    next(stream)
    camera.close()
    camera.close()
    assert list(stream) == []
    assert list(camera.frames()) == []
    assert (kind.world.opened, kind.world.closed) == (1, 1)


@pytest.mark.usefixtures("impatient")
def test_a_hung_camera_is_told_and_can_be_tried_again(kind: Kind) -> None:
    camera = kind.make(SMALL)
    kind.world.hung = True
    with pytest.raises(DeviceError, match=r"^camera: .*no frame for .* s: check "):
        next(camera.frames())
    kind.world.hung = False
    assert eventually(lambda: kind.world.closed == 1)
    stream = camera.frames()
    assert corners(next(stream).pixels)[0] == RED
    stream.close()


def test_a_camera_that_was_away_is_found_when_it_is_back(kind: Kind) -> None:
    camera = kind.make(SMALL)
    kind.world.present = False
    with pytest.raises(DeviceError, match=kind.missing):
        next(camera.frames())
    kind.world.present = True
    stream = camera.frames()
    assert corners(next(stream).pixels)[0] == RED
    stream.close()


def test_a_camera_in_use_is_told_in_one_line(kind: Kind) -> None:
    holding = kind.make(SMALL).frames()
    next(holding)
    with pytest.raises(DeviceError, match=r"^camera: .*: end the other program that uses it"):
        next(kind.make(SMALL).frames())
    holding.close()
    assert (kind.world.opened, kind.world.closed) == (1, 1)


@pytest.mark.usefixtures("impatient")
def test_a_camera_that_gives_the_same_picture_over_and_over_is_told(kind: Kind) -> None:
    with pytest.raises(DeviceError, match=r"^camera: its picture is frozen, .*: check its cable"):
        next(open_camera(kind.spec, SMALL, SystemClock()).frames())
    assert (kind.world.opened, kind.world.closed) == (1, 1)


# --- a USB camera alone ---------------------------------------------------------------------------


@pytest.fixture
def usb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimulatedUsb:
    camera = SimulatedUsb(tmp_path / "video0", QUADRANTS)
    monkeypatch.setattr(cv2, "VideoCapture", camera.capture)
    return camera


def test_a_usb_camera_is_asked_for_new_compressed_pictures(usb: SimulatedUsb) -> None:
    stream = UsbCamera(usb.node, SMALL, SystemClock()).frames()
    next(stream)
    stream.close()
    assert usb.asked == {
        cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*"MJPG"),
        cv2.CAP_PROP_FRAME_WIDTH: 320,
        cv2.CAP_PROP_FRAME_HEIGHT: 240,
        cv2.CAP_PROP_FPS: 50.0,
        cv2.CAP_PROP_BUFFERSIZE: 1,
    }


def test_of_a_camera_that_is_too_fast_frames_are_left_out(usb: SimulatedUsb) -> None:
    usb.rates = (100.0,)
    stream = UsbCamera(usb.node, Settings(width=320, height=240, fps=10.0), SystemClock()).frames()
    times = [next(stream).captured_at for _ in range(5)]
    stream.close()
    assert all(later - earlier > 0.06 for earlier, later in pairwise(times))


def test_a_usb_camera_that_is_unplugged_is_told_at_once(usb: SimulatedUsb) -> None:
    stream = UsbCamera(usb.node, SMALL, SystemClock()).frames()
    next(stream)
    usb.present = False
    with pytest.raises(DeviceError, match=r"video0 has stopped: check its cable"):
        list(stream)
    with pytest.raises(DeviceError, match=r"video0: no such device: plug it in"):
        next(UsbCamera(usb.node, SMALL, SystemClock()).frames())


def test_what_is_no_camera_is_told_in_one_line(usb: SimulatedUsb) -> None:
    usb.broken = True
    with pytest.raises(DeviceError, match=r"video0: it cannot be opened: end the other program"):
        next(UsbCamera(usb.node, SMALL, SystemClock()).frames())


def test_a_device_of_which_we_are_kept_out_is_told_with_the_mend(
    usb: SimulatedUsb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(DeviceError, match=r"video0: not permitted: add whoever .* group video"):
        next(UsbCamera(usb.node, SMALL, SystemClock()).frames())
    assert usb.opened == 0


def test_a_real_opencv_tells_of_what_is_no_camera_as_we_do(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    node = tmp_path / "video9"
    node.touch()
    with pytest.raises(DeviceError, match=r"video9: it cannot be opened"):
        next(UsbCamera(node, SMALL, SystemClock()).frames())
    assert capfd.readouterr().err == ""
