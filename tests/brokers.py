"""A real broker for tests, somebody who listens at it, and a broker that says what a test wants."""

import contextlib
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.contracts.waiting import DEADLINE, eventually


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """Mosquitto on a loopback port, which can be killed, frozen and started again."""

    def __init__(self, binary: str, directory: Path, settings: Sequence[str]) -> None:
        self._binary = binary
        self._config = directory / "mosquitto.conf"
        self._log = directory / "mosquitto.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        # Started by root it would become another user, who cannot read a test's files.
        lines = [f"listener {self.port} 127.0.0.1", "user root", "persistence false", *settings]
        self._config.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._binary, "-c", str(self._config)], stdout=log, stderr=log
            )
        assert eventually(self._listens)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text(encoding="utf-8")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@dataclass
class Collector:
    """A client with every right, which remembers what it received."""

    client: Client
    messages: list[MQTTMessage] = field(default_factory=list)

    def payloads(self, topic: str) -> list[bytes]:
        return [bytes(each.payload) for each in list(self.messages) if each.topic == topic]

    def publish(self, topic: str, payload: bytes | None, *, retain: bool = False) -> None:
        self.client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(DEADLINE)


@contextlib.contextmanager
def collector(
    port: int, topic: str = "doorward/#", *, prepare: Callable[[Client], object] = id
) -> Iterator[Collector]:
    """Listen to `topic`, what is retained there included. prepare: sets credentials."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    found = Collector(client)
    subscribed = threading.Event()
    client.on_message = lambda _client, _, message: found.messages.append(message)
    client.on_subscribe = lambda *_: subscribed.set()

    def subscribe(*_: object) -> None:
        # Retained as published, so that a test can tell how a message was sent.
        client.subscribe(topic, options=SubscribeOptions(qos=1, retainAsPublished=True))

    client.on_connect = subscribe
    prepare(client)
    client.connect("localhost", port)
    client.loop_start()
    try:
        assert subscribed.wait(DEADLINE)
        yield found
    finally:
        client.disconnect()
        client.loop_stop()


@dataclass
class Speaker:
    """A broker that on every connection says these things, each once it has heard something."""

    answers: list[bytes]
    server: socket.socket
    tls: ssl.SSLContext | None = None
    heard: list[bytes] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.server.getsockname()[1])

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.server.accept()
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with connection:
                for answer in self.answers:
                    self.heard.append(connection.recv(4096))
                    connection.sendall(answer)
                while connection.recv(4096):
                    pass


@contextlib.contextmanager
def speaking(*answers: bytes, tls: ssl.SSLContext | None = None) -> Iterator[Speaker]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        speaker = Speaker(list(answers), server, tls)
        thread = threading.Thread(target=speaker.serve)
        thread.start()
        try:
            yield speaker
        finally:
            # Closing alone would leave the thread waiting.
            server.shutdown(socket.SHUT_RDWR)
    thread.join()
