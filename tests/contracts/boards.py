"""The two boards that the adapters of the Pi's lines are tried on, and a look behind them."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TypeAlias

import pytest

from agent.adapters.gpio import Gpio
from tests.simulated_gpio import SimulatedGpio, simulated_gpio
from tests.simulated_lgpio import SimulatedLgpio, rpi_lgpio


def require_rpi_lgpio() -> None:
    """Skip the test where the package is not installed, but never unnoticed in CI."""
    missing = "rpi-lgpio is not installed: make venv on Python 3.11 or 3.12"
    try:
        version("rpi-lgpio")
    except PackageNotFoundError:
        # pip finds no lgpio that works for the Pythons from 3.13 on.
        if sys.version_info < (3, 13) and os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)


@dataclass
class Board:
    """What an adapter is given, and the chip below it: levels, history, faults."""

    gpio: Gpio
    chip: SimulatedGpio | SimulatedLgpio


@contextmanager
def _simulated() -> Iterator[Board]:
    gpio = simulated_gpio()
    yield Board(gpio, gpio)


@contextmanager
def _real_package() -> Iterator[Board]:
    require_rpi_lgpio()
    chip = SimulatedLgpio()
    with rpi_lgpio(chip) as gpio:
        yield Board(gpio, chip)


MakeBoard: TypeAlias = Callable[[], AbstractContextManager[Board]]
BOARDS: Mapping[str, MakeBoard] = {
    "simulated GPIO": _simulated,
    "rpi-lgpio": _real_package,
}
