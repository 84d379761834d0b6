"""The two boards that the adapters of the Pi's lines are tried on, and a look behind them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from agent.adapters.gpio import Gpio
from tests.simulated_gpio import SimulatedGpio, simulated_gpio
from tests.simulated_lgpio import SimulatedLgpio, require_rpi_lgpio, rpi_lgpio


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
