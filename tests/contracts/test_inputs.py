"""What any inputs post, and how a button is told from its bouncing contacts."""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from agent.adapters.clock import SystemClock
from agent.adapters.gpio import Button, GpioInputs, Push
from agent.adapters.simulated import SimulatedDoor
from agent.config import Gpio as Lines
from agent.core.inputs import EnrolButtonHeld, EnrolButtonPressed, Input
from agent.core.types import SubjectId
from agent.errors import DeviceError
from agent.ports import Inputs
from tests.contracts.waiting import eventually
from tests.simulated_gpio import SimulatedGpio, simulated_gpio

BUTTON = 27


@dataclass
class Subjects:
    """Gives s-1, s-2, ..."""

    given: list[SubjectId] = field(default_factory=list)

    def __call__(self) -> SubjectId:
        self.given.append(SubjectId(f"s-{len(self.given) + 1}"))
        return self.given[-1]


@dataclass
class Finger:
    """Pushes the enrol button of a chip; time passes in the buttons' clock only as it says."""

    gpio: SimulatedGpio = field(default_factory=simulated_gpio)
    at: float = 50.0
    samples: int = 0

    def clock(self) -> float:
        self.samples += 1
        return self.at

    def seen(self) -> None:
        """Wait until the level has been sampled often enough to count."""
        before = self.samples
        assert eventually(lambda: self.samples >= before + 3)

    def press(self) -> None:
        self.gpio.drive(BUTTON, self.gpio.LOW)
        self.seen()

    def hold(self, seconds: float) -> None:
        self.at += seconds
        self.seen()

    def let_go(self) -> None:
        self.gpio.drive(BUTTON, None)
        self.seen()


@dataclass
class Rig:
    """Inputs, and what pushes their button in the two ways there are."""

    inputs: Inputs
    hold: Callable[[], None]
    press: Callable[[], None]


def simulated_rig() -> Rig:
    door = SimulatedDoor(SystemClock(), Subjects())
    return Rig(door, door.hold_enrol_button, door.press_enrol_button)


def gpio_rig() -> Rig:
    finger = Finger()
    inputs = GpioInputs(finger.gpio, Lines(), 2.0, Subjects(), finger.clock)

    def hold() -> None:
        finger.seen()
        finger.press()
        finger.hold(2.0)
        finger.let_go()

    def press() -> None:
        finger.seen()
        finger.press()
        finger.hold(1.9)
        finger.let_go()

    return Rig(inputs, hold, press)


RIGS = {"simulated door": simulated_rig, "GPIO": gpio_rig}


@pytest.fixture(params=RIGS)
def rig(request: pytest.FixtureRequest) -> Rig:
    return RIGS[request.param]()


def test_a_held_button_asks_for_an_enrolment_once_and_with_a_new_subject(rig: Rig) -> None:
    posted: queue.SimpleQueue[Input] = queue.SimpleQueue()
    rig.inputs.start(posted.put)
    rig.hold()
    rig.hold()
    rig.inputs.close()
    got = [posted.get_nowait() for _ in range(posted.qsize())]
    assert got == [EnrolButtonHeld(SubjectId("s-1")), EnrolButtonHeld(SubjectId("s-2"))]


def test_a_short_push_cancels(rig: Rig) -> None:
    posted: queue.SimpleQueue[Input] = queue.SimpleQueue()
    rig.inputs.start(posted.put)
    rig.press()
    rig.inputs.close()
    got = [posted.get_nowait() for _ in range(posted.qsize())]
    assert got == [EnrolButtonPressed()]


def test_close_may_be_called_twice_and_without_a_start(rig: Rig) -> None:
    rig.inputs.close()
    rig.inputs.close()


def test_the_button_is_told_of_while_it_is_still_held() -> None:
    finger = Finger()
    posted: queue.SimpleQueue[Input] = queue.SimpleQueue()
    inputs = GpioInputs(finger.gpio, Lines(), 2.0, Subjects(), finger.clock)
    inputs.start(posted.put)
    finger.seen()
    finger.press()
    finger.hold(2.0)
    assert posted.get(timeout=10.0) == EnrolButtonHeld(SubjectId("s-1"))
    finger.hold(60.0)
    inputs.close()
    assert posted.empty()


def test_the_simulated_door_posts_nothing_once_closed() -> None:
    posted: queue.SimpleQueue[Input] = queue.SimpleQueue()
    door = SimulatedDoor(SystemClock(), Subjects())
    door.start(posted.put)
    door.close()
    door.hold_enrol_button()
    door.press_enrol_button()
    assert posted.empty()


def test_without_an_enrol_button_no_line_is_touched_and_no_thread_started() -> None:
    gpio = simulated_gpio()
    before = threading.active_count()
    inputs = GpioInputs(gpio, Lines(enrol_button=None), 2.0, Subjects())
    inputs.start(lambda _: None)
    assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="must setup"):
        gpio.input(BUTTON)
    inputs.close()


def test_a_button_whose_line_cannot_be_had_is_told_in_one_line() -> None:
    gpio = simulated_gpio()
    gpio.broken[BUTTON] = "GPIO busy"
    with pytest.raises(DeviceError, match=r"^gpio: line 27 \(enrol button\): GPIO busy: "):
        GpioInputs(gpio, Lines(), 2.0, Subjects())


def test_a_line_that_fails_is_logged_once_and_read_again_once_it_works(
    caplog: pytest.LogCaptureFixture,
) -> None:
    finger = Finger()
    posted: queue.SimpleQueue[Input] = queue.SimpleQueue()
    inputs = GpioInputs(finger.gpio, Lines(), 2.0, Subjects(), finger.clock)
    inputs.start(posted.put)
    finger.seen()
    finger.gpio.broken[BUTTON] = "I/O error"
    assert eventually(lambda: finger.gpio.failures >= 3)
    del finger.gpio.broken[BUTTON]
    finger.press()
    finger.hold(2.0)
    assert posted.get(timeout=10.0) == EnrolButtonHeld(SubjectId("s-1"))
    inputs.close()
    assert caplog.text.count("I/O error") == 1


# --- the button, sample by sample -----------------------------------------------------------------


def pushes(levels: str, hold_seconds: float = 0.5) -> list[tuple[float, Push]]:
    """Sample a button every 0.1 s; `_` is down and `-` is up."""
    button = Button(hold_seconds)
    found: list[tuple[float, Push]] = []
    for index, level in enumerate(levels):
        push = button.sample(index / 10, down=level == "_")
        if push is not None:
            found.append((index / 10, push))
    return found


def test_a_button_that_bounces_is_pushed_once() -> None:
    assert pushes("--_-_--_-___-_---") == [(1.5, Push.SHORT)]


def test_a_single_sample_is_noise() -> None:
    assert pushes("--_----_---") == []


def test_a_held_button_counts_once_and_its_end_not_at_all() -> None:
    assert pushes("--" + "_" * 20 + "---") == [(0.8, Push.HELD)]


def test_a_gap_shorter_than_two_samples_does_not_end_a_hold() -> None:
    assert pushes("--___-____---") == [(0.8, Push.HELD)]


def test_a_button_that_is_down_from_the_start_counts_only_after_it_was_up() -> None:
    assert pushes("_" * 20) == []
    assert pushes("_" * 20 + "---" + "__" + "--") == [(2.6, Push.SHORT)]
