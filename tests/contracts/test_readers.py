"""Keypads and card readers: what keys amount to, and how a device is read that comes and goes."""

import errno
import logging
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

import pytest

from agent.adapters import evdev as evdev_module
from agent.adapters.digest import CodeDigest
from agent.adapters.evdev import CardReader, Keyboard, Keypad
from agent.adapters.typed import Burst, Entry, Typed
from agent.config import Readers, parse_config
from agent.core.events import Part
from agent.core.inputs import (
    CardPresented,
    CodeEntered,
    Faulted,
    Input,
    KeyPressed,
    Recovered,
)
from agent.errors import ConfigError, DeviceError
from agent.ports import DeviceKey, Digest, ProtectionLevel
from tests.contracts.waiting import eventually
from tests.simulated_evdev import KEYBOARD, MOUSE, REPEAT, SimulatedKeyboard

PRESS = KeyPressed()


def digest(text: str) -> bytes:
    return sha256(text.encode()).digest()


def code(text: str) -> CodeEntered:
    return CodeEntered(digest(text), 0.0)


def card(text: str) -> CardPresented:
    return CardPresented(digest(text), 0.0)


# --- what is typed on a keypad, key by key --------------------------------------------------------


def press(keys: Entry | Burst, text: str, at: float = 100.0, every: float = 0.0) -> list[Input]:
    """Press keys from `at` on; give what follows from them."""
    return [
        happened
        for n, key in enumerate(text)
        for happened in keys.press(key.strip(" "), at + n * every)
    ]


def codes(text: str, every: float = 0.0) -> list[Input]:
    """Give the codes that follow from keys."""
    return [seen for seen in press(Entry(digest), text, every=every) if seen != PRESS]


def test_each_key_is_told_of_and_enter_ends_a_code() -> None:
    assert press(Entry(digest), "1234\n") == [*[PRESS] * 5, code("1234")]


def test_a_hash_ends_a_code_as_enter_does() -> None:
    assert codes("1234#5678\n") == [code("1234"), code("5678")]


@pytest.mark.parametrize("clear", ["*", "\x1b"])
def test_what_was_typed_before_it_was_cleared_does_not_count(clear: str) -> None:
    assert codes(f"1234{clear}5678\n") == [code("5678")]


def test_keys_that_are_no_part_of_a_code_are_left_out() -> None:
    assert codes("1 2A3 4\n") == [code("1234")]


def test_zeros_in_front_are_part_of_a_code() -> None:
    assert codes("001234\n") == [code("001234")]


def test_fewer_than_four_digits_are_no_entry() -> None:
    assert codes("\n1\n12\n123\n") == []


def test_twelve_digits_are_taken_whole_and_more_are_nobodys_code() -> None:
    right = "123456789012"
    assert codes(f"{right}\n") == [code(right)]
    for longer in ("3", "34", "3" * 500):
        entered = codes(f"{right}{longer}\n")
        assert len(entered) == 1
        # Whoever enrols takes twelve digits at most.
        assert entered != [code(right)]


def test_an_entry_lasts_for_ten_seconds_after_each_key() -> None:
    assert codes("1234\n", every=10.0) == [code("1234")]
    assert codes("1234\n", every=10.1) == []


def test_an_entry_that_nobody_went_on_with_is_not_added_to() -> None:
    entry = Entry(digest)
    assert code("123456") not in press(entry, "12")
    assert press(entry, "3456\n", at=110.1)[-1] == code("3456")


def test_an_entry_of_which_keys_were_lost_is_dropped_and_the_next_is_taken() -> None:
    entry = Entry(digest)
    press(entry, "12")
    entry.lose(100.0)
    assert press(entry, "3456\n") == [PRESS] * 5
    assert press(entry, "7890\n") == [*[PRESS] * 5, code("7890")]


def test_an_entry_of_which_keys_were_lost_is_over_after_the_pause() -> None:
    entry = Entry(digest)
    entry.lose(100.0)
    assert press(entry, "7890\n", at=110.1)[-1] == code("7890")


def held_by(typed: Typed) -> bytes:
    return b"".join(bytes(held) for held in vars(typed).values() if isinstance(held, bytearray))


