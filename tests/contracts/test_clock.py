"""The clocks, and when the wall clock is believed."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.adapters import clock
from agent.adapters.clock import SystemClock
from agent.errors import DeviceError


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine that has just started without a network and without a real-time clock."""
    (tmp_path / "boot_id").write_text("11111111-2222-3333-4444-555555555555\n")
    (tmp_path / "rtc").mkdir()
    return tmp_path


@pytest.fixture
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "XYZ-05:45")  # 5 h 45 min east of Greenwich
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def clock_of(machine: Path) -> SystemClock:
    return SystemClock(machine / "boot_id", machine / "synchronised", machine / "rtc")


def add_rtc(machine: Path, shows: str, name: str = "rtc0") -> None:
    (machine / "rtc" / name).mkdir()
    (machine / "rtc" / name / "since_epoch").write_text(shows)


def test_this_machine_has_a_boot_id_and_clocks_that_run() -> None:
    real = SystemClock()
    before = (time.monotonic(), time.time())
    now = real.now()
    after = (time.monotonic(), time.time())
    assert before[0] <= now.monotonic <= after[0]
    assert before[1] <= now.wall <= after[1]
    assert len(real.boot_id) == 36


def test_the_boot_id_is_the_kernels(machine: Path) -> None:
    assert clock_of(machine).boot_id == "11111111-2222-3333-4444-555555555555"


def test_without_a_boot_id_there_is_one_line(machine: Path) -> None:
    (machine / "boot_id").unlink()
    with pytest.raises(DeviceError, match=r"^clock: .*boot_id: No such file or directory: "):
        clock_of(machine)


@pytest.mark.usefixtures("far_from_utc")
@pytest.mark.parametrize(
    ("wall", "minute"),
    [
        (1_795_392_000 - 20_700, 0),  # Monday 2026-11-23 00:00 local
        (1_795_392_000 - 20_700 - 1, 7 * 24 * 60 - 1),  # a second before
        (1_795_392_000, 5 * 60 + 45),  # Monday 00:00 UTC
    ],
)
def test_the_minute_of_the_week_is_local_and_begins_on_monday(
    machine: Path, wall: int, minute: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: float(wall))
    assert clock_of(machine).now().week_minute == minute


def test_a_machine_that_was_just_started_is_not_believed(machine: Path) -> None:
    assert not clock_of(machine).now().trusted


def test_a_time_server_is_believed(machine: Path) -> None:
    (machine / "synchronised").touch()
    assert clock_of(machine).now().trusted


def test_a_time_server_that_answers_later_is_believed_then(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "LOOK_EVERY", 0.0)
    running = clock_of(machine)
    assert not running.now().trusted
    (machine / "synchronised").touch()
    assert running.now().trusted


def test_what_was_set_stays_set(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "LOOK_EVERY", 0.0)
    (machine / "synchronised").touch()
    running = clock_of(machine)
    assert running.now().trusted
    (machine / "synchronised").unlink()
    assert running.now().trusted


def test_while_untrusted_it_does_not_look_each_time(machine: Path) -> None:
    running = clock_of(machine)
    assert not running.now().trusted
    (machine / "synchronised").touch()
    assert not running.now().trusted


def test_a_real_time_clock_that_agrees_is_believed(machine: Path) -> None:
    add_rtc(machine, f"{time.time() - 120:.0f}\n")
    assert clock_of(machine).now().trusted


@pytest.mark.parametrize("off_by", [-3600, 3600])
def test_a_real_time_clock_that_is_off_by_an_hour_is_not_believed(
    machine: Path, off_by: int
) -> None:
    add_rtc(machine, f"{time.time() + off_by:.0f}\n")
    assert not clock_of(machine).now().trusted


def test_a_second_real_time_clock_counts_too(machine: Path) -> None:
    add_rtc(machine, "12\n")
    add_rtc(machine, f"{time.time():.0f}\n", "rtc1")
    assert clock_of(machine).now().trusted


@pytest.mark.parametrize("shows", ["", "garbage", "-1", "12", "1700000000"])
def test_a_real_time_clock_that_shows_something_else_proves_nothing(
    machine: Path, shows: str
) -> None:
    add_rtc(machine, shows)
    assert not clock_of(machine).now().trusted


def test_a_real_time_clock_without_battery_is_not_believed_though_the_system_took_its_time(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_rtc(machine, "40\n")
    monkeypatch.setattr(time, "time", lambda: 41.0)
    assert not clock_of(machine).now().trusted


def test_a_real_time_clock_whose_driver_cannot_read_it_proves_nothing(machine: Path) -> None:
    (machine / "rtc" / "rtc0" / "since_epoch").mkdir(parents=True)  # read: an OSError
    assert not clock_of(machine).now().trusted
