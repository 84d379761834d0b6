"""What residents do for themselves at the door: with the button, and nobody else's affairs."""

from dataclasses import replace

import pytest

from agent.core.access import Access, Hours, Mode
from agent.core.consent import Roll
from agent.core.effects import Append, Effect, Erase, Indication, Show, SuspendConsent
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
from agent.core.types import EnrolmentCode, Method, Span, Suspension, Terms
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


NIGHT = (Span(0, 360),)


def house(**changes: object) -> House:
    return House(memory(ADA, BEN, held=HELD, **changes), RULES)  # type: ignore[arg-type]


def house_of(access: Access) -> House:
    return House(memory(ADA, BEN, held=HELD), replace(RULES, access=access))


def present(door: House, factor: str) -> list[Effect]:
    match factor:
        case "face":
            return door.stand(ADA)
        case "pin":
            return door.code(PIN)
        case _:
            return door.card(CARD)


def choosing(door: House) -> House:
    """Have Ada be asked what she wants."""
    door.hold()
    assert events(door.code(PIN)) == [SelfServiceBegun(ADA.id, Method.PIN)]
    return door


def leaving(door: House) -> House:
    """Have Ada be asked once more who she is."""
    choosing(door)
    assert shown([*door.hold(), *door.hold()])[-1] is Indication.CONFIRM_AGAIN
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


@pytest.mark.parametrize(
    ("mode", "factors", "method"),
    [
        (Mode.FACE_AND_PIN, ["pin", "face"], Method.FACE_AND_PIN),
        (Mode.FACE_AND_PIN, ["face", "pin"], Method.FACE_AND_PIN),
        (Mode.FACE_AND_PIN, ["card", "pin"], Method.CARD_AND_PIN),
        (Mode.FACE, ["pin", "face"], Method.FACE),
        (Mode.CARD, ["pin", "card"], Method.CARD),
        (Mode.PIN, ["card", "pin"], Method.PIN),
    ],
)
def test_somebody_is_known_by_what_opens_the_door_at_this_hour(
    mode: Mode, factors: list[str], method: Method
) -> None:
    door = house_of(Access(Mode.ANY, (Hours(NIGHT, mode),)))
    door.week_minute = 359
    door.hold()

    first, last = (present(door, factor) for factor in factors)

    assert events(first) == []
    assert events(last) == [SelfServiceBegun(ADA.id, method)]
    assert opened([*first, *last]) == []


@pytest.mark.parametrize("mode", [Mode.CARD, Mode.PIN])
def test_nobody_is_known_by_a_face_that_opens_nothing(mode: Mode) -> None:
    door = house_of(Access(mode))
    door.hold()

    assert door.stand(ADA, 9) == []


def test_what_does_not_open_is_refused_to_whoever_says_who_they_are() -> None:
    door = house_of(Access(Mode.FACE, (Hours(NIGHT, Mode.CARD),)))
    door.trusted = False
    door.hold()

    assert denials(door.code(PIN)) == [("method_not_allowed", ADA.id)]
    assert events([*door.card(CARD), *door.stand(ADA)]) == [
        SelfServiceBegun(ADA.id, Method.FACE_AND_CARD)
    ]


@pytest.mark.parametrize("last", ["pin", "face"])
def test_who_was_known_by_two_factors_has_used_both(last: str) -> None:
    first = "face" if last == "pin" else "pin"
    door = house_of(Access(Mode.FACE_AND_PIN))
    door.hold()
    present(door, first)
    assert events(present(door, last)) == [SelfServiceBegun(ADA.id, Method.FACE_AND_PIN)]
    door.push()

    assert opened(present(door, last)) == []


def test_whoever_was_let_in_just_now_is_known_all_the_same() -> None:
    door = house()
    assert opened(door.stand(ADA)) == [(ADA.id, "face")]
    door.hold()

    assert events(door.stand(ADA)) == [SelfServiceBegun(ADA.id, Method.FACE)]


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
    assert Erased(ADA.id) in events(leaving(house(revoked=True)).code(PIN))


def test_nobody_is_let_in_by_standing_there_while_choosing() -> None:
    door = choosing(house())

    assert opened(door.stand(ADA, 9)) == []
    assert door.push()[0] == PAUSED


