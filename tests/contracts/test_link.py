"""The connection to the broker: how it is made, lost, found to be lost, and made anew."""

import json
import select
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from agent.adapters import link
from agent.config import Mqtt
from agent.core.events import FaultRaised, Part
from agent.core.inputs import Acknowledged, Faulted, Input, Recovered
from agent.core.orders import MAX_PAYLOAD, Delivered
from agent.core.types import LockState
from agent.ports import Post, Recorded
from agent.wire.topics import ONLINE
from tests.brokers import Broker, Collector, speaking
from tests.contracts.doors import (
    ACK,
    EVENT,
    LOCK,
    PING,
    REFUSED,
    STATUS,
    SUBSCRIBED,
    TAKEN_OVER,
    VERSION,
    WELCOME,
    Agent,
    encrypted,
    event,
    plain,
    running,
)
from tests.contracts.waiting import DEADLINE, eventually
from tests.residents import NOW

pytestmark = pytest.mark.usefixtures("soon")


def packet(topic: str, payload: bytes) -> bytes:
    """What a broker sends to deliver a short message with QoS 0."""
    name = struct.pack(">H", len(topic)) + topic.encode()
    return b"\x30" + bytes([len(name) + 1 + len(payload)]) + name + b"\0" + payload


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


def test_however_often_it_tries_an_outage_is_reported_once() -> None:
    with speaking(b"\xff" * 50) as broker, running(plain(broker.port)) as agent:
        assert eventually(lambda: len(broker.heard) >= 4)
        assert len(agent.faults) == 1


def test_an_unknown_host_is_reported_as_such() -> None:
    with running(Mqtt(host="broker.invalid", port=1883, tls=False, allow_plaintext=True)) as agent:
        assert agent.got(Faulted)
        assert "mqtt: broker broker.invalid:1883: there is no such host" in agent.faults[0]


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


def test_a_broker_that_does_not_let_the_door_hear_its_acknowledgements_is_a_fault() -> None:
    with speaking(WELCOME, REFUSED) as broker, running(plain(broker.port)) as agent:
        assert agent.got(Faulted)
        assert "it does not let the door hear doorward/front/event/ack" in agent.faults[0]
        assert not any(isinstance(each, Recovered) for each in agent.inbox)


def test_a_broker_that_does_not_let_the_door_hear_home_assistant_will_do() -> None:
    heard_all_but_birth = b"\x90\x06\x00\x01\x00\x01\x01\x87"
    with speaking(WELCOME, heard_all_but_birth) as broker, running(plain(broker.port)) as agent:
        assert agent.got(Recovered)
        assert agent.faults == []


def test_a_broker_that_never_confirms_what_is_to_be_heard_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link, "OPENING", 0.2)
    monkeypatch.setattr(link, "LONGEST_WAIT", 0.05)
    with speaking(WELCOME) as broker, running(plain(broker.port)) as agent:
        assert agent.got(Faulted)
        assert "it does not answer" in agent.faults[0]
        # It says that it is there once it can be told something.
        assert not any(ONLINE in each for each in broker.heard)


def test_what_never_comes_is_found_within_half_a_minute_by_the_shipped_constants() -> None:
    assert link.OPENING + 2 * link.LONGEST_WAIT < 30


# --- a line that goes silent


@dataclass
class Line:
    """A line to a broker. Once it is dead it stays open, and nothing gets through."""

    far: int
    server: socket.socket
    dead: bool = False

    @property
    def port(self) -> int:
        return int(self.server.getsockname()[1])

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self.server.accept()
                with near, socket.create_connection(("127.0.0.1", self.far)) as far:
                    self._carry(near, far)

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while True:
                for end in select.select([near, far], [], [])[0]:
                    said = end.recv(65536)
                    if not said:
                        return
                    if not self.dead:
                        (far if end is near else near).sendall(said)


@contextmanager
def line_to(port: int) -> Iterator[Line]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        line = Line(port, server)
        thread = threading.Thread(target=line.serve)
        thread.start()
        try:
            yield line
        finally:
            # Closing alone would leave the thread waiting.
            server.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.parametrize("talks", [False, True], ids=["a door at rest", "a door that reports"])
