"""What any indicator does, and that its patterns can be told apart by everybody."""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby

import pytest

from agent.adapters.clock import SystemClock
from agent.adapters.indicator import PATTERNS, GpioIndicator, Step
from agent.adapters.simulated import SimulatedDoor
from agent.config import Gpio as Lines
from agent.core.effects import Indication
from agent.core.types import SubjectId
from agent.errors import DeviceError
from agent.ports import Indicator
from tests.contracts.boards import BOARDS, Board
from tests.contracts.waiting import eventually
from tests.simulated_gpio import simulated_gpio

LIGHT = 12
LINES = Lines(light=LIGHT)
RED, GREEN, BLUE, BUZZER = 5, 6, 13, 19
SHOWN = [indication for indication in Indication if indication is not Indication.KEY]
"""What stays on show; a key clicks."""


@pytest.fixture(params=["simulated door", *BOARDS])
def indicator(request: pytest.FixtureRequest) -> Iterator[Indicator]:
    if request.param not in BOARDS:
        yield SimulatedDoor(SystemClock(), lambda: SubjectId("s-1"))
        return
    with BOARDS[request.param]() as board:
        made = GpioIndicator(board.gpio, LINES)
        yield made
        made.close()


def test_every_indication_can_be_shown_in_any_order(indicator: Indicator) -> None:
    for indication in (*Indication, *reversed(Indication)):
        indicator.show(indication)
        indicator.light(on=True)


def test_close_may_be_called_twice_and_then_showing_does_nothing(indicator: Indicator) -> None:
    indicator.close()
    indicator.close()
    indicator.show(Indication.GRANTED)
    indicator.show(Indication.KEY)
    indicator.light(on=True)


def test_the_simulated_door_remembers_what_it_showed() -> None:
    door = SimulatedDoor(SystemClock(), lambda: SubjectId("s-1"))
    door.show(Indication.LOOKING)
    door.show(Indication.GRANTED)
    door.light(on=True)
    door.close()
    assert door.indications == [Indication.LOOKING, Indication.GRANTED]
    assert door.lit


# --- LED and buzzer -------------------------------------------------------------------------------


@dataclass
class Panel:
    """A GPIO indicator, and a look at its lines."""

    indicator: GpioIndicator
    board: Board

    def levels(self) -> tuple[int, ...]:
        """Red, green, blue and buzzer."""
        return tuple(self.board.chip.level(line) for line in (RED, GREEN, BLUE, BUZZER))


@pytest.fixture(params=BOARDS)
def panel(request: pytest.FixtureRequest) -> Iterator[Panel]:
    with BOARDS[request.param]() as board:
        indicator = GpioIndicator(board.gpio, LINES)
        yield Panel(indicator, board)
        indicator.close()


def test_a_grant_lights_green_and_beeps_and_then_is_green_and_silent(panel: Panel) -> None:
    panel.indicator.show(Indication.GRANTED)
    assert eventually(lambda: panel.levels() == (0, 1, 0, 1))
    assert eventually(lambda: panel.levels() == (0, 1, 0, 0))


def test_a_refusal_lights_red(panel: Panel) -> None:
    panel.indicator.show(Indication.REFUSED)
    assert eventually(lambda: panel.levels() == (1, 0, 0, 1))


def test_white_is_all_three_colours(panel: Panel) -> None:
    panel.indicator.show(Indication.MORE_LIGHT)
    assert eventually(lambda: panel.levels() == (1, 1, 1, 0))


def test_a_pattern_goes_on_without_being_shown_again(panel: Panel) -> None:
    panel.indicator.show(Indication.COME_CLOSER)
    for _ in range(2):
        assert eventually(lambda: panel.levels() == (0, 0, 1, 0))
        assert eventually(lambda: panel.levels() == (0, 0, 0, 0))


def test_an_opening_is_played_once(panel: Panel) -> None:
    panel.indicator.show(Indication.REFUSED)
    # three beeps and their gaps, and then the loop a few times over
    assert eventually(lambda: len(panel.board.chip.history[RED]) > 16)
    assert panel.board.chip.history[BUZZER].count(1) == 3


def test_what_is_shown_twice_is_played_from_its_start_again(panel: Panel) -> None:
    for _ in range(2):
        panel.indicator.show(Indication.FRAME_TAKEN)
        assert eventually(lambda: panel.levels() == (1, 1, 1, 1))
        assert eventually(lambda: panel.levels()[3] == 0)


def test_news_does_not_wait_for_the_pattern_under_way(panel: Panel) -> None:
    panel.indicator.show(Indication.IDLE)  # dark for almost five seconds
    assert eventually(lambda: panel.levels() == (0, 0, 0, 0))
    panel.indicator.show(Indication.FAULT)
    assert eventually(lambda: panel.levels() == (1, 0, 0, 0))


