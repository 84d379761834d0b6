"""What any inputs post, and how a button is told from its bouncing contacts."""

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from agent.adapters.clock import SystemClock
from agent.adapters.gpio import GpioInputs
from agent.adapters.simulated import SimulatedDoor
from agent.adapters.switches import Debounce, EnrolButton, Push, Sensor, State
from agent.config import Gpio as Lines, Loop, Switch
from agent.core.inputs import (
    ContactChanged,
    EnrolButtonHeld,
    EnrolButtonPressed,
    ExitPressed,
    Input,
    Rung,
    TamperChanged,
)
from agent.core.types import SubjectId
from agent.errors import DeviceError
from agent.ports import Inputs
from tests.contracts.boards import BOARDS, Board
from tests.contracts.waiting import eventually
from tests.simulated_gpio import simulated_gpio

ENROL, EXIT, BELL, CONTACT, TAMPER = 27, 22, 23, 24, 25
LINES = Lines(exit_button=EXIT, doorbell=BELL, contact=CONTACT, tamper=TAMPER)
HELD = EnrolButtonHeld(SubjectId("s-1"))


@dataclass
class Subjects:
    """Gives s-1, s-2, ..."""

    given: list[SubjectId] = field(default_factory=list)

    def __call__(self) -> SubjectId:
        self.given.append(SubjectId(f"s-{len(self.given) + 1}"))
        return self.given[-1]


class Hand:
    """Works the buttons and loops of a board; time passes in their clock only as it says."""

    def __init__(self, board: Board, lines: Lines = LINES) -> None:
        self.board = board
        self.posted: list[Input] = []
        self.inputs = GpioInputs(board.gpio, lines, 2.0, Subjects(), self._clock)
        self._lines = len(lines.switches)
        self._at = 50.0
        self._looks = 0
        for loop in (lines.contact, lines.tamper):
            if isinstance(loop, int):
                board.chip.drive(loop, board.gpio.LOW)

    def _clock(self) -> float:
        self._looks += 1
        return self._at

    def start(self) -> None:
        self.inputs.start(self.posted.append)
        self.seen()

    def seen(self) -> None:
        """Wait until each level has been sampled often enough to count."""
        enough = self._looks + 4 * self._lines
        assert eventually(lambda: self._looks >= enough)

    def wait(self, seconds: float) -> None:
        self._at += seconds
        self.seen()

    def ground(self, line: int) -> None:
        """Connect a line to ground."""
        self.board.chip.drive(line, self.board.gpio.LOW)
        self.seen()

    def leave(self, line: int) -> None:
        """Leave a line to its pull."""
        self.board.chip.drive(line, None)
        self.seen()

    def push(self, line: int, seconds: float = 0.0) -> None:
        self.ground(line)
        self.wait(seconds)
        self.leave(line)

    def break_line(self, line: int) -> None:
        """Have the line fail until it is mended."""
        failures = self.board.chip.failures
        self.board.chip.broken[line] = "I/O error"
        assert eventually(lambda: self.board.chip.failures >= failures + 3)

    def mend(self, line: int) -> None:
        del self.board.chip.broken[line]
        self.seen()


@pytest.fixture(params=BOARDS)
def hand(request: pytest.FixtureRequest) -> Iterator[Hand]:
    with BOARDS[request.param]() as board:
        hand = Hand(board)
        yield hand
        hand.inputs.close()


@dataclass
class Rig:
    """Inputs, what they posted, and what somebody can do to them."""

    inputs: Inputs
    posted: list[Input]
    start: Callable[[], None]
    hold: Callable[[], None]
    press: Callable[[], None]
    leave: Callable[[], None]
    ring: Callable[[], None]
    move: Callable[[bool], None]
    tamper: Callable[[bool], None]


def simulated_rig() -> Rig:
    door = SimulatedDoor(SystemClock(), Subjects())
    posted: list[Input] = []

    def start() -> None:
        door.start(posted.append)
        door.move(is_open=False)

    return Rig(
        inputs=door,
        posted=posted,
        start=start,
        hold=door.hold_enrol_button,
        press=door.press_enrol_button,
        leave=door.press_exit_button,
        ring=door.ring,
        move=lambda is_open: door.move(is_open=is_open),
        tamper=lambda active: door.tamper(active=active),
    )


def gpio_rig(board: Board) -> Rig:
    hand = Hand(board)

    def loop(line: int, is_open: bool) -> None:
        hand.wait(1.0)
        (hand.leave if is_open else hand.ground)(line)

    def push(line: int) -> None:
        hand.wait(1.0)
        hand.push(line)

    return Rig(
        inputs=hand.inputs,
        posted=hand.posted,
        start=hand.start,
        hold=lambda: hand.push(ENROL, 2.0),
        press=lambda: hand.push(ENROL, 1.9),
        leave=lambda: push(EXIT),
        ring=lambda: push(BELL),
        move=lambda is_open: loop(CONTACT, is_open),
        tamper=lambda active: loop(TAMPER, active),
    )


