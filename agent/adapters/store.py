"""The one database: residents, their consents, the event log, and the codes."""

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, assert_never

from agent.adapters import rows
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
from agent.adapters.log import EventLog, Head, named
from agent.adapters.residents import DAY, MODULUS, STATE_BYTES, Residents
from agent.adapters.vault import Vault
from agent.core.effects import (
    Change,
    Distrust,
    Enrol,
    Erase,
    IssueCode,
    RenewConsent,
    Revoke,
    SetValidity,
    SpendCodes,
    SpendCounter,
    SuspendConsent,
    Trust,
)
from agent.core.events import (
    Commanded,
    EnrolmentFailed,
    EnrolmentStarted,
    Erased,
    ErasureCause,
    Event,
    Granted,
    LogPruned,
)
from agent.core.inputs import StoreLoaded
from agent.core.orders import ControllerId, TrustedController
from agent.core.types import EnrolmentCode, Now, SubjectId
from agent.errors import StoreError
from agent.ports import Clock, DeviceKey, Recorded, Resident, SubjectRow

ERASURE_PATIENCE_MS = 5000
"""How long an erasure waits for readers to let go of the journal."""
PRUNED_AT_ONCE = 1000
"""Events taken out in one transaction, at most."""


class SqliteStore:
    """Implements ports.Store on a file at `path`.

    key: the device's, without which nothing opens. One thread at a time may use it. Other processes
    may read and write beside it.
    """

    def __init__(self, path: Path, clock: Clock, key: DeviceKey) -> None:
        """Open the database, and make it where there never was one. Raises StoreError."""
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
        self._residents = Residents(self._db, self._vault, self._secret)
        self._controllers = Controllers(self._db, self._vault)
        self._log = EventLog(self._db, self._vault)
        self._erasures = Erasures(self._db, path, self._vault, self._residents, self._append, clock)
        self._loaded_version: int | None = None
        self._own_change = False
        self._acknowledged = 0
        try:
            with translated(path):
                self._forget_codes_of_other_boots()
                # What an earlier schema kept in the clear goes from the file.
                truncate_journal(self._db, 0)
                # An erasure that was interrupted, or that a reader held up, is finished here.
                self._erasures.finish(0)
                self._erasures.take_ballast()
        except StoreError:
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
        finally:
            self._db.close()
            self._use.close()

    def verify(self, heads: Iterable[str] = ()) -> Recorded | None:
        """See ports.Store. heads: signed notes that this device published before."""
        signed = [self._head(note) for note in heads]
        with translated(self._path):
            with transaction(self._db, "DEFERRED"):
                self._log.verify(signed)
                self._residents.verify(self._log.state())
                self._codes()
                self._controllers.trusted()
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
                codes = self._codes()
                controllers = self._controllers.trusted()
            self._own_change = False
            return StoreLoaded(gallery, subjects, codes, controllers)

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
                # That of a counter is known to whoever spent it.
                is_news = change is not None and not isinstance(change, SpendCounter)
                self._own_change = self._own_change or is_news
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

    def controllers(self) -> dict[ControllerId, TrustedController]:
        """See ports.Store."""
        with translated(self._path), transaction(self._db, "DEFERRED"):
            return self._controllers.trusted()

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
            return self._log.read(self._residents.keys, after=after, limit=limit)

    def last_events(self, limit: int) -> Sequence[Recorded]:
        """See ports.Store."""
        with translated(self._path), transaction(self._db, "DEFERRED"):
            after = self._log.head().seq - limit
            return self._log.read(self._residents.keys, after=after, limit=limit)

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

    @property
    def _boot_id(self) -> str:
        return self._clock.boot_id

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
        found = [(subject, self._residents.key(subject)) for subject in subjects]
        keys = {subject: key for subject, key in found if key is not None}
        return self._log.append(self._boot_id, now, event, keys, vouched)

    def _change(self, event: Event, now: Now, change: Change | None) -> int:
        """Make a change; give how much more the residents' rows add up to."""
        changed = _changed(event, change)
        if isinstance(event, EnrolmentStarted):
            # So that an erasure takes this event, too.
            self._residents.reserve(event.subject)
        if changed is None:
            self._apply(event, change, now)
            return 0
        # An erasure wraps everybody's key anew.
        all_keys = isinstance(change, Erase)
        before = self._residents.total(changed, all_keys=all_keys)
        if isinstance(event, Granted | Commanded) and self._data_version() != self._loaded_version:
            # What somebody else wrote since the store was read has not been vouched for yet.
            self._residents.verify(self._log.state())
        if isinstance(event, Granted):
            self._residents.require_admissible(event.subject)
            self._residents.note_use(event.subject, now)
        self._apply(event, change, now)
        return self._residents.total(changed, all_keys=all_keys) - before

    def _apply(  # noqa: C901, PLR0912 - one arm a change
        self, event: Event, change: Change | None, now: Now
    ) -> None:
        match change:
            case None:
                pass
            case Enrol():
                if change.subject.consent is None:
                    raise ValueError("nobody is enrolled without a consent")
                self._residents.enrol(change, now)
            case Revoke():
                self._residents.revoke(change.subject)
            case Erase():
                cause = event.cause if isinstance(event, Erased) else ErasureCause.REQUESTED
                self._erasures.record(change.subject, cause, now)
            case SuspendConsent():
                self._residents.suspend(change.subject, change.reason)
            case RenewConsent():
                self._residents.renew(change.subject, change.consent)
            case SetValidity():
                self._residents.set_validity(change.subject, change.validity)
            case Trust():
                self._controllers.trust(change.controller)
            case Distrust():
                self._controllers.distrust(change.controller)
            case SpendCounter():
                self._controllers.spend(change.controller, change.counter)
            case IssueCode():
                self._db.execute("DELETE FROM codes")
                sealed = self._vault.seal_code(rows.code_bytes(change.code), self._boot_id)
                self._db.table("codes").insert({"boot_id": self._boot_id, "sealed": sealed})
            case SpendCodes():
                self._db.execute("DELETE FROM codes")
            case _:
                assert_never(change)

    def _codes(self) -> tuple[EnrolmentCode, ...]:
        found = self._rows("SELECT sealed FROM codes WHERE boot_id = ?", self._boot_id)
        opened = (self._vault.open_code(sealed, self._boot_id) for (sealed,) in found)
        return tuple(map(rows.read_code, opened))

    def _forget_codes_of_other_boots(self) -> None:
        # Their times mean nothing in this boot, and their terms hold the label of an enrolee.
        stale = "FROM codes WHERE boot_id != ?"
        if self._rows(f"SELECT 1 {stale}", self._boot_id):
            with transaction(self._db):
                self._db.execute(f"DELETE {stale}", [self._boot_id])

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


def _changed(event: Event, change: Change | None) -> SubjectId | ControllerId | None:
    """Give whose rows a change is about, or a grant, which keeps when it was."""
    match change:
        case None:
            return event.subject if isinstance(event, Granted) else None
        case Enrol():
            return change.subject.id
        case Trust():
            return change.controller.id
        case Distrust() | SpendCounter():
            return change.controller
        case IssueCode() | SpendCodes():
            return None
        case _:
            return change.subject
