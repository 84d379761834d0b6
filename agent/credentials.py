"""What operators do about residents without a face, PINs, cards, and visitors' codes."""

import secrets
from dataclasses import dataclass, field, replace
from itertools import pairwise

from agent import app
from agent.adapters.typed import CARD_CHARACTERS, CODE_DIGITS
from agent.core.credentials import Credentials, Visitor, VisitorId
from agent.core.effects import Enrol, ForgetVisitor, Invite, SetCredentials
from agent.core.enrolment import on_terms
from agent.core.events import CredentialsChanged, Enrolled, VisitorForgotten, VisitorInvited
from agent.core.types import AuthorityKind, SubjectId, Terms
from agent.errors import ConfigError, StoreError
from agent.ports import Clock, Digest, Recorded, Store

PIN_DIGITS = range(6, CODE_DIGITS.stop)
"""How many a PIN may have; one that is made has the fewest."""
VISITOR_DIGITS = 8
REPEATED = (1, 2, 3)
"""Digits that a PIN may not be made of by repeating them."""


def add_resident(store: Store, clock: Clock, terms: Terms) -> SubjectId:
    """Enrol a resident without a face. Raises StoreError."""
    subject = on_terms(app.new_subject(), terms, None)
    event = Enrolled(subject.id, AuthorityKind.ADMINISTRATOR, 0, None)
    store.append(event, clock.now(), Enrol(subject, terms.label, ()))
    return subject.id


# --- PINs -----------------------------------------------------------------------------------------


def new_pin() -> str:
    """Make a PIN that is not easy to guess."""
    while True:
        pin = _digits(PIN_DIGITS[0])
        if not _is_easy(pin):
            return pin


def require_good(pin: str) -> None:
    """Raise ConfigError for what is no PIN, or too easy to guess."""
    if not (pin.isascii() and pin.isdecimal() and len(pin) in PIN_DIGITS):
        raise ConfigError(f"a PIN has {PIN_DIGITS[0]} to {PIN_DIGITS[-1]} digits: choose another")
    if _is_easy(pin):
        raise ConfigError("this PIN is too easy to guess: choose another")


def set_pin(  # noqa: PLR0913 - whose it is, what, and with what
    store: Store, clock: Clock, digest: Digest, subject: SubjectId, pin: str, *, duress: bool
) -> Recorded:
    """Set a PIN, or the one for duress, in place of the last one.

    Raises ConfigError as `require_good` does, and StoreError for one that is taken.
    """
    require_good(pin)
    made = digest(pin)
    kept = _credentials(store, subject)
    if not duress:
        changed = replace(kept, pin=made)
    elif kept.pin is not None:
        changed = replace(kept, duress_pin=made)
    else:
        raise StoreError(f"{subject} has no PIN: set one first, with `doorward pin set {subject}`")
    if changed.pin == changed.duress_pin:
        raise StoreError("the PIN and the one for duress must differ: choose another")
    return _set(store, clock, subject, kept, changed)


def remove_pin(store: Store, clock: Clock, subject: SubjectId, *, duress: bool) -> Recorded:
    """Remove the PIN for duress only, or both. Raises StoreError where there is none."""
    kept = _credentials(store, subject)
    if (kept.duress_pin if duress else kept.pin) is None:
        raise StoreError(f"{subject} has no such PIN: `doorward list` shows who has one")
    pin = kept.pin if duress else None
    return _set(store, clock, subject, kept, replace(kept, pin=pin, duress_pin=None))


def _digits(count: int) -> str:
    return f"{secrets.randbelow(10**count):0{count}}"


def _is_easy(pin: str) -> bool:
    steps = {(int(after) - int(before)) % 10 for before, after in pairwise(pin)}
    repeats = any(pin == (pin[:size] * len(pin))[: len(pin)] for size in REPEATED)
    # One step throughout is 222222, 123456, 987654, 135791.
    return len(steps) == 1 or repeats


# --- cards ----------------------------------------------------------------------------------------


def add_card(
    store: Store, clock: Clock, digest: Digest, subject: SubjectId, number: str
) -> Recorded:
    """Have a card open the door, too. number: as a reader types it.

    Raises ConfigError for what is no number, StoreError for a card that somebody has.
    """
    number = number.strip().upper()
    if not (number.isascii() and number.isalnum() and len(number) in CARD_CHARACTERS):
        raise ConfigError(
            f"the number of a card has {CARD_CHARACTERS[0]} to {CARD_CHARACTERS[-1]} letters and "
            "digits: hold the card to the reader again"
        )
    card = digest(number)
    kept = _credentials(store, subject)
    if card in kept.cards:
        raise StoreError(f"{subject} has this card already: hold another to the reader")
    return _set(store, clock, subject, kept, replace(kept, cards=(*kept.cards, card)))


def remove_cards(store: Store, clock: Clock, subject: SubjectId) -> Recorded:
    """Have no card of a subject open any more. Raises StoreError where there is none."""
    kept = _credentials(store, subject)
    if not kept.cards:
        raise StoreError(f"{subject} has no card: `doorward list` shows who has one")
    return _set(store, clock, subject, kept, replace(kept, cards=()))


def _credentials(store: Store, subject: SubjectId) -> Credentials:
    return store.resident(subject).subject.credentials


def _set(
    store: Store, clock: Clock, subject: SubjectId, before: Credentials, credentials: Credentials
) -> Recorded:
    event = CredentialsChanged(subject, credentials.pin is not None, len(credentials.cards))
    return store.append(event, clock.now(), SetCredentials(subject, credentials, before))


# --- visitors -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Invitation:
    """A code that opens the door once. Times are seconds since the Unix epoch."""

    visitor: VisitorId
    code: str = field(repr=False)
    not_before: float
    not_after: float


def invite(  # noqa: PLR0913 - for whom, when, and with what
    store: Store,
    clock: Clock,
    digest: Digest,
    label: str,
    not_before: float | None,
    not_after: float,
) -> Invitation:
    """Make a visitor's code, good from now on or from later. Raises ConfigError, StoreError."""
    now = clock.now()
    since = now.wall if not_before is None else not_before
    if not since < not_after:
        raise ConfigError("--until: is not after the visit begins: give a later time")
    if not now.wall < not_after:
        raise ConfigError("--until: is over already: give a later time")
    code = _digits(VISITOR_DIGITS)
    visitor = Visitor(VisitorId(f"v-{secrets.token_hex(8)}"), digest(code), since, not_after)
    event = VisitorInvited(visitor.id, since, not_after)
    store.append(event, now, Invite(visitor, label))
    return Invitation(visitor.id, code, since, not_after)


def forget_visitor(store: Store, clock: Clock, visitor: VisitorId) -> Recorded:
    """Take a code back. Raises StoreError where it was used, or there is none."""
    return store.append(VisitorForgotten(visitor), clock.now(), ForgetVisitor(visitor))
