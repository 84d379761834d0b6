import pytest

from agent.core.credentials import NO_ATTEMPTS, Attempts, Reader, Strikes
from agent.core.throttle import Codes, Throttle

KEYPAD, CARD_READER = Reader.KEYPAD, Reader.CARD_READER
NAN, INFINITY = float("nan"), float("inf")
RULES = Codes(attempts=3, seconds=60.0, longest_seconds=200.0, overall=10, drain_seconds=300.0)


def throttle(kept: Attempts = NO_ATTEMPTS, *, of_this_boot: bool = True) -> Throttle:
    made = Throttle(RULES)
    made.load(kept, 1000.0, of_this_boot=of_this_boot)
    return made


def try_in_vain(tried: Throttle, times: int, now: float, reader: Reader = KEYPAD) -> None:
    for _ in range(times):
        tried.wrong(reader, now)


# --- a row ----------------------------------------------------------------------------------------


def test_a_reader_is_shut_by_so_many_wrong_entries_in_a_row() -> None:
    tried = throttle()

    assert [tried.wrong(KEYPAD, 1000.0) for _ in range(3)] == [None, None, (KEYPAD, 60.0)]
    assert tried.shut(KEYPAD, 1059.9)
    assert not tried.shut(KEYPAD, 1060.0)
    assert not tried.shut(CARD_READER, 1000.0)


def test_each_further_wrong_entry_shuts_it_for_twice_as_long_up_to_the_longest() -> None:
    tried = throttle()
    try_in_vain(tried, 2, 1000.0)

    shut = [tried.wrong(KEYPAD, 1000.0 + 1e4 * number) for number in range(30)]

    assert shut == [(KEYPAD, 60.0), (KEYPAD, 120.0), *[(KEYPAD, 200.0)] * 28]


def test_the_longest_time_is_reached_however_short_the_first_one_is() -> None:
    tried = Throttle(Codes(attempts=1, seconds=30.0, longest_seconds=86_400.0))

    shut = [tried.wrong(KEYPAD, 1e6 * number) for number in range(2000)]

    assert shut[-1] == (KEYPAD, 86_400.0)


def test_a_right_entry_ends_the_row_of_its_reader_alone() -> None:
    tried = throttle()
    for reader in Reader:
        try_in_vain(tried, 2, 1000.0, reader)

    tried.right(KEYPAD)

    assert tried.wrong(KEYPAD, 1000.0) is None
    assert tried.wrong(CARD_READER, 1000.0) == (CARD_READER, 60.0)


# --- all together ---------------------------------------------------------------------------------


def test_wrong_entries_add_up_over_all_readers_and_whatever_is_right_between_them() -> None:
    tried = throttle()
    for number in range(9):
        assert tried.wrong(list(Reader)[number % 2], 1000.0) is None
        tried.right(KEYPAD)
        tried.right(CARD_READER)

    assert tried.wrong(KEYPAD, 1000.0) == (None, 300.0)
    for reader in Reader:
        assert tried.shut(reader, 1299.9)
        assert not tried.shut(reader, 1300.0)


def test_one_entry_is_forgotten_each_time_that_one_is_drained() -> None:
    tried = throttle()
    try_in_vain(tried, 10, 1000.0, CARD_READER)

    taken = 0
    for second in range(0, 30_000, 10):
        now = 1000.0 + second
        if not tried.shut(KEYPAD, now):
            tried.wrong(KEYPAD, now)
            tried.right(KEYPAD)
            taken += 1

    assert taken == 30_000 // 300 - 1


def test_nothing_is_drained_below_nothing() -> None:
    tried = throttle()
    try_in_vain(tried, 1, 1000.0)

    assert tried.wrong(KEYPAD, 1e9) is None
    assert tried.attempts.level == 1.0


# --- what was kept --------------------------------------------------------------------------------


def test_within_a_boot_a_restart_changes_nothing() -> None:
    tried = throttle()
    try_in_vain(tried, 3, 1000.0)

    again = throttle(tried.attempts)

    assert again.attempts == tried.attempts
    assert again.shut(KEYPAD, 1059.9)
    assert not again.shut(KEYPAD, 1060.0)


def test_after_another_boot_a_reader_that_was_shut_is_shut_for_as_long_again() -> None:
    kept = Attempts(Strikes(4, until=9e9), Strikes(2), level=9.5, at=8e9)

    again = throttle(kept, of_this_boot=False)

    assert again.shut(KEYPAD, 1119.9)
    assert again.shut(CARD_READER, 1149.9), "nothing was drained meanwhile"
    assert not again.shut(KEYPAD, 1150.0)
    assert not again.shut(CARD_READER, 1150.0)
    assert again.wrong(KEYPAD, 1e5) == (KEYPAD, 200.0)


def test_what_was_kept_counts_once_for_from_then_on_nobody_knows_better() -> None:
    tried = throttle()
    try_in_vain(tried, 3, 1000.0)

    tried.load(NO_ATTEMPTS, 1001.0, of_this_boot=True)

    assert tried.shut(KEYPAD, 1001.0)


@pytest.mark.parametrize("now", [NAN, -INFINITY])
def test_a_clock_that_makes_no_sense_opens_no_reader_that_was_shut(now: float) -> None:
    tried = throttle()
    try_in_vain(tried, 3, 1000.0)

    assert tried.shut(KEYPAD, now)


@pytest.mark.parametrize(
    "kept",
    [
        Attempts(Strikes(0, NAN)),
        Attempts(Strikes(0, INFINITY)),
        Attempts(level=NAN),
        Attempts(level=INFINITY),
        Attempts(level=10.0, at=NAN),
    ],
)
def test_what_was_kept_and_is_no_number_shuts(kept: Attempts) -> None:
    assert throttle(kept).shut(KEYPAD, 1e9)


# --- the rules ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {name: value}
        for name, values in {
            "attempts": [0, 11, NAN],
            "seconds": [29.0, 3601.0, NAN],
            "longest_seconds": [59.0, 86_401.0, NAN],
            "overall": [0, 1001, NAN],
            "drain_seconds": [0.0, 86_401.0, NAN],
            "second_factor_seconds": [4.0, 61.0, NAN],
        }.items()
        for value in values
    ],
)
def test_rules_outside_their_bounds_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))} must be"):
        Codes(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bounds",
    [
        {"attempts": 1, "seconds": 30.0, "longest_seconds": 30.0, "overall": 1},
        {"attempts": 10, "seconds": 3600.0, "longest_seconds": 86_400.0, "overall": 1000},
        {"drain_seconds": 1.0, "second_factor_seconds": 5.0},
        {"drain_seconds": 86_400.0, "second_factor_seconds": 60.0},
    ],
)
def test_rules_at_their_bounds_are_taken(bounds: dict[str, float]) -> None:
    Codes(**bounds)  # type: ignore[arg-type]
