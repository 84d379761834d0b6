"""Cameras that replay a folder of pictures or a video."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from agent.adapters.clock import SystemClock
from agent.adapters.frames import FramesCamera, VideoCamera
from agent.core.types import Frame, Pixels
from agent.errors import DeviceError
from agent.ports import Camera, Clock
from tests.contracts.clocks import MovedClock
from tests.contracts.pictures import QUADRANTS, corners, plain, write_picture, write_video


def shade(index: int) -> Pixels:
    """A picture whose number is its brightness."""
    return plain((index * 10, index * 10, index * 10))


def numbers(frames: Sequence[Frame]) -> list[int]:
    return [round(float(frame.pixels.mean()) / 10) for frame in frames]


def folder_of(tmp_path: Path, count: int, fps: float, clock: Clock) -> Camera:
    for index in range(count):
        write_picture(tmp_path / "pictures" / f"{index:03}.png", shade(index))
    return FramesCamera(tmp_path / "pictures", fps, clock)


def video_of(tmp_path: Path, count: int, fps: float, clock: Clock) -> Camera:
    write_video(tmp_path / "video.avi", [shade(index) for index in range(count)], rate=fps)
    return VideoCamera(tmp_path / "video.avi", fps, clock)


Make = Callable[[Path, int, float, Clock], Camera]


@pytest.fixture(params=[folder_of, video_of])
def make(request: pytest.FixtureRequest) -> Make:
    chosen: Make = request.param
    return chosen


def test_all_is_played_in_order_and_then_it_ends(make: Make, tmp_path: Path) -> None:
    camera = make(tmp_path, 10, 200.0, MovedClock())
    assert numbers(list(camera.frames())) == list(range(10))


def test_it_plays_from_the_start_again(make: Make, tmp_path: Path) -> None:
    camera = make(tmp_path, 3, 200.0, MovedClock())
    assert numbers([*camera.frames(), *camera.frames()]) == [0, 1, 2, 0, 1, 2]


def test_frames_are_captured_when_they_are_due(make: Make, tmp_path: Path) -> None:
    camera = make(tmp_path, 4, 200.0, MovedClock())
    times = [frame.captured_at for frame in camera.frames()]
    assert times == pytest.approx([100.0, 100.005, 100.010, 100.015])


def test_a_slow_consumer_gets_the_newest_that_is_due(make: Make, tmp_path: Path) -> None:
    clock = MovedClock()
    stream = make(tmp_path, 20, 10.0, clock).frames()
    seen = [next(stream)]
    for pause in (0.55, 0.1, 0.77):
        clock.at += pause
        seen.append(next(stream))
    assert numbers(seen) == [0, 5, 6, 14]


def test_a_consumer_that_comes_after_the_end_gets_nothing_old(make: Make, tmp_path: Path) -> None:
    clock = MovedClock()
    stream = make(tmp_path, 5, 10.0, clock).frames()
    next(stream)
    clock.at += 60.0
    assert list(stream) == []


def test_no_frame_comes_before_it_is_due(make: Make, tmp_path: Path) -> None:
    camera = make(tmp_path, 5, 20.0, SystemClock())
    late = [time.monotonic() - frame.captured_at for frame in camera.frames()]
    assert late
    assert min(late) >= 0.0


def test_close_from_another_thread_ends_a_wait(make: Make, tmp_path: Path) -> None:
    camera = make(tmp_path, 20, 1.0, MovedClock())
    seen: list[Frame] = []
    watching = threading.Thread(target=lambda: seen.extend(camera.frames()))
    watching.start()
    camera.close()
    watching.join(10.0)
    assert not watching.is_alive()
    assert len(seen) < 20


def test_once_closed_it_plays_nothing_and_may_be_closed_again(make: Make, tmp_path: Path) -> None:
    camera = make(tmp_path, 5, 200.0, MovedClock())
    camera.close()
    camera.close()
    assert list(camera.frames()) == []


# --- a folder of pictures -------------------------------------------------------------------------


def test_pictures_are_rgb_and_may_differ_in_size_and_kind(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", QUADRANTS)
    write_picture(tmp_path / "b.jpg", plain((200, 40, 40), width=31, height=17))
    write_picture(tmp_path / "c.bmp", plain((0, 0, 255)))
    first, second, third = FramesCamera(tmp_path, 1000.0, MovedClock()).frames()
    assert corners(first.pixels) == [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]
    assert second.pixels.shape == (17, 31, 3)
    assert np.abs(second.pixels.astype(int) - (200, 40, 40)).max() <= 4
    assert corners(third.pixels)[0] == (0, 0, 255)


@pytest.mark.parametrize("name", ["notes.txt", "README.md", "zebra.jpg", "empty.png"])
def test_what_is_no_picture_is_named_before_anything_is_played(tmp_path: Path, name: str) -> None:
    write_picture(tmp_path / "a.png", QUADRANTS)
    (tmp_path / name).write_text("" if name == "empty.png" else "this is text")
    with pytest.raises(DeviceError, match=rf"^camera: .*/{name}: not a picture .*: take it out"):
        FramesCamera(tmp_path, 10.0, SystemClock())


def test_a_folder_in_the_folder_is_no_picture(tmp_path: Path) -> None:
    write_picture(tmp_path / "more" / "a.png", QUADRANTS)
    with pytest.raises(DeviceError, match="more: not a picture"):
        FramesCamera(tmp_path, 10.0, SystemClock())


def test_hidden_files_are_left_out(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", QUADRANTS)
    (tmp_path / ".DS_Store").write_text("not a picture")
    assert len(list(FramesCamera(tmp_path, 10.0, MovedClock()).frames())) == 1


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"^camera: .*: no pictures in it: "):
        FramesCamera(tmp_path, 10.0, SystemClock())


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"^camera: .*/away: No such file or directory: give a"):
        FramesCamera(tmp_path / "away", 10.0, SystemClock())


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", QUADRANTS)
    with pytest.raises(DeviceError, match=r"a\.png: Not a directory"):
        FramesCamera(tmp_path / "a.png", 10.0, SystemClock())


def test_a_picture_that_goes_away_while_playing_is_named(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_picture(tmp_path / name, QUADRANTS)
    stream = FramesCamera(tmp_path, 100.0, MovedClock()).frames()
    next(stream)
    (tmp_path / "b.png").unlink()
    with pytest.raises(DeviceError, match=r"b\.png: No such file"):
        next(stream)


def test_a_picture_that_is_spoilt_while_playing_is_named(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_picture(tmp_path / name, QUADRANTS)
    stream = FramesCamera(tmp_path, 100.0, MovedClock()).frames()
    next(stream)
    (tmp_path / "b.png").write_bytes(b"")
    with pytest.raises(DeviceError, match=r"b\.png: not a picture"):
        next(stream)


# --- a video --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec"), [("v.avi", "MJPG"), ("v.mp4", "mp4v"), ("v.mkv", "mp4v")]
)
def test_videos_are_rgb(tmp_path: Path, name: str, codec: str) -> None:
    write_video(tmp_path / name, [QUADRANTS, QUADRANTS], rate=100, codec=codec)
    for frame in VideoCamera(tmp_path / name, 100.0, MovedClock()).frames():
        found = np.array(corners(frame.pixels), int)
        wanted = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]
        assert np.abs(found - wanted).max() <= 12


def test_a_video_keeps_its_own_speed_and_is_thinned_out(tmp_path: Path) -> None:
    write_video(tmp_path / "v.avi", [shade(index) for index in range(13)], rate=200)
    frames = list(VideoCamera(tmp_path / "v.avi", 50.0, MovedClock()).frames())
    assert numbers(frames) == [0, 4, 8, 12]
    assert [frame.captured_at for frame in frames] == pytest.approx([100.0, 100.02, 100.04, 100.06])


def test_a_video_slower_than_asked_is_not_sped_up(tmp_path: Path) -> None:
    write_video(tmp_path / "v.avi", [shade(index) for index in range(3)], rate=50)
    frames = list(VideoCamera(tmp_path / "v.avi", 500.0, MovedClock()).frames())
    assert [frame.captured_at for frame in frames] == pytest.approx([100.0, 100.02, 100.04])


def test_a_missing_video_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"^camera: .*/away\.mp4: no such file: give an MP4"):
        VideoCamera(tmp_path / "away.mp4", 10.0, SystemClock())


def test_a_video_without_a_picture_is_an_error(tmp_path: Path) -> None:
    write_video(tmp_path / "v.avi", [shade(0)], rate=10)
    content = (tmp_path / "v.avi").read_bytes()
    # "movi" begins the part with the pictures; what comes before it can be read.
    (tmp_path / "v.avi").write_bytes(content[: content.index(b"movi") + 40])
    with pytest.raises(DeviceError, match="not a video that can be read"):
        VideoCamera(tmp_path / "v.avi", 10.0, SystemClock())


def test_a_video_that_goes_away_is_told_when_it_is_played(tmp_path: Path) -> None:
    write_video(tmp_path / "v.avi", [shade(0)], rate=10)
    camera = VideoCamera(tmp_path / "v.avi", 10.0, SystemClock())
    (tmp_path / "v.avi").unlink()
    with pytest.raises(DeviceError, match="no such file"):
        next(camera.frames())


def test_what_is_no_video_is_one_line_and_the_libraries_add_none(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_text("this is text" * 100)
    program = f"""
from pathlib import Path
from agent.adapters.clock import SystemClock
from agent.adapters.frames import VideoCamera
from agent.errors import DeviceError
try:
    VideoCamera(Path({str(tmp_path / "v.mp4")!r}), 10.0, SystemClock())
except DeviceError as error:
    print(error)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout.startswith(f"camera: {tmp_path}/v.mp4: not a video that can be read: ")
    assert ended.stderr == ""
