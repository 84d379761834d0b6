"""A bounded pulse: what is switched on goes off by itself, whatever becomes of who switched it."""

import atexit
import contextlib
import logging
import threading
import time
from collections.abc import Callable

from agent.core.types import Grant
from agent.errors import DeviceError

MAX_SECONDS = 30.0
"""The longest pulse that anybody can ask for, in seconds."""
RETRY_EVERY = 0.1
"""Seconds between two tries to switch off hardware that refused."""

log = logging.getLogger(__name__)


class Pulse:
    """A release over one switch; implements ports.Release.

    on, off: switch the hardware, never two at once; they raise DeviceError. monotonic: reads the
    clock that pulses are measured by, in seconds.
    """

    def __init__(
        self,
        on: Callable[[], None],
        off: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on = on
        self._off = off
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._off_at: float | None = None
        self._closed = False
        # Made now, since a machine that has no thread to spare must find out before a door is open.
        self._timer = threading.Thread(target=self._run, name="release timer", daemon=True)
        self._timer.start()
        atexit.register(self._close_at_exit)

    @property
    def energised(self) -> bool:
        """Whether the door is released, or could not be locked."""
        return self._off_at is not None

    @property
    def closed(self) -> bool:
        """Whether it is switched off for good."""
        return self._closed

    def energise(self, grant: Grant, seconds: float) -> None:
        """Switch on, and off again after `seconds` (0 < seconds <= 30), whatever happens here.

        While on, a further call changes nothing. Raises TypeError for anything but a Grant,
        ValueError for other seconds, DeviceError where the hardware fails.
        """
        if not isinstance(grant, Grant):
            raise TypeError(f"only a Grant releases the door, no {type(grant).__name__}")
        if not 0 < seconds <= MAX_SECONDS:
            raise ValueError(f"a pulse lasts more than 0 and up to {MAX_SECONDS} s, not {seconds}")
        with self._changed:
            if self._closed:
                raise DeviceError("release: it has been closed: restart doorward")
            if not self._timer.is_alive():
                raise DeviceError("release: nothing would lock the door again: restart doorward")
            self.settle()
            if self._off_at is not None:
                return
            # The deadline comes first: from here on the timer locks, even if nothing below returns.
            self._off_at = self._monotonic() + seconds
            self._changed.notify()
            try:
                self._on()
            except Exception:
                # The hardware may be on all the same.
                self._off_at = float("-inf")
                raise

    def drop(self) -> None:
        """Switch off now, even what seems to be off.

        Raises DeviceError where the hardware fails; it is tried again until it obeys.
        """
        with self._changed:
            self._off_at = float("-inf")
            self._changed.notify()
            self.settle()

    def settle(self) -> float | None:
        """Switch off if the pulse is over; give the seconds it has left, None where there is none.

        The timer does so by itself. Whoever moves a simulated clock calls it after each move.
        Raises DeviceError.
        """
        with self._changed:
            if self._off_at is None:
                return None
            left = self._off_at - self._monotonic()
            if left > 0:
                return left
            self._off()
            self._off_at = None
            return None

    def close(self) -> None:
        """Switch off for good; may be called again. Raises DeviceError as `drop` does."""
        with self._changed:
            if self._closed and self._off_at is None:
                return
            self._closed = True
            self.drop()
        atexit.unregister(self._close_at_exit)
        self._timer.join()

    def _close_at_exit(self) -> None:
        # The timer has complained already, and tries on for as long as there is a process.
        with contextlib.suppress(DeviceError):
            self.close()

    def _run(self) -> None:
        complained = False
        with self._changed:
            while not (self._closed and self._off_at is None):
                try:
                    wait = self.settle()
                    complained = False
                except Exception as error:  # noqa: BLE001 - the door stays open if this thread ends
                    if not complained:
                        log.critical("the door cannot be locked: %s", error)
                    complained = True
                    wait = RETRY_EVERY
                self._changed.wait(wait)
