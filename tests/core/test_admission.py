"""One factor or two: what lets a resident in, by which method, and for how long the door waits."""

from dataclasses import replace

import pytest

from agent.core.access import Access, Hours, Mode
from agent.core.effects import Append, Energise, Indication
from agent.core.events import (
    Admitted,
    CodeDenied,
    DuressSignalled,
    EnrolmentStarted,
    Granted,
    Part,
    SelfServiceBegun,
)
from agent.core.inputs import EnrolCommanded, Faulted, Recovered
from agent.core.rules import Rules
from agent.core.types import EnrolmentCode, Method, Span, SubjectId, Suspension, Terms
from tests.core.entries import House, denials, events, holding, memory, opened, shown
from tests.core.people import NOTICE, somebody

ADA, BEN, STRANGER = somebody("ada"), somebody("ben"), somebody("stranger")
PIN, CARD, DURESS = "2468", "card-a", "8642"
HELD = {ADA: holding(PIN, CARD, duress=DURESS), BEN: holding("1357", "card-b")}
FACTORS = ("face", "pin", "card")


def house(mode: Mode = Mode.ANY, **changes: object) -> House:
    rules = Rules(access=Access(mode), notice=NOTICE)
    return House(memory(ADA, BEN, held=HELD, **changes), rules)  # type: ignore[arg-type]


def show(door: House, factor: str) -> list[tuple[SubjectId | None, str]]:
    match factor:
        case "face":
            return opened(door.stand(ADA))
        case "pin":
            return opened(door.code(PIN))
        case _:
            return opened(door.card(CARD))


# --- one factor -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "alone"),
    [
        (Mode.ANY, {"face", "pin", "card"}),
        (Mode.FACE, {"face"}),
        (Mode.FACE_AND_PIN, set()),
        (Mode.CARD, {"card"}),
        (Mode.PIN, {"pin"}),
    ],
)
@pytest.mark.parametrize("factor", FACTORS)
def test_a_factor_opens_alone_where_the_door_asks_for_it(
    mode: Mode, alone: set[str], factor: str
) -> None:
    assert show(house(mode), factor) == ([(ADA.id, factor)] if factor in alone else [])


@pytest.mark.parametrize("factor", ["pin", "card"])
@pytest.mark.parametrize("changes", [{"consent": None}, {"suspended": Suspension.PAUSED}])
def test_whoever_gives_no_face_is_not_asked_for_one(
    factor: str, changes: dict[str, object]
) -> None:
    assert show(house(Mode.FACE, **changes), factor) == [(ADA.id, factor)]


def test_at_other_hours_the_door_asks_for_something_else() -> None:
    rules = Rules(access=Access(Mode.ANY, (Hours((Span(0, 360),), Mode.CARD),)), notice=NOTICE)
    door = House(memory(ADA, held=HELD), rules, week_minute=359)

    assert show(door, "pin") == []
    door.week_minute = 360
    assert show(door, "pin") == [(ADA.id, "pin")]


def test_by_a_clock_that_is_not_set_every_mode_must_be_met() -> None:
    rules = Rules(access=Access(Mode.ANY, (Hours((Span(0, 360),), Mode.CARD),)), notice=NOTICE)
    door = House(memory(ADA, held=HELD), rules, trusted=False)

    assert show(door, "pin") == []
    assert show(door, "card") == [(ADA.id, "card")]


def test_a_method_that_is_not_asked_for_is_refused_with_its_reason() -> None:
    by_night = Access(Mode.FACE, (Hours((Span(0, 360),), Mode.CARD),))
    door = House(memory(ADA, held=HELD), Rules(access=by_night, notice=NOTICE), trusted=False)
    assert denials(door.code(PIN)) == [("method_not_allowed", ADA.id)]
    assert [show(door, "card"), show(door, "face")] == [[], [(ADA.id, "face+card")]]


@pytest.mark.parametrize(
    ("access", "looks"),
    [
        (Access(Mode.ANY), True),
        (Access(Mode.FACE), True),
        (Access(Mode.FACE_AND_PIN), True),
        (Access(Mode.CARD), False),
        (Access(Mode.PIN), False),
        (Access(Mode.CARD, (Hours((Span(0, 10),), Mode.ANY),)), False),
        (Access(Mode.ANY, (Hours((Span(0, 1440),), Mode.CARD),)), False),
    ],
)
def test_faces_are_not_looked_at_where_they_open_nothing(access: Access, looks: bool) -> None:
    door = House(memory(ADA, BEN, held=HELD), Rules(access=access, notice=NOTICE))

    assert bool(door.stand(ADA)) is looks
    door.wait(60.0)
    assert bool(door.stand(STRANGER, 9)) is looks


