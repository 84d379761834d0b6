"""Which rows a change is made to, what must hold as of its commit, and that it is made."""

from collections.abc import Iterable
from dataclasses import dataclass
from hmac import compare_digest
from typing import assert_never

from agent.adapters.attempts import KeptAttempts
from agent.adapters.codes import Codes
from agent.adapters.controllers import Controllers
from agent.adapters.erasure import Erasures
from agent.adapters.residents import Residents
from agent.adapters.visitors import Visitors
from agent.core.credentials import NO_CREDENTIALS, Credentials
from agent.core.effects import (
    Change,
    Distrust,
    Enrol,
    Erase,
    ForgetVisitor,
    Invite,
    IssueCode,
    RenewConsent,
    Revoke,
    SetAttempts,
    SetCredentials,
    SetValidity,
    SpendCodes,
    SpendCounter,
    SuspendConsent,
    Trust,
)
from agent.core.events import Admitted, Erased, ErasureCause, Event, Granted, VisitorAdmitted
from agent.core.types import Now, SubjectId
from agent.errors import StoreError


def touched(event: Event, change: Change | None) -> list[str]:
    """Give whose rows an event and its change are about: subjects, controllers and visitors."""
    # A grant keeps when it was.
    names: list[str] = [event.subject] if isinstance(event, Granted | Admitted) else []
    match change:
        case None | IssueCode() | SpendCodes() | SetAttempts():
            pass
        case Enrol():
            names.append(change.subject.id)
        case Trust():
            names.append(change.controller.id)
        case Distrust() | SpendCounter():
            names.append(change.controller)
        case Invite():
            names.append(change.visitor.id)
        case ForgetVisitor():
            names.append(change.visitor)
        case _:
            names.append(change.subject)
    return names


def whole_tables(change: Change | None) -> frozenset[str]:
    """Give the tables of which a change is about every row."""
    match change:
        case Erase():
            # An erasure wraps everybody's key anew.
            return frozenset({"keys"})
        case SetAttempts():
            return frozenset({"attempts"})
        case _:
            return frozenset()


@dataclass(frozen=True, slots=True)
class Changes:
    """Makes changes to the rows of one database, within the caller's transactions."""

    residents: Residents
    controllers: Controllers
    visitors: Visitors
    codes: Codes
    attempts: KeptAttempts
    erasures: Erasures

    def admit(self, event: Event, change: Change | None, now: Now) -> None:
        """Note whom an event lets in. Raises StoreError for who may not enter any more."""
        match event:
            case Granted():
                self.residents.require_admissible(event.subject)
                self.residents.note_use(event.subject, now)
            case Admitted():
                self.residents.require_entitled(event.subject)
                self.residents.note_use(event.subject, now)
            case VisitorAdmitted() if change != ForgetVisitor(event.visitor):
                raise ValueError(f"visitor {event.visitor} enters once: the code goes with it")
            case _:
                pass

    def make(  # noqa: C901, PLR0912 - one arm a change
        self, event: Event, change: Change | None, now: Now
    ) -> None:
        """Make the change that an event tells of."""
        match change:
            case None:
                pass
            case Enrol():
                self._enrol(change, now)
            case Revoke():
                self.residents.revoke(change.subject)
            case Erase():
                cause = event.cause if isinstance(event, Erased) else ErasureCause.REQUESTED
                self.erasures.record(change.subject, cause, now)
            case SuspendConsent():
                self.residents.suspend(change.subject, change.reason)
            case RenewConsent():
                self.residents.renew(change.subject, change.consent)
            case SetValidity():
                self.residents.set_validity(change.subject, change.validity)
            case SetCredentials():
                self._set_credentials(change.subject, change.credentials, change.before)
            case Trust():
                self.controllers.trust(change.controller)
            case Distrust():
                self.controllers.distrust(change.controller)
            case SpendCounter():
                self.controllers.spend(change.controller, change.counter)
            case Invite():
                self._require_unused([change.visitor.digest], self.residents.credentials())
                self.visitors.invite(change)
            case ForgetVisitor():
                self.visitors.forget(change.visitor)
            case IssueCode():
                self.codes.issue(change.code)
            case SpendCodes():
                self.codes.spend()
            case SetAttempts():
                self.attempts.keep(change.attempts)
            case _:
                assert_never(change)

    def _enrol(self, change: Enrol, now: Now) -> None:
        if change.references and change.subject.consent is None:
            raise ValueError("nobody's face is enrolled without a consent")
        self.residents.enrol(change, now)
        if change.subject.credentials != NO_CREDENTIALS:
            credentials = change.subject.credentials
            self._set_credentials(change.subject.id, credentials, NO_CREDENTIALS)

    def _set_credentials(
        self, subject: SubjectId, credentials: Credentials, before: Credentials
    ) -> None:
        others = self.residents.credentials()
        if others.pop(subject, NO_CREDENTIALS) != before:
            raise StoreError(f"{subject}: somebody else changed this meanwhile: try again")
        self._require_unused(credentials.pins, others)
        theirs = [card for each in others.values() for card in each.cards]
        if _among(credentials.cards, theirs):
            raise StoreError("this card cannot be used: it is somebody else's")
        self.residents.set_credentials(subject, credentials)

    def _require_unused(
        self, digests: Iterable[bytes], residents: dict[SubjectId, Credentials]
    ) -> None:
        taken = [pin for each in residents.values() for pin in each.pins]
        taken += [invited.visitor.digest for invited in self.visitors.invited()]
        if _among(digests, taken):
            raise StoreError("this PIN cannot be used: choose another")


def _among(digests: Iterable[bytes], taken: list[bytes]) -> bool:
    # Each with each, so that the time tells nothing of the others'.
    return sum(compare_digest(one, other) for one in digests for other in taken) > 0
