import hashlib
import json
import select
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace
from paho.mqtt.client import Client

from agent.adapters import mqtt
from agent.adapters.broker import read_access
from agent.adapters.mqtt import MqttReporter
from agent.config import Mqtt
from agent.core.events import (
    Acknowledged,
    Denied,
    EnrolCancelled,
    EnrolCommanded,
    EraseCommanded,
    Faulted,
    FaultRaised,
    Input,
    Part,
    Recovered,
)
from agent.core.types import LockState, Now, Reason, SubjectId
from agent.errors import ConfigError
from agent.ports import Recorded
from tests.brokers import Broker, Collector, collector, speaking
from tests.contracts.waiting import eventually

NOW = Now(monotonic=12.5, wall=1_795_000_000.25, week_minute=60, trusted=True)
STATUS = "doorward/front/status"
LOCK = "doorward/front/lock/state"
EVENT = "doorward/front/event"
BACKLOG = "doorward/front/event/backlog"
ACK = "doorward/front/event/ack"
ENROL = "doorward/front/cmd/enrol"
START = b'{"v": 1, "id": "r-1", "action": "start", "code": "012345"}'
ERASE = "doorward/front/cmd/erase"
HEAD = "doorward/front/event/head"
CANCEL = b'{"v": 1, "id": "r-2", "action": "cancel"}'
LEAVER = SubjectId("s-0123456789abcdef")
LEAVE = b'{"v": 1, "id": "r-3", "subject": "s-0123456789abcdef", "code": "5f3a9c0b71d2e84610aa"}'


def event(seq: int, head: str = "") -> Recorded:
    return Recorded(seq, "boot", NOW, Denied(Reason.NO_MATCH, None, frames=3, faces=1), head)


def plain(port: int) -> Mqtt:
    return Mqtt(host="localhost", port=port, tls=False)


class Agent:
    """What the reporter takes for the rest of the agent."""

    def __init__(self, settings: Mqtt, door: str = "front") -> None:
        self.inbox: list[Input] = []
        self._issued = 0
        self.reporter = MqttReporter(settings, door, self._new_subject)

    def _new_subject(self) -> SubjectId:
        self._issued += 1
        return SubjectId(f"s-{self._issued}")

    def got(self, wanted: type[Input], times: int = 1) -> bool:
        """Whether the reporter comes to post so many of these inputs."""
        return eventually(lambda: sum(isinstance(each, wanted) for each in self.inbox) >= times)

    @property
    def faults(self) -> list[str]:
        return [each.reason for each in self.inbox if isinstance(each, Faulted)]


