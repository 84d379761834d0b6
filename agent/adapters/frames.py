"""Replays: a folder of pictures or a video, in real time, in place of a camera."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np

from agent.adapters.formats import from_bgr, open_silently
from agent.core.types import Frame, Pixels
from agent.errors import DeviceError
from agent.ports import Camera, Clock

Picture: TypeAlias = tuple[float, Callable[[], Pixels]]
"""Seconds since the replay began at which it is due, and what decodes it to RGB."""


class Replay(Camera):
    """Hands out pictures when they are due, and the newest of those that are: as a camera does.

    A consumer that is slow misses the ones between. Each call of `frames` plays from the start.
    pictures: what to play, once. fps: pictures a second.
    """

    def __init__(self, pictures: Callable[[], Iterator[Picture]], fps: float, clock: Clock) -> None:
        self._pictures = pictures
        self._period = 1.0 / fps
        self._clock = clock
        self._closed = threading.Event()

    def frames(self) -> Iterator[Frame]:
        """Yield frames, captured when they were due, until closed or over. Raises DeviceError."""
        began = self._clock.now().monotonic
        for offset, decode in self._pictures():
            late = self._clock.now().monotonic - began - offset
            if late >= self._period:
                continue
            if self._closed.wait(max(-late, 0.0)):
                return
            yield Frame(decode(), began + offset)

    def close(self) -> None:
        """End `frames`, from any thread; may be called again."""
        self._closed.set()


class FramesCamera(Replay):
    """Replays the pictures of a folder, in the order of their names; implements ports.Camera.

    Names that begin with a dot are left out. Raises DeviceError where the folder is missing or
    empty, and names what in it is no picture.
    """

    def __init__(self, directory: Path, fps: float, clock: Clock) -> None:
        super().__init__(self._each, fps, clock)
        try:
            entries = sorted(directory.iterdir())
        except OSError as error:
            raise DeviceError(
                f"camera: {directory}: {error.strerror}: give a folder of pictures"
            ) from None
        self._files = [entry for entry in entries if not entry.name.startswith(".")]
        if not self._files:
            raise DeviceError(f"camera: {directory}: no pictures in it: put some there")
        for file in self._files:
            if not (file.is_file() and cv2.haveImageReader(str(file))):
                raise _no_picture(file)

    def _each(self) -> Iterator[Picture]:
        for index, file in enumerate(self._files):
            yield index * self._period, partial(_decode, file)


class VideoCamera(Replay):
    """Replays a video at its own speed, thinned out to `fps`; implements ports.Camera.

    Reads what OpenCV's FFmpeg does: AVI, MP4, MKV, WebM, GIF. Raises DeviceError where it cannot.
    """

    def __init__(self, file: Path, fps: float, clock: Clock) -> None:
        super().__init__(self._each, fps, clock)
        self._file = file
        with self._open() as capture:
            if not capture.grab():
                raise self._unreadable()

    def _each(self) -> Iterator[Picture]:
        with self._open() as capture:
            rate = capture.get(cv2.CAP_PROP_FPS)
            spacing = 1.0 / rate if rate > 0 else self._period
            due = 0.0
            index = 0
            while capture.grab():
                offset = index * spacing
                # Half a picture early is nearer than half a picture late.
                if offset >= due - spacing / 2:
                    due += max(self._period, spacing)
                    yield offset, partial(self._retrieve, capture)
                index += 1

    def _retrieve(self, capture: cv2.VideoCapture) -> Pixels:
        ok, picture = capture.retrieve()
        if not ok:
            raise self._unreadable()
        return from_bgr(picture)

    @contextlib.contextmanager
    def _open(self) -> Iterator[cv2.VideoCapture]:
        # FFmpeg writes its own errors as well.
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        capture = open_silently(str(self._file), cv2.CAP_FFMPEG)
        try:
            if not capture.isOpened():
                raise self._unreadable()
            yield capture
        finally:
            capture.release()

    def _unreadable(self) -> DeviceError:
        what = "not a video that can be read" if self._file.exists() else "no such file"
        return DeviceError(f"camera: {self._file}: {what}: give an MP4, AVI, MKV, WebM or GIF")


def _decode(file: Path) -> Pixels:
    try:
        content = np.frombuffer(file.read_bytes(), np.uint8)
    except OSError as error:
        raise DeviceError(f"camera: {file}: {error.strerror}: put it back") from None
    picture = cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
    if picture is None:
        raise _no_picture(file)
    return from_bgr(picture)


def _no_picture(file: Path) -> DeviceError:
    return DeviceError(f"camera: {file}: not a picture that can be read: take it out of the folder")
