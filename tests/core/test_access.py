import pytest

from agent.core.access import Access, Hours, Mode, accepts, modes
from agent.core.types import Method, Span
from tests.core.people import now_at

NIGHT = Hours((Span(0, 360), Span(1320, 1440)), Mode.FACE_AND_PIN)
NOON = Hours((Span(720, 780), Span(0, 60)), Mode.CARD)
BY_FACE = {Method.FACE}
BY_PIN, BY_CARD = {Method.PIN}, {Method.CARD}
BY_TWO = {Method.FACE_AND_PIN, Method.CARD_AND_PIN}
WITH_CARD = {Method.CARD, Method.CARD_AND_PIN, Method.FACE_AND_CARD}
ANYTHING = BY_FACE | BY_PIN | BY_TWO | WITH_CARD


@pytest.mark.parametrize(
    ("minute", "mode"),
    [
        (0, Mode.FACE_AND_PIN),
        (359, Mode.FACE_AND_PIN),
        (360, Mode.FACE),
        (719, Mode.FACE),
        (720, Mode.CARD),
        (779, Mode.CARD),
        (780, Mode.FACE),
        (1320, Mode.FACE_AND_PIN),
        (1440, Mode.FACE),
        (10_079, Mode.FACE),
    ],
)
def test_the_first_hours_that_it_is_time_for_say_what_the_door_asks_for(
    minute: int, mode: Mode
) -> None:
    access = Access(Mode.FACE, (NIGHT, NOON))

    assert modes(access, now_at(1.0, week_minute=minute)) == {mode}


def test_where_the_clock_is_not_set_all_that_may_be_in_force_is() -> None:
    now = now_at(1.0, week_minute=100, trusted=False)

    assert modes(Access(Mode.FACE, (NIGHT, NOON)), now) == {
        Mode.FACE,
        Mode.FACE_AND_PIN,
        Mode.CARD,
    }
    assert modes(Access(), now) == {Mode.ANY}


@pytest.mark.parametrize(
    ("mode", "with_face", "without"),
    [
        (Mode.ANY, ANYTHING, ANYTHING),
        (
            Mode.FACE,
            BY_FACE | {Method.FACE_AND_PIN, Method.FACE_AND_CARD},
            BY_PIN | BY_CARD | BY_TWO | {Method.FACE_AND_CARD},
        ),
        (Mode.FACE_AND_PIN, BY_TWO, BY_TWO),
        (Mode.CARD, WITH_CARD, WITH_CARD),
        (Mode.PIN, BY_PIN | BY_TWO, BY_PIN | BY_TWO),
    ],
)
def test_a_mode_takes_what_it_says(
    mode: Mode, with_face: set[Method], without: set[Method]
) -> None:
    # Whoever has no face shows none, whatever would be taken.
    assert {m for m in Method if accepts({mode}, m, has_face=True)} == with_face
    assert {m for m in Method if accepts({mode}, m, has_face=False)} == without


def test_what_opens_under_several_modes_opens_under_each() -> None:
    for mode, together in ((Mode.PIN, Method.FACE_AND_PIN), (Mode.CARD, Method.FACE_AND_CARD)):
        assert [m for m in Method if accepts({Mode.FACE, mode}, m, has_face=True)] == [together]
    assert not any(accepts({Mode.FACE_AND_PIN, Mode.FACE}, m, has_face=False) for m in BY_PIN)