def test_a_key_clicks_and_changes_nothing_else(panel: Panel) -> None:
    panel.indicator.show(Indication.FAULT)  # red for three seconds
    assert eventually(lambda: panel.levels() == (1, 0, 0, 0))
    beeps = panel.board.chip.history[BUZZER]
    for _ in range(3):
        panel.indicator.show(Indication.KEY)
        assert eventually(lambda: panel.levels() == (1, 0, 0, 1))
        assert eventually(lambda: panel.levels() == (1, 0, 0, 0))
    assert beeps.count(1) == 3
    assert 0 not in panel.board.chip.history[RED][-6:]


def test_keys_do_not_hurry_the_pattern_that_is_on_show(panel: Panel) -> None:
    panel.indicator.show(Indication.MORE_LIGHT)  # one second lit, one dark
    began = time.monotonic()
    assert eventually(lambda: panel.levels()[:3] == (1, 1, 1))
    while time.monotonic() - began < 0.9:
        panel.indicator.show(Indication.KEY)
        time.sleep(0.02)
        # A busy machine may have slept through the end of the second.
        assert panel.levels()[:3] == (1, 1, 1) or time.monotonic() - began >= 1.0


def test_the_light_goes_on_and_off_whatever_is_on_show(panel: Panel) -> None:
    panel.indicator.show(Indication.FAULT)
    assert eventually(lambda: panel.levels() == (1, 0, 0, 0))
    panel.indicator.light(on=True)
    assert eventually(lambda: panel.board.chip.level(LIGHT) == 1)
    panel.indicator.light(on=False)
    assert eventually(lambda: panel.board.chip.level(LIGHT) == 0)
    assert panel.levels() == (1, 0, 0, 0)


def test_a_flash_is_lit_before_the_call_returns_and_then_the_light_is_as_it_was(
    panel: Panel,
) -> None:
    for lit in (False, True):
        panel.indicator.light(on=lit)
        assert eventually(lambda: panel.board.chip.level(LIGHT) == lit)  # noqa: B023 - at once
        for on in (True, False, True, False):
            panel.indicator.flash(on=on)
            assert panel.board.chip.level(LIGHT) == on
        panel.indicator.flash(on=None)
        assert panel.board.chip.level(LIGHT) == lit


def test_what_the_lamp_is_told_during_a_flash_counts_after_it(panel: Panel) -> None:
    panel.indicator.flash(on=False)
    panel.indicator.light(on=True)
    panel.indicator.show(Indication.FAULT)
    assert eventually(lambda: panel.levels() == (1, 0, 0, 0))
    assert panel.board.chip.level(LIGHT) == 0
    panel.indicator.flash(on=None)
    assert panel.board.chip.level(LIGHT) == 1


def test_nothing_flashes_once_it_is_closed(panel: Panel) -> None:
    panel.indicator.flash(on=True)
    panel.indicator.close()
    assert panel.board.chip.level(LIGHT) == 0
    panel.indicator.flash(on=True)
    assert panel.board.chip.level(LIGHT) == 0


def test_a_light_that_does_not_obey_is_told_in_one_line() -> None:
    gpio = simulated_gpio()
    indicator = GpioIndicator(gpio, LINES)
    gpio.broken[LIGHT] = "I/O error"
    with pytest.raises(DeviceError, match=r"^gpio: line 12 \(LED, buzzer or light\): I/O error"):
        indicator.flash(on=True)
    del gpio.broken[LIGHT]
    indicator.close()


def test_a_door_without_a_light_flashes_nothing_and_says_so() -> None:
    without: list[Indicator] = [
        GpioIndicator(simulated_gpio(), Lines()),
        SimulatedDoor(SystemClock(), lambda: SubjectId("s-1")),
    ]
    for indicator in without:
        indicator.flash(on=None)
        with pytest.raises(DeviceError, match="light"):
            indicator.flash(on=True)
        indicator.close()


def test_close_leaves_it_dark_and_silent(panel: Panel) -> None:
    panel.indicator.show(Indication.REFUSED)
    panel.indicator.light(on=True)
    assert eventually(lambda: panel.levels() == (1, 0, 0, 1))
    assert eventually(lambda: panel.board.chip.level(LIGHT) == 1)
    panel.indicator.close()
    panel.indicator.light(on=True)
    assert panel.levels() == (0, 0, 0, 0)
    assert panel.board.chip.level(LIGHT) == 0


def test_close_ends_though_others_go_on_showing(panel: Panel) -> None:
    closed = threading.Event()

    def insist() -> None:
        while not closed.is_set():
            panel.indicator.show(Indication.GRANTED)

    insisting = threading.Thread(target=insist)
    insisting.start()
    closing = threading.Thread(target=panel.indicator.close, daemon=True)
    closing.start()
    closing.join(10.0)
    closed.set()
    insisting.join()
    assert not closing.is_alive()


