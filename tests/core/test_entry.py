"""Codes and cards: whose they are, what wrong ones cost, and what becomes of visitors."""

from dataclasses import replace

import pytest

from agent.core.access import Access, Mode
from agent.core.credentials import NO_ATTEMPTS, Credentials, Reader, VisitorId
from agent.core.effects import (
    Append,
    Effect,
    Energise,
    Erase,
    ForgetVisitor,
    Indication,
    Light,
    SetAttempts,
    Show,
)
from agent.core.entry import LAPSED_AT_ONCE, MAX_AGE
from agent.core.events import (
    Admitted,
    CodeDenied,
    CodesLockedOut,
    Erased,
    FaultRaised,
    Part,
    VisitorAdmitted,
    VisitorForgotten,
)
from agent.core.inputs import (
    CardPresented,
    CodeEntered,
    ExitPressed,
    Faulted,
    KeyPressed,
    Observed,
    Recovered,
)
from agent.core.rules import Rules
from agent.core.throttle import Codes
from agent.core.types import Grant, Method, Reason, Span, Validity
from tests.core.entries import (
    WALL,
    House,
    denials,
    digest,
    events,
    holding,
    memory,
    opened,
    shown,
    visitor,
)
from tests.core.people import NOTICE, leave, resident, somebody

ADA, BEN = somebody("ada"), somebody("ben")
PIN, CARD, DURESS = "2468", "card-a", "8642"
GUEST = VisitorId("guest")
CODES = Codes(attempts=3, seconds=60.0, overall=10, drain_seconds=300.0)
RULES = Rules(codes=CODES, notice=NOTICE)
NAN = float("nan")


def house(*visitors: object, **changes: object) -> House:
    held = {ADA: holding(PIN, CARD, "card-c", duress=DURESS), BEN: Credentials()}
    return House(memory(ADA, BEN, held=held, visitors=visitors, **changes), RULES)  # type: ignore[arg-type]


def attempts(door: House) -> object:
    return door.store.load().attempts


# --- residents ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [Method.PIN, Method.CARD])
def test_a_right_entry_is_recorded_and_then_the_door_opens(method: Method) -> None:
    door = house()

    effects = door.code(PIN) if method is Method.PIN else door.card(CARD)

    assert effects[0] == Append(Admitted(ADA.id, method))
    assert effects[1] == Energise(Grant(ADA.id, method, None, door.at), 5.0)
    assert shown(effects) == [Indication.GRANTED]


def test_each_of_many_cards_opens() -> None:
    assert opened(house().card("card-c")) == [(ADA.id, "card")]


def test_a_pin_is_no_card_and_a_card_no_pin() -> None:
    door = house()

    assert denials(door.card(PIN)) == denials(door.code(CARD)) == [(Reason.WRONG_CODE, None)]


@pytest.mark.parametrize("nothing", [bytes(32), b"", digest("")])
def test_whoever_has_no_pin_is_not_let_in_by_none(nothing: bytes) -> None:
    door = House(memory(BEN), RULES)

    effects = door.give(CodeEntered(nothing, door.now.monotonic))

    assert denials(effects) == [(Reason.WRONG_CODE, None)]
    assert opened(effects) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"revoked": True}, Reason.REVOKED),
        ({"validity": Validity(not_before=2e9)}, Reason.NOT_YET_VALID),
        ({"validity": Validity(not_after=WALL)}, Reason.EXPIRED),
        ({"validity": Validity(not_after=NAN)}, Reason.EXPIRED),
        ({"validity": Validity(schedule=(Span(0, 1),))}, Reason.OUTSIDE_SCHEDULE),
    ],
)
def test_whoever_may_not_enter_now_is_refused_by_every_reader(
    changes: dict[str, object], reason: Reason
) -> None:
    door = house(**changes)

    for effects in (door.code(PIN), door.card(CARD)):
        assert denials(effects) == [(reason, ADA.id)]
        assert shown(effects) in ([Indication.REFUSED], [])
        assert opened(effects) == []


def test_whoever_is_gone_is_unknown() -> None:
    door = house(leave_code="LEAVE")
    effects = door.give(leave(ADA.id, "LEAVE"))
    assert Append(Erased(ADA.id), Erase(ADA.id)) in effects

    assert denials(door.code(PIN)) == [(Reason.WRONG_CODE, None)]


def test_whoever_leaves_is_unknown_before_that_is_committed() -> None:
    door = house(leave_code="LEAVE")
    door.give(Faulted(Part.STORE, "full"))
    door.give(leave(ADA.id, "LEAVE"))
    door.give(Recovered(Part.STORE))

    assert opened(door.card(CARD)) == []


