"""Collects a door's events and heads: stored first, acknowledged then, and asked for where missing.

An acknowledgement says up to which event a collector has them all. One that says nothing new asks
the door for what comes after, which it sends on `event/backlog`, oldest first, in batches.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec

from agent.adapters.broker import Access
from agent.adapters.note import split
from agent.remote.archive import Archive, Kept
from agent.remote.line import Line, Message, stay
from agent.wire.events import encode_ack, read_envelope
from agent.wire.format import MAX_INTEGER
from agent.wire.topics import Topics

ASK_EVERY = 1.1
"""Seconds until what is missing is asked for again; the door answers once in a second at most."""
GATHER = 0.05
"""Seconds in which events are gathered for one commit: a disk does not do many in a second."""
PRUNED = "log_pruned"


class _Pruned(msgspec.Struct, frozen=True):
    up_to: int


@dataclass(frozen=True, slots=True)
class News:
    """What whoever runs a collector is told.

    what: connected, lost, caught_up, gone, warning or stopped. seq: up to which event all are kept
    or gone for good; of a warning, the number it is about, if any.
    """

    what: str
    text: str
    seq: int | None = None


class Collector:
    """Collects one door's events. tell: is given each change of state, and each alarm."""

    def __init__(self, archive: Archive, door: str, tell: Callable[[News], None]) -> None:
        self._archive = archive
        self._topics = Topics(door)
        self._tell = tell
        self._up_to, self._ahead = archive.progress()
        said = (_pruned_by(seq, body) for seq, body in archive.of_kind(PRUNED))
        self._pruned = max(said, default=0)
        self._head = 0
        self._caught_up = False
        self._unreadable = 0
        self._asked_at = float("-inf")
        self._asked = -1
        self._answer: int | None = None
        self._answered_before: tuple[int, int | None] = (-1, None)

    def run(self, access: Access, stop: threading.Event) -> None:
        """Collect until told to stop, over as many connections as it takes. Raises StoreError."""
        topics = [self._topics.event, self._topics.backlog, self._topics.head]

        def changed(lost: str | None) -> None:
            where = f"{access.host}:{access.port}"
            if lost is None:
                self._tell(News("connected", f"connected to {where}", self._up_to))
            else:
                self._tell(News("lost", f"{lost}; trying again", self._up_to))

        stay(lambda: Line(access, topics), lambda line: self._serve(line, stop), changed, stop)
        self._tell(News("stopped", f"stopped: all up to {self._up_to} is kept", self._up_to))

    def _serve(self, line: Line, stop: threading.Event) -> None:
        self._head, self._caught_up = 0, False
        # What was asked on another connection has its answer there.
        self._asked, self._answer = -1, None
        warned: set[str] = set()
        self._ask(line)
        # The door may have answered somebody within this second, and not have heard the first.
        asks_again = True
        while not stop.is_set():
            had = self._up_to
            self._take(line.receive(ASK_EVERY / 2, GATHER))
            due = time.monotonic() - self._asked_at >= ASK_EVERY
            if self._up_to > had or (due and (asks_again or self._newest > self._up_to)):
                asks_again = asks_again and not due
                self._ask(line)
            for topic in line.denied - warned:
                acl = f"the broker's ACL keeps {topic} from this user: allow it there"
                self._tell(News("warning", acl))
            warned |= line.denied
            self._say_when_caught_up()

    @property
    def _newest(self) -> int:
        """The newest event that is known to exist."""
        return max(self._head, max(self._ahead, default=0), self._up_to)

    def _ask(self, line: Line) -> None:
        """Acknowledge all there is, which asks for what follows where the door knew that much."""
        self._answered_before = (self._asked, self._answer)
        self._asked, self._answer = self._up_to, None
        self._asked_at = time.monotonic()
        line.send(self._topics.ack, encode_ack(self._up_to))

    def _say_when_caught_up(self) -> None:
        has_all = 0 < self._newest == self._up_to
        if has_all and not self._caught_up:
            text = f"caught up: all up to {self._up_to} is kept"
            self._tell(News("caught_up", text, self._up_to))
        self._caught_up = has_all

    def _take(self, messages: Iterable[Message]) -> None:
        """Keep what has come, for good, before any of it is acknowledged."""
        news: list[News] = []
        for message in messages:
            try:
                if message.topic == self._topics.head:
                    news += self._keep_head(message.payload)
                else:
                    news += self._keep_event(message)
            except ValueError as error:
                self._unreadable += 1
                # The 1st, 2nd, 4th, 8th and so on: whoever sends them must not fill a log.
                if self._unreadable.bit_count() == 1:
                    text = f"{self._unreadable} messages on {message.topic} are no event: {error}"
                    news.append(News("warning", text))
        if (gone := self._find_gone()) is not None:
            news.append(gone)
        self._archive.commit()
        for each in news:
            self._tell(each)

    def _keep_event(self, message: Message) -> list[News]:
        event = read_envelope(message.payload)
        if message.retained:
            raise ValueError("is retained, as no door sends it")
        asked_for = message.topic == self._topics.backlog and event.seq > self._asked
        if asked_for and self._answer is None:
            self._answer = event.seq
        kept = self._archive.add(event)
        if event.seq > self._up_to:
            self._ahead.add(event.seq)
            self._advance()
        if kept is Kept.CHANGED:
            return [News("warning", _altered("event", event.seq), event.seq)]
        if event.kind == PRUNED:
            self._pruned = max(self._pruned, _pruned_by(event.seq, event.event))
        return []

    def _keep_head(self, payload: bytes) -> list[News]:
        note = payload.decode()
        seq = _head_number(note)
        self._head = seq
        if self._archive.add_head(seq, note) is Kept.CHANGED:
            return [News("warning", _altered("head", seq), seq)]
        return []

    def _advance(self) -> None:
        while self._up_to + 1 in self._ahead:
            self._up_to += 1
            self._ahead.discard(self._up_to)

    def _find_gone(self) -> News | None:
        """Stop waiting for events that the door has deleted for their age.

        Asked for what follows `up_to`, it began with a later one. That alone proves nothing: it may
        be an answer to another collector, or the rest of one that a lost connection cut off. It
        does where the door says that its log begins no earlier, or where asked once more it begins
        there again: another collector that is answered goes on, and asks for what comes later.
        """
        answer = self._answer
        if self._asked != self._up_to or answer is None or not answer > self._up_to + 1:
            return None
        if not (self._pruned >= answer - 1 or self._answered_before == (self._asked, answer)):
            return None
        first, self._up_to = self._up_to + 1, answer - 1
        self._archive.give_up(first, self._up_to)
        self._advance()
        text = f"events {first} to {answer - 1} are gone: the door deleted them for their age"
        return News("gone", text, self._up_to)


def _pruned_by(seq: int, body: bytes | msgspec.Raw) -> int:
    """Give up to which number the event with this one says that the log was deleted, or 0."""
    try:
        up_to = msgspec.json.decode(body, type=_Pruned).up_to
    except (ValueError, RecursionError):
        return 0
    # The event itself was not.
    return up_to if up_to < seq else 0


def _head_number(note: str) -> int:
    """Give the number of a head's event. Raises ValueError for what is no head."""
    text, _ = split(note)
    lines = text.splitlines()
    number = lines[1] if len(lines) > 1 else ""
    if not (number.isascii() and number.isdecimal() and len(number) <= len(str(MAX_INTEGER))):
        raise ValueError("is no head of a log: it has no number")
    seq = int(number)
    if not 1 <= seq <= MAX_INTEGER:
        raise ValueError("is no head of a log: its number is out of range")
    return seq


def _altered(what: str, seq: int) -> str:
    return (
        f"ALARM: {what} {seq} came again as another one: the door's log was altered or restored "
        "from a backup, or somebody speaks in its name; both are kept"
    )
