"""Opens the database file: how it is written, its schema, and its errors in words."""

import errno
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO

from sqlite_utils import Database

from agent.adapters.epoch import EpochSecret
from agent.adapters.files import lock, open_for_owner
from agent.adapters.migrations import APPLICATION_ID, MIGRATIONS, SCHEMA_QUERY, normalised, schema
from agent.adapters.vault import SCHEMA, Vault
from agent.errors import DamagedStoreError, FullDiskError, StoreError

PATIENCE_MS = 3000
"""How long to wait for another process that holds the database."""
RETRY_SECONDS = 0.05
"""Between two tries to cut the journal."""
DISK_RESERVE = 64 * 1024
"""Free bytes below which a failed write is put down to a full disk."""

_RESTORE = "nothing in it was changed: restore a backup with `doorward restore FILE`"
_FULL = "the disk is full, and nothing was recorded: free some space"


def open_database(path: Path, vault: Vault, secret: EpochSecret) -> Database:
    """Open the database at `path`, and make it where there never was one.

    A file that is damaged, foreign, of a newer version or of another device is left as it is.
    Raises StoreError.
    """
    with translated(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if secret.path.exists() and not path.exists():
            raise _gone(path, secret)
        if not path.exists():
            # SQLite gives -wal and -shm the mode of the file beside them. A file that is there is
            # never opened but by SQLite: closing it would drop the locks of this whole process.
            with suppress(FileExistsError):
                os.close(open_for_owner(path, os.O_EXCL))
        if path.with_name(f"{path.name}-journal").exists():
            # A power cut came while this became a database with write-ahead logging, and only a
            # connection that writes can take that back.
            with closing(connect(path, "rw")) as connection:
                pragma(connection, "user_version")
        with closing(connect(path, "ro")) as connection:
            # All of it as of one moment: another process may be at its own first start.
            connection.execute("BEGIN")
            examine(connection, path, vault, secret)
        connection = connect(path, "rw")
        try:
            return _prepare(connection, path, vault, secret)
        except BaseException:
            connection.close()
            raise


def hold(path: Path, *, alone: bool) -> IO[bytes]:
    """Keep others from putting another file in the place of the database, until closed.

    alone: keep them from having it open, too. Its folder is made (mode 0700). Raises StoreError.
    """
    with translated(path):
        try:
            return lock(path.with_name("store.lock"), alone=alone)
        except BlockingIOError:
            doing = "has it open" if alone else "puts another in its place"
            message = f"{path}: another doorward command {doing}: wait for it, and try again"
            raise StoreError(message) from None


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open a database file for reading ("ro") or writing ("rw"), as it is. Raises sqlite3.Error."""
    # isolation_level=None: transactions begin where the code says so, and nowhere else. The agent
    # opens the store in one thread and uses it in another, though never in two at once.
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=PATIENCE_MS / 1000,
        isolation_level=None,
        check_same_thread=False,
    )


def examine(connection: sqlite3.Connection, path: Path, vault: Vault, secret: EpochSecret) -> None:
    """Look at a file through a connection that cannot write, not even when it is closed.

    Raises StoreError for a file that is damaged, foreign, newer, of another device or of another
    key epoch.
    """
    version = pragma(connection, "user_version")
    application = pragma(connection, "application_id")
    empty = connection.execute("SELECT NOT EXISTS (SELECT 1 FROM sqlite_master)").fetchone()[0]
    if empty and secret.path.exists():
        raise _gone(path, secret)
    if not (application == APPLICATION_ID or (version == 0 and empty)):
        raise StoreError(f"{path}: is not a database of Doorward: set state_directory to another")
    if version > len(MIGRATIONS):
        raise StoreError(
            f"{path}: written by a newer Doorward (schema {version}, this one knows "
            f"{len(MIGRATIONS)}): upgrade Doorward, or restore a backup that this one wrote"
        )
    # And not quick_check: that misses what is wrong with an index, and with it rows are erased.
    found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise DamagedStoreError(f"{path}: is damaged ({' '.join(found.split())}); {_RESTORE}")
    if version == len(MIGRATIONS):
        made = normalised(connection.execute(SCHEMA_QUERY).fetchall())
        if made != schema():
            named = ", ".join(sorted({name for name, _ in made ^ schema()}))
            raise DamagedStoreError(
                f"{path}: is not made as Doorward makes it ({named}); {_RESTORE}"
            )
    if version >= SCHEMA:
        _require_key(connection, path, vault, secret)


def _require_key(
    connection: sqlite3.Connection, path: Path, vault: Vault, secret: EpochSecret
) -> None:
    [(device, epoch, proof)] = connection.execute("SELECT * FROM vault").fetchall()
    if device != vault.device:
        raise StoreError(
            f"{path}: belongs to device {device}, and this device key makes {vault.device}: "
            "put back the key it was made with; nothing in it was changed"
        )
    try:
        wrapping = vault.wrapping_key(secret.secret(epoch))
        vault.open(wrapping, proof, "vault", device, epoch)
    except StoreError as error:
        raise StoreError(f"{path}: {error}") from None
    except ValueError:
        raise StoreError(
            f"{path}: {secret.path} is not the secret of its key epoch, {epoch}: put that file back"
        ) from None


def is_sealed(path: Path) -> bool:
    """Say whether a file is a database that needs a device key, as far as that can be told."""
    return _version(path) >= SCHEMA


def is_outdated(path: Path) -> bool:
    """Say whether opening a file would make a database of an earlier schema one of the newest."""
    return 0 < _version(path) < len(MIGRATIONS)


def _version(path: Path) -> int:
    """Give the schema of a database file; 0 where there is none, or it cannot be told."""
    if not path.exists():
        return 0
    try:
        with closing(connect(path, "ro")) as connection:
            return pragma(connection, "user_version")
    except sqlite3.Error:
        return 0


def set_aside_files(path: Path) -> list[Path]:
    """Give the databases that were set aside, the last one last."""
    found = path.parent.glob(f"{path.name}.aside-*")
    numbered = [each for each in found if each.suffix.rpartition("-")[2].isdecimal()]
    return sorted(numbered, key=lambda each: int(each.suffix.rpartition("-")[2]))


def _gone(path: Path, secret: EpochSecret) -> StoreError:
    aside = set_aside_files(path)
    kept = f" (what was there is {aside[-1]})" if aside else ""
    return StoreError(
        f"{path}: is not there any more{kept}: put back a backup with `doorward restore FILE`, "
        f"or delete {secret.path} to begin anew with nobody enrolled"
    )


def _prepare(
    connection: sqlite3.Connection, path: Path, vault: Vault, secret: EpochSecret
) -> Database:
    # Plugins of sqlite-utils are other people's code in the process that opens the door.
    database = Database(connection, execute_plugins=False)
    journal = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if journal != "wal":
        raise StoreError(f"{path}: this file system cannot do write-ahead logging: use a local one")
    for setting in (
        # NORMAL loses committed events in a power cut.
        "synchronous = FULL",
        # While the journal grows, the file system writes its own on top: 37 KB an event at SQLite's
        # 1000 pages, 16 KB at 64 (make bench).
        "wal_autocheckpoint = 64",
        # Without it deleted templates stay in free pages.
        "secure_delete = ON",
        # Sorting must not spill templates into a temporary file.
        "temp_store = MEMORY",
        "foreign_keys = ON",
        "trusted_schema = OFF",
    ):
        connection.execute(f"PRAGMA {setting}")
    _migrate(database, vault, secret)
    return database


def _migrate(database: Database, vault: Vault, secret: EpochSecret) -> None:
    # No lock is taken where there is nothing to do, for the agent may be at a grant.
    if pragma(database.conn, "user_version") < len(MIGRATIONS):
        with transaction(database):
            version = pragma(database.conn, "user_version")
            for number, migration in enumerate(MIGRATIONS[version:], version + 1):
                migration(database, vault, secret)
                database.execute(f"PRAGMA user_version = {number}")
    if secret.unsettled:
        settle(database, secret)


def settle(database: Database, secret: EpochSecret) -> None:
    """Keep the secret of the database's key epoch alone."""
    with transaction(database):
        # Under the write lock, so that nobody begins another epoch meanwhile.
        secret.settle(int(database.execute("SELECT epoch FROM vault").fetchone()[0]))


def pragma(connection: sqlite3.Connection, name: str) -> int:
    """Give the value of a PRAGMA that is a number."""
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


@contextmanager
def transaction(database: Database, mode: str = "IMMEDIATE") -> Iterator[None]:
    """Commit what is done within, or nothing of it."""
    database.execute(f"BEGIN {mode}")
    try:
        yield
        database.commit()
    except BaseException:
        # After some errors, such as a full disk, SQLite has rolled back on its own.
        database.rollback()
        raise


def truncate_journal(database: Database, patience_ms: int) -> bool:
    """Move the journal into the database and cut it to nothing; False while a reader is open."""
    # SQLite itself waits for readers, but never for another process that does the same as we do:
    # and the agent does, when it notices what was committed here.
    deadline = time.monotonic() + patience_ms / 1000
    database.execute(f"PRAGMA busy_timeout = {patience_ms}")
    try:
        while database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            if not time.monotonic() < deadline:
                return False
            time.sleep(RETRY_SECONDS)
    finally:
        database.execute(f"PRAGMA busy_timeout = {PATIENCE_MS}")
    return True


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what SQLite, the file system or a row that makes no sense raises into StoreError."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explained(error, path) from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise FullDiskError(f"{path}: {_FULL}") from error
        raise StoreError(
            f"{path}: {error.strerror or error}: set state_directory to a folder of Doorward's own"
        ) from error
    except (ValueError, OverflowError, LookupError) as error:
        raise DamagedStoreError(
            f"{path}: holds what Doorward never wrote ({error}); {_RESTORE}"
        ) from error


def _explained(error: sqlite3.Error, path: Path) -> StoreError:
    # The low byte tells the kind of error; the others tell details.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _disk_is_full(path)):
        return FullDiskError(f"{path}: {_FULL}")
    # The code's own statements are sound, so what they do not find is wrong with the schema.
    misread = isinstance(error, sqlite3.OperationalError) and code in {0, sqlite3.SQLITE_ERROR}
    if misread or code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return DamagedStoreError(f"{path}: is damaged ({error}); {_RESTORE}")
    return StoreError(f"{path}: {_explain(error, code)}")


def _explain(error: sqlite3.Error, code: int) -> str:
    match code:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return "another process holds the database: wait for it, or end it"
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return f"{error}: it and its folder must be writable by the user Doorward runs as"
        case sqlite3.SQLITE_IOERR:
            return f"{error}: the disk or SD card fails: replace it and restore a backup"
        case _:
            return f"{error}: nothing was recorded: please report this"


def _disk_is_full(path: Path) -> bool:
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < DISK_RESERVE
