"""The rows of residents: their keys, records, consents and references, each sealed.

All these rows together add up to a number that the event log vouches for (`Vault.row_mac`), so that
none can be altered, taken out, put in or put back behind its back.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from secrets import token_bytes
from typing import Any, TypeAlias

from sqlite_utils import Database

from agent.adapters import rows
from agent.adapters.documents import receipt_in, receipt_of, text_of
from agent.adapters.epoch import EpochSecret
from agent.adapters.log import Keys
from agent.adapters.vault import KEY_BYTES, Vault, derive, leave_code
from agent.core.effects import Enrol
from agent.core.orders import ControllerId
from agent.core.types import (
    Consent,
    Embedding,
    Gallery,
    Now,
    Subject,
    SubjectId,
    Suspension,
    Validity,
)
from agent.errors import StoreError
from agent.ports import Resident, SubjectRow

STATE_BYTES = 32
MODULUS = 1 << (8 * STATE_BYTES)
DAY = 86_400.0
"""Seconds. When a subject was admitted is kept to the day: the very time, in the clear, would tell
whose event was then, and one write a day wears out no card.
"""

_TABLES = {
    "subjects": ("id", "SELECT id, seen_on, sealed FROM subjects"),
    "keys": (
        "keys.subject",
        "SELECT subject, epoch, wrapped FROM keys JOIN subjects ON subjects.id = subject",
    ),
    "consents": ("subject", "SELECT subject, sealed FROM consents"),
    "references": ("subject", 'SELECT id, subject, epoch, made_by, sealed FROM "references"'),
}
"""By table: which column names the subject, and what is vouched for. Reserved keys are not."""
_TOMBSTONES = "SELECT subject, proof, certificate FROM tombstones"
_CONTROLLERS = "SELECT id, sealed FROM controllers"
_RESIDENTS = _TABLES | {"tombstones": ("subject", _TOMBSTONES)}
_VOUCHED = _RESIDENTS | {"controllers": ("id", _CONTROLLERS)}

_Everything: TypeAlias = dict[str, list[tuple[Any, ...]]]


class Residents:
    """The residents' rows of one database, within the caller's transactions.

    Every method raises ValueError for what does not open, and StoreError without the epoch's key.
    """

    def __init__(self, database: Database, vault: Vault, secret: EpochSecret) -> None:
        self._db = database
        self._vault = vault
        self._secret = secret
        self._unwrapped: dict[bytes, bytes] = {}

    def epoch(self) -> int:
        """Give the number of the key epoch."""
        return int(self._db.execute("SELECT epoch FROM vault").fetchone()[0])

    def keys(self) -> Keys:
        """Give everybody's key."""
        return self._unwrap(self._db.execute("SELECT subject, epoch, wrapped FROM keys").fetchall())

    def _unwrap(self, found: list[tuple[Any, ...]]) -> Keys:
        # That of the rows: another process may begin a new epoch between two statements.
        wrapping = {
            epoch: self._vault.opener(self._vault.wrapping_key(self._secret.secret(epoch)))
            for epoch in {epoch for _, epoch, _ in found}
        }
        kept = self._unwrapped
        self._unwrapped = {
            wrapped: kept.get(wrapped) or wrapping[epoch](wrapped, "keys", subject, epoch)
            for subject, epoch, wrapped in found
        }
        return {subject: self._unwrapped[wrapped] for subject, _, wrapped in found}

    def key(self, subject: SubjectId) -> bytes | None:
        """Give a subject's key; None where there is none."""
        found = self._db.execute(
            "SELECT epoch, wrapped FROM keys WHERE subject = ?", [subject]
        ).fetchone()
        if found is None:
            return None
        wrapping = self._vault.wrapping_key(self._secret.secret(found[0]))
        return self._vault.open(wrapping, found[1], "keys", subject, found[0])

    # --- what the log vouches for -----------------------------------------------------------------

    def state(self) -> bytes:
        """Give what the residents' rows add up to while no controller is trusted, 32 bytes."""
        return self._sum({table: self._all(table) for table in _RESIDENTS}).to_bytes(STATE_BYTES)

    def total(self, subject: SubjectId | ControllerId, *, all_keys: bool) -> int:
        """Add up the rows of one subject or controller, and everybody's key where that is asked."""
        return self._sum(
            {
                table: self._all(table, None if all_keys and table == "keys" else subject)
                for table in _VOUCHED
            }
        )

    def _sum(self, found: _Everything) -> int:
        macs = (self._vault.row_mac(table, row) for table in found for row in found[table])
        return sum(macs) % MODULUS

    # --- changes ----------------------------------------------------------------------------------

    def reserve(self, subject: SubjectId) -> None:
        """Have a key for who is about to be enrolled, in place of any other that was reserved."""
        self._db.execute("DELETE FROM keys WHERE subject NOT IN (SELECT id FROM subjects)")
        self._new_key(subject)

    def enrol(self, change: Enrol, now: Now) -> None:
        """Keep a new subject. Raises sqlite3.IntegrityError where the id is taken."""
        subject, epoch = change.subject, self.epoch()
        key = self.key(subject.id) or self._new_key(subject.id)
        self._db.table("subjects").insert(
            {
                "id": subject.id,
                "seen_on": _seen_on(now),
                "sealed": self._sealed_record(key, subject, change.label, now.wall),
            }
        )
        if subject.consent is not None:
            self._keep_consent(key, subject.id, subject.consent, subject.suspended)
        self._db.table("references").insert_all(
            self._sealed_references(key, subject.id, change.references, epoch)
        )

    def revoke(self, subject: SubjectId) -> None:
        """Stop admitting a subject."""
        key, resident = self._require(subject)
        self._rewrite(key, resident, replace(resident.subject, revoked=True))

    def set_validity(self, subject: SubjectId, validity: Validity) -> None:
        """Keep when a subject may enter, in place of what was kept."""
        key, resident = self._require(subject)
        self._rewrite(key, resident, replace(resident.subject, validity=validity))

    def suspend(self, subject: SubjectId, reason: Suspension | None) -> None:
        """Keep why a subject's consent does not count any more, or that it counts again."""
        key, resident = self._require(subject)
        if resident.receipt is None:
            raise ValueError(f"{subject} has no consent")
        if resident.subject.suspended is Suspension.WITHDRAWN:
            raise StoreError(f"{subject} has withdrawn meanwhile: the store is read anew")
        self._keep_receipt(key, subject, resident.receipt, reason)

    def renew(self, subject: SubjectId, consent: Consent) -> None:
        """Put a new consent in the place of the last one."""
        key, _ = self._require(subject)
        self._keep_consent(key, subject, consent, None)

    def note_use(self, subject: SubjectId, now: Now) -> None:
        """Keep when a subject was admitted, to the day; nothing where the clock is not set."""
        self._db.execute(
            "UPDATE subjects SET seen_on = ? WHERE id = ? AND seen_on IS NOT ?",
            [_seen_on(now), subject, _seen_on(now)],
        )

    def erase(self, subject: SubjectId) -> None:
        """Delete a subject's rows and begin a new key epoch.

        Raises OSError where the new epoch's secret cannot be written.
        """
        self._require(subject)
        keys = dict(self.keys())
        epoch = self.epoch() + 1
        self._secret.settle(epoch - 1)
        wrapping = self._vault.wrapping_key(self._secret.prepare(epoch))
        for table, (column, _) in reversed(_TABLES.items()):
            self._db.execute(f'DELETE FROM "{table}" WHERE {column} = ?', [subject])  # noqa: S608
        del keys[subject]
        self._db.conn.executemany(
            "UPDATE keys SET epoch = :epoch, wrapped = :wrapped WHERE subject = :subject",
            [self._wrapped_key(wrapping, each, key, epoch) for each, key in keys.items()],
        )
        self.begin_epoch(wrapping, epoch)

    def begin_epoch(self, wrapping: bytes, epoch: int) -> None:
        """Keep which epoch it is, and a proof of its key."""
        proof = self._vault.seal(wrapping, b"", "vault", self._vault.device, epoch)
        self._db.execute("UPDATE vault SET epoch = ?, proof = ?", [epoch, proof])

    # --- reading ----------------------------------------------------------------------------------

    def resident(self, subject: SubjectId) -> Resident | None:
        """Give one resident; None where there is no such subject."""
        known = self._keyed(subject)
        return None if known is None else known[1]

    def _keyed(self, subject: SubjectId) -> tuple[bytes, Resident] | None:
        key, found = self.key(subject), self._all("subjects", subject)
        if key is None or not found:
            return None
        [(_, seen_on, sealed)] = found
        consents = self._all("consents", subject)
        sealed_consent = consents[0][1] if consents else None
        return key, self._resident(subject, key, sealed, sealed_consent, seen_on)

    def _residents(self, everything: _Everything) -> Iterator[Resident]:
        consents: dict[SubjectId, bytes] = dict(everything["consents"])
        keys = self._unwrap(everything["keys"])
        for subject, seen_on, sealed in everything["subjects"]:
            if subject not in keys:
                raise ValueError(f"{subject} has no key")
            yield self._resident(subject, keys[subject], sealed, consents.get(subject), seen_on)

    def listed(self) -> list[SubjectRow]:
        """Give what an administrator sees of everybody, by rising time of enrolment."""
        counted = self._db.execute('SELECT subject, COUNT(*) FROM "references" GROUP BY subject')
        references = dict(counted.fetchall())
        return [
            rows.listed(
                each.subject,
                each.label,
                references.get(each.subject.id, 0),
                each.enrolled_at,
                each.seen_on,
            )
            for each in sorted(
                self._residents(self._everything()), key=lambda each: each.enrolled_at
            )
        ]

    def load(self, model: str, vouched: bytes | None) -> tuple[Gallery, dict[SubjectId, Subject]]:
        """Give the gallery of the references that this model made, and all subjects.

        vouched: what the log says that all rows add up to. Raises ValueError where they do not, and
        for what does not open.
        """
        everything = self._everything()
        self._require_vouched(everything, vouched)
        subjects = {each.subject.id: each.subject for each in self._residents(everything)}
        keys = self._unwrap(everything["keys"])
        openers = {subject: self._opener(key) for subject, key in keys.items()}
        tag = self._vault.model_tag(model)
        templates = [
            (subject, openers[subject](sealed, "references", number, subject, model, epoch))
            for number, subject, epoch, made_by, sealed in everything["references"]
            if made_by == tag and subjects[subject].consent is not None
        ]
        return rows.gallery_of(templates, subjects, model), subjects

    def verify(self, vouched: bytes | None) -> None:
        """Raise ValueError unless all rows add up to what the log vouches for."""
        self._require_vouched(self._everything(), vouched)

    def require_gone(self, subject: SubjectId) -> None:
        """Raise ValueError where any row of a subject is left."""
        if any(self._all(table, subject) for table in _TABLES) or self.key(subject) is not None:
            raise ValueError(f"rows of {subject} are left, who was erased")

    def require_admissible(self, subject: SubjectId) -> None:
        """Raise StoreError unless a subject may be granted entry as of this transaction."""
        resident = self.resident(subject)
        if resident is None or resident.subject.revoked:
            raise StoreError(f"{subject} was revoked or erased meanwhile: the store is read anew")
        # Other suspensions follow from the notice in force and the time, which are unknown here.
        withdrawn = resident.subject.suspended is Suspension.WITHDRAWN
        if resident.receipt is None or withdrawn:
            raise StoreError(f"{subject} has no consent any more: the store is read anew")
        try:
            self._vault.signer.verifier.open(resident.receipt)
        except ValueError as error:
            raise StoreError(f"{subject}: consent receipt: {error}: renew the consent") from None

    def _require_vouched(self, everything: _Everything, vouched: bytes | None) -> None:
        if not self._sum(everything) == int.from_bytes(vouched or b""):
            raise ValueError("the residents' rows are not those that the log vouches for")

    def _require(self, subject: SubjectId) -> tuple[bytes, Resident]:
        known = self._keyed(subject)
        if known is None:
            raise StoreError(f"no subject {subject}: `doorward list` shows them")
        return known

    def _resident(
        self,
        subject: SubjectId,
        key: bytes,
        sealed: bytes,
        sealed_consent: bytes | None,
        seen_on: float | None,
    ) -> Resident:
        opened = self._opener(key)
        record = rows.read_record(opened(sealed, "subjects", subject))
        receipt = consent = suspended = None
        if sealed_consent is not None:
            kept = rows.read_consent(opened(sealed_consent, "consents", subject))
            receipt, suspended = kept.receipt, kept.suspended
            told = receipt_in(receipt)
            if not told.subject == subject:
                raise ValueError(f"{subject} has the consent of somebody else")
            consent = told.consent
        known = rows.subject_of(subject, record, consent, suspended, leave_code(key))
        return Resident(known, record.label, receipt, record.enrolled_at, seen_on)

    # --- sealing ----------------------------------------------------------------------------------

    def _opener(self, key: bytes) -> Callable[..., bytes]:
        return self._vault.opener(derive(key, "rows"))

    def _rewrite(self, key: bytes, resident: Resident, subject: Subject) -> None:
        record = self._sealed_record(key, subject, resident.label, resident.enrolled_at)
        self._db.execute("UPDATE subjects SET sealed = ? WHERE id = ?", [record, subject.id])

    def _sealed_record(self, key: bytes, subject: Subject, label: str, enrolled_at: float) -> bytes:
        record = rows.record_bytes(subject, label, enrolled_at)
        return self._vault.seal(derive(key, "rows"), record, "subjects", subject.id)

    def _sealed_references(
        self, key: bytes, subject: SubjectId, references: tuple[Embedding, ...], epoch: int
    ) -> Iterator[dict[str, object]]:
        query = 'SELECT COALESCE(MAX(id), 0) FROM "references"'
        highest = int(self._db.execute(query).fetchone()[0])
        for number, each in enumerate(references, highest + 1):
            place = ("references", number, subject, each.model, epoch)
            content = rows.template_bytes(each.vector)
            yield {
                "id": number,
                "subject": subject,
                "epoch": epoch,
                "made_by": self._vault.model_tag(each.model),
                "sealed": self._vault.seal(derive(key, "rows"), content, *place),
            }

    def _keep_consent(
        self, key: bytes, subject: SubjectId, consent: Consent, suspended: Suspension | None
    ) -> None:
        note = self._vault.signer.note(text_of(receipt_of(subject, consent)))
        self._keep_receipt(key, subject, note, suspended)

    def _keep_receipt(
        self, key: bytes, subject: SubjectId, note: str, suspended: Suspension | None
    ) -> None:
        kept = rows.consent_bytes(note, suspended)
        sealed = self._vault.seal(derive(key, "rows"), kept, "consents", subject)
        self._db.table("consents").upsert({"subject": subject, "sealed": sealed}, pk="subject")

    def _new_key(self, subject: SubjectId) -> bytes:
        key, epoch = token_bytes(KEY_BYTES), self.epoch()
        wrapping = self._vault.wrapping_key(self._secret.secret(epoch))
        self._db.table("keys").insert(self._wrapped_key(wrapping, subject, key, epoch))
        return key

    def _wrapped_key(
        self, wrapping: bytes, subject: SubjectId, key: bytes, epoch: int
    ) -> dict[str, object]:
        wrapped = self._vault.seal(wrapping, key, "keys", subject, epoch)
        return {"subject": subject, "epoch": epoch, "wrapped": wrapped}

    def _everything(self) -> _Everything:
        return {table: self._all(table) for table in _VOUCHED}

    def _all(
        self, table: str, subject: SubjectId | ControllerId | None = None
    ) -> list[tuple[Any, ...]]:
        column, query = _VOUCHED[table]
        if subject is None:
            return self._db.execute(query).fetchall()
        return self._db.execute(f"{query} WHERE {column} = ?", [subject]).fetchall()


def _seen_on(now: Now) -> float | None:
    return now.wall // DAY * DAY if now.trusted else None
