"""The Raspberry Pi's camera, through picamera2, and the choice between it and a replay."""

import contextlib
import importlib
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import cv2
import numpy as np

from agent.adapters.frames import FramesCamera, VideoCamera
from agent.config import Camera as Settings
from agent.core.types import Frame, Pixels
from agent.errors import ConfigError, DeviceError
from agent.ports import Camera, Clock

PATIENCE = 5.0
"""Seconds without a frame after which the camera counts as hung."""
BUFFERS = 4
"""Frames in flight: one held, one filled, one waiting, one to spare."""
WIRING = "check the ribbon cable with `rpicam-hello --list-cameras`"
SPECS = "picamera2, frames:FOLDER or video:FILE"

log = logging.getLogger(__name__)

CONVERSIONS: Mapping[str, int | None] = MappingProxyType(
    {
        # picamera2 names colours from the high byte of a word down: "BGR888" is R, G, B in memory.
        "BGR888": None,
        "RGB888": cv2.COLOR_BGR2RGB,
        "XBGR8888": cv2.COLOR_RGBA2RGB,
        "XRGB8888": cv2.COLOR_BGRA2RGB,
        "NV12": cv2.COLOR_YUV2RGB_NV12,
        "YUV420": cv2.COLOR_YUV2RGB_I420,
        "YUYV": cv2.COLOR_YUV2RGB_YUYV,
        "MJPEG": None,
    }
)
"""The formats that can be used, and how OpenCV makes them RGB; None where they are so already."""
TURNS: Mapping[int, int | None] = MappingProxyType(
    {
        0: None,
        90: cv2.ROTATE_90_CLOCKWISE,
        180: cv2.ROTATE_180,
        270: cv2.ROTATE_90_COUNTERCLOCKWISE,
    }
)


def to_rgb(array: Pixels, name: str, size: tuple[int, int]) -> Pixels:
    """Make what picamera2 gives for a stream (H, W, 3) RGB.

    array: as from `make_array`, rows of YUV420 still padded. name: the format. size: width and
    height in pixels. Raises DeviceError for a format that cannot be used.
    """
    if name not in CONVERSIONS:
        usable = ", ".join(CONVERSIONS)
        raise DeviceError(f"camera: it gives {name} only: use one that gives one of {usable}")
    code = CONVERSIONS[name]
    width, height = size
    rgb = array if code is None else cv2.cvtColor(array, code)
    return np.ascontiguousarray(rgb[:height, :width], np.uint8)


def upright(pixels: Pixels, rotation: int) -> Pixels:
    """Turn what a camera sees that is mounted turned clockwise by `rotation` degrees.

    Not left to libcamera, whose cameras may say that they turned a picture that they did not.
    """
    turn = TURNS[rotation]
    return pixels if turn is None else cv2.rotate(pixels, turn).astype(np.uint8, copy=False)


def age_of(stamp: int | None, monotonic: float, boottime: float) -> float:
    """Give the age of a frame in seconds, 0 where it cannot be told.

    stamp: SensorTimestamp in nanoseconds. libcamera says that it counts by CLOCK_BOOTTIME, yet the
    drivers take CLOCK_MONOTONIC. They differ by the time that the machine was suspended only, so
    the wrong one is off by far, or else by less than the frame's age. monotonic, boottime: those
    clocks now, in seconds.
    """
    if stamp is None:
        return 0.0
    ages = (now - stamp / 1e9 for now in (monotonic, boottime))
    return min((age for age in ages if 0 <= age <= PATIENCE), default=0.0)


class Request(Protocol):
    """What is used of picamera2's CompletedRequest."""

    def make_array(self, name: str, /) -> Pixels:
        """Copy a stream's picture."""
        ...

    def get_metadata(self) -> Mapping[str, Any]:
        """Give libcamera's metadata by name."""
        ...

    def release(self) -> None:
        """Give the buffers back to the camera."""
        ...


class Device(Protocol):
    """What is used of picamera2's Picamera2."""

    camera_controls: Mapping[str, Any]

    def create_video_configuration(self, **changes: object) -> Mapping[str, Any]:
        """Make a configuration of defaults and changes."""
        ...

    def configure(self, configuration: Mapping[str, Any], /) -> None:
        """Take over a configuration, or the nearest that the camera can do."""
        ...

    def camera_configuration(self) -> Mapping[str, Any]:
        """Give the configuration in force."""
        ...

    def start(self) -> None:
        """Begin to take pictures."""
        ...

    def capture_request(self, *, wait: float) -> Request:
        """Give the newest picture not given yet. Raises TimeoutError after `wait` seconds."""
        ...

    def cancel_all_and_flush(self) -> None:
        """Have every `capture_request` under way raise CancelledError."""
        ...

    def close(self) -> None:
        """Stop, and let go of the camera."""
        ...


