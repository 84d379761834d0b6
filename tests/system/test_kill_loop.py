"""Agent and broker are killed in turn while events flow, and a collector misses none of them."""

import itertools
import json
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agent.wire.events import event_kind
from tests.brokers import Broker
from tests.contracts.waiting import eventually
from tests.residents import opened

KILLS = 50
ROOT = Path(__file__).parents[2]


class Program:
    """A process that is started again each time it was killed."""

    def __init__(self, *command: str) -> None:
        self._command = command
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *self._command],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def said(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            assert self._process.stdin is not None
            self._process.stdout.close()
            self._process.stdin.close()
            self._process = None


@pytest.fixture
def agent(broker: Broker, tmp_path: Path) -> Iterator[Program]:
    agent = Program("-m", "tests.system.door", str(tmp_path / "state"), str(broker.port), "ring")
    yield agent
    agent.kill()


@pytest.fixture
def collector(broker: Broker, tmp_path: Path) -> Iterator[Program]:
    settings = tmp_path / "laptop.toml"
    settings.write_text(f'[mqtt]\nhost = "localhost"\nport = {broker.port}\ntls = false\n')
    archive = str(tmp_path / "archive.sqlite")
    words = ("remote", "collect", "front", "--to", archive)
    collector = Program("-m", "agent", "--config", str(settings), *words)
    yield collector
    collector.kill()


def collected(archive: Path) -> dict[int, tuple[str, object]]:
    with closing(sqlite3.connect(archive)) as database:
        rows = database.execute("SELECT seq, kind, event FROM events").fetchall()
    assert len(rows) == len({seq for seq, _, _ in rows})
    return {seq: (kind, json.loads(event)) for seq, kind, event in rows}


def test_fifty_kills_of_agent_and_broker_lose_no_event(
    broker: Broker, agent: Program, collector: Program, tmp_path: Path
) -> None:
    chance = random.Random(4)
    collector.start()
    agent.start()
    assert agent.said() == "ready\n"
    victims: Iterator[Broker | Program] = itertools.cycle([broker, agent])
    for victim in itertools.islice(victims, KILLS):
        time.sleep(chance.uniform(0.05, 0.4))
        victim.kill()
        time.sleep(chance.uniform(0.0, 0.1))
        victim.start()
        if victim is agent:
            assert agent.said() == "ready\n"
    agent.kill()

    with opened(tmp_path / "state" / "doorward.db") as store:
        store.verify()
        log = {each.seq: each for each in store.events(limit=1_000_000)}
    assert list(log) == list(range(1, len(log) + 1))
    assert len(log) > 10 * KILLS
    # The door goes on, and so has something to be told of what came last.
    agent.start()
    archive = tmp_path / "archive.sqlite"
    assert eventually(lambda: log.keys() <= collected(archive).keys())
    agent.kill()
    found = collected(archive)
    assert [found[seq][0] for seq in log] == [event_kind(each.event) for each in log.values()]
    assert list(found) == list(range(1, len(found) + 1))
