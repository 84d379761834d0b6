"""The file that a collector keeps events and heads in: SQLite, each row as it came, none replaced.

A number whose event comes again with another content is an alarm: somebody altered the door's log
or put an older one back, or speaks in the door's name. What came first stays, and the rest lies
beside it in the table `changed`.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec

from agent.adapters.files import open_for_owner, sync
from agent.errors import StoreError
from agent.wire.events import Envelope

APPLICATION = 0x446F4576
"""Marks the file as a collector's."""
VERSION = 1
WAIT = 30.0
"""Seconds to wait for another collector that writes to the same file."""
_ROW = (
    "door TEXT NOT NULL, seq INTEGER NOT NULL, boot_id TEXT NOT NULL, monotonic REAL NOT NULL, "
    "wall REAL NOT NULL, time_trusted INTEGER NOT NULL, kind TEXT NOT NULL, event TEXT NOT NULL"
)
_COLUMNS = "door, seq, boot_id, monotonic, wall, time_trusted, kind, event"
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS events ({_ROW}, PRIMARY KEY (door, seq)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS changed ({_ROW}, PRIMARY KEY ({_COLUMNS})) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS heads (
    door TEXT NOT NULL, seq INTEGER NOT NULL, note TEXT NOT NULL, PRIMARY KEY (door, seq, note)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS gone (
    door TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (door, first)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS acknowledged (door TEXT PRIMARY KEY, seq INTEGER NOT NULL)
STRICT, WITHOUT ROWID;
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
COMMIT;
"""


class Kept(Enum):
    """What an event or a head is to those that are kept."""

    NEW = "new"
    KNOWN = "known"
    CHANGED = "changed"


class Archive:
    """One door's events and heads, in a file that is made where there is none.

    What is added is there for good after `commit`. Everything raises StoreError.
    """

    def __init__(self, path: Path, door: str) -> None:
        self.path = path
        self._door = door
        with self._explained():
            # For its owner alone; SQLite gives the files beside it the same rights.
            os.close(open_for_owner(path))
            self._db = sqlite3.connect(path, timeout=WAIT, isolation_level=None)
            try:
                self._prepare()
                sync(path.parent)
            except BaseException:
                self._db.close()
                raise

    def _prepare(self) -> None:
        application, version, tables = (
            self._db.execute(query).fetchone()[0]
            for query in (
                "PRAGMA application_id",
                "PRAGMA user_version",
                "SELECT COUNT(*) FROM sqlite_schema",
            )
        )
        if not ((application, version) == (APPLICATION, VERSION) or tables == 0):
            raise StoreError(f"{self.path}: {_FOREIGN}")
        self._db.execute("PRAGMA journal_mode = WAL")
        # What is acknowledged the door sends no more, so that it must be on the disk before.
        self._db.execute("PRAGMA synchronous = FULL")
        # Also where there are tables: one was added since the first of these files.
        self._db.executescript(_SCHEMA)

    def acknowledged(self) -> int:
        """Give up to which event they are all here or gone for good, and were the door's own."""
        query = "SELECT seq FROM acknowledged WHERE door = ?"
        with self._explained():
            found = self._db.execute(query, [self._door]).fetchone()
        return 0 if found is None else int(found[0])

    def acknowledge(self, seq: int) -> None:
        """Keep up to which event they are all here or gone for good."""
        with self._explained():
            self._begin()
            statement = (
                "INSERT INTO acknowledged VALUES (?, ?) "
                "ON CONFLICT DO UPDATE SET seq = MAX(seq, excluded.seq)"
            )
            self._db.execute(statement, [self._door, seq])

    def missing(self, first: int, last: int) -> list[tuple[int, int]]:
        """Give from where to where events of this range are neither here nor gone for good."""
        query = (
            "SELECT seq, seq FROM events WHERE door = ? AND seq BETWEEN ? AND ? "
            "UNION ALL SELECT first, last FROM gone WHERE door = ? ORDER BY 1"
        )
        found, expected = [], first
        with self._explained():
            for begin, end in self._db.execute(query, [self._door, first, last, self._door]):
                if expected < begin <= last:
                    found.append((expected, begin - 1))
                expected = max(expected, end + 1)
        return [*found, (expected, last)] if expected <= last else found

    def add(self, event: Envelope) -> Kept:
        """Keep an event, unless one with its number is here."""
        row = (
            self._door,
            event.seq,
            event.boot_id,
            event.monotonic,
            event.wall,
            int(event.time_trusted),
            event.kind,
            bytes(event.event).decode(),
        )
        with self._explained():
            self._begin()
            if self._insert("events", row):
                return Kept.NEW
            query = f"SELECT {_COLUMNS} FROM events WHERE door = ? AND seq = ?"  # noqa: S608
            known = self._db.execute(query, [self._door, event.seq]).fetchone()
            if _same(known, row):
                return Kept.KNOWN
            self._insert("changed", row)
            return Kept.CHANGED

    def add_head(self, seq: int, note: str) -> Kept:
        """Keep a head, also where there is another of this event."""
        with self._explained():
            self._begin()
            query = "SELECT COUNT(*) FROM heads WHERE door = ? AND seq = ?"
            known = self._db.execute(query, [self._door, seq]).fetchone()[0]
            statement = "INSERT OR IGNORE INTO heads VALUES (?, ?, ?)"
            if self._db.execute(statement, [self._door, seq, note]).rowcount == 0:
                return Kept.KNOWN
            return Kept.CHANGED if known else Kept.NEW

    def give_up(self, first: int, last: int) -> None:
        """Keep that the door has these events no more."""
        with self._explained():
            self._begin()
            statement = "INSERT OR REPLACE INTO gone VALUES (?, ?, ?)"
            self._db.execute(statement, [self._door, first, last])

    def commit(self) -> None:
        """Have what was added survive a power cut."""
        with self._explained():
            if self._db.in_transaction:
                self._db.execute("COMMIT")

    def close(self) -> None:
        """Close the file; what was not committed is lost."""
        with self._explained():
            self._db.close()

    def _begin(self) -> None:
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")

    def _insert(self, table: str, row: tuple[Any, ...]) -> bool:
        statement = f"INSERT OR IGNORE INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
        return self._db.execute(statement, row).rowcount > 0

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
                raise StoreError(f"{self.path}: {_FOREIGN}") from None
            raise StoreError(f"{self.path}: {error}: mend that and start again") from None
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise StoreError(f"{self.path}: {reason}: name a file that can be written") from None


_FOREIGN = "is no file of a collector's, or a newer one's: name another, or one that is not there"


def _same(known: tuple[Any, ...], row: tuple[Any, ...]) -> bool:
    """Say whether a row tells the same of an event as the one that is kept."""
    *times, kind, event = known
    *other_times, other_kind, other_event = row
    if times != other_times:
        return False
    try:
        before, after = (msgspec.json.decode(each) for each in (event, other_event))
    except (ValueError, RecursionError):
        return False
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return bool(kind == other_kind and before == after)
    if other_kind == "forgotten":
        # The subject was erased meanwhile, and the door itself knows no more than the kind.
        return bool(after.get("kind") == kind or (kind == other_kind and before == after))
    # A newer door may tell of more, and an older one of less.
    common = before.keys() & after.keys()
    return bool(kind == other_kind and all(before[key] == after[key] for key in common))
