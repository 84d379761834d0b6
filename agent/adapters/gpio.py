"""The lines of the Raspberry Pi, through the RPi.GPIO module that rpi-lgpio provides.

Its `cleanup` is never called: it leaves lines floating, and a floating line may release the door. A
closed output stays driven at its resting level until the process ends.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from math import ceil
from typing import Protocol, cast

from agent.adapters.pulse import Pulse
from agent.adapters.switches import Debounce, EnrolButton, Push, Sensor, State
from agent.config import Gpio as Lines, Switch
from agent.core.inputs import ContactChanged, ExitPressed, Input, Rung, TamperChanged
from agent.core.types import SubjectId
from agent.errors import DeviceError
from agent.ports import Post

SAMPLE_EVERY = 0.02
"""Seconds between two looks at a line."""

log = logging.getLogger(__name__)


class Gpio(Protocol):
    """What is used of the module RPi.GPIO."""

    BCM: int
    IN: int
    OUT: int
    LOW: int
    HIGH: int
    PUD_OFF: int
    PUD_DOWN: int
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
        message = (
            f"gpio: line {line} ({purpose}): {error}: "
            "check the wiring and [gpio], and that no other program has the line"
        )
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
            # lgpio leaves the level of a line alone that this process drives already.
            gpio.output(self._line, off)
        super().__init__(on=lambda: self._drive(on), off=lambda: self._drive(off))

    def _drive(self, level: int) -> None:
        with using(self._line, "relay"):
            self._gpio.output(self._line, level)


class _Watched:
    """One line that is sampled, and what its levels mean."""

    def __init__(self, gpio: Gpio, key: str, switch: Switch, sensor: Sensor) -> None:
        self._gpio = gpio
        self._line = switch.line
        self._purpose = key.replace("_", " ")
        self._active = gpio.LOW if switch.active == "low" else gpio.HIGH
        self._debounce = Debounce(1 + ceil(switch.debounce_ms / 1000 / SAMPLE_EVERY))
        self._sensor = sensor
        pulls = {"up": gpio.PUD_UP, "down": gpio.PUD_DOWN, "off": gpio.PUD_OFF}
        with using(self._line, self._purpose):
            gpio.setup(self._line, gpio.IN, pull_up_down=pulls[switch.pull])

    def look(self, at: float) -> Input | None:
        """Take one sample. Raises DeviceError; what is down after that was not pushed."""
        try:
            with using(self._line, self._purpose):
                active = self._gpio.input(self._line) == self._active
        except DeviceError:
            self._sensor.sample(at, active=self._debounce.settle(active=None))
            raise
        return self._sensor.sample(at, active=self._debounce.settle(active=active))


class GpioInputs:
    """Buttons, door contact and tamper loop; implements ports.Inputs.

    Lines are sampled rather than told of by edges: RPi.GPIO's edges fail on kernels from 6.6, and
    rpi-lgpio debounces them differently.

    hold_seconds: how long the enrol button is to be held. new_subject: makes the id that an
    enrolment would give. monotonic: reads a clock in seconds. Raises DeviceError for a line it
    cannot have.
    """

    def __init__(
        self,
        gpio: Gpio,
        lines: Lines,
        hold_seconds: float,
        new_subject: Callable[[], SubjectId],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        sensors: dict[str, Sensor] = {
            "enrol_button": EnrolButton(hold_seconds, new_subject),
            "exit_button": Push(ExitPressed()),
            "doorbell": Push(Rung()),
            "contact": State(ContactChanged, told=None),
            "tamper": State(TamperChanged, told=False),
        }
        self._watched = [
            _Watched(gpio, key, switch, sensors[key]) for key, switch in lines.switches.items()
        ]
        self._monotonic = monotonic
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, post: Post) -> None:
        """Post what happens from now on, and the state that the door itself is found in."""
        if not self._watched or self._thread is not None:
            return
        self._thread = threading.Thread(
            target=self._watch, args=(post,), name="inputs", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop posting; may be called again."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self, post: Post) -> None:
        failing: set[_Watched] = set()
        while not self._closing.wait(SAMPLE_EVERY):
            for watched in self._watched:
                try:
                    happened = watched.look(self._monotonic())
                    if happened is not None:
                        post(happened)
                    failing.discard(watched)
                except Exception as error:  # noqa: BLE001 - the other lines are still to be read
                    # Without a button the door still opens by face.
                    if watched not in failing:
                        log.error("%s", error)
                    failing.add(watched)