@pytest.fixture(params=["simulated door", *BOARDS])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    if request.param not in BOARDS:
        yield simulated_rig()
        return
    with BOARDS[request.param]() as board:
        made = gpio_rig(board)
        yield made
        made.inputs.close()


def test_everything_that_is_done_is_posted_once_and_in_order(rig: Rig) -> None:
    rig.start()
    rig.hold()
    rig.press()
    rig.hold()
    rig.ring()
    rig.tamper(True)
    rig.leave()
    rig.move(True)
    rig.move(False)
    rig.leave()
    rig.tamper(False)
    rig.ring()
    rig.inputs.close()
    assert rig.posted == [
        ContactChanged(is_open=False),
        HELD,
        EnrolButtonPressed(),
        EnrolButtonHeld(SubjectId("s-2")),
        Rung(),
        TamperChanged(active=True),
        ExitPressed(),
        ContactChanged(is_open=True),
        ContactChanged(is_open=False),
        ExitPressed(),
        TamperChanged(active=False),
        Rung(),
    ]


def test_close_may_be_called_twice_and_without_a_start(rig: Rig) -> None:
    rig.inputs.close()
    rig.inputs.close()


def test_nothing_is_posted_once_closed() -> None:
    posted: queue.SimpleQueue[Input] = queue.SimpleQueue()
    door = SimulatedDoor(SystemClock(), Subjects())
    door.start(posted.put)
    door.close()
    door.hold_enrol_button()
    door.press_exit_button()
    assert posted.empty()


# --- over the lines -------------------------------------------------------------------------------


def test_the_enrol_button_is_told_of_while_it_is_still_held(hand: Hand) -> None:
    hand.start()
    hand.ground(ENROL)
    hand.wait(2.0)
    assert hand.posted[1:] == [HELD]
    hand.wait(60.0)
    assert hand.posted[1:] == [HELD]


def test_who_wants_to_leave_does_not_wait_for_the_button_to_be_let_go(hand: Hand) -> None:
    hand.start()
    hand.ground(EXIT)
    assert hand.posted[1:] == [ExitPressed()]


def test_a_bell_or_an_exit_button_that_is_stuck_counts_once(hand: Hand) -> None:
    hand.start()
    hand.ground(EXIT)
    hand.ground(BELL)
    hand.wait(3600.0)
    assert hand.posted[1:] == [ExitPressed(), Rung()]


def test_what_is_shorted_when_the_door_starts_was_pushed_by_nobody(hand: Hand) -> None:
    for line in (ENROL, EXIT, BELL):
        hand.board.chip.drive(line, hand.board.gpio.LOW)
    hand.start()
    hand.wait(10.0)
    assert hand.posted == [ContactChanged(is_open=False)]
    hand.leave(EXIT)
    hand.push(EXIT)
    assert hand.posted[1:] == [ExitPressed()]


def test_a_door_that_is_open_and_a_case_that_is_open_are_told_of_at_the_start(hand: Hand) -> None:
    for line in (CONTACT, TAMPER):
        hand.board.chip.drive(line, None)
    hand.start()
    assert hand.posted == [ContactChanged(is_open=True), TamperChanged(active=True)]


def test_a_line_that_fails_is_logged_once_and_read_again_once_it_works(
    hand: Hand, caplog: pytest.LogCaptureFixture
) -> None:
    hand.start()
    hand.break_line(ENROL)
    hand.wait(1.0)
    hand.push(BELL)  # the other lines are read all the while
    hand.mend(ENROL)
    hand.push(ENROL, 2.0)
    assert hand.posted[1:] == [Rung(), HELD]
    assert caplog.text.count("line 27 (enrol button): ") == 1
    assert "I/O error" in caplog.text


@pytest.mark.parametrize("line", [ENROL, EXIT, BELL])
def test_a_line_that_comes_back_shorted_after_a_fault_was_pushed_by_nobody(
    hand: Hand, line: int
) -> None:
    hand.start()
    hand.break_line(line)
    hand.board.chip.drive(line, hand.board.gpio.LOW)
    hand.mend(line)
    hand.wait(5.0)
    hand.leave(line)
    assert hand.posted == [ContactChanged(is_open=False)]


def test_a_contact_that_fails_for_a_while_tells_of_what_changed_meanwhile(hand: Hand) -> None:
    hand.start()
    hand.break_line(CONTACT)
    hand.wait(1.0)
    assert len(hand.posted) == 1
    hand.mend(CONTACT)
    assert len(hand.posted) == 1
    hand.break_line(CONTACT)
    hand.board.chip.drive(CONTACT, None)
    hand.mend(CONTACT)
    assert hand.posted[1:] == [ContactChanged(is_open=True)]


