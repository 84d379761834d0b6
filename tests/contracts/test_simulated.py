"""The simulators: a door under a clock that the test moves, and the chip's own rules."""

import pytest

from agent.adapters.simulated import SimulatedDoor
from agent.core.types import Grant, Method, SubjectId
from tests.contracts.clocks import MovedClock
from tests.simulated_gpio import SimulatedGpio

GRANT = Grant(SubjectId("s-1"), Method.FACE, 0.8, 0.0)
RELAY = 17


def test_under_a_simulated_clock_the_pulse_ends_when_the_clock_says_so() -> None:
    clock = MovedClock()
    door = SimulatedDoor(clock, lambda: SubjectId("s-2"))
    door.energise(GRANT, 5.0)
    clock.at = 104.9
    assert door.settle() == pytest.approx(0.1)
    clock.at = 105.0
    assert door.settle() is None
    assert door.timeline == [(100.0, True), (105.0, False)]
    assert door.pulses == [(100.0, 105.0)]
    door.close()


def test_a_grant_that_comes_when_the_pulse_should_be_over_is_a_new_pulse() -> None:
    clock = MovedClock()
    door = SimulatedDoor(clock, lambda: SubjectId("s-2"))
    door.energise(GRANT, 30.0)
    clock.at = 140.0
    door.energise(GRANT, 5.0)
    assert door.timeline == [(100.0, True), (140.0, False), (140.0, True)]
    door.close()


def test_a_door_that_is_locked_when_it_is_dropped_has_nothing_in_its_timeline() -> None:
    door = SimulatedDoor(MovedClock(), lambda: SubjectId("s-2"))
    door.drop()
    door.close()
    assert door.timeline == []


def test_a_pulse_that_is_not_over_is_in_the_timeline_only() -> None:
    clock = MovedClock()
    door = SimulatedDoor(clock, lambda: SubjectId("s-2"))
    door.energise(GRANT, 5.0)
    assert door.timeline == [(100.0, True)]
    assert door.pulses == []
    door.close()


def test_the_simulated_chip_refuses_what_the_real_one_refuses() -> None:
    gpio = SimulatedGpio()
    with pytest.raises(RuntimeError, match="pin numbering mode"):
        gpio.setup(RELAY, gpio.OUT)
    gpio.setmode(gpio.BCM)
    with pytest.raises(ValueError, match="different mode"):
        gpio.setmode(gpio.BOARD)
    with pytest.raises(RuntimeError, match="not been set up as an OUTPUT"):
        gpio.output(RELAY, gpio.HIGH)
    with pytest.raises(RuntimeError, match="must setup"):
        gpio.input(RELAY)
    with pytest.raises(ValueError, match="invalid on a Raspberry Pi"):
        gpio.setup(54, gpio.IN)
    with pytest.raises(ValueError, match="not valid for inputs"):
        gpio.setup(RELAY, gpio.IN, initial=gpio.HIGH)
