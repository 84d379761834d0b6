"""What residents do for themselves at the door: with the button, and nobody else's affairs."""

from dataclasses import replace

import pytest

from agent.core.consent import Roll
from agent.core.effects import Append, Erase, Indication, Show, SuspendConsent
from agent.core.events import (
    Admitted,
    ConsentRenewed,
    ConsentSuspended,
    EnrolmentStarted,
    Erased,
    Part,
    SelfServiceBegun,
)
from agent.core.inputs import Faulted, Recovered
from agent.core.rules import Rules
from agent.core.selfservice import ASKS, WAITS, SelfService
from agent.core.types import EnrolmentCode, Method, Suspension, Terms
from tests.core.entries import House, denials, events, holding, memory, opened, shown, visitor
from tests.core.people import MODEL, NOTICE, now_at, somebody

ADA, BEN, STRANGER = somebody("ada"), somebody("ben"), somebody("stranger")
PIN, CARD = "2468", "card-a"
HELD = {ADA: holding(PIN, CARD), BEN: holding("1357")}
RULES = Rules(notice=NOTICE)
PAUSED = Append(
    ConsentSuspended(ADA.id, Suspension.PAUSED), SuspendConsent(ADA.id, Suspension.PAUSED)
)
RESUMED = Append(ConsentRenewed(ADA.id), SuspendConsent(ADA.id, None))


def house(**changes: object) -> House:
    return House(memory(ADA, BEN, held=HELD, **changes), RULES)  # type: ignore[arg-type]


def choosing(door: House) -> House:
    """Have Ada be asked what she wants."""
    door.hold()
    assert events(door.code(PIN)) == [SelfServiceBegun(ADA.id, Method.PIN)]
    return door


# --- who is there ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [Method.FACE, Method.PIN, Method.CARD])
def test_whoever_holds_the_button_and_is_known_is_asked_what_they_want(method: Method) -> None:
    door = house()
    assert shown(door.hold()) == [Indication.WHO_ARE_YOU]

    effects = {
        Method.FACE: lambda: door.stand(ADA),
        Method.PIN: lambda: door.code(PIN),
        Method.CARD: lambda: door.card(CARD),
    }[method]()

    assert events(effects) == [SelfServiceBegun(ADA.id, method)]
    assert shown(effects)[-1] is Indication.CHOOSE
    assert opened(effects) == []


def test_nobody_else_is_asked_anything() -> None:
    door = house()
    door.hold()

    assert denials(door.code("0000")) == [("wrong_code", None)]
    assert not any(isinstance(e, SelfServiceBegun) for e in events(door.stand(STRANGER, 9)))


def test_a_visitor_who_enters_meanwhile_enters() -> None:
    door = House(memory(ADA, held=HELD, visitors=[visitor("guest", "777")]), RULES)
    door.hold()

    assert opened(door.code("777")) == [(None, "visitor")]


def test_whoever_is_revoked_may_leave_all_the_same() -> None:
    door = choosing(house(revoked=True))

    assert Erased(ADA.id) in events([effect for _ in range(3) for effect in door.hold()])


def test_nobody_is_let_in_by_standing_there_while_choosing() -> None:
    door = choosing(house())

    assert [opened(door.stand(each, 5)) for each in (ADA, BEN)] == [[], []]


@pytest.mark.parametrize(("late", "asked"), [(ASKS - 0.1, True), (ASKS, False)])
def test_whoever_is_not_known_in_time_is_let_in_as_ever(late: float, asked: bool) -> None:
    door = house()
    door.hold()
    effects = door.code(PIN, after=late)

    assert [type(e) for e in events(effects)] == [SelfServiceBegun if asked else Admitted]


def test_the_question_who_is_there_is_taken_back_with_a_push() -> None:
    door = house()
    door.hold()

    assert shown(door.push()) == [Indication.IDLE]
    assert opened(door.code(PIN)) == [(ADA.id, "pin")]


def test_the_door_asks_to_be_woken_when_the_self_service_ends() -> None:
    door = house()
    door.hold()
    assert door.controller.wake_at == door.at + ASKS

    assert door.wait(ASKS) == [Show(Indication.IDLE)]
    assert door.controller.wake_at == float("inf")


# --- pause and resume -----------------------------------------------------------------------------


def test_a_push_pauses_the_own_face_and_nobody_elses() -> None:
    door = choosing(house())

    assert door.push() == [PAUSED, Show(Indication.PAUSED)]
    assert opened(door.stand(ADA, 9)) == []
    door.wait(60.0)
    assert opened(door.stand(BEN)) == [(BEN.id, "face")]


def test_whoever_paused_enters_by_pin_and_resumes_with_a_push() -> None:
    door = choosing(house())
    door.push()
    assert opened(door.code(PIN)) == [(ADA.id, "pin")]
    door.wait(60.0)

    assert choosing(door).push() == [RESUMED, Show(Indication.RESUMED)]
    assert opened(door.stand(ADA)) == [(ADA.id, "face")]


@pytest.mark.parametrize("late", [False, True])
def test_whoever_waits_for_too_long_changes_nothing(late: bool) -> None:
    door = choosing(house())

    effects = door.push(after=WAITS - 0.1 if not late else WAITS)

    assert (PAUSED in effects) is not late