@pytest.mark.parametrize(
    "done", [Typed.take, Typed.wipe, partial(Typed.expire, at=111.0), partial(Typed.lose, at=100.0)]
)
def test_what_was_typed_is_overwritten_where_it_was(done: Callable[[Typed], object]) -> None:
    typed = Typed(12, 10.0)
    for key in "482915":
        typed.add(key, 100.0)
    assert b"482915" in held_by(typed)
    done(typed)
    assert set(held_by(typed)) == {0}


# --- what a card reader types, key by key ---------------------------------------------------------


def cards(text: str, every: float = 0.0) -> list[Input]:
    """Give what follows from what a reader types."""
    return press(Burst(digest), text, every=every)


def test_letters_and_digits_up_to_enter_are_the_number_of_a_card() -> None:
    assert cards("0012345678\n") == [card("0012345678")]
    assert cards("04A2F6B1C37E80\n") == [card("04A2F6B1C37E80")]


def test_other_keys_are_left_out_of_a_number() -> None:
    assert cards("0012 34*5#678\n") == [card("0012345678")]


@pytest.mark.parametrize("number", ["", "123", "1" * 65, "1" * 300])
def test_a_number_that_is_too_short_or_too_long_is_no_card(number: str) -> None:
    assert cards(f"{number}\n") == []


@pytest.mark.parametrize("number", ["1234", "1" * 64])
def test_the_shortest_and_the_longest_number_are_cards(number: str) -> None:
    assert cards(f"{number}\n") == [card(number)]


def test_a_number_must_be_typed_in_one_burst() -> None:
    assert cards("12345678\n", every=0.5) == [card("12345678")]
    assert cards("12345678\n", every=0.6) == []


def test_what_was_typed_before_a_pause_is_not_part_of_the_number() -> None:
    burst = Burst(digest)
    press(burst, "99")
    assert press(burst, "12345678\n", at=100.6) == [card("12345678")]


def test_a_number_of_which_keys_were_lost_is_dropped_and_the_next_is_taken() -> None:
    burst = Burst(digest)
    burst.lose(100.0)
    assert press(burst, "345678\n") == []
    assert press(burst, "12345678\n") == [card("12345678")]


def test_a_card_that_is_held_for_longer_is_presented_once() -> None:
    burst = Burst(digest)
    seen = [press(burst, "12345678\n", at=at) for at in (100.0, 101.0, 103.0, 105.0)]
    assert seen == [[card("12345678")], [], [], []]


def test_a_card_that_comes_again_later_is_presented_again() -> None:
    burst = Burst(digest)
    seen = [press(burst, "12345678\n", at=at) for at in (100.0, 102.1)]
    assert seen == [[card("12345678")]] * 2


def test_another_card_is_presented_at_once_and_then_the_first_again() -> None:
    assert cards("1111\n2222\n1111\n") == [card("1111"), card("2222"), card("1111")]


# --- the device -----------------------------------------------------------------------------------

Reader: TypeAlias = Callable[[str, Digest, Callable[[], float]], Keyboard]


@dataclass
class Rig:
    """A keyboard, who reads it, and what was posted. at: what the reader's clock shows."""

    reader: Reader
    keyboard: SimulatedKeyboard
    digest: Digest = digest
    at: float = 100.0
    posted: queue.SimpleQueue[Input] = field(default_factory=queue.SimpleQueue)

    def __post_init__(self) -> None:
        self.inputs = self.reader(self.keyboard.path, self.slowly, self.clock)

    def slowly(self, text: str) -> bytes:
        """Digest as the test has it at that time."""
        return self.digest(text)

    def clock(self) -> float:
        return self.at

    def start(self) -> None:
        """Begin to read, and wait until it does or has failed."""
        self.inputs.start(self.posted.put)
        assert eventually(lambda: self.keyboard.grabbed_by is not None or not self.posted.empty())

    def next(self) -> Input:
        """Wait for what is posted next, but for keys."""
        while True:
            happened = self.posted.get(timeout=10.0)
            if happened != PRESS:
                return happened

    def rest(self) -> list[Input]:
        """Close it and give all that is still to come."""
        self.inputs.close()
        return [self.posted.get_nowait() for _ in range(self.posted.qsize())]

    def entered(self, text: str) -> Input:
        """Give what an entry of this text is to lead to."""
        return code(text) if self.reader is Keypad else card(text)

    def fault(self) -> str:
        """Wait for the fault; give its reason, which is one line."""
        fault = self.next()
        assert isinstance(fault, Faulted)
        assert fault.part is self.part
        assert "\n" not in fault.reason
        return fault.reason

    @property
    def part(self) -> Part:
        return Part.KEYPAD if self.reader is Keypad else Part.CARD_READER


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evdev_module, "RETRY_EVERY", 0.01)
    monkeypatch.setattr(evdev_module, "LOOK_EVERY", 0.01)


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> SimulatedKeyboard:
    keyboard = SimulatedKeyboard()
    monkeypatch.setitem(sys.modules, "evdev", keyboard.module())
    return keyboard


