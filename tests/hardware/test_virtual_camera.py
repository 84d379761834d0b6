"""The camera's adapter over the real picamera2 and libcamera, on libcamera's virtual camera.

`virtual-camera` beside this file makes a root folder and runs each test there, in a process of its
own; elsewhere they are skipped. The virtual camera gives NV12 of its own size, also for the small
picture, as fast as it is taken, and always the same. Closed and opened again in one process it
gives nothing now and then, with picamera2 alone as well: so what a second opening does is not
tested here.
"""

import sys
import threading
import types
from collections.abc import Generator
from contextlib import closing
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pytest

from agent.adapters.camera import PiCamera
from agent.adapters.clock import SystemClock
from agent.adapters.live import LiveCamera
from agent.config import Camera as Settings
from agent.core.types import Frame
from agent.errors import DeviceError
from tests.contracts.waiting import eventually

SIZE = 640, 480
ENOUGH = 30
SETTINGS = Settings(width=SIZE[0], height=SIZE[1], fps=30.0)
QUADRANTS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]


class Everything(type):
    """A class with whatever is asked for."""

    def __getattr__(cls, name: str) -> str:
        if name.startswith("__"):
            raise AttributeError(name)
        return name


class Unused(types.ModuleType):
    """A module that picamera2 imports and this does not use: previews and raw files."""

    def __getattr__(self, name: str) -> Everything:
        if name.startswith("__"):
            raise AttributeError(name)
        return Everything(name, (), {})


@pytest.fixture(scope="module", autouse=True)
def picamera2() -> None:
    """Have picamera2 take a camera that has no raw modes, and buffers that libcamera makes."""
    libcamera = pytest.importorskip("libcamera")
    for name in ("kms", "pykms", "pidng", "pidng.camdefs", "pidng.core"):
        sys.modules.setdefault(name, Unused(name))
    real = pytest.importorskip("picamera2")
    allocator = pytest.importorskip("picamera2.allocators.allocator")
    if not real.Picamera2.global_camera_info():
        pytest.skip("libcamera finds no virtual camera here: tests/hardware/virtual-camera")

    class Buffers(allocator.Allocator):  # type: ignore[misc, name-defined]
        """As picamera2's own LibcameraAllocator, which wants the camera before it is open."""

        camera: Any = None
        needs_sync = True

        def allocate(self, configuration: Any, _: object) -> None:  # noqa: ANN401
            self._made = libcamera.FrameBufferAllocator(Buffers.camera)
            for stream in configuration:
                assert self._made.allocate(stream.stream) > 0

        def buffers(self, stream: object) -> Any:  # noqa: ANN401
            return self._made.buffers(stream)

    initialise, make = real.Picamera2._initialize_camera, real.Picamera2.__init__  # noqa: SLF001

    def initialised(self: Any) -> Any:  # noqa: ANN401
        done = initialise(self)
        Buffers.camera = self.camera
        return done

    real.Picamera2._initialize_camera = initialised  # noqa: SLF001
    real.Picamera2._get_raw_modes = lambda _: [{"format": "NV12", "size": SIZE}]  # noqa: SLF001
    real.Picamera2.__init__ = lambda self, number: make(self, number, allocator=Buffers())


def frames(settings: Settings = SETTINGS) -> Generator[Frame, None, None]:
    return PiCamera(settings, SystemClock()).frames()


def taken(settings: Settings = SETTINGS) -> list[Frame]:
    with closing(frames(settings)) as stream:
        return list(islice(stream, ENOUGH))


def centres(frame: Frame) -> np.ndarray[Any, Any]:
    height, width = frame.pixels.shape[:2]
    places = [(y, x) for y in (height // 4, height * 3 // 4) for x in (width // 4, width * 3 // 4)]
    return np.array([frame.pixels[y - 8 : y + 8, x - 8 : x + 8].mean((0, 1)) for y, x in places])


def test_what_it_gives_instead_of_rgb_becomes_rgb() -> None:
    frame = taken()[-1]
    assert frame.pixels.shape == (SIZE[1], SIZE[0], 3)
    assert np.abs(centres(frame) - QUADRANTS).max() < 12


def test_a_small_picture_that_is_not_what_was_asked_for_is_done_without() -> None:
    assert taken()[-1].grey is None


def test_it_is_turned_upright() -> None:
    turned = taken(Settings(width=SIZE[0], height=SIZE[1], fps=30.0, rotation=180))
    assert np.abs(centres(turned[-1]) - QUADRANTS[::-1]).max() < 12


def test_it_goes_on_for_longer_than_there_are_buffers() -> None:
    times = [frame.captured_at for frame in taken()]
    assert len(times) == ENOUGH
    assert all(later >= earlier for earlier, later in pairwise(times))


def test_a_camera_in_use_is_told_in_one_line() -> None:
    with closing(frames()) as stream:
        next(stream)
        with pytest.raises(DeviceError, match=r"^camera: .*: end the other program that uses it$"):
            next(frames())
        assert len(list(islice(stream, ENOUGH))) == ENOUGH


def test_close_from_another_thread_ends_the_frames() -> None:
    camera = PiCamera(SETTINGS, SystemClock())
    seen: list[Frame] = []
    watching = threading.Thread(target=lambda: seen.extend(camera.frames()))
    watching.start()
    assert eventually(lambda: len(seen) > ENOUGH)
    camera.close()
    watching.join(10.0)
    assert not watching.is_alive()


def test_a_picture_that_never_changes_is_told_to_be_frozen() -> None:
    live = LiveCamera(PiCamera(SETTINGS, SystemClock()))
    with pytest.raises(DeviceError, match=r"^camera: its picture is frozen"):
        next(live.frames())
