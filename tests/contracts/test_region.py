"""The region of interest, and what the configuration says of the camera."""

import numpy as np
import pytest

from agent.adapters.camera import open_camera
from agent.adapters.region import RegionCamera
from agent.config import Camera as Settings, parse_config
from agent.core.types import Frame
from agent.errors import ConfigError
from agent.ports import Camera
from tests.contracts.clocks import MovedClock
from tests.contracts.pictures import BLUE, GREEN, QUADRANTS, RED, WHITE, corners, write_picture


class One(Camera):
    """A camera of one frame."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self.closed = False

    def frames(self):  # type: ignore[no-untyped-def] # noqa: ANN201
        yield self._frame

    def close(self) -> None:
        self.closed = True


def test_what_lies_outside_is_cut_off_the_whole_picture_and_the_small_one() -> None:
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8)
    camera = RegionCamera(One(Frame(QUADRANTS, 7.0, grey)), (0.5, 0.0, 0.5, 0.5))
    [frame] = camera.frames()
    assert frame.captured_at == 7.0
    assert frame.pixels.shape == (48, 64, 3)
    assert (frame.pixels == GREEN).all()
    assert frame.grey is not None
    assert frame.grey.tolist() == grey[:3, 4:].tolist()


def test_it_is_closed_with_the_camera() -> None:
    one = One(Frame(QUADRANTS, 0.0))
    RegionCamera(one, (0, 0, 1, 1)).close()
    assert one.closed


def test_of_the_smallest_picture_something_is_left() -> None:
    [frame] = RegionCamera(
        One(Frame(np.zeros((3, 3, 3), np.uint8), 0.0)), (0.4, 0.4, 0.1, 0.1)
    ).frames()
    assert frame.pixels.shape == (1, 1, 3)


def test_a_configured_region_is_all_that_a_camera_gives(tmp_path) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
    write_picture(tmp_path / "pictures" / "1.png", QUADRANTS)
    spec, clock = f"frames:{tmp_path / 'pictures'}", MovedClock()
    [whole] = open_camera(spec, Settings(), clock).frames()
    assert corners(whole.pixels) == [RED, GREEN, BLUE, WHITE]
    [below] = open_camera(spec, Settings(roi=(0.0, 0.5, 1.0, 0.5)), clock).frames()
    assert corners(below.pixels) == [BLUE, WHITE, BLUE, WHITE]


def test_the_configuration_names_camera_and_region() -> None:
    text = '[camera]\nsource = "usb:/dev/video2"\nroi = [0.25, 0, 0.5, 1]\nexposure_value = -1\n'
    camera = parse_config(text, "x").camera
    assert (camera.source, camera.roi) == ("usb:/dev/video2", (0.25, 0.0, 0.5, 1.0))
    assert camera.exposure_value == -1.0
    assert parse_config("", "x").camera == Settings(source="picamera2", roi=None)


@pytest.mark.parametrize(
    "line",
    [
        "roi = [0, 0, 1]",
        "roi = [0, 0, 1, 1, 1]",
        "roi = [-0.1, 0, 1, 1]",
        "roi = [0.5, 0, 0.6, 1]",
        "roi = [0, 0.5, 1, 0.6]",
        "roi = [0, 0, 0.05, 1]",
        "roi = [0, 0, 1, 0]",
        "roi = [nan, 0, 1, 1]",
        'source = "frames:/home/door/pictures"',
        'source = "video:resident.mp4"',
        'source = "usb:"',
        'source = "usb:video0"',
        "exposure_value = 5",
    ],
)
def test_what_makes_no_sense_is_refused(line: str) -> None:
    with pytest.raises(ConfigError, match=r"^x: "):
        parse_config(f"[camera]\n{line}\n", "x")
