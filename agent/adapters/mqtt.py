"""Reports over MQTT, and takes commands from there."""

import contextlib
import time
from collections.abc import Callable

from paho.mqtt.client import MQTTMessage

from agent.adapters.broker import Access, read_access
from agent.adapters.link import HANGING, STEADY, Callbacks, Link, Session
from agent.adapters.outgoing import Outgoing
from agent.config import Mqtt
from agent.core.effects import Answer
from agent.core.events import Part
from agent.core.inputs import Acknowledged, Faulted, Recovered
from agent.core.orders import MAX_PAYLOAD, Delivered, RemoteUnlock
from agent.core.rules import Condition
from agent.core.types import LockState
from agent.ports import Post, Recorded
from agent.wire.discovery import Discovery, access, birth_topic, messages, ring
from agent.wire.events import encode_event, parse_ack
from agent.wire.states import encode_alarm, encode_challenge, encode_state
from agent.wire.topics import ONLINE, Topics, encode_contact, encode_lock_state

REPEAT_EVERY = 1.0
"""Seconds between two times that all is told again because Home Assistant was started."""


class MqttReporter:
    """Implements ports.Reporter for one door at one broker.

    settings: the broker. door: name of the door on MQTT. version: of this program, as Home
    Assistant shows it.
    """

    def __init__(self, settings: Mqtt, door: str, version: str) -> None:
        self._settings = settings
        self._topics = Topics(door)
        self._commands = self._topics.command("")
        self._birth = birth_topic(settings.discovery_prefix)
        self._outgoing = Outgoing(last=self._topics.head)
        form, prefix = Discovery(settings.discovery), settings.discovery_prefix
        opens = settings.remote_unlock is RemoteUnlock.BROKER
        for topic, payload in messages(door, version, form, opens=opens, prefix=prefix).items():
            self._outgoing.set(topic, payload)
        self._session = Session(
            client_id=f"doorward-{door}",
            status=self._topics.status,
            topics=(self._topics.command("#"), self._topics.ack),
            wishes=() if form is Discovery.OFF else (self._birth,),
        )
        self._reborn_at = float("-inf")
        self._at_fault = False
        self._failed_at = float("-inf")
        self._failed_again = False
        self._access: Access | None = None
        self._link: Link | None = None
        self._post: Post = lambda _: None

    @property
    def alive(self) -> bool:
        """See ports.Reporter. False once a thread failed and so did, soon, the one in its place."""
        return not self._failed_again

    def start(self, post: Post) -> None:
        """See ports.Reporter."""
        self._access, self._post = read_access(self._settings), post
        self._link = self._new_link(self._access)

    def publish(self, recorded: Recorded) -> None:
        """See ports.Reporter. Without a connection only the head waits: the outbox has it all."""
        self._queue(self._outgoing.send, self._topics.event, encode_event(recorded))
        also = {
            self._topics.doorbell: ring(recorded),
            self._topics.access: access(recorded),
            self._topics.duress: encode_alarm(recorded),
        }
        for topic, payload in also.items():
            if payload is not None:
                self._queue(self._outgoing.send, topic, payload)
        if recorded.head:
            self._set(self._topics.head, recorded.head.encode())

    def republish(self, recorded: Recorded) -> None:
        """See ports.Reporter."""
        self._queue(self._outgoing.send_again, self._topics.backlog, encode_event(recorded))

    def announce(self, state: LockState) -> None:
        """See ports.Reporter. Of two states that were not sent yet, the first is lost."""
        self._set(self._topics.lock_state, encode_lock_state(state))

    def announce_contact(self, *, is_open: bool) -> None:
        """See ports.Reporter."""
        self._set(self._topics.contact, encode_contact(is_open=is_open))

    def describe(self, condition: Condition, log_begins: int) -> None:
        """See ports.Reporter."""
        self._set(self._topics.state, encode_state(condition, log_begins))

    def challenge(self, challenge: str) -> None:
        """See ports.Reporter."""
        self._set(self._topics.challenge, encode_challenge(challenge))

    def answer(self, answer: Answer, reply: bytes) -> None:
        """See ports.Reporter."""
        self._queue(self._outgoing.answer, self._topics.reply(answer.request), reply)

    def tend(self) -> None:
        """See ports.Reporter. A thread that hangs cannot be ended: another takes its place."""
        if self._link is None or self._access is None or self._link.alive:
            return
        # Names that nobody resolves are the world's fault: no restart would find them.
        if not self._link.connecting:
            now = time.monotonic()
            self._failed_again = now - self._failed_at < STEADY
            self._failed_at = now
        self._link.give_up()
        self._lost(f"its thread ended, or did nothing for {HANGING:.0f} s")
        self._link = self._new_link(self._access)

    def close(self) -> None:
        """See ports.Reporter. It takes a few seconds at most, and may be called again."""
        if self._link is not None:
            self._link.close()

    def _new_link(self, access: Access) -> Link:
        callbacks = Callbacks(self._connected, self._lost, self._received)
        return Link(access, self._session, self._outgoing, callbacks)

    def _set(self, topic: str, payload: bytes) -> None:
        self._outgoing.set(topic, payload)
        if self._link is not None:
            self._link.wake()

    def _queue(self, put: Callable[[str, bytes], None], topic: str, payload: bytes) -> None:
        # What waits for a connection that there is not would be thrown away with the next one.
        if self._link is not None and self._link.connected:
            put(topic, payload)
            self._link.wake()

    # --- called by the link's thread --------------------------------------------------------------

    def _connected(self) -> None:
        self._at_fault = False
        self._post(Recovered(Part.BROKER))

    def _lost(self, reason: str) -> None:
        if self._at_fault:
            return
        self._at_fault = True
        message = (
            f"mqtt: broker {self._settings.host}:{self._settings.port}: {reason}: check the broker "
            "and [mqtt]; the door still opens, and events wait in the outbox"
        )
        self._post(Faulted(Part.BROKER, message))

    def _received(self, message: MQTTMessage) -> None:
        if message.topic.startswith(self._commands):
            topic = message.topic.removeprefix(self._commands)
            # One more than is read is enough to tell that it is too long.
            payload = bytes(message.payload[: MAX_PAYLOAD + 1])
            self._post(Delivered(topic, payload, message.retain, message.dup))
        elif message.topic == self._topics.ack and not message.retain:
            with contextlib.suppress(ValueError):
                self._post(Acknowledged(parse_ack(bytes(message.payload))))
        elif message.topic == self._birth and message.payload == ONLINE:
            now = time.monotonic()
            if now - self._reborn_at >= REPEAT_EVERY:
                self._reborn_at = now
                self._outgoing.repeat()
