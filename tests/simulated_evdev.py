"""A simulator of the evdev package over keyboards that are plugged in and out.

Not the real thing: what the package does was read from python-evdev 1.6 and 1.9, and what the
kernel does from its drivers/input/evdev.c. A reader of a device gets what happens from its opening
on, whole packets only and 64 events at most; it can be waited for with select; where 64 events
wait, all but the newest go and SYN_DROPPED stands for them; whoever grabs it has its events alone;
what is unplugged fails with ENODEV for everybody who has it open. Not simulated: other kinds of
events, LEDs, the repeat rate.
"""

import errno
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import NamedTuple

EV_SYN, EV_KEY, EV_MSC = 0, 1, 4
SYN_REPORT, SYN_DROPPED, MSC_SCAN = 0, 3, 4
UP, DOWN, REPEAT = 0, 1, 2
BUFFER = 64
"""Events that wait for a reader at most, less one."""
AT_ONCE = 64
"""Events that one read gives at most."""

_ROWS = {"KEY_ESC": 1, "KEY_BACKSPACE": 14, "KEY_ENTER": 28, "KEY_LEFTSHIFT": 42}
_LETTERS = ((16, "QWERTYUIOP"), (30, "ASDFGHJKL"), (44, "ZXCVBNM"))
_PAD = ((71, "789"), (75, "456"), (79, "1230"))
CODES: dict[str, int] = (
    _ROWS
    | {f"KEY_{digit}": 2 + n for n, digit in enumerate("1234567890")}
    | {f"KEY_{key}": first + n for first, row in _LETTERS for n, key in enumerate(row)}
    | {f"KEY_KP{key}": first + n for first, row in _PAD for n, key in enumerate(row)}
    | {"KEY_KPASTERISK": 55, "KEY_KPMINUS": 74, "KEY_KPENTER": 96}
    | {f"KEY_NUMERIC_{n}": 0x200 + n for n in range(10)}
    | {"KEY_NUMERIC_STAR": 0x20A, "KEY_NUMERIC_POUND": 0x20B, "BTN_LEFT": 0x110}
    | {"EV_SYN": EV_SYN, "EV_KEY": EV_KEY, "EV_MSC": EV_MSC}
    | {"SYN_REPORT": SYN_REPORT, "SYN_DROPPED": SYN_DROPPED, "MSC_SCAN": MSC_SCAN}
)
"""The numbers that Linux gives to types of events, codes and keys (input-event-codes.h)."""
KEYBOARD = frozenset(name for name in CODES if name.startswith("KEY_"))
MOUSE = frozenset({"BTN_LEFT"})


class Event(NamedTuple):
    """evdev's InputEvent. waited: seconds for which nobody took it out of the device."""

    type: int
    code: int
    value: int
    waited: float = 0.0

    def timestamp(self) -> float:
        return time.time() - self.waited


