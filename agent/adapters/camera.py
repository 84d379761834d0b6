"""The Raspberry Pi's camera, through picamera2, and the choice between it and the others."""

import contextlib
import importlib
import logging
import os
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from agent.adapters import flashing
from agent.adapters.formats import PATIENCE, age_of, to_grey, to_rgb, upright
from agent.adapters.frames import FramesCamera, VideoCamera
from agent.adapters.live import LiveCamera
from agent.adapters.region import RegionCamera
from agent.adapters.v4l2 import UsbCamera
from agent.config import Camera as Settings
from agent.core.pad import Series
from agent.core.types import Frame, Pixels
from agent.errors import ConfigError, DeviceError
from agent.ports import Camera, Clock, Switch

BUFFERS = 4
"""Frames in flight: one held, one filled, one waiting, one to spare."""
WIRING = "check the ribbon cable with `rpicam-hello --list-cameras`"
SPECS = "picamera2, usb, usb:DEVICE, frames:FOLDER or video:FILE"
LORES_PARTS = 4
"""How many times smaller, each way, the picture is that motion is measured on."""
WHOLE_FIELD: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "ov5647": (1296, 972),
        "imx219": (1640, 1232),
        "imx477": (2028, 1520),
        "imx500": (2028, 1520),
        "imx708": (2304, 1296),
    }
)
"""By sensor, the smallest mode that sees all that the lens does.

Left to itself picamera2 takes the mode nearest to the size asked for, which for 1280x720 on these
sensors cuts off a third of the height and more, and with it children and tall people.
"""
CENTRE_WEIGHTED, SHADOWS, SHORT, MANUAL = 0, 2, 1, 0
"""libcamera's AeMeteringMode, AeConstraintMode, AeExposureMode and AfMode."""
FACE_METRES = 0.7
"""Where a lens that can focus is set to: nobody waits for it to search."""

log = logging.getLogger(__name__)


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
    camera_properties: Mapping[str, Any]

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

    def set_controls(self, controls: Mapping[str, object], /) -> None:
        """Have controls take effect, some frames later. Raises RuntimeError for unknown ones."""
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


