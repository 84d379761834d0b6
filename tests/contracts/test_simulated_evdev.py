"""What Doorward relies on of the evdev package, over the simulator and over the real package.

The real one cannot open a device here, for there is none: what it reads comes through a pipe, as
the kernel's bytes. What a device says that it can send, grabbing it, losing events and unplugging
it are not compared.
"""

import errno
import importlib
import os
import queue
import select
import struct
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from agent.adapters.evdev import KEYS, Keypad
from agent.core.inputs import CodeEntered, Input, KeyPressed
from tests.simulated_evdev import CODES, SimulatedKeyboard

SYSTEM = "/usr/lib/python3/dist-packages"
"""Where apt puts python3-evdev, which the environment of the tests does not see."""
LONG = 60.0
"""Seconds within which a test is over, however slow the computer."""
INPUT_EVENT = struct.Struct("@llHHi")
"""The kernel's struct input_event: seconds, microseconds, type, code, value."""


@dataclass
class Package:
    """The package, one device of it that is open, and what presses and lets go of a key."""

    module: ModuleType
    device: Any
    press: Callable[[str], None]


def simulated() -> Iterator[Package]:
    keyboard = SimulatedKeyboard()
    module = keyboard.module()
    device = module.InputDevice(keyboard.path)
    yield Package(module, device, keyboard.press)
    device.close()


def real() -> Iterator[Package]:
    before = set(sys.modules)
    sys.path.append(SYSTEM)
    try:
        module: Any = importlib.import_module("evdev")
    except ImportError as error:
        pytest.skip(f"evdev is not installed for this Python: {error}")
    finally:
        sys.path.remove(SYSTEM)
    out, into = os.pipe2(os.O_NONBLOCK)

    class Piped(module.InputDevice):  # type: ignore[misc]  # it has no types
        def capabilities(self) -> dict[int, list[int]]:
            return {1: sorted(CODES.values())}

        def grab(self) -> None: ...

    # Its constructor asks a device who it is.
    device = object.__new__(Piped)
    device.path, device.fd = "a pipe", out

    def press(name: str) -> None:
        code = CODES[name]
        packets = [(4, 4, code), (1, code, 1), (0, 0, 0), (4, 4, code), (1, code, 0), (0, 0, 0)]
        seconds, part = divmod(time.time(), 1)
        when = int(seconds), int(part * 1e6)
        os.write(into, b"".join(INPUT_EVENT.pack(*when, *event) for event in packets))

    yield Package(module, device, press)
    device.close()
    os.close(into)
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "evdev":
            del sys.modules[name]


PACKAGES = {"simulated": simulated, "real": real}


@pytest.fixture(params=PACKAGES)
def package(request: pytest.FixtureRequest) -> Iterator[Package]:
    yield from PACKAGES[request.param]()


def test_every_key_that_matters_has_the_same_number(package: Package) -> None:
    numbers = {name: getattr(package.module.ecodes, name) for name in {*KEYS, *CODES}}
    assert numbers == CODES


def test_what_is_pressed_is_read_as_type_code_and_value(package: Package) -> None:
    package.press("KEY_ENTER")
    read = list(package.device.read())
    assert all(time.time() - LONG < event.timestamp() <= time.time() for event in read)
    events = [(event.type, event.code, event.value) for event in read]
    assert events == [(4, 4, 28), (1, 28, 1), (0, 0, 0), (4, 4, 28), (1, 28, 0), (0, 0, 0)]


def test_a_device_can_be_waited_for_and_read_until_nothing_is_left(package: Package) -> None:
    fd = package.device.fd
    assert select.select([fd], [], [], 0.0)[0] == []
    package.press("KEY_ENTER")
    assert select.select([fd], [], [], 0.0)[0] == [fd]
    list(package.device.read())
    assert select.select([fd], [], [], 0.0)[0] == []
    with pytest.raises(BlockingIOError):
        list(package.device.read())


def test_a_path_without_a_device_is_no_such_file(package: Package) -> None:
    with pytest.raises(FileNotFoundError) as told:
        package.module.InputDevice("/dev/input/by-id/usb-Nothing-event-kbd")
    assert told.value.strerror == "No such file or directory"


def test_a_file_that_is_no_input_device_is_refused(package: Package, tmp_path: Path) -> None:
    file = tmp_path / "keypad"
    file.touch()
    with pytest.raises(OSError, match="Inappropriate ioctl") as told:
        package.module.InputDevice(str(file))
    assert told.value.errno == errno.ENOTTY


def test_a_device_may_be_closed_twice(package: Package) -> None:
    package.device.close()
    package.device.close()


def test_a_code_that_is_typed_goes_through_the_package(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "evdev", package.module)
    monkeypatch.setattr(package.module, "InputDevice", lambda _: package.device)
    posted: queue.SimpleQueue[Input] = queue.SimpleQueue()
    keypad = Keypad("a path", str.encode)
    keypad.start(posted.put)
    for name in ("KEY_1", "KEY_KP2", "KEY_NUMERIC_3", "KEY_4", "KEY_ENTER"):
        package.press(name)
    got = [posted.get(timeout=10.0) for _ in range(6)]
    keypad.close()
    assert got == [*[KeyPressed()] * 5, CodeEntered(b"1234", 0.0)]
    assert isinstance(got[-1], CodeEntered)
    assert 0 <= time.monotonic() - got[-1].at < LONG