def test_somebody_elses_face_ends_it_and_enters() -> None:
    door = choosing(house())

    assert opened(door.stand(BEN)) == [(BEN.id, "face")]
    assert events(door.push()) == []
    assert shown(door.hold())[-1] is Indication.WHO_ARE_YOU


def test_the_face_of_somebody_who_may_not_enter_ends_nothing() -> None:
    door = choosing(house())
    store = door.store
    gone = replace(store.subjects[BEN.id], revoked=True)  # type: ignore[attr-defined]
    store.subjects = {**store.subjects, BEN.id: gone}  # type: ignore[attr-defined]
    door.load()
    assert opened(door.stand(BEN)) == []

    assert door.push()[0] == PAUSED


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


SOMETIMES_BOTH = Access(Mode.ANY, (Hours(NIGHT, Mode.FACE_AND_PIN),))


@pytest.mark.parametrize(
    ("access", "factors", "pauses"),
    [
        (Access(Mode.FACE), ["face"], True),
        (Access(Mode.CARD), ["card"], True),
        (Access(Mode.PIN), ["pin"], True),
        (Access(Mode.FACE_AND_PIN), ["pin", "face"], True),
        (Access(Mode.FACE_AND_PIN), ["card", "pin"], True),
        # A PIN alone would do away with the face that is asked for beside it at night.
        (SOMETIMES_BOTH, ["pin"], False),
        (SOMETIMES_BOTH, ["card"], False),
        (SOMETIMES_BOTH, ["face"], False),
        (Access(Mode.ANY, (Hours(NIGHT, Mode.FACE),)), ["pin"], False),
        (Access(Mode.ANY, (Hours(NIGHT, Mode.FACE),)), ["face"], True),
        (Access(Mode.ANY, (Hours(NIGHT, Mode.CARD),)), ["pin"], False),
        (Access(Mode.ANY, (Hours(NIGHT, Mode.CARD),)), ["card"], True),
    ],
)
def test_a_face_is_paused_by_what_opens_at_every_hour(
    access: Access, factors: list[str], pauses: bool
) -> None:
    door = house_of(access)
    door.hold()
    known = [present(door, factor) for factor in factors][-1]
    assert [type(event) for event in events(known)] == [SelfServiceBegun]

    assert door.push()[0] == (PAUSED if pauses else Show(Indication.REFUSED))


@pytest.mark.parametrize(
    ("mode", "pin", "card", "pauses"),
    [
        (Mode.ANY, True, False, True),
        (Mode.ANY, False, True, True),
        (Mode.FACE, True, False, True),
        (Mode.FACE, False, False, False),
        (Mode.FACE_AND_PIN, True, False, False),
        (Mode.FACE_AND_PIN, True, True, True),
    ],
)
def test_whoever_pauses_the_face_has_another_way_in(
    mode: Mode, pin: bool, card: bool, pauses: bool
) -> None:
    held = {ADA: holding(PIN if pin else None, *([CARD] if card else []))}
    access = Access(mode, (Hours(NIGHT, mode),))
    door = House(memory(ADA, held=held), replace(RULES, access=access))
    door.hold()
    if mode is Mode.FACE_AND_PIN:
        door.code(PIN)
    assert shown(door.stand(ADA))[-1] is Indication.CHOOSE

    assert door.push()[0] == (PAUSED if pauses else Show(Indication.REFUSED))


def test_a_card_alone_is_no_way_in_where_two_factors_open() -> None:
    door = house_of(Access(Mode.FACE_AND_PIN))
    door.hold()
    door.code(PIN)
    assert shown(door.stand(ADA))[-1] is Indication.CHOOSE
    store = door.store
    changed = replace(store.subjects[ADA.id], credentials=holding(None, CARD))  # type: ignore[attr-defined]
    store.subjects = {**store.subjects, ADA.id: changed}  # type: ignore[attr-defined]
    door.load()

    assert door.push() == [Show(Indication.REFUSED)]


