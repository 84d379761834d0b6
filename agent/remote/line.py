"""A connection to the broker, as a program needs it that lives for a command or two, or waits."""

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from paho.mqtt.client import Client, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.adapters.broker import Access, explain
from agent.errors import DeviceError

KEEPALIVE = 20
"""Seconds of silence after which either side asks whether the other is there."""
OPENING = 10.0
"""Seconds that the broker is given to let the client in."""
BATCH = 2000
"""Messages handed on at once, at most."""
PACKET = 512 * 1024
"""Bytes of a packet that the broker may send, at most: a full page of residents has 230,000."""
FIRST_DELAY = 1.0
LAST_DELAY = 30.0
"""Seconds until the next try to connect, doubled each time from the first to the last."""


@dataclass(frozen=True, slots=True)
class Message:
    """What came from the broker; anything at all may be in it."""

    topic: str
    payload: bytes = field(repr=False)
    retained: bool


class Line:
    """A connection that hears these topics, until it is closed or lost.

    No thread: whoever waits for messages keeps it going meanwhile. All that uses the connection
    raises DeviceError where it is lost, and so does making it where it cannot be made.
    """

    def __init__(self, access: Access, topics: Sequence[str]) -> None:
        self._where = f"broker {access.host}:{access.port}"
        self._topics = topics
        self._reason = "the connection was lost"
        self._subscribed = False
        self._arrived: list[Message] = []
        self._sent: dict[int, str] = {}
        self.denied: set[str] = set()
        """Topics on which the broker took no message: its ACL is against it."""
        # A name of its own, since a broker ends the connection of whoever had the same before.
        self._client = access.new_client(f"doorward-remote-{secrets.token_hex(8)}")
        self._client.on_connect = lambda client, _, _flags, code, _more: self._greet(client, code)
        self._client.on_subscribe = lambda _client, _, _mid, codes, _more: self._begin(codes)
        self._client.on_disconnect = lambda _client, _, flags, code, _more: self._part(flags, code)
        self._client.on_publish = lambda _client, _, mid, code, _more: self._taken(mid, code)
        self._client.on_message = lambda _client, _, message: self._hear(message)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = PACKET
        try:
            self._client.connect(
                access.host, access.port, KEEPALIVE, clean_start=True, properties=properties
            )
        except Exception as error:  # noqa: BLE001 - an odd host name ends in many kinds of them
            raise self._broken(explain(error)) from None
        end = time.monotonic() + OPENING
        while not self._subscribed:
            if not time.monotonic() < end:
                self._client.disconnect()
                raise self._broken("it does not answer")
            self._drive(0.1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # What was sent last may wait for room in the socket, with which it goes.
        self._client.loop_write()
        self._client.disconnect()

    def receive(self, seconds: float, gather: float = 0.0) -> list[Message]:
        """Wait for messages, but no longer than this, and give all that are there by then.

        gather: seconds to wait for more once there is one, for whom many at once are cheaper.
        """
        end = time.monotonic() + seconds
        self._drive(0)
        while not self._arrived and (left := end - time.monotonic()) > 0:
            self._drive(left)
        end, known = time.monotonic() + gather, 0
        while known < len(self._arrived) < BATCH:
            known = len(self._arrived)
            self._drive(0)
            while len(self._arrived) == known and (left := end - time.monotonic()) > 0:
                self._drive(left)
        arrived, self._arrived = self._arrived, []
        return arrived

    def send(self, topic: str, payload: bytes) -> None:
        """Publish at QoS 1, not retained."""
        sent = self._client.publish(topic, payload, qos=1)
        self._sent[sent.mid] = topic

    def _drive(self, seconds: float) -> None:
        try:
            outcome = self._client.loop(seconds)
        except Exception as error:  # noqa: BLE001 - whatever the broker sent, it is no traceback
            raise self._broken(explain(error)) from None
        if outcome is not MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise self._broken(self._reason)

    def _broken(self, reason: str) -> DeviceError:
        return DeviceError(f"mqtt: {self._where}: {reason}: check the broker and [mqtt]")

    def _greet(self, client: Client, code: ReasonCode) -> None:
        if code.is_failure:
            self._reason = str(code).lower()
            return
        # Without it what is retained, but arrives live, cannot be told from any other.
        options = SubscribeOptions(qos=1, retainAsPublished=True)
        client.subscribe([(topic, options) for topic in self._topics])

    def _begin(self, codes: Sequence[ReasonCode]) -> None:
        self.denied |= {t for t, code in zip(self._topics, codes, strict=False) if code.is_failure}
        self._subscribed = True

    def _part(self, flags: DisconnectFlags, code: ReasonCode) -> None:
        if flags.is_disconnect_packet_from_server:
            self._reason = f"it ended the connection: {str(code).lower()}"

    def _taken(self, mid: int, code: ReasonCode) -> None:
        topic = self._sent.pop(mid, "")
        if code.is_failure:
            self.denied.add(topic)

    def _hear(self, message: MQTTMessage) -> None:
        self._arrived.append(Message(message.topic, bytes(message.payload), message.retain))


def stay(
    connect: Callable[[], Line],
    serve: Callable[[Line], None],
    tell: Callable[[str | None], None],
    stop: threading.Event,
) -> None:
    """Have each connection served until told to stop, and make another whenever it is lost.

    tell: is given None when there is a connection, and why there is none when that changes.
    """
    delay, told = FIRST_DELAY, ""
    while not stop.is_set():
        try:
            with connect() as line:
                tell(None)
                delay, told = FIRST_DELAY, ""
                serve(line)
        except DeviceError as error:
            if str(error) != told:
                told = str(error)
                tell(told)
            stop.wait(delay)
            delay = min(2 * delay, LAST_DELAY)
