from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from agent.core.policy import (
    DAYS,
    MINUTES_PER_DAY,
    Lockout,
    Refusals,
    admissible,
    consent_objection,
    format_schedule,
    parse_schedule,
)
from agent.core.types import (
    MINUTES_PER_WEEK,
    Notice,
    Now,
    Reason,
    Span,
    Subject,
    SubjectId,
    Suspension,
    Validity,
)
from tests.core.people import CONSENT, NOTICE, now_at, resident

NAN = float("nan")
WALL = 1_000_000.0
ADA = SubjectId("ada")
OFFICE_HOURS = (Span(540, 1080),)


def subject(
    *,
    revoked: bool = False,
    not_before: float | None = None,
    not_after: float | None = None,
    schedule: tuple[Span, ...] = (),
) -> Subject:
    validity = Validity(not_before, not_after, schedule)
    return Subject(SubjectId("ada"), revoked=revoked, validity=validity)


# --- who may enter --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "reason"),
    [
        (subject(), None),
        (subject(revoked=True), Reason.REVOKED),
        (subject(not_before=WALL), None),
        (subject(not_before=WALL + 1), Reason.NOT_YET_VALID),
        (subject(not_after=WALL + 1), None),
        (subject(not_after=WALL), Reason.EXPIRED),
        (subject(not_after=WALL - 1), Reason.EXPIRED),
        (subject(not_before=WALL - 1, not_after=WALL + 1), None),
        (subject(schedule=OFFICE_HOURS), None),
        (subject(schedule=(Span(0, 1), *OFFICE_HOURS)), None),
        (subject(schedule=(Span(0, 600),)), Reason.OUTSIDE_SCHEDULE),
        (subject(schedule=(Span(601, 700),)), Reason.OUTSIDE_SCHEDULE),
        (subject(schedule=(Span(600, 601),)), None),
        (subject(revoked=True, not_after=WALL - 1), Reason.REVOKED),
    ],
)
def test_a_subject_may_enter_within_its_bounds_and_schedule(
    who: Subject, reason: Reason | None
) -> None:
    assert admissible(who, now_at(5.0, wall=WALL, week_minute=600)) is reason


@pytest.mark.parametrize(
    ("who", "reason"),
    [
        (subject(), None),
        (subject(revoked=True, not_after=WALL + 1), Reason.REVOKED),
        (subject(not_before=WALL - 1), Reason.CLOCK_NOT_SET),
        (subject(not_after=WALL + 1), Reason.CLOCK_NOT_SET),
        (subject(not_after=0.0), Reason.CLOCK_NOT_SET),
        (subject(schedule=OFFICE_HOURS), Reason.CLOCK_NOT_SET),
    ],
)
def test_nobody_with_bounds_or_a_schedule_enters_by_a_clock_that_was_not_set(
    who: Subject, reason: Reason | None
) -> None:
    assert admissible(who, now_at(5.0, wall=WALL, week_minute=600, trusted=False)) is reason


@pytest.mark.parametrize(
    "who", [subject(not_before=NAN), subject(not_after=NAN), subject(not_before=NAN, not_after=NAN)]
)
def test_a_bound_that_is_no_number_keeps_its_subject_out(who: Subject) -> None:
    assert admissible(who, now_at(5.0)) is not None


@pytest.mark.parametrize("who", [subject(not_before=0.0), subject(not_after=1e12)])
def test_a_wall_clock_that_is_no_number_keeps_a_subject_with_bounds_out(who: Subject) -> None:
    assert admissible(who, Now(5.0, NAN, 600, trusted=True)) is not None


@pytest.mark.parametrize("trusted", [True, False])
def test_whoever_consented_for_a_time_enters_by_a_clock_that_was_set_only(trusted: bool) -> None:
    lasting = resident(ADA, consent=CONSENT)
    ending = resident(ADA, consent=replace(CONSENT, expires=WALL + 1))
    now = now_at(5.0, wall=WALL, trusted=trusted)

    assert admissible(lasting, now) is None
    assert admissible(ending, now) is (None if trusted else Reason.CLOCK_NOT_SET)


# --- whose consent stands -------------------------------------------------------------------------


@pytest.mark.parametrize("trusted", [True, False])
def test_a_consent_is_asked_of_nobody_who_shows_no_face(trusted: bool) -> None:
    now = now_at(5.0, WALL, trusted=trusted)
    bounded = replace(ending(WALL + 1), validity=Validity(not_after=WALL + 1))

    assert admissible(ending(WALL + 1), now, biometric=False) is None
    objection = admissible(bounded, now, biometric=False)
    assert objection is (None if trusted else Reason.CLOCK_NOT_SET)
    assert admissible(replace(bounded, revoked=True), now, biometric=False) is Reason.REVOKED


