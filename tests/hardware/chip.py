"""The kernel's simulated chip, gpio-sim, and the real rpi-lgpio and lgpio upon it.

As a plugin of pytest (`-p tests.hardware.chip`) it makes this the one board that the contract tests
run over. gpiosim.service makes the chip.

A real line knows what pulls it from what drives it; gpio-sim has one pull for both. So what drives
a line from outside is put back whenever an adapter sets a pull.
"""

import contextlib
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from tests.contracts import boards
from tests.simulated_lgpio import SimulatedLgpio, rpi_lgpio

CONFIGURED = Path("/sys/kernel/config/gpio-sim/door")
LINES = 54
PULLS = {0: "pull-down", 1: "pull-up"}


def pytest_configure() -> None:
    boards.BOARDS = {"gpio-sim": kernel_board}


def _of_line(line: int) -> Path:
    device = (CONFIGURED / "dev_name").read_text(encoding="ascii").strip()
    chip = (CONFIGURED / "bank0/chip_name").read_text(encoding="ascii").strip()
    return Path("/sys/devices/platform", device, chip, f"sim_gpio{line}")


def level(line: int) -> int:
    """The level of a line, as a meter on it would show."""
    return int((_of_line(line) / "value").read_text(encoding="ascii"))


def pull(line: int, to: int) -> None:
    """Pull a line low or high."""
    (_of_line(line) / "pull").write_text(PULLS[to], encoding="ascii")


class KernelLgpio:
    """The module lgpio, watched, and made to fail where a test says so.

    history, broken, failures and chip_error are those of tests.simulated_gpio: history is what
    the chip itself shows.
    """

    def __init__(self) -> None:
        self.history: dict[int, list[int]] = {}
        self.broken: dict[int, str] = {}
        self.failures = 0
        self.chip_error: str | None = None
        self._lgpio: Any = importlib.import_module("lgpio")
        self._handles: list[int] = []
        self._pulls: dict[int, int] = {}
        self._driven: dict[int, int] = {}
        for line in range(LINES):
            pull(line, 0)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - lgpio has no types
        return getattr(self._lgpio, name)

    # --- the library's own functions

    def gpiochip_open(self, chip: int) -> int:
        if self.chip_error is not None:
            raise self._lgpio.error(self.chip_error)
        self._handles.append(self._lgpio.gpiochip_open(chip))
        return self._handles[-1]

    def gpio_get_mode(self, handle: int, gpio: int) -> int:
        return self._unless_broken(gpio, lambda: self._lgpio.gpio_get_mode(handle, gpio))

    def gpio_claim_input(self, handle: int, gpio: int, flags: int = 0) -> int:
        claimed = self._unless_broken(
            gpio, lambda: self._lgpio.gpio_claim_input(handle, gpio, flags)
        )
        self._pulls[gpio] = int(flags == self._lgpio.SET_PULL_UP)
        self._settle(gpio)
        return claimed

    def gpio_claim_output(self, handle: int, gpio: int, level: int = 0, flags: int = 0) -> int:
        claimed = self._unless_broken(
            gpio, lambda: self._lgpio.gpio_claim_output(handle, gpio, level, flags)
        )
        # A line that is driven already keeps its level, which is no news.
        if self.history.get(gpio, [])[-1:] != [self.level(gpio)]:
            self._note(gpio)
        return claimed

    def gpio_read(self, handle: int, gpio: int) -> int:
        return self._unless_broken(gpio, lambda: self._lgpio.gpio_read(handle, gpio))

    def gpio_write(self, handle: int, gpio: int, level: int) -> int:
        written = self._unless_broken(gpio, lambda: self._lgpio.gpio_write(handle, gpio, level))
        self._note(gpio)
        return written

    def _unless_broken(self, gpio: int, use: Callable[[], int]) -> int:
        if gpio in self.broken:
            self.failures += 1
            raise self._lgpio.error(self.broken[gpio])
        return use()

    def _note(self, gpio: int) -> None:
        self.history.setdefault(gpio, []).append(level(gpio))

    # --- what happens on the other side of the line

    def drive(self, channel: int, to: int | None) -> None:
        """Put an input at a level from outside; None lets its pull decide."""
        if to is None:
            self._driven.pop(channel, None)
        else:
            self._driven[channel] = to
        self._settle(channel)

    def level(self, channel: int) -> int:
        return level(channel)

    def _settle(self, channel: int) -> None:
        pull(channel, self._driven.get(channel, self._pulls.get(channel, 0)))

    def close(self) -> None:
        """Give the lines back."""
        for handle in self._handles:
            with contextlib.suppress(self._lgpio.error):
                self._lgpio.gpiochip_close(handle)


@contextmanager
def kernel_board() -> Iterator[boards.Board]:
    """Import RPi.GPIO afresh, on the kernel's chip."""
    chip = KernelLgpio()
    alike = cast("SimulatedLgpio", chip)
    try:
        with rpi_lgpio(alike) as gpio:
            yield boards.Board(gpio, alike)
    finally:
        chip.close()