# --- wrong entries --------------------------------------------------------------------------------


def test_a_wrong_entry_is_committed_before_anybody_learns_that_it_was_wrong() -> None:
    door = house()

    denied, refused = door.code("0000")

    assert isinstance(denied, Append)
    assert denied.event == CodeDenied(Reason.WRONG_CODE, Reader.KEYPAD, None)
    assert isinstance(denied.change, SetAttempts)
    assert denied.change.attempts.level == 1.0
    assert refused == Show(Indication.REFUSED)


def test_too_many_wrong_entries_shut_the_reader_and_a_right_one_is_refused_then() -> None:
    door = house()
    effects = [effect for _ in range(3) for effect in door.code("0000", after=0.0)]
    assert events(effects)[-1] == CodesLockedOut(Reader.KEYPAD, 60.0)

    assert door.code(PIN) == [Show(Indication.WAIT)]
    assert opened(door.card(CARD)) == [(ADA.id, "card")]
    assert (events(door.code(PIN, after=57.9)), opened(door.code(PIN, after=0.1))) == (
        [],
        [(ADA.id, "pin")],
    )


def test_what_comes_while_a_reader_is_shut_is_not_counted() -> None:
    door = house()
    for _ in range(3):
        door.code("0000", after=0.0)
    before = attempts(door)

    for _ in range(50):
        assert events(door.code("0000", after=1.0)) == []

    assert attempts(door) == before


def test_wrong_entries_on_both_readers_shut_both() -> None:
    door = house()
    shut = []
    for number in range(10):
        effects = door.code("0000", after=0.0) if number % 2 else door.card("card-x", after=0.0)
        shut += [e for e in events(effects) if isinstance(e, CodesLockedOut)]
        # A right one ends each row; what adds up is not ended.
        (door.code if number % 2 else door.card)(PIN if number % 2 else CARD, after=0.0)

    assert shut == [CodesLockedOut(None, 300.0)]
    for effects in (door.code(PIN, after=5.0), door.card(CARD, after=294.9)):
        assert (events(effects), opened(effects)) == ([], [])
    assert opened(door.code(PIN, after=0.2)) == [(ADA.id, "pin")]


def test_a_right_entry_ends_the_row_for_good() -> None:
    door = house()
    for _ in range(2):
        door.code("0000")

    [admitted, *_] = door.code(PIN)

    assert isinstance(admitted, Append)
    assert isinstance(admitted.change, SetAttempts)
    door.start()
    door.wait(10.0)
    assert [type(e) for e in events(door.code("0000"))] == [CodeDenied]
    assert [type(e) for e in events(door.code("0000"))] == [CodeDenied]


def test_a_row_that_ended_with_the_first_of_two_factors_is_kept_as_ended() -> None:
    door = house()
    door.rules = replace(RULES, access=Access(Mode.FACE_AND_PIN))
    door.start()
    door.code("0000")
    door.code(PIN)
    assert opened(door.card(CARD)) == [(ADA.id, "card+pin")]

    assert door.store.load().attempts.keypad == NO_ATTEMPTS.keypad


def test_nothing_is_kept_anew_where_nothing_changed() -> None:
    assert [e.change for e in house().code(PIN) if isinstance(e, Append)] == [None]


def test_a_right_code_that_may_not_open_ends_no_row() -> None:
    door = house(visitor("guest", "777", first=2e9), revoked=True)
    for typed in ("0000", PIN, "0000", "777"):
        assert [type(e) for e in events(door.code(typed))] == [CodeDenied]

    assert CodesLockedOut(Reader.KEYPAD, 60.0) in events(door.code("0000"))


# --- what comes too late --------------------------------------------------------------------------


def entered(door: House, typed: str, at: float) -> list[Effect]:
    return [
        effect
        for happened in (CodeEntered(digest(typed), at), CardPresented(digest(typed), at))
        for effect in door.give(happened)
    ]


