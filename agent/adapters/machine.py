"""What the machine under the door says of itself: its disk, heat, power, GPIO chips and clock.

Each of these gives what it finds in words, and raises DeviceError with the mend where that is bad.
sys, dev, boot, model: where the kernel and the firmware tell of it, as on a Raspberry Pi.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from agent.adapters.clock import RTC_SET
from agent.errors import DeviceError

SYS = Path("/sys")
DEV = Path("/dev")
MODEL = Path("/proc/device-tree/model")
BOOT = Path("/boot/firmware/config.txt")

MEGABYTE = 1_000_000
LEAST_FREE = 20 * MEGABYTE
"""Bytes of disk below which the log may soon be full, and without the log nothing opens."""
SPARE = 500 * MEGABYTE
"""Bytes below which it is time to make room."""
HOT = 80.0
"""Degrees Celsius from which on a Raspberry Pi makes itself slower."""
WORN = 9
"""Tenths of its life after which an eMMC is to be replaced."""

HEADER = ("pinctrl-bcm", "pinctrl-rp1")
"""How the labels of the chips begin that drive a Raspberry Pi's header, up to 4 and from 5 on."""
SECOND_USES: Mapping[str, tuple[int, ...]] = {
    "dtparam=i2c_arm=on": (2, 3),
    "dtoverlay=w1-gpio": (4,),
    "dtparam=spi=on": (7, 8, 9, 10, 11),
    "enable_uart=1": (14, 15),
    "dtparam=i2s=on": (18, 19, 20, 21),
}
"""What the firmware may use lines of the header for, as its config.txt says it."""

THROTTLED = "devices/platform/soc/soc:firmware/get_throttled"
LOW_VOLTAGE = 1 << 0
SLOWED = 1 << 1 | 1 << 2 | 1 << 3
"""Frequency capped, throttled, soft temperature limit."""
SINCE_THE_START = 16
"""Bits by which the flags of what was once are to the left of those of what is."""


def disk(folder: Path, least: int = LEAST_FREE) -> str:
    """Say how much room there is for the log. least: bytes that must be free."""
    room, read_only = _room(folder)
    if read_only:
        raise DeviceError(
            f"disk: {folder}: the file system is read-only, as after a fault of the card: "
            "check it with `sudo dmesg`, replace it, or remount it for writing"
        )
    if not room >= least:
        raise DeviceError(f"disk: {folder}: {_megabytes(room)} free: free some space, soon")
    return f"{_megabytes(room)} free"


def card(folder: Path, sys: Path = SYS, spare: int = SPARE) -> str:
    """Say how long the disk will do. spare: bytes below which it is filling up."""
    room, _ = _room(folder)
    life, warned = _wear(folder, sys)
    if warned or life >= WORN:
        raise DeviceError(
            f"card: {_worn(life)}: `doorward backup`, and put in another card or board"
        )
    if not room >= spare:
        raise DeviceError(
            f"card: {_megabytes(room)} free: free some space, or set [retention] event_days lower"
        )
    return _worn(life) if life else "this medium does not tell how worn it is"


def temperature(sys: Path = SYS) -> str:
    """Say how hot it is."""
    measured = [
        millidegrees / 1000
        for zone in sys.glob("class/thermal/thermal_zone*/temp")
        if (millidegrees := _number(zone, 10)) is not None
    ]
    if not measured:
        return "this machine tells of no temperature"
    if not max(measured) < HOT:
        raise DeviceError(f"temperature: {max(measured):.0f} °C: give it a heat sink, air or shade")
    return f"{max(measured):.0f} °C"


def power(sys: Path = SYS, model: Path = MODEL, vcgencmd: str = "vcgencmd") -> str:
    """Say whether the supply is strong enough, and whether heat or it slowed the machine down."""
    name = "".join(_lines(model)).rstrip("\0")
    if "Raspberry Pi" not in name:
        return "not a Raspberry Pi: nothing tells how good its supply is"
    flags = _number(sys / THROTTLED, 16)
    if flags is None:
        flags = _asked(vcgencmd)
    if flags is None:
        return f"{name} could not be asked: run as root, with vcgencmd installed"
    for since, ever in (("now", flags), ("since the start", flags >> SINCE_THE_START)):
        if ever & LOW_VOLTAGE:
            raise DeviceError(
                f"power: under-voltage {since}: take the supply made for this Pi and a short cable"
            )
        if ever & SLOWED:
            raise DeviceError(f"power: slowed down by heat {since}: give it a heat sink and air")
    return f"{name}: no under-voltage and no throttling since the start"


