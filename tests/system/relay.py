"""Agents and commands of their own processes at one chip: python -m tests.system.relay CHIP WORDS.

What they drive is the real package rpi-lgpio over a simulated lgpio (tests.simulated_lgpio), whose
lines, as those of a Pi, keep their level when a process dies. WORDS: those of the command line, or
`pulse SECONDS`, which releases the door, says so, and then does what the next word says: `wait` for
its end, `hang` in a loop that never sleeps, or `raise` in every thread and callback there is.
"""

import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

from agent.adapters.gpio import GpioInputs, GpioRelease, open_gpio
from agent.adapters.indicator import GpioIndicator
from agent.config import Gpio as Lines
from agent.core.effects import Indication
from agent.core.inputs import Input
from agent.core.types import Grant, Method, SubjectId
from tests.simulated_lgpio import SimulatedLgpio, rpi_lgpio

GRANT = Grant(SubjectId("s-1"), Method.FACE, 0.9, 0.0)
LINES = Lines(exit_button=22, contact=24)


def pulse(seconds: float, then: str) -> None:
    gpio = open_gpio()
    release = GpioRelease(gpio, LINES)
    inputs = GpioInputs(gpio, LINES, 2.0, lambda: SubjectId("s-2"))
    indicator = GpioIndicator(gpio, LINES)
    indicator.show(Indication.GRANTED)
    release.energise(GRANT, seconds)
    sys.stdout.write("released\n")
    sys.stdout.flush()
    if then == "wait":
        sys.stdin.read()
        return
    while then == "hang":
        pass
    inputs.start(_fail)
    threading.Thread(target=_fail).start()
    time.sleep(0.2)
    _fail()


def _fail(_: Input | None = None) -> NoReturn:
    raise ZeroDivisionError("a bug")


def main() -> None:
    chip, *words = sys.argv[1:]
    with rpi_lgpio(SimulatedLgpio(Path(chip))):
        if words[0] == "pulse":
            pulse(float(words[1]), words[2])
        else:
            # Loading all commands takes a while, and who releases the door needs none.
            from agent.cli import main as command_line  # noqa: PLC0415

            command_line(words)


if __name__ == "__main__":
    main()
