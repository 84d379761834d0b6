"""The one database: who may enter and by what, the event log, and the codes."""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from agent.adapters.attempts import KeptAttempts
from agent.adapters.changes import Changes, touched, whole_tables
from agent.adapters.codes import Codes
from agent.adapters.controllers import Controllers
from agent.adapters.database import (
    hold,
    open_database,
    transaction,
    translated,
    truncate_journal,
)
from agent.adapters.documents import verify
from agent.adapters.epoch import EpochSecret
from agent.adapters.erasure import Erasures
from agent.adapters.keyring import Keyring
from agent.adapters.log import EventLog, Head, named
from agent.adapters.residents import DAY, Residents
from agent.adapters.vault import Vault
from agent.adapters.visitors import Visitors
from agent.adapters.vouched import MODULUS, STATE_BYTES, VouchedRows
from agent.core.effects import (
    Change,
    Erase,
    ForgetVisitor,
    SetAttempts,
    SetCredentials,
    SpendCounter,
)
from agent.core.events import (
    Admitted,
    Commanded,
    EnrolmentFailed,
    EnrolmentStarted,
    Event,
    Granted,
    LogPruned,
    VisitorAdmitted,
)
from agent.core.inputs import StoreLoaded
from agent.core.orders import ControllerId, TrustedController
from agent.core.types import Float32, Now, Shortlist, SubjectId
from agent.errors import StoreError
from agent.ports import Clock, DeviceKey, Recorded, References, Resident, SubjectRow, VisitorRow

Index: TypeAlias = Callable[[Float32], Shortlist | None]

ERASURE_PATIENCE_MS = 5000
"""How long an erasure waits for readers to let go of the journal."""
PRUNED_AT_ONCE = 1000
"""Events taken out in one transaction, at most."""


_TAKEN_FROM_LOADED = (Granted, Admitted, VisitorAdmitted, Commanded)
"""What is decided by what was loaded, and lets somebody in or obeys somebody."""


