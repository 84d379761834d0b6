"""Copies of the database: made, put back, and set aside when it is damaged."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sqlite_utils import Database

from agent.adapters.database import SEALED, connect, examine, pragma, translated
from agent.adapters.epoch import EpochSecret
from agent.adapters.erasure import BACKUPS, copies
from agent.adapters.files import make_folder, open_for_owner, sync
from agent.adapters.log import EventLog
from agent.adapters.residents import Residents
from agent.adapters.vault import Vault
from agent.errors import StoreError

_JOURNALS = ("-wal", "-shm")


def make_backup(database: Path) -> Path:
    """Copy the database, as of now, into the folder of backups beside it; give the copy.

    It needs the device key and the present key epoch to open. Raises StoreError.
    """
    with translated(database), closing(connect(database, "ro")) as source:
        seq = source.execute("SELECT COALESCE(MAX(seq), 0) FROM events").fetchone()[0]
        folder = database.parent / BACKUPS
        make_folder(folder)
        made = folder / f"doorward-{seq:08}.db"
        unfinished = made.with_suffix(".unfinished")
        unfinished.unlink(missing_ok=True)
        os.close(open_for_owner(unfinished))
        try:
            with closing(connect(unfinished, "rw")) as copy:
                source.backup(copy)
                # One file, complete without a journal beside it.
                copy.execute("PRAGMA journal_mode = DELETE")
            sync(unfinished)
            unfinished.replace(made)
        finally:
            unfinished.unlink(missing_ok=True)
        sync(folder)
        return made


def restore(database: Path, backup: Path, vault: Vault, *, older: bool) -> int:
    """Put a backup in the place of the database, which is set aside; give its last event's number.

    older: also where the device has gone on since. Nobody else may have the database open. Raises
    StoreError, and changes nothing, where the backup is not this device's, was altered or is older.
    """
    with translated(backup):
        if not backup.is_file():
            raise StoreError(f"{backup}: there is no such file: name a backup")
        with _opened(backup) as connection:
            seq = _checked(connection, backup, vault, EpochSecret(database.parent))
        newest = max(map(_last_seq, [database, *copies(database)]), default=0)
        if seq < newest and not older:
            raise StoreError(
                f"{backup}: ends with event {seq}, and this device went on to {newest}: it would "
                "undo who was revoked or withdrew since; --older restores it all the same"
            )
        unfinished = database.with_name(f"{database.name}.unfinished")
        try:
            unfinished.unlink(missing_ok=True)
            os.close(open_for_owner(unfinished))
            shutil.copyfile(backup, unfinished)
            sync(unfinished)
            if database.exists():
                set_aside(database)
            unfinished.replace(database)
        finally:
            unfinished.unlink(missing_ok=True)
        sync(database.parent)
    return seq


def set_aside(database: Path) -> Path:
    """Give a database, with its journal, a name under which nobody uses it. Raises OSError."""
    number = 1
    while (aside := database.with_name(f"{database.name}.aside-{number}")).exists():
        number += 1
    for journal in _JOURNALS:
        with suppress(FileNotFoundError):
            database.with_name(database.name + journal).replace(f"{aside}{journal}")
    database.replace(aside)
    sync(database.parent)
    return aside


def _checked(
    connection: sqlite3.Connection, backup: Path, vault: Vault, secret: EpochSecret
) -> int:
    if pragma(connection, "user_version") in range(SEALED):
        raise StoreError(f"{backup}: is no backup, or one from before databases were sealed")
    examine(connection, backup, vault, secret)
    database = Database(connection, execute_plugins=False)
    log = EventLog(database, vault)
    head = log.verify()
    Residents(database, vault, secret).verify(log.state())
    return head.seq


@contextmanager
def _opened(backup: Path) -> Iterator[sqlite3.Connection]:
    # Immutable, since it may lie where nothing can or should be written beside it.
    uri = f"{backup.absolute().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
        yield connection


def _last_seq(database: Path) -> int:
    """Give the last event's number of a file that may be damaged; 0 where it cannot be told."""
    with suppress(sqlite3.Error), closing(connect(database, "ro")) as connection:
        return int(connection.execute("SELECT MAX(seq) FROM events").fetchone()[0] or 0)
    return 0
