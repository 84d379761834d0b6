"""The rows of residents: their records, consents, credentials and references, each sealed."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from sqlite_utils import Database

from agent.adapters import rows
from agent.adapters.documents import receipt_in, receipt_of, text_of
from agent.adapters.gallery import (
    Template,
    gallery_of,
    self_consistencies,
    self_consistency,
    template_bytes,
)
from agent.adapters.keyring import Keyring
from agent.adapters.log import Keys
from agent.adapters.vault import Vault, derive, leave_code
from agent.adapters.vouched import OF_SUBJECT, Everything, VouchedRows
from agent.core.credentials import NO_CREDENTIALS, Credentials
from agent.core.effects import Enrol
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
from agent.ports import References, Resident, SubjectRow

DAY = 86_400.0
"""Seconds. When a subject was admitted is kept to the day: the very time, in the clear, would tell
whose event was then, and one write a day wears out no card.
"""


@dataclass(frozen=True, slots=True)
class _Found:
    """What the tables have of one subject: sealed, but for the day. None where there is no row."""

    seen_on: float | None
    record: bytes
    consent: bytes | None
    credentials: bytes | None


class Residents:
    """The residents' rows of one database, within the caller's transactions.

    Every method raises ValueError for what does not open, and StoreError without the epoch's key.
    """

    def __init__(
        self, database: Database, vault: Vault, keyring: Keyring, vouched: VouchedRows
    ) -> None:
        self._db = database
        self._vault = vault
        self._keyring = keyring
        self._vouched = vouched

    # --- changes ----------------------------------------------------------------------------------

    def enrol(self, change: Enrol, now: Now) -> None:
        """Keep a new subject. Raises sqlite3.IntegrityError where the id is taken."""
        subject, epoch = change.subject, self._keyring.epoch()
        key = self._keyring.key(subject.id) or self._keyring.make(subject.id)
        consistency = _self_consistency(change.references)
        resident = Resident(subject, change.label, None, now.wall, _seen_on(now), consistency)
        self._db.table("subjects").insert(
            {
                "id": subject.id,
                "seen_on": resident.seen_on,
                "sealed": self._sealed_record(key, resident),
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

    def set_credentials(self, subject: SubjectId, credentials: Credentials) -> None:
        """Keep what a subject may use beside a face, in place of what was kept."""
        key, _ = self._require(subject)
        self._db.execute("DELETE FROM credentials WHERE subject = ?", [subject])
        if credentials != NO_CREDENTIALS:
            content = rows.credentials_bytes(credentials)
            sealed = self._vault.seal(derive(key, "rows"), content, "credentials", subject)
            self._db.table("credentials").insert({"subject": subject, "sealed": sealed})

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

    def erase(self, subject: SubjectId) -> int:
        """Delete a subject's rows, begin a new key epoch, and give its number.

        Raises OSError where the new epoch's secret cannot be written.
        """
        self._require(subject)
        for table, (column, _) in reversed(OF_SUBJECT.items()):
            self._db.execute(f'DELETE FROM "{table}" WHERE {column} = ?', [subject])  # noqa: S608
        return self._keyring.renew()

    # --- reading ----------------------------------------------------------------------------------

    def resident(self, subject: SubjectId) -> Resident | None:
        """Give one resident; None where there is no such subject."""
        known = self._keyed(subject)
        return None if known is None else known[1]

    def listed(self) -> list[SubjectRow]:
        """Give what an administrator sees of everybody, by rising time of enrolment."""
        counted = self._db.execute('SELECT subject, COUNT(*) FROM "references" GROUP BY subject')
        references = dict(counted.fetchall())
        everybody = sorted(
            self._residents(self._vouched.everything()), key=lambda each: each.enrolled_at
        )
        return [rows.listed(each, references.get(each.subject.id, 0)) for each in everybody]

    def credentials(self) -> dict[SubjectId, Credentials]:
        """Give who may use what beside a face."""
        keys = self._keyring.keys()
        return {
            SubjectId(subject): self._credentials(subject, self._opener(keys[subject]), sealed)
            for subject, sealed in self._vouched.of("credentials")
        }

    def load(self, model: str, vouched: bytes | None) -> tuple[Gallery, dict[SubjectId, Subject]]:
        """Give the gallery of the references that this model made, and all subjects.

        vouched: what the log says that all rows add up to. Raises ValueError where they do not, and
        for what does not open.
        """
        everything = self._vouched.everything()
        self._vouched.require(everything, vouched)
        subjects = {each.subject.id: each.subject for each in self._residents(everything)}
        templates = self._templates(everything, model)
        consented = [each for each in templates if subjects[each[0]].consent is not None]
        return gallery_of(consented, subjects, model), subjects

    def references(self, model: str) -> list[References]:
        """Give what there is of references, of everybody who has any."""
        everything = self._vouched.everything()
        recorded = {each.subject.id: each.self_consistency for each in self._residents(everything)}
        templates = self._templates(everything, model)
        of_model = Counter(subject for subject, _ in templates)
        total = Counter(SubjectId(row[1]) for row in everything["references"])
        computed = self_consistencies([each for each in templates if recorded[each[0]] is None])
        return [
            References(
                subject,
                of_model[subject],
                count - of_model[subject],
                computed.get(subject, recorded[subject]),
            )
            for subject, count in sorted(total.items())
        ]

    def require_gone(self, subject: SubjectId) -> None:
        """Raise ValueError where any row of a subject is left."""
        left = any(self._vouched.of(table, subject) for table in OF_SUBJECT)
        if left or self._keyring.key(subject) is not None:
            raise ValueError(f"rows of {subject} are left, who was erased")

    def require_entitled(self, subject: SubjectId) -> Resident:
        """Raise StoreError where a subject may not enter by any means as of this transaction."""
        resident = self.resident(subject)
        if resident is None or resident.subject.revoked:
            raise StoreError(f"{subject} was revoked or erased meanwhile: the store is read anew")
        return resident

    def require_admissible(self, subject: SubjectId) -> None:
        """Raise StoreError unless a subject may enter by face as of this transaction."""
        resident = self.require_entitled(subject)
        # Other suspensions follow from the notice in force and the time, which are unknown here.
        stopped = resident.subject.suspended in {Suspension.WITHDRAWN, Suspension.PAUSED}
        if resident.receipt is None or stopped:
            raise StoreError(f"{subject} has no consent any more: the store is read anew")
        try:
            self._vault.signer.verifier.open(resident.receipt)
        except ValueError as error:
            raise StoreError(f"{subject}: consent receipt: {error}: renew the consent") from None

    def _templates(self, everything: Everything, model: str) -> list[Template]:
        keys = self._keyring.unwrap(everything["keys"])
        openers = {subject: self._opener(key) for subject, key in keys.items()}
        tag = self._vault.model_tag(model)
        return [
            (subject, openers[subject](sealed, "references", number, subject, model, epoch))
            for number, subject, epoch, made_by, sealed in everything["references"]
            if made_by == tag
        ]

    def _require(self, subject: SubjectId) -> tuple[bytes, Resident]:
        known = self._keyed(subject)
        if known is None:
            raise StoreError(f"no subject {subject}: `doorward list` shows them")
        return known

    def _keyed(self, subject: SubjectId) -> tuple[bytes, Resident] | None:
        everything = {
            table: self._vouched.of(table, subject)
            for table in ("subjects", "consents", "credentials")
        }
        key = self._keyring.key(subject)
        if key is None or not everything["subjects"]:
            return None
        [resident] = self._opened({subject: key}, everything)
        return key, resident

    def _residents(self, everything: Everything) -> Iterable[Resident]:
        return self._opened(self._keyring.unwrap(everything["keys"]), everything)

    def _opened(self, keys: Keys, everything: Everything) -> Iterator[Resident]:
        consents: dict[str, bytes] = dict(everything["consents"])
        credentials: dict[str, bytes] = dict(everything["credentials"])
        for subject, seen_on, record in everything["subjects"]:
            if subject not in keys:
                raise ValueError(f"{subject} has no key")
            found = _Found(seen_on, record, consents.get(subject), credentials.get(subject))
            yield self._resident(subject, keys[subject], found)

    def _resident(self, subject: SubjectId, key: bytes, found: _Found) -> Resident:
        opened = self._opener(key)
        record = rows.read_record(opened(found.record, "subjects", subject))
        known = rows.subject_of(subject, record, leave_code(key))
        receipt = None
        if found.consent is not None:
            kept = rows.read_consent(opened(found.consent, "consents", subject))
            receipt = kept.receipt
            told = receipt_in(receipt)
            if not told.subject == subject:
                raise ValueError(f"{subject} has the consent of somebody else")
            known = replace(known, consent=told.consent, suspended=kept.suspended)
        if found.credentials is not None:
            credentials = self._credentials(subject, opened, found.credentials)
            known = replace(known, credentials=credentials)
        return Resident(
            known,
            record.label,
            receipt,
            record.enrolled_at,
            found.seen_on,
            record.self_consistency,
        )

    def _credentials(
        self, subject: SubjectId, opened: Callable[..., bytes], sealed: bytes
    ) -> Credentials:
        return rows.read_credentials(opened(sealed, "credentials", subject))

    # --- sealing ----------------------------------------------------------------------------------

    def _opener(self, key: bytes) -> Callable[..., bytes]:
        return self._vault.opener(derive(key, "rows"))

    def _rewrite(self, key: bytes, resident: Resident, subject: Subject) -> None:
        record = self._sealed_record(key, replace(resident, subject=subject))
        self._db.execute("UPDATE subjects SET sealed = ? WHERE id = ?", [record, subject.id])

    def _sealed_record(self, key: bytes, resident: Resident) -> bytes:
        place = ("subjects", resident.subject.id)
        return self._vault.seal(derive(key, "rows"), rows.record_bytes(resident), *place)

    def _sealed_references(
        self, key: bytes, subject: SubjectId, references: tuple[Embedding, ...], epoch: int
    ) -> Iterator[dict[str, object]]:
        query = 'SELECT COALESCE(MAX(id), 0) FROM "references"'
        highest = int(self._db.execute(query).fetchone()[0])
        for number, each in enumerate(references, highest + 1):
            place = ("references", number, subject, each.model, epoch)
            content = template_bytes(each.vector)
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


def _self_consistency(references: tuple[Embedding, ...]) -> float | None:
    # Vectors of two models do not compare.
    if len({each.model for each in references}) != 1:
        return None
    return self_consistency(np.array([each.vector for each in references]))


def _seen_on(now: Now) -> float | None:
    return now.wall // DAY * DAY if now.trusted else None
