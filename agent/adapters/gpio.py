"""The lines of the Raspberry Pi, through the RPi.GPIO module that rpi-lgpio provides.

Its `cleanup` is never called: it leaves lines floating, and a floating line may release the door. A
closed output stays driven at its resting level until the process ends.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from enum import Enum, auto
from typing import Protocol, cast

from agent.adapters.pulse import Pulse
from agent.config import Gpio as Lines
from agent.core.inputs import EnrolButtonHeld, EnrolButtonPressed
from agent.core.types import SubjectId
from agent.errors import DeviceError
from agent.ports import Post

SAMPLE_EVERY = 0.02
"""Seconds between two looks at a button; contacts bounce for less."""

log = logging.getLogger(__name__)


class Gpio(Protocol):
    """What is used of the module RPi.GPIO."""

    BCM: int
    IN: int
    OUT: int
    LOW: int
    HIGH: int
    PUD_UP: int

    def setwarnings(self, value: int, /) -> None:
        """Have it warn of lines that are in use, or not."""
        ...

    def setmode(self, mode: int, /) -> None:
        """Settle how lines are counted."""
        ...

    def setup(
        self, channel: int, direction: int, *, pull_up_down: int = ..., initial: int = ...
    ) -> None:
        """Make a line an input or an output."""
        ...

    def output(self, channel: int, value: int, /) -> None:
        """Drive an output."""
        ...

    def input(self, channel: int, /) -> int:
        """Read a line's level."""
        ...


def open_gpio() -> Gpio:
    """Load RPi.GPIO and have it count lines as BCM does. Raises DeviceError."""
    try:
        from RPi import GPIO

        gpio = cast("Gpio", GPIO)
        gpio.setwarnings(0)
        gpio.setmode(gpio.BCM)
    except ImportError:
        message = "gpio: RPi.GPIO is not installed: sudo apt install python3-rpi-lgpio"
        raise DeviceError(message) from None
    except Exception as error:
        # RuntimeError away from a Pi, lgpio.error for the chip, OSError for lgpio's own pipe, which
        # it makes in the working directory.
        message = (
            f"gpio: {error}: run this on a Raspberry Pi, as a member of group gpio, "
            "in a folder it may write to"
        )
        raise DeviceError(message) from error
    return gpio


@contextlib.contextmanager
def using(line: int, purpose: str) -> Iterator[None]:
    """Make whatever RPi.GPIO raises a DeviceError that names the line and its purpose."""
    try:
        yield
    except Exception as error:
        # RPi.GPIO raises RuntimeError and ValueError; rpi-lgpio adds lgpio.error, an Exception.
        message = f"gpio: line {line} ({purpose}): {error}: check the wiring and [gpio]"
        raise DeviceError(message) from error


class GpioRelease(Pulse):
    """The relay; implements ports.Release. Raises DeviceError where its line cannot be had."""

    def __init__(self, gpio: Gpio, lines: Lines) -> None:
        self._gpio = gpio
        self._line = lines.relay
        off, on = gpio.LOW, gpio.HIGH
        if not lines.relay_active_high:
            off, on = on, off
        with using(self._line, "relay"):
            gpio.setup(self._line, gpio.OUT, initial=off)
        super().__init__(on=lambda: self._drive(on), off=lambda: self._drive(off))

    def _drive(self, level: int) -> None:
        with using(self._line, "relay"):
            self._gpio.output(self._line, level)


class Push(Enum):
    """What somebody did to a button."""

    SHORT = auto()
    HELD = auto()


class Button:
    """Tells a short push from a held one, by samples. hold_seconds: from which on it is held."""

    def __init__(self, hold_seconds: float) -> None:
        self._hold_seconds = hold_seconds
        self._seen_down = False
        self._down_at: float | None = None
        # A button that is stuck or shorted when the door starts has not been pushed by anybody.
        self._spent = True

    def sample(self, at: float, *, down: bool) -> Push | None:
        """Take one sample; a level counts once two in a row agree. at: monotonic seconds."""
        settled = down == self._seen_down
        self._seen_down = down
        if not settled:
            return None
        if not down:
            short = self._down_at is not None and not self._spent
            self._down_at, self._spent = None, False
            return Push.SHORT if short else None
        if self._down_at is None:
            self._down_at = at
        if self._spent or not at - self._down_at >= self._hold_seconds:
            return None
        self._spent = True
        return Push.HELD


class GpioInputs:
    """The enrol button; implements ports.Inputs.

    Buttons are sampled rather than told of by edges: RPi.GPIO's edges fail on kernels from 6.6, and
    rpi-lgpio debounces them differently.

    hold_seconds: how long the button is to be held. new_subject: makes the id that an enrolment
    would give. monotonic: reads a clock in seconds. Raises DeviceError for a line it cannot have.
    """

    def __init__(
        self,
        gpio: Gpio,
        lines: Lines,
        hold_seconds: float,
        new_subject: Callable[[], SubjectId],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gpio = gpio
        self._line = lines.enrol_button
        self._button = Button(hold_seconds)
        self._new_subject = new_subject
        self._monotonic = monotonic
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        if self._line is not None:
            with using(self._line, "enrol button"):
                gpio.setup(self._line, gpio.IN, pull_up_down=gpio.PUD_UP)

    def start(self, post: Post) -> None:
        """Post EnrolButtonHeld once per hold, and EnrolButtonPressed after a shorter push."""
        if self._line is None or self._thread is not None:
            return
        self._thread = threading.Thread(
            target=self._watch, args=(self._line, post), name="inputs", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop posting; may be called again."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self, line: int, post: Post) -> None:
        failing = False
        while not self._closing.wait(SAMPLE_EVERY):
            try:
                with using(line, "enrol button"):
                    down = self._gpio.input(line) == self._gpio.LOW
                failing = False
            except DeviceError as error:
                # Without the button nobody is enrolled here, but the door still opens.
                if not failing:
                    log.error("%s", error)
                failing = True
                continue
            push = self._button.sample(self._monotonic(), down=down)
            if push is Push.HELD:
                post(EnrolButtonHeld(self._new_subject()))
            elif push is Push.SHORT:
                post(EnrolButtonPressed())
