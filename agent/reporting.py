"""Tells the reporters what happened, and a collector once more what it does not have."""

import logging
from collections.abc import Callable, Sequence

from agent.core.effects import Answer
from agent.core.events import LogPruned
from agent.core.rules import Condition
from agent.core.types import LockState
from agent.ports import Post, Reporter, Store

log = logging.getLogger(__name__)

DESCRIBE_EVERY = 1.0
"""Seconds between two reports of what the door is like, at the least."""
WINDOW = 500
"""Events sent again ahead of what a collector has acknowledged, at most."""
ASKED_EVERY = 1.0
"""Seconds between two times that a collector can have the backlog sent from its beginning."""


class Reporting:
    """Reads the log, and hands on what is new or was missed.

    Whatever reads it may raise StoreError: `begin`, `report`, `acknowledged` and `send_backlog`.
    """

    def __init__(self, store: Store, reporters: Sequence[Reporter]) -> None:
        self._store = store
        self._reporters = reporters
        self._reported = 0
        self._sent_again = 0
        self._backlog_end = 0
        self._asked_at = float("-inf")
        self._log_begins = 1
        self._told: tuple[Condition, int] | None = None
        self._described_at = float("-inf")

    def begin(self) -> None:
        """Start with what happens from now on."""
        newest = self._store.last_events(1)
        self._reported = newest[0].seq if newest else 0
        self._log_begins = self._store.log_begins()

    def start(self, post: Post) -> None:
        """Start the reporters. Raises ConfigError."""
        for reporter in self._reporters:
            reporter.start(post)
            reporter.announce(LockState.LOCKED)

    def report(self) -> None:
        """Report the events that are new."""
        # Read back, since other processes append to the log too: an erasure, a code given out.
        while batch := self._store.events(after=self._reported):
            for recorded in batch:
                self._reported = recorded.seq
                if isinstance(recorded.event, LogPruned):
                    self._log_begins = recorded.event.up_to + 1
                for reporter in self._reporters:
                    reporter.publish(recorded)

    def announce(self, state: LockState) -> None:
        """Report the state of the lock."""
        for reporter in self._reporters:
            reporter.announce(state)

    def announce_contact(self, *, is_open: bool) -> None:
        """Report whether the door itself stands open."""
        for reporter in self._reporters:
            reporter.announce_contact(is_open=is_open)

    def challenge(self, challenge: str) -> None:
        """Give out what signed commands must carry."""
        for reporter in self._reporters:
            reporter.challenge(challenge)

    def answer(self, answer: Answer, reply: bytes) -> None:
        """Answer a command."""
        for reporter in self._reporters:
            reporter.answer(answer, reply)

    def look_after(self, condition: Callable[[], Condition], now: float) -> None:
        """Report what the door is like, if that changed, and mend what needs it, now and then.

        Also with a store at fault. That strangers are admitted too often is logged when it begins.
        condition: looks at the door. now: monotonic seconds.
        """
        if now - self._described_at < DESCRIBE_EVERY:
            return
        self._described_at = now
        now_is = condition()
        if not now_is.fpir_met and (self._told is None or self._told[0].fpir_met):
            log.warning("%s", now_is.sureness)
        told = (now_is, self._log_begins)
        for reporter in self._reporters:
            reporter.tend()
            if told != self._told:
                reporter.describe(*told)
        self._told = told

    def acknowledged(self, seq: int, now: float) -> None:
        """Take note of what a collector has. now: monotonic seconds.

        One that says nothing new is asking for what comes after.
        """
        if seq > self._store.cursor():
            self._store.move_cursor(seq)
            # Not as far as it says, which may be anything.
            self._send_backlog(self._store.cursor())
        elif now - self._asked_at >= ASKED_EVERY:
            self._asked_at = now
            self.send_backlog(seq)

    def send_backlog(self, after: int | None = None) -> None:
        """Begin to send again what comes after an event, or what no collector has acknowledged."""
        self._sent_again = self._store.cursor() if after is None else after
        # What happens from here on is reported as it happens.
        self._backlog_end = self._reported
        self._send_backlog(self._sent_again)

    def _send_backlog(self, acknowledged: int) -> None:
        missing = min(self._backlog_end, acknowledged + WINDOW) - self._sent_again
        if not missing > 0:
            return
        for recorded in self._store.events(after=self._sent_again, limit=missing):
            self._sent_again = recorded.seq
            for reporter in self._reporters:
                reporter.republish(recorded)