def test_who_needs_more_time_has_it() -> None:
    assert PAUSED in choosing(house(accessible=True)).push(after=2 * WAITS - 0.1)


def test_nobody_pauses_the_only_way_in() -> None:
    door = House(memory(ADA), RULES)
    door.hold()
    door.stand(ADA)

    assert door.push() == [Show(Indication.REFUSED)]


@pytest.mark.parametrize(
    "changes", [{"consent": None}, {"suspended": Suspension.WITHDRAWN}, {"minor": True}]
)
def test_where_no_face_is_matched_there_is_none_to_pause_or_resume(
    changes: dict[str, object],
) -> None:
    assert choosing(house(**changes)).push() == [Show(Indication.REFUSED)]


def test_who_resumes_and_has_another_objection_is_suspended_for_that() -> None:
    door = choosing(house(suspended=Suspension.PAUSED, minor=True))

    assert RESUMED in door.push()
    assert door.store.load().subjects[ADA.id].suspended is Suspension.NO_GUARDIAN


# --- leaving --------------------------------------------------------------------------------------


def test_whoever_holds_the_button_and_confirms_twice_is_erased() -> None:
    door = choosing(house())

    assert door.hold() == [Show(Indication.CONFIRM)]
    assert door.hold() == [Show(Indication.CONFIRM_AGAIN)]
    assert door.hold() == [
        Show(Indication.LEAVING),
        Append(Erased(ADA.id), Erase(ADA.id)),
    ]
    assert list(door.store.load().subjects) == [BEN.id]
    assert denials(door.code(PIN)) == [("wrong_code", None)]


@pytest.mark.parametrize("holds", [1, 2])
def test_a_push_says_no_and_the_next_hold_begins_anew(holds: int) -> None:
    door = choosing(house())
    for _ in range(holds):
        door.hold()

    assert door.push() == [Show(Indication.CHOOSE)]
    assert [shown(door.hold()) for _ in range(2)] == [
        [Indication.CONFIRM],
        [Indication.CONFIRM_AGAIN],
    ]
    assert len(door.store.load().subjects) == 2


def test_whoever_hesitates_to_confirm_stays() -> None:
    door = choosing(house())
    door.hold()
    door.hold()

    assert shown(door.hold(after=WAITS))[-1] is Indication.WHO_ARE_YOU
    assert len(door.store.load().subjects) == 2


def test_whoever_left_is_not_compared_with_before_that_is_committed() -> None:
    door = house()
    door.give(Faulted(Part.STORE, "full"))
    door.give(Recovered(Part.STORE))
    door.give(Faulted(Part.STORE, "full"))
    door.load()
    door.give(Recovered(Part.STORE))
    choosing(door)
    effects = [effect for _ in range(3) for effect in door.hold(after=0.1)]
    assert shown(effects)[-1] is Indication.LEAVING
    assert not any(isinstance(e, Erased) for e in events(effects))

    assert opened(door.stand(ADA, 5)) == []


def test_whoever_was_erased_meanwhile_cannot_leave_again() -> None:
    door = choosing(house())
    door.store.subjects = {}  # type: ignore[attr-defined]
    door.load()

    assert events([effect for _ in range(3) for effect in door.hold()]) == []


def test_whoever_was_erased_meanwhile_cannot_pause() -> None:
    door = choosing(house())
    door.store.subjects = {}  # type: ignore[attr-defined]
    door.load()

    assert door.push() == [Show(Indication.REFUSED)]


# --- what ends it ---------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [Part.STORE, Part.RELEASE])
def test_a_fault_ends_it_and_begins_none(part: Part) -> None:
    door = choosing(house())
    door.give(Faulted(part, "broken"))
    assert shown(door.hold()) == [Indication.NOT_ENROLLED]
    door.give(Recovered(part))

    assert not any(isinstance(e, Erased) for _ in range(2) for e in events(door.hold()))


def test_a_camera_at_fault_keeps_nobody_from_leaving() -> None:
    door = house()
    door.give(Faulted(Part.CAMERA, "gone"))
    choosing(door)

    assert Erased(ADA.id) in events([effect for _ in range(3) for effect in door.hold()])


@pytest.mark.parametrize("typed", [PIN, "1357"])
def test_whoever_comes_to_enter_ends_it(typed: str) -> None:
    door = choosing(house())

    assert len(opened(door.code(typed))) == 1
    assert not {PAUSED} & set(door.push())
    assert shown(door.hold(after=10.0))[-1] is Indication.WHO_ARE_YOU


def test_where_an_enrolment_is_expected_the_button_begins_that() -> None:
    door = house()
    code = EnrolmentCode("123456", door.at, "root", Terms())
    door.give(replace(door.store.load(), codes=(code,)))

    assert [type(e) for e in events(door.hold())] == [EnrolmentStarted]


def test_a_service_that_nobody_asked_for_does_nothing() -> None:
    service = SelfService(Roll(NOTICE, MODEL))

    assert (service.asks, service.serves) == (False, False)
    assert service.end() == service.tick(1e9) == []
    assert service.held(now_at(1.0)) == service.pushed(now_at(1.0)) == []
