"""A simulator of picamera2, as far as Doorward uses it.

Not the real thing: its behaviour was read from picamera2 0.3.38's own source. A configuration is
adjusted to what the camera can do, not refused (seen with libcamera's virtual camera too, which
gives NV12 where BGR888 is asked for), but a second stream that it does not have; a name such as
"BGR888" tells the order of colours within a word, so that memory has R, G, B; rows of YUV420 keep
their padding and those of NV12 do not; `capture_request` waits for a picture unless one is ready
that nobody has had, of which only the newest is kept; pictures stop coming while all buffers are
held; a control that the camera does not have is an error; `cancel_all_and_flush` ends the waits;
what is open cannot be opened twice.

Of exposure, as its maintainers tell in issues 821, 1278 and 1287: what `set_controls` is given
takes effect some frames later, together; the metadata of a frame are those of that very frame, and
its exposure is near what was asked for, not the same; the stamp is of the first row's readout, and
its exposure came before; rows are read out one after the other, and each is exposed just before;
where the exposure is automatic it follows the light.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from itertools import pairwise
from types import ModuleType
from typing import Any

import cv2
import numpy as np

from agent.core.types import Pixels

LIMITS = {"FrameDurationLimits": (8_000, 1_000_000, 33_333)}
"""Least, greatest and default of controls: microseconds."""
READOUT, ISP = 0.006, 0.004
"""Seconds from the first row's readout to the last one's, and from that to a finished picture."""
EXPOSURE = 0.006
"""Seconds of exposure that the automatic finds right without the light; with it, half."""
QUANTUM = 0.985
"""Of an exposure asked for, what the sensor's rows allow."""

PADDING = 64
"""Bytes that a row of YUV420 is rounded up to."""


@dataclass
class SimulatedCamera:
    """What stands in the world: one camera, a scene before it, and what is wrong with it.

    scene: (H, W, 3) uint8 RGB: what it sees, scaled to the stream's size. formats: what it can
    give, the first where another is asked for. controls: what it has. model: the sensor. streams:
    how many it gives at once. noise: whether each picture differs by some grey levels from the one
    before. present: whether it is plugged in. hung: whether it has stopped giving pictures. stuck:
    whether it cannot be closed. error: what opening it ends in. stamped: whether its pictures have
    stamps. clock: reads seconds for them. opened, closed: how often it was. held: requests that
    were not given back. given: the controls it was given. mode: the sensor's that was asked for.
    latency: frames until controls take effect. shone: when the light was switched, and whether on.
    shots: every frame so far. lux: what it tells of the light without that; None: nothing.
    """

    scene: Pixels
    formats: tuple[str, ...] = ("BGR888",)
    controls: tuple[str, ...] = ("FrameDurationLimits", "NoiseReductionMode")
    model: str = "simulated"
    streams: int = 2
    noise: bool = False
    present: bool = True
    hung: bool = False
    stuck: bool = False
    error: Exception | None = None
    stamped: bool = True
    clock: Callable[[], float] = time.monotonic
    opened: int = 0
    closed: int = 0
    held: int = 0
    given: dict[str, Any] = field(default_factory=dict)
    mode: tuple[int, int] | None = None
    latency: int = 8
    shone: list[tuple[float, bool]] = field(default_factory=list)
    shots: "list[Shot]" = field(default_factory=list)
    lux: float | None = 150.0

    def shine(self, on: bool) -> None:
        """Switch the light that falls on the scene."""
        self.shone.append((time.monotonic(), on))

    def lit(self, begin: float, end: float) -> float:
        """Give for how much of a time the light was on, 0 to 1."""
        total = 0.0
        for (at, on), (until, _) in pairwise([*self.shone, (end, False)]):
            if on:
                total += max(0.0, min(until, end) - max(at, begin))
        return total / (end - begin)

    def module(self) -> ModuleType:
        """Give a module picamera2 whose Picamera2 opens this camera."""
        camera = self

        class Picamera2(SimulatedPicamera2):
            def __init__(self, number: int = 0) -> None:
                super().__init__(camera, number)

            @staticmethod
            def global_camera_info() -> list[dict[str, object]]:
                return [{"Model": "simulated", "Num": 0}] if camera.present else []

        module = ModuleType("picamera2")
        module.__dict__["Picamera2"] = Picamera2
        return module