def test_lines_that_are_not_connected_are_not_touched() -> None:
    gpio = simulated_gpio()
    lines = Lines(led_red=None, led_blue=None, buzzer=None, light=None)
    indicator = GpioIndicator(gpio, lines)
    indicator.show(Indication.GRANTED)
    assert eventually(lambda: gpio.level(GREEN) == 1)
    indicator.close()
    assert set(gpio.history) == {GREEN}


def test_a_line_that_cannot_be_had_is_told_in_one_line() -> None:
    gpio = simulated_gpio()
    gpio.broken[BUZZER] = "GPIO busy"
    with pytest.raises(DeviceError, match=r"^gpio: line 19 \(LED, buzzer or light\): GPIO busy: "):
        GpioIndicator(gpio, LINES)


def test_a_line_that_fails_later_is_logged_once_and_played_again_once_it_works(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gpio = simulated_gpio()
    indicator = GpioIndicator(gpio, LINES)
    gpio.broken[GREEN] = "I/O error"
    indicator.show(Indication.ENROLLED)
    assert eventually(lambda: gpio.failures >= 3)
    del gpio.broken[GREEN]
    assert eventually(lambda: gpio.level(GREEN) == 1)
    indicator.close()
    assert caplog.text.count("I/O error") == 1


def test_close_ends_the_thread() -> None:
    before = threading.active_count()
    indicator = GpioIndicator(simulated_gpio(), LINES)
    assert threading.active_count() == before + 1
    indicator.close()
    assert threading.active_count() == before


# --- the patterns ---------------------------------------------------------------------------------


def rhythm(steps: Sequence[Step]) -> tuple[tuple[bool, float], ...]:
    """Lit or dark, and for how long: all there is without colours and sound."""
    return tuple(
        (lit, round(sum(seconds for _, _, seconds in group), 3))
        for lit, group in groupby(steps, key=lambda step: step[0] != "")
    )


def beeps(steps: Sequence[Step]) -> tuple[str, ...]:
    """Short or long: all that somebody who sees nothing has."""
    return tuple("long" if seconds > 0.3 else "short" for _, sound, seconds in steps if sound)


def test_every_indication_has_a_pattern() -> None:
    assert set(PATTERNS) == set(SHOWN)


def test_any_two_indications_differ_to_who_sees_no_colours_and_hears_nothing() -> None:
    for pair in combinations(SHOWN, 2):
        seen = [(rhythm(PATTERNS[name].opening), rhythm(PATTERNS[name].loop)) for name in pair]
        assert seen[0] != seen[1], pair


def test_what_stays_on_show_differs_by_rhythm_alone() -> None:
    # A frame taken is a beep and a blink within the enrolment; before and after they look alike.
    lasting = [name for name in SHOWN if name is not Indication.FRAME_TAKEN]
    loops = [rhythm(PATTERNS[name].loop) for name in lasting]
    assert len(set(loops)) == len(loops)


def test_any_two_indications_that_sound_differ_to_who_sees_nothing() -> None:
    heard = [beeps(pattern.opening) for pattern in PATTERNS.values() if beeps(pattern.opening)]
    assert len(set(heard)) == len(heard)


@pytest.mark.parametrize(
    "outcome",
    [
        Indication.GRANTED,
        Indication.REFUSED,
        Indication.WAIT,
        Indication.FRAME_TAKEN,
        Indication.ENROLLED,
        Indication.NOT_ENROLLED,
        Indication.ENTER_PIN,
        Indication.SHOW_FACE,
        Indication.WHO_ARE_YOU,
        Indication.CHOOSE,
        Indication.CONFIRM,
        Indication.CONFIRM_AGAIN,
        Indication.PAUSED,
        Indication.RESUMED,
        Indication.LEAVING,
        Indication.DOORBELL,
        Indication.TURN_LEFT,
        Indication.TURN_RIGHT,
    ],
)
def test_every_outcome_and_every_question_can_be_heard(outcome: Indication) -> None:
    assert beeps(PATTERNS[outcome].opening)


def test_nothing_sounds_for_ever() -> None:
    assert not any(beeps(pattern.loop) for pattern in PATTERNS.values())


def test_nothing_flashes_more_than_three_times_in_a_second() -> None:
    for indication, pattern in PATTERNS.items():
        at, flashes, lit_before = 0.0, [], False
        for colours, _, seconds in (*pattern.opening, *pattern.loop * 20):
            if colours and not lit_before:
                flashes.append(at)
            lit_before = bool(colours)
            at += seconds
        for begin in flashes:
            assert sum(begin <= flash < begin + 1.0 for flash in flashes) <= 3, indication


def test_every_step_takes_time() -> None:
    for pattern in PATTERNS.values():
        assert pattern.loop
        assert all(seconds > 0 for _, _, seconds in (*pattern.opening, *pattern.loop))
