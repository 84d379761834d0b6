"""What comes of a code that is typed or a card that is held to the reader: as good as a face.

Every comparison is made with everything there is and takes the same time, found or not. Whatever is
wrong looks the same from outside, and is recorded without what it was.
"""

from hmac import compare_digest

from agent.core.admission import Admission, Factor
from agent.core.consent import Roll
from agent.core.credentials import Reader, Visitor, VisitorId
from agent.core.door import Door
from agent.core.effects import (
    Append,
    Effect,
    ForgetVisitor,
    Indication,
    SetAttempts,
    Show,
)
from agent.core.events import (
    FOR_CODES,
    Admitted,
    CodeDenied,
    CodesLockedOut,
    DuressSignalled,
    Part,
    VisitorAdmitted,
    VisitorForgotten,
)
from agent.core.inputs import CardPresented, CodeEntered, StoreLoaded
from agent.core.selfservice import SelfService
from agent.core.throttle import Codes, Throttle
from agent.core.types import Grant, Method, Now, Reason, Subject

MAX_AGE = 3.0
"""Seconds from the last key, or the card, within which an entry counts: its digest takes some."""
LAPSED_AT_ONCE = 20
"""Codes forgotten with one input: the deciding thread waits for each commit."""


class Entry:
    """Takes codes and cards, unless there were too many wrong ones."""

    def __init__(
        self, rules: Codes, roll: Roll, door: Door, admission: Admission, service: SelfService
    ) -> None:
        self._roll = roll
        self._door = door
        self._admission = admission
        self._service = service
        self._throttle = Throttle(rules)
        self._kept = self._throttle.attempts
        self._visitors: dict[VisitorId, Visitor] = {}
        self._lapsed: set[VisitorId] = set()

    def loaded(self, loaded: StoreLoaded, now: float) -> None:
        """Take the store's visitors and, the first time, attempts. now: monotonic seconds."""
        self._visitors = {visitor.id: visitor for visitor in loaded.visitors}
        self._lapsed.clear()
        self._kept = loaded.attempts
        self._throttle.load(loaded.attempts, now, of_this_boot=loaded.attempts_of_this_boot)

    def code(self, typed: CodeEntered, now: Now, faults: frozenset[Part]) -> list[Effect]:
        """Take a PIN, or a visitor's code."""
        closed = self._closed(Reader.KEYPAD, typed.at, now, faults)
        if closed:
            return closed
        digest, everybody = typed.digest, self._roll.everybody
        by_pin = [each for each in everybody if _is(each.credentials.pin, digest)]
        by_duress = [each for each in everybody if _is(each.credentials.duress_pin, digest)]
        visitors = [each for each in self._visitors.values() if _is(each.digest, digest)]
        for subject in by_duress:
            # First, and whatever follows: help is called even if the door stays shut.
            alarm = Append(DuressSignalled(subject.id))
            return [alarm, *self._present(subject, Factor.PIN, now, duress=True)]
        for subject in by_pin:
            return self._present(subject, Factor.PIN, now)
        for visitor in visitors:
            return self._visit(visitor, now)
        return self._wrong(Reader.KEYPAD, now)

    def card(self, held: CardPresented, now: Now, faults: frozenset[Part]) -> list[Effect]:
        """Take a card."""
        closed = self._closed(Reader.CARD_READER, held.at, now, faults)
        if closed:
            return closed
        owners = [
            each
            for each in self._roll.everybody
            if any([_is(card, held.digest) for card in each.credentials.cards])  # noqa: C419 - all of them
        ]
        for subject in owners:
            return self._present(subject, Factor.CARD, now)
        return self._wrong(Reader.CARD_READER, now)

    def lapse(self, now: Now) -> list[Effect]:
        """Have the codes forgotten whose time is over, once for each load that has them still."""
        if not now.trusted:
            return []
        over = [
            visitor.id
            for visitor in self._visitors.values()
            if not now.wall < visitor.not_after and visitor.id not in self._lapsed
        ]
        due = over[:LAPSED_AT_ONCE]
        self._lapsed.update(due)
        return [Append(VisitorForgotten(each), ForgetVisitor(each)) for each in due]

    def _closed(self, reader: Reader, at: float, now: Now, faults: frozenset[Part]) -> list[Effect]:
        # Whoever entered what comes too late may have gone, and somebody else may stand there.
        if faults & FOR_CODES or not 0 <= now.monotonic - at <= MAX_AGE:
            return [Show(Indication.REFUSED)]
        # Neither compared nor recorded: whoever goes on must not fill the log.
        return [Show(Indication.WAIT)] if self._throttle.shut(reader, now.monotonic) else []

    def _present(
        self, subject: Subject, factor: Factor, now: Now, *, duress: bool = False
    ) -> list[Effect]:
        reader = Reader.KEYPAD if factor is Factor.PIN else Reader.CARD_READER
        asked = self._service.asks
        decide = self._admission.known_by if asked else self._admission.method
        method_or_reason = decide(subject, factor, now)
        if isinstance(method_or_reason, Reason):
            denied = CodeDenied(method_or_reason, reader, subject.id)
            return [Append(denied), Show(Indication.REFUSED)]
        self._throttle.right(reader)
        # Whoever comes to enter did not come to choose, nor did whoever stands there next.
        ended = [] if asked else self._service.end()
        if method_or_reason is None:
            return [*ended, *self._admission.wait(subject, factor, now, duress=duress)]
        if asked:
            self._admission.spend()
            return self._service.identified(subject, method_or_reason, now)
        grant = Grant(subject.id, method_or_reason, None, now.monotonic)
        event = Admitted(subject.id, grant.method)
        change = self._unkept_attempts()
        return [
            *ended,
            *self._admission.admit(subject, grant, event, change=change, weak=duress),
        ]

    def _visit(self, visitor: Visitor, now: Now) -> list[Effect]:
        objection = _objection(visitor, now)
        if objection is not None:
            denied = CodeDenied(objection, Reader.KEYPAD, None)
            return [Append(denied), Show(Indication.REFUSED)]
        self._throttle.right(Reader.KEYPAD)
        if self._door.deadline is not None:
            # The door is open already, perhaps for a blink only: the code stays good.
            return [Show(Indication.GRANTED)]
        del self._visitors[visitor.id]
        grant = Grant(None, Method.VISITOR, None, now.monotonic)
        spent = Append(VisitorAdmitted(visitor.id), ForgetVisitor(visitor.id))
        return [spent, *self._door.release(grant), Show(Indication.GRANTED)]

    def _unkept_attempts(self) -> SetAttempts | None:
        if self._throttle.attempts == self._kept:
            return None
        self._kept = self._throttle.attempts
        return SetAttempts(self._kept)

    def _wrong(self, reader: Reader, now: Now) -> list[Effect]:
        shut = self._throttle.wrong(reader, now.monotonic)
        denied = CodeDenied(Reason.WRONG_CODE, reader, None)
        self._kept = self._throttle.attempts
        # Committed before anybody learns that it was wrong.
        effects: list[Effect] = [
            Append(denied, SetAttempts(self._kept)),
            Show(Indication.REFUSED),
        ]
        if shut is not None:
            effects.append(Append(CodesLockedOut(*shut)))
        return effects


def _is(kept: bytes | None, digest: bytes) -> bool:
    # An empty digest is nobody's, so that who has none costs as much time as who has one.
    return compare_digest(kept or bytes(len(digest)), digest) and kept is not None


def _objection(visitor: Visitor, now: Now) -> Reason | None:
    if not now.trusted:
        return Reason.CLOCK_NOT_SET
    if not now.wall >= visitor.not_before:
        return Reason.NOT_YET_VALID
    if not now.wall < visitor.not_after:
        return Reason.EXPIRED
    return None