@pytest.mark.parametrize("trusted", [True, False])
def test_a_pause_holds_whatever_the_clock_says(trusted: bool) -> None:
    paused = resident(ADA, suspended=Suspension.PAUSED)

    assert consent_objection(paused, NOTICE, now_at(5.0, trusted=trusted)) is Suspension.PAUSED


def minor(guardian: str | None) -> Subject:
    return resident(ADA, minor=True, consent=replace(CONSENT, guardian=guardian))


def ending(expires: float) -> Subject:
    return resident(ADA, consent=replace(CONSENT, expires=expires))


@pytest.mark.parametrize(
    ("who", "objection"),
    [
        (resident(ADA), None),
        (Subject(ADA), Suspension.WITHDRAWN),
        (resident(ADA, suspended=Suspension.WITHDRAWN), Suspension.WITHDRAWN),
        (resident(ADA, suspended=Suspension.PAUSED), Suspension.PAUSED),
        (Subject(ADA, suspended=Suspension.PAUSED), Suspension.WITHDRAWN),
        (replace(ending(WALL), suspended=Suspension.PAUSED), Suspension.PAUSED),
        (resident(ADA, suspended=Suspension.NOTICE_CHANGED), None),
        (resident(ADA, suspended=Suspension.NO_GUARDIAN), None),
        (resident(ADA, suspended=Suspension.EXPIRED), None),
        (
            resident(ADA, consent=replace(CONSENT, notice=Notice("2025-01", NOTICE.sha256))),
            Suspension.NOTICE_CHANGED,
        ),
        (
            resident(ADA, consent=replace(CONSENT, notice=Notice(NOTICE.version, "00" * 32))),
            Suspension.NOTICE_CHANGED,
        ),
        (minor("Mum"), None),
        (minor(None), Suspension.NO_GUARDIAN),
        (minor(""), Suspension.NO_GUARDIAN),
        (minor(" \t"), Suspension.NO_GUARDIAN),
        (ending(WALL + 0.1), None),
        (ending(WALL), Suspension.EXPIRED),
        (ending(WALL - 1), Suspension.EXPIRED),
        (ending(NAN), Suspension.EXPIRED),
    ],
)
def test_a_consent_stands_until_something_is_against_it(
    who: Subject, objection: Suspension | None
) -> None:
    assert consent_objection(who, NOTICE, now_at(5.0, wall=WALL)) is objection


def test_no_consent_expires_by_a_clock_that_was_not_set() -> None:
    for expires in (WALL - 1, NAN):
        assert consent_objection(ending(expires), NOTICE, now_at(5.0, WALL, trusted=False)) is None


@pytest.mark.parametrize("expires", [WALL - 1, WALL + 1])
def test_no_consent_that_expired_counts_again_by_a_clock_that_was_not_set(expires: float) -> None:
    known = replace(ending(expires), suspended=Suspension.EXPIRED)
    other = Notice("2025-01", NOTICE.sha256)
    now = now_at(5.0, WALL, trusted=False)

    assert consent_objection(known, NOTICE, now) is Suspension.EXPIRED
    assert consent_objection(known, other, now) is Suspension.EXPIRED


def test_a_wall_clock_that_is_no_number_ends_a_consent_that_expires() -> None:
    now = Now(5.0, NAN, 600, trusted=True)

    assert consent_objection(ending(1e12), NOTICE, now) is Suspension.EXPIRED
    assert consent_objection(resident(ADA), NOTICE, now) is None


# --- schedules as text ----------------------------------------------------------------------------


def test_a_schedule_names_days_and_hours() -> None:
    assert parse_schedule("Mon-Tue 08:00-18:00, sat 9:00-12:30") == (
        Span(480, 1080),
        Span(MINUTES_PER_DAY + 480, MINUTES_PER_DAY + 1080),
        Span(5 * MINUTES_PER_DAY + 540, 5 * MINUTES_PER_DAY + 750),
    )


@pytest.mark.parametrize("text", ["", "  ", ","])
def test_no_schedule_means_always(text: str) -> None:
    assert parse_schedule(text) == ()


def test_a_whole_day_ends_at_24_00() -> None:
    assert parse_schedule("mon 00:00-24:00") == (Span(0, MINUTES_PER_DAY),)


def test_hours_that_end_before_they_start_run_past_midnight() -> None:
    assert parse_schedule("mon 22:00-06:00") == (Span(1320, 1800),)


def test_the_night_from_sunday_to_monday_is_two_spans() -> None:
    sunday_at_ten = 6 * MINUTES_PER_DAY + 1320

    assert parse_schedule("sun 22:00-06:00") == (
        Span(sunday_at_ten, MINUTES_PER_WEEK),
        Span(0, 360),
    )


def test_days_run_past_the_end_of_the_week() -> None:
    assert [span.start for span in parse_schedule("sun-mon 08:00-09:00")] == [
        6 * MINUTES_PER_DAY + 480,
        480,
    ]


