"""Reports over MQTT, and takes commands from there, in a thread of its own.

paho is driven by the loop below and not by its own thread. That one opens a listening socket to
wake itself up, ends unnoticed with an exception in a callback, and on a new connection sends what
was left over from the lost one, such as an old lock state, after what is new. Here a client lives
for one connection, only this thread touches it, and a socket pair wakes it up.
"""

import contextlib
import random
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable

from paho.mqtt.client import Client, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent import wire
from agent.adapters.broker import Access, explain, read_access
from agent.config import Mqtt
from agent.core.events import (
    Acknowledged,
    EnrolCancelled,
    EnrolCommanded,
    EraseCommanded,
    Faulted,
    Part,
    Recovered,
)
from agent.core.types import LockState, SubjectId
from agent.ports import Post, Recorded

KEEPALIVE = 10
"""Seconds of silence after which either side asks whether the other is there."""
LONGEST_WAIT = 1.0
"""Seconds between two looks at the clock, for the keepalive."""
FIRST_DELAY = 1.0
LAST_DELAY = 30.0
"""Seconds until the next try, doubled each time from the first to the last."""
STEADY = 60.0
"""Seconds after which a connection was a good one, and the delays start anew when it is lost."""
CLOSING = 3.0
"""Seconds that the thread is given to say goodbye."""
QUEUE = 1000
"""Messages that wait for the thread, at most; what does not fit stays in the outbox."""
UNACKNOWLEDGED = 100
"""Messages whose acknowledgement by the broker is awaited, at most."""
PACKET = wire.MAX_PAYLOAD + 1024
"""Bytes of a packet that the broker may send, at most: payload, topic and properties."""