def test_a_way_in_that_some_hour_does_not_take_is_none() -> None:
    access = Access(Mode.FACE, (Hours(NIGHT, Mode.FACE_AND_PIN),))
    held = {ADA: holding(PIN)}
    door = House(memory(ADA, held=held), replace(RULES, access=access), week_minute=0)
    door.hold()
    door.code(PIN)
    assert shown(door.stand(ADA))[-1] is Indication.CHOOSE

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


@pytest.mark.parametrize("factor", ["face", "pin", "card"])
def test_whoever_holds_the_button_twice_and_is_known_once_more_is_erased(factor: str) -> None:
    door = choosing(house())

    assert door.hold() == [Show(Indication.CONFIRM)]
    assert door.hold() == [Show(Indication.CONFIRM_AGAIN)]
    assert present(door, factor)[-2:] == [
        Show(Indication.LEAVING),
        Append(Erased(ADA.id), Erase(ADA.id)),
    ]
    assert list(door.store.load().subjects) == [BEN.id]
    assert denials(door.code(PIN)) == [("wrong_code", None)]


def test_nobody_is_erased_by_the_button_alone() -> None:
    door = leaving(house())

    assert [effect for _ in range(9) for effect in door.hold()] == []
    assert len(door.store.load().subjects) == 2


def test_somebody_else_who_is_known_ends_it_and_erases_nobody() -> None:
    door = leaving(house())

    assert door.code("1357") == [Show(Indication.IDLE)]
    assert shown(door.hold()) == [Indication.WHO_ARE_YOU]
    assert len(door.store.load().subjects) == 2


def test_somebody_elses_face_ends_it_and_erases_nobody() -> None:
    door = leaving(house())

    assert (opened(effects := door.stand(BEN, 3)), events(effects)) == ([], [])
    assert opened(door.stand(BEN, 3)) == [(BEN.id, "face")]
    assert len(door.store.load().subjects) == 2


def test_where_two_factors_open_nobody_is_erased_by_one() -> None:
    door = house_of(Access(Mode.FACE_AND_PIN))
    for holds, comes in ((1, SelfServiceBegun), (2, Erased)):
        for _ in range(holds):
            door.hold()
        assert events(door.stand(ADA)) == []
        assert [type(event) for event in events(door.code(PIN))] == [comes]


@pytest.mark.parametrize("factor", ["pin", "face"])
def test_the_factors_by_which_somebody_was_known_do_not_make_them_known_again(factor: str) -> None:
    door = house_of(Access(Mode.FACE_AND_PIN))
    door.hold(after=0.1)
    for each in ("face", "pin") if factor == "pin" else ("pin", "face"):
        present(door, each)
    door.hold(after=0.1)
    door.hold(after=0.1)

    assert events(present(door, factor)) == []
    assert len(door.store.load().subjects) == 2


def test_whoever_leaves_is_known_once_more_in_time() -> None:
    for late in (False, True):
        effects = leaving(house()).code(PIN, after=WAITS if late else WAITS - 0.1)
        assert [type(event) for event in events(effects)] == [Admitted if late else Erased]


def test_what_was_confirmed_once_is_to_be_confirmed_anew() -> None:
    door = leaving(house())
    door.wait(WAITS)
    choosing(door)

    assert opened(door.code(PIN)) == [(ADA.id, "pin")]
    assert len(door.store.load().subjects) == 2


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
    effects = [*door.hold(after=0.1), *door.hold(after=0.1), *door.code(PIN, after=0.1)]
    assert shown(effects)[-1] is Indication.LEAVING
    assert not any(isinstance(e, Erased) for e in events(effects))

    assert opened(door.stand(ADA, 5)) == []


def test_whoever_was_erased_meanwhile_cannot_leave_again() -> None:
    door = leaving(house())
    door.store.subjects = {}  # type: ignore[attr-defined]
    door.load()

    assert denials(effects := door.code(PIN)) == [("wrong_code", None)]
    assert Indication.LEAVING not in shown(effects)


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

    assert Erased(ADA.id) in events(leaving(door).code(PIN))


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
    service = SelfService(Roll(NOTICE, MODEL), lambda *_: True)

    assert (service.asks, service.serving) == (False, None)
    assert service.end() == service.tick(1e9) == []
    assert service.held(now_at(1.0)) == service.pushed(now_at(1.0)) == []
