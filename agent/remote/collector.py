"""Collects a door's events and heads: stored first, acknowledged then, and asked for where missing.

An acknowledgement says up to which event a collector has them all. One that says nothing new asks
the door for what comes after, which it sends on `event/backlog`, oldest first, in batches.

A door whose log was altered or restored uses its numbers again. So a connection counts for nothing
but what came over it: each begins with the last event that was acknowledged, which must come once
more as it was, and only what follows that without a gap is acknowledged.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from agent.adapters.broker import Access
from agent.adapters.note import split
from agent.errors import StoreError
from agent.remote.archive import Archive, Kept
from agent.remote.line import Line, Message, stay
from agent.wire.events import encode_ack, read_envelope
from agent.wire.format import MAX_INTEGER
from agent.wire.states import read_state
from agent.wire.topics import Topics

ASK_EVERY = 1.1
"""Seconds until what is missing is asked for again; the door answers once in a second at most."""
GATHER = 0.05
"""Seconds in which events are gathered for one commit: a disk does not do many in a second."""
UNANSWERED = 3
"""Questions for what follows the door's head after which nothing does."""


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
        self._acknowledged = archive.acknowledged()
        self._unreadable = 0
        self._start_over()

    def _start_over(self) -> None:
        """Take the door for any door, as on a new connection."""
        # Up to which event all came over this connection or are gone, and which came after that.
        self._up_to = max(self._acknowledged - 1, 0)
        self._ahead: set[int] = set()
        self._log_begins = 1
        self._head = 0
        self._behind_since = float("inf")
        self._compared_from = 0
        # Of the questions only those count that follow an event: until then the door may be away.
        self._unanswered = float("-inf")
        self._caught_up = False
        self._asked_at = float("-inf")

    def run(self, access: Access, stop: threading.Event) -> None:
        """Collect until told to stop, over as many connections as it takes. Raises StoreError."""
        here = self._topics
        topics = [here.state, here.event, here.backlog, here.head]

        def changed(lost: str | None) -> None:
            where = f"{access.host}:{access.port}"
            if lost is None:
                self._tell(News("connected", f"connected to {where}", self._acknowledged))
            else:
                self._tell(News("lost", f"{lost}; trying again", self._acknowledged))

        stay(lambda: Line(access, topics), lambda line: self._serve(line, stop), changed, stop)
        text = f"stopped: all up to {self._acknowledged} is kept"
        self._tell(News("stopped", text, self._acknowledged))

    def _serve(self, line: Line, stop: threading.Event) -> None:
        self._start_over()
        warned: set[str] = set()
        self._ask(line)
        # The door may have answered somebody within this second, and not have heard the first.
        asks_again = True
        while not stop.is_set():
            had = self._up_to
            self._take(line.receive(ASK_EVERY / 2, GATHER))
            self._look_behind()
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
        return max(self._head, max(self._ahead, default=0), self._up_to, self._acknowledged)

    def _ask(self, line: Line) -> None:
        """Acknowledge all there is, which asks for what follows where the door knew that much."""
        self._asked_at = time.monotonic()
        self._unanswered += 1
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
        changed: list[tuple[int, str]] = []
        for message in messages:
            try:
                if (found := self._keep(message)) is not None:
                    changed.append(found)
            except ValueError as error:
                self._unreadable += 1
                # The 1st, 2nd, 4th, 8th and so on: whoever sends them must not fill a log.
                if self._unreadable.bit_count() == 1:
                    text = f"{self._unreadable} messages on {message.topic} cannot be read: {error}"
                    news.append(News("warning", text))
        if not changed:
            self._advance()
            news += self._give_up()
            if self._up_to > self._acknowledged:
                self._acknowledged = self._up_to
                self._archive.acknowledge(self._up_to)
        self._archive.commit()
        for each in news:
            self._tell(each)
        if changed:
            seq, what = min(changed)
            self._alarm(seq, f"{what} {seq} came again as another one, and both are kept")

    def _keep(self, message: Message) -> tuple[int, str] | None:
        """Keep what came, and give its number and what it is where it was another before."""
        if message.topic == self._topics.state:
            self._log_begins = _log_begins(message.payload)
            return None
        if message.topic == self._topics.head:
            note = message.payload.decode()
            seq, what = _head_number(note), "head"
            self._head = seq
            kept = self._archive.add_head(seq, note)
        else:
            event = read_envelope(message.payload)
            if message.retained:
                raise ValueError("is retained, as no door sends it")
            seq, what = event.seq, "event"
            kept = self._archive.add(event)
            self._unanswered = 0
            if seq > self._up_to:
                self._ahead.add(seq)
        return (seq, what) if kept is Kept.CHANGED else None

    def _advance(self) -> None:
        while self._up_to + 1 in self._ahead:
            self._up_to += 1
            self._ahead.discard(self._up_to)

    def _give_up(self) -> list[News]:
        """Stop waiting for what the door has deleted, and so cannot be compared either."""
        last = self._log_begins - 1
        if not last > self._up_to:
            return []
        gone = self._archive.missing(self._up_to + 1, last)
        for first, end in gone:
            self._archive.give_up(first, end)
        self._up_to = last
        self._ahead = {seq for seq in self._ahead if seq > last}
        self._advance()
        why = "the door deleted them for their age"
        return [News("gone", f"events {a} to {b} are gone: {why}", b) for a, b in gone]

    def _look_behind(self) -> None:
        """Compare from the door's head on, where that is behind what was acknowledged.

        The head alone proves nothing: the broker may have kept an old one, and a door's events are
        ahead of its heads for a moment. What the door sends of its log from there on does.
        """
        if not 0 < self._head < self._acknowledged:
            self._behind_since = float("inf")
            return
        now = time.monotonic()
        self._behind_since = min(self._behind_since, now)
        if self._compared_from != self._head and now - self._behind_since >= ASK_EVERY:
            self._compared_from = self._head
            self._up_to = min(self._up_to, self._head - 1)
            self._ahead.clear()
            self._unanswered = float("-inf")
        elif self._compared_from == self._head == self._up_to and self._unanswered >= UNANSWERED:
            text = f"the log ends with {self._head}, and went on to {self._acknowledged} before"
            self._alarm(self._head + 1, text)

    def _alarm(self, seq: int, what: str) -> None:
        """Tell once that the door's log is another one, and end. Raises StoreError."""
        why = "the door's log was altered or restored, or somebody speaks in its name"
        self._tell(News("warning", f"ALARM: {what}: {why}", seq))
        mend = f"look into it, keep this file, and collect into a new one; {why}"
        raise StoreError(f"{self._archive.path}: {what}: {mend}")


def _log_begins(payload: bytes) -> int:
    """Give the number that the door's log begins with. Raises ValueError."""
    seq = read_state(payload).log_begins
    if not seq <= MAX_INTEGER:
        raise ValueError("its log begins out of range")
    return seq


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