def test_a_line_that_goes_silent_is_found_dead_within_two_keepalives(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, talks: bool
) -> None:
    monkeypatch.setattr(link, "KEEPALIVE", 1)
    with line_to(broker.port) as line, running(plain(line.port)) as agent:
        assert agent.got(Recovered)
        line.dead = True
        since = time.monotonic()
        while not agent.faults and time.monotonic() - since < DEADLINE:
            # What is sent all the time must not be taken for a sign of life from the other side.
            if talks:
                agent.reporter.publish(event(1))
            threading.Event().wait(0.02)
        assert agent.faults
        # One second for the look at the clock, and one for a busy machine.
        assert time.monotonic() - since < 2 * 1 + link.LONGEST_WAIT + 1
        line.dead = False
        assert agent.got(Recovered, times=2)


def test_a_frozen_broker_is_an_outage(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "KEEPALIVE", 1)
    with running(plain(broker.port)) as agent:
        assert agent.got(Recovered)
        broker.freeze()
        assert agent.got(Faulted)


def test_half_a_minute_is_enough_to_find_whatever_has_stopped() -> None:
    tended_every = 1.0
    assert 2 * link.KEEPALIVE + link.LONGEST_WAIT < 30
    assert link.HANGING + tended_every < 30
    # The broker gives up on a door after one and a half.
    assert 1.5 * link.KEEPALIVE < 30
    # A thread that connects is at work: an address that does not answer takes 5 s, as does TLS,
    # and a name may stand for two of them.
    assert 3 * 5.0 + link.LONGEST_WAIT < link.HANGING


# --- a thread that ended or hangs


@contextmanager
def posting(port: int, post: Post) -> Iterator[Agent]:
    """Run a reporter whose posts go through `post` once they are in the inbox."""
    agent = Agent(replace(plain(port), discovery="legacy"))

    def posted(happened: Input) -> None:
        agent.inbox.append(happened)
        post(happened)

    agent.reporter.start(posted)
    try:
        yield agent
    finally:
        agent.reporter.close()


# It ends as it is meant to here, and at work nobody would see why either.
@pytest.mark.filterwarnings("ignore:Exception in thread mqtt:pytest.PytestWarning")
def test_a_thread_that_died_is_replaced_and_says_again_what_is_retained(
    broker: Broker, listener: Collector
) -> None:
    died = []

    def post(happened: Input) -> None:
        if isinstance(happened, Acknowledged):
            died.append(threading.current_thread())
            raise SystemExit

    with posting(broker.port, post) as agent:
        assert agent.got(Recovered)
        agent.reporter.announce(LockState.LOCKED)
        agent.reporter.tend()
        listener.publish(ACK, b'{"v": 1, "seq": 1}')
        assert eventually(lambda: died and not died[0].is_alive())
        agent.reporter.announce(LockState.UNLOCKED)
        agent.reporter.tend()
        assert agent.got(Recovered, times=2)
        assert eventually(lambda: listener.payloads(LOCK)[-1:] == [b"UNLOCKED"])
        listener.publish(PING, b"{}")
        assert agent.got(Delivered)
    (fault,) = agent.faults
    assert "its thread ended, or did nothing for 25 s" in fault
    kinds = [type(each) for each in agent.inbox]
    assert kinds == [Recovered, Acknowledged, Faulted, Recovered, Delivered]


def test_a_thread_that_works_is_left_alone(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "HANGING", 1.0)
    monkeypatch.setattr(link, "LONGEST_WAIT", 0.05)
    # Waiting for the next try is no hanging either.
    monkeypatch.setattr(link, "FIRST_DELAY", 3.0)

    def threads() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "mqtt"]

    def tended(agent: Agent, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            agent.reporter.tend()
            threading.Event().wait(0.05)
        assert threads() == at_work

    with running(plain(broker.port)) as agent:
        at_work = threads()
        agent.reporter.tend()
        assert agent.got(Recovered)
        tended(agent, 1.5)
        assert agent.inbox == [Recovered(Part.BROKER)]
        broker.kill()
        assert agent.got(Faulted)
        tended(agent, 1.5)
        assert len(agent.faults) == 1
        assert "the connection was lost" in agent.faults[0]


def test_a_reporter_that_never_started_or_is_closed_needs_no_tending(broker: Broker) -> None:
    agent = Agent(plain(broker.port))
    agent.reporter.tend()
    assert "mqtt" not in [thread.name for thread in threading.enumerate()]
    assert agent.inbox == []


def test_a_thread_that_hangs_is_replaced_and_never_heard_of_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link, "HANGING", 0.5)
    monkeypatch.setattr(link, "LONGEST_WAIT", 0.05)
    go_on = threading.Event()
    said_by: list[tuple[threading.Thread, Input]] = []

    def post(happened: Input) -> None:
        said_by.append((threading.current_thread(), happened))
        if len(said_by) == 2:
            go_on.wait(DEADLINE)

    # It hangs with the first command, and has the others and more in its hands: paho reads as
    # many packets at once as acknowledgements are awaited.
    told = 3 * packet(PING, b"{}") + SUBSCRIBED
    with speaking(WELCOME, SUBSCRIBED, told) as broker, posting(broker.port, post) as agent:
        assert eventually(lambda: len(said_by) == 2)
        hung = said_by[1][0]

        def replaced() -> bool:
            agent.reporter.tend()
            return bool(agent.faults)

        assert eventually(replaced)
        assert hung.is_alive()
        go_on.set()
        assert eventually(lambda: not hung.is_alive())
        assert agent.got(Recovered, times=2)
    of_old = [happened for by, happened in said_by if by is hung]
    assert of_old == [Recovered(Part.BROKER), Delivered("ping", b"{}")]