@contextmanager
def running(settings: Mqtt, door: str = "front") -> Iterator[Agent]:
    agent = Agent(settings, door)
    try:
        agent.reporter.start(agent.inbox.append)
        yield agent
    finally:
        agent.reporter.close()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again sooner than a door at work does."""
    monkeypatch.setattr(mqtt, "FIRST_DELAY", 0.05)
    monkeypatch.setattr(mqtt, "LAST_DELAY", 0.2)


@pytest.fixture
def listener(broker: Broker) -> Iterator[Collector]:
    with collector(broker.port) as listener:
        yield listener


@pytest.fixture
def agent(broker: Broker, listener: Collector) -> Iterator[Agent]:
    with running(plain(broker.port)) as agent:
        assert agent.got(Recovered)
        assert eventually(lambda: listener.payloads(STATUS))
        yield agent


def retained(broker: Broker, topic: str) -> list[bytes]:
    """What somebody who comes now is told about a topic and those below it."""
    with collector(broker.port) as late:
        late.publish("doorward/now", b"")
        assert eventually(lambda: late.payloads("doorward/now"))
        return [bytes(each.payload) for each in late.messages if each.topic.startswith(topic)]


# --- availability and state


def test_the_door_is_online_while_connected_and_offline_after_closing(
    broker: Broker, listener: Collector, agent: Agent
) -> None:
    assert retained(broker, STATUS) == [b"online"]
    agent.reporter.close()
    assert "mqtt" not in [thread.name for thread in threading.enumerate()]
    assert eventually(lambda: listener.payloads(STATUS)[-1] == b"offline")
    assert retained(broker, STATUS) == [b"offline"]
    assert agent.faults == []


def test_a_door_that_is_killed_is_soon_offline(broker: Broker, listener: Collector) -> None:
    program = (
        "import sys, time; from agent.adapters.mqtt import MqttReporter; "
        "from agent.config import Mqtt; "
        "reporter = MqttReporter(Mqtt(host='localhost', port=int(sys.argv[1]), tls=False), "
        "'front', str); reporter.start(print); time.sleep(600)"
    )
    door = subprocess.Popen([sys.executable, "-c", program, str(broker.port)])
    try:
        assert eventually(lambda: listener.payloads(STATUS) == [b"online"])
    finally:
        door.kill()
        door.wait()
    assert eventually(lambda: listener.payloads(STATUS) == [b"online", b"offline"])


def test_the_state_of_the_lock_is_retained(
    broker: Broker, listener: Collector, agent: Agent
) -> None:
    agent.reporter.announce(LockState.UNLOCKED)
    assert eventually(lambda: listener.payloads(LOCK) == [b"UNLOCKED"])
    agent.reporter.announce(LockState.LOCKED)
    assert eventually(lambda: listener.payloads(LOCK) == [b"UNLOCKED", b"LOCKED"])
    assert retained(broker, LOCK) == [b"LOCKED"]


def test_the_state_of_the_lock_is_told_again_to_a_broker_that_lost_it(broker: Broker) -> None:
    with running(plain(broker.port)) as agent:
        assert agent.got(Recovered)
        agent.reporter.announce(LockState.LOCKED)
        assert eventually(lambda: retained(broker, LOCK) == [b"LOCKED"])
        broker.kill()
        assert agent.got(Faulted)
        broker.start()
        assert agent.got(Recovered, times=2)
        assert eventually(lambda: retained(broker, LOCK) == [b"LOCKED"])
        assert retained(broker, STATUS) == [b"online"]


def test_a_state_from_before_a_new_connection_never_overtakes_the_one_after_it(
    broker: Broker,
) -> None:
    # A frozen broker acknowledges nothing, so all of it is still on its way when it is killed.
    with running(plain(broker.port)) as agent:
        assert agent.got(Recovered)
        broker.freeze()
        for _ in range(2 * mqtt.UNACKNOWLEDGED):
            agent.reporter.announce(LockState.UNLOCKED)
            agent.reporter.publish(event(1))
        broker.kill()
        assert agent.got(Faulted)
        agent.reporter.announce(LockState.LOCKED)
        broker.start()
        with collector(broker.port) as listener:
            assert agent.got(Recovered, times=2)
            agent.reporter.publish(event(2))
            assert eventually(lambda: listener.payloads(EVENT))
            assert set(listener.payloads(LOCK)) == {b"LOCKED"}
            assert [json.loads(each)["seq"] for each in listener.payloads(EVENT)] == [2]


# --- events


def test_events_arrive_in_order_and_are_never_retained(
    broker: Broker, listener: Collector, agent: Agent
) -> None:
    for seq in range(1, 301):
        agent.reporter.publish(event(seq))
    agent.reporter.republish(event(301))
    assert eventually(lambda: listener.payloads(BACKLOG))
    assert eventually(lambda: len(listener.payloads(EVENT)) == 300)
    seqs = [json.loads(each)["seq"] for each in listener.payloads(EVENT)]
    assert seqs == list(range(1, 301))
    assert json.loads(listener.payloads(BACKLOG)[0])["seq"] == 301
    assert {each.qos for each in listener.messages if each.topic == EVENT} == {1}
    assert not any(each.retain for each in listener.messages if each.topic in {EVENT, BACKLOG})
    assert retained(broker, EVENT) == []


def test_an_event_is_sent_at_once_and_then_the_thread_sleeps(
    broker: Broker, listener: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = 0

    def counted(*waited_for: Any) -> Any:  # noqa: ANN401 - as select has it
        nonlocal waits
        waits += 1
        return select.select(*waited_for)

    def asleep() -> bool:
        before = waits
        time.sleep(0.1)
        return waits == before

    monkeypatch.setattr(mqtt, "LONGEST_WAIT", 600)
    monkeypatch.setattr(mqtt, "select", SimpleNamespace(select=counted))
    with running(plain(broker.port)) as agent:
        assert agent.got(Recovered)
        assert eventually(asleep)
        agent.reporter.publish(event(1))
        assert eventually(lambda: listener.payloads(EVENT))
        assert eventually(asleep)


def test_what_a_slow_broker_could_not_take_at_once_arrives_later(
    broker: Broker, listener: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = socket.create_connection

    def narrow(*where: Any, **how: Any) -> socket.socket:  # noqa: ANN401
        connection: socket.socket = connect(*where, **how)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        return connection

    monkeypatch.setattr(socket, "create_connection", narrow)
    monkeypatch.setattr(mqtt, "KEEPALIVE", 600)
    with running(plain(broker.port)) as agent:
        assert agent.got(Recovered)
        broker.freeze()
        long = FaultRaised(Part.CAMERA, "x" * 15_000)
        for seq in range(1, 21):
            agent.reporter.publish(Recorded(seq, "boot", NOW, long))
        broker.thaw()
        assert eventually(lambda: len(listener.payloads(EVENT)) == 20)


def test_an_outage_grows_no_memory_and_the_outbox_fills_the_gap(broker: Broker) -> None:
    with running(plain(broker.port)) as agent:
        assert agent.got(Recovered)
        broker.kill()
        assert agent.got(Faulted)
        for seq in range(5000):
            agent.reporter.publish(event(seq))
        assert len(agent.reporter._outgoing) == 0  # noqa: SLF001
        broker.start()
        with collector(broker.port) as listener:
            assert agent.got(Recovered, times=2)
            agent.reporter.republish(event(1))
            assert eventually(lambda: listener.payloads(BACKLOG))
            assert listener.payloads(EVENT) == []


def test_a_broker_that_takes_nothing_grows_no_memory_and_stops_nobody(
    broker: Broker, agent: Agent
) -> None:
    broker.freeze()
    for seq in range(5000):
        agent.reporter.publish(event(seq))
    assert len(agent.reporter._outgoing) <= mqtt.QUEUE  # noqa: SLF001


# --- the head of the log


def test_the_newest_head_is_retained_and_follows_its_event(
    broker: Broker, listener: Collector, agent: Agent
) -> None:
    for seq in range(1, 101):
        agent.reporter.publish(event(seq, f"head {seq} —"))
    newest = "head 100 —".encode()
    assert eventually(lambda: listener.payloads(HEAD)[-1:] == [newest])
    assert retained(broker, HEAD) == [newest]
    topics = [each.topic for each in listener.messages]
    last_event = len(topics) - topics[::-1].index(EVENT)
    assert topics.index(HEAD) > topics.index(EVENT)
    assert HEAD in topics[last_event:]
    # Of heads that come faster than they can be sent, some are passed over, and none comes late.
    heads = [int(each.split()[1]) for each in listener.payloads(HEAD)]
    assert heads == sorted(set(heads))
    assert {each.qos for each in listener.messages if each.topic == HEAD} == {1}


def test_an_event_without_a_head_or_sent_once_more_moves_no_head(
    broker: Broker, listener: Collector, agent: Agent
) -> None:
    agent.reporter.publish(event(7, "head 7"))
    agent.reporter.publish(event(8))
    agent.reporter.republish(event(5, "head 5"))
    assert eventually(lambda: listener.payloads(BACKLOG))
    agent.reporter.publish(event(9))
    assert eventually(lambda: len(listener.payloads(EVENT)) == 3)
    assert retained(broker, HEAD) == [b"head 7"]


def test_the_head_is_told_again_to_a_broker_that_lost_it_or_was_away(broker: Broker) -> None:
    with running(plain(broker.port)) as agent:
        assert agent.got(Recovered)
        agent.reporter.publish(event(1, "head 1"))
        assert eventually(lambda: retained(broker, HEAD) == [b"head 1"])
        for outages, head in ((1, b"head 1"), (2, b"head 2")):
            broker.kill()
            assert agent.got(Faulted, times=outages)
            if outages > 1:
                agent.reporter.publish(event(2, "head 2"))
            broker.start()
            assert agent.got(Recovered, times=outages + 1)
            assert eventually(lambda: retained(broker, HEAD) == [head])  # noqa: B023 - used at once


# --- faults


def test_a_broker_that_is_away_is_reported_once_per_outage(broker: Broker) -> None:
    broker.kill()
    with running(plain(broker.port)) as agent:
        assert agent.got(Faulted)
        (reason,) = agent.faults
        assert reason == (
            f"mqtt: broker localhost:{broker.port}: connection refused: check the broker and "
            "[mqtt]; the door still opens, and events wait in the outbox"
        )
        for outages in (1, 2):
            broker.start()
            assert agent.got(Recovered, times=outages)
            assert len(agent.faults) == outages
            broker.kill()
            assert agent.got(Faulted, times=outages + 1)
        assert "the connection was lost" in agent.faults[1]
        assert [type(each) for each in agent.inbox] == [Faulted, Recovered] * 2 + [Faulted]


def test_a_frozen_broker_is_an_outage(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "KEEPALIVE", 1)
    with running(plain(broker.port)) as agent:
        assert agent.got(Recovered)
        broker.freeze()
        assert agent.got(Faulted)


def test_an_unknown_host_is_reported_as_such() -> None:
    with running(Mqtt(host="broker.invalid", port=1883, tls=False, allow_plaintext=True)) as agent:
        assert agent.got(Faulted)
        assert "mqtt: broker broker.invalid:1883: there is no such host" in agent.faults[0]


WELCOME = b"\x20\x03\x00\x00\x00"
SUBSCRIBED = b"\x90\x06\x00\x01\x00\x01\x01\x01"
TAKEN_OVER = b"\xe0\x02\x8e\x00"


def test_a_session_ends_with_its_connection_and_packets_are_small() -> None:
    with speaking(WELCOME) as broker, running(plain(broker.port)):
        assert eventually(lambda: broker.heard)
        connect = broker.heard[0]
    variable = connect[connect.index(b"\0\4MQTT") + 6 :]
    version, flags, keepalive = struct.unpack(">BBH", variable[:4])
    assert (version, keepalive) == (5, mqtt.KEEPALIVE)
    clean_start, will, will_qos_1, will_retained = (flags & bit for bit in (2, 4, 8, 32))
    assert clean_start
    assert will
    assert will_qos_1
    assert will_retained
    properties = variable[5 : 5 + variable[4]]
    assert properties in {
        first + second
        for session, size in [(b"\x11" + bytes(4), b"\x27" + struct.pack(">I", mqtt.PACKET))]
        for first, second in [(session, size), (size, session)]
    }


def test_what_arrives_in_one_piece_is_read_to_its_end(
    certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Decrypted, and so invisible to select.
    monkeypatch.setattr(mqtt, "LONGEST_WAIT", 600)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "localhost.pem", certificates / "localhost.key")
    topic = struct.pack(">H", len(ENROL)) + ENROL.encode()
    command = b"\x30" + bytes([len(topic) + 1 + len(CANCEL)]) + topic + b"\0" + CANCEL
    with (
        speaking(WELCOME, SUBSCRIBED + 5 * command, tls=context) as broker,
        running(encrypted(broker.port, certificates, "front")) as agent,
    ):
        assert agent.got(EnrolCancelled, times=5)


def test_however_often_it_tries_an_outage_is_reported_once() -> None:
    with speaking(b"\xff" * 50) as broker, running(plain(broker.port)) as agent:
        assert eventually(lambda: len(broker.heard) >= 4)
        assert len(agent.faults) == 1


def test_a_broker_that_ends_the_connection_is_quoted() -> None:
    with speaking(WELCOME, TAKEN_OVER) as broker, running(plain(broker.port)) as agent:
        assert agent.got(Faulted)
        assert "it ended the connection: session taken over" in agent.faults[0]


@pytest.mark.parametrize(
    "answers",
    [
        [b"\xff" * 50],
        [b"\x20\x00"],
        [b"\x20\x02\x00\x00"],
        [b"\x00" * 50],
        [WELCOME, b"\x30\x02\xff\xff"],
        [WELCOME, b"\x30\x04\x00\x02\xff\xff"],
        [WELCOME, b"\x40\x00"],
        [WELCOME, b"\x90\x00"],
        [WELCOME, b"HTTP/1.1 400 Bad Request\r\n" * 10],
    ],
    ids=str,
)
def test_a_broker_that_talks_nonsense_does_not_end_the_thread(answers: list[bytes]) -> None:
    with speaking(*answers) as broker, running(plain(broker.port)) as agent:
        assert agent.got(Faulted)
        assert "mqtt" in [thread.name for thread in threading.enumerate()]


def test_a_password_lets_the_door_in_and_a_wrong_one_is_reported(
    mosquitto_binary: str, tmp_path: Path
) -> None:
    salt = b"12 bytes you"
    digest = hashlib.pbkdf2_hmac("sha512", b"hunter2", salt, 101, 64)
    known = f"door:$7$101${b64encode(salt).decode()}${b64encode(digest).decode()}\n"
    (tmp_path / "users").write_text(known)
    settings = ["allow_anonymous false", f"password_file {tmp_path / 'users'}"]
    broker = Broker(mosquitto_binary, tmp_path, settings)
    broker.start()
    password = tmp_path / "password"
    access = replace(plain(broker.port), username="door", password_file=str(password))
    try:
        password.write_text("hunter2\nnot this line\n")
        with running(access) as agent:
            assert agent.got(Recovered)
        password.write_text("hunter3\n")
        with running(access) as agent:
            assert agent.got(Faulted)
            assert "not authorized" in agent.faults[0]
            assert "hunter3" not in agent.faults[0]
            assert Recovered(Part.BROKER) not in agent.inbox
    finally:
        broker.kill()


def test_an_exception_in_the_rest_of_the_agent_costs_the_connection_and_not_the_thread(
    broker: Broker,
) -> None:
    agent = Agent(plain(broker.port))

    def post(happened: Input) -> None:
        agent.inbox.append(happened)
        if isinstance(happened, Acknowledged):
            raise LookupError("cannot happen")  # noqa: TRY004

    agent.reporter.start(post)
    try:
        assert agent.got(Recovered)
        with collector(broker.port) as listener:
            listener.publish(ACK, b'{"v": 1, "seq": 1}')
            assert agent.got(Recovered, times=2)
            assert "LookupError: cannot happen" in agent.faults[0]
            listener.publish(ENROL, CANCEL)
            assert agent.got(EnrolCancelled)
    finally:
        agent.reporter.close()


def test_closing_ends_the_thread_even_while_there_is_no_broker(broker: Broker) -> None:
    broker.kill()
    before = threading.active_count()
    with running(plain(broker.port)) as agent:
        assert agent.got(Faulted)
    assert threading.active_count() == before
    agent.reporter.close()
    agent.reporter.publish(event(1))
    agent.reporter.announce(LockState.LOCKED)


# --- commands


def test_acknowledgements_and_commands_reach_the_inbox(agent: Agent, listener: Collector) -> None:
    listener.publish(ACK, b'{"v": 1, "seq": 7}')
    listener.publish(ENROL, START)
    listener.publish(ERASE, LEAVE)
    listener.publish(ENROL, CANCEL)
    assert agent.got(EnrolCancelled)
    assert agent.inbox == [
        Recovered(Part.BROKER),
        Acknowledged(7),
        EnrolCommanded(SubjectId("s-1"), "012345"),
        EraseCommanded(LEAVER, "5f3a9c0b71d2e84610aa"),
        EnrolCancelled(),
    ]


def test_an_erasure_is_answered_as_handed_on(agent: Agent, listener: Collector) -> None:
    listener.publish(ERASE, LEAVE)
    assert eventually(lambda: listener.payloads("doorward/front/reply/r-3"))
    (reply,) = listener.payloads("doorward/front/reply/r-3")
    assert json.loads(reply) == {"v": 1, "id": "r-3", "action": "erase", "subject": LEAVER}
    assert agent.got(EraseCommanded)


def test_a_command_is_answered_with_the_subject_to_come(agent: Agent, listener: Collector) -> None:
    listener.publish(ENROL, START)
    listener.publish(ENROL, CANCEL)
    assert eventually(lambda: listener.payloads("doorward/front/reply/r-2"))
    (start,) = listener.payloads("doorward/front/reply/r-1")
    assert json.loads(start) == {"v": 1, "id": "r-1", "action": "start", "subject": "s-1"}
    assert not any(each.retain for each in listener.messages if "/reply/" in each.topic)
    assert agent.got(EnrolCancelled)


def test_a_retained_command_does_nothing_whenever_it_arrives(
    broker: Broker, listener: Collector, agent: Agent
) -> None:
    listener.publish(ENROL, START, retain=True)
    listener.publish(ACK, b'{"v": 1, "seq": 7}', retain=True)
    listener.publish(ERASE, LEAVE, retain=True)
    listener.publish(ENROL, CANCEL)
    assert agent.got(EnrolCancelled)
    assert agent.inbox == [Recovered(Part.BROKER), EnrolCancelled()]
    agent.reporter.close()
    with running(plain(broker.port)) as again:
        assert again.got(Recovered)
        listener.publish(ENROL, CANCEL)
        assert again.got(EnrolCancelled)
        assert again.inbox == [Recovered(Part.BROKER), EnrolCancelled()]


def test_a_command_sent_while_the_door_was_away_is_not_delivered_later(broker: Broker) -> None:
    with collector(broker.port) as listener:
        with running(plain(broker.port)) as agent:
            assert agent.got(Recovered)
        assert eventually(lambda: b"offline" in listener.payloads(STATUS))
        listener.publish(ENROL, START)
        listener.publish(ERASE, LEAVE)
        with running(plain(broker.port)) as agent:
            assert agent.got(Recovered)
            listener.publish(ENROL, CANCEL)
            assert agent.got(EnrolCancelled)
            assert agent.inbox == [Recovered(Part.BROKER), EnrolCancelled()]


NONSENSE = {
    "an empty command": (ENROL, b""),
    "no text": (ENROL, b"\xff"),
    "another command": (ENROL, b'{"v": 1, "id": "r", "action": "unlock"}'),
    "a long command": (ENROL, CANCEL.ljust(17_000)),
    "a very long command": (ENROL, b"[" * 100_000),
    "a topic below": (ENROL + "/now", START),
    "another topic": ("doorward/front/cmd/unlock", START),
    "another door": ("doorward/back/cmd/enrol", START),
    "a negative number": (ACK, b'{"v": 1, "seq": -1}'),
    "a command as acknowledgement": (ACK, START),
    "an empty erasure": (ERASE, b""),
    "an enrolment as erasure": (ERASE, START),
    "an erasure as enrolment": (ENROL, LEAVE),
    "an erasure of part of an id": (ERASE, LEAVE.replace(b"abcdef", b"")),
    "another door's erasure": ("doorward/back/cmd/erase", LEAVE),
}


@pytest.mark.parametrize(("topic", "payload"), NONSENSE.values(), ids=NONSENSE)
def test_anything_else_does_nothing(
    agent: Agent, listener: Collector, topic: str, payload: bytes
) -> None:
    listener.publish(topic, payload)
    listener.publish(ENROL, CANCEL)
    assert agent.got(EnrolCancelled)
    assert agent.inbox == [Recovered(Part.BROKER), EnrolCancelled()]


# --- the connection


OUTGOING_ONLY = """
import json, socket, sys, threading
bound, listened, connected = [], [], threading.Event()
sys.addaudithook(lambda what, args: bound.append(args[1]) if what == "socket.bind" else None)
listen = socket.socket.listen  # raises no audit event
socket.socket.listen = lambda self, *args: (listened.append(str(self)), listen(self, *args))[1]
from agent.adapters.mqtt import MqttReporter
from agent.config import Mqtt
reporter = MqttReporter(Mqtt(host="localhost", port=int(sys.argv[1]), tls=False), "front", str)
reporter.start(lambda happened: connected.set())
print(json.dumps({"connected": connected.wait(20), "bound": bound, "listened": listened}))
reporter.close()
"""


def test_the_door_listens_on_no_port(broker: Broker) -> None:
    said = subprocess.run(
        [sys.executable, "-c", OUTGOING_ONLY, str(broker.port)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    result = json.loads(said)
    assert result["connected"]
    assert result["listened"] == []
    # Outgoing connections bind to whatever is free.
    assert all(address == ["", 0] for address in result["bound"])


@pytest.fixture
def secured(mosquitto_binary: str, tmp_path: Path, certificates: Path) -> Iterator[Broker]:
    """A broker that knows everybody by their certificate, and lets a door speak for itself only."""
    rules = tmp_path / "acl"
    rules.write_text(
        "user collector\ntopic readwrite #\n"
        "pattern write doorward/%u/#\n"
        "pattern read doorward/%u/cmd/#\n"
        "pattern read doorward/%u/event/ack\n"
    )
    settings = [
        f"cafile {certificates / 'ca.pem'}",
        f"certfile {certificates / 'localhost.pem'}",
        f"keyfile {certificates / 'localhost.key'}",
        "require_certificate true",
        "use_identity_as_username true",
        f"acl_file {rules}",
    ]
    broker = Broker(mosquitto_binary, tmp_path, settings)
    broker.start()
    yield broker
    broker.kill()


def encrypted(port: int, certificates: Path, name: str) -> Mqtt:
    return Mqtt(
        host="localhost",
        port=port,
        ca_file=str(certificates / "ca.pem"),
        cert_file=str(certificates / f"{name}.pem"),
        key_file=str(certificates / f"{name}.key"),
    )


@pytest.fixture
def overseer(secured: Broker, certificates: Path) -> Iterator[Collector]:
    def prepare(client: Client) -> None:
        client.tls_set(
            str(certificates / "ca.pem"),
            str(certificates / "collector.pem"),
            str(certificates / "collector.key"),
        )

    with collector(secured.port, prepare=prepare) as listener:
        yield listener


def test_a_door_with_a_certificate_reports_over_tls_and_takes_commands(
    secured: Broker, overseer: Collector, certificates: Path
) -> None:
    with running(encrypted(secured.port, certificates, "front")) as agent:
        assert agent.got(Recovered)
        for seq in range(200):
            agent.reporter.publish(event(seq))
        overseer.publish(ENROL, CANCEL)
        assert agent.got(EnrolCancelled)
        assert eventually(lambda: len(overseer.payloads(EVENT)) == 200)
    assert eventually(lambda: overseer.payloads(STATUS) == [b"online", b"offline"])


def test_a_door_cannot_speak_for_another(
    secured: Broker, overseer: Collector, certificates: Path
) -> None:
    with running(encrypted(secured.port, certificates, "front"), door="back") as agent:
        assert agent.got(Recovered)
        agent.reporter.publish(event(1))
        overseer.publish("doorward/back/cmd/enrol", CANCEL)
        with running(encrypted(secured.port, certificates, "front")) as front:
            assert front.got(Recovered)
            front.reporter.publish(event(2))
            assert eventually(lambda: overseer.payloads(EVENT))
    assert not any(each.topic.startswith("doorward/back/e") for each in overseer.messages)
    assert agent.inbox == [Recovered(Part.BROKER)]


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # paho's, after a failed handshake
def test_a_broker_that_another_authority_vouches_for_is_not_trusted(
    secured: Broker, certificates: Path
) -> None:
    wrong = replace(
        encrypted(secured.port, certificates, "front"), ca_file=str(certificates / "wrong.pem")
    )
    with running(wrong) as agent:
        assert agent.got(Faulted)
        assert "its certificate is not trusted: " in agent.faults[0]


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # paho's, after a failed handshake
def test_a_broker_with_a_certificate_for_another_name_is_not_trusted(
    secured: Broker, certificates: Path
) -> None:
    settings = replace(encrypted(secured.port, certificates, "front"), host="127.0.0.1")
    with running(settings) as agent:
        assert agent.got(Faulted)
        assert "not trusted: IP address mismatch" in agent.faults[0]


def test_nothing_older_than_tls_1_2_is_spoken(certificates: Path) -> None:
    # No broker of today can be made to speak less.
    context = read_access(encrypted(8883, certificates, "front")).tls
    assert context is not None
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("key", "content", "complaint"),
    [
        ("ca_file", None, "no such file or directory"),
        ("ca_file", "no certificate", "no certificate or crl found"),
        ("cert_file", None, "no such file or directory"),
        ("cert_file", "no certificate", "not in pem format"),
        ("password_file", None, "no such file or directory"),
        ("password_file", b"\xff", "not UTF-8 text"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_before_anything_starts(
    tmp_path: Path, certificates: Path, key: str, content: str | bytes | None, complaint: str
) -> None:
    given = tmp_path / "given"
    if content is not None:
        given.write_bytes(content if isinstance(content, bytes) else content.encode())
    agent = Agent(
        replace(encrypted(8883, certificates, "front"), username="u", **{key: str(given)})
    )
    with pytest.raises(ConfigError) as caught:
        agent.reporter.start(agent.inbox.append)
    agent.reporter.close()
    message = str(caught.value)
    assert message.startswith(f"mqtt.{key}: {given}: {complaint}")
    assert "\n" not in message


def test_a_key_under_a_passphrase_is_refused_and_not_asked_for(
    tmp_path: Path, certificates: Path
) -> None:
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "ec", "-aes256", "-passout", "pass:secret", "-in", "front.key", "-out", locked],
        cwd=certificates,
        check=True,
        capture_output=True,
    )
    agent = Agent(replace(encrypted(8883, certificates, "front"), key_file=str(locked)))
    with pytest.raises(ConfigError, match=r"^mqtt\.cert_file: "):
        agent.reporter.start(agent.inbox.append)
    agent.reporter.close()


def test_without_a_host_there_is_nothing_to_start() -> None:
    agent = Agent(Mqtt())
    with pytest.raises(ConfigError, match=r"mqtt\.host: is not set"):
        agent.reporter.start(agent.inbox.append)
    agent.reporter.close()
