"""The connection to the broker, in a thread of its own that makes it anew whenever it is lost.

paho is driven by the loop below and not by its own thread. That one opens a listening socket to
wake itself up, ends unnoticed with an exception in a callback, and on a new connection sends what
was left over from the lost one, such as an old lock state, after what is new. Here a client lives
for one connection, only this thread touches it, and a socket pair wakes it up.
"""

import contextlib
import errno
import random
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from paho.mqtt.client import Client, DisconnectFlags, MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.adapters.broker import Access, explain
from agent.adapters.outgoing import Outgoing
from agent.wire.topics import OFFLINE, ONLINE

KEEPALIVE = 10
"""Seconds of silence after which either side asks whether the other is there."""
OPENING = 10.0
"""Seconds that a broker is given to let the door in, and to confirm what it is to hear."""
LONGEST_WAIT = 1.0
"""Seconds between two looks at the clock, for the keepalive."""
FIRST_DELAY = 1.0
LAST_DELAY = 30.0
"""Seconds until the next try, doubled each time from the first to the last."""
STEADY = 60.0
"""Seconds after which a connection was a good one, and the delays start anew when it is lost."""
CLOSING = 3.0
"""Seconds that the thread is given to say goodbye."""
UNACKNOWLEDGED = 100
"""Messages whose acknowledgement by the broker is awaited, at most."""
PACKET = 64 * 1024
"""Bytes of a packet that the broker may send, at most: more than is read, so that it is counted."""
HANGING = 25.0
"""Seconds without a sign of life after which the thread counts as hanging."""


@dataclass(frozen=True, slots=True)
class Session:
    """What every connection begins with. status: the topic of the last will, and of ONLINE.

    topics: what must be heard. wishes: what may be.
    """

    client_id: str
    status: str
    topics: tuple[str, ...]
    wishes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What the thread calls. None of them may block.

    lost: is given why, after each loss and each try that failed.
    """

    connected: Callable[[], None]
    lost: Callable[[str], None]
    received: Callable[[MQTTMessage], None]


class Link:
    """Keeps a connection from when it is made to `close`.

    connected: whether it has one, and hears what it subscribed to.
    """

    def __init__(
        self, access: Access, session: Session, outgoing: Outgoing, callbacks: Callbacks
    ) -> None:
        self._access = access
        self._session = session
        self._outgoing = outgoing
        self._callbacks = callbacks
        self._reason: str | None = None
        self._closing = threading.Event()
        self._woken, self._waker = socket.socketpair()
        self._woken.settimeout(0)
        self._waker.settimeout(0)
        self._is_woken = False
        self._sign_of_life = time.monotonic()
        self._connecting = False
        self.connected = False
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()

    # --- for any thread ---------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Whether the thread runs and does something now and then, if only wait."""
        return self._thread.is_alive() and time.monotonic() - self._sign_of_life < HANGING

    @property
    def connecting(self) -> bool:
        """Whether the thread waits for the world: for a name to be found, or a broker to answer."""
        return self._connecting

    def wake(self) -> None:
        """Have the thread look at what is to be sent."""
        if self._is_woken:
            return
        self._is_woken = True
        # Once closed there is nobody to wake.
        with contextlib.suppress(OSError):
            self._waker.send(b"\0")

    def close(self, patience: float = CLOSING) -> None:
        """Say goodbye, and wait so many seconds for the thread to end; may be called again."""
        self._closing.set()
        self.wake()
        self._thread.join(patience)
        self._waker.close()
        self._woken.close()

    def give_up(self) -> None:
        """Leave a thread alone that ended or hangs. Should it go on, it reaches nobody and ends."""
        self._callbacks = Callbacks(lambda: None, lambda _: None, lambda _: None)
        self._outgoing = Outgoing(last="")
        self.close(0)

    # --- the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        delay = FIRST_DELAY
        while not self._closing.is_set():
            began = time.monotonic()
            try:
                self._serve()
            except Exception as error:  # noqa: BLE001 - whatever it was, the next try may go well
                self._reason = explain(error)
            self.connected = False
            if self._closing.is_set():
                return
            self._callbacks.lost(self._reason or "the connection was lost")
            if time.monotonic() - began > STEADY:
                delay = FIRST_DELAY
            # Spread, so that not all doors of a house come back in the same moment.
            pause = delay * random.uniform(0.5, 1.5)  # noqa: S311 - this is no secret
            self._sign_of_life = time.monotonic() + pause
            self._closing.wait(pause)
            delay = min(2 * delay, LAST_DELAY)

    def _serve(self) -> None:
        self._reason = None
        self._outgoing.forget()
        began = self._sign_of_life = time.monotonic()
        self._connecting = True
        try:
            client = self._connect()
        finally:
            self._connecting = False
        while (connection := client.socket()) is not None:
            self._sign_of_life = time.monotonic()
            if not self.connected and self._sign_of_life - began > OPENING:
                raise TimeoutError
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
                # Before anything is looked at: what comes from now on wakes it once more.
                self._is_woken = False
            if pending or connection in readable:
                client.loop_read()
            if self.connected:
                self._outgoing.hand_over(client)
            if self._closing.is_set():
                # One packet says it all: the broker publishes the will, which says offline.
                farewell = ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message")
                client.disconnect(farewell)
                return
            client.loop_write()
            client.loop_misc()

    def _connect(self) -> Client:
        client = self._access.new_client(self._session.client_id)
        # An exception in one of these costs the connection, and not the thread.
        client.on_socket_open = lambda *_: self._require_wanted()
        client.on_connect = lambda client, _, _flags, code, _more: self._greet(client, code)
        client.on_subscribe = lambda client, _, _mid, codes, _more: self._begin(client, codes)
        client.on_disconnect = lambda _client, _, flags, code, _more: self._dismissed(flags, code)
        client.on_message = lambda _client, _, message: self._callbacks.received(message)
        client.max_queued_messages_set(UNACKNOWLEDGED)
        client.will_set(self._session.status, OFFLINE, qos=1, retain=True)
        # A session that outlived the connection would deliver what was commanded meanwhile.
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 0
        properties.MaximumPacketSize = PACKET
        access = self._access
        client.connect(access.host, access.port, KEEPALIVE, clean_start=True, properties=properties)
        return client

    def _require_wanted(self) -> None:
        # To look up a name can take longer than this link is waited for. The broker would take its
        # connection in place of the one that the next link has.
        if self._closing.is_set():
            raise ConnectionAbortedError("it came too late")

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
        client.subscribe([(topic, live) for topic in self._session.topics + self._session.wishes])

    def _begin(self, client: Client, codes: Sequence[ReasonCode]) -> None:
        for topic, code in zip(self._session.topics, codes, strict=False):
            if code.is_failure:
                raise PermissionError(errno.EACCES, f"it does not let the door hear {topic}")
        client.publish(self._session.status, ONLINE, qos=1, retain=True)
        # Not before: the answer to an event sent now could otherwise pass unheard.
        self._outgoing.repeat()
        self.connected = True
        self._callbacks.connected()

    def _dismissed(self, flags: DisconnectFlags, code: ReasonCode) -> None:
        if flags.is_disconnect_packet_from_server:
            self._reason = f"it ended the connection: {str(code).lower()}"
