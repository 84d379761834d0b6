"""What the database keeps as bytes: values to what is sealed, and back. Nothing here is encrypted.

Every reader raises ValueError for what Doorward never wrote.
"""

import math
from typing import TypeVar

import msgspec

from agent.core.credentials import DIGEST_BYTES, Attempts, Credentials, Visitor, VisitorId
from agent.core.effects import Invite
from agent.core.policy import format_schedule
from agent.core.types import (
    MINUTES_PER_WEEK,
    EnrolmentCode,
    Span,
    Subject,
    SubjectId,
    Suspension,
    Terms,
    Validity,
)
from agent.ports import Resident, SubjectRow

LONGEST = 3000
"""Bytes of a sealed row, at most: with the rest of it they fit a page."""
_T = TypeVar("_T")


class Record(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What is kept of a subject, beside the references and the consent."""

    label: str
    household: str | None
    administrator: bool
    revoked: bool
    minor: bool
    not_before: float | None
    not_after: float | None
    # Spans, not text of the kind operators type: that cannot say "from Monday to Friday".
    schedule: tuple[Span, ...]
    enrolled_at: float
    # Records from before schema 4 do not say.
    accessible: bool = False
    # Nor those from before schema 5.
    self_consistency: float | None = None


class _KeptCredentials(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    pin: bytes | None
    duress_pin: bytes | None
    cards: tuple[bytes, ...]


class _KeptVisitor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    label: str
    digest: bytes
    not_before: float
    not_after: float


class KeptConsent(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A consent receipt, a signed note, and why it does not count any more."""

    receipt: str
    suspended: Suspension | None


def record_bytes(resident: Resident) -> bytes:
    """Write what is kept of a subject, but for the consent and the credentials.

    Raises ValueError for a validity that is no validity, and for more text than fits.
    """
    subject, validity = resident.subject, resident.subject.validity
    _require_sound(validity)
    record = Record(
        resident.label,
        subject.household,
        subject.administrator,
        subject.revoked,
        subject.minor,
        validity.not_before,
        validity.not_after,
        validity.schedule,
        resident.enrolled_at,
        subject.accessible,
        resident.self_consistency,
    )
    return _fitting(msgspec.msgpack.encode(record), "label, household and hours")


def read_record(kept: bytes) -> Record:
    """Read what `record_bytes` wrote."""
    record = _decode(kept, Record)
    _require_sound(_validity(record))
    return record


def consent_bytes(receipt: str, suspended: Suspension | None) -> bytes:
    """Write a receipt and what became of it. Raises ValueError for more text than fits."""
    _fitting(receipt.encode(), "the consent")
    return msgspec.msgpack.encode(KeptConsent(receipt, suspended))


def read_consent(kept: bytes) -> KeptConsent:
    """Read what `consent_bytes` wrote; the receipt itself is not looked at."""
    return _decode(kept, KeptConsent)


def credentials_bytes(credentials: Credentials) -> bytes:
    """Write digests. Raises ValueError for what is no digest, and for more cards than fit."""
    _require_digests(credentials)
    kept = _KeptCredentials(credentials.pin, credentials.duress_pin, credentials.cards)
    return _fitting(msgspec.msgpack.encode(kept), f"{len(credentials.cards)} cards")


def read_credentials(kept: bytes) -> Credentials:
    """Read what `credentials_bytes` wrote."""
    found = _decode(kept, _KeptCredentials)
    credentials = Credentials(found.pin, found.duress_pin, found.cards)
    _require_digests(credentials)
    return credentials


def visitor_bytes(visitor: Visitor, label: str) -> bytes:
    """Write a visitor, but for the id.

    Raises ValueError for what is no digest or no time, and for more text than fits.
    """
    _require_visit(visitor)
    kept = _KeptVisitor(label, visitor.digest, visitor.not_before, visitor.not_after)
    return _fitting(msgspec.msgpack.encode(kept), "the label")


def read_visitor(visitor: VisitorId, kept: bytes) -> Invite:
    """Read what `visitor_bytes` wrote."""
    found = _decode(kept, _KeptVisitor)
    known = Visitor(visitor, found.digest, found.not_before, found.not_after)
    _require_visit(known)
    return Invite(known, found.label)


def attempts_bytes(attempts: Attempts) -> bytes:
    """Write how many wrong entries there were. Raises ValueError for what are no numbers."""
    _require_counted(attempts)
    return msgspec.msgpack.encode(attempts)


def read_attempts(kept: bytes) -> Attempts:
    """Read what `attempts_bytes` wrote."""
    attempts = _decode(kept, Attempts)
    _require_counted(attempts)
    return attempts


def subject_of(subject: SubjectId, record: Record, leave_code: str) -> Subject:
    """Put together what a record says of a subject."""
    return Subject(
        id=subject,
        household=record.household,
        administrator=record.administrator,
        revoked=record.revoked,
        validity=_validity(record),
        minor=record.minor,
        leave_code=leave_code,
        accessible=record.accessible,
    )


def listed(resident: Resident, references: int) -> SubjectRow:
    """Give what an administrator sees of a subject. references: how many there are."""
    subject = resident.subject
    consent, credentials = subject.consent, subject.credentials
    return SubjectRow(
        id=subject.id,
        label=resident.label,
        household=subject.household,
        administrator=subject.administrator,
        revoked=subject.revoked,
        minor=subject.minor,
        not_before=subject.validity.not_before,
        not_after=subject.validity.not_after,
        schedule=format_schedule(subject.validity.schedule),
        references=references,
        enrolled_at=resident.enrolled_at,
        seen_on=resident.seen_on,
        authorised_by=consent.authorised_by if consent else "",
        notice=consent.notice.version if consent else "",
        consent_expires=consent.expires if consent else None,
        suspended=subject.suspended,
        accessible=subject.accessible,
        pin=credentials.pin is not None,
        duress_pin=credentials.duress_pin is not None,
        cards=len(credentials.cards),
        self_consistency=resident.self_consistency,
    )


def code_bytes(code: EnrolmentCode) -> bytes:
    """Write a code. Raises ValueError for a validity that is no validity."""
    _require_sound(code.terms.validity)
    return msgspec.msgpack.encode([code.code, code.issued_at, code.authorised_by, code.terms])


def read_code(kept: bytes) -> EnrolmentCode:
    """Read what `code_bytes` wrote."""
    code, issued_at, authorised_by, terms = _decode(kept, tuple[str, float, str, Terms])
    _require_sound(terms.validity)
    return EnrolmentCode(code, issued_at, authorised_by, terms)


def _validity(record: Record) -> Validity:
    return Validity(record.not_before, record.not_after, record.schedule)


def _require_sound(validity: Validity) -> None:
    # NaN would set no bound at all.
    bounds = (validity.not_before, validity.not_after)
    if not all(bound is None or math.isfinite(bound) for bound in bounds):
        raise ValueError("a bound of the validity is not finite")
    if not all(0 <= span.start < span.end <= MINUTES_PER_WEEK for span in validity.schedule):
        raise ValueError("a span of the schedule is no span of a week")


def _require_digests(credentials: Credentials) -> None:
    digests = [*credentials.pins, *credentials.cards]
    if not (
        all(len(each) == DIGEST_BYTES for each in digests) and len(set(digests)) == len(digests)
    ):
        raise ValueError("a PIN or card is no digest, or there twice")


def _require_visit(visitor: Visitor) -> None:
    # NaN would be no bound at all.
    if not visitor.not_before < visitor.not_after < math.inf or math.isinf(visitor.not_before):
        raise ValueError("a visit ends after it begins")
    if not len(visitor.digest) == DIGEST_BYTES:
        raise ValueError("a visitor's code is no digest")


def _require_counted(attempts: Attempts) -> None:
    readers = (attempts.keypad, attempts.card_reader)
    counted = all(each.in_a_row >= 0 and not math.isnan(each.until) for each in readers)
    if not (counted and attempts.level >= 0 and math.isfinite(attempts.level + attempts.at)):
        raise ValueError("the wrong entries are no numbers")


def _fitting(content: bytes, what: str) -> bytes:
    # A row that went on in other pages would not lie in one piece in a copy that is scrubbed of it.
    if not len(content) <= LONGEST:
        raise ValueError(f"{what}: {len(content)} bytes, and at most {LONGEST} fit")
    return content


def _decode(kept: bytes, shape: type[_T]) -> _T:
    return msgspec.msgpack.decode(kept, type=shape)
