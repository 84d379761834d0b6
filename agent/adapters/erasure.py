"""What an erasure does outside the database: room on a full disk, older copies, the certificate."""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import astuple, dataclass
from hmac import compare_digest
from pathlib import Path
from typing import Self

from agent.adapters.database import connect
from agent.adapters.devicekey import erasure_limit
from agent.adapters.documents import Certificate, text_of
from agent.adapters.files import open_for_owner
from agent.adapters.vault import Vault
from agent.core.types import Now, SubjectId

BALLAST_BYTES = 4 * 1024 * 1024
"""Room kept for an erasure: it rewraps the keys of 10,000 residents."""
BACKUPS = "backups"
"""Name of the folder of backups, beside the database."""


_SEALED = (
    ("keys", "subject", "wrapped"),
    ("subjects", "id", "sealed"),
    ("consents", "subject", "sealed"),
    ("references", "subject", "sealed"),
)
"""Table, the column that names the subject, and the one to overwrite."""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """An erasure that is recorded. epoch: the key epoch that began with it."""

    subject: SubjectId
    cause: str
    erased_at: float
    time_trusted: bool
    epoch: int

    def proof(self, vault: Vault) -> bytes:
        """Give what only this device can compute of it, 32 bytes."""
        return vault.row_mac("tombstone", astuple(self)).to_bytes(32)

    def proven(self, vault: Vault, proof: bytes) -> Self:
        """Give it back. Raises ValueError where somebody else recorded it."""
        if not compare_digest(proof, self.proof(vault)):
            raise ValueError(f"the erasure of {self.subject} was not recorded by this device")
        return self


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
    backups = (database.parent / BACKUPS).glob("*")
    for copy in sorted([*backups, *database.parent.glob(f"{database.name}.*")]):
        if copy.is_file() and not copy.name.endswith(("-wal", "-shm", "-journal")):
            yield copy


def scrub(copy: Path, subject: SubjectId) -> bool:
    """Overwrite a subject's rows in a copy of the database; say whether that could be done.

    In the key epoch that an erasure begins it opens no more; this is for those who will not wait to
    see that hold.
    """
    try:
        with closing(connect(copy, "rw")) as connection:
            # No journal that would keep what is overwritten: the copy is of no use any more.
            for setting in ("secure_delete = ON", "journal_mode = MEMORY"):
                connection.execute(f"PRAGMA {setting}")
            for table, column, sealed in _SEALED:
                connection.execute(
                    f'UPDATE "{table}" SET {sealed} = zeroblob(length({sealed})) '  # noqa: S608
                    f"WHERE {column} = ?",
                    [subject],
                )
    except sqlite3.Error:
        return False
    return True


def certificate(vault: Vault, tombstone: Tombstone, unreached: Sequence[str], now: Now) -> str:
    """Give the signed certificate of an erasure that was completed now.

    unreached: names of copies on the device that could not be overwritten.
    """
    limits = [erasure_limit(vault.level)]
    if unreached:
        limits.append(f"rows in {', '.join(unreached)} could not be overwritten")
    return vault.signer.note(
        text_of(
            Certificate(
                subject=tombstone.subject,
                cause=tombstone.cause,
                erased_at=tombstone.erased_at,
                completed_at=now.wall,
                time_trusted=tombstone.time_trusted and now.trusted,
                epoch=tombstone.epoch,
                level=int(vault.level),
                done=(
                    "references, label, household, policy, consent and key deleted",
                    "journal moved into the database and cut to nothing",
                    "the rows overwritten in copies that the device holds",
                    "a new key epoch begun, so that no older copy opens any more",
                ),
                not_promised="; ".join(limits),
            )
        )
    )
