"""What the door shows and sounds: LED and buzzer patterns, and the thread that plays them.

Nobody needs to tell colours apart, or to hear: each indication has a rhythm of its own. Nor does
anybody need to see: what ends a presentation or an enrolment has a sound of its own. Nothing
flashes more than three times in a second, which may set off seizures (WCAG 2.3.1).
"""

import logging
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, cycle
from types import MappingProxyType
from typing import TypeAlias

from agent.adapters.gpio import Gpio, using
from agent.config import Gpio as Lines
from agent.core.effects import Indication
from agent.errors import DeviceError

Step: TypeAlias = tuple[str, bool, float]
"""Colours that are lit, of "rgb"; whether the buzzer sounds; for how many seconds."""

DARK, RED, GREEN, BLUE, WHITE = "", "r", "g", "b", "rgb"
SHORT, LONG = 0.15, 0.6
GAP = 0.25

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pattern:
    """opening: played once. loop: then over and over, without sound."""

    loop: tuple[Step, ...]
    opening: tuple[Step, ...] = ()


def _lit(colour: str, *seconds: float) -> tuple[Step, ...]:
    """Light and dark in turn, beginning with light."""
    return tuple((DARK if n % 2 else colour, False, time) for n, time in enumerate(seconds))


def _beeps(colour: str, *seconds: float) -> tuple[Step, ...]:
    return tuple(step for time in seconds for step in ((colour, True, time), (DARK, False, GAP)))


_COLLECTING = _lit(WHITE, 1.5, 0.5)

PATTERNS: Mapping[Indication, Pattern] = MappingProxyType(
    {
        Indication.IDLE: Pattern(_lit(BLUE, 0.1, 4.9)),
        Indication.LOOKING: Pattern(_lit(BLUE, 0.8, 0.2)),
        Indication.COME_CLOSER: Pattern(_lit(BLUE, 0.4, 0.4)),
        Indication.LOOK_HERE: Pattern(_lit(BLUE, 0.15, 0.25, 0.15, 0.85)),
        Indication.MORE_LIGHT: Pattern(_lit(WHITE, 1.0, 1.0)),
        Indication.GRANTED: Pattern(_lit(GREEN, 1.0), _beeps(GREEN, LONG)),
        Indication.REFUSED: Pattern(_lit(RED, 0.2, 0.2), _beeps(RED, SHORT, SHORT, SHORT)),
        Indication.WAIT: Pattern(_lit(RED, 0.3, 1.7), _beeps(RED, LONG, LONG)),
        Indication.ENROLLING: Pattern(_COLLECTING, _beeps(WHITE, SHORT, SHORT)),
        Indication.FRAME_TAKEN: Pattern(_COLLECTING, _beeps(WHITE, SHORT)),
        Indication.TURN_A_LITTLE: Pattern(
            _lit(WHITE, 0.15, 0.25, 0.15, 0.25, 0.15, 0.85), _beeps(WHITE, SHORT, LONG)
        ),
        Indication.ENROLLED: Pattern(
            _lit(GREEN, 1.0, 0.2, 0.2, 0.2), _beeps(GREEN, SHORT, SHORT, LONG)
        ),
        Indication.NOT_ENROLLED: Pattern(_lit(RED, 0.6, 0.3), _beeps(RED, LONG, LONG, LONG)),
        Indication.FAULT: Pattern(_lit(RED, 3.0, 0.5)),
        Indication.IDENTIFY: Pattern(
            _lit(WHITE, *(0.2, 0.3) * 4, 0.2, 1.0), _beeps(WHITE, SHORT, SHORT, SHORT, SHORT)
        ),
    }
)


class GpioIndicator:
    """LED and buzzer on lines that are active high; implements ports.Indicator.

    Raises DeviceError where a line cannot be had. Later faults are only logged: a door that cannot
    show anything still opens.
    """

    def __init__(self, gpio: Gpio, lines: Lines) -> None:
        self._gpio = gpio
        self._colours = {"r": lines.led_red, "g": lines.led_green, "b": lines.led_blue}
        self._buzzer = lines.buzzer
        for line in (*self._colours.values(), self._buzzer):
            if line is not None:
                with using(line, "LED or buzzer"):
                    gpio.setup(line, gpio.OUT, initial=gpio.LOW)
        self._failing = False
        self._changed = threading.Condition()
        self._wanted: Indication | None = Indication.IDLE
        self._news = True
        self._thread = threading.Thread(target=self._run, name="indicator", daemon=True)
        self._thread.start()

    def show(self, indication: Indication) -> None:
        """Begin the indication's pattern now, in the background. Once closed, do nothing."""
        with self._changed:
            if self._wanted is not None:
                self._wanted, self._news = indication, True
                self._changed.notify()

    def light(self, *, on: bool) -> None:
        """Switch the light on or off, where there is one."""

    def close(self) -> None:
        """Go dark and silent; may be called again."""
        with self._changed:
            self._wanted = None
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        steps: Iterator[Step] = iter(())
        with self._changed:
            while self._wanted is not None:
                if self._news:
                    pattern = PATTERNS[self._wanted]
                    steps = chain(pattern.opening, cycle(pattern.loop))
                    self._news = False
                colours, sound, seconds = next(steps)
                self._set(colours, sound=sound)
                self._changed.wait(seconds)
            self._set(DARK, sound=False)

    def _set(self, colours: str, *, sound: bool) -> None:
        lit = {line: colour in colours for colour, line in self._colours.items()}
        try:
            for line, on in {**lit, self._buzzer: sound}.items():
                if line is not None:
                    with using(line, "LED or buzzer"):
                        self._gpio.output(line, self._gpio.HIGH if on else self._gpio.LOW)
        except DeviceError as error:
            if not self._failing:
                log.error("%s", error)
            self._failing = True
        else:
            self._failing = False
