"""What comes of commands from afar: each is judged, recorded, and only then carried out."""

from collections.abc import Callable

from agent.core.consent import Roll
from agent.core.door import Door
from agent.core.effects import (
    Answer,
    Append,
    Effect,
    Indication,
    Revoke,
    SetValidity,
    Show,
    SpendCounter,
)
from agent.core.enroller import Enroller
from agent.core.enrolment import Authority
from agent.core.events import (
    FOR_CODES,
    FOR_FACES,
    Commanded,
    EnrolmentFailure,
    Part,
    PolicyChanged,
    Revoked,
)
from agent.core.guard import Guard
from agent.core.orders import (
    Button,
    Delivered,
    Leave,
    Operation,
    Order,
    Press,
    RejectedError,
    Rejection,
)
from agent.core.types import AuthorityKind, Grant, LockState, Method, Now, SubjectId

_ABOUT_SOMEBODY = frozenset({Operation.REVOKE, Operation.ERASE, Operation.POLICY, Operation.EXPORT})


class Remote:
    """Carries out what the guard lets pass. new_subject: makes the id that an enrolment gives."""

    def __init__(
        self,
        guard: Guard,
        door: Door,
        enroller: Enroller,
        roll: Roll,
        new_subject: Callable[[], SubjectId],
    ) -> None:
        self._guard = guard
        self._door = door
        self._enroller = enroller
        self._roll = roll
        self._new_subject = new_subject

    def handle(self, delivered: Delivered, now: Now, faults: frozenset[Part]) -> list[Effect]:
        """Do what a message asks for, or count why not."""
        try:
            wanted = self._guard.admit(delivered, now)
            match wanted:
                case Order():
                    return self._obey(wanted, now, faults)
                case Press():
                    return self._pressed(wanted.button, now, faults)
                case Leave():  # pragma: no branch - there is nothing else
                    self._roll.leave(wanted.subject, wanted.code)
                    # The same whether the code is right or wrong.
                    return [Answer(wanted.request, subject=wanted.subject)]
        except RejectedError as error:
            counted = self._guard.reject(error.reason)
            # Whoever holds no trusted key is told nothing.
            answer = [] if error.request is None else [Answer(error.request, error.reason)]
            return [*counted, *answer]

    def _obey(self, order: Order, now: Now, faults: frozenset[Part]) -> list[Effect]:
        self._require_possible(order, faults)
        subject = order.subject if order.operation in _ABOUT_SOMEBODY else None
        recorded = Append(
            Commanded(order.controller, order.operation, order.request, subject),
            SpendCounter(order.controller, order.counter),
        )
        return [recorded, *self._carry_out(order, now)]

    def _require_possible(self, order: Order, faults: frozenset[Part]) -> None:
        if Part.STORE in faults:
            # The counter could not be committed.
            raise RejectedError(Rejection.FAULT, order.request)
        if order.operation is Operation.UNLOCK and faults & FOR_CODES:
            raise RejectedError(Rejection.FAULT, order.request)
        if order.operation is Operation.LOCK and self._door.released_by is Method.EXIT:
            # Somebody is on the way out.
            raise RejectedError(Rejection.BUSY, order.request)
        if order.operation in _ABOUT_SOMEBODY and not self._roll.knows(order.subject):
            raise RejectedError(Rejection.NO_SUBJECT, order.request)
        if order.operation is Operation.ENROL and order.terms is not None:
            if self._enroller.deadline is not None:
                raise RejectedError(Rejection.BUSY, order.request)
            if faults & FOR_FACES:
                raise RejectedError(Rejection.FAULT, order.request)

    def _carry_out(self, order: Order, now: Now) -> list[Effect]:
        done = Answer(order.request, subject=order.subject)
        match order.operation:
            case Operation.UNLOCK:
                return [*self._release(now), done]
            case Operation.LOCK:
                return [*self._door.lock(), done]
            case Operation.ENROL:
                return self._enrol(order, now)
            case Operation.REVOKE if order.subject is not None:
                return [Append(Revoked(order.subject), Revoke(order.subject)), done]
            case Operation.ERASE if order.subject is not None:
                self._roll.expel(order.subject)
                return [done]
            case Operation.POLICY if order.subject is not None and order.validity is not None:
                change = SetValidity(order.subject, order.validity)
                return [Append(PolicyChanged(order.subject), change), done]
            case Operation.LIST:
                return [Answer(order.request, query=Operation.LIST, after=order.subject)]
            case Operation.EXPORT:
                return [Answer(order.request, subject=order.subject, query=Operation.EXPORT)]
            case Operation.IDENTIFY:
                return [Show(Indication.IDENTIFY), done]
            case _:
                return [done]

    def _enrol(self, order: Order, now: Now) -> list[Effect]:
        if order.terms is None:
            return [*self._enroller.abandon(EnrolmentFailure.CANCELLED), Answer(order.request)]
        subject = self._new_subject()
        name = f"controller {order.controller}"
        authority = Authority(AuthorityKind.CONTROLLER, name, order.terms)
        started = self._enroller.ordered(subject, authority, now)
        return [*started, Answer(order.request, subject=subject)]

    def _pressed(self, button: Button, now: Now, faults: frozenset[Part]) -> list[Effect]:
        match button:
            case Button.UNLOCK:
                if faults & FOR_CODES:
                    raise RejectedError(Rejection.FAULT)
                if self._door.state is LockState.UNLOCKED:
                    # Not recorded again and again while somebody presses again and again.
                    return []
                return [Append(Commanded(None, Operation.UNLOCK, "", None)), *self._release(now)]
            case Button.LOCK:
                if self._door.released_by is Method.EXIT:
                    raise RejectedError(Rejection.BUSY)
                if self._door.state is LockState.LOCKED:
                    return []
                return [Append(Commanded(None, Operation.LOCK, "", None)), *self._door.lock()]
            case Button.ENROL:
                faulty = bool(faults & FOR_FACES)
                subject = self._new_subject()
                return self._enroller.button_held(subject, now, faulty=faulty, at_door=False)
            case Button.IDENTIFY:  # pragma: no branch - there is nothing else
                return [Show(Indication.IDENTIFY)]

    def _release(self, now: Now) -> list[Effect]:
        grant = Grant(None, Method.REMOTE, None, now.monotonic)
        return [*self._door.release(grant), Show(Indication.GRANTED)]