def test_by_a_clock_that_is_not_set_faces_are_not_looked_at_that_open_nothing_at_some_hours() -> (
    None
):
    rules = Rules(access=Access(Mode.ANY, (Hours((Span(0, 360),), Mode.CARD),)), notice=NOTICE)

    assert House(memory(ADA, held=HELD), rules, trusted=False).stand(ADA, 9) == []


def test_what_was_seen_before_faces_opened_anything_does_not_count() -> None:
    rules = Rules(access=Access(Mode.ANY, (Hours((Span(0, 360),), Mode.CARD),)), notice=NOTICE)
    door = House(memory(ADA, held=HELD), rules)
    door.stand(ADA, 2)
    door.week_minute = 359
    door.stand(ADA, 1)
    door.week_minute = 360

    assert [opened(door.stand(ADA, 1)) for _ in range(3)] == [[], [], [(ADA.id, "face")]]


def test_a_face_is_enrolled_where_faces_open_nothing() -> None:
    door = house(Mode.CARD)
    code = EnrolmentCode("123456", door.at, "root", Terms())
    door.give(replace(door.store.load(), codes=(code,)))
    door.give(EnrolCommanded(SubjectId("newcomer"), "123456"))

    assert Indication.FRAME_TAKEN in shown(door.stand(STRANGER))


@pytest.mark.parametrize("factor", ["pin", "card"])
def test_who_consented_and_is_not_in_the_gallery_is_not_asked_for_a_face(factor: str) -> None:
    door = house(Mode.FACE)
    assert show(door, factor) == []
    door.store.people = ()  # type: ignore[attr-defined]
    door.load()

    assert show(door, factor) == [(ADA.id, factor)]


def test_a_pin_before_the_factor_that_opens_does_no_harm() -> None:
    for mode, factor in ((Mode.FACE, "face"), (Mode.CARD, "card")):
        door = house(mode)
        assert (show(door, "pin"), show(door, factor)) == ([], [(ADA.id, factor)])


def test_the_face_of_whoever_came_in_by_card_is_not_refused() -> None:
    door = house(Mode.CARD)
    door.card(CARD)

    assert events(door.stand(ADA, 9)) == []


# --- two factors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "method"),
    [
        ("pin", "face", "face+pin"),
        ("face", "pin", "face+pin"),
        ("pin", "card", "card+pin"),
        ("card", "pin", "card+pin"),
    ],
)
def test_two_factors_of_one_resident_open_in_either_order(
    first: str, second: str, method: str
) -> None:
    door = house(Mode.FACE_AND_PIN)

    assert show(door, first) == []
    assert show(door, second) == [(ADA.id, method)]


@pytest.mark.parametrize(("first", "second"), [("face", "card"), ("card", "face")])
def test_a_face_and_a_card_are_not_what_the_door_asks_for(first: str, second: str) -> None:
    door = house(Mode.FACE_AND_PIN)

    assert [show(door, first), show(door, second), show(door, first)] == [[], [], []]


@pytest.mark.parametrize("factor", FACTORS)
def test_one_factor_shown_twice_is_one(factor: str) -> None:
    door = house(Mode.FACE_AND_PIN)

    assert [show(door, factor) for _ in range(3)] == [[], [], []]


def test_the_door_says_which_factor_it_waits_for() -> None:
    door = house(Mode.FACE_AND_PIN)

    assert shown(door.code(PIN)) == [Indication.SHOW_FACE]
    assert shown(door.card(CARD)) == [Indication.GRANTED]
    door.wait(60.0)
    assert shown(door.stand(ADA))[-1] == Indication.ENTER_PIN
    assert shown(door.wait(14.9)) == []
    assert shown(door.wait(2.0)) == [Indication.IDLE]
    assert shown(door.card(CARD)) == [Indication.ENTER_PIN]
    # With a card there, where the face is what opens.
    assert shown(house(Mode.FACE).card(CARD)) == [Indication.SHOW_FACE]


def test_who_has_no_face_is_never_asked_for_one_beside_a_card() -> None:
    by_night = Access(Mode.FACE, (Hours((Span(0, 360),), Mode.PIN),))
    rules = Rules(access=by_night, notice=NOTICE)
    door = House(memory(ADA, held=HELD, consent=None), rules, trusted=False)
    assert shown(door.card(CARD)) == [Indication.ENTER_PIN]
    assert show(door, "pin") == [(ADA.id, "pin")]