@dataclass(frozen=True)
class Shot:
    """A frame. read_at: monotonic seconds at which its first row is read out. Times in seconds."""

    number: int
    read_at: float
    exposure: float
    gain: float
    duration: float
    locked: bool

    @property
    def done(self) -> float:
        """When its picture is finished."""
        return self.read_at + READOUT + ISP


class SimulatedRequest:
    """picamera2's CompletedRequest."""

    def __init__(self, device: "SimulatedPicamera2", shot: Shot) -> None:
        self._device = device
        self._shot = shot
        device.camera.held += 1

    def make_array(self, name: str, /) -> Pixels:
        assert self._device.camera_configuration()[name] is not None, f"{name} is not defined"
        return self._device.render(name, self._shot)

    def get_metadata(self) -> dict[str, object]:
        camera = self._device.camera
        if not camera.stamped:
            return {}
        shot = self._shot
        age = time.monotonic() - shot.read_at
        stamp: dict[str, object] = {"SensorTimestamp": int((camera.clock() - age) * 1e9)}
        if "AeEnable" not in camera.controls:
            return stamp
        told: dict[str, object] = {
            **stamp,
            "ExposureTime": round(shot.exposure * 1e6),
            "AnalogueGain": shot.gain,
            "ColourGains": (2.0, 1.5),
            "FrameDuration": round(shot.duration * 1e6),
        }
        # The estimate takes the light for daylight.
        shining = camera.lit(shot.read_at - shot.exposure, shot.read_at + READOUT) > 0
        return told if camera.lux is None else told | {"Lux": camera.lux * (1 + shining)}

    def release(self) -> None:
        self._device.camera.held -= 1


