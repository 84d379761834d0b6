"""A simulator of the lgpio library and of the chip below it, for the real package rpi-lgpio.

It behaves as lgpio 0.2 and the kernels of a Pi were read to: a line belongs to the process that
claimed it, until that process ends in whatever way, and then keeps the level it was driven to;
setting up as an output what is one already leaves its level alone; errors are raised with the
library's words. Not simulated: alerts, PWM, groups, debouncing, several chips.

One chip may be shared by several processes through a file: it holds a byte each for what drives a
line, its level, its pull and the level from outside, and the claims are locks on it, which the
kernel drops with their process. Beside it every change of an output is written down.
"""

import fcntl
import importlib
import mmap
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from agent.adapters.gpio import Gpio

LINES = 54
OUTPUT, LEVEL, PULL, DRIVEN = range(4)
UNDRIVEN = 2
PI_5 = "c04170"


class LgpioError(Exception):
    """lgpio.error, which shows its words in quotes."""

    def __init__(self, value: str) -> None:
        super().__init__(value)
        self.value = value

    def __str__(self) -> str:
        return repr(self.value)


class SimulatedLgpio:
    """The module lgpio, over one chip. path: of the file that other processes share.

    history, broken, failures and chip_error are those of tests.simulated_gpio.
    """

    SET_PULL_UP, SET_PULL_DOWN, SET_PULL_NONE = 32, 64, 128
    BAD_HANDLE, BAD_GPIO_NUMBER, GPIO_BUSY, GPIO_NOT_ALLOCATED = -5, -73, -79, -80
    TEXTS = {  # noqa: RUF012 - read only
        BAD_HANDLE: "unknown handle",
        BAD_GPIO_NUMBER: "bad GPIO number",
        GPIO_BUSY: "GPIO busy",
        GPIO_NOT_ALLOCATED: "GPIO not allocated",
    }
    error = LgpioError

    def __init__(self, path: Path | None = None) -> None:
        self.history: dict[int, list[int]] = {}
        self.broken: dict[int, str] = {}
        self.failures = 0
        self.chip_error: str | None = None
        self._claimed: set[int] = set()
        self._open = False
        self._lock = threading.RLock()
        self._file = -1
        self._timeline = -1
        if path is not None:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT)
            os.ftruncate(self._file, LINES * 4)
            appending = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            self._timeline = os.open(path.with_suffix(".timeline"), appending)
        self._registers = mmap.mmap(self._file, LINES * 4)
        for line in range(LINES):
            if not self._get(line, PULL):
                self._set(line, DRIVEN, UNDRIVEN)
                self._set(line, PULL, self.SET_PULL_NONE)

    # --- the library's own functions

    def error_text(self, number: int) -> str:
        return self.TEXTS[number]

    def gpiochip_open(self, _chip: int) -> int:
        if self.chip_error is not None:
            raise self.error(self.chip_error)
        self._open = True
        return 0

    def gpio_get_mode(self, handle: int, gpio: int) -> int:
        with self._using(handle, gpio):
            output = self._get(gpio, OUTPUT)
            claimed = gpio in self._claimed
            return (2 if output else 0) | ((512 if output else 256) if claimed else 0)

    def gpio_claim_input(self, handle: int, gpio: int, flags: int = 0) -> int:
        with self._using(handle, gpio):
            if gpio in self._claimed and not self._get(gpio, OUTPUT):
                return 0
            self._claim(gpio)
            self._set(gpio, OUTPUT, 0)
            self._set(gpio, PULL, flags)
            return 0

    def gpio_claim_output(self, handle: int, gpio: int, level: int = 0, _flags: int = 0) -> int:
        with self._using(handle, gpio):
            if gpio in self._claimed and self._get(gpio, OUTPUT):
                return 0
            self._claim(gpio)
            self._set(gpio, OUTPUT, 1)
            self._drive(gpio, level)
            return 0

    def gpio_free(self, handle: int, gpio: int) -> int:
        with self._using(handle, gpio):
            if gpio not in self._claimed:
                self._refuse(self.GPIO_NOT_ALLOCATED)
            self._claimed.discard(gpio)
            if self._file != -1:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, gpio)
            return 0

    def gpio_read(self, handle: int, gpio: int) -> int:
        with self._using(handle, gpio):
            if self._get(gpio, OUTPUT):
                return self._get(gpio, LEVEL)
            driven = self._get(gpio, DRIVEN)
            if driven != UNDRIVEN:
                return driven
            return int(self._get(gpio, PULL) == self.SET_PULL_UP)

    def gpio_write(self, handle: int, gpio: int, level: int) -> int:
        with self._using(handle, gpio):
            self._drive(gpio, level)
            return 0

    # --- the chip

    @contextmanager
    def _using(self, handle: int, gpio: int) -> Iterator[None]:
        with self._lock:
            if not (self._open and handle == 0):
                self._refuse(self.BAD_HANDLE)
            if not 0 <= gpio < LINES:
                self._refuse(self.BAD_GPIO_NUMBER)
            if gpio in self.broken:
                self.failures += 1
                raise self.error(self.broken[gpio])
            yield

    def _refuse(self, number: int) -> None:
        raise self.error(self.error_text(number))

    def _claim(self, gpio: int) -> None:
        if self._file != -1:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, gpio)
            except OSError:
                self._refuse(self.GPIO_BUSY)
        self._claimed.add(gpio)

    def _drive(self, gpio: int, level: int) -> None:
        self._set(gpio, LEVEL, int(bool(level)))
        self.history.setdefault(gpio, []).append(int(bool(level)))
        if self._timeline != -1:
            os.write(self._timeline, f"{time.monotonic()} {gpio} {int(bool(level))}\n".encode())

    def _get(self, gpio: int, what: int) -> int:
        return self._registers[gpio * 4 + what]

    def _set(self, gpio: int, what: int, value: int) -> None:
        self._registers[gpio * 4 + what] = value

    # --- what happens on the other side of the line

    def drive(self, channel: int, level: int | None) -> None:
        """Put an input at a level from outside; None lets its pull decide."""
        self._set(channel, DRIVEN, UNDRIVEN if level is None else level)

    def level(self, channel: int) -> int:
        """The level of an output, as a meter on the line would show."""
        return self._get(channel, LEVEL)


@contextmanager
def rpi_lgpio(chip: SimulatedLgpio) -> Iterator[Gpio]:
    """Import RPi.GPIO of the package rpi-lgpio afresh, on a chip, and count lines as BCM does."""
    names = ("lgpio", "RPi", "RPi.GPIO")
    before = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    sys.modules["lgpio"] = chip  # type: ignore[assignment]
    # On the kernel's simulated chip they are set for good, and other processes need them.
    settings = {"RPI_LGPIO_REVISION": PI_5, "RPI_LGPIO_CHIP": "0"}
    outside = {name: os.environ[name] for name in settings if name in os.environ}
    os.environ.update(settings)
    try:
        module = cast("Gpio", importlib.import_module("RPi.GPIO"))
        module.setwarnings(0)
        module.setmode(module.BCM)
        yield module
    finally:
        for name in settings:
            del os.environ[name]
        os.environ.update(outside)
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(before)


def timeline(path: Path, line: int) -> list[tuple[float, int]]:
    """What a line of a shared chip was driven to, and when in monotonic seconds."""
    written = path.with_suffix(".timeline").read_text(encoding="ascii").splitlines()
    changes = [change.split() for change in written]
    return [(float(at), int(level)) for at, number, level in changes if int(number) == line]