@pytest.mark.parametrize(("accessible", "patience"), [(False, 15.0), (True, 30.0)])
def test_a_second_factor_comes_in_time_or_not_at_all(accessible: bool, patience: float) -> None:
    for late in (False, True):
        door = house(Mode.FACE_AND_PIN, accessible=accessible)
        door.code(PIN)
        came = opened(door.card(CARD, after=patience if late else patience - 0.1))
        assert came == ([] if late else [(ADA.id, "card+pin")])


def test_two_factors_of_two_people_open_nothing() -> None:
    door = house(Mode.FACE_AND_PIN)

    assert opened(door.code(PIN)) == []
    assert opened(door.card("card-b")) == []
    assert opened(door.stand(BEN)) == []
    assert opened(door.code("9999")) == []


def test_what_was_shown_is_used_up_by_the_grant() -> None:
    door = house(Mode.FACE_AND_PIN)
    show(door, "pin")
    show(door, "card")
    door.wait(8.0)

    assert show(door, "card") == []


@pytest.mark.parametrize("part", [Part.STORE, Part.RELEASE, Part.CAMERA])
def test_a_fault_makes_the_door_forget_what_was_shown(part: Part) -> None:
    door = house(Mode.FACE_AND_PIN)
    door.code(PIN)
    door.give(Faulted(part, "broken"))
    door.give(Recovered(part))

    assert show(door, "card") == []


@pytest.mark.parametrize("part", [Part.KEYPAD, Part.BROKER])
def test_a_fault_of_what_has_no_say_makes_nobody_start_again(part: Part) -> None:
    door = house(Mode.FACE_AND_PIN)
    door.code(PIN)
    door.give(Faulted(part, "broken"))

    assert show(door, "card") == [(ADA.id, "card+pin")]


def test_whoever_was_revoked_between_two_factors_stays_out() -> None:
    door = house(Mode.FACE_AND_PIN)
    door.code(PIN)
    store = door.store
    store.subjects = {ADA.id: replace(store.subjects[ADA.id], revoked=True)}  # type: ignore[attr-defined]
    door.load()

    assert denials(door.card(CARD)) == [("revoked", ADA.id)]


def test_a_face_whose_consent_fell_since_is_no_second_factor() -> None:
    door = house(Mode.FACE_AND_PIN)
    door.stand(ADA)
    store = door.store
    store.subjects = {ADA.id: replace(store.subjects[ADA.id], suspended=Suspension.PAUSED)}  # type: ignore[attr-defined]
    door.load()

    assert show(door, "pin") == []
    assert show(door, "card") == [(ADA.id, "card+pin")]


@pytest.mark.parametrize(("first", "second"), [("pin", "card"), ("card", "pin"), ("face", "pin")])
def test_what_was_shown_before_the_credentials_changed_is_no_factor(
    first: str, second: str
) -> None:
    door = house(Mode.FACE_AND_PIN)
    show(door, first)
    store = door.store
    changed = replace(store.subjects[ADA.id], credentials=holding(PIN, CARD))  # type: ignore[attr-defined]
    store.subjects = {**store.subjects, ADA.id: changed}  # type: ignore[attr-defined]
    door.load()

    assert show(door, second) == []
    assert len(show(door, first)) == 1


def test_what_was_shown_before_somebody_elses_credentials_changed_is_one() -> None:
    door = house(Mode.FACE_AND_PIN)
    show(door, "pin")
    store = door.store
    changed = replace(store.subjects[BEN.id], credentials=holding())  # type: ignore[attr-defined]
    store.subjects = {**store.subjects, BEN.id: changed}  # type: ignore[attr-defined]
    door.load()

    assert show(door, "card") == [(ADA.id, "card+pin")]


# --- duress ---------------------------------------------------------------------------------------


def test_the_pin_of_duress_opens_as_the_other_does_and_is_recorded_first() -> None:
    plain, forced = house().code(PIN), house().code(DURESS)

    assert [type(event) for event in events(plain)] == [Admitted]
    assert forced == [Append(DuressSignalled(ADA.id)), *plain]
    assert isinstance(forced[2], Energise)