class Latest:
    """A retained message of which only the newest matters: set by any thread, sent by one."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._payload: bytes | None = None
        self._is_news = False

    def set(self, payload: bytes) -> None:
        """Replace what was to be sent."""
        self._payload = payload
        self._is_news = True

    def repeat(self) -> None:
        """Have it sent once more: a broker may have lost it."""
        self._is_news = True

    def hand_over(self, client: Client) -> None:
        """Send it, if there is anything to say and paho has room."""
        if not self._is_news or self._payload is None:
            return
        # Cleared first: another thread may set the next one meanwhile.
        self._is_news = False
        if not _accepted(client, self._topic, self._payload, retain=True):
            self._is_news = True


class MqttReporter:
    """Implements ports.Reporter for one door at one broker.

    settings: the broker. door: name of the door on MQTT. new_subject: makes the id that an
    enrolment commanded from afar would give.
    """

    def __init__(self, settings: Mqtt, door: str, new_subject: Callable[[], SubjectId]) -> None:
        self._settings = settings
        self._door = door
        self._topics = wire.Topics(door)
        self._new_subject = new_subject
        self._state = Latest(self._topics.lock_state)
        self._head = Latest(self._topics.head)
        self._outgoing: deque[tuple[str, bytes]] = deque()
        self._connected = False
        self._at_fault = False
        self._reason: str | None = None
        self._closing = threading.Event()
        self._woken, self._waker = socket.socketpair()
        self._woken.settimeout(0)
        self._waker.settimeout(0)
        self._thread: threading.Thread | None = None

    # --- for any thread ---------------------------------------------------------------------------

    def start(self, post: Post) -> None:
        """See ports.Reporter."""
        access = read_access(self._settings)
        self._thread = threading.Thread(
            target=self._run, args=[access, post], name="mqtt", daemon=True
        )
        self._thread.start()

    def publish(self, recorded: Recorded) -> None:
        """See ports.Reporter. Without a connection only the head waits: the outbox has it all."""
        self._send(self._topics.event, wire.encode_event(recorded))
        if recorded.head:
            self._head.set(recorded.head.encode())
            self._wake()

    def republish(self, recorded: Recorded) -> None:
        """See ports.Reporter."""
        self._send(self._topics.backlog, wire.encode_event(recorded))

    def announce(self, state: LockState) -> None:
        """See ports.Reporter. Of two states that the thread has not sent yet, the first is lost."""
        self._state.set(wire.encode_lock_state(state))
        self._wake()

    def close(self) -> None:
        """See ports.Reporter. It takes a few seconds at most, and may be called again."""
        self._closing.set()
        self._wake()
        if self._thread is not None:
            self._thread.join(CLOSING)
        self._waker.close()
        self._woken.close()

    def _send(self, topic: str, payload: bytes) -> None:
        if self._connected and len(self._outgoing) < QUEUE:
            self._outgoing.append((topic, payload))
            self._wake()

    def _wake(self) -> None:
        # Where the buffer is full it wakes already, and once closed there is nobody to wake.
        with contextlib.suppress(OSError):
            self._waker.send(b"\0")

    # --- the thread -------------------------------------------------------------------------------

    def _run(self, access: Access, post: Post) -> None:
        delay = FIRST_DELAY
        while not self._closing.is_set():
            began = time.monotonic()
            try:
                self._serve(access, post)
            except Exception as error:  # noqa: BLE001 - whatever it was, the next try may go well
                self._reason = explain(error)
            self._connected = False
            if self._closing.is_set():
                return
            self._lost(post)
            if time.monotonic() - began > STEADY:
                delay = FIRST_DELAY
            # Spread, so that not all doors of a house come back in the same moment.
            self._closing.wait(delay * random.uniform(0.5, 1.5))  # noqa: S311 - this is no secret
            delay = min(2 * delay, LAST_DELAY)

    def _serve(self, access: Access, post: Post) -> None:
        self._reason = None
        self._outgoing.clear()
        client = self._connect(access, post)
        while (connection := client.socket()) is not None:
            # What TLS has decrypted already, select does not see.
            pending = isinstance(connection, ssl.SSLSocket) and connection.pending() > 0
            readable, _, _ = select.select(
                [connection, self._woken],
                [connection] if client.want_write() else [],
                [],
                0 if pending else LONGEST_WAIT,
            )
            if self._woken in readable:
                self._woken.recv(4096)
            if pending or connection in readable:
                client.loop_read()
            if self._connected:
                self._hand_over(client)
            if self._closing.is_set():
                # One packet says it all: the broker publishes the will, which says offline.
                farewell = ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message")
                client.disconnect(farewell)
                return
            client.loop_write()
            client.loop_misc()

    def _connect(self, access: Access, post: Post) -> Client:
        client = access.new_client(f"doorward-{self._door}")
        # An exception in one of these costs the connection, and not the thread.
        client.on_connect = lambda client, _, _flags, code, _more: self._greet(client, code)
        client.on_subscribe = lambda _client, _, _mid, _codes, _more: self._begin(post)
        client.on_disconnect = lambda _client, _, flags, code, _more: self._dismissed(flags, code)
        client.on_message = lambda _client, _, message: self._received(message, post)
        client.max_queued_messages_set(UNACKNOWLEDGED)
        client.will_set(self._topics.status, wire.OFFLINE, qos=1, retain=True)
        # A session that outlived the connection would deliver what was commanded meanwhile.
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 0
        properties.MaximumPacketSize = PACKET
        client.connect(access.host, access.port, KEEPALIVE, clean_start=True, properties=properties)
        return client

    def _hand_over(self, client: Client) -> None:
        self._state.hand_over(client)
        while self._outgoing and _accepted(client, *self._outgoing[0], retain=False):
            self._outgoing.popleft()
        # Last, so that whoever keeps heads has the event that a head is about.
        self._head.hand_over(client)

    def _lost(self, post: Post) -> None:
        if self._at_fault:
            return
        self._at_fault = True
        broker = f"{self._settings.host}:{self._settings.port}"
        reason = self._reason or "the connection was lost"
        message = (
            f"mqtt: broker {broker}: {reason}: check the broker and [mqtt]; "
            "the door still opens, and events wait in the outbox"
        )
        post(Faulted(Part.BROKER, message))

    def _greet(self, client: Client, code: ReasonCode) -> None:
        if code.is_failure:
            self._reason = str(code).lower()
            return
        live = SubscribeOptions(
            qos=1,
            # Without it a retained command that arrives live cannot be told from any other.
            retainAsPublished=True,
            retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND,
        )
        topics = (self._topics.enrol, self._topics.erase, self._topics.ack)
        client.subscribe([(topic, live) for topic in topics])
        client.publish(self._topics.status, wire.ONLINE, qos=1, retain=True)

    def _begin(self, post: Post) -> None:
        # Not before: the answer to an event sent now could otherwise pass unheard.
        self._state.repeat()
        self._head.repeat()
        self._connected = True
        self._at_fault = False
        post(Recovered(Part.BROKER))

    def _dismissed(self, flags: DisconnectFlags, code: ReasonCode) -> None:
        if flags.is_disconnect_packet_from_server:
            self._reason = f"it ended the connection: {str(code).lower()}"

    def _received(self, message: MQTTMessage, post: Post) -> None:
        if message.retain or message.dup:
            return
        payload = bytes(message.payload)
        with contextlib.suppress(ValueError):
            if message.topic == self._topics.ack:
                post(Acknowledged(wire.parse_ack(payload)))
            elif message.topic == self._topics.enrol:
                self._enrol(wire.parse_enrol(payload), post)
            elif message.topic == self._topics.erase:
                self._erase(wire.parse_erase(payload), post)

    def _enrol(self, request: wire.EnrolRequest, post: Post) -> None:
        subject = None
        if request.code is None:
            post(EnrolCancelled())
        else:
            subject = self._new_subject()
            post(EnrolCommanded(subject, request.code))
        self._answer(request, subject)

    def _erase(self, request: wire.EraseRequest, post: Post) -> None:
        post(EraseCommanded(request.subject, request.code))
        self._answer(request, request.subject)

    def _answer(
        self, request: wire.EnrolRequest | wire.EraseRequest, subject: SubjectId | None
    ) -> None:
        self._send(self._topics.reply(request.id), wire.encode_reply(request, subject))


def _accepted(client: Client, topic: str, payload: bytes, *, retain: bool) -> bool:
    """Publish, and say whether paho had room for it."""
    sent = client.publish(topic, payload, qos=1, retain=retain)
    return sent.rc != MQTTErrorCode.MQTT_ERR_QUEUE_SIZE
