"""What the device signs for people to keep: consent receipts and erasure certificates.

Each is a signed note whose text is the kind on the first line and one JSON object on the second.
"""

from base64 import b64encode
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from agent.adapters.log import Head
from agent.adapters.note import Verifier
from agent.core.types import Consent, Notice, SubjectId

_Seconds = Annotated[float, Meta(ge=-1e15, le=1e15)]


class Receipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who consented to what. Times are seconds since the Unix epoch; see core.types.Consent."""

    subject: SubjectId
    notice: str
    notice_sha256: str
    purpose: str
    authorised_by: str
    guardian: str | None
    at: _Seconds
    expires: _Seconds | None

    @property
    def consent(self) -> Consent:
        """The consent that it is a receipt for."""
        notice = Notice(self.notice, self.notice_sha256)
        return Consent(
            self.authorised_by, notice, self.purpose, self.at, self.expires, self.guardian
        )


class Certificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That a subject was erased. erased_at, completed_at: seconds since the Unix epoch.

    time_trusted: whether the clock was known to be set. epoch: the key epoch that began with it.
    level: of protection of the device key, 0 to 2.
    """

    subject: SubjectId
    cause: str
    erased_at: _Seconds
    completed_at: _Seconds
    time_trusted: bool
    epoch: int
    level: Annotated[int, Meta(ge=0, le=2)]
    done: tuple[str, ...]
    not_promised: str


Document: TypeAlias = Receipt | Certificate
_KINDS: dict[str, type[Document]] = {
    "doorward/receipt/1": Receipt,
    "doorward/erasure/1": Certificate,
}
_NAMES = {shape: name for name, shape in _KINDS.items()}


@dataclass(frozen=True, slots=True)
class Verified:
    """A note that the key of `signer` signed, and what it says."""

    signer: str
    content: Document | Head

    @property
    def facts(self) -> dict[str, Any]:
        """What it says, by name; the first is what kind of note it is."""
        if isinstance(self.content, Head):
            encoded = b64encode(self.content.hash).decode()
            return {"kind": "head of the event log", "seq": self.content.seq, "hash": encoded}
        kind = "consent receipt" if isinstance(self.content, Receipt) else "erasure certificate"
        said: dict[str, Any] = msgspec.to_builtins(self.content)
        return {"kind": kind} | said


def receipt_of(subject: SubjectId, consent: Consent) -> Receipt:
    """Give the receipt of a subject's consent."""
    return Receipt(
        subject,
        consent.notice.version,
        consent.notice.sha256,
        consent.purpose,
        consent.authorised_by,
        consent.guardian,
        consent.at,
        consent.expires,
    )


def text_of(document: Document) -> str:
    """Give the text to sign. Raises ValueError where it could not be read back."""
    text = f"{_NAMES[type(document)]}\n{msgspec.json.encode(document).decode()}\n"
    read_document(text)
    return text


def read_document(text: str) -> Document:
    """Read a text that `text_of` gave. Raises ValueError."""
    kind, _, content = text.partition("\n")
    if kind not in _KINDS:
        raise ValueError("is no receipt and no certificate of this version of Doorward")
    try:
        return msgspec.json.decode(content, type=_KINDS[kind])
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"does not say what it should: {error}") from None


def receipt_in(note: str) -> Receipt:
    """Read a receipt without a look at its signatures. Raises ValueError."""
    document = read_document(note.partition("\n\n")[0])
    if not isinstance(document, Receipt):
        raise ValueError("is no consent receipt")  # noqa: TRY004 - the caller cannot know
    return document


def verify(note: str, verifier: Verifier) -> Verified:
    """Check a receipt, a certificate or a head of the log. Raises ValueError."""
    text = verifier.open(note)
    lines = text.splitlines()
    if lines[0] == verifier.name:
        return Verified(verifier.name, Head.read(text, verifier.name))
    return Verified(verifier.name, read_document(text))