def test_what_goes_wrong_with_one_input_does_not_end_the_others(
    hand: Hand, caplog: pytest.LogCaptureFixture
) -> None:
    posted: list[Input] = []

    def post(happened: Input) -> None:
        if happened == Rung():
            raise ZeroDivisionError("a bug")
        posted.append(happened)

    hand.inputs.start(post)
    hand.seen()
    hand.push(BELL)
    hand.push(EXIT)
    assert posted == [ContactChanged(is_open=False), ExitPressed()]
    assert "a bug" in caplog.text


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize(
    ("pull", "active", "pushed"), [("down", "high", 1), ("off", "high", 1), ("off", "low", 0)]
)
def test_a_button_may_be_wired_in_another_way(
    board: str, pull: str, active: str, pushed: int
) -> None:
    wired = Switch(line=BELL, pull=pull, active=active)  # type: ignore[arg-type]
    with BOARDS[board]() as made:
        hand = Hand(made, Lines(doorbell=wired))
        made.chip.drive(BELL, 1 - pushed if pull == "off" else None)
        hand.start()
        assert hand.posted == []
        made.chip.drive(BELL, pushed)
        hand.seen()
        hand.inputs.close()
        assert hand.posted == [Rung()]


@pytest.mark.parametrize("board", BOARDS)
def test_a_contact_may_close_when_the_door_opens(board: str) -> None:
    with BOARDS[board]() as made:
        hand = Hand(made, Lines(contact=Loop(line=CONTACT, active="low")))
        hand.start()
        hand.wait(1.0)
        hand.ground(CONTACT)
        hand.inputs.close()
        assert hand.posted == [ContactChanged(is_open=False), ContactChanged(is_open=True)]


def test_lines_that_are_not_connected_are_not_touched_and_no_thread_is_started() -> None:
    gpio = simulated_gpio()
    before = threading.active_count()
    inputs = GpioInputs(gpio, Lines(enrol_button=None), 2.0, Subjects())
    inputs.start(lambda _: None)
    assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="must setup"):
        gpio.input(ENROL)
    inputs.close()


@pytest.mark.parametrize("board", BOARDS)
def test_a_line_that_cannot_be_had_is_told_in_one_line(board: str) -> None:
    with BOARDS[board]() as made:
        made.chip.broken[EXIT] = "GPIO busy"
        with pytest.raises(DeviceError, match=r"^gpio: line 22 \(exit button\): '?GPIO busy'?: "):
            GpioInputs(made.gpio, LINES, 2.0, Subjects())


# --- sample by sample -----------------------------------------------------------------------------


def told(sensor: Sensor, levels: str, every: float = 0.1) -> list[tuple[float, Input]]:
    """Sample so often, two in a row being a level; `_` is active and `-` is not."""
    debounce = Debounce(2)
    found: list[tuple[float, Input]] = []
    for index, level in enumerate(levels):
        at = round(index * every, 3)
        happened = sensor.sample(at, active=debounce.settle(active=level == "_"))
        if happened is not None:
            found.append((at, happened))
    return found


def enrol_button() -> EnrolButton:
    return EnrolButton(0.5, lambda: SubjectId("s-1"))


def test_a_button_that_bounces_is_pushed_once() -> None:
    assert told(enrol_button(), "--_-_--_-___-_---") == [(1.5, EnrolButtonPressed())]
    assert told(Push(Rung()), "--_-_--_-___-_---") == [(1.0, Rung())]


def test_a_single_sample_is_noise() -> None:
    for sensor in (enrol_button(), Push(Rung()), State(TamperChanged, told=False)):
        assert told(sensor, "--_----_---") == []


def test_a_held_button_counts_once_and_its_end_not_at_all() -> None:
    assert told(enrol_button(), "--" + "_" * 20 + "---") == [(0.8, HELD)]


def test_a_gap_shorter_than_two_samples_does_not_end_a_hold() -> None:
    assert told(enrol_button(), "--___-____---") == [(0.8, HELD)]


def test_a_button_that_is_down_from_the_start_counts_only_after_it_was_up() -> None:
    for sensor, at in ((enrol_button(), 2.6), (Push(EnrolButtonPressed()), 2.4)):
        assert told(sensor, "_" * 20) == []
        assert told(sensor, "_" * 20 + "---" + "__" + "--") == [(at, EnrolButtonPressed())]


def test_what_is_down_at_the_first_look_was_pushed_by_nobody_even_without_debouncing() -> None:
    for sensor in (EnrolButton(0.0, lambda: SubjectId("s-1")), Push(ExitPressed())):
        assert sensor.sample(1.0, active=True) is None
        assert sensor.sample(2.0, active=True) is None
        assert sensor.sample(3.0, active=False) is None


def test_a_level_counts_from_the_sample_that_is_one_too_many_for_a_bounce() -> None:
    debounce = Debounce(3)
    levels = [debounce.settle(active=active) for active in (True, True, False, False, False, True)]
    assert levels == [None, None, None, None, False, False]


def test_a_wire_that_chatters_tells_of_something_once_a_second() -> None:
    chatter = "--" + "__--" * 100
    rung = told(Push(Rung()), chatter, every=0.02)
    assert len(rung) == 8
    changes = told(State(TamperChanged, told=False), chatter, every=0.02)
    assert len(changes) <= 8


def test_what_a_loop_says_last_is_told_however_fast_it_changed() -> None:
    changes = told(State(ContactChanged, told=None), "-----__--__" + "_" * 20, every=0.1)
    assert changes == [
        (0.1, ContactChanged(is_open=False)),
        (1.1, ContactChanged(is_open=True)),
    ]