@dataclass
class SimulatedKeyboard:
    """One device, and who has it open.

    keys: what it says that it can send. plugged_in: whether it is there. error: what opening it
    ends in, an errno. delay: seconds for which what is pressed from now on waits to be read.
    console: the keys that went to a console, because nobody had grabbed it. opened: how often it
    was. tries: how often that was tried.
    """

    path: str = "/dev/input/by-id/usb-Simulated-event-kbd"
    keys: frozenset[str] = KEYBOARD
    plugged_in: bool = True
    error: int | None = None
    delay: float = 0.0
    console: list[str] = field(default_factory=list)
    opened: int = 0
    tries: int = 0
    readers: "list[SimulatedInputDevice]" = field(default_factory=list)
    grabbed_by: object = None
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def is_read(self) -> bool:
        """Whether nothing waits for anybody; no keyboard types faster than it is read."""
        with self.lock:
            return not any(reader.waiting for reader in self.readers)

    def press(self, *names: str) -> None:
        """Press keys and let go of each."""
        for name in names:
            self.change(name, DOWN)
            self.change(name, UP)

    def type(self, text: str) -> None:
        """Press the keys of the upper row; a line feed is Enter. Whoever reads finds them all."""
        with self.lock:
            self.press(*("KEY_" + key.replace("\n", "ENTER") for key in text))

    def change(self, name: str, value: int) -> None:
        """Send one packet, as a USB keyboard does for each change of a key."""
        code = CODES[name]
        packet = [
            Event(EV_MSC, MSC_SCAN, code, self.delay),
            Event(EV_KEY, code, value, self.delay),
            Event(EV_SYN, SYN_REPORT, 0, self.delay),
        ]
        with self.lock:
            if not self.plugged_in:
                return
            if self.grabbed_by is None and value == DOWN:
                self.console.append(name)
            for reader in self.readers:
                if self.grabbed_by in {None, reader}:
                    reader.receive(packet)

    def unplug(self) -> None:
        """Take it away from whoever has it open."""
        with self.lock:
            self.plugged_in = False
            self.grabbed_by = None
            for reader in self.readers:
                reader.gone = True
                reader.wake()
            self.readers.clear()

    def plug_in(self) -> None:
        """Bring it back."""
        with self.lock:
            self.plugged_in = True

    def module(self) -> ModuleType:
        """Give a package evdev whose InputDevice knows this device."""
        keyboard = self

        class InputDevice(SimulatedInputDevice):
            def __init__(self, dev: str) -> None:
                super().__init__(keyboard, dev)

        module = ModuleType("evdev")
        module.__dict__["InputDevice"] = InputDevice
        module.__dict__["ecodes"] = SimpleNamespace(**CODES)
        return module


class SimulatedInputDevice:
    """evdev's InputDevice."""

    def __init__(self, keyboard: SimulatedKeyboard, path: str) -> None:
        keyboard.tries += 1
        with keyboard.lock:
            if keyboard.error is not None:
                raise OSError(keyboard.error, os.strerror(keyboard.error), path)
            if path != keyboard.path and os.path.exists(path):  # noqa: PTH110 - as a device is named
                raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
            if path != keyboard.path or not keyboard.plugged_in:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            self.path = path
            self.fd = os.eventfd(0, os.EFD_NONBLOCK)
            self.gone = False
            self._keyboard = keyboard
            self.waiting: list[Event] = []
            keyboard.readers.append(self)
            keyboard.opened += 1

    def fileno(self) -> int:
        return self.fd

    def capabilities(self) -> dict[int, list[int]]:
        can_send = sorted(CODES[name] for name in self._keyboard.keys)
        return {EV_SYN: [SYN_REPORT], EV_KEY: can_send, EV_MSC: [MSC_SCAN]}

    def grab(self) -> None:
        with self._keyboard.lock:
            self._check()
            if self._keyboard.grabbed_by is not None:
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
            self._keyboard.grabbed_by = self

    def read(self) -> Iterator[Event]:
        with self._keyboard.lock:
            self._check()
            events, self.waiting = self.waiting[:AT_ONCE], self.waiting[AT_ONCE:]
            if not self.waiting:
                # Raises BlockingIOError where nothing waited in the first place.
                os.eventfd_read(self.fd)
        yield from events

    def close(self) -> None:
        with self._keyboard.lock:
            if self.fd < 0:
                return
            if self._keyboard.grabbed_by is self:
                self._keyboard.grabbed_by = None
            with suppress(ValueError):
                self._keyboard.readers.remove(self)
            os.close(self.fd)
            self.fd = -1

    def receive(self, packet: list[Event]) -> None:
        """Queue what the device sends, as the kernel does for each that has it open."""
        for event in packet:
            self.waiting.append(event)
            if len(self.waiting) == BUFFER:
                self.waiting = [Event(EV_SYN, SYN_DROPPED, 0), event]
        self.wake()

    def wake(self) -> None:
        os.eventfd_write(self.fd, 1)

    def _check(self) -> None:
        if self.fd < 0:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        if self.gone:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
