"""The machine's clocks, and whether the wall clock can be believed.

A Pi without a battery starts at the time it was switched off. So the wall clock counts as set only
where one of these says so:

- systemd-timesyncd, of the Pi's own system, touches a file once it has had the time from a server;
  the file does not outlive the boot.
- A real-time clock agrees with it. One without a battery starts at its epoch, long past.

The kernel's STA_UNSYNC would tell more, but the service's sandbox allows no call that reads it, as
the same call sets the clock. A door with neither stays untrusted: schedules and dates refuse.
"""

import time
from pathlib import Path

from agent.core.types import Now
from agent.errors import DeviceError

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
SYNCHRONISED = Path("/run/systemd/timesync/synchronized")
RTC_FOLDER = Path("/sys/class/rtc")

RTC_AGREES = 300.0
"""Seconds that system and real-time clock may be apart: they drift between two starts."""
RTC_SET = 1_767_225_600
"""2026-01-01: a real-time clock before that was never set."""
LOOK_EVERY = 5.0
"""Seconds between two looks while untrusted: reading a real-time clock takes a millisecond."""


class SystemClock:
    """Reads the clocks; implements ports.Clock.

    boot_id, synchronised, rtc_folder: where the kernel and systemd-timesyncd tell of them. Raises
    DeviceError without a boot id.
    """

    def __init__(
        self,
        boot_id: Path = BOOT_ID,
        synchronised: Path = SYNCHRONISED,
        rtc_folder: Path = RTC_FOLDER,
    ) -> None:
        try:
            self.boot_id = boot_id.read_text(encoding="ascii").strip()
        except OSError as error:
            raise DeviceError(f"clock: {boot_id}: {error.strerror}: this needs Linux") from error
        self._synchronised = synchronised
        self._rtc_folder = rtc_folder
        self._trusted = False
        self._look_at = float("-inf")

    def now(self) -> Now:
        """Read all clocks at once."""
        monotonic, wall = time.monotonic(), time.time()
        # Once set, the clock stays set for as long as the machine runs.
        if not self._trusted and monotonic >= self._look_at:
            self._trusted = self._synchronised.exists() or self._rtc_agrees(wall)
            self._look_at = monotonic + LOOK_EVERY
        local = time.localtime(wall)
        week_minute = (local.tm_wday * 24 + local.tm_hour) * 60 + local.tm_min
        return Now(monotonic, wall, week_minute, self._trusted)

    def _rtc_agrees(self, wall: float) -> bool:
        for path in sorted(self._rtc_folder.glob("rtc*/since_epoch")):
            try:
                rtc = int(path.read_text(encoding="ascii"))
            except (OSError, ValueError):
                continue  # The kernel refuses to read one whose battery failed: it proves nothing.
            if rtc >= RTC_SET and abs(rtc - wall) <= RTC_AGREES:
                return True
        return False