def test_where_the_thread_in_its_place_hangs_too_only_a_new_process_can_help(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "HANGING", 0.5)
    monkeypatch.setattr(link, "LONGEST_WAIT", 0.05)
    go_on = threading.Event()
    hung: set[threading.Thread] = set()

    def post(happened: Input) -> None:
        if isinstance(happened, Recovered):
            hung.add(threading.current_thread())
            go_on.wait(DEADLINE)

    with posting(broker.port, post) as agent:
        alive = []
        for threads in (1, 2, 3):

            def tended(threads: int = threads) -> bool:
                agent.reporter.tend()
                return len(hung) == threads

            assert eventually(tended)
            alive.append(agent.reporter.alive)
        # The second is as good as any, until it hangs as well.
        assert alive == [True, True, False]
        go_on.set()


def test_threads_that_look_up_a_name_that_nobody_resolves_need_no_new_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link, "HANGING", 0.3)
    go_on = threading.Event()
    asking: set[threading.Thread] = set()

    def unanswered(*_: Any, **__: Any) -> Any:  # noqa: ANN401 - as socket has it
        asking.add(threading.current_thread())
        go_on.wait(DEADLINE)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", unanswered)
    with running(plain(1)) as agent:

        def tended() -> bool:
            agent.reporter.tend()
            return len(asking) == 4

        assert eventually(tended)
        assert agent.reporter.alive
        go_on.set()


def test_a_name_that_is_found_too_late_costs_the_new_connection_nothing(
    broker: Broker, listener: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "HANGING", 0.5)
    monkeypatch.setattr(link, "LONGEST_WAIT", 0.05)
    look_up, go_on = socket.getaddrinfo, threading.Event()
    asking: list[threading.Thread] = []

    def slow(*asked: Any, **more: Any) -> Any:  # noqa: ANN401 - as socket has it
        if threading.current_thread().name == "mqtt":
            asking.append(threading.current_thread())
            if len(asking) == 1:
                go_on.wait(DEADLINE)
        return look_up(*asked, **more)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with running(plain(broker.port)) as agent:
        assert eventually(lambda: asking)

        def replaced() -> bool:
            agent.reporter.tend()
            return Recovered(Part.BROKER) in agent.inbox

        assert eventually(replaced)
        go_on.set()
        assert eventually(lambda: not asking[0].is_alive())
        agent.reporter.publish(event(1))
        assert eventually(lambda: listener.payloads(EVENT))
        # Had the late one come with the same name, the broker would have dismissed the other.
        assert listener.payloads(STATUS) == [b"online"]
        assert [type(each) for each in agent.inbox] == [Faulted, Recovered]


def test_an_exception_in_the_rest_of_the_agent_costs_the_connection_and_not_the_thread(
    broker: Broker, listener: Collector
) -> None:
    def post(happened: Input) -> None:
        if isinstance(happened, Acknowledged):
            raise LookupError("cannot happen")  # noqa: TRY004

    with posting(broker.port, post) as agent:
        assert agent.got(Recovered)
        listener.publish(ACK, b'{"v": 1, "seq": 1}')
        assert agent.got(Recovered, times=2)
        assert "LookupError: cannot happen" in agent.faults[0]
        listener.publish(PING, b"{}")
        assert agent.got(Delivered)


def test_closing_ends_the_thread_even_while_there_is_no_broker(broker: Broker) -> None:
    broker.kill()
    before = threading.active_count()
    with running(plain(broker.port)) as agent:
        assert agent.got(Faulted)
    assert threading.active_count() == before
    agent.reporter.close()
    agent.reporter.publish(event(1))
    agent.reporter.announce(LockState.LOCKED)