@pytest.mark.parametrize("age", [MAX_AGE + 0.01, 1e9, -0.01, NAN, float("inf"), float("-inf")])
@pytest.mark.parametrize("typed", [PIN, CARD, DURESS, "777", "0000"])
def test_what_was_not_entered_just_now_is_neither_compared_nor_counted(
    typed: str, age: float
) -> None:
    door = house(visitor("guest", "777"))
    door.code("0000")
    before = attempts(door)
    door.wait(5.0)

    for _ in range(10):
        effects = entered(door, typed, door.at - age)
        assert {type(effect) for effect in effects} <= {Show}
    assert attempts(door) == before
    assert len(door.store.load().visitors) == 1
    # Nor has a right one ended the row.
    assert [type(e) for e in events(door.code("0000"))] == [CodeDenied]
    assert CodesLockedOut(Reader.KEYPAD, 60.0) in events(door.code("0000"))


def test_what_was_entered_too_late_is_refused() -> None:
    door = house()

    assert entered(door, PIN, door.at - MAX_AGE - 0.01) == [Show(Indication.REFUSED)]


@pytest.mark.parametrize("age", [0.0, MAX_AGE])
@pytest.mark.parametrize("typed", [PIN, CARD])
def test_what_was_entered_just_now_opens(typed: str, age: float) -> None:
    door = house()

    assert len(opened(entered(door, typed, door.at - age))) == 1


# --- faults ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [Part.STORE, Part.RELEASE])
def test_without_a_store_or_a_release_nothing_is_taken(part: Part) -> None:
    door = house(visitor("guest", "777"))
    door.give(Faulted(part, "broken"))

    for effects in (door.code(PIN), door.card(CARD), door.code("777"), door.code("0000")):
        assert opened(effects) == []
        assert events(effects) == []

    door.give(Recovered(part))
    assert opened(door.code("777")) == [(None, "visitor")]
    assert attempts(door) == NO_ATTEMPTS


@pytest.mark.parametrize("part", [Part.CAMERA, Part.BROKER, Part.KEYPAD, Part.CARD_READER])
def test_whatever_else_is_at_fault_has_no_say(part: Part) -> None:
    door = house()
    assert events(door.give(Faulted(part, "gone"))) == [FaultRaised(part, "gone")]

    assert opened(door.code(PIN)) == [(ADA.id, "pin")]


@pytest.mark.parametrize("entry", ["pin", "card", "visitor"])
def test_a_camera_at_fault_locks_no_door_that_it_did_not_open(entry: str) -> None:
    door = house(visitor("guest", "777"))
    effects = door.card(CARD) if entry == "card" else door.code(PIN if entry == "pin" else "777")
    assert opened(effects)

    door.give(Faulted(Part.CAMERA, "gone"))
    assert door.controller.lock_state == "unlocked"
    door.give(Faulted(Part.RELEASE, "stuck"))
    assert door.controller.lock_state == "locked"


@pytest.mark.parametrize("mode", [Mode.ANY, Mode.FACE_AND_PIN])
def test_a_camera_at_fault_locks_the_door_that_a_face_opened(mode: Mode) -> None:
    door = house()
    door.rules = replace(RULES, access=Access(mode))
    door.start()
    door.code(PIN) if mode is Mode.FACE_AND_PIN else None
    assert opened(door.stand(ADA))

    door.give(Faulted(Part.CAMERA, "gone"))
    assert door.controller.lock_state == "locked"


# --- visitors -------------------------------------------------------------------------------------


def test_a_visitor_enters_once() -> None:
    door = house(visitor("guest", "777"))

    first = door.code("777")

    assert first[0] == Append(VisitorAdmitted(GUEST), ForgetVisitor(GUEST))
    assert opened(first) == [(None, "visitor")]
    assert denials(door.code("777", after=10.0)) == [(Reason.WRONG_CODE, None)]


@pytest.mark.parametrize("opener", ["pin", "exit"])
def test_a_visitors_code_is_not_spent_while_the_door_is_open(opener: str) -> None:
    door = house(visitor("guest", "777"))
    effects = door.code(PIN) if opener == "pin" else door.give(ExitPressed())
    assert opened(effects)

    effects = door.code("777")
    assert (events(effects), opened(effects)) == ([], [])
    assert door.controller.wake_at == door.at + 4.0
    assert len(door.store.load().visitors) == 1
    assert opened(door.code("777", after=4.0)) == [(None, "visitor")]


def test_a_visitor_whose_time_is_over_is_refused_at_an_open_door_too() -> None:
    door = house(visitor("guest", "777", first=2e9))
    door.code(PIN)

    assert denials(door.code("777")) == [(Reason.NOT_YET_VALID, None)]


def test_a_visitors_code_at_an_open_door_ends_a_row() -> None:
    door = house(visitor("guest", "777"))
    door.code("0000")
    door.code("0000")
    door.card(CARD)
    door.code("777")

    assert [type(e) for e in events(door.code("0000"))] == [CodeDenied]


