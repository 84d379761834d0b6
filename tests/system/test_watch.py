"""The camera's thread: what it looks at and what it posts, and faults."""

import threading
from collections.abc import Iterator, Sequence
from typing import Self

import numpy as np
import pytest

from agent.adapters.simulated import SimulatedDoor
from agent.core.effects import Examine
from agent.core.events import Part
from agent.core.inputs import Faulted, Input, Observed, Recovered, Tick
from agent.core.pad import Cue, Examined, Liveness, Series, Verdict
from agent.core.types import Frame, Pixels, QualityIssue, SubjectId
from agent.errors import DeviceError
from agent.ports import Camera, Switch
from agent.watch import ATTENTION, IDLE_EVERY, PATIENCE, Watch
from tests.contracts.clocks import MovedClock
from tests.contracts.waiting import DEADLINE

FPS = 8
STILL: Pixels = np.full((72, 128, 3), 100, np.uint8)
OTHER = STILL.copy()
OTHER[20:60, 30:80] = 200


class Eyes(Camera):
    """A camera and a vision that do as they are told, and the inbox."""

    def __init__(
        self, pictures: Sequence[Pixels | DeviceError], faces: set[int] | None = None
    ) -> None:
        self._pictures = list(pictures)
        self._faces = faces or set()
        self._clock = MovedClock()
        self._closed = threading.Event()
        self.door = SimulatedDoor(self._clock, lambda: SubjectId("s-1"))
        self.looked: list[int] = []
        self.posted: list[Input] = []
        self.alive: list[bool] = []
        self.watch = Watch(self, self.see, None, self.door, self._clock, self.posted.append)

    def frames(self) -> Iterator[Frame]:
        while self._pictures and not self._closed.is_set():
            picture = self._pictures.pop(0)
            self._clock.at += 1 / FPS
            if isinstance(picture, DeviceError):
                raise picture
            yield Frame(picture, self._clock.at)
            self.alive.append(self.watch.alive)

    def close(self) -> None:
        self._closed.set()

    def see(self, frame: Frame) -> Observed:
        number = round((frame.captured_at - 100.0) * FPS) - 1
        self.looked.append(number)
        if number in self._faces:
            return Observed(frame.captured_at, 1, QualityIssue.TOO_FAR)
        return Observed(frame.captured_at, 0, None)

    def run(self) -> Self:
        self.watch.start()
        self.watch._thread.join(DEADLINE)  # noqa: SLF001 - it ends with the replay
        assert self.watch.over
        assert self.watch.crash is None
        return self

    @property
    def observed(self) -> list[Observed]:
        return [each for each in self.posted if isinstance(each, Observed)]


def test_while_nothing_moves_one_frame_a_second_is_looked_at() -> None:
    eyes = Eyes([STILL] * 40).run()
    assert eyes.looked == [0, 8, 16, 24, 32]
    assert IDLE_EVERY == 1.0
    assert [(each.luma, each.moved) for each in eyes.observed] == [(100.0, False)] * 5


def test_what_is_not_looked_at_is_not_posted_but_is_a_sign_of_life() -> None:
    eyes = Eyes([STILL] * 80)
    eyes.watch._sign_of_life = -PATIENCE  # noqa: SLF001 - as if it had long hung
    eyes.run()
    assert len(eyes.observed) == 10
    assert all(eyes.alive)
    assert isinstance(eyes.posted[0], Recovered)
    assert isinstance(eyes.posted[-1], Tick)


def test_the_very_frame_in_which_something_moves_is_looked_at_and_all_for_a_while_after() -> None:
    eyes = Eyes([STILL] * 5 + [OTHER] * 60).run()
    attentive = round(ATTENTION * FPS)
    assert eyes.looked[: attentive + 1] == [0, *range(5, 5 + attentive)]
    assert eyes.looked[attentive + 1 :] == [36, 44, 52, 60]
    assert [each.moved for each in eyes.observed][:3] == [False, True, False]


def test_somebody_who_stands_still_is_looked_at_in_every_frame() -> None:
    eyes = Eyes([STILL] * 150, faces=set(range(8, 100))).run()
    assert set(range(8, 99 + round(ATTENTION * FPS))) <= set(eyes.looked)
    assert eyes.looked[-1] - eyes.looked[-2] == 8


