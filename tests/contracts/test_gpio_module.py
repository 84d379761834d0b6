"""Loading RPi.GPIO: where there is none, where it does not work, and where it does."""

import sys
from types import ModuleType

import pytest

from agent.adapters.gpio import open_gpio
from agent.errors import DeviceError
from tests.simulated_gpio import SimulatedGpio


def install(gpio: SimulatedGpio, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a package RPi that has this GPIO before any that is installed."""
    package = ModuleType("RPi")
    package.__dict__["GPIO"] = gpio
    monkeypatch.setitem(sys.modules, "RPi", package)


def test_a_module_that_works_is_set_to_count_as_bcm_does(monkeypatch: pytest.MonkeyPatch) -> None:
    install(SimulatedGpio(), monkeypatch)
    gpio = open_gpio()
    gpio.setup(17, gpio.OUT, initial=gpio.HIGH)
    assert gpio.input(17) == gpio.HIGH


def test_a_missing_module_is_told_in_one_line_with_the_mend(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "RPi", None)
    missing = r"^gpio: RPi\.GPIO is not installed: sudo apt install python3-rpi-lgpio$"
    with pytest.raises(DeviceError, match=missing):
        open_gpio()


def test_a_machine_that_is_no_pi_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> object:
        raise RuntimeError("This module can only be run on a Raspberry Pi!")

    package = ModuleType("RPi")
    package.__dict__["__getattr__"] = refuse
    monkeypatch.setitem(sys.modules, "RPi", package)
    with pytest.raises(DeviceError, match=r"^gpio: This module can only .*: run this on a"):
        open_gpio()


def test_a_chip_that_may_not_be_opened_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(SimulatedGpio(chip_error="can not open gpiochip"), monkeypatch)
    with pytest.raises(DeviceError, match=r"can not open gpiochip: .*group gpio"):
        open_gpio()
