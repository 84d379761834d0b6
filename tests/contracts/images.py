"""A file system in a file, to see what has reached the device and what only the page cache."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.residents import mounted

SECTOR = 512
"""Bytes of the sectors that the kernel counts, whatever those of the device are."""
ROOM = "32M"
"""Of an image, most of which is a hole: the ballast of an erasure fits twice."""
SETTLING_SECONDS = 5.0


class NoImageError(Exception):
    """This machine or this user cannot mount a file; the message says why."""


def make_image(path: Path) -> None:
    """Make an image of ext4 as it is on a card. Raises NoImageError."""
    # With blocks of 4 KB as every larger device has, and tables written at once: otherwise the
    # kernel writes them later, while somebody counts.
    options = ["-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0"]
    try:
        done = subprocess.run(
            ["mkfs.ext4", "-q", *options, str(path), ROOM],
            check=False,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        raise NoImageError("mkfs.ext4 is not installed: sudo apt install e2fsprogs") from None
    if done.returncode != 0:
        raise NoImageError(f"mkfs.ext4: {done.stderr.strip()}")


@contextmanager
def image_mounted(image: Path, folder: Path, *options: str) -> Iterator[Path]:
    """Mount an image; its loop device goes with the mount. Raises NoImageError."""
    if os.geteuid() != 0:
        raise NoImageError("only root can mount an image")
    folder.mkdir(exist_ok=True)
    # As Raspberry Pi OS mounts its card: reading writes nothing.
    refused = mounted(str(image), folder, "-o", ",".join(("loop", "noatime", *options)))
    if refused is not None:
        raise NoImageError(f"no image can be mounted here: {refused.splitlines()[0]}")
    try:
        yield folder
    finally:
        _unmount(folder)


def _unmount(folder: Path) -> None:
    for options in ((), (), ("--lazy",)):
        done = subprocess.run(["umount", *options, str(folder)], check=False, capture_output=True)
        if done.returncode == 0:
            return
        time.sleep(0.2)


def sync(folder: Path) -> None:
    """Have everything reach the device, as the kernel does within half a minute."""
    subprocess.run(["sync", "--file-system", str(folder)], check=True)


def bytes_written(folder: Path) -> int:
    """How much the device was given to write since it was attached."""
    return int(_device(folder, "stat").split()[6]) * SECTOR


def copy_of_device(image: Path, folder: Path, copy: Path) -> None:
    """Copy an image as it is at one moment, though its file system, at `folder`, is in use.

    What the file system keeps in memory is not in the image. Whoever writes is held already: only
    the kernel may still be busy with what they asked for.
    """
    deadline = time.monotonic() + SETTLING_SECONDS
    while True:
        before = _writes(folder)
        subprocess.run(["cp", "--sparse=always", str(image), str(copy)], check=True)
        if before[1] == 0 and _writes(folder) == before:
            return
        assert time.monotonic() < deadline, "the device does not come to rest"


def _writes(folder: Path) -> tuple[int, int]:
    """Bytes that were written, and writes that are on their way."""
    return bytes_written(folder), sum(map(int, _device(folder, "inflight").split()))


def _device(folder: Path, name: str) -> str:
    number = folder.stat().st_dev
    place = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}", name)
    return place.read_text(encoding="ascii")