def test_how_bright_it_is_is_told_with_what_was_seen() -> None:
    eyes = Eyes([np.full((72, 128, 3), 7, np.uint8)], faces={0}).run()
    [seen] = eyes.observed
    assert (seen.faces, seen.nearest) == (1, QualityIssue.TOO_FAR)
    assert seen.luma == pytest.approx(7.0)


def test_a_camera_that_fails_is_a_fault_and_one_that_is_back_is_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("agent.watch.RETRY_EVERY", 0.0)
    gone = DeviceError("camera: gone: plug it in")
    eyes = Eyes([STILL, gone, gone, STILL]).run()
    kinds = [each for each in eyes.posted if isinstance(each, Faulted | Recovered)]
    fault = Faulted(Part.CAMERA, "camera: gone: plug it in")
    assert kinds == [Recovered(Part.CAMERA), fault, fault, Recovered(Part.CAMERA)]
    assert caplog.text.count("camera: gone") == 1


# --- examining ------------------------------------------------------------------------------------

CODE = (False, True, True, False, True, False)
ALIVE = Verdict(Liveness.BONA_FIDE, Cue.ALL)


class Flashlit(Eyes):
    """Eyes that are asked to examine with the third frame, and a light that remembers."""

    def __init__(self, series: Series | DeviceError | None, until: float = 1e9) -> None:
        super().__init__([STILL] * 8)
        self._series = series
        self.asked = Examine(CODE, until)
        self.switched: list[bool | None] = []
        self.examined: list[Series] = []
        self.door.flash = lambda *, on: self.switched.append(on)  # type: ignore[method-assign]
        self.watch = Watch(self, self.see, self.pad, self.door, self._clock, self.posted.append)

    def frames(self) -> Iterator[Frame]:
        for number, frame in enumerate(super().frames()):
            if number == 2:
                self.watch.examine(self.asked)
            yield frame

    def series(self, lit: Sequence[bool], switch: Switch, until: float) -> Series | None:
        assert until == self.asked.until
        for on in lit:
            switch(on)
        if isinstance(self._series, DeviceError):
            raise self._series
        return self._series

    def pad(self, series: Series) -> Examined:
        self.examined.append(series)
        return Examined(100.0, ALIVE, ())


SERIES = Series((Frame(STILL, 100.0),) * 6, CODE, 100.0)


def test_whoever_is_asked_for_is_examined_between_two_frames() -> None:
    eyes = Flashlit(SERIES).run()
    [examined] = [each for each in eyes.posted if isinstance(each, Examined)]
    assert examined.verdict is ALIVE
    assert eyes.examined == [SERIES]
    assert eyes.switched == [*CODE, None]


def test_nobody_is_examined_for_whom_nobody_waits_any_more() -> None:
    eyes = Flashlit(SERIES, until=100.0).run()
    assert not [each for each in eyes.posted if isinstance(each, Examined)]
    assert eyes.switched == []


def test_a_series_that_could_not_be_taken_is_no_answer_and_leaves_the_light_alone() -> None:
    eyes = Flashlit(None).run()
    assert not [each for each in eyes.posted if isinstance(each, Examined | Faulted)]
    assert eyes.switched == [*CODE, None]


def test_a_camera_that_fails_while_it_examines_is_a_fault_and_leaves_the_light_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agent.watch.RETRY_EVERY", 0.0)
    eyes = Flashlit(DeviceError("camera: gone")).run()
    assert Faulted(Part.CAMERA, "camera: gone") in eyes.posted
    assert not [each for each in eyes.posted if isinstance(each, Examined)]
    assert eyes.switched[:7] == [*CODE, None]


def test_a_door_that_examines_nothing_says_so_as_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.watch.RETRY_EVERY", 0.0)
    eyes = Eyes([STILL] * 3)
    eyes.watch.examine(Examine(CODE, 1e9))
    eyes.run()
    [fault] = [each for each in eyes.posted if isinstance(each, Faulted)]
    assert "set [pad] level to basic" in fault.reason
