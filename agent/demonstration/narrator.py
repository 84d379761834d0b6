"""Tells the demonstration's story, for people or for programs, and waits for what is to happen."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from agent.adapters.console import LocalReporter, as_json, as_object, in_words
from agent.core.events import Event
from agent.core.types import LockState
from agent.errors import DoorwardError
from agent.ports import Clock, Recorded

PATIENCE = 30.0
"""Seconds that an act may take before the demonstration gives up, on a machine that keeps up."""

Write: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Summary:
    """What the story came to. p50_ms, p95_ms: from a frame's capture to its probe."""

    granted: int
    refused: int
    false_admissions: int
    release_pulses: int
    p50_ms: float
    p95_ms: float


class Narrator(LocalReporter):
    """Tells the story as it happens, and remembers it. patience: seconds that an act may take."""

    def __init__(self, write: Write, clock: Clock, patience: float, *, json: bool) -> None:
        self._write = write
        self._patience = patience
        self._json = json
        self._begun_at = clock.now().monotonic
        self._clock = clock
        self._changed = threading.Condition()
        self._state = LockState.LOCKED
        self.error: Exception | None = None
        self.events: list[Event] = []

    def witness(self, run: Callable[[], None]) -> None:
        """Run the agent; if it ends with an error, so does whatever waits for an event."""
        try:
            run()
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            with self._changed:
                self.error = error
                self._changed.notify_all()

    def say(self, words: str) -> None:
        """Tell people, but no program, what comes next."""
        if not self._json:
            self._write(words)

    def publish(self, recorded: Recorded) -> None:
        """Tell of an event."""
        self._tell(as_object(recorded), in_words(recorded.event))
        with self._changed:
            self.events.append(recorded.event)
            self._changed.notify_all()

    def announce(self, state: LockState) -> None:
        """Tell of the lock."""
        self._tell({"event": "lock_state", "state": state}, f"door {state}")
        with self._changed:
            self._state = state
            self._changed.notify_all()

    def await_event(self, kinds: tuple[type[Event], ...], after: int) -> Event:
        """Give the first event of these kinds among those from number `after` on.

        Raises DoorwardError where none comes in time.
        """

        def find() -> Event | None:
            return next((e for e in self.events[after:] if isinstance(e, kinds)), None)

        with self._changed:
            self._changed.wait_for(lambda: find() is not None or self.error, self._patience)
            found = find()
        if self.error is not None:
            raise self.error
        if found is None:
            wanted = " or ".join(kind.__name__ for kind in kinds)
            message = f"demo: no {wanted} within {self._patience:.0f} s: is the machine overloaded?"
            raise DoorwardError(message)
        return found

    def await_lock(self) -> None:
        """Wait until the door is locked. Raises DoorwardError where it stays open."""
        with self._changed:
            locked = self._changed.wait_for(lambda: self._state is LockState.LOCKED, self._patience)
        if not locked:
            message = f"demo: the door did not lock within {self._patience:.0f} s"
            raise DoorwardError(message)

    def conclude(self, summary: Summary, pulses: Sequence[tuple[float, float]]) -> None:
        """Tell what it came to. pulses: monotonic seconds of each release and of its end."""
        if self._json:
            self._write(as_json({"summary": summary}))
            return
        self._write("\nRelay timeline")
        for on_at, off_at in pulses:
            at = on_at - self._begun_at
            self._write(f"{at:6.1f} s  energised for {off_at - on_at:.2f} s")
        self._write(
            f"\nSummary: {summary.granted} granted, {summary.refused} refused, "
            f"{summary.false_admissions} false admissions, "
            f"{summary.release_pulses} release pulses.\n"
            "From a frame's capture to its probe, frames with a face: "
            f"p50 {summary.p50_ms} ms, p95 {summary.p95_ms} ms."
        )

    def _tell(self, fields: dict[str, object], words: str) -> None:
        at = self._clock.now().monotonic - self._begun_at
        if self._json:
            self._write(as_json(fields | {"at": round(at, 3)}))
        else:
            self._write(f"{at:6.1f} s  {words}")
