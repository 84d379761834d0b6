"""Signed orders to the whole agent: what a failing part makes of them, and an upgrade."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent import installation
from agent.adapters.clock import SystemClock
from agent.config import Config
from agent.core.effects import Trust
from agent.core.events import Commanded, ControllerTrusted
from agent.core.orders import Delivered, Operation, Order, Rejection
from agent.errors import StoreError
from agent.wire.commands import encode_order
from agent.wire.states import Reply, read_reply
from tests.contracts.waiting import eventually
from tests.residents import NOW, trusted
from tests.system.actors import Agent

OFFICE = trusted(*Operation)
SIGN = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32).sign


class Office:
    """Orders an agent, and hears its answers."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._counter = 0

    def order(self, operation: Operation) -> Reply:
        archive = self._agent.archive
        assert eventually(lambda: archive.challenges)
        self._counter += 1
        request = f"r-{self._counter}"
        order = Order(operation, "front", OFFICE.id, archive.challenges[-1], self._counter, request)
        self._agent.runtime.post(Delivered(operation, encode_order(order, SIGN)))
        assert eventually(lambda: len(archive.replies) == self._counter)
        reply = read_reply(archive.replies[-1])
        assert reply.id == request
        return reply


@pytest.fixture
def office(agent: Agent) -> Office:
    with agent.command_line() as store:
        store.append(ControllerTrusted(OFFICE.id), NOW, Trust(OFFICE))
    return Office(agent)


def test_an_unlock_is_recorded_done_and_answered(agent: Agent, office: Office) -> None:
    with agent.running():
        assert office.order(Operation.UNLOCK).result == "done"
        assert len(agent.door.timeline) >= 1
        assert agent.archive.of(Commanded) == Commanded(OFFICE.id, Operation.UNLOCK, "r-1", None)


def test_a_disk_that_fills_up_opens_nothing_and_says_so(agent: Agent, office: Office) -> None:
    with agent.running():
        assert office.order(Operation.PING).result == "done"
        agent.store.full = True
        reply = office.order(Operation.UNLOCK)
        assert (reply.result, reply.reason) == ("refused", Rejection.FAULT)
        assert office.order(Operation.PING).reason is Rejection.FAULT
        assert agent.door.timeline == []
        agent.store.full = False
        assert eventually(lambda: office.order(Operation.PING).result == "done")


def test_a_relay_that_does_not_obey_is_told_of_in_the_answer(agent: Agent, office: Office) -> None:
    with agent.running():
        assert office.order(Operation.PING).result == "done"
        agent.door.dead = True
        assert office.order(Operation.UNLOCK).reason is Rejection.FAULT
        agent.door.dead = False
    assert agent.door.timeline == []


# --- an upgrade -----------------------------------------------------------------------------------


def outdated(folder: Path) -> Config:
    """A state folder whose database is of the schema before."""
    config = Config(state_directory=str(folder))
    installation.open_store(config, SystemClock()).close()
    with closing(sqlite3.connect(installation.database(config))) as connection, connection:
        for table in ("credentials", "visitors", "attempts"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("PRAGMA user_version = 3")
    return config


def version(config: Config) -> int:
    with closing(sqlite3.connect(installation.database(config))) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def test_no_command_changes_the_database_under_an_agent_of_the_version_before(
    tmp_path: Path,
) -> None:
    config = outdated(tmp_path / "state")
    with installation.sole_agent(config):
        with pytest.raises(StoreError, match="an agent of an earlier version is running on it"):
            installation.open_store(config, SystemClock())
        assert version(config) == 3
        # The agent itself, once it is started anew.
        installation.checked_store(config, SystemClock()).close()
    assert version(config) == 5


def test_without_an_agent_any_command_takes_an_older_database_over(tmp_path: Path) -> None:
    config = outdated(tmp_path / "state")
    installation.open_store(config, SystemClock()).close()
    assert version(config) == 5