@pytest.mark.parametrize(
    "text",
    [
        "mon",
        "08:00-18:00",
        "mon 08:00",
        "mon 8-18",
        "mon 08:00-18:00-20:00",
        "mon 08:60-18:00",
        "mon 25:00-26:00",
        "mon 24:01-06:00",
        "mon -1:00-06:00",
        "mon 08:00-18:00 often",
        "montag 08:00-18:00",
        "mon-someday 08:00-18:00",
        "-fri 08:00-18:00",
        "mon 08:00-1x:00",
        "mon 08:00-18:00, nonsense",
    ],
)
def test_a_schedule_that_cannot_be_read_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"^schedule '.*': write it like 'mon-fri 08:00-18:00'$"):
        parse_schedule(text)


@pytest.mark.parametrize("text", ["sun 24:00-02:00", "mon 24:00-24:00", "mon-fri 24:00-23:00"])
def test_no_hours_begin_at_24_00(text: str) -> None:
    with pytest.raises(ValueError, match="write it like"):
        parse_schedule(text)


DAY = st.integers(0, 6)
OPENING = st.integers(0, MINUTES_PER_DAY - 1)
CLOSING = st.integers(0, MINUTES_PER_DAY)
PART = st.tuples(DAY, DAY, OPENING, CLOSING)


def clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def written(first: int, last: int, opening: int, closing: int) -> str:
    return f"{DAYS[first]}-{DAYS[last]} {clock(opening)}-{clock(closing)}"


def minutes_of(first: int, last: int, opening: int, closing: int) -> set[int]:
    """Count them one by one: what a schedule means, said without the code's arithmetic."""
    days = [first]
    while days[-1] != last:
        days.append((days[-1] + 1) % 7)
    minutes = set()
    for day in days:
        minute, clock = day * MINUTES_PER_DAY + opening, opening
        while True:
            minutes.add(minute % MINUTES_PER_WEEK)
            minute, clock = minute + 1, clock + 1
            if clock % MINUTES_PER_DAY == closing % MINUTES_PER_DAY:
                break
    return minutes


@given(PART)
def test_a_schedule_covers_the_minutes_that_it_says(part: tuple[int, int, int, int]) -> None:
    spans = parse_schedule(written(*part))

    assert all(0 <= span.start < span.end <= MINUTES_PER_WEEK for span in spans)
    assert {m for span in spans for m in range(span.start, span.end)} == minutes_of(*part)


@given(st.lists(PART, max_size=4))
def test_a_schedule_reads_back_as_it_was_written(parts: list[tuple[int, int, int, int]]) -> None:
    schedule = parse_schedule(", ".join(written(*part) for part in parts))

    assert parse_schedule(format_schedule(schedule)) == schedule


# --- lockout --------------------------------------------------------------------------------------


def test_refusals_in_a_row_lock_the_door_out_for_a_while() -> None:
    attempts = Refusals(Lockout(refusals=3, within=60.0, seconds=30.0))

    assert [attempts.refused(at) for at in (1.0, 2.0, 3.0)] == [False, False, True]
    assert [attempts.locked(at) for at in (3.0, 32.9, 33.0, 33.1)] == [True, True, False, False]


def test_nothing_is_locked_out_before_there_were_enough_refusals() -> None:
    attempts = Refusals(Lockout(refusals=2))
    attempts.refused(1.0)

    assert not attempts.locked(1.0)


def test_refusals_far_apart_are_not_in_a_row() -> None:
    attempts = Refusals(Lockout(refusals=2, within=60.0))
    attempts.refused(0.0)

    assert not attempts.refused(60.1)
    assert attempts.refused(60.1 + 60.0)


def test_a_grant_forgets_the_refusals_before_it() -> None:
    attempts = Refusals(Lockout(refusals=2))
    attempts.refused(1.0)
    attempts.granted()

    assert not attempts.refused(2.0)


def test_a_lockout_that_is_over_forgets_the_refusals_before_it() -> None:
    attempts = Refusals(Lockout(refusals=2, seconds=30.0))
    attempts.refused(1.0)
    attempts.refused(2.0)

    assert not attempts.locked(32.0)
    assert not attempts.refused(32.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"refusals": 0},
        {"refusals": 101},
        {"within": 0.0},
        {"within": NAN},
        {"seconds": 29.9},
        {"seconds": 3601.0},
        {"seconds": NAN},
    ],
)
def test_a_lockout_outside_its_bounds_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        replace(Lockout(), **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bounds", [{"refusals": 1, "seconds": 30.0}, {"refusals": 100, "seconds": 3600.0}]
)
def test_a_lockout_at_its_bounds_is_taken(bounds: dict[str, float]) -> None:
    replace(Lockout(), **bounds)  # type: ignore[arg-type]