@pytest.fixture(params=[Keypad, CardReader])
def rig(request: pytest.FixtureRequest, keyboard: SimulatedKeyboard) -> Iterator[Rig]:
    rig = Rig(request.param, keyboard)
    yield rig
    rig.inputs.close()


@pytest.fixture
def keypad(keyboard: SimulatedKeyboard) -> Iterator[Rig]:
    rig = Rig(Keypad, keyboard)
    yield rig
    rig.inputs.close()


def test_what_is_typed_is_posted_as_its_digest(rig: Rig) -> None:
    rig.start()
    rig.keyboard.type("482915\n")
    assert rig.next() == rig.entered("482915")


@pytest.mark.parametrize("row", ["KEY_", "KEY_KP", "KEY_NUMERIC_"])
@pytest.mark.parametrize("end", ["KEY_ENTER", "KEY_KPENTER"])
def test_every_row_of_digits_and_both_enter_keys_will_do(rig: Rig, row: str, end: str) -> None:
    rig.start()
    for name in (*(f"{row}{digit}" for digit in "1234567890"), end):
        rig.keyboard.press(name)
        assert eventually(lambda: rig.keyboard.is_read)
    assert rig.next() == rig.entered("1234567890")


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("KEY_NUMERIC_POUND", "3456"),
        ("KEY_NUMERIC_STAR", "3456"),
        ("KEY_KPASTERISK", "3456"),
        ("KEY_ESC", "3456"),
        ("KEY_BACKSPACE", "3456"),
        ("KEY_KPMINUS", "123456"),
    ],
)
def test_the_keys_beside_the_digits_end_or_clear_an_entry_or_do_nothing(
    keypad: Rig, key: str, expected: str
) -> None:
    keypad.start()
    keypad.keyboard.type("12")
    keypad.keyboard.press(key)
    keypad.keyboard.type("3456\n")
    assert keypad.next() == code(expected)


def test_a_card_reader_may_type_letters(keyboard: SimulatedKeyboard) -> None:
    rig = Rig(CardReader, keyboard)
    rig.start()
    keyboard.change("KEY_LEFTSHIFT", 1)
    keyboard.type("04ABCDEF\n")
    assert rig.next() == card("04ABCDEF")
    rig.inputs.close()


def test_a_key_that_is_held_counts_once(keypad: Rig) -> None:
    keypad.start()
    keypad.keyboard.type("123")
    keypad.keyboard.change("KEY_4", 1)
    for _ in range(5):
        keypad.keyboard.change("KEY_4", REPEAT)
    keypad.keyboard.change("KEY_4", 0)
    keypad.keyboard.type("\n")
    assert keypad.next() == code("1234")


def test_what_is_typed_reaches_no_console_while_it_is_read(rig: Rig) -> None:
    rig.start()
    rig.keyboard.type("482915\n")
    rig.next()
    assert rig.keyboard.console == []


def test_the_device_is_let_go_of_and_nothing_is_posted_once_closed(rig: Rig) -> None:
    rig.start()
    rig.inputs.close()
    rig.inputs.close()
    rig.keyboard.type("482915\n")
    assert rig.posted.empty()
    assert len(rig.keyboard.console) == 7


def test_close_may_be_called_without_a_start(rig: Rig) -> None:
    rig.inputs.close()
    assert rig.keyboard.tries == 0


def test_a_second_start_does_not_open_it_again(rig: Rig) -> None:
    rig.start()
    rig.start()
    rig.keyboard.type("482915\n")
    assert rig.next() == rig.entered("482915")
    assert rig.keyboard.tries == 1


