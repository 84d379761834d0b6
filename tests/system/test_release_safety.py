"""Whatever becomes of the agent, the release does not outlast its pulse, and no fault opens.

The lines are those of the real package rpi-lgpio on a chip that several processes share and that
keeps a level when the process dies that drove it, as a Pi does. What only a clock outside the
process can end, since a process that is stopped or dead measures nothing, is shown as it is: the
wiring of docs/hardware.md has one.
"""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pytest

from agent import app
from agent.adapters import driven
from agent.adapters.clock import SystemClock
from agent.adapters.frames import Replay
from agent.adapters.simulated import SimulatedDoor
from agent.config import Config, Gpio
from agent.core.types import Grant, LockState, Method, Now, SubjectId
from tests.contracts.boards import require_rpi_lgpio
from tests.contracts.waiting import eventually
from tests.core.people import somebody
from tests.simulated_gpio import simulated_gpio
from tests.simulated_lgpio import timeline
from tests.system.actors import RELEASE_SECONDS, Agent
from tests.system.computer import SECONDS

RELAY = 17
ADA, EVE = somebody("ada"), somebody("eve")
GRANT = Grant(SubjectId("s-1"), Method.FACE, 0.9, 0.0)


@dataclass
class Site:
    """A door, its chip, and the processes at it."""

    folder: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def chip(self) -> Path:
        return self.folder / "chip"

    def start(self, *words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.system.relay", str(self.chip), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"HOME": str(self.folder), "STATE_DIRECTORY": str(self.folder)},
        )
        self.started.append(process)
        return process

    def release(self, seconds: float, then: str) -> subprocess.Popen[str]:
        """Have a process release the door, and wait until it has."""
        process = self.start("pulse", str(seconds), then)
        assert process.stdout is not None
        assert process.stdout.readline() == "released\n"
        return process

    def type(self, *words: str) -> tuple[int, str, str]:
        """Give the exit code of a command, what it printed, and what it complained of."""
        process = self.start(*words)
        out, err = process.communicate(timeout=SECONDS)
        return process.returncode, out, err

    def changes(self) -> list[int]:
        """Give the levels that the relay's line went through, without repetitions."""
        levels = [level for _, level in timeline(self.chip, RELAY)]
        return [now for before, now in zip([None, *levels], levels, strict=False) if now != before]

    def released_for(self) -> float:
        """Give the seconds of the one pulse there was."""
        changes = timeline(self.chip, RELAY)
        on_at = next(at for at, level in changes if level)
        return next(at for at, level in changes if at > on_at and not level) - on_at


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    require_rpi_lgpio()
    site = Site(tmp_path)
    yield site
    for process in site.started:
        process.kill()
        process.communicate()


# --- the process --------------------------------------------------------------------------------


def test_it_locks_while_the_thread_that_decides_hangs(site: Site) -> None:
    site.release(1.0, "hang")
    assert eventually(lambda: site.changes() == [0, 1, 0])
    assert 1.0 <= site.released_for() < 5.0


def test_it_locks_though_everything_else_raises(site: Site) -> None:
    process = site.release(30.0, "raise")
    process.communicate(timeout=SECONDS)
    assert site.changes() == [0, 1, 0]
    assert site.released_for() < 10.0


def test_a_stopped_agent_locks_as_soon_as_it_goes_on(site: Site) -> None:
    process = site.release(1.0, "wait")
    process.send_signal(signal.SIGSTOP)
    time.sleep(1.5)
    # Here the monostable of docs/hardware.md has to lock, and the watchdog to end the agent.
    assert site.changes() == [0, 1]
    process.send_signal(signal.SIGCONT)
    assert eventually(lambda: site.changes() == [0, 1, 0])


def test_after_an_agent_that_was_killed_the_lock_command_locks(site: Site) -> None:
    process = site.release(30.0, "wait")
    process.kill()
    process.wait(SECONDS)
    assert site.changes() == [0, 1]
    code, out, err = site.type("lock")
    assert (code, err) == (0, "")
    assert out == "The relay's line 17 is at rest: the door is locked.\n"
    assert site.changes() == [0, 1, 0]


def test_the_lock_command_knows_which_level_is_rest(site: Site) -> None:
    config = site.folder / "doorward.toml"
    config.write_text("[gpio]\nrelay = 4\nrelay_active_high = false\n", encoding="utf-8")
    code, out, _ = site.type("--config", str(config), "lock", "--json")
    assert (code, out) == (0, '{"line":4,"locked":true}\n')
    assert {level for _, level in timeline(site.chip, 4)} == {1}


def test_the_lock_command_refuses_in_one_line_what_it_cannot_read(site: Site) -> None:
    config = site.folder / "doorward.toml"
    config.write_text("[gpio]\nrelay = 99\n", encoding="utf-8")
    code, out, err = site.type("--config", str(config), "lock")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "gpio.relay: Expected `int` <= 27" in err
    assert not site.chip.with_suffix(".timeline").read_text(encoding="ascii")


def test_the_lock_command_locks_the_line_that_was_driven_whatever_the_configuration_says_by_now(
    site: Site,
) -> None:
    driven.keep(site.folder, Gpio(relay=4, relay_active_high=False))
    config = site.folder / "doorward.toml"
    for text in ("[gpio]\nrelay = 21\n", "[gpio]\nrelay = 99\n"):
        config.write_text(text, encoding="utf-8")
        code, out, _ = site.type("--config", str(config), "lock", "--json")
        assert (code, out) == (0, '{"line":4,"locked":true}\n')
    assert {level for _, level in timeline(site.chip, 4)} == {1}
    assert timeline(site.chip, 21) == []


