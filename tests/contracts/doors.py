"""A door's reporter at a broker, and what it posts to the rest of the agent."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.adapters.mqtt import MqttReporter
from agent.config import Mqtt
from agent.core.events import Denied
from agent.core.inputs import Faulted, Input
from agent.core.orders import Delivered
from agent.core.types import Reason
from agent.ports import Recorded
from tests.brokers import Broker, collector
from tests.contracts.waiting import eventually
from tests.residents import NOW

VERSION = "1.2.3"
STATUS = "doorward/front/status"
LOCK = "doorward/front/lock/state"
EVENT = "doorward/front/event"
BACKLOG = "doorward/front/event/backlog"
ACK = "doorward/front/event/ack"
HEAD = "doorward/front/event/head"
COMMAND = "doorward/front/cmd/"
PING = COMMAND + "ping"

# What a broker of a test's own says.
WELCOME = b"\x20\x03\x00\x00\x00"
SUBSCRIBED = b"\x90\x06\x00\x01\x00\x01\x01\x01"
REFUSED = b"\x90\x06\x00\x01\x00\x01\x87\x01"
TAKEN_OVER = b"\xe0\x02\x8e\x00"


def event(seq: int, head: str = "") -> Recorded:
    return Recorded(seq, "boot", NOW, Denied(Reason.NO_MATCH, None, frames=3, faces=1), head)


def plain(port: int) -> Mqtt:
    return Mqtt(host="localhost", port=port, tls=False)


def encrypted(port: int, certificates: Path, name: str) -> Mqtt:
    return Mqtt(
        host="localhost",
        port=port,
        ca_file=str(certificates / "ca.pem"),
        cert_file=str(certificates / f"{name}.pem"),
        key_file=str(certificates / f"{name}.key"),
    )


class Agent:
    """What the reporter takes for the rest of the agent."""

    def __init__(self, settings: Mqtt, door: str = "front") -> None:
        self.inbox: list[Input] = []
        self.reporter = MqttReporter(settings, door, VERSION)

    def got(self, wanted: type[Input], times: int = 1) -> bool:
        """Whether the reporter comes to post so many of these inputs."""
        return eventually(lambda: sum(isinstance(each, wanted) for each in self.inbox) >= times)

    @property
    def faults(self) -> list[str]:
        return [each.reason for each in list(self.inbox) if isinstance(each, Faulted)]

    @property
    def delivered(self) -> list[Delivered]:
        return [each for each in list(self.inbox) if isinstance(each, Delivered)]


@contextmanager
def running(settings: Mqtt, door: str = "front") -> Iterator[Agent]:
    agent = Agent(settings, door)
    try:
        agent.reporter.start(agent.inbox.append)
        yield agent
    finally:
        agent.reporter.close()


def retained(broker: Broker, topic: str) -> list[bytes]:
    """What somebody who comes now is told about a topic and those below it."""
    with collector(broker.port, topic="#") as late:
        late.publish("doorward/now", b"")
        assert eventually(lambda: late.payloads("doorward/now"))
        return [bytes(each.payload) for each in late.messages if each.topic.startswith(topic)]
