"""Opens the database file: how it is written, its schema, and its errors in words."""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlite_utils import Database

from agent.errors import StoreError

APPLICATION_ID = 0x446F6F72
"""Marks a database as Doorward's: "Door"."""
PATIENCE_MS = 3000
"""How long to wait for another process that holds the database."""
RETRY_SECONDS = 0.05
"""Between two tries to cut the journal."""
DISK_RESERVE = 64 * 1024
"""Free bytes below which a failed write is put down to a full disk."""

_RESTORE = "nothing in it was changed: put it aside and restore a backup"


def open_database(path: Path) -> Database:
    """Open the database at `path`, and make it where there is none.

    The folder is made too (mode 0700). A file that is damaged, foreign or
    of a newer version is left as it is. Raises StoreError.
    """
    with translated(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite gives -wal and -shm the mode of the file beside them.
        os.close(open_for_owner(path))
        with closing(_connect(path, "ro")) as connection:
            _examine(connection, path)
        connection = _connect(path, "rw")
        try:
            return _prepare(connection, path)
        except BaseException:
            connection.close()
            raise


def open_for_owner(path: Path) -> int:
    """Open a file, made where there is none (mode 0600), that belongs to its folder's owner.

    What root makes in the service's folder must not keep the service from its own database. Gives
    the descriptor. Raises OSError.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if os.geteuid() == 0:
        folder = path.parent.stat()
        os.fchown(file, folder.st_uid, folder.st_gid)
    return file


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    # isolation_level=None: transactions begin where the code says so, and nowhere else. The agent
    # opens the store in one thread and uses it in another, though never in two at once.
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=PATIENCE_MS / 1000,
        isolation_level=None,
        check_same_thread=False,
    )


def _examine(connection: sqlite3.Connection, path: Path) -> None:
    """Look at a file through a connection that cannot write, not even when it is closed."""
    version = _pragma(connection, "user_version")
    application = _pragma(connection, "application_id")
    empty = connection.execute("SELECT NOT EXISTS (SELECT 1 FROM sqlite_master)").fetchone()[0]
    if not (application == APPLICATION_ID or (version == 0 and empty)):
        raise StoreError(f"{path}: is not a database of Doorward: set state_directory to another")
    if version > len(MIGRATIONS):
        raise StoreError(
            f"{path}: written by a newer Doorward (schema {version}, this one knows "
            f"{len(MIGRATIONS)}): upgrade Doorward, or restore a backup that this one wrote"
        )
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise StoreError(f"{path}: is damaged ({' '.join(found.split())}); {_RESTORE}")


def _prepare(connection: sqlite3.Connection, path: Path) -> Database:
    # Plugins of sqlite-utils are other people's code in the process that opens the door.
    database = Database(connection, execute_plugins=False)
    journal = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if journal != "wal":
        raise StoreError(f"{path}: this file system cannot do write-ahead logging: use a local one")
    for setting in (
        # NORMAL loses committed events in a power cut.
        "synchronous = FULL",
        # Without it deleted templates stay in free pages.
        "secure_delete = ON",
        # Sorting must not spill templates into a temporary file.
        "temp_store = MEMORY",
        "foreign_keys = ON",
        "trusted_schema = OFF",
    ):
        connection.execute(f"PRAGMA {setting}")
    _migrate(database)
    return database


def _migrate(database: Database) -> None:
    with transaction(database):
        version = _pragma(database.conn, "user_version")
        for number, migration in enumerate(MIGRATIONS[version:], version + 1):
            migration(database)
            database.execute(f"PRAGMA user_version = {number}")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _first_schema(database: Database) -> None:
    database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    database.table("subjects").create(
        {
            "id": str,
            "label": str,
            "household": str,
            "administrator": bool,
            "revoked": bool,
            "not_before": float,
            "not_after": float,
            "schedule": str,
            "enrolled_at": float,
        },
        pk="id",
        not_null={"id", "label", "administrator", "revoked", "schedule", "enrolled_at"},
        strict=True,
    )
    references = database.table("references")
    references.create(
        {"id": int, "subject": str, "model": str, "vector": bytes},
        pk="id",
        not_null={"subject", "model", "vector"},
        foreign_keys=[("subject", "subjects", "id")],
        strict=True,
    )
    references.create_index(["subject"])
    database.table("consents").create(
        {"subject": str, "authorised_by": str, "notice": str, "at": float},
        pk="subject",
        not_null={"subject", "authorised_by", "notice", "at"},
        foreign_keys=[("subject", "subjects", "id")],
        strict=True,
    )
    database.table("codes").create(
        {"code": str, "issued_at": float, "boot_id": str, "authorised_by": str, "terms": str},
        pk="code",
        not_null={"code", "issued_at", "boot_id", "authorised_by", "terms"},
        strict=True,
    )
    database.table("meta").create(
        {"key": str, "value": int}, pk="key", not_null={"key", "value"}, strict=True
    )
    database.table("meta").insert_all(
        [{"key": "cursor", "value": 0}, {"key": "checks", "value": 0}]
    )
    _create_event_log(database)


def _create_event_log(database: Database) -> None:
    database.table("events").create(
        {
            "seq": int,
            "boot_id": str,
            "monotonic": float,
            "wall": float,
            "week_minute": int,
            "time_trusted": bool,
            "kind": str,
            "body": bytes,
        },
        pk="seq",
        not_null={
            *("boot_id", "monotonic", "wall", "week_minute", "time_trusted", "kind", "body"),
        },
        strict=True,
    )
    for name, occasion in (
        ("events_stay", "DELETE ON events"),
        ("events_stay_as_they_are", "UPDATE ON events"),
        (
            "events_have_no_gap",
            "INSERT ON events WHEN NEW.seq IS NOT (SELECT COALESCE(MAX(seq), 0) + 1 FROM events)",
        ),
    ):
        database.execute(
            f"CREATE TRIGGER {name} BEFORE {occasion} "
            "BEGIN SELECT RAISE(ABORT, 'events are appended, and nothing else'); END"
        )


MIGRATIONS: tuple[Callable[[Database], None], ...] = (_first_schema,)
"""The nth brings a database from schema n - 1 to n; user_version holds the schema it has."""


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
        raise StoreError(f"{path}: {_explain(error, path)}") from error
    except OSError as error:
        raise StoreError(
            f"{path}: {error.strerror or error}: set state_directory to a folder of Doorward's own"
        ) from error
    except (ValueError, OverflowError) as error:
        raise StoreError(
            f"{path}: holds what Doorward never wrote ({error}); {_RESTORE}"
        ) from error


def _explain(error: sqlite3.Error, path: Path) -> str:
    # The low byte tells the kind of error; the others tell details.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _disk_is_full(path)):
        return "the disk is full, and nothing was recorded: free some space"
    match code:
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return f"is damaged ({error}); {_RESTORE}"
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
