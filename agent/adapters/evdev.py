"""Keypads and card readers: to Linux both are keyboards, read here through the evdev package.

Each has a thread of its own, which alone sees what is typed: it posts digests. The device is
grabbed, so that neither a console nor another program hears the keys while it is read.
"""

import contextlib
import errno
import importlib
import logging
import math
import select
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from string import ascii_uppercase, digits
from types import MappingProxyType
from typing import Any, Protocol

from agent.adapters.typed import ENTER, ESCAPE, Burst, Entry
from agent.core.events import Part
from agent.core.inputs import Faulted, Input, Recovered
from agent.errors import DeviceError
from agent.ports import Digest, Post

RETRY_EVERY = 2.0
"""Seconds between two tries to open a device."""
LOOK_EVERY = 0.2
"""Seconds between two looks at the clock while no key is pressed."""

PRESSED = 1
"""The value of a key that goes down; 0 lets go of it, and 2 is repeated while it is held."""
KEYS: Mapping[str, str] = MappingProxyType(
    {f"KEY_{letter}": letter for letter in ascii_uppercase}
    | {f"{row}{digit}": digit for row in ("KEY_", "KEY_KP", "KEY_NUMERIC_") for digit in digits}
    | {"KEY_ENTER": ENTER, "KEY_KPENTER": ENTER, "KEY_NUMERIC_POUND": "#"}
    | {"KEY_ESC": ESCAPE, "KEY_BACKSPACE": ESCAPE}
    | {"KEY_KPASTERISK": "*", "KEY_NUMERIC_STAR": "*"}
)
"""What the keys that matter type, by their names in Linux."""
MENDS: Mapping[int | None, str] = MappingProxyType(
    {
        errno.ENOENT: "plug it in, or mend its path in [readers]",
        errno.ENODEV: "plug it in again",
        errno.EACCES: "add the agent's user to the group input",
        errno.EBUSY: "end the other program that reads it",
    }
)
WRONG_DEVICE = "give [readers] the path of a keyboard, which ends with -event-kbd (docs/readers.md)"

log = logging.getLogger(__name__)


class Keys(Protocol):
    """What becomes of keys. at: monotonic seconds, infinite where nothing may be kept."""

    def press(self, key: str, at: float) -> Iterator[Input]:
        """Give what follows from a key, one of KEYS or empty. Raises DeviceError."""
        ...

    def lose(self, at: float) -> None:
        """Take note that some keys were lost."""
        ...

    def expire(self, at: float) -> None:
        """Forget what is too old."""
        ...


class Event(Protocol):
    """What is used of evdev's InputEvent."""

    type: int
    code: int
    value: int

    def timestamp(self) -> float:
        """Give when it was, in seconds since the Unix epoch."""
        ...


class Device(Protocol):
    """What is used of evdev's InputDevice."""

    fd: int

    def capabilities(self) -> Mapping[int, list[Any]]:
        """Give the codes that it can send, by type."""
        ...

    def grab(self) -> None:
        """Have its events for oneself. Raises OSError where another program has them."""
        ...

    def read(self) -> Iterator[Event]:
        """Give what waits. Raises OSError where it is unplugged."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Keyboard:
    """Reads one keyboard in a thread of its own; implements ports.Inputs.

    Where it is missing, or unplugged, it posts Faulted once, tries again every RETRY_EVERY seconds,
    and posts Recovered when it is back. The digests are made in its thread, so keys that are
    pressed meanwhile wait in the device: some ten; when there are more, that entry is dropped.

    path: of the device. keys: what makes inputs of its keys. monotonic: reads a clock in seconds.
    Raises DeviceError where the evdev package is missing.
    """

    def __init__(self, path: str, part: Part, keys: Keys, monotonic: Callable[[], float]) -> None:
        self._path = path
        self._part = part
        self._keys = keys
        self._monotonic = monotonic
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._name = part.value.replace("_", " ")
        try:
            self._evdev: Any = importlib.import_module("evdev")
        except ImportError:
            message = f"{self._name}: evdev is not installed: sudo apt install python3-evdev"
            raise DeviceError(message) from None
        codes = self._evdev.ecodes
        self._typing = {getattr(codes, name): key for name, key in KEYS.items()}

    def start(self, post: Post) -> None:
        """Begin to post what is typed; called again, do nothing."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, args=(post,), name=self._part.value, daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """Stop posting; may be called again."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, post: Post) -> None:
        failing = False
        while not self._closing.is_set():
            try:
                with contextlib.closing(self._open()) as device:
                    if failing:
                        post(Recovered(self._part))
                    failing = False
                    self._read(device, post)
            except Exception as error:  # noqa: BLE001 - else the reader is deaf, and nobody is told
                if not failing:
                    log.error("%s", error)
                    post(Faulted(self._part, str(error)))
                failing = True
                self._closing.wait(RETRY_EVERY)
            finally:
                self._keys.expire(math.inf)

    def _open(self) -> Device:
        with contextlib.ExitStack() as undo, self._asking():
            device: Device = self._evdev.InputDevice(self._path)
            undo.callback(device.close)
            can_send = device.capabilities().get(self._evdev.ecodes.EV_KEY, [])
            if not set(digits) <= {self._typing.get(code) for code in can_send}:
                raise DeviceError(f"{self._name}: {self._path} has no digits: {WRONG_DEVICE}")
            device.grab()
            undo.pop_all()
        return device

    def _read(self, device: Device, post: Post) -> None:
        codes = self._evdev.ecodes
        while not self._closing.is_set():
            ready, _, _ = select.select([device.fd], [], [], LOOK_EVERY)
            if not ready:
                self._keys.expire(self._monotonic())
                continue
            with self._asking():
                events = list(device.read())
            for event in events:
                at = self._pressed_at(event)
                # By its own time: what waits in the device goes on with what is as old.
                self._keys.expire(at)
                if event.type == codes.EV_SYN and event.code == codes.SYN_DROPPED:
                    self._keys.lose(self._monotonic())
                elif event.type == codes.EV_KEY and event.value == PRESSED:
                    key = self._typing.get(event.code, "")
                    for happened in self._keys.press(key, at):
                        post(happened)

    def _pressed_at(self, event: Event) -> float:
        """Give when a key was pressed, monotonic seconds: it may have waited in the device.

        The kernel dates it by the wall clock; what that jumped meanwhile counts as waiting.
        """
        waited = time.time() - event.timestamp()
        return self._monotonic() - max(waited, 0.0)

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """Make what evdev raises a DeviceError that names the device and the mend."""
        try:
            yield
        except OSError as error:
            mend = MENDS.get(error.errno, WRONG_DEVICE)
            message = f"{self._name}: {self._path}: {error.strerror}: {mend}"
            raise DeviceError(message) from error


class Keypad(Keyboard):
    """A keypad on which codes are typed: posts KeyPressed and CodeEntered, otherwise as Keyboard.

    digest: of a code; called in the keypad's thread, which it may keep for as long as it takes.
    """

    def __init__(
        self, path: str, digest: Digest, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(path, Part.KEYPAD, Entry(digest), monotonic)


class CardReader(Keyboard):
    """A reader that types the numbers of cards: posts CardPresented, otherwise as Keyboard.

    digest: of a number; called in the reader's thread, which it may keep for as long as it takes.
    """

    def __init__(
        self, path: str, digest: Digest, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(path, Part.CARD_READER, Burst(digest), monotonic)
