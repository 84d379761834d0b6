"""What is done to buttons and loops, told from samples of their lines.

A level of None is one that is not known: not settled yet, or the line cannot be read.
"""

from collections.abc import Callable
from typing import Protocol

from agent.core.inputs import EnrolButtonHeld, EnrolButtonPressed, Input
from agent.core.types import SubjectId

QUIET_SECONDS = 1.0
"""A bell, an exit button or a loop tells of something once in this time: a loose wire chatters."""


class Debounce:
    """Lets a level count once it was sampled so many times in a row."""

    def __init__(self, samples: int) -> None:
        self._samples = samples
        self._seen: bool | None = None
        self._times = 0
        self._settled: bool | None = None

    def settle(self, *, active: bool | None) -> bool | None:
        """Take one sample; give the level that counts."""
        self._times = self._times + 1 if active == self._seen else 1
        self._seen = active
        if active is None or self._times >= self._samples:
            self._settled = active
        return self._settled


class Sensor(Protocol):
    """Tells what a settled level means."""

    def sample(self, at: float, *, active: bool | None) -> Input | None:
        """Take one sample. at: monotonic seconds."""
        ...


class EnrolButton:
    """Tells a short push from a held one. hold_seconds: from which on it is held.

    new_subject: makes the id that an enrolment would give.
    """

    def __init__(self, hold_seconds: float, new_subject: Callable[[], SubjectId]) -> None:
        self._hold_seconds = hold_seconds
        self._new_subject = new_subject
        self._down_at: float | None = None
        # A button that is stuck or shorted when the door starts has not been pushed by anybody.
        self._spent = True

    def sample(self, at: float, *, active: bool | None) -> Input | None:
        """Give EnrolButtonHeld once per hold, EnrolButtonPressed at the end of a shorter push."""
        if not active:
            short = active is not None and self._down_at is not None and not self._spent
            self._down_at, self._spent = None, active is None
            return EnrolButtonPressed() if short else None
        if self._down_at is None:
            self._down_at = at
        if self._spent or not at - self._down_at >= self._hold_seconds:
            return None
        self._spent = True
        return EnrolButtonHeld(self._new_subject())


class Push:
    """A button that counts at the moment it is pushed, and once. pushed: what that means."""

    def __init__(self, pushed: Input) -> None:
        self._pushed = pushed
        # As with the enrol button, what is down when it is first seen was not pushed by anybody.
        self._was_up = False
        self._told_at = float("-inf")

    def sample(self, at: float, *, active: bool | None) -> Input | None:
        """Give what a push means when one begins."""
        begins = self._was_up and active is True
        self._was_up = active is False
        if not (begins and at - self._told_at >= QUIET_SECONDS):
            return None
        self._told_at = at
        return self._pushed


class State:
    """A loop that is open or closed. changed: makes what a change means.

    told: what everybody takes it to be; None: they are to be told.
    """

    def __init__(self, changed: Callable[[bool], Input], *, told: bool | None) -> None:
        self._changed = changed
        self._told = told
        self._told_at = float("-inf")

    def sample(self, at: float, *, active: bool | None) -> Input | None:
        """Give each change. Where they come too fast, the last of them, late."""
        if active is None or active is self._told or not at - self._told_at >= QUIET_SECONDS:
            return None
        self._told, self._told_at = active, at
        return self._changed(active)
