"""Files that belong to whom their folder belongs to, and that a power cut does not take back."""

import fcntl
import os
from pathlib import Path
from typing import IO


def open_for_owner(path: Path, flags: int = 0) -> int:
    """Open a file, made where there is none (mode 0600), that belongs to its folder's owner.

    What root makes in the service's folder must not keep the service from its own database. flags:
    more of those of os.open. Gives the descriptor. Raises OSError.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | flags, 0o600)
    if os.geteuid() == 0:
        folder = path.parent.stat()
        os.fchown(file, folder.st_uid, folder.st_gid)
    return file


def lock(path: Path, *, alone: bool) -> IO[bytes]:
    """Lock a file of its folder's owner, made where there is none, until it is closed.

    alone: not beside others. Its folder is made too (mode 0700). Raises BlockingIOError where
    somebody else holds it, OSError.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    held = os.fdopen(open_for_owner(path), "r+b")
    try:
        fcntl.flock(held, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError:
        held.close()
        raise
    return held


def make_folder(path: Path) -> None:
    """Make a folder (mode 0700) that belongs to its parent's owner. Raises OSError."""
    path.mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() == 0:
        parent = path.parent.stat()
        os.chown(path, parent.st_uid, parent.st_gid)


def sync(path: Path) -> None:
    """Have a file's content, or the names in a folder, survive a power cut. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