def gpio_chip(sys: Path = SYS, dev: Path = DEV) -> str:
    """Say which chip drives the header, found by its label, and that chips may be opened."""
    chips = sorted(dev.glob("gpiochip*"))
    if not chips:
        raise DeviceError(f"gpio: there is no {dev}/gpiochip*: run this on a Raspberry Pi")
    shut = [str(chip) for chip in chips if not os.access(chip, os.R_OK | os.W_OK)]
    if shut:
        mend = "run as root, or add the account to group gpio"
        raise DeviceError(f"gpio: {', '.join(shut)}: may not be opened: {mend}")
    labels = sorted({line for path in sys.glob("class/gpio/*/label") for line in _lines(path)})
    known = [label for label in labels if label.startswith(HEADER)]
    if labels and not known:
        raise DeviceError(
            f"gpio: none of the chips drives a header: {', '.join(labels)}: "
            "run this on a Raspberry Pi"
        )
    return f"chip {known[0]}" if known else f"{len(chips)} chips, of unknown label"


def second_uses(lines: Mapping[str, int], boot: Path = BOOT) -> str:
    """Say whether nothing else uses the lines. lines: BCM numbers, by what they are for."""
    settings = {line.partition("#")[0].strip().partition(",")[0] for line in _lines(boot)}
    for setting, taken in SECOND_USES.items():
        for purpose, line in lines.items():
            if setting in settings and line in taken:
                raise DeviceError(
                    f"lines: {line} ({purpose}) is used by {setting} in {boot} as well: "
                    "take another line, or that setting out"
                )
    return ", ".join(f"{purpose} {line}" for purpose, line in lines.items())


def real_time_clock(sys: Path = SYS) -> str:
    """Say whether a real-time clock keeps the time while the power is off; raises nothing."""
    clocks = [_number(path, 10) for path in sys.glob("class/rtc/rtc*/since_epoch")]
    if any(since is not None and since >= RTC_SET for since in clocks):
        return "and there is a real-time clock for when the power is off"
    if clocks:
        return "and the real-time clock has no battery or was never set"
    return "and there is no real-time clock: after a power cut only a time server can set it"


# --- what is read ---------------------------------------------------------------------------------


def _room(folder: Path) -> tuple[int, bool]:
    """Give the bytes that may be written to the disk of a folder, and whether none may."""
    there = _there(folder)
    try:
        found = os.statvfs(there)
    except OSError as error:
        raise DeviceError(f"disk: {there}: {error.strerror}: check it with `sudo dmesg`") from error
    return found.f_bavail * found.f_frsize, bool(found.f_flag & os.ST_RDONLY)


def _wear(folder: Path, sys: Path) -> tuple[int, bool]:
    """Give the tenths of its life that an eMMC is in, 0 where unknown, and whether it warns."""
    number = _there(folder).stat().st_dev
    node = (sys / "dev/block" / f"{os.major(number)}:{os.minor(number)}").resolve()
    for device in (node / "device", node.parent / "device"):
        tenths = [int(each, 16) for each in _words(device / "life_time")]
        warned = any(int(each, 16) > 1 for each in _words(device / "pre_eol_info"))
        if tenths or warned:
            return max(tenths, default=0), warned
    return 0, False


def _there(folder: Path) -> Path:
    """Give the folder, or the nearest one above it that there is and that may be looked at."""
    for each in (folder, *folder.absolute().parents):
        with suppress(OSError):
            if each.is_dir():
                return each
    return Path("/")


def _worn(life: int) -> str:
    return f"{10 * (life - 1)} to {10 * life} % worn" if life else "it says that it wears out"


def _asked(program: str) -> int | None:
    """Ask the firmware by its own program; None where that cannot be done."""
    found = shutil.which(program)
    if found is None:
        return None
    with suppress(OSError, subprocess.TimeoutExpired):
        said = subprocess.run(  # noqa: S603 - a fixed program, no shell
            [found, "get_throttled"], capture_output=True, text=True, timeout=5, check=False
        ).stdout
        if told := re.search(r"throttled=0x([0-9a-f]+)", said):
            return int(told[1], 16)
    return None


def _megabytes(room: int) -> str:
    return f"{room // MEGABYTE} MB"


def _number(path: Path, base: int) -> int | None:
    with suppress(ValueError):
        return int("".join(_lines(path)), base)
    return None


def _words(path: Path) -> Iterator[str]:
    for line in _lines(path):
        yield from re.findall(r"0x[0-9a-fA-F]+", line)


def _lines(path: Path) -> list[str]:
    """Read a small file; nothing where it cannot be read."""
    with suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    return []
