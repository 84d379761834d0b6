"""The simulators: a door under a clock that the test moves, and the chip's own rules."""

import json
import subprocess
import sys
from inspect import signature
from pathlib import Path

import pytest

from agent.adapters.simulated import SimulatedDoor
from agent.core.types import Grant, Method, SubjectId
from tests.contracts.boards import require_rpi_lgpio
from tests.contracts.clocks import MovedClock
from tests.simulated_gpio import SimulatedGpio
from tests.simulated_lgpio import SimulatedLgpio, timeline

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


def test_the_simulated_lgpio_has_the_words_numbers_and_parameters_of_the_real_one(
    tmp_path: Path,
) -> None:
    require_rpi_lgpio()
    functions = ["gpiochip_open", "gpio_get_mode", "gpio_claim_input", "gpio_claim_output"]
    functions += ["gpio_free", "gpio_read", "gpio_write", "error_text"]
    names = [name for name in vars(SimulatedLgpio) if name.isupper() and name != "TEXTS"]
    program = f"""
import inspect, json, lgpio
numbers = {{name: getattr(lgpio, name) for name in {names}}}
print(json.dumps([
    numbers,
    {{number: lgpio.error_text(number) for number in numbers.values() if number < 0}},
    {{name: len(inspect.signature(getattr(lgpio, name)).parameters) for name in {functions}}},
    str(lgpio.error("GPIO busy")),
]))
"""
    # The real library makes a pipe in the folder it is started in.
    asked = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    numbers, texts, parameters, shown = json.loads(asked.stdout)
    simulated = SimulatedLgpio()
    assert numbers == {name: getattr(simulated, name) for name in names}
    assert texts == {str(number): text for number, text in SimulatedLgpio.TEXTS.items()}
    assert parameters == {
        name: len(signature(getattr(simulated, name)).parameters) for name in functions
    }
    assert shown == str(simulated.error("GPIO busy"))


def test_a_line_of_the_shared_chip_belongs_to_one_process_and_outlives_it(tmp_path: Path) -> None:
    path = tmp_path / "chip"
    meter = SimulatedLgpio(path)
    program = f"""
import sys
from pathlib import Path
from tests.simulated_lgpio import SimulatedLgpio
chip = SimulatedLgpio(Path({str(path)!r}))
chip.gpiochip_open(0)
chip.gpio_claim_output(0, {RELAY}, 1)
print("claimed", flush=True)
sys.stdin.read()
"""
    owner = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"claimed\n"
    meter.gpiochip_open(0)
    with pytest.raises(meter.error, match="GPIO busy"):
        meter.gpio_claim_output(0, RELAY, 0)
    owner.kill()
    owner.communicate()
    assert meter.level(RELAY) == 1
    meter.gpio_claim_output(0, RELAY, 0)
    assert [level for _, level in timeline(path, RELAY)] == [1, 0]
