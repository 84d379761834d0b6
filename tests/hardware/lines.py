"""What the contract tests of the lines cannot see in one process, at the kernel's simulated chip.

gpio-sim gives a line back to its pull when the process dies that drove it, where the kernel of a Pi
keeps its level. So the relay's line is pulled high here: what a killed process leaves stays high,
as it does on a Pi, and whoever locks must drive the line low.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.config import Gpio as Lines
from tests.contracts.waiting import eventually
from tests.hardware.chip import level, pull

RELAY = Lines().relay
HOLDER = """
import sys
from agent.adapters.gpio import GpioRelease, open_gpio
from agent.config import Gpio
from agent.core.types import Grant, Method, SubjectId
release = GpioRelease(open_gpio(), Gpio())
release.energise(Grant(SubjectId("s-1"), Method.FACE, 0.9, 0.0), float(sys.argv[1]))
print("released", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _left_alone() -> Iterator[None]:
    pull(RELAY, 0)
    yield
    pull(RELAY, 0)


@contextmanager
def holder(seconds: float) -> Iterator[subprocess.Popen[str]]:
    """A process that releases the door, and then waits for its standard input to end."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "released\n"
        yield process
        process.kill()


def lock(state: Path) -> "subprocess.Popen[str]":
    config = state / "doorward.toml"
    config.write_text(f'state_directory = "{state}"\n', encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-m", "agent", "--config", str(config), "lock"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def lowest_until_end(process: "subprocess.Popen[str]") -> int:
    """The lowest level that a meter on the relay's line saw until the process ended."""
    lowest = 1
    while process.poll() is None:
        lowest = min(lowest, level(RELAY))
        time.sleep(0.0005)
    return lowest


def test_the_pulse_drives_the_chip_and_ends() -> None:
    began = time.monotonic()
    with holder(3.0):
        assert level(RELAY) == 1
        assert eventually(lambda: level(RELAY) == 0)
        assert time.monotonic() - began >= 3.0


def test_the_line_goes_low_when_the_process_ends_in_order() -> None:
    with holder(30.0) as process:
        pull(RELAY, 1)
        assert process.stdin is not None
        process.stdin.close()
        assert lowest_until_end(process) == 0


def test_a_killed_agents_line_is_locked_by_doorward_lock(tmp_path: Path) -> None:
    with holder(30.0) as process:
        pull(RELAY, 1)
        process.kill()
        process.wait()
    assert level(RELAY) == 1  # as a Pi would leave it
    with lock(tmp_path) as locking:
        assert lowest_until_end(locking) == 0
        assert locking.stdout is not None
        assert "locked" in locking.stdout.read()
    assert locking.returncode == 0


def test_what_another_process_drives_is_refused_in_one_line(tmp_path: Path) -> None:
    with holder(30.0) as process:
        refused = lock(tmp_path)
        told = refused.communicate(timeout=120)[0]
        assert refused.returncode == 2
        assert told.count("\n") == 1
        assert "line 17 (relay): 'GPIO busy'" in told
        assert level(RELAY) == 1
        os.kill(process.pid, signal.SIGKILL)


def test_a_stopped_process_is_the_one_thing_that_outlasts_its_pulse() -> None:
    """So a watchdog kills it, and a one-shot in hardware is asked for in docs/hardware.md."""
    with holder(1.0) as process:
        process.send_signal(signal.SIGSTOP)
        time.sleep(3.0)
        assert level(RELAY) == 1
        process.send_signal(signal.SIGCONT)
        assert eventually(lambda: level(RELAY) == 0)