def test_a_reader_that_nobody_uses_forgets_what_is_too_old(keyboard: SimulatedKeyboard) -> None:
    forgotten: list[float] = []

    class Noting(Entry):
        def expire(self, at: float) -> None:
            forgotten.append(at)

    inputs = Keyboard(keyboard.path, Part.KEYPAD, Noting(digest), lambda: 123.0)
    inputs.start(lambda _: None)
    assert eventually(lambda: forgotten.count(123.0) > 2)
    inputs.close()
    assert forgotten[-1] == float("inf")


def test_while_a_key_is_held_down_what_is_too_old_is_forgotten_as_well(
    keyboard: SimulatedKeyboard,
) -> None:
    forgotten: list[float] = []

    class Noting(Entry):
        def expire(self, at: float) -> None:
            forgotten.append(at)

    keyboard.delay = 50.0
    inputs = Keyboard(keyboard.path, Part.KEYPAD, Noting(digest), lambda: 123.0)
    inputs.start(lambda _: None)
    assert eventually(lambda: keyboard.grabbed_by is not None)
    keyboard.change("KEY_5", REPEAT)
    assert eventually(lambda: any(at == pytest.approx(73.0, abs=1.0) for at in forgotten))
    inputs.close()


# --- digests take their time ----------------------------------------------------------------------


@dataclass
class SlowDigest:
    """Begins a digest, and ends it when it is let."""

    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    may_end: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def __call__(self, text: str) -> bytes:
        self.begun.release()
        assert self.may_end.acquire(timeout=10.0)
        return digest(text)


def test_keys_are_told_of_before_a_digest_is_made_and_what_is_typed_meanwhile_waits(
    keypad: Rig,
) -> None:
    keypad.digest = slow = SlowDigest()
    keypad.start()
    keypad.keyboard.type("1234\n")
    assert slow.begun.acquire(timeout=10.0)
    assert [keypad.posted.get(timeout=10.0) for _ in range(5)] == [PRESS] * 5
    keypad.keyboard.type("5678\n")
    assert keypad.posted.empty()
    slow.may_end.release(2)
    assert [keypad.next(), keypad.next()] == [code("1234"), code("5678")]


@pytest.mark.parametrize("waited", [0.0, 2.5, 3600.0])
def test_an_entry_is_dated_by_when_its_last_key_was_pressed(rig: Rig, waited: float) -> None:
    rig.start()
    rig.keyboard.delay = waited
    rig.keyboard.type("1234\n")
    entered = rig.next()
    assert entered == rig.entered("1234")
    assert isinstance(entered, CodeEntered | CardPresented)
    assert entered.at == pytest.approx(100.0 - waited, abs=0.5)


def test_a_clock_that_was_set_back_makes_no_entry_one_of_the_future(rig: Rig) -> None:
    rig.start()
    rig.keyboard.delay = -3600.0
    rig.keyboard.type("1234\n")
    entered = rig.next()
    assert isinstance(entered, CodeEntered | CardPresented)
    assert entered.at == 100.0


def test_what_is_typed_while_a_digest_is_made_is_dated_by_its_keys(keypad: Rig) -> None:
    keypad.digest = slow = SlowDigest()
    keypad.start()
    keypad.keyboard.type("1234\n")
    assert slow.begun.acquire(timeout=10.0)
    keypad.at = 104.0
    keypad.keyboard.delay = 4.0
    keypad.keyboard.type("5678\n")
    slow.may_end.release(2)
    for text in ("1234", "5678"):
        entered = keypad.next()
        assert entered == code(text)
        assert isinstance(entered, CodeEntered)
        assert entered.at == pytest.approx(100.0, abs=0.5)


def test_a_number_of_which_the_end_waits_in_the_device_is_not_too_old(
    keyboard: SimulatedKeyboard,
) -> None:
    rig = Rig(CardReader, keyboard, slow := SlowDigest())
    rig.start()
    keyboard.delay = 1.0
    keyboard.type("1234\n56")
    assert slow.begun.acquire(timeout=10.0)
    keyboard.type("78\n")
    slow.may_end.release(2)
    assert [rig.next(), rig.next()] == [card("1234"), card("5678")]
    rig.inputs.close()