class SqliteStore:
    """Implements ports.Store on a file at `path`.

    key: the device's, without which nothing opens. One thread at a time may use it. Other processes
    may read and write beside it.
    """

    def __init__(
        self, path: Path, clock: Clock, key: DeviceKey, index: Index | None = None
    ) -> None:
        """Open the database, and make it where there never was one. Raises StoreError.

        index: makes the shortlist of a gallery from its matrix.
        """
        self._index = index
        self._path = path
        self._clock = clock
        self._vault = Vault(key)
        self._secret = EpochSecret(path.parent)
        self._use = hold(path, alone=False)
        try:
            self._db = open_database(path, self._vault, self._secret)
        except BaseException:
            self._use.close()
            raise
        self._log = EventLog(self._db, self._vault)
        self._vouched = VouchedRows(self._db, self._vault)
        self._keyring = Keyring(self._db, self._vault, self._secret)
        self._residents = Residents(self._db, self._vault, self._keyring, self._vouched)
        self._controllers = Controllers(self._db, self._vault)
        self._visitors = Visitors(self._db, self._vault)
        self._attempts = KeptAttempts(self._db, self._vault, clock.boot_id)
        self._codes = Codes(self._db, self._vault, clock.boot_id)
        self._erasures = Erasures(
            self._db, path, self._vault, self._residents, self._vouched, self._append, clock
        )
        self._changes = Changes(
            self._residents,
            self._controllers,
            self._visitors,
            self._codes,
            self._attempts,
            self._erasures,
        )
        self._loaded_version: int | None = None
        self._own_change = False
        self._journal_holds_deleted = False
        self._acknowledged = 0
        try:
            with translated(path):
                if self._codes.stale():
                    with transaction(self._db):
                        self._codes.forget_stale()
                # What an earlier schema kept in the clear goes from the file.
                truncate_journal(self._db, 0)
                # An erasure that was interrupted, or that a reader held up, is finished here.
                self._erasures.finish(0)
                self._erasures.take_ballast()
        except BaseException:
            self._db.close()
            self._use.close()
            raise

    @property
    def verifier(self) -> str:
        """The key to check with what this device signs (docs/vault.md)."""
        return str(self._vault.signer.verifier)

    def close(self) -> None:
        """Let go of the file; may be called again."""
        try:
            self.keep_cursor()
            self._acknowledged = 0
            with translated(self._path):
                self._cut_journal()
            self._journal_holds_deleted = False
        finally:
            self._db.close()
            self._use.close()

    def verify(self, heads: Iterable[str] = ()) -> Recorded | None:
        """See ports.Store. heads: signed notes that this device published before."""
        signed = [self._head(note) for note in heads]
        with translated(self._path):
            with transaction(self._db, "DEFERRED"):
                self._log.verify(signed)
                self._require_vouched()
                self._codes.live()
                self._controllers.trusted()
                self._visitors.invited()
                self._attempts.kept()
            newest = self.last_events(1)
            return newest[0] if newest else None

    def load(self, model: str) -> StoreLoaded:
        """See ports.Store. Rows of the gallery are ordered by subject."""
        with translated(self._path):
            self._erasures.finish(0)
            with transaction(self._db, "DEFERRED"):
                # First, so that whatever is committed from here on counts as a change.
                self._loaded_version = self._data_version()
                gallery, subjects = self._residents.load(model, self._log.state())
                if self._index is not None:
                    gallery = replace(gallery, shortlist=self._index(gallery.matrix))
                loaded = StoreLoaded(
                    gallery,
                    subjects,
                    self._codes.live(),
                    self._controllers.trusted(),
                    tuple(each.visitor for each in self._visitors.invited()),
                    *self._attempts.kept(),
                )
            self._own_change = False
            self._cut_journal()
            return loaded

    def changed(self) -> bool:
        """See ports.Store. An event of our own that came without a change does not count."""
        with translated(self._path):
            return self._own_change or self._data_version() != self._loaded_version

    def append(self, event: Event, now: Now, change: Change | None = None) -> Recorded:
        """See ports.Store.

        Raises StoreError where nothing was recorded, and where an erasure was recorded but a reader
        keeps the journal from being cut: then it is finished by the next `load`, or at the start.
        """
        with translated(self._path):
            if not isinstance(change, Erase):
                recorded = self._commit(event, now, change)
                # What is counted is known to whoever counts it.
                is_news = change is not None and not isinstance(change, SpendCounter | SetAttempts)
                self._own_change = self._own_change or is_news
                deleted = isinstance(change, ForgetVisitor | SetCredentials)
                self._journal_holds_deleted = self._journal_holds_deleted or deleted
                return recorded
            recorded = self._erasures.with_ballast(lambda: self._commit(event, now, change))
            self._own_change = True
            if not self._erasures.finish(ERASURE_PATIENCE_MS):
                raise StoreError(
                    f"{self._path}: the erasure of {change.subject} is recorded, but the journal "
                    "still holds its pages because a reader has the database open: end it; "
                    "the next start finishes this"
                )
            return recorded

    def prune(self, before: float, now: Now) -> Recorded | None:
        """See ports.Store. At most PRUNED_AT_ONCE events go at once."""
        with translated(self._path), transaction(self._db):
            up_to = self._log.prune(before, PRUNED_AT_ONCE)
            if up_to is None:
                return None
            self._own_change = True
            return self._append(LogPruned(up_to), now, 0)

    def unused_since(self, before: float) -> Sequence[SubjectId]:
        """See ports.Store."""
        query = "SELECT id FROM subjects WHERE seen_on < ?"
        with translated(self._path):
            found = self._rows(query, before // DAY * DAY)
            return [SubjectId(subject) for (subject,) in found]

    def subjects(self) -> Sequence[SubjectRow]:
        """See ports.Store. Ordered by when they were enrolled."""
        with translated(self._path), transaction(self._db, "DEFERRED"):
            return self._residents.listed()

    def references(self, model: str) -> Sequence[References]:
        """See ports.Store. Ordered by subject."""
        with translated(self._path), transaction(self._db, "DEFERRED"):
            return self._residents.references(model)

    def controllers(self) -> dict[ControllerId, TrustedController]:
        """See ports.Store."""
        with translated(self._path), transaction(self._db, "DEFERRED"):
            return self._controllers.trusted()

    def visitors(self) -> Sequence[VisitorRow]:
        """See ports.Store. Ordered by when they may come."""
        with translated(self._path), transaction(self._db, "DEFERRED"):
            invited = self._visitors.invited()
        return [
            VisitorRow(each.visitor.id, each.label, each.visitor.not_before, each.visitor.not_after)
            for each in invited
        ]

    def resident(self, subject: SubjectId) -> Resident:
        """See ports.Store."""
        with translated(self._path), transaction(self._db, "DEFERRED"):
            resident = self._residents.resident(subject)
        if resident is None:
            raise StoreError(f"no subject {subject}: `doorward list` shows them")
        return resident

    def certificate(self, subject: SubjectId) -> str | None:
        """See ports.Store."""
        with translated(self._path):
            # One that a reader held up may be due by now.
            self._erasures.finish(0)
            return self._erasures.certificate(subject)

    def events(self, *, after: int = 0, limit: int = 100) -> Sequence[Recorded]:
        """See ports.Store."""
        with translated(self._path):
            return self._log.read(self._keyring.keys, after=after, limit=limit)

    def last_events(self, limit: int) -> Sequence[Recorded]:
        """See ports.Store."""
        with translated(self._path), transaction(self._db, "DEFERRED"):
            after = self._log.head().seq - limit
            return self._log.read(self._keyring.keys, after=after, limit=limit)

    def log_begins(self) -> int:
        """See ports.Store."""
        with translated(self._path):
            return self._log.anchor().seq + 1

    def cursor(self) -> int:
        """See ports.Store."""
        with translated(self._path):
            return max(self._cursor(), self._acknowledged)

    def move_cursor(self, seq: int) -> None:
        """See ports.Store. It is written with the next event, or by `keep_cursor`."""
        with translated(self._path):
            if seq <= self._log.head().seq:
                self._acknowledged = max(self._acknowledged, seq)

    def keep_cursor(self) -> None:
        """See ports.Store."""
        with translated(self._path):
            self._keep_cursor()

    def check(self) -> None:
        """See ports.Store. It counts the checks: a write of what is there already is no write."""
        with translated(self._path), transaction(self._db):
            self._db.execute("UPDATE meta SET value = value + 1 WHERE key = 'checks'")

    def _head(self, note: str) -> Head:
        try:
            head = verify(note, self._vault.signer.verifier).content
        except ValueError as error:
            raise StoreError(f"a head of the log: {error}: name what this device signed") from None
        if not isinstance(head, Head):
            raise StoreError("a head of the log: is another kind of document: name a head")
        return head

    def _commit(self, event: Event, now: Now, change: Change | None) -> Recorded:
        with transaction(self._db):
            try:
                difference = self._change(event, now, change)
                recorded = self._append(event, now, difference)
            except (ValueError, OverflowError, sqlite3.IntegrityError) as error:
                raise StoreError(
                    f"{self._path}: cannot record that: {error}: mend it and try again"
                ) from error
            self._keep_cursor()
        return recorded

    def _append(self, event: Event, now: Now, difference: int) -> Recorded:
        """Append an event; difference: how much more the residents' rows add up to."""
        state = int.from_bytes(self._log.state() or b"") + difference
        vouched = (state % MODULUS).to_bytes(STATE_BYTES)
        # Who was not enrolled has no key that an erasure would destroy.
        subjects = [] if isinstance(event, EnrolmentFailed) else named(event)
        found = [(subject, self._keyring.key(subject)) for subject in subjects]
        keys = {subject: key for subject, key in found if key is not None}
        return self._log.append(self._clock.boot_id, now, event, keys, vouched)

    def _change(self, event: Event, now: Now, change: Change | None) -> int:
        """Make a change; give how much more the residents' rows add up to."""
        if isinstance(event, EnrolmentStarted):
            # So that an erasure takes this event, too.
            self._keyring.reserve(event.subject)
        names, whole = touched(event, change), whole_tables(change)
        before = self._vouched.total(names, whole)
        if isinstance(event, _TAKEN_FROM_LOADED) and self._data_version() != self._loaded_version:
            # What somebody else wrote since the store was read has not been vouched for yet.
            self._require_vouched()
        self._changes.admit(event, change, now)
        self._changes.make(event, change, now)
        return self._vouched.total(names, whole) - before

    def _require_vouched(self) -> None:
        self._vouched.require(self._vouched.everything(), self._log.state())

    def _cut_journal(self) -> None:
        """Have the journal hold nothing that was deleted; later where a reader holds it up."""
        if self._journal_holds_deleted:
            # On a full disk there may be no room for it: then at the next start.
            with suppress(sqlite3.OperationalError):
                self._journal_holds_deleted = not truncate_journal(self._db, 0)

    def _keep_cursor(self) -> None:
        # MAX, since another process may have moved it meanwhile.
        if self._acknowledged and self._acknowledged > self._cursor():
            self._db.execute(
                "UPDATE meta SET value = MAX(value, ?) WHERE key = 'cursor'", [self._acknowledged]
            )

    def _rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        # All at once: a cursor left open would be a reader that keeps the journal from being cut.
        return self._db.execute(query, parameters).fetchall()

    def _data_version(self) -> int:
        return int(self._rows("PRAGMA data_version")[0][0])

    def _cursor(self) -> int:
        return int(self._rows("SELECT value FROM meta WHERE key = 'cursor'")[0][0])
