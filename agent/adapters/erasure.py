"""Erasures, seen through: room on a full disk, the journal, older copies, the certificate."""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, astuple, dataclass
from functools import partial
from hmac import compare_digest
from pathlib import Path
from typing import Self, TypeVar

from sqlite_utils import Database

from agent.adapters.database import (
    connect,
    pragma,
    settle,
    transaction,
    translated,
    truncate_journal,
)
from agent.adapters.devicekey import erasure_limit
from agent.adapters.documents import Certificate, text_of
from agent.adapters.epoch import EpochSecret
from agent.adapters.files import open_for_owner
from agent.adapters.residents import Residents
from agent.adapters.vault import Vault
from agent.adapters.vouched import VouchedRows
from agent.core.events import ErasureCause, ErasureCertified, Event
from agent.core.types import Now, SubjectId
from agent.errors import FullDiskError, StoreError
from agent.ports import Clock

BALLAST_BYTES = 4 * 1024 * 1024
"""Room kept for an erasure: it rewraps the keys of 10,000 residents."""
BACKUPS = "backups"
"""Name of the folder of backups, beside the database."""


_T = TypeVar("_T")
_SEALED = (
    ("keys", "subject", "wrapped", 0),
    ("subjects", "id", "sealed", 0),
    ("consents", "subject", "sealed", 0),
    ("references", "subject", "sealed", 0),
    ("credentials", "subject", "sealed", 4),
)
"""Table, the column that names the subject, the one to overwrite, and since which schema."""


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
            version = pragma(connection, "user_version")
            for table, column, sealed, since in _SEALED:
                if version >= since:
                    connection.execute(
                        f'UPDATE "{table}" SET {sealed} = zeroblob(length({sealed})) '  # noqa: S608
                        f"WHERE {column} = ?",
                        [subject],
                    )
    except sqlite3.Error:
        return False
    return True


def signed_certificate(
    vault: Vault, tombstone: Tombstone, unreached: Sequence[str], now: Now
) -> str:
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
                    "references, label, household, policy, consent, PINs, cards and key deleted",
                    "journal moved into the database and cut to nothing",
                    "the rows overwritten in copies that the device holds",
                    "a new key epoch begun, so that no older copy opens any more",
                ),
                not_promised="; ".join(limits),
            )
        )
    )


class Erasures:
    """Records erasures in one database, and sees them through.

    append: adds an event to the log, given how much more the vouched rows add up to.
    """

    def __init__(  # noqa: PLR0913 - what an erasure reaches
        self,
        database: Database,
        path: Path,
        vault: Vault,
        residents: Residents,
        vouched: VouchedRows,
        append: Callable[[Event, Now, int], object],
        clock: Clock,
    ) -> None:
        self._db = database
        self._path = path
        self._vault = vault
        self._residents = residents
        self._vouched = vouched
        self._append = append
        self._clock = clock
        self._secret = EpochSecret(path.parent)
        self._ballast = Ballast(path.parent)

    def take_ballast(self) -> None:
        """Have room for an erasure on a disk that is full by then."""
        self._ballast.take()

    def record(self, subject: SubjectId, cause: ErasureCause, now: Now) -> None:
        """Delete a subject's rows, in the caller's transaction, and put up a tombstone.

        Raises StoreError where there is one already, or no such subject.
        """
        if self._db.execute("SELECT 1 FROM tombstones WHERE subject = ?", [subject]).fetchone():
            raise StoreError(
                f"the erasure of {subject} is recorded already, and is complete once nobody reads "
                "the database any more: end who does, and try again"
            )
        epoch = self._residents.erase(subject)
        tombstone = Tombstone(subject, cause, now.wall, now.trusted, epoch)
        row = asdict(tombstone) | {"proof": tombstone.proof(self._vault), "certificate": None}
        self._db.table("tombstones").insert(row)

    def finish(self, patience_ms: int) -> bool:
        """Cut the journal and certify what was recorded; False while a reader holds it up.

        Raises StoreError, and ValueError for a tombstone that this device did not put up.
        """
        found = self._db.execute(
            "SELECT subject, cause, erased_at, time_trusted, epoch, proof FROM tombstones "
            "WHERE certificate IS NULL"
        ).fetchall()
        pending = [
            Tombstone(SubjectId(subject), cause, erased_at, bool(trusted), epoch).proven(
                self._vault, proof
            )
            for subject, cause, erased_at, trusted, epoch, proof in found
        ]
        if pending and not self._cut_journal(patience_ms):
            return False
        for tombstone in pending:
            settle(self._db, self._secret)
            subject = tombstone.subject
            unreached = [each.name for each in copies(self._path) if not scrub(each, subject)]
            now = self._clock.now()
            note = signed_certificate(self._vault, tombstone, unreached, now)
            self.with_ballast(partial(self._certify, subject, note, now))
            self._cut_journal(0)
        return True

    def certificate(self, subject: SubjectId) -> str | None:
        """Give the certificate of a subject's erasure; None without one."""
        query = "SELECT certificate FROM tombstones WHERE subject = ?"
        found = self._db.execute(query, [subject]).fetchone()
        return found[0] if found else None

    def with_ballast(self, write: Callable[[], _T]) -> _T:
        """Do what must be done though the disk is full."""
        try:
            with translated(self._path):
                return write()
        except FullDiskError:
            if not self._ballast.release():
                raise
            return write()

    def _cut_journal(self, patience_ms: int) -> bool:
        return self.with_ballast(lambda: truncate_journal(self._db, patience_ms))

    def _certify(self, subject: SubjectId, note: str, now: Now) -> None:
        with transaction(self._db):
            self._residents.require_gone(subject)
            before = self._vouched.total([subject])
            certified = self._db.execute(
                "UPDATE tombstones SET certificate = ? WHERE subject = ? AND certificate IS NULL",
                [note, subject],
            )
            # Another process may have been first.
            if certified.rowcount == 1:
                difference = self._vouched.total([subject]) - before
                self._append(ErasureCertified(subject, note), now, difference)