@pytest.mark.parametrize(
    ("mode", "changes", "then"),
    [
        (Mode.FACE_AND_PIN, {}, None),
        (Mode.CARD, {}, None),
        (Mode.ANY, {"revoked": True}, CodeDenied),
        (Mode.ANY, {}, Admitted),
    ],
)
def test_help_is_called_as_soon_as_the_pin_of_duress_is_typed(
    mode: Mode, changes: dict[str, object], then: type | None
) -> None:
    plain, forced = house(mode, **changes).code(PIN), house(mode, **changes).code(DURESS)

    assert forced == [Append(DuressSignalled(ADA.id)), *plain]
    assert [type(event) for event in events(plain)] == ([] if then is None else [then])


def test_help_is_called_by_whoever_is_asked_who_they_are() -> None:
    door = house()
    door.hold()

    assert events(door.code(DURESS)) == [
        DuressSignalled(ADA.id),
        SelfServiceBegun(ADA.id, Method.PIN),
    ]


def test_a_pin_of_duress_that_is_not_compared_calls_nobody() -> None:
    door = house()
    door.give(Faulted(Part.RELEASE, "broken"))

    assert events(door.code(DURESS)) == []


@pytest.mark.parametrize("first", ["pin", "face", "card"])
def test_duress_is_signalled_whichever_factor_comes_last(first: str) -> None:
    door = house(Mode.FACE_AND_PIN)
    if first == "pin":
        assert events(door.code(DURESS)) == [DuressSignalled(ADA.id)]
        effects = door.stand(ADA)
        assert [type(event) for event in events(effects)] == [Granted]
    else:
        show(door, first)
        effects = door.code(DURESS)
        assert events(effects)[0] == DuressSignalled(ADA.id)

    assert len(opened(effects)) == 1


def test_nobody_else_is_under_duress() -> None:
    door = house(Mode.FACE_AND_PIN)
    door.code(DURESS)

    door.card("card-b")
    effects = door.code("1357")

    assert opened(effects) == [(BEN.id, "card+pin")]
    assert [type(event) for event in events(effects)] == [Admitted]


# --- and then -------------------------------------------------------------------------------------


def test_who_needs_more_time_has_the_door_open_for_longer_however_they_enter() -> None:
    for factor in FACTORS:
        door = house(accessible=True)
        show(door, factor)
        assert door.controller.wake_at == door.at + door.rules.accessible_seconds


def test_whoever_came_in_by_pin_is_not_let_in_again_by_the_face() -> None:
    door = house()
    show(door, "pin")

    assert events(door.stand(ADA, 9)) == []
    door.wait(8.0)
    assert opened(door.stand(ADA)) == [(ADA.id, "face")]


@pytest.mark.parametrize("factor", ["pin", "card"])
def test_a_pin_or_a_card_alone_gives_an_administrator_no_authority_to_enrol(factor: str) -> None:
    door = house(administrator=True)
    assert show(door, factor)

    assert shown(door.hold()) == [Indication.WHO_ARE_YOU]


@pytest.mark.parametrize(
    ("mode", "factors"),
    [
        (Mode.ANY, ["face"]),
        (Mode.FACE_AND_PIN, ["pin", "face"]),
        (Mode.FACE_AND_PIN, ["face", "pin"]),
        (Mode.FACE_AND_PIN, ["card", "pin"]),
    ],
)
def test_a_face_or_two_factors_give_an_administrator_authority_to_enrol(
    mode: Mode, factors: list[str]
) -> None:
    door = house(mode, administrator=True)
    assert [show(door, factor) for factor in factors][-1]

    assert [type(event) for event in events(door.hold())] == [EnrolmentStarted]


@pytest.mark.parametrize("other", ["face", "card"])
@pytest.mark.parametrize("first", [False, True])
def test_nobody_is_forced_to_authorise_an_enrolment(other: str, first: bool) -> None:
    door = house(Mode.FACE_AND_PIN, administrator=True)
    if first:
        door.code(DURESS)
        assert show(door, other)
    else:
        show(door, other)
        assert opened(door.code(DURESS))

    assert shown(door.hold()) == [Indication.WHO_ARE_YOU]


def test_whoever_was_forced_while_an_administrator_came_takes_no_authority_away() -> None:
    door = house(Mode.FACE_AND_PIN, administrator=True)
    door.card("card-b")
    door.code(DURESS)
    assert opened(door.code("1357"))

    assert [type(event) for event in events(door.hold())] == [EnrolmentStarted]


def test_a_grant_at_an_open_door_is_recorded_and_releases_nothing() -> None:
    door = house()
    door.card("card-b")

    effects = door.code(PIN)

    assert events(effects) == [Admitted(ADA.id, Method.PIN)]
    assert opened(effects) == []
