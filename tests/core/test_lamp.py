import pytest

from agent.core.effects import Light
from agent.core.inputs import Observed
from agent.core.lamp import BURNS, DARK, DAZZLED, Lamp
from agent.core.types import QualityIssue

ON, OFF = [Light(on=True)], [Light(on=False)]


def frame(luma: float, *, faces: int = 0, moved: bool = False) -> Observed:
    return Observed(10.0, faces, None, luma, moved)


def burning() -> Lamp:
    lamp = Lamp()
    assert lamp.observed(frame(5.0, moved=True), 10.0) == ON
    return lamp


@pytest.mark.parametrize("somebody", [{"faces": 1}, {"moved": True}])
def test_the_light_comes_on_when_somebody_is_there_in_the_dark(somebody: dict[str, int]) -> None:
    lamp = Lamp()

    assert lamp.observed(frame(DARK - 0.1, **somebody), 10.0) == ON  # type: ignore[arg-type]
    assert lamp.deadline == 10.0 + BURNS


@pytest.mark.parametrize("luma", [DARK, 255.0, float("nan")])
def test_there_is_no_light_by_day(luma: float) -> None:
    lamp = Lamp()

    assert lamp.observed(frame(luma, faces=1, moved=True), 10.0) == []
    assert lamp.touched(11.0) == []
    assert lamp.tick(1e9) == []


def test_nobody_needs_light_where_nobody_is() -> None:
    assert Lamp().observed(frame(0.0), 10.0) == []


def test_a_face_in_the_dark_before_a_bright_street_gets_light() -> None:
    seen = Observed(10.0, 1, QualityIssue.TOO_DARK, luma=120.0)

    assert Lamp().observed(seen, 10.0) == ON


def test_whoever_touches_something_in_the_dark_gets_light() -> None:
    lamp = Lamp()
    lamp.observed(frame(5.0), 10.0)

    assert lamp.touched(11.0) == ON


def test_the_light_goes_off_once_nobody_was_there_for_a_while() -> None:
    lamp = burning()

    assert lamp.tick(10.0 + BURNS - 0.1) == []
    assert lamp.tick(10.0 + BURNS) == OFF
    assert lamp.deadline is None
    assert lamp.tick(1e9) == []


def test_the_light_stays_on_for_whoever_stays_though_it_is_bright_by_it() -> None:
    lamp = burning()

    assert lamp.observed(frame(200.0, faces=1), 25.0) == []
    assert lamp.observed(frame(200.0), 40.0) == []
    assert lamp.deadline == 25.0 + BURNS


def test_the_light_that_is_off_again_is_not_needed_by_day() -> None:
    lamp = burning()
    lamp.tick(100.0)

    assert lamp.observed(frame(200.0, faces=1), 101.0) == []


def test_what_moves_as_the_light_comes_on_is_nobody() -> None:
    lamp = burning()

    assert lamp.observed(frame(200.0, moved=True), 10.0 + DAZZLED - 0.1) == []
    assert lamp.deadline == 10.0 + BURNS
    assert lamp.observed(frame(200.0, moved=True), 10.0 + DAZZLED) == []
    assert lamp.deadline == 10.0 + DAZZLED + BURNS


def test_what_moves_as_the_light_goes_off_does_not_switch_it_on_again() -> None:
    lamp = burning()
    assert lamp.tick(30.0) == OFF

    assert lamp.observed(frame(5.0, moved=True), 30.0 + DAZZLED - 0.1) == []
    assert lamp.observed(frame(5.0, moved=True), 30.0 + DAZZLED) == ON


def test_a_face_or_a_hand_has_light_even_then() -> None:
    lamp = burning()
    lamp.tick(30.0)

    assert lamp.observed(frame(5.0, faces=1), 30.1) == ON
    lamp.tick(60.0)
    assert lamp.touched(60.1) == ON


def test_a_clock_that_makes_no_sense_leaves_no_light_on() -> None:
    assert burning().tick(float("nan")) == OFF
