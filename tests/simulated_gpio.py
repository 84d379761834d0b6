"""A simulator of the RPi.GPIO module, as far as Doorward uses it.

It behaves as rpi-lgpio 0.6 was read to: levels are kept per line, misuse raises the same errors
with the same words, a line that was never set up can be neither read nor driven, an output that is
set up again keeps its level, and an input reads its pull unless something outside drives it. Not
simulated: edges, PWM, the board's own numbering.
"""

import threading
from dataclasses import dataclass, field

LINES = 54


class LineError(Exception):
    """Stands for lgpio.error, which is no RuntimeError."""


@dataclass
class Line:
    output: bool
    level: int
    pull: int
    driven: int | None = None


@dataclass
class SimulatedGpio:
    """One chip. history: each level an output took, by line, from its set-up on.

    broken: lines whose next uses fail, with the words of the error. failures: how many such uses
    there were. chip_error: why the chip itself cannot be opened.
    """

    BOARD: int = 10
    BCM: int = 11
    OUT: int = 0
    IN: int = 1
    LOW: int = 0
    HIGH: int = 1
    PUD_OFF: int = 20
    PUD_DOWN: int = 21
    PUD_UP: int = 22

    history: dict[int, list[int]] = field(default_factory=dict)
    broken: dict[int, str] = field(default_factory=dict)
    failures: int = 0
    chip_error: str | None = None
    _mode: int | None = None
    _lines: dict[int, Line] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    # --- the module's own functions

    def setwarnings(self, value: int, /) -> None: ...

    def setmode(self, mode: int, /) -> None:
        if self._mode not in {None, mode}:
            raise ValueError("A different mode has already been set!")
        if mode not in {self.BOARD, self.BCM}:
            raise ValueError("An invalid mode was passed to setmode()")
        if self.chip_error is not None:
            raise LineError(self.chip_error)
        self._mode = mode

    def setup(
        self,
        channel: int,
        direction: int,
        *,
        pull_up_down: int = 20,
        initial: int | None = None,
    ) -> None:
        if direction == self.OUT and pull_up_down != self.PUD_OFF:
            raise ValueError("pull_up_down parameter is not valid for outputs")
        if direction == self.IN and initial is not None:
            raise ValueError("initial parameter is not valid for inputs")
        if direction not in {self.OUT, self.IN}:
            raise ValueError("An invalid direction was passed to setup()")
        with self._lock:
            self._check(channel)
            before = self._lines.get(channel)
            if direction == self.IN:
                driven = before.driven if before is not None else None
                self._lines[channel] = Line(False, self.LOW, pull_up_down, driven)
                return
            if before is not None and before.output:
                return
            level = self.LOW if initial is None else int(bool(initial))
            self._lines[channel] = Line(True, level, self.PUD_OFF)
            self.history.setdefault(channel, []).append(level)

    def output(self, channel: int, value: int, /) -> None:
        with self._lock:
            self._check(channel)
            line = self._lines.get(channel)
            if line is None or not line.output:
                raise RuntimeError("The GPIO channel has not been set up as an OUTPUT")
            line.level = int(bool(value))
            self.history[channel].append(line.level)

    def input(self, channel: int, /) -> int:
        with self._lock:
            self._check(channel)
            line = self._lines.get(channel)
            if line is None:
                raise RuntimeError("You must setup() the GPIO channel first")
            if line.output:
                return line.level
            if line.driven is not None:
                return line.driven
            return self.HIGH if line.pull == self.PUD_UP else self.LOW

    def _check(self, channel: int) -> None:
        if self._mode is None:
            raise RuntimeError(
                "Please set pin numbering mode using GPIO.setmode(GPIO.BOARD) or "
                "GPIO.setmode(GPIO.BCM)"
            )
        if not 0 <= channel < LINES:
            raise ValueError("The channel sent is invalid on a Raspberry Pi")
        if channel in self.broken:
            self.failures += 1
            raise LineError(self.broken[channel])

    # --- what happens on the other side of the line

    def drive(self, channel: int, level: int | None) -> None:
        """Put an input at a level from outside; None lets its pull decide."""
        with self._lock:
            self._lines[channel].driven = level

    def level(self, channel: int) -> int:
        """The level of an output, as a meter on the line would show."""
        return self._lines[channel].level


def simulated_gpio() -> SimulatedGpio:
    """Give a chip whose lines are counted as BCM does."""
    gpio = SimulatedGpio()
    gpio.setmode(gpio.BCM)
    return gpio
