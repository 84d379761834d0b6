"""The one database: subjects, their templates and consents, the event log, and the codes."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import assert_never

from agent.adapters import rows
from agent.adapters.database import open_database, transaction, translated, truncate_journal
from agent.core.events import (
    Change,
    Enrol,
    Erase,
    Event,
    Granted,
    IssueCode,
    Revoke,
    SpendCodes,
    StoreLoaded,
)
from agent.core.types import Now, SubjectId
from agent.errors import StoreError
from agent.ports import Recorded, SubjectRow

ERASURE_PATIENCE_MS = 5000
"""How long an erasure waits for readers to let go of the journal."""


class SqliteStore:
    """Implements ports.Store on a file at `path`; boot_id: of the boot we run in.

    One thread at a time may use it. Other processes may read and write beside it.
    """

    def __init__(self, path: Path, boot_id: str) -> None:
        """Open the database, and make it where there is none. Raises StoreError."""
        self._path = path
        self._boot_id = boot_id
        self._db = open_database(path)
        self._loaded_version: int | None = None
        self._own_change = False
        try:
            with translated(path):
                self._forget_codes_of_other_boots()
                # An erasure that a reader kept from finishing is finished here.
                truncate_journal(self._db, 0)
        except StoreError:
            self._db.close()
            raise

    def close(self) -> None:
        """Let go of the file; may be called again."""
        self._db.close()

    def load(self, model: str) -> StoreLoaded:
        """See ports.Store. Rows of the gallery are ordered by subject."""
        with translated(self._path):
            truncate_journal(self._db, 0)
            with transaction(self._db, "DEFERRED"):
                # First, so that whatever is committed from here on counts as a change.
                self._loaded_version = self._data_version()
                subjects = self._rows("SELECT * FROM subjects")
                references = self._db.execute(
                    'SELECT subject, vector FROM "references" JOIN consents USING (subject) '
                    "WHERE model = ?",
                    [model],
                ).fetchall()
                codes = self._rows("SELECT * FROM codes WHERE boot_id = ?", self._boot_id)
            self._own_change = False
            known = {subject.id: subject for subject in map(rows.read_subject, subjects)}
            return StoreLoaded(
                gallery=rows.read_gallery(references, known, model),
                subjects=known,
                codes=tuple(rows.read_code(row) for row in codes),
            )

    def changed(self) -> bool:
        """See ports.Store. An event of our own that came without a change does not count."""
        with translated(self._path):
            return self._own_change or self._data_version() != self._loaded_version

    def append(self, event: Event, now: Now, change: Change | None = None) -> Recorded:
        """See ports.Store.

        Raises StoreError where nothing was recorded, and where an erasure was recorded but a reader
        keeps the journal from being cut: then it is finished by the next `load`, or at the start.
        """
        with translated(self._path), transaction(self._db):
            if isinstance(event, Granted):
                self._require_resident(event.subject)
            recorded = Recorded(self._last_seq() + 1, self._boot_id, now, event)
            try:
                self._apply(change, now)
                self._db.table("events").insert(rows.event_row(recorded))
            except (ValueError, OverflowError, sqlite3.IntegrityError) as error:
                raise StoreError(
                    f"{self._path}: cannot record that: {error}: mend it and try again"
                ) from error
        self._own_change = self._own_change or change is not None
        if isinstance(change, Erase):
            self._finish_erasure(change.subject)
        return recorded

    def subjects(self) -> Sequence[SubjectRow]:
        """See ports.Store. Ordered by when they were enrolled."""
        with translated(self._path):
            found = self._rows(
                "SELECT subjects.*, COALESCE(authorised_by, '') AS authorised_by, "
                "COALESCE(notice, '') AS notice, "
                '(SELECT COUNT(*) FROM "references" WHERE subject = subjects.id) AS "references" '
                "FROM subjects LEFT JOIN consents ON consents.subject = subjects.id "
                "ORDER BY enrolled_at, subjects.id"
            )
            return [rows.read_subject_row(row) for row in found]

    def events(self, *, after: int = 0, limit: int = 100) -> Sequence[Recorded]:
        """See ports.Store."""
        with translated(self._path):
            found = self._rows(
                "SELECT * FROM events WHERE seq > ? ORDER BY seq LIMIT ?", after, limit
            )
            return [rows.read_event(row) for row in found]

    def last_events(self, limit: int) -> Sequence[Recorded]:
        """See ports.Store."""
        with translated(self._path):
            found = self._rows("SELECT * FROM events ORDER BY seq DESC LIMIT ?", limit)
            return [rows.read_event(row) for row in reversed(found)]

    def cursor(self) -> int:
        """See ports.Store."""
        with translated(self._path):
            return self._cursor()

    def move_cursor(self, seq: int) -> None:
        """See ports.Store. A number behind the cursor, or past the last event, is ignored."""
        with translated(self._path):
            if not self._cursor() < seq <= self._last_seq():
                return
            with transaction(self._db):
                # Another process may have moved it meanwhile.
                self._db.execute(
                    "UPDATE meta SET value = MAX(value, ?) WHERE key = 'cursor'", [seq]
                )

    def check(self) -> None:
        """See ports.Store. It counts the checks: a write of what is there already is no write."""
        with translated(self._path), transaction(self._db):
            self._db.execute("UPDATE meta SET value = value + 1 WHERE key = 'checks'")

    def _apply(self, change: Change | None, now: Now) -> None:
        match change:
            case None:
                pass
            case Enrol():
                self._enrol(change, now)
            case Revoke():
                self._on_subject("UPDATE subjects SET revoked = 1 WHERE id = ?", change.subject)
            case Erase():
                self._db.execute('DELETE FROM "references" WHERE subject = ?', [change.subject])
                self._db.execute("DELETE FROM consents WHERE subject = ?", [change.subject])
                self._on_subject("DELETE FROM subjects WHERE id = ?", change.subject)
            case IssueCode():
                self._db.execute("DELETE FROM codes")
                self._db.table("codes").insert(rows.code_row(change.code, self._boot_id))
            case SpendCodes():
                self._db.execute("DELETE FROM codes")
            case _:
                assert_never(change)

    def _enrol(self, change: Enrol, now: Now) -> None:
        subject = change.subject.id
        self._db.table("subjects").insert(rows.subject_row(change.subject, change.label, now.wall))
        self._db.table("consents").insert(rows.consent_row(subject, change.consent))
        self._db.table("references").insert_all(
            rows.reference_row(subject, reference) for reference in change.references
        )

    def _on_subject(self, statement: str, subject: SubjectId) -> None:
        if self._db.execute(statement, [subject]).rowcount != 1:
            raise StoreError(f"no subject {subject}: `doorward list` shows them")

    def _require_resident(self, subject: SubjectId) -> None:
        # Another process may have erased or revoked somebody while this grant waited for its turn.
        statement = "SELECT 1 FROM subjects WHERE id = ? AND NOT revoked"
        if not self._rows(statement, subject):
            raise StoreError(f"{subject} was revoked or erased meanwhile: the store is read anew")

    def _forget_codes_of_other_boots(self) -> None:
        # Their times mean nothing in this boot, and their terms hold the label of an enrolee.
        stale = "FROM codes WHERE boot_id != ?"
        if self._rows(f"SELECT 1 {stale}", self._boot_id):
            with transaction(self._db):
                self._db.execute(f"DELETE {stale}", [self._boot_id])

    def _finish_erasure(self, subject: SubjectId) -> None:
        with translated(self._path):
            if truncate_journal(self._db, ERASURE_PATIENCE_MS):
                return
        raise StoreError(
            f"{self._path}: the erasure of {subject} is recorded, but the journal still holds its "
            "pages because a reader has the database open: end it; the next start finishes this"
        )

    def _rows(self, query: str, *parameters: object) -> list[rows.Row]:
        # All at once: a cursor left open would be a reader that keeps the journal from being cut.
        cursor = self._db.execute(query, parameters)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def _data_version(self) -> int:
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def _last_seq(self) -> int:
        return int(self._db.execute("SELECT COALESCE(MAX(seq), 0) FROM events").fetchone()[0])

    def _cursor(self) -> int:
        query = "SELECT value FROM meta WHERE key = 'cursor'"
        return int(self._db.execute(query).fetchone()[0])