class SimulatedPicamera2:
    """picamera2's Picamera2."""

    def __init__(self, camera: SimulatedCamera, number: int) -> None:
        if number != 0 or not camera.present:
            raise RuntimeError(f"No camera number {number} found")
        if camera.opened > camera.closed:
            busy = RuntimeError("Failed to acquire camera: Device or resource busy")
            raise RuntimeError("Camera __init__ sequence did not complete.") from busy
        if camera.error is not None:
            raise RuntimeError("Camera __init__ sequence did not complete.") from camera.error
        self.camera = camera
        self.camera.opened += 1
        self.camera_controls = {name: LIMITS.get(name, (0, 1, 0)) for name in camera.controls}
        self._controls: dict[str, Any] = {"AeEnable": True}
        self._coming: list[tuple[int, dict[str, Any]]] = []
        self._shots: list[Shot] = []
        self.camera_properties = {"Model": camera.model}
        self._actual: dict[str, Any] = {}
        self._began = 0.0
        self._period = 1 / 30
        self._given = -1
        self._cancels = 0

    def create_video_configuration(self, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - a dict of dicts, as it is
        unknown = set(changes) - {"main", "lores", "buffer_count", "controls", "sensor"}
        assert not unknown, f"not simulated: {unknown}"
        main = {"format": "XBGR8888", "size": (1280, 720)} | changes.get("main", {})
        width, height = main["size"]
        main["size"] = (width - width % 2, height - height % 2)
        defaults = {"buffer_count": 6, "controls": {}, "lores": None, "sensor": {}}
        return defaults | changes | {"main": main}

    def configure(self, configuration: Mapping[str, Any], /) -> None:
        camera = self.camera
        for name, value in configuration["controls"].items():
            if name not in self.camera_controls:
                raise RuntimeError(f"Control {name} is not advertised by libcamera")
            if name == "FrameDurationLimits":
                self._period = value[0] / 1e6
        camera.given = dict(configuration["controls"])
        camera.mode = configuration["sensor"].get("output_size")
        main = dict(configuration["main"])
        if main["format"] not in camera.formats:
            main["format"] = camera.formats[0]
        lores = configuration["lores"]
        if lores is not None:
            if camera.streams < 2:
                raise RuntimeError("Camera configuration could not be generated")
            assert lores["format"] == "YUV420"
            assert lores["size"] <= main["size"]
            assert not any(side % 2 for side in lores["size"]), "width and height should be even"
        self._actual = {**configuration, "main": main, "lores": lores}

    def camera_configuration(self) -> dict[str, Any]:
        return self._actual

    def start(self) -> None:
        assert self._actual, "Camera has not been configured"
        self._began = time.monotonic()

    def set_controls(self, controls: Mapping[str, Any], /) -> None:
        for name in controls:
            if name not in self.camera_controls:
                raise RuntimeError(f"Control {name} is not advertised by libcamera")
        self._advance()
        self.camera.given |= controls
        self._coming.append((len(self._shots) + self.camera.latency, dict(controls)))

    def _advance(self) -> None:
        """Take the pictures that are due by now."""
        while True:
            number = len(self._shots)
            for due, controls in self._coming:
                if due <= number:
                    self._controls |= controls
            self._coming = [each for each in self._coming if each[0] > number]
            locked = not self._controls["AeEnable"]
            limits = self._controls.get("FrameDurationLimits")
            period = self._period if limits is None else limits[0] / 1e6
            before = self._shots[-1].read_at if self._shots else self._began
            exposure = EXPOSURE / (1 + self.camera.lit(before - EXPOSURE, before))
            if locked:
                exposure = self._controls["ExposureTime"] / 1e6 * QUANTUM
            duration = max(period, exposure)
            shot = Shot(number, before + duration, exposure, 2.0, duration, locked)
            if shot.done > time.monotonic():
                return
            self._shots.append(shot)
            self.camera.shots.append(shot)

    def capture_request(self, *, wait: float) -> SimulatedRequest:
        end = time.monotonic() + wait
        cancels = self._cancels
        while True:
            self._advance()
            newest = len(self._shots) - 1
            stalled = self.camera.hung or self.camera.held >= self._actual["buffer_count"]
            if newest > self._given and not stalled:
                self._given = newest
                return SimulatedRequest(self, self._shots[newest])
            if self._cancels != cancels:
                raise CancelledError
            if time.monotonic() >= end:
                raise TimeoutError
            time.sleep(0.001)

    def cancel_all_and_flush(self) -> None:
        self._cancels += 1

    def close(self) -> None:
        if self.camera.stuck:
            raise RuntimeError("Failed to stop camera")
        self.camera.closed += 1

    def render(self, name: str, shot: Shot) -> Pixels:
        """Give the scene as this stream's format has it, in this picture."""
        stream = self._actual[name]
        rgb = cv2.resize(self.camera.scene, stream["size"], interpolation=cv2.INTER_NEAREST)
        if self.camera.noise:
            # Not by turns: whoever is slow may see each second picture only.
            rgb = cv2.add(rgb, np.full_like(rgb, shot.number % 97))
        if self.camera.shone:
            read = shot.read_at + np.linspace(0.0, READOUT, len(rgb))
            share = [self.camera.lit(at - shot.exposure, at) for at in read]
            bright = (1.0 + np.array(share)) * shot.exposure / EXPOSURE
            rgb = np.clip(rgb * bright[:, None, None], 0, 255).astype(np.uint8)
        return in_format(np.ascontiguousarray(rgb, np.uint8), stream["format"])


def in_format(rgb: Pixels, name: str) -> Pixels:
    """Give RGB as `make_array` gives a stream of this format."""
    height, width = rgb.shape[:2]
    red, green, blue = np.moveaxis(rgb, 2, 0)
    full = np.full_like(red, 255)
    if name in {"BGR888", "MJPEG"}:
        return rgb
    if name == "RGB888":
        return np.stack([blue, green, red], axis=2)
    if name == "XBGR8888":
        return np.stack([red, green, blue, full], axis=2)
    if name == "XRGB8888":
        return np.stack([blue, green, red, full], axis=2)
    # BT.601, limited range: the matrix that OpenCV assumes as well
    r, g, b = (plane.astype(np.float64) for plane in (red, green, blue))
    luma = 16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255
    u = 128 + (-37.797 * r - 74.203 * g + 112.0 * b) / 255
    v = 128 + (112.0 * r - 93.786 * g - 18.214 * b) / 255
    y8, u8, v8 = (np.clip(np.round(plane), 0, 255).astype(np.uint8) for plane in (luma, u, v))
    if name == "YUYV":
        chroma = np.where(np.arange(width) % 2 == 0, u8, v8)
        return np.stack([y8, chroma], axis=2)
    u8, v8 = u8[::2, ::2], v8[::2, ::2]
    if name == "NV12":
        interleaved = np.stack([u8, v8], axis=2).reshape(height // 2, width)
        return np.vstack([y8, interleaved])
    if name == "YUV420":
        stride = -(-width // PADDING) * PADDING
        flat = [
            np.pad(plane, ((0, 0), (0, row - plane.shape[1]))).ravel()
            for plane, row in ((y8, stride), (u8, stride // 2), (v8, stride // 2))
        ]
        return np.concatenate(flat).reshape(height * 3 // 2, stride)
    raise ValueError(f"not simulated: {name}")
