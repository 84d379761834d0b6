"""What any release does, over the simulated door and over relays of both polarities."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import pytest

from agent.adapters.clock import SystemClock
from agent.adapters.gpio import GpioRelease
from agent.adapters.pulse import Pulse
from agent.adapters.simulated import SimulatedDoor
from agent.config import Gpio as Lines
from agent.core.types import Grant, Method, SubjectId
from agent.errors import DeviceError
from agent.ports import Release
from tests.contracts.boards import BOARDS, Board, MakeBoard
from tests.contracts.waiting import eventually
from tests.simulated_gpio import LineError

GRANT = Grant(SubjectId("s-1"), Method.FACE, 0.8, 0.0)
RELAY = Lines().relay


@dataclass
class Rig:
    """A release and a look at its hardware that does not go through it.

    levels: what the hardware was at since the release was made, released or not.
    """

    release: Release
    levels: Callable[[], list[bool]]

    def released(self) -> bool:
        return self.levels()[-1]

    def transitions(self) -> list[bool]:
        return [now for before, now in pairwise([False, *self.levels()]) if now != before]


@contextmanager
def simulated_rig() -> Iterator[Rig]:
    door = SimulatedDoor(SystemClock(), lambda: SubjectId("s-2"))
    yield Rig(door, lambda: [False, *(released for _, released in door.timeline)])


@contextmanager
def relay_rig(make: MakeBoard, *, active_high: bool) -> Iterator[Rig]:
    with make() as board:
        release = GpioRelease(board.gpio, Lines(relay_active_high=active_high))
        on = board.gpio.HIGH if active_high else board.gpio.LOW
        yield Rig(release, lambda: [level == on for level in board.chip.history[RELAY]])


RIGS: Mapping[str, Callable[[], AbstractContextManager[Rig]]] = {
    "simulated door": simulated_rig,
    **{
        f"{name}, relay active {'high' if active_high else 'low'}": partial(
            relay_rig, make, active_high=active_high
        )
        for name, make in BOARDS.items()
        for active_high in (True, False)
    },
}


@pytest.fixture(params=RIGS)
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    with RIGS[request.param]() as made:
        yield made
        made.release.close()


@pytest.fixture(params=BOARDS)
def board(request: pytest.FixtureRequest) -> Iterator[Board]:
    with BOARDS[request.param]() as made:
        yield made


def test_it_is_locked_when_made(rig: Rig) -> None:
    assert not rig.released()
    assert rig.transitions() == []


def test_it_locks_again_by_itself(rig: Rig) -> None:
    rig.release.energise(GRANT, 0.05)
    assert eventually(lambda: rig.transitions() == [True, False])


def test_it_stays_released_for_as_long_as_was_asked(rig: Rig) -> None:
    began = time.monotonic()
    rig.release.energise(GRANT, 0.3)
    assert eventually(lambda: not rig.released())
    assert time.monotonic() - began >= 0.3


def test_a_second_grant_while_released_does_not_lengthen_the_pulse(rig: Rig) -> None:
    rig.release.energise(GRANT, 0.2)
    rig.release.energise(GRANT, 30.0)
    assert eventually(lambda: not rig.released())
    assert rig.transitions() == [True, False]


def test_a_grant_after_the_pulse_releases_again(rig: Rig) -> None:
    rig.release.energise(GRANT, 0.02)
    assert eventually(lambda: not rig.released())
    rig.release.energise(GRANT, 0.02)
    assert eventually(lambda: rig.transitions() == [True, False, True, False])


def test_drop_locks_before_the_pulse_is_over(rig: Rig) -> None:
    rig.release.energise(GRANT, 30.0)
    assert rig.released()
    rig.release.drop()
    assert not rig.released()


def test_a_dropped_pulse_does_not_cut_short_the_next_one(rig: Rig) -> None:
    rig.release.energise(GRANT, 0.1)
    rig.release.drop()
    rig.release.energise(GRANT, 30.0)
    time.sleep(0.2)
    assert rig.released()


def test_drop_while_locked_changes_nothing(rig: Rig) -> None:
    rig.release.drop()
    assert rig.transitions() == []


def test_close_locks_and_may_be_called_again(rig: Rig) -> None:
    rig.release.energise(GRANT, 30.0)
    rig.release.close()
    rig.release.close()
    assert not rig.released()


def test_once_closed_it_releases_no_more(rig: Rig) -> None:
    rig.release.close()
    with pytest.raises(DeviceError, match="closed"):
        rig.release.energise(GRANT, 1.0)
    assert not rig.released()


@pytest.mark.parametrize("forged", [True, 1, "granted", None, object(), SubjectId("s-1")])
def test_nothing_but_a_grant_releases(rig: Rig, forged: Grant) -> None:
    with pytest.raises(TypeError, match="only a Grant"):
        rig.release.energise(forged, 1.0)
    assert not rig.released()


@pytest.mark.parametrize("seconds", [0.0, -1.0, 30.001, float("inf"), float("nan")])
def test_a_pulse_of_no_time_or_too_long_is_refused(rig: Rig, seconds: float) -> None:
    with pytest.raises(ValueError, match="pulse"):
        rig.release.energise(GRANT, seconds)
    assert not rig.released()


def test_it_locks_though_the_thread_that_asked_has_died(rig: Rig) -> None:
    asking = threading.Thread(target=rig.release.energise, args=(GRANT, 0.2))
    asking.start()
    asking.join()
    assert rig.transitions()[:1] == [True]
    assert eventually(lambda: not rig.released())


def test_it_locks_though_the_caller_raises_right_after(rig: Rig) -> None:
    def ask_and_fail() -> None:
        rig.release.energise(GRANT, 0.1)
        raise RuntimeError("something else went wrong")

    with pytest.raises(RuntimeError, match="something else"):
        ask_and_fail()
    assert eventually(lambda: rig.transitions() == [True, False])


# --- what only hardware can do to it -------------------------------------------------------------


def test_the_relay_is_at_its_locked_level_from_the_first_moment(board: Board) -> None:
    for line, active_high, locked in ((RELAY, True, 0), (4, False, 1)):
        GpioRelease(board.gpio, Lines(relay=line, relay_active_high=active_high)).close()
        assert board.chip.history[line][0] == locked


def test_it_locks_a_line_that_this_process_left_released(board: Board) -> None:
    board.gpio.setup(RELAY, board.gpio.OUT, initial=board.gpio.HIGH)
    release = GpioRelease(board.gpio, Lines())
    assert board.chip.history[RELAY] == [1, 0]
    release.close()


def test_a_relay_that_cannot_be_had_is_told_in_one_line(board: Board) -> None:
    board.chip.broken[RELAY] = "GPIO busy"
    says = r"^gpio: line 17 \(relay\): '?GPIO busy'?: check .*the line$"
    with pytest.raises(DeviceError, match=says):
        GpioRelease(board.gpio, Lines())


def test_a_relay_that_does_not_pull_is_an_error_and_leaves_the_door_locked(board: Board) -> None:
    release = GpioRelease(board.gpio, Lines())
    board.chip.broken[RELAY] = "I/O error"
    with pytest.raises(DeviceError, match="I/O error"):
        release.energise(GRANT, 5.0)
    del board.chip.broken[RELAY]
    assert eventually(lambda: not release.energised)
    assert board.chip.level(RELAY) == board.gpio.LOW
    release.close()


def test_a_relay_that_does_not_let_go_is_tried_until_it_does(
    board: Board, caplog: pytest.LogCaptureFixture
) -> None:
    release = GpioRelease(board.gpio, Lines())
    release.energise(GRANT, 0.05)
    board.chip.broken[RELAY] = "I/O error"
    assert eventually(lambda: "cannot be locked" in caplog.text)
    assert release.energised
    with pytest.raises(DeviceError, match="I/O error"):
        release.drop()
    del board.chip.broken[RELAY]
    assert eventually(lambda: not release.energised)
    assert board.chip.level(RELAY) == board.gpio.LOW
    release.close()


def test_many_tries_to_lock_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    tries: list[str] = []

    def off() -> None:
        tries.append("one")
        if len(tries) < 4:
            raise DeviceError("relay: stuck")

    pulse = Pulse(on=lambda: None, off=off)
    pulse.energise(GRANT, 0.02)
    assert eventually(lambda: not pulse.energised)
    assert caplog.text.count("the door cannot be locked: relay: stuck") == 1
    pulse.close()


def test_a_relay_that_does_not_let_go_on_close_is_tried_after_it_too(board: Board) -> None:
    release = GpioRelease(board.gpio, Lines())
    release.energise(GRANT, 30.0)
    board.chip.broken[RELAY] = "I/O error"
    with pytest.raises(DeviceError, match="I/O error"):
        release.close()
    del board.chip.broken[RELAY]
    assert eventually(lambda: board.chip.level(RELAY) == board.gpio.LOW)
    release.close()


def test_an_error_of_any_class_leaves_a_timer_that_still_locks() -> None:
    failures = [ZeroDivisionError("a bug"), LineError("lgpio's own")]
    dropped = threading.Event()

    def off() -> None:
        if failures:
            raise failures.pop()
        dropped.set()

    pulse = Pulse(on=lambda: None, off=off)
    pulse.energise(GRANT, 0.02)
    assert dropped.wait(10.0)
    pulse.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_without_a_timer_that_would_lock_again_nothing_is_released() -> None:
    deaths = ["one"]

    def off() -> None:
        if deaths:
            deaths.clear()
            raise SystemExit  # which ends the timer

    threads = set(threading.enumerate())
    pulse = Pulse(on=lambda: None, off=off)
    pulse.energise(GRANT, 0.02)
    assert eventually(lambda: set(threading.enumerate()) <= threads)
    with pytest.raises(DeviceError, match="nothing would lock the door again"):
        pulse.energise(GRANT, 1.0)
    pulse.close()
    assert not pulse.energised


def test_the_process_locks_on_its_way_out() -> None:
    program = """
import sys
from agent.adapters.gpio import GpioRelease
from agent.config import Gpio as Lines
from agent.core.types import Grant, Method, SubjectId
from tests.simulated_gpio import SimulatedGpio

class Meter(SimulatedGpio):
    def output(self, channel, value, /):
        super().output(channel, value)
        print(value, flush=True)

gpio = Meter()
gpio.setmode(gpio.BCM)
GpioRelease(gpio, Lines()).energise(Grant(SubjectId("s"), Method.FACE, 0.9, 0.0), 30.0)
raise SystemExit("the main thread ends here")
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stdout.split() == ["0", "1", "0"]