class PiCamera(Camera):
    """A camera that libcamera knows; implements ports.Camera.

    Each call of `frames` opens it and closes it at the end, so one that failed can be tried again.
    light_lux: what the door's light gives half a metre before it, for which a series leaves room.
    Raises DeviceError where picamera2 cannot be used.
    """

    def __init__(self, settings: Settings, clock: Clock, light_lux: float = 0.0) -> None:
        self._settings = settings
        self._light_lux = light_lux
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

    def frames(self) -> Generator[Frame, None, None]:
        """Yield frames until closed, each completed after the one before was asked for.

        Raises DeviceError where there is no camera, where it fails, and where it gives no frame.
        """
        if self._closed.is_set():
            return
        device = self._open()
        try:
            self._start(device)
            while not self._closed.is_set():
                captured = self._capture(device)
                if captured is None:
                    return
                yield captured[0]
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

    def series(self, lit: Sequence[bool], switch: Switch, until: float) -> Series | None:
        """Take frames under one exposure, the light switched for each as `lit` says.

        As ports.Camera; `frames` must be under way. Raises DeviceError where the camera has no
        exposure of its own to be locked, where it fails, and as `switch` does.
        """
        device = self._device
        if device is None:
            raise DeviceError(f"camera: it is closed: {WIRING}")
        before = self._capture(device)
        if before is None:
            return None
        known = device.camera_controls
        held = flashing.hold(before[1], known, self._light_lux)
        try:
            with _asking(WIRING):
                device.set_controls(held)
            return flashing.take(lambda: self._capture(device), held, lit, switch, until)
        finally:
            free = {"AeEnable": True, "AwbEnable": True, **self._frame_rate()}
            with _asking(WIRING):
                device.set_controls(flashing.known_of(free, known))

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
        try:
            self._configure(device, lores={"format": "YUV420", "size": self._small()})
        except DeviceError as error:
            # A USB camera, or libcamera's virtual one, has one stream.
            log.info("%s: going on without a small picture", error)
            self._configure(device, lores=None)
        with _asking("check [camera]"):
            device.start()

    def _small(self) -> tuple[int, int]:
        width, height = self._settings.width, self._settings.height
        return width // LORES_PARTS & ~1, height // LORES_PARTS & ~1

    def _configure(self, device: Device, lores: Mapping[str, Any] | None) -> None:
        size = (self._settings.width, self._settings.height)
        mode = WHOLE_FIELD.get(str(device.camera_properties.get("Model")).partition("_")[0])
        fits = mode is not None and size[0] <= mode[0] and size[1] <= mode[1]
        with _asking("check [camera]"):
            device.configure(
                device.create_video_configuration(
                    main={"format": "BGR888", "size": size},
                    lores=lores,
                    buffer_count=BUFFERS,
                    controls=self._controls(device),
                    **({"sensor": {"output_size": mode}} if fits else {}),
                )
            )

    def _controls(self, device: Device) -> dict[str, object]:
        wanted = {
            **self._frame_rate(),
            "AeMeteringMode": CENTRE_WEIGHTED,
            # Against the light the darker half of the picture, the face's, decides.
            "AeConstraintMode": SHADOWS,
            "AeExposureMode": SHORT,
            "ExposureValue": self._settings.exposure_value,
            "AfMode": MANUAL,
            "LensPosition": 1 / FACE_METRES,
        }
        return flashing.known_of(wanted, device.camera_controls)

    def _frame_rate(self) -> dict[str, object]:
        duration = round(1e6 / self._settings.fps)
        return {"FrameDurationLimits": (duration, duration)}

    def _capture(self, device: Device) -> flashing.Captured | None:
        try:
            with _asking(WIRING):
                request = device.capture_request(wait=PATIENCE)
        except CancelledError:
            return None
        except TimeoutError:
            raise DeviceError(f"camera: no frame for {PATIENCE:.0f} s: {WIRING}") from None
        try:
            with _asking(WIRING):
                # The camera gives the nearest that it can to what it was asked for.
                given = device.camera_configuration()
                main, lores = given["main"], given["lores"]
                array = request.make_array("main")
                has_grey = lores is not None and lores["format"] == "YUV420"
                small = request.make_array("lores") if has_grey else None
                metadata = request.get_metadata()
        finally:
            request.release()
        now = self._clock.now().monotonic
        boottime = time.clock_gettime(time.CLOCK_BOOTTIME)
        captured_at = now - age_of(metadata.get("SensorTimestamp"), now, boottime)
        rotation = self._settings.rotation
        pixels = upright(to_rgb(array, main["format"], main["size"]), rotation)
        if small is None:
            return Frame(pixels, captured_at), metadata
        grey = upright(to_grey(small, lores["size"]), rotation)
        return Frame(pixels, captured_at, grey), metadata


def open_camera(spec: str, settings: Settings, clock: Clock, light_lux: float = 0.0) -> Camera:
    """Make the camera that `spec` names, and have it give the region of interest only.

    spec: picamera2, usb (the first there is), usb:DEVICE, frames:FOLDER or video:FILE. light_lux:
    as for PiCamera. Raises ConfigError for anything else, DeviceError where it cannot be used.
    """
    camera = _open(spec, settings, clock, light_lux)
    return camera if settings.roi is None else RegionCamera(camera, settings.roi)


def _open(spec: str, settings: Settings, clock: Clock, light_lux: float) -> Camera:
    kind, colon, path = spec.partition(":")
    match kind, bool(colon), bool(path):
        case "picamera2", False, False:
            return LiveCamera(PiCamera(settings, clock, light_lux))
        case "usb", False, False:
            return LiveCamera(UsbCamera(None, settings, clock))
        case "usb", True, True:
            return LiveCamera(UsbCamera(Path(path), settings, clock))
        case "frames", True, True:
            return FramesCamera(Path(path), settings.fps, clock)
        case "video", True, True:
            return VideoCamera(Path(path), settings.fps, clock)
        case _:
            raise ConfigError(f"camera: {spec!r} is none that Doorward knows: give {SPECS}")
