"""Copies of the database: made, put back, and set aside when it is damaged."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sqlite_utils import Database

from agent.adapters.database import (
    connect,
    examine,
    hold,
    pragma,
    set_aside_files,
    translated,
)
from agent.adapters.epoch import EpochSecret
from agent.adapters.erasure import BACKUPS
from agent.adapters.files import make_folder, open_for_owner, sync
from agent.adapters.log import EventLog
from agent.adapters.vault import SCHEMA, Vault
from agent.adapters.vouched import VouchedRows
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
    with closing(hold(database, alone=True)), translated(backup):
        if not backup.is_file():
            raise StoreError(f"{backup}: is no file: name a backup")
        unfinished = database.with_name(f"{database.name}.unfinished")
        try:
            unfinished.unlink(missing_ok=True)
            os.close(open_for_owner(unfinished))
            # The copy is what is checked, for the backup may change meanwhile.
            shutil.copyfile(backup, unfinished)
            with _opened(unfinished) as connection:
                seq = _checked(connection, backup, vault, EpochSecret(database.parent))
            _require_newest(database, backup, seq, older=older)
            sync(unfinished)
            set_aside(database)
            unfinished.replace(database)
        finally:
            unfinished.unlink(missing_ok=True)
        sync(database.parent)
    return seq


def set_aside(database: Path) -> Path:
    """Give a database, with its journal, a name under which nobody uses it.

    Whoever calls it holds the database alone. Raises OSError.
    """
    last = set_aside_files(database)
    number = int(last[-1].name.rpartition("-")[2]) + 1 if last else 1
    aside = database.with_name(f"{database.name}.aside-{number}")
    # The journal goes even where its database is gone: it would be taken for the next one's.
    for end in ("", *_JOURNALS):
        with suppress(FileNotFoundError):
            database.with_name(database.name + end).replace(f"{aside}{end}")
    sync(database.parent)
    return aside


def _require_newest(database: Path, backup: Path, seq: int, *, older: bool) -> None:
    last = database if database.exists() else next(reversed(set_aside_files(database)), None)
    newest = 0 if last is None else _last_seq(last)
    if last is not database and database.with_name(f"{database.name}-wal").exists():
        # A power cut came while that one was set aside: its last events are in there.
        newest = None
    if older or (newest is not None and newest <= seq):
        return
    gone_on = f"went on to {newest}"
    if newest is None:
        gone_on = "may have gone on: what it had last cannot be read"
    raise StoreError(
        f"{backup}: ends with event {seq}, and this device {gone_on}: it would undo who was "
        "revoked or withdrew since; --older restores it all the same"
    )


def _checked(
    connection: sqlite3.Connection, backup: Path, vault: Vault, secret: EpochSecret
) -> int:
    if pragma(connection, "user_version") in range(SCHEMA):
        raise StoreError(f"{backup}: is no backup, or one from before databases were sealed")
    examine(connection, backup, vault, secret)
    database = Database(connection, execute_plugins=False)
    log, vouched = EventLog(database, vault), VouchedRows(database, vault)
    head = log.verify()
    vouched.require(vouched.everything(), log.state())
    return head.seq


@contextmanager
def _opened(backup: Path) -> Iterator[sqlite3.Connection]:
    # Immutable, since it may lie where nothing can or should be written beside it.
    uri = f"{backup.absolute().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
        yield connection


def _last_seq(database: Path) -> int | None:
    """Give the last event's number of a file that may be damaged; None where it cannot be told."""
    with suppress(sqlite3.Error), closing(connect(database, "ro")) as connection:
        found = connection.execute("SELECT seq FROM anchor UNION SELECT MAX(seq) FROM events")
        return max(int(seq or 0) for (seq,) in found)
    return None
