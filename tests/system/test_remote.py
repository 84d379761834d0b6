"""An administrator's computer and the whole agent, with a real broker between them."""

import contextlib
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.adapters.documents import verify
from agent.adapters.mqtt import MqttReporter
from agent.adapters.note import parse_verifier
from agent.config import Mqtt
from agent.core.effects import Trust
from agent.core.events import Commanded, ControllerTrusted, DoorbellRang
from agent.core.orders import Operation, TrustedController
from agent.wire.commands import controller_id
from tests.brokers import Broker
from tests.contracts.waiting import DEADLINE, eventually
from tests.core.people import somebody
from tests.system.actors import Agent
from tests.system.computer import Computer

EVE = somebody("eve")


class Laptop(Computer):
    """A computer that knows the broker, and has a key."""

    def remote(self, *words: str) -> list[Any]:
        return self.ask("remote", "--key", str(self.folder / "controller.key"), *words)

    def collects(self, file: Path) -> subprocess.Popen[str]:
        return self.start("remote", "collect", "front", "--to", str(file), "--json")


@pytest.fixture
def laptop(tmp_path: Path, broker: Broker) -> Laptop:
    folder = tmp_path / "laptop"
    folder.mkdir()
    laptop = Laptop(folder)
    laptop.configure(f'[mqtt]\nhost = "localhost"\nport = {broker.port}\ntls = false')
    return laptop


@pytest.fixture
def agent(tmp_path: Path, broker: Broker) -> Agent:
    settings = Mqtt(host="localhost", port=broker.port, tls=False)
    return Agent(tmp_path, MqttReporter(settings, "front", "test"))


def trust(agent: Agent, verifier: str) -> None:
    """Do what `doorward controller add` does on the door."""
    key = parse_verifier(verifier).key
    trusted = TrustedController(controller_id(key), "office", key, frozenset(Operation))
    with agent.command_line() as store:
        store.append(ControllerTrusted(trusted.id), agent.clock.now(), Trust(trusted))


def stored(file: Path, query: str = "SELECT seq FROM events ORDER BY seq") -> list[Any]:
    with contextlib.closing(sqlite3.connect(file)) as database:
        return [row[0] for row in database.execute(query)]


def has(file: Path, last: int) -> Callable[[], bool]:
    def all_are_there() -> bool:
        with contextlib.suppress(sqlite3.Error):
            return stored(file) == list(range(1, last + 1))
        return False

    return all_are_there


def test_a_key_that_is_trusted_opens_enrols_and_erases_from_afar(
    agent: Agent, laptop: Laptop
) -> None:
    [made] = laptop.remote("key", "office")
    trust(agent, made["verifier"])
    with agent.running():
        laptop.remote("unlock", "front")
        assert eventually(lambda: agent.door.pulses)
        commanded = agent.archive.of(Commanded)
        assert isinstance(commanded, Commanded)
        assert (commanded.operation, commanded.controller) == (Operation.UNLOCK, made["controller"])

        agent.corridor.standing = EVE
        [enrolled] = laptop.remote("enrol", "front", "--label", "Eve", "--household", "7")
        agent.corridor.standing = None
        subject = enrolled["subject"]
        [residents] = laptop.remote("list", "front")
        assert [(each["subject"], each["label"]) for each in residents] == [(subject, "Eve")]

        laptop.remote("policy", "front", subject, "--schedule", "sat 09:00-12:00")
        [held] = laptop.remote("export", "front", subject)
        assert held["resident"]["schedule"] == "sat 09:00-12:00"
        laptop.remote("revoke", "front", subject)
        assert laptop.remote("list", "front")[0][0]["revoked"]

        [erased] = laptop.remote("erase", "front", subject)
        checked = verify(erased["certificate"], parse_verifier(agent.store.verifier))
        assert checked.facts["subject"] == subject
        assert laptop.remote("list", "front") == [[]]
        assert not (laptop.folder / "controller.labels").read_text().count("Eve")


def test_a_key_that_nobody_trusts_is_told_what_to_type_on_the_door(
    agent: Agent, laptop: Laptop
) -> None:
    with agent.running():
        [made] = laptop.remote("key", "office")
        key = str(laptop.folder / "controller.key")
        line = laptop.refuses("remote", "--key", key, "ping", "front")
        assert f"`doorward controller add {made['verifier']} --right all`" in line


def test_a_collector_that_was_away_when_a_door_was_restored_says_so_once_and_ends(
    agent: Agent, laptop: Laptop, broker: Broker, tmp_path: Path
) -> None:
    file = tmp_path / "front.sqlite"

    def ring(door: Agent, times: int) -> int:
        with door.command_line() as store:
            return [store.append(DoorbellRang(), door.clock.now()).seq for _ in range(times)][-1]

    def again() -> Agent:
        settings = Mqtt(host="localhost", port=broker.port, tls=False)
        return Agent(tmp_path, MqttReporter(settings, "front", "test"))

    with agent.running():
        ring(agent, 5)
    backup = agent.path.read_bytes()
    before = again()
    with before.running():
        last = ring(before, 20)
        collector = laptop.collects(file)
        assert eventually(has(file, last))
        assert eventually(lambda: before.store.cursor() == last)
        collector.send_signal(signal.SIGTERM)
        assert collector.communicate(timeout=DEADLINE)[1] == ""
    for end in ("-wal", "-shm"):
        agent.path.with_name(agent.path.name + end).unlink(missing_ok=True)
    agent.path.write_bytes(backup)
    after = again()
    with after.running():
        ring(after, 40)
        collector = laptop.collects(file)
        out, err = collector.communicate(timeout=DEADLINE)
        assert after.store.cursor() <= last
    assert collector.returncode == 2
    assert out.count("ALARM") == 1
    assert err.startswith(f"doorward: {file}: ")
    assert "collect into a new one" in err
    assert err.count("\n") == 1
    assert stored(file, "SELECT seq FROM acknowledged") == [last]


def test_a_collector_that_is_killed_misses_nothing_and_one_that_is_stopped_ends_well(
    agent: Agent, laptop: Laptop, tmp_path: Path
) -> None:
    file = tmp_path / "front.sqlite"

    def ring(times: int) -> int:
        with agent.command_line() as store:
            return [store.append(DoorbellRang(), agent.clock.now()).seq for _ in range(times)][-1]

    ring(600)
    with agent.running():
        collector = laptop.collects(file)
        assert eventually(has(file, ring(20)))
        collector.kill()
        collector.communicate(timeout=DEADLINE)
        last = ring(700)
        collector = laptop.collects(file)
        assert eventually(has(file, last))
        assert eventually(lambda: agent.store.cursor() == last)
        collector.send_signal(signal.SIGTERM)
        out, err = collector.communicate(timeout=DEADLINE)
    assert (collector.returncode, err) == (0, "")
    assert '"what":"caught_up"' in out
    assert f'"seq":{last}' in out.splitlines()[-1]
    assert stored(file, "SELECT COUNT(*) FROM heads")[0] > 0
    assert stored(file, "SELECT COUNT(*) FROM changed") == [0]