def test_more_than_the_device_can_hold_meanwhile_is_dropped_and_not_taken_for_an_entry(
    rig: Rig,
) -> None:
    rig.digest = slow = SlowDigest()
    rig.start()
    rig.keyboard.type("1234\n")
    assert slow.begun.acquire(timeout=10.0)
    rig.keyboard.type("1234567890" * 2 + "12345678\n")
    slow.may_end.release(2)
    assert rig.next() == rig.entered("1234")
    assert eventually(lambda: rig.keyboard.is_read)
    rig.keyboard.type("2468\n")
    assert rig.next() == rig.entered("2468")


@pytest.mark.parametrize("kind", [DeviceError, RuntimeError], ids=["foreseen", "unforeseen"])
def test_a_digest_that_cannot_be_made_is_a_fault_and_the_next_entry_is_taken(
    rig: Rig, kind: type[Exception]
) -> None:
    def refuse(_: str) -> bytes:
        raise kind("codes: Memory allocation error: 19 MiB must be free")

    rig.digest = refuse
    rig.start()
    rig.keyboard.type("1234\n")
    assert rig.fault().startswith("codes: Memory allocation error")
    rig.digest = digest
    assert rig.next() == Recovered(rig.part)
    rig.keyboard.type("5678\n")
    assert rig.next() == rig.entered("5678")


def test_the_digests_of_the_device_are_what_is_posted(keyboard: SimulatedKeyboard) -> None:
    key = DeviceKey(bytes(range(32)), ProtectionLevel.HOST_KEY, "a test")
    rig = Rig(Keypad, keyboard, CodeDigest(key).pin)
    rig.start()
    keyboard.type("482915\n")
    assert rig.next() == CodeEntered(CodeDigest(key).pin("482915"), 0.0)
    rig.inputs.close()


# --- a device that is not there, or not any more --------------------------------------------------


def test_a_device_that_is_missing_is_a_fault_once_and_read_when_it_comes(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.keyboard.unplug()
    rig.start()
    name = rig.part.replace("_", " ")
    assert rig.fault() == (
        f"{name}: {rig.keyboard.path}: No such file or directory: "
        "plug it in, or mend its path in [readers]"
    )
    tries = rig.keyboard.tries
    assert eventually(lambda: rig.keyboard.tries > tries + 3)
    rig.keyboard.plug_in()
    assert rig.next() == Recovered(rig.part)
    rig.keyboard.type("1234\n")
    assert rig.next() == rig.entered("1234")
    assert caplog.text.count("No such file") == 1


def test_a_device_that_is_there_from_the_start_has_not_recovered(rig: Rig) -> None:
    rig.start()
    assert rig.rest() == []


def test_a_device_that_is_unplugged_is_a_fault_each_time_and_comes_back(rig: Rig) -> None:
    rig.start()
    for _ in range(2):
        rig.keyboard.unplug()
        assert rig.fault().endswith("No such device: plug it in again")
        rig.keyboard.plug_in()
        assert rig.next() == Recovered(rig.part)
        rig.at += 60.0
        rig.keyboard.type("1234\n")
        assert rig.next() == rig.entered("1234")
    assert set(rig.rest()) <= {PRESS}


def test_half_an_entry_does_not_outlast_the_device(rig: Rig) -> None:
    rig.start()
    rig.keyboard.type("99")
    assert eventually(lambda: rig.keyboard.is_read)
    rig.keyboard.unplug()
    rig.fault()
    rig.keyboard.plug_in()
    assert rig.next() == Recovered(rig.part)
    rig.keyboard.type("1234\n")
    assert rig.next() == rig.entered("1234")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (errno.EACCES, "Permission denied: add the agent's user to the group input"),
        (errno.ENODEV, "No such device: plug it in again"),
        (errno.EIO, "Input/output error: give .readers. the path of a keyboard"),
    ],
)
def test_a_device_that_cannot_be_opened_is_told_with_the_mend(
    keypad: Rig, error: int, reason: str
) -> None:
    keypad.keyboard.error = error
    keypad.start()
    told = keypad.fault()
    assert told.startswith(f"keypad: {keypad.keyboard.path}: ")
    assert reason.replace(".readers.", "[readers]") in told
    keypad.keyboard.error = None
    assert keypad.next() == Recovered(Part.KEYPAD)


