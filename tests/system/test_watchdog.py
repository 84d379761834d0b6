"""The watchdog is put off only while the camera's thread and the network's make progress."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import watch
from agent.adapters import link
from agent.adapters.mqtt import MqttReporter
from agent.config import Mqtt
from agent.core.events import FaultRaised
from agent.core.inputs import Observed, Tick
from agent.core.types import Frame
from tests.brokers import free_port
from tests.contracts.waiting import DEADLINE, eventually
from tests.system.actors import Agent, Corridor


class Manager:
    """The service manager's end of the socket."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.settimeout(0)

    def hears_of_life(self) -> bool:
        """Whether the watchdog was put off since it was last asked."""
        heard = False
        while True:
            try:
                heard |= self._socket.recv(100) == b"WATCHDOG=1"
            except BlockingIOError:
                return heard

    def hears_no_more(self, agent: Agent) -> bool:
        """Whether the watchdog comes to be left alone, although there is something to decide."""

        def silent() -> bool:
            self.hears_of_life()
            for _ in range(5):
                agent.runtime.post(Tick())
                threading.Event().wait(0.05)
            return not self.hears_of_life()

        return eventually(silent)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path)
    yield manager
    manager.close()


class Hanging(MqttReporter):
    """A reporter that finds no broker, and whose threads hang from when they are told to."""

    def __init__(self) -> None:
        super().__init__(Mqtt(host="127.0.0.1", port=free_port(), tls=False), "front", "test")
        self.go_on = threading.Event()
        self.go_on.set()

    def _lost(self, reason: str) -> None:
        if threading.current_thread().name == "mqtt":
            self.go_on.wait(3 * DEADLINE)
        super()._lost(reason)


def test_a_thread_of_the_network_that_hangs_for_good_has_the_agent_restarted(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "HANGING", 0.5)
    monkeypatch.setattr(link, "FIRST_DELAY", 0.05)
    monkeypatch.setattr(link, "LAST_DELAY", 0.05)
    reporter = Hanging()
    agent = Agent(tmp_path / "state", reporter, notified=manager.address)
    with agent.running():
        # That there is no broker is no reason.
        agent.archive.of(FaultRaised)
        assert eventually(manager.hears_of_life)
        reporter.go_on.clear()
        assert manager.hears_no_more(agent)
        reporter.go_on.set()


def test_a_broker_that_is_away_does_not_have_the_agent_restarted(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "HANGING", 0.5)
    # The thread waits for its next try for longer than it may hang.
    monkeypatch.setattr(link, "FIRST_DELAY", 2.0)
    agent = Agent(tmp_path / "state", Hanging(), notified=manager.address)
    with agent.running():
        agent.archive.of(FaultRaised)
        for _ in range(20):
            manager.hears_of_life()
            assert eventually(manager.hears_of_life)
            threading.Event().wait(0.1)


class Spellbound(Corridor):
    """A corridor in which looking takes for ever, from when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()
        self.go_on.set()

    def __call__(self, frame: Frame) -> Observed:
        self.go_on.wait(3 * DEADLINE)
        return super().__call__(frame)


def test_a_thread_of_the_camera_that_hangs_has_the_agent_restarted(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "PATIENCE", 0.5)
    corridor = Spellbound()
    agent = Agent(tmp_path / "state", notified=manager.address, corridor=corridor)
    with agent.running():
        assert eventually(manager.hears_of_life)
        corridor.go_on.clear()
        assert manager.hears_no_more(agent)
        corridor.go_on.set()
        assert eventually(manager.hears_of_life)
