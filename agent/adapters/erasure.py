"""What an erasure does outside the database: room on a full disk, older copies, the certificate."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from agent.adapters.devicekey import erasure_limit
from agent.adapters.documents import Certificate, text_of
from agent.adapters.files import open_for_owner
from agent.adapters.vault import Vault
from agent.core.types import Now, SubjectId

BALLAST_BYTES = 4 * 1024 * 1024
"""Room kept for an erasure: it rewraps the keys of 10,000 residents."""
BACKUPS = "backups"
"""Name of the folder of backups, beside the database."""


class Ballast:
    """Disk space taken in good times, to be let go for an erasure on a full disk."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "ballast"

    def take(self) -> None:
        """Take the space unless it is taken, or the disk is too full to spare it."""
        with suppress(OSError):
            # A power cut may have left a shorter one.
            if self._path.exists() and self._path.stat().st_size == BALLAST_BYTES:
                return
            disk = os.statvfs(self._path.parent)
            if disk.f_bavail * disk.f_frsize < 2 * BALLAST_BYTES:
                return
            file = open_for_owner(self._path)
            try:
                # Blocks that are allocated, and never written.
                os.posix_fallocate(file, 0, BALLAST_BYTES)
            finally:
                os.close(file)

    def release(self) -> bool:
        """Let the space go; say whether there was any."""
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        return True


def copies(database: Path) -> Iterator[Path]:
    """Give the copies of the database that Doorward made: backups, and files set aside.

    What an interrupted backup or restore left is among them.
    """
    yield from sorted((database.parent / BACKUPS).glob("*"))
    yield from sorted(database.parent.glob(f"{database.name}.*"))


def scrub(files: Iterable[Path], traces: Iterable[bytes]) -> None:
    """Overwrite these bytes wherever they are in these files. Raises OSError."""
    for path in files:
        content = path.read_bytes()
        found = [
            (place, len(trace)) for trace in traces for place in _places(content, trace) if trace
        ]
        if not found:
            continue
        with path.open("r+b", buffering=0) as file:
            for place, length in found:
                file.seek(place)
                file.write(bytes(length))
            os.fsync(file.fileno())


def certificate(  # noqa: PLR0913 - what it certifies
    vault: Vault, subject: SubjectId, cause: str, erased_at: float, epoch: int, now: Now
) -> str:
    """Give the signed certificate of an erasure that was completed now."""
    return vault.signer.note(
        text_of(
            Certificate(
                subject=subject,
                cause=cause,
                erased_at=erased_at,
                completed_at=now.wall,
                time_trusted=now.trusted,
                epoch=epoch,
                level=int(vault.level),
                done=(
                    "references, label, household, policy, consent and key deleted",
                    "journal moved into the database and cut to nothing",
                    "the same bytes overwritten in copies that the device holds",
                    "a new key epoch begun, so that no older copy opens any more",
                ),
                not_promised=erasure_limit(vault.level),
            )
        )
    )


def _places(content: bytes, trace: bytes) -> Iterator[int]:
    place = content.find(trace)
    while place >= 0:
        yield place
        place = content.find(trace, place + 1)