def test_a_device_that_another_program_has_is_told_and_taken_when_it_is_free(rig: Rig) -> None:
    other = sys.modules["evdev"].InputDevice(rig.keyboard.path)
    other.grab()
    rig.inputs.start(rig.posted.put)
    assert rig.fault().endswith("Device or resource busy: end the other program that reads it")
    other.close()
    assert rig.next() == Recovered(rig.part)
    # None of the tries left it open.
    assert len(rig.keyboard.readers) == 1


def test_a_device_that_has_no_digits_is_told_with_the_mend(rig: Rig) -> None:
    rig.keyboard.keys = MOUSE
    rig.start()
    reason = rig.fault()
    assert "has no digits: give [readers] the path of a keyboard, which ends with" in reason
    rig.keyboard.keys = KEYBOARD
    assert rig.next() == Recovered(rig.part)
    assert len(rig.keyboard.readers) == 1


def test_a_file_that_is_no_input_device_is_told_with_the_mend(
    keyboard: SimulatedKeyboard, tmp_path: Path
) -> None:
    file = tmp_path / "mouse0"
    file.touch()
    posted: queue.SimpleQueue[Input] = queue.SimpleQueue()
    assert keyboard.plugged_in
    inputs = Keypad(str(file), digest)
    inputs.start(posted.put)
    fault = posted.get(timeout=10.0)
    inputs.close()
    assert isinstance(fault, Faulted)
    assert "Inappropriate ioctl for device: give [readers] the path of a keyboard" in fault.reason


@pytest.mark.parametrize("reader", [Keypad, CardReader])
def test_a_missing_package_is_told_in_one_line_with_the_mend(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "evdev", None)
    missing = r"^(keypad|card reader): evdev is not installed: sudo apt install python3-evdev$"
    with pytest.raises(DeviceError, match=missing):
        reader("/dev/input/by-id/usb-Simulated-event-kbd", digest, lambda: 0.0)


# --- nothing that is typed is told ----------------------------------------------------------------


def test_what_is_typed_is_in_no_log_and_no_repr(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    rig.start()
    rig.keyboard.type("48291573\n")
    entered = rig.next()
    rig.keyboard.type("48291573")
    rig.keyboard.unplug()
    reason = rig.fault()
    told = [repr(entered), reason, caplog.text, repr(rig.inputs), *map(repr, rig.rest())]
    for fragment in ("48291573", "4829", "1573", digest("48291573").hex()[:8]):
        assert not any(fragment in line for line in told)


# --- the configuration ----------------------------------------------------------------------------


def test_a_door_has_neither_keypad_nor_card_reader_unless_they_are_named() -> None:
    assert parse_config("", "a test").readers == Readers(keypad=None, card_reader=None)


def test_a_keypad_and_a_card_reader_are_named_by_their_paths() -> None:
    text = """
        [readers]
        keypad = "/dev/input/by-id/usb-A-event-kbd"
        card_reader = "/dev/input/by-id/usb-B-event-kbd"
    """
    readers = parse_config(text, "a test").readers
    assert readers.keypad == "/dev/input/by-id/usb-A-event-kbd"
    assert readers.card_reader == "/dev/input/by-id/usb-B-event-kbd"


@pytest.mark.parametrize(
    "readers",
    [
        'keypad = "usb-A-event-kbd"',
        'keypad = "/dev/sda"',
        'keypad = "/dev/input/"',
        'keypad = "/dev/input/../sda"',
        'card_reader = "/dev/input/by-id/../../sda"',
        'keypad = "/dev/input/.."',
        'keypad = "/dev/input/a\\u0000b"',
        'keypad = "/dev/input/a\\nb"',
        f'card_reader = "/dev/input/{"a" * 201}"',
        'keypad = "/dev/input/event0"\ncard_reader = "/dev/input/event0"',
        "code_length = 4",
    ],
)
def test_what_can_be_no_input_device_is_refused_in_one_line(readers: str) -> None:
    with pytest.raises(ConfigError, match=r"^a test: readers") as told:
        parse_config(f"[readers]\n{readers}", "a test")
    assert "\n" not in str(told.value)
