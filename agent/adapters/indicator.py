"""What the door shows and sounds: LED and buzzer patterns, and the thread that plays them.

Nobody needs to tell colours apart, or to hear: each indication has a rhythm of its own. Nor does
anybody need to see: what ends a presentation or an enrolment has a sound of its own. Nothing
flashes more than three times in a second, which may set off seizures (WCAG 2.3.1). A key that is
pressed clicks and changes nothing else: who presses it feels it anyhow, and light for each would
flash as fast as somebody types.
"""

import logging
import threading
import time
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
PAUSE = 1.0
CLICK = 0.03
"""Seconds that the buzzer sounds for a key."""

PURPOSE = "LED, buzzer or light"

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


def _call(colour: str, *seconds: float) -> Pattern:
    """Ask for something: the same rhythm as a sound, and then over and over as light."""
    times = [time for each in seconds for time in (each, GAP)]
    return Pattern(_lit(colour, *times[:-1], PAUSE), _beeps(colour, *seconds))


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
        Indication.ENTER_PIN: _call(BLUE, LONG, SHORT),
        Indication.SHOW_FACE: _call(BLUE, LONG, SHORT, SHORT),
        Indication.WHO_ARE_YOU: _call(WHITE, LONG, LONG, SHORT),
        Indication.CHOOSE: _call(WHITE, SHORT, LONG, SHORT),
        Indication.CONFIRM: _call(RED, LONG, SHORT, LONG),
        Indication.CONFIRM_AGAIN: _call(RED, LONG, SHORT, LONG, SHORT),
        Indication.PAUSED: _call(BLUE, SHORT, LONG, LONG),
        Indication.RESUMED: _call(GREEN, SHORT, SHORT, LONG, SHORT),
        Indication.LEAVING: _call(RED, LONG, LONG, LONG, LONG),
        Indication.DOORBELL: _call(WHITE, SHORT, SHORT, LONG, LONG),
        Indication.TURN_LEFT: _call(WHITE, LONG, SHORT, SHORT, SHORT),
        Indication.TURN_RIGHT: _call(WHITE, LONG, LONG, SHORT, SHORT),
    }
)


class GpioIndicator:
    """LED, buzzer and light on lines that are active high; implements ports.Indicator.

    Raises DeviceError where a line cannot be had. Later faults are only logged: a door that cannot
    show anything still opens.
    """

    def __init__(self, gpio: Gpio, lines: Lines) -> None:
        self._gpio = gpio
        self._colours = {"r": lines.led_red, "g": lines.led_green, "b": lines.led_blue}
        self._buzzer = lines.buzzer
        self._light = lines.light
        for line in (*self._colours.values(), self._buzzer, self._light):
            if line is not None:
                with using(line, PURPOSE):
                    gpio.setup(line, gpio.OUT, initial=gpio.LOW)
        self._failing = False
        self._changed = threading.Condition()
        self._wanted: Indication | None = Indication.IDLE
        self._news = True
        self._clicks = False
        self._lit = False
        self._flash: bool | None = None
        self._thread = threading.Thread(target=self._run, name="indicator", daemon=True)
        self._thread.start()

    def show(self, indication: Indication) -> None:
        """Begin the indication's pattern now, in the background. Once closed, do nothing.

        A key clicks, and what is on show goes on.
        """
        with self._changed:
            if self._wanted is None:
                return
            if indication is Indication.KEY:
                self._clicks = True
            else:
                self._wanted, self._news = indication, True
            self._changed.notify()

    def light(self, *, on: bool) -> None:
        """Switch the light on or off, where there is one. Once closed, do nothing."""
        with self._changed:
            self._lit = on and self._wanted is not None
            self._changed.notify()

    def flash(self, *, on: bool | None) -> None:
        """Switch the light at once, whatever `light` says; None: as that says. Closed: do nothing.

        Raises DeviceError where there is none, and where its line fails.
        """
        with self._changed:
            self._flash = on if self._wanted is not None else None
            if self._light is None:
                if on is None:
                    return
                raise DeviceError("gpio: there is no light to flash: set [gpio] light")
            with using(self._light, PURPOSE):
                self._gpio.output(self._light, self._gpio.HIGH if self._burns else self._gpio.LOW)

    @property
    def _burns(self) -> bool:
        return self._lit if self._flash is None else self._flash

    def close(self) -> None:
        """Go dark and silent; may be called again."""
        with self._changed:
            self._wanted, self._lit, self._flash = None, False, None
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
                self._play(*next(steps))
            self._set(DARK, sound=False)

    def _play(self, colours: str, sound: bool, seconds: float) -> None:  # noqa: FBT001 - a step
        """Play one step until it is over or there is news."""
        until = time.monotonic() + seconds
        while not self._interrupted() and (left := until - time.monotonic()) > 0:
            if self._clicks:
                self._clicks = False
                self._set(colours, sound=True)
                self._changed.wait_for(self._interrupted, CLICK)
            else:
                self._set(colours, sound=sound)
                self._changed.wait(left)

    def _interrupted(self) -> bool:
        return self._news or self._wanted is None

    def _set(self, colours: str, *, sound: bool) -> None:
        lit = {line: colour in colours for colour, line in self._colours.items()}
        try:
            for line, on in {**lit, self._buzzer: sound, self._light: self._burns}.items():
                if line is not None:
                    with using(line, PURPOSE):
                        self._gpio.output(line, self._gpio.HIGH if on else self._gpio.LOW)
        except DeviceError as error:
            if not self._failing:
                log.error("%s", error)
            self._failing = True
        else:
            self._failing = False
