"""Commands to a door: signed, numbered, and sent again where the door wants a newer challenge."""

import secrets
import time
from collections.abc import Callable
from dataclasses import replace

from agent.core.orders import Operation, Order, Rejection
from agent.core.types import SubjectId, Terms, Validity
from agent.errors import ConfigError, DeviceError, DoorwardError
from agent.remote.keys import Identity
from agent.remote.line import Line, Message
from agent.wire.commands import encode_order
from agent.wire.events import Envelope, read_envelope
from agent.wire.states import Reply, read_challenge, read_reply
from agent.wire.topics import OFFLINE, ONLINE, Topics

PATIENCE = 5.0
"""Seconds that a door is given to show itself, and again to answer."""
UPDATE = "bring this program and the door's to the same version"


class RefusedError(DoorwardError):
    """A door refused a command. reply: what it said."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.reason or "no reason given")
        self.reply = reply


class Caller:
    """Commands one door. Needs a line to the topics that `topics_of` names.

    took: seconds from when the last command was sent to its answer.
    """

    def __init__(self, line: Line, door: str, identity: Identity) -> None:
        self._line = line
        self.door = door
        self.took = 0.0
        self._identity = identity
        self._topics = Topics(door)
        self._status: bytes | None = None
        self._challenge: str | None = None
        self._awaited = ""
        self._answers: list[bytes] = []
        self._events: list[Envelope] = []

    @staticmethod
    def topics_of(door: str) -> list[str]:
        """Name what must be heard to command a door."""
        topics = Topics(door)
        return [topics.status, topics.challenge, topics.event, topics.reply("+")]

    def order(
        self,
        operation: Operation,
        subject: SubjectId | None = None,
        terms: Terms | None = None,
        validity: Validity | None = None,
    ) -> Reply:
        """Have the door do something, and give its answer.

        subject: for a list, the one that it goes on after. Raises RefusedError where the door
        refuses, DeviceError where it does not answer, ConfigError.
        """
        order = Order(
            operation=operation,
            door=self.door,
            controller=self._identity.id,
            challenge="",
            counter=0,
            request="",
            subject=subject,
            terms=terms,
            validity=validity,
        )
        self._wait(lambda: self._status == ONLINE and self._challenge is not None)
        used = self._require_challenge()
        reply = self._attempt(order, used)
        if reply.reason is Rejection.STALE:
            # The door gave out others meanwhile, as where this computer slept; the newest counts.
            self._wait(lambda: self._challenge != used)
            reply = self._attempt(order, self._require_challenge())
        if reply.result == "refused":
            raise RefusedError(reply)
        return reply

    def event(self, seconds: float) -> Envelope | None:
        """Give the next event since the connection was made, waiting for it if need be."""
        self._wait(lambda: bool(self._events), seconds)
        return self._events.pop(0) if self._events else None

    def _attempt(self, order: Order, challenge: str) -> Reply:
        request, counter = secrets.token_hex(8), self._identity.next_counter(time.time())
        signed = replace(order, challenge=challenge, counter=counter, request=request)
        command = self._topics.command(order.operation)
        self._awaited = self._topics.reply(request)
        try:
            payload = encode_order(signed, self._identity.sign)
        except ValueError as error:
            raise ConfigError(f"{order.operation}: no door would read that: {error}") from None
        sent = time.monotonic()
        self._line.send(command, payload)
        self._wait(lambda: bool(self._answers) or command in self._line.denied)
        if not self._answers:
            raise DeviceError(f"{self.door}: {self._silence(command)}")
        self.took = time.monotonic() - sent
        try:
            reply = read_reply(self._answers.pop())
            if reply.id == request:
                return reply
        except (ValueError, RecursionError):
            pass
        raise DeviceError(f"{self.door}: its answer cannot be read: {UPDATE}")

    def _require_challenge(self) -> str:
        topics = self._topics
        if self._status is None:
            reason = (
                "was never seen at this broker: check the name; or the broker's ACL does not let "
                f"this user read {topics.status}"
            )
        elif self._status == OFFLINE:
            reason = "is offline: check its power and network; nothing was sent"
        elif self._challenge is None:
            reason = (
                "gives out no challenge: it trusts no controller yet (on the door: "
                f"`{self._identity.to_trust}`), or the broker's ACL does not let this user read "
                f"{topics.challenge}"
            )
        else:
            return self._challenge
        raise DeviceError(f"{self.door}: {reason}")

    def _silence(self, command: str) -> str:
        if command in self._line.denied:
            return f"the broker's ACL does not let this user write {command}: allow it there"
        if self._status != ONLINE:
            return "went offline, and may or may not have done it: look before trying again"
        return (
            "does not answer: it does not trust this key (on the door: "
            f"`{self._identity.to_trust}`), the broker's ACL keeps {command} from it or "
            f"{self._topics.reply('+')} from this user, or a part of the door failed just now"
        )

    def _wait(self, fulfilled: Callable[[], bool], seconds: float = PATIENCE) -> None:
        end = time.monotonic() + seconds
        while not fulfilled() and (left := end - time.monotonic()) > 0:
            for message in self._line.receive(min(left, 1.0)):
                self._take(message)

    def _take(self, message: Message) -> None:
        topics = self._topics
        try:
            if message.topic == topics.status:
                self._status = message.payload
            elif message.topic == topics.challenge:
                self._challenge = read_challenge(message.payload)
            elif message.topic == topics.event and not message.retained:
                self._events.append(read_envelope(message.payload))
            elif message.topic == self._awaited and not message.retained:
                self._answers = [message.payload]
        except ValueError:
            # Not the door's: it cannot be what is waited for.
            pass