def test_a_door_that_is_killed_is_soon_offline(broker: Broker, listener: Collector) -> None:
    program = (
        "import sys, time; from agent.adapters.mqtt import MqttReporter; "
        "from agent.config import Mqtt; "
        "reporter = MqttReporter(Mqtt(host='localhost', port=int(sys.argv[1]), tls=False), "
        f"'front', '{VERSION}'); reporter.start(print); time.sleep(600)"
    )
    door = subprocess.Popen(
        [sys.executable, "-c", program, str(broker.port)], stdout=subprocess.DEVNULL
    )
    try:
        assert eventually(lambda: listener.payloads(STATUS) == [b"online"])
    finally:
        door.kill()
        door.wait()
    assert eventually(lambda: listener.payloads(STATUS) == [b"online", b"offline"])


# --- the socket


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

    monkeypatch.setattr(link, "LONGEST_WAIT", 600)
    monkeypatch.setattr(link, "select", SimpleNamespace(select=counted))
    with running(plain(broker.port)) as agent:
        assert agent.got(Recovered)
        assert eventually(asleep)
        agent.reporter.publish(event(1))
        assert eventually(lambda: listener.payloads(EVENT))
        assert eventually(asleep)


def test_what_a_slow_broker_could_not_take_at_once_arrives_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connect = socket.create_connection

    def narrow(*where: Any, **how: Any) -> socket.socket:  # noqa: ANN401
        connection: socket.socket = connect(*where, **how)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        return connection

    monkeypatch.setattr(socket, "create_connection", narrow)
    # Nothing but room to write may wake the thread: this broker acknowledges nothing.
    monkeypatch.setattr(link, "LONGEST_WAIT", 600)
    long = FaultRaised(Part.CAMERA, "x" * 15_000)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with running(plain(server.getsockname()[1])) as agent, server.accept()[0] as connection:
            connection.settimeout(DEADLINE)
            for answer in (WELCOME, SUBSCRIBED):
                assert connection.recv(65_536)
                connection.sendall(answer)
            assert agent.got(Recovered)
            for seq in range(1, 16):
                agent.reporter.publish(Recorded(seq, "boot", NOW, long))
            assert eventually(lambda: agent.reporter._outgoing.queued == 0)  # noqa: SLF001
            heard = b""
            while heard.count(b"x" * 15_000) < 15:
                said = connection.recv(65_536)
                assert said
                heard += said


def test_a_session_ends_with_its_connection_and_packets_are_bounded() -> None:
    with speaking(WELCOME) as broker, running(plain(broker.port)):
        assert eventually(lambda: broker.heard)
        connect = broker.heard[0]
    variable = connect[connect.index(b"\0\4MQTT") + 6 :]
    version, flags, keepalive = struct.unpack(">BBH", variable[:4])
    assert (version, keepalive) == (5, link.KEEPALIVE)
    clean_start, will, will_qos_1, will_retained = (flags & bit for bit in (2, 4, 8, 32))
    assert clean_start
    assert will
    assert will_qos_1
    assert will_retained
    # More than a command may have, so that one that is too long is counted; and not much more.
    assert link.PACKET == 65_536 > MAX_PAYLOAD
    properties = variable[5 : 5 + variable[4]]
    assert properties in {
        first + second
        for session, size in [(b"\x11" + bytes(4), b"\x27" + struct.pack(">I", link.PACKET))]
        for first, second in [(session, size), (size, session)]
    }


def test_what_arrives_in_one_piece_is_read_to_its_end(
    certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Decrypted, and so invisible to select.
    monkeypatch.setattr(link, "LONGEST_WAIT", 600)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "localhost.pem", certificates / "localhost.key")
    told = SUBSCRIBED + 5 * packet(PING, b"{}")
    with (
        speaking(WELCOME, told, tls=context) as broker,
        running(encrypted(broker.port, certificates, "front")) as agent,
    ):
        assert agent.got(Delivered, times=5)


OUTGOING_ONLY = """
import json, socket, sys, threading
bound, listened, connected = [], [], threading.Event()
sys.addaudithook(lambda what, args: bound.append(args[1]) if what == "socket.bind" else None)
listen = socket.socket.listen  # raises no audit event
socket.socket.listen = lambda self, *args: (listened.append(str(self)), listen(self, *args))[1]
from agent.adapters.mqtt import MqttReporter
from agent.config import Mqtt
reporter = MqttReporter(Mqtt(host="localhost", port=int(sys.argv[1]), tls=False), "front", "1.2.3")
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