@contextlib.contextmanager
def _asking(mend: str) -> Iterator[None]:
    """Make what picamera2 raises, but for the end of a wait, a DeviceError with the first cause."""
    try:
        yield
    except (CancelledError, TimeoutError):
        raise
    except Exception as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise DeviceError(f"camera: {cause}: {mend}") from error


class PiCamera:
    """A camera that libcamera knows; implements ports.Camera.

    Each call of `frames` opens it and closes it at the end, so one that failed can be tried again.
    Raises DeviceError where picamera2 cannot be used.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._closed = threading.Event()
        self._device: Device | None = None
        os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:WARN")
        try:
            self._picamera2: Any = importlib.import_module("picamera2").Picamera2
        except ImportError:
            message = "camera: picamera2 is not installed: sudo apt install python3-picamera2"
            raise DeviceError(message) from None
        except ValueError as error:
            # Debian builds simplejpeg for Debian's numpy, and a newer one in the venv refuses it.
            message = f"camera: picamera2 cannot be loaded: {error}: pip install simplejpeg"
            raise DeviceError(message) from error

    def frames(self) -> Iterator[Frame]:
        """Yield frames until closed, each completed after the one before was asked for.

        Raises DeviceError where there is no camera, where it fails, and where it gives no frame.
        """
        if self._closed.is_set():
            return
        device = self._open()
        try:
            self._start(device)
            while not self._closed.is_set():
                frame = self._capture(device)
                if frame is None:
                    return
                yield frame
        finally:
            self._device = None
            try:
                # A request that never completes would otherwise keep `close` waiting for ever.
                device.cancel_all_and_flush()
                device.close()
            except Exception as error:  # noqa: BLE001 - what ended the frames matters more
                log.warning("camera: it could not be closed: %s", error)

    def close(self) -> None:
        """End `frames`, from any thread; may be called again."""
        self._closed.set()
        device = self._device
        if device is not None:
            device.cancel_all_and_flush()

    def _open(self) -> Device:
        with _asking(WIRING):
            cameras = self._picamera2.global_camera_info()
        if not cameras:
            raise DeviceError(f"camera: there is none: {WIRING}")
        with _asking("end the other program that uses it"):
            device: Device = self._picamera2(0)
        self._device = device
        return device

    def _start(self, device: Device) -> None:
        settings = self._settings
        duration = round(1e6 / settings.fps)
        limits = {"FrameDurationLimits": (duration, duration)}
        with _asking("check [camera]"):
            device.configure(
                device.create_video_configuration(
                    main={"format": "BGR888", "size": (settings.width, settings.height)},
                    buffer_count=BUFFERS,
                    controls=limits if "FrameDurationLimits" in device.camera_controls else {},
                )
            )
            device.start()

    def _capture(self, device: Device) -> Frame | None:
        try:
            with _asking(WIRING):
                request = device.capture_request(wait=PATIENCE)
        except CancelledError:
            return None
        except TimeoutError:
            raise DeviceError(f"camera: no frame for {PATIENCE:.0f} s: {WIRING}") from None
        try:
            with _asking(WIRING):
                array = request.make_array("main")
                stamp = request.get_metadata().get("SensorTimestamp")
                # The camera gives the nearest that it can to what it was asked for.
                main = device.camera_configuration()["main"]
        finally:
            request.release()
        now = self._clock.now().monotonic
        boottime = time.clock_gettime(time.CLOCK_BOOTTIME)
        rgb = to_rgb(array, main["format"], main["size"])
        return Frame(upright(rgb, self._settings.rotation), now - age_of(stamp, now, boottime))


def open_camera(spec: str, settings: Settings, clock: Clock) -> Camera:
    """Make the camera that `spec` names: picamera2, frames:FOLDER or video:FILE.

    Raises ConfigError for anything else, DeviceError where it cannot be used.
    """
    kind, colon, path = spec.partition(":")
    match kind, bool(colon), bool(path):
        case "picamera2", False, False:
            return PiCamera(settings, clock)
        case "frames", True, True:
            return FramesCamera(Path(path), settings.fps, clock)
        case "video", True, True:
            return VideoCamera(Path(path), settings.fps, clock)
        case _:
            raise ConfigError(f"camera: {spec!r} is none that Doorward knows: give {SPECS}")
