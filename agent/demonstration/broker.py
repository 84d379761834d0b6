"""A mosquitto of the demonstration's own, on loopback, and a collector that listens to it."""

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from agent.errors import DeviceError
from agent.wire.topics import Topics

LOOPBACK = "127.0.0.1"
START_SECONDS = 10.0


def find_mosquitto() -> str | None:
    """Give the broker's program, also from where a user's PATH does not look; None if missing."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"])
    return shutil.which("mosquitto", path=path)


@contextmanager
def broker(program: str) -> Iterator[int]:
    """Run a broker on a free loopback port, given. Raises DeviceError where it does not start."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "mosquitto.conf"
        settings.write_text(
            f"listener {port} {LOOPBACK}\nallow_anonymous true\npersistence false\n",
            encoding="ascii",
        )
        process = subprocess.Popen(  # noqa: S603 - found on the path, as `find_mosquitto` says
            [program, "-c", str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            _await(port, process)
            yield port
        finally:
            process.terminate()
            process.wait()


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection((LOOPBACK, port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    message = f"mosquitto: does not start on port {port}: try it alone: mosquitto -p {port}"
    raise DeviceError(message)


class Collector:
    """Takes a door's events from the broker and acknowledges each, as an archive would."""

    def __init__(self, port: int, door: str) -> None:
        self._topics = Topics(door)
        self._changed = threading.Condition()
        self._ready = False
        self.received: set[int] = set()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id="collector", protocol=mqtt.MQTTv5
        )
        self._client.on_connect = self._connected
        self._client.on_subscribe = self._subscribed
        self._client.on_message = self._arrived
        self._client.connect(LOOPBACK, port)
        self._client.loop_start()
        with self._changed:
            self._changed.wait_for(lambda: self._ready, START_SECONDS)

    def has_all(self, last: int, seconds: float) -> bool:
        """Say whether events 1 to `last` have all come, waiting for them if need be."""
        wanted = set(range(1, last + 1))
        with self._changed:
            return self._changed.wait_for(lambda: wanted <= self.received, seconds)

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, client: mqtt.Client, *_: object) -> None:
        client.subscribe([(self._topics.event, 1), (self._topics.backlog, 1)])

    def _subscribed(self, *_: object) -> None:
        with self._changed:
            self._ready = True
            self._changed.notify_all()

    def _arrived(self, client: mqtt.Client, _: object, message: mqtt.MQTTMessage) -> None:
        seq: int = msgspec.json.decode(message.payload)["seq"]
        with self._changed:
            self.received.add(seq)
            upto = 0
            while upto + 1 in self.received:
                upto += 1
            self._changed.notify_all()
        client.publish(self._topics.ack, msgspec.json.encode({"v": 1, "seq": upto}), qos=1)
