"""What the wire takes: a real agent on a simulated door, mosquitto on loopback, a collector."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.adapters.mqtt import MqttReporter
from agent.config import Mqtt
from agent.core.effects import Trust
from agent.core.events import ControllerTrusted, Granted
from agent.core.orders import Operation, Order
from agent.demonstration.broker import broker, find_mosquitto
from agent.wire.commands import encode_order
from agent.wire.events import encode_ack, read_envelope
from agent.wire.states import read_challenge
from agent.wire.topics import Topics
from tests.contracts.waiting import eventually
from tests.core.people import somebody
from tests.residents import DENIED, NOW, opened, trusted
from tests.system.actors import RELEASE_SECONDS, Agent

DOOR = "front"
TOPICS = Topics(DOOR)
COMMANDS = 60
GRANTS = 40
BACKLOG = 20_000
FLOOD_SECONDS = 20
REFUSED_A_SECOND = 10
CONTROLLER = trusted(*Operation)
SEED = bytes([1]) * 32


class Laptop:
    """Commands the door, and takes its events as a collector does, with the time of each."""

    def __init__(self, port: int) -> None:
        self.challenge = ""
        self.arrived: dict[int, float] = {}
        self.kinds: dict[int, str] = {}
        self.complete = 0
        self._counter = int(time.time() * 1000)
        self._sign = Ed25519PrivateKey.from_private_bytes(SEED).sign
        self._subscribed = threading.Event()
        self.client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self.client.on_message = self._received
        self.client.on_connect = lambda client, *_: client.subscribe(f"doorward/{DOOR}/#", qos=1)
        self.client.on_subscribe = lambda *_: self._subscribed.set()
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self._subscribed.wait(10)
        self._closing = threading.Event()
        threading.Thread(target=self._acknowledge).start()

    def payload(self, operation: Operation, sign: Callable[[bytes], bytes] | None = None) -> bytes:
        self._counter += 1
        order = Order(
            operation, DOOR, CONTROLLER.id, self.challenge, self._counter, f"r-{self._counter}"
        )
        return encode_order(order, sign or self._sign)

    def publish(self, topic: str, payload: bytes) -> None:
        self.client.publish(topic, payload, qos=1)

    def _acknowledge(self) -> None:
        # As an archive does: not for each event, but for what came while it committed.
        told = -1
        while not self._closing.wait(0.005):
            if self.complete > told:
                told = self.complete
                self.publish(TOPICS.ack, encode_ack(told))

    def close(self) -> None:
        self._closing.set()
        self.client.disconnect()
        self.client.loop_stop()

    def _received(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        now = time.monotonic()
        if message.topic == TOPICS.challenge:
            self.challenge = read_challenge(bytes(message.payload))
        elif message.topic in {TOPICS.event, TOPICS.backlog}:
            envelope = read_envelope(bytes(message.payload))
            self.arrived.setdefault(envelope.seq, now)
            self.kinds[envelope.seq] = envelope.kind
            while self.complete + 1 in self.arrived:
                self.complete += 1


def wire_rows() -> list[list[object]]:
    """Give a row for each figure: what, and how much."""
    program = find_mosquitto()
    if program is None:
        return [["mosquitto is not installed", "-"]]
    with broker(program) as port:
        return [*_commands(port), *_backlog(port), *_flood(port)]


@contextmanager
def _agent(port: int) -> Iterator[tuple[Agent, Laptop]]:
    with tempfile.TemporaryDirectory() as folder:
        settings = Mqtt(host="localhost", port=port, tls=False)
        agent = Agent(Path(folder) / "state", MqttReporter(settings, DOOR, "bench"))
        with agent.command_line() as store:
            store.append(ControllerTrusted(CONTROLLER.id), NOW, Trust(CONTROLLER))
        laptop = Laptop(port)
        try:
            yield agent, laptop
        finally:
            laptop.close()


def _commands(port: int) -> list[list[object]]:
    with _agent(port) as (agent, laptop):
        people = [somebody(f"person {number}") for number in range(GRANTS)]
        for person in people:
            agent.enrol(person)
        with agent.running():
            assert eventually(lambda: laptop.challenge)
            unlocks = [_unlock(agent, laptop) for _ in range(COMMANDS)]
            for number, person in enumerate(people):
                agent.corridor.standing = person
                agent.archive.of(Granted, number + 1)
                agent.corridor.standing = None
                assert eventually(lambda: len(agent.door.timeline) % 2 == 0)
            assert eventually(lambda: list(laptop.kinds.values()).count("granted") == GRANTS)
        grants = sorted(seq for seq, kind in laptop.kinds.items() if kind == "granted")
        opened_at = [at for at, released in agent.door.timeline if released][COMMANDS:]
        told = [laptop.arrived[seq] - at for seq, at in zip(grants, opened_at, strict=True)]
    return [
        ["signed command to release, ms p50", np.median(unlocks) * 1000],
        ["signed command to release, ms p95", np.percentile(unlocks, 95) * 1000],
        ["release to its event at a collector, ms p50", np.median(told) * 1000],
        ["release to its event at a collector, ms p95", np.percentile(told, 95) * 1000],
    ]


def _unlock(agent: Agent, laptop: Laptop) -> float:
    before = len(agent.door.timeline)
    payload = laptop.payload(Operation.UNLOCK)
    sent = time.monotonic()
    laptop.publish(TOPICS.command("unlock"), payload)
    assert eventually(lambda: len(agent.door.timeline) == before + 2)
    time.sleep(RELEASE_SECONDS / 10)
    return agent.door.timeline[before][0] - sent


def _backlog(port: int) -> list[list[object]]:
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        with opened(state / "doorward.db") as store:
            for _ in range(BACKLOG):
                store.append(DENIED, NOW)
        laptop = Laptop(port)
        with _process(state, port):
            deadline = time.monotonic() + 600
            while laptop.complete < BACKLOG and time.monotonic() < deadline:
                time.sleep(0.05)
        laptop.close()
        first, last = laptop.arrived[1], laptop.arrived[BACKLOG]
    return [[f"backlog of {BACKLOG:,} events, events/s", BACKLOG / (last - first)]]


def _flood(port: int) -> list[list[object]]:
    idle, refused = _watched(port, flooded=False), _watched(port, flooded=True)
    return [
        ["agent with nobody there, CPU, % of one core", idle],
        [f"the same with {REFUSED_A_SECOND} forged commands/s", refused],
    ]


@contextmanager
def _process(state: Path, port: int) -> Iterator[int]:
    """Run an agent that sees an empty corridor in a process of its own; give its number."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.system.door", str(state), str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        process.stdout.readline()
        yield process.pid
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def _watched(port: int, *, flooded: bool) -> float:
    """Give the CPU of an agent that sees an empty corridor, in percent of one core."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        with opened(state / "doorward.db") as store:
            store.append(ControllerTrusted(CONTROLLER.id), NOW, Trust(CONTROLLER))
        with _process(state, port) as agent:
            laptop = Laptop(port)
            assert eventually(lambda: laptop.challenge)
            time.sleep(2.0)
            spent = cpu_seconds(agent)
            for _ in range(FLOOD_SECONDS * REFUSED_A_SECOND):
                if flooded:
                    payload = laptop.payload(Operation.UNLOCK, lambda _: bytes(64))
                    laptop.publish(TOPICS.command("unlock"), payload)
                time.sleep(1 / REFUSED_A_SECOND)
            used = (cpu_seconds(agent) - spent) / FLOOD_SECONDS * 100
            laptop.close()
        return used


def cpu_seconds(pid: int) -> float:
    """Give what a process has used of all cores so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