def test_a_visitors_code_is_spent_before_the_store_is_loaded_again() -> None:
    door = house(visitor("guest", "777"))

    effects = [
        effect
        for _ in range(2)
        for effect in door.controller.handle(
            CodeEntered(digest("777"), door.now.monotonic), door.now
        )
    ]

    assert len(opened(effects)) == 1
    assert [type(e) for e in events(effects)] == [VisitorAdmitted, CodeDenied]


@pytest.mark.parametrize(
    ("first", "last", "reason"),
    [
        (WALL + 102.0, 2e9, Reason.NOT_YET_VALID),
        (NAN, 2e9, Reason.NOT_YET_VALID),
        (0.0, WALL + 101.0, Reason.EXPIRED),
    ],
)
def test_a_visitors_code_opens_within_its_window_only(
    first: float, last: float, reason: Reason
) -> None:
    door = house(visitor("guest", "777", first, last))

    effects = door.controller.handle(
        CodeEntered(digest("777"), door.now.monotonic), replace(door.now, wall=WALL + 101)
    )

    assert (opened(effects), denials(effects)) == ([], [(reason, None)])


def test_a_window_that_ends_at_no_time_is_over() -> None:
    door = house(visitor("guest", "777", last=NAN))

    assert not door.store.load().visitors
    assert opened(door.code("777")) == []


def test_a_visitors_code_opens_at_both_ends_of_its_window() -> None:
    for first, last in ((WALL + 101.0, 2e9), (0.0, WALL + 101.01)):
        assert len(opened(house(visitor("guest", "777", first, last)).code("777"))) == 1


def test_nobody_knows_when_a_visit_is_by_a_clock_that_is_not_set() -> None:
    store = memory(ADA, visitors=[visitor("guest", "777", last=1.0), visitor("other", "888")])
    door = House(store, RULES, trusted=False)

    for typed in ("777", "888"):
        assert denials(door.code(typed)) == [(Reason.CLOCK_NOT_SET, None)]
    assert len(store.visitors) == 2
    door.trusted = True
    assert opened(door.code("888")) == [(None, "visitor")]
    door.wait(1.0)
    assert not store.visitors


def test_a_code_whose_time_is_over_is_forgotten_once() -> None:
    door = house(visitor("guest", "777", last=WALL + 200.0))
    assert door.wait(99.9) == []

    # As long as the store has it still, and does not say that it was not committed.
    for expected in ([Append(VisitorForgotten(GUEST), ForgetVisitor(GUEST))], []):
        door.at = 200.0
        assert door.controller.handle(KeyPressed(), door.now)[1:] == expected
    assert door.load() == [Append(VisitorForgotten(GUEST), ForgetVisitor(GUEST))]
    assert door.load() == []


def test_codes_that_lapse_together_are_forgotten_some_at_a_time() -> None:
    many = [visitor(f"guest {n}", f"code {n}", last=WALL + 200.0) for n in range(50)]
    door = house(*many)
    door.at = 200.0

    # As long as the store was not loaded again.
    forgotten = [events(door.controller.handle(KeyPressed(), door.now)) for _ in range(5)]
    assert [len(each) for each in forgotten] == [LAPSED_AT_ONCE, LAPSED_AT_ONCE, 10, 0, 0]
    assert len({event for each in forgotten for event in each}) == 50
    # And each load has the next ones forgotten.
    door.load()
    assert not door.store.load().visitors


# --- what is shown --------------------------------------------------------------------------------


def test_each_key_clicks_and_none_is_known() -> None:
    door = house()

    assert [door.give(KeyPressed()) for _ in range(2)] == [[Show(Indication.KEY)]] * 2


def test_whoever_types_in_the_dark_gets_light() -> None:
    door = house()
    door.give(Observed(door.at, 0, None, luma=3.0))

    assert Light(on=True) in door.give(KeyPressed())
    assert door.controller.wake_at == door.at + 20.0
    assert Light(on=False) in door.wait(20.0)


def test_nothing_that_is_recorded_tells_what_was_typed() -> None:
    door = house(visitor("guest", "777"))
    for typed in (PIN, "777", "0000"):
        for event in events(door.code(typed)):
            assert digest(typed).hex() not in repr(event)
            assert typed not in repr(event)
    assert "2468" not in repr(CodeEntered(digest(PIN), 0.0))
    assert repr(digest(PIN)) not in repr(resident(ADA.id, credentials=holding(PIN)))