def test_the_agent_keeps_which_line_it_drives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "open_gpio", simulated_gpio)
    wired = Gpio(relay=21, relay_active_high=False)
    config = Config(gpio=wired, state_directory=str(tmp_path))
    door = app.hardware(config, Replay(lambda: iter(()), 10.0, SystemClock()))
    door.release.close()
    door.indicator.close()
    kept = driven.last(tmp_path)
    assert kept is not None
    assert (kept.relay, kept.relay_active_high) == (21, False)


def test_the_lock_command_leaves_alone_the_line_of_a_running_agent(site: Site) -> None:
    held = (site.folder / "agent.lock").open("w", encoding="ascii")
    site.release(30.0, "wait")
    fcntl.flock(held, fcntl.LOCK_EX)
    code, out, err = site.type("lock")
    assert (code, out) == (2, "")
    assert err.startswith("doorward: lock: an agent is running, which locks the door itself")
    assert err.count("\n") == 1
    assert site.changes() == [0, 1]
    held.close()


def test_the_lock_command_says_that_another_program_has_the_line(site: Site) -> None:
    site.release(30.0, "wait")
    code, out, err = site.type("lock")
    assert (code, out) == (2, "")
    assert err.startswith("doorward: gpio: line 17 (relay): 'GPIO busy': check the wiring")
    assert site.changes() == [0, 1]


# --- the clocks ---------------------------------------------------------------------------------

YEAR = 365 * 86400.0


@dataclass
class Clocks:
    """A monotonic clock that goes on, and a wall clock that somebody sets."""

    at: float = 1000.0
    set_by: float = 0.0
    boot_id = "boot-1"

    def now(self) -> Now:
        return Now(self.at, 1.8e9 + self.at + self.set_by, 0, trusted=True)


@pytest.mark.parametrize("years", [-1, 1])
def test_a_clock_that_is_set_by_a_year_changes_no_pulse(years: int) -> None:
    clocks = Clocks()
    door = SimulatedDoor(clocks, lambda: SubjectId("s-2"))
    door.energise(GRANT, 5.0)
    clocks.at += 2.0
    clocks.set_by = years * YEAR
    assert door.settle() == 3.0
    clocks.at += 3.0
    assert door.settle() is None
    assert door.pulses == [(1000.0, 1005.0)]
    door.close()


@pytest.mark.parametrize("years", [-1, 1])
def test_an_agent_whose_clock_is_set_while_the_door_is_released_locks_in_time(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, years: int
) -> None:
    right, energise = time.time, agent.door.energise

    def release_and_set_the_clock(grant: Grant, seconds: float) -> None:
        energise(grant, seconds)
        monkeypatch.setattr(time, "time", lambda: right() + years * YEAR)

    agent.door.energise = release_and_set_the_clock  # type: ignore[method-assign]
    with agent.running():
        came_at = time.monotonic()
        agent.corridor.standing = ADA
        assert eventually(lambda: agent.door.pulses)
    # The pulse counts from the grant, which is committed before the line is driven.
    [(on_at, off_at)] = agent.door.pulses
    assert came_at + RELEASE_SECONDS <= off_at < on_at + RELEASE_SECONDS + 5.0


# --- everything that the agent calls, or is called by -------------------------------------------


def fail(*_: object, **__: object) -> NoReturn:
    raise ZeroDivisionError("a bug")


FAULTS: Mapping[str, Callable[[Agent], tuple[object, str]]] = {
    "camera": lambda agent: (agent.corridor, "broken"),
    "store": lambda agent: (agent.store, "append"),
    "reporter": lambda agent: (agent.archive, "announce"),
    "indicator": lambda agent: (agent.door, "show"),
    "light": lambda agent: (agent.door, "light"),
    "drop": lambda agent: (agent.door, "drop"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bug_in_a_part_while_the_door_is_released_does_not_keep_it_released(
    agent: Agent, fault: str
) -> None:
    part, name = FAULTS[fault](agent)
    with agent.running():
        agent.corridor.standing = ADA
        assert eventually(lambda: agent.door.energised)
        setattr(part, name, ZeroDivisionError("a bug") if name == "broken" else fail)
        assert eventually(lambda: agent.door.pulses)
        agent.corridor.standing = EVE
        time.sleep(0.5)
    [(on_at, off_at)] = agent.door.pulses
    assert off_at - on_at < RELEASE_SECONDS + 5.0
    assert not agent.door.energised


def test_a_thread_that_decides_and_hangs_does_not_keep_the_door_released(agent: Agent) -> None:
    goes_on = threading.Event()

    def hang(state: LockState) -> None:  # noqa: ARG001 - as the port names it
        goes_on.wait(SECONDS)

    with agent.running():
        agent.archive.announce = hang  # type: ignore[method-assign]
        agent.corridor.standing = ADA
        assert eventually(lambda: agent.door.pulses)
        goes_on.set()
    assert len(agent.door.pulses) == 1


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bug_in_a_part_does_not_open_the_door(agent: Agent, fault: str) -> None:
    part, name = FAULTS[fault](agent)
    with agent.running():
        setattr(part, name, ZeroDivisionError("a bug") if name == "broken" else fail)
        agent.corridor.standing = EVE
        agent.door.ring()
        agent.door.hold_enrol_button()
        agent.door.tamper(active=True)
        time.sleep(0.5)
    assert agent.door.timeline == []
