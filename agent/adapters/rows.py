"""What the database keeps as bytes: values to what is sealed, and back. Nothing here is encrypted.

Every reader raises ValueError for what Doorward never wrote.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from agent.core.policy import format_schedule
from agent.core.types import (
    MINUTES_PER_WEEK,
    NORM_TOLERANCE,
    Consent,
    EnrolmentCode,
    Float32,
    Gallery,
    Span,
    Subject,
    SubjectId,
    Suspension,
    Terms,
    Validity,
)
from agent.ports import SubjectRow

Template: TypeAlias = tuple[SubjectId, bytes]
"""Whose it is, and what `template_bytes` wrote."""
LONGEST = 3000
"""Bytes of a record or a consent, at most: with the rest of its row it fits a page."""
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


class KeptConsent(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A consent receipt, a signed note, and why it does not count any more."""

    receipt: str
    suspended: Suspension | None


def template_bytes(template: Float32) -> bytes:
    """Write a template (D,) as it is sealed: float32, little-endian."""
    return template.astype("<f4").tobytes()


def _read_templates(kept: Sequence[bytes]) -> Float32:
    sizes = {len(template) for template in kept}
    if not len(sizes) <= 1:
        raise ValueError("templates of one model differ in size")
    vectors = np.frombuffer(b"".join(kept), dtype="<f4").astype(np.float32, copy=False)
    return vectors.reshape(len(kept), -1 if sizes else 0)


def record_bytes(subject: Subject, label: str, enrolled_at: float) -> bytes:
    """Write what is kept of a subject.

    Raises ValueError for a validity that is no validity, and for more text than fits.
    """
    validity = subject.validity
    _require_sound(validity)
    record = Record(
        label,
        subject.household,
        subject.administrator,
        subject.revoked,
        subject.minor,
        validity.not_before,
        validity.not_after,
        validity.schedule,
        enrolled_at,
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


def subject_of(
    subject: SubjectId,
    record: Record,
    consent: Consent | None,
    suspended: Suspension | None,
    leave_code: str,
) -> Subject:
    """Put together what deciding needs to know of a subject."""
    return Subject(
        id=subject,
        household=record.household,
        administrator=record.administrator,
        revoked=record.revoked,
        validity=_validity(record),
        minor=record.minor,
        consent=consent,
        suspended=suspended,
        leave_code=leave_code,
    )


def listed(
    subject: Subject, label: str, references: int, enrolled_at: float, seen_on: float | None
) -> SubjectRow:
    """Give what an administrator sees of a subject."""
    consent = subject.consent
    return SubjectRow(
        id=subject.id,
        label=label,
        household=subject.household,
        administrator=subject.administrator,
        revoked=subject.revoked,
        minor=subject.minor,
        not_before=subject.validity.not_before,
        not_after=subject.validity.not_after,
        schedule=format_schedule(subject.validity.schedule),
        references=references,
        enrolled_at=enrolled_at,
        seen_on=seen_on,
        authorised_by=consent.authorised_by if consent else "",
        notice=consent.notice.version if consent else "",
        consent_expires=consent.expires if consent else None,
        suspended=subject.suspended,
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


def gallery_of(
    templates: Sequence[Template], subjects: Mapping[SubjectId, Subject], model: str
) -> Gallery:
    """Give the mean of each subject's templates, ordered by subject.

    Subjects whose templates cancel out are left out. Raises ValueError where templates differ in
    size, or are no unit vectors.
    """
    vectors = _read_templates([kept for _, kept in templates])
    # Positive, so that what is not finite is refused too.
    if not bool((np.abs(np.linalg.norm(vectors, axis=1) - 1) <= NORM_TOLERANCE).all()):
        raise ValueError("a template is no unit vector")
    owners = np.array([subject for subject, _ in templates], np.str_)
    enrolled, matrix = _mean_templates(owners, vectors)
    households: dict[tuple[str, str], int] = {}
    return Gallery(
        matrix=matrix,
        subjects=tuple(enrolled),
        households=np.array(
            [
                households.setdefault(_household(subjects[subject]), len(households))
                for subject in enrolled
            ],
            np.intp,
        ),
        model=model,
    )


def _mean_templates(owners: NDArray[np.str_], vectors: Float32) -> tuple[list[SubjectId], Float32]:
    """Do what `mean_template` does, to the bit, for all subjects at once: 100,000 take a second."""
    names, owner = np.unique(owners, return_inverse=True)
    order = np.argsort(owner, kind="stable")
    owner, vectors = owner[order], vectors[order]
    nth = np.arange(len(owner)) - np.searchsorted(owner, np.arange(len(names)))[owner]
    totals = np.zeros((len(names), vectors.shape[1]))
    for n in range(nth.max(initial=-1) + 1):
        totals[owner[nth == n]] += vectors[nth == n]
    norms = np.linalg.norm(totals, axis=1)
    pointed = norms > 0
    matrix = (totals[pointed] / norms[pointed, None]).astype(np.float32)
    return [SubjectId(str(name)) for name in names[pointed]], matrix


def _household(subject: Subject) -> tuple[str, str]:
    if subject.household is None:
        return ("alone", subject.id)
    return ("together", subject.household)


def _validity(record: Record) -> Validity:
    return Validity(record.not_before, record.not_after, record.schedule)


def _require_sound(validity: Validity) -> None:
    # NaN would set no bound at all.
    bounds = (validity.not_before, validity.not_after)
    if not all(bound is None or math.isfinite(bound) for bound in bounds):
        raise ValueError("a bound of the validity is not finite")
    if not all(0 <= span.start < span.end <= MINUTES_PER_WEEK for span in validity.schedule):
        raise ValueError("a span of the schedule is no span of a week")


def _fitting(content: bytes, what: str) -> bytes:
    # A row that went on in other pages would not lie in one piece in a copy that is scrubbed of it.
    if not len(content) <= LONGEST:
        raise ValueError(f"{what}: {len(content)} bytes of text, and at most {LONGEST} fit")
    return content


def _decode(kept: bytes, shape: type[_T]) -> _T:
    return msgspec.msgpack.decode(kept, type=shape)
