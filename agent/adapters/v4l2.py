"""A USB camera, through Video4Linux and OpenCV."""

import os
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import cv2
from numpy.typing import NDArray

from agent.adapters.formats import PATIENCE, age_of, from_bgr, open_silently, upright
from agent.config import Camera as Settings
from agent.core.types import Frame
from agent.errors import DeviceError
from agent.ports import Camera, Clock

BY_ID = Path("/dev/v4l/by-id")
"""Where udev names USB cameras; the Pi's own decoders have a /dev/video too, but no name here."""
FIRST = "usb-*-video-index0"
EARLY = 0.75
"""Share of the period between two frames after which the next is taken: what a camera gives at
30 a second is thinned out to the 10 that are looked at."""
WIRING = "check its cable, or plug it into another port"


class UsbCamera(Camera):
    """A camera of the USB Video Class; implements ports.Camera.

    device: as /dev/video0; None takes the first USB camera there is, each time anew. OpenCV's read
    may wait for ten seconds and cannot be cut short, so a thread reads, and keeps the newest frame.
    """

    def __init__(self, device: Path | None, settings: Settings, clock: Clock) -> None:
        self._device = device
        self._settings = settings
        self._clock = clock
        self._closed = False
        self._changed = threading.Condition()

    def frames(self) -> Generator[Frame, None, None]:
        """Yield frames until closed, each newer than the one before.

        Raises DeviceError where there is no camera, where it fails, and where it gives no frame.
        """
        if self._closed:
            return
        device = self._found()
        reading = _Reading(self._open(device), self._settings, self._clock, self._changed)
        try:
            while (frame := self._next(reading, device)) is not None:
                yield frame
        finally:
            reading.end()

    def close(self) -> None:
        """End `frames`, from any thread; may be called again."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _next(self, reading: "_Reading", device: Path) -> Frame | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or reading.over or reading.newest, PATIENCE)
            if self._closed:
                return None
            newest, reading.newest = reading.newest, None
        if newest is not None:
            picture, captured_at = newest
            return Frame(upright(from_bgr(picture), self._settings.rotation), captured_at)
        if reading.over:
            raise DeviceError(f"camera: {device} has stopped: {WIRING}")
        raise DeviceError(f"camera: {device}: no frame for {PATIENCE:.0f} s: {WIRING}")

    def _found(self) -> Path:
        if self._device is None:
            for found in sorted(BY_ID.glob(FIRST)):
                return found
            raise DeviceError(f"camera: there is no USB camera: plug one in, and see `ls {BY_ID}`")
        if not self._device.exists():
            raise DeviceError(
                f"camera: {self._device}: no such device: plug it in, see `ls {BY_ID}`"
            )
        return self._device

    def _open(self, device: Path) -> cv2.VideoCapture:
        if not os.access(device, os.R_OK | os.W_OK):
            mend = "add whoever runs Doorward to the group video"
            raise DeviceError(f"camera: {device}: not permitted: {mend}")
        settings = self._settings
        capture = open_silently(str(device), cv2.CAP_V4L2)
        if not capture.isOpened():
            capture.release()
            mend = "end the other program that uses it, or name another with usb:DEVICE"
            raise DeviceError(f"camera: {device}: it cannot be opened: {mend}")
        # Uncompressed, USB 2 carries 1280x720 at 10 a second at the most; what has no MJPG stays.
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, settings.width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, settings.height)
        capture.set(cv2.CAP_PROP_FPS, settings.fps)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        return capture


class _Reading:
    """Reads an open camera on a thread of its own, the only one that touches it.

    newest: the picture that nobody took yet, and when it was captured. over: whether no more will
    come. Both are read and set while holding `changed`.
    """

    def __init__(
        self,
        capture: cv2.VideoCapture,
        settings: Settings,
        clock: Clock,
        changed: threading.Condition,
    ) -> None:
        self.newest: tuple[NDArray[Any], float] | None = None
        self.over = False
        self._capture = capture
        self._period = 1.0 / settings.fps
        self._clock = clock
        self._changed = changed
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, name="usb camera", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Let go of the camera, if it hangs, once it does not any more."""
        self._ended.set()
        self._thread.join(PATIENCE)

    def _read(self) -> None:
        due = float("-inf")
        try:
            while not self._ended.is_set() and self._capture.grab():
                now = self._clock.now().monotonic
                # Each is taken out of the buffer, or the next would be old; few are decoded.
                if not now >= due:
                    continue
                due = now + EARLY * self._period
                captured_at = now - self._age(now)
                ok, picture = self._capture.retrieve()
                if not ok:
                    return
                with self._changed:
                    self.newest = picture, captured_at
                    self._changed.notify_all()
        finally:
            self._capture.release()
            with self._changed:
                self.over = True
                self._changed.notify_all()

    def _age(self, now: float) -> float:
        # The driver's stamp of the buffer that was grabbed, 0 where there is none.
        stamp = round(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
        return age_of(stamp or None, now, time.clock_gettime(time.CLOCK_BOOTTIME))
