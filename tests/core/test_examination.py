"""Whether a recognised face is there in the flesh: who is asked, and what comes of the answer."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from agent.core.access import Access, Hours, Mode, pad_level
from agent.core.effects import Effect, Indication, Light
from agent.core.events import (
    AttackPresented,
    Denied,
    EnrolmentStarted,
    LockedOut,
    Part,
    SelfServiceBegun,
)
from agent.core.examination import ANSWERS, CODES, RESTS
from agent.core.inputs import EnrolCommanded, ExitPressed, Faulted, Observed, Recovered
from agent.core.pad import Cue, Examined, PadLevel, Verdict
from agent.core.policy import Lockout
from agent.core.rules import Rules
from agent.core.types import EnrolmentCode, QualityIssue, Span, SubjectId, Terms
from tests.core.entries import AGE, events, holding, memory, opened, shown
from tests.core.examining import ALIVE, CHALLENGE, FLASH, MOVED, SCREEN, SUN, VEILED, Lit, asked
from tests.core.people import NOTICE, Person, now_at, somebody

ADA, BEN, STRANGER = somebody("ada"), somebody("ben"), somebody("stranger")
PIN = "2468"
NIGHT = (Span(0, 360),)


def door(rules: Rules = FLASH, **changes: object) -> Lit:
    return Lit(memory(ADA, BEN, held={ADA: holding(PIN, "card")}, **changes), rules)  # type: ignore[arg-type]


def with_mode(mode: Mode, pad: PadLevel = PadLevel.FLASH) -> Rules:
    return Rules(access=Access(mode, pad=pad), notice=NOTICE)


def reasons(effects: Sequence[Effect]) -> list[str]:
    return [each.reason for each in events(effects) if isinstance(each, Denied)]


# --- who is examined ------------------------------------------------------------------------------


def test_a_match_is_examined_before_the_door_opens() -> None:
    lit = door()
    effects = lit.stand(ADA)

    [examine] = asked(effects)
    assert examine.lit in CODES
    assert examine.until == pytest.approx(lit.at + ANSWERS)
    assert opened(effects) == []
    assert opened(lit.answer(ALIVE, ADA)) == [(ADA.id, "face")]


def test_at_level_basic_nobody_is() -> None:
    lit = door(Rules(notice=NOTICE))
    effects = lit.stand(ADA)
    assert (asked(effects), opened(effects)) == ([], [(ADA.id, "face")])


def test_strangers_are_never_lit() -> None:
    lit = door()
    assert asked(lit.stand(STRANGER, 9)) == []


def test_whoever_may_not_enter_is_not_lit_but_refused() -> None:
    lit = door(revoked=True)
    effects = lit.stand(ADA)
    assert (asked(effects), reasons(effects)) == ([], ["revoked"])


def test_nothing_is_looked_at_until_the_answer() -> None:
    lit = door()
    lit.stand(ADA)
    assert lit.stand(ADA, 6) == []
    assert lit.stand(STRANGER, 2) == []


def test_the_code_has_both_light_and_dark_and_changes() -> None:
    for code in CODES:
        assert len(code) == 6
        assert 2 <= sum(code) <= 4
        assert sum(a is not b for a, b in pairwise(code)) >= 2
    assert len(CODES) > 30


@pytest.mark.parametrize("burns", [False, True])
def test_no_code_flashes_more_than_three_times_with_a_pause_after_it(burns: bool) -> None:
    for code in CODES:
        levels = (burns, *code, burns)
        on = sum(b and not a for a, b in pairwise(levels))
        off = sum(a and not b for a, b in pairwise(levels))
        assert max(on, off) <= 3
    assert RESTS >= 1.0


def test_the_code_is_drawn_anew_each_time() -> None:
    drawn = iter([3, 5])
    lit = door()
    lit.controller._reception._examination._draw = lambda _: next(drawn)  # noqa: SLF001
    codes = [each.lit for each in asked(lit.stand(ADA))]
    lit.answer(SCREEN, ADA)
    lit.wait(10.0)
    codes += [each.lit for each in asked(lit.stand(ADA))]
    assert codes == [CODES[3], CODES[5]]


# --- what comes of it -----------------------------------------------------------------------------


def test_an_attack_is_told_of_and_refused_and_counts() -> None:
    rules = replace(FLASH, lockout=Lockout(refusals=2))
    lit = door(rules)
    lit.stand(ADA)
    effects = lit.answer(SCREEN, ADA)

    assert AttackPresented(Cue.REFLECTION, 6) in events(effects)
    assert reasons(effects) == ["presentation_attack"]
    assert shown(effects) == [Indication.REFUSED]
    lit.wait(3.0)
    lit.stand(ADA)
    assert LockedOut(2, 30.0) in events(lit.answer(SCREEN, ADA))


def test_an_attack_is_refused_where_a_second_factor_was_shown() -> None:
    lit = door(with_mode(Mode.FACE_AND_PIN))
    lit.code(PIN)
    lit.stand(ADA)
    assert opened(lit.answer(SCREEN, ADA)) == []
    lit.code(PIN)
    assert opened(lit.wait(1.0)) == []


@pytest.mark.parametrize("verdict", [SUN, MOVED])
def test_what_cannot_be_told_takes_the_pin(verdict: Verdict) -> None:
    lit = door(with_mode(Mode.FACE))
    lit.stand(ADA)
    effects = lit.answer(verdict, ADA)

    assert opened(effects) == []
    assert shown(effects) == [Indication.ENTER_PIN]
    assert opened(lit.code(PIN)) == [(ADA.id, "face+pin")]


@pytest.mark.parametrize("verdict", [SUN, MOVED])
def test_where_the_face_is_asked_for_beside_the_pin_nothing_stands_in_for_it(
    verdict: Verdict,
) -> None:
    lit = door(with_mode(Mode.FACE_AND_PIN))
    lit.stand(ADA)
    first = lit.answer(verdict, ADA)
    assert (opened(first), reasons(first)) == ([], ["not_told_alive"])
    assert opened(lit.code(PIN)) == []
    lit.wait(3.0)
    lit.stand(ADA)
    assert opened(lit.answer(verdict, ADA)) == []


def test_whoever_is_examined_and_cannot_be_told_must_be_who_was_recognised_all_the_same() -> None:
    lit = door(with_mode(Mode.FACE))
    lit.code(PIN)
    lit.stand(ADA)
    effects = lit.answer(MOVED, BEN)
    assert (opened(effects), reasons(effects)) == ([], ["inconsistent"])


def test_what_cannot_be_told_after_the_pin_is_enough_for_both() -> None:
    lit = door(with_mode(Mode.FACE))
    lit.code(PIN)
    lit.stand(ADA)
    assert opened(lit.answer(SUN, ADA)) == [(ADA.id, "face+pin")]


@pytest.mark.parametrize(
    ("verdict", "hint"),
    [(SUN, Indication.REFUSED), (VEILED, Indication.REFUSED), (MOVED, Indication.LOOK_HERE)],
)
def test_what_cannot_be_told_of_who_has_no_pin_is_refused_with_a_hint(
    verdict: Verdict, hint: Indication
) -> None:
    lit = door()
    lit.stand(BEN)
    effects = lit.answer(verdict, BEN)
    assert (opened(effects), reasons(effects)) == ([], ["not_told_alive"])
    assert shown(effects) == [hint]


def test_what_cannot_be_told_counts_towards_the_lockout() -> None:
    lit = door(replace(FLASH, lockout=Lockout(refusals=1)))
    lit.stand(ADA)
    assert LockedOut(1, 30.0) in events(lit.answer(SUN, ADA))


def test_an_answer_that_does_not_come_is_none() -> None:
    lit = door()
    lit.stand(ADA)
    assert lit.controller.wake_at == pytest.approx(lit.at + ANSWERS)
    effects = lit.wait(ANSWERS)
    assert (opened(effects), shown(effects)) == ([], [Indication.ENTER_PIN])
    assert opened(lit.answer(ALIVE, ADA)) == []


def test_another_face_in_the_test_than_in_the_match_is_refused() -> None:
    for other in (STRANGER, BEN):
        lit = door()
        lit.stand(ADA)
        effects = lit.answer(ALIVE, other)
        assert (opened(effects), reasons(effects)) == ([], ["inconsistent"])


@pytest.mark.parametrize(("ours", "theirs", "opens"), [(6, 0, True), (4, 2, True), (3, 3, False)])
@pytest.mark.parametrize("first", [False, True])
def test_most_of_the_faces_must_be_the_one(
    ours: int, theirs: int, opens: bool, first: bool
) -> None:
    lit = door()
    lit.stand(ADA)
    probes = tuple([*ADA.probes(ours, 50), *STRANGER.probes(theirs)][:: 1 if first else -1])
    effects = lit.give(Examined(lit.at + 0.4, ALIVE, probes), 0.5)
    assert bool(opened(effects)) is opens


@pytest.mark.parametrize("count", [0, 1])
def test_a_test_with_hardly_a_face_is_refused(count: int) -> None:
    lit = door()
    lit.stand(ADA)
    assert reasons(lit.answer(ALIVE, ADA, probes=count)) == ["inconsistent"]


def test_faces_of_another_model_do_not_count() -> None:
    lit = door()
    lit.stand(ADA)
    probes = tuple(ADA.probe(seed, model="other") for seed in range(6))
    assert opened(lit.give(Examined(lit.at + 0.4, ALIVE, probes), 0.5)) == []


@pytest.mark.parametrize("captured", [-0.001, float("nan"), 0.501])
def test_a_series_of_before_the_code_or_of_the_future_is_no_answer(captured: float) -> None:
    lit = door()
    lit.stand(ADA)
    probes = tuple(ADA.probes(6))
    assert lit.give(Examined(lit.at + captured, ALIVE, probes), 0.5) == []
    assert opened(lit.answer(ALIVE, ADA)) == [(ADA.id, "face")]


def test_nobody_is_let_in_by_an_answer_that_nobody_asked_for() -> None:
    lit = door()
    assert lit.answer(ALIVE, ADA) == []
    lit.stand(ADA)
    lit.answer(ALIVE, ADA)
    lit.wait(60.0)
    assert lit.answer(ALIVE, ADA) == []


def test_a_fault_while_examining_denies() -> None:
    lit = door()
    lit.stand(ADA)
    lit.give(Faulted(Part.CAMERA, "gone"))
    assert opened(lit.answer(ALIVE, ADA)) == []
    lit.give(Recovered(Part.CAMERA))
    assert lit.answer(ALIVE, ADA) == []


def test_whoever_is_erased_meanwhile_is_not_let_in() -> None:
    lit = door()
    lit.stand(ADA)
    lit.store.subjects = {BEN.id: lit.store.subjects[BEN.id]}  # type: ignore[attr-defined]
    lit.load()
    assert lit.answer(ALIVE, ADA) == []


def test_whoever_is_revoked_meanwhile_is_refused() -> None:
    lit = door()
    lit.stand(ADA)
    subjects = lit.store.subjects  # type: ignore[attr-defined]
    lit.store.subjects = {**subjects, ADA.id: replace(subjects[ADA.id], revoked=True)}  # type: ignore[attr-defined]
    lit.load()
    assert reasons(lit.answer(ALIVE, ADA)) == ["revoked"]


def test_faces_that_open_nothing_any_more_end_the_examination() -> None:
    night = Access(Mode.ANY, (Hours(NIGHT, Mode.CARD),), PadLevel.FLASH)
    lit = door(Rules(access=night, notice=NOTICE))
    lit.stand(ADA)
    lit.week_minute = 0
    lit.stand(ADA, 1)
    assert lit.answer(ALIVE, ADA) == []


def test_nobody_is_lit_twice_within_a_second() -> None:
    lit = door(replace(FLASH, recognition=replace(FLASH.recognition, retry_after=0.01)))
    lit.stand(ADA)
    lit.answer(SCREEN, ADA)
    assert asked(lit.stand(ADA)) == []
    assert len(asked(lit.stand(ADA))) == 1


def test_whoever_is_known_and_looks_for_the_pin_is_not_lit_again() -> None:
    lit = door(with_mode(Mode.FACE_AND_PIN))
    lit.stand(ADA)
    assert shown(lit.answer(ALIVE, ADA)) == [Indication.ENTER_PIN]
    lit.wait(2.0)
    assert asked(lit.stand(ADA, 9)) == []
    assert opened(lit.code(PIN)) == [(ADA.id, "face+pin")]


# --- again and again ------------------------------------------------------------------------------

PATIENT = replace(
    FLASH, lockout=Lockout(refusals=100), recognition=replace(FLASH.recognition, retry_after=0.1)
)


def tried(lit: Lit, *verdicts: Verdict) -> list[bool]:
    """Be recognised once for each verdict; give whether it was asked for."""
    lights = []
    for verdict in verdicts:
        lit.wait(20.0)
        lights.append(bool(asked(lit.stand(ADA))))
        lit.answer(verdict, ADA)
    return lights


BY_FACE = replace(PATIENT, access=Access(Mode.FACE, pad=PadLevel.FLASH))


@pytest.mark.parametrize("verdicts", [(SCREEN, MOVED, SCREEN), (MOVED, MOVED, VEILED)])
def test_after_three_that_failed_the_pin_is_asked_for_and_no_face_examined(
    verdicts: tuple[Verdict, ...],
) -> None:
    lit = door(BY_FACE)
    assert tried(lit, *verdicts, ALIVE) == [True, True, True, False]
    effects = lit.stand(ADA)
    assert (asked(effects), shown(effects)[-1:]) == ([], [Indication.ENTER_PIN])
    assert opened(lit.code(PIN)) == [(ADA.id, "face+pin")]


def test_what_only_the_sun_kept_from_being_told_is_no_try() -> None:
    lit = door(PATIENT)
    assert tried(lit, SUN, SUN, SUN, SUN, ALIVE) == [True] * 5


@pytest.mark.parametrize(("hours", "again"), [(11.9, False), (12.1, True)])
def test_what_failed_long_ago_is_forgotten(hours: float, again: bool) -> None:
    lit = door(PATIENT)
    tried(lit, SCREEN, SCREEN)
    lit.wait(hours * 3600)
    assert tried(lit, SCREEN, SCREEN)[-1] is again


def test_who_was_erased_leaves_nothing_of_what_failed() -> None:
    lit = door(PATIENT)
    tried(lit, SCREEN, SCREEN, MOVED)
    examination = lit.controller._reception._examination  # noqa: SLF001
    assert {subject for subject, _ in examination._rows} == {ADA.id}  # noqa: SLF001
    lit.store.subjects = {BEN.id: lit.store.subjects[BEN.id]}  # type: ignore[attr-defined]
    lit.load()
    assert (examination._rows, examination._moved) == ({}, None)  # noqa: SLF001


@pytest.mark.parametrize("end", [SCREEN, MOVED, "push", "late"])
def test_who_is_erased_while_examined_leaves_no_record_and_no_row(end: Verdict | str) -> None:
    lit = door(PATIENT)
    lit.stand(ADA)
    lit.store.subjects = {BEN.id: lit.store.subjects[BEN.id]}  # type: ignore[attr-defined]
    lit.load()
    effects = lit.push() if end == "push" else lit.wait(9.0) if end == "late" else []
    effects += lit.answer(end, ADA) if isinstance(end, Verdict) else []
    assert events(effects) == []
    examination = lit.controller._reception._examination  # noqa: SLF001
    assert (examination._rows, examination._moved) == ({}, None)  # noqa: SLF001


def test_who_is_asked_for_the_pin_and_stands_there_is_not_counted_again() -> None:
    lit = door(replace(PATIENT, lockout=Lockout(refusals=5)))
    tried(lit, MOVED, MOVED, MOVED)
    effects = [effect for _ in range(4) for effect in lit.stand(ADA)]
    assert (asked(effects), events(effects)) == ([], [])


@pytest.mark.parametrize("swap", [False, True])
def test_it_is_waited_for_twice_as_long_each_time_and_an_hour_at_the_most(swap: bool) -> None:
    lit = door(PATIENT)
    tried(lit, SCREEN, SCREEN)
    lit.wait(20.0)
    for seconds in (60, 120, 240, 480, 960, 1920, 3600, 3600):
        assert len(asked(lit.stand(ADA))) == 1
        lit.answer(ALIVE if swap else SCREEN, BEN)
        lit.wait(seconds - 3.0)
        assert asked(lit.stand(ADA)) == []
        # No face that is known already is examined while the PIN is waited for.
        lit.wait(20.0)


def test_who_is_found_alive_begins_anew_and_others_are_examined_all_along() -> None:
    lit = door(PATIENT)
    tried(lit, SCREEN, SCREEN, ALIVE)
    assert tried(lit, SCREEN, SCREEN, SCREEN, SCREEN) == [True, True, True, False]
    lit.wait(20.0)
    assert len(asked(lit.stand(BEN))) == 1


@pytest.mark.parametrize("act", ["push", "hold"])
@pytest.mark.parametrize(("commands", "counts"), [(False, False), (True, True)])
def test_who_breaks_off_what_was_asked_has_tried(act: str, commands: bool, counts: bool) -> None:
    lit = door(replace(CHALLENGE, lockout=Lockout(refusals=100)))
    for _ in range(3):
        lit.wait(60.0)
        assert shown(lit.stand(ADA))[-1] is Indication.LOOK_HERE
        if commands:
            commanded(lit)
        getattr(lit, act)(after=0.1)
    lit.wait(30.0)
    looks = Indication.ENTER_PIN if counts else Indication.LOOK_HERE
    assert shown(lit.stand(ADA))[-1] is looks


def test_who_breaks_off_between_two_turns_has_tried() -> None:
    lit = door(replace(CHALLENGE, lockout=Lockout(refusals=100)))
    for _ in range(3):
        lit.wait(60.0)
        lit.stand(ADA)
        assert shown(lit.turn(commanded(lit))) == [Indication.LOOK_HERE]
        lit.push(after=0.1)
    lit.wait(30.0)
    assert shown(lit.stand(ADA))[-1] is Indication.ENTER_PIN


def test_who_breaks_off_while_the_light_flashes_has_tried() -> None:
    lit = door(PATIENT)
    for _ in range(3):
        lit.wait(60.0)
        assert len(asked(lit.stand(ADA))) == 1
        lit.push(after=0.1)
    lit.wait(30.0)
    assert asked(lit.stand(ADA)) == []


def test_what_was_asked_of_somebody_before_is_nothing_that_this_one_knows() -> None:
    lit = door(replace(CHALLENGE, lockout=Lockout(refusals=100)))
    lit.stand(BEN)
    commanded(lit, BEN)
    lit.wait(60.0)
    lit.wait(20.0)
    for _ in range(3):
        assert shown(lit.stand(ADA))[-1] is Indication.LOOK_HERE
        lit.push(after=0.1)
        lit.wait(20.0)
    assert shown(lit.stand(ADA))[-1] is Indication.LOOK_HERE


def test_who_lets_somebody_else_in_does_not_end_the_examination() -> None:
    store = memory(ADA, BEN, held={ADA: holding(PIN, "card"), BEN: holding(None, "other")})
    lit = Lit(store, PATIENT)
    for end in ("card", "exit", "card"):
        lit.wait(20.0)
        assert len(asked(lit.stand(ADA))) == 1
        lit.card("other", after=0.1) if end == "card" else lit.give(ExitPressed(), 0.1)
        assert shown(lit.wait(ANSWERS)) != []
    lit.wait(20.0)
    assert asked(lit.stand(ADA)) == []


@pytest.mark.parametrize("mode", [Mode.FACE, Mode.FACE_AND_PIN])
def test_a_picture_does_not_use_up_the_tries_of_who_has_the_pin_as_well(mode: Mode) -> None:
    lit = door(replace(PATIENT, access=Access(mode, pad=PadLevel.FLASH)))
    tried(lit, SCREEN, SCREEN, SCREEN)
    lit.wait(20.0)
    lit.code(PIN)
    assert len(asked(lit.stand(ADA))) == 1
    assert len(opened(lit.answer(ALIVE, ADA))) == 1


def test_who_has_picture_and_pin_uses_up_the_tries_of_both() -> None:
    lit = door(replace(PATIENT, access=Access(Mode.FACE_AND_PIN, pad=PadLevel.FLASH)))
    for _ in range(3):
        lit.wait(20.0)
        lit.code(PIN)
        assert len(asked(lit.stand(ADA))) == 1
        lit.answer(SCREEN, ADA)
    lit.code(PIN)
    assert asked(lit.stand(ADA)) == []
    assert opened(lit.answer(ALIVE, ADA)) == []


def test_what_a_fault_or_an_open_door_ended_is_no_try() -> None:
    lit = door(PATIENT)
    for _ in range(4):
        lit.wait(20.0)
        assert len(asked(lit.stand(ADA))) == 1
        assert opened(lit.code(PIN, after=0.5)) == [(ADA.id, "pin")]
    for _ in range(4):
        lit.wait(20.0)
        assert len(asked(lit.stand(ADA))) == 1
        lit.give(Faulted(Part.CAMERA, "gone"))
        lit.give(Recovered(Part.CAMERA))


@pytest.mark.parametrize(("verdict", "again"), [(MOVED, 1), (SUN, 0), (VEILED, 0)])
def test_who_moved_is_examined_again_while_the_pin_is_waited_for(
    verdict: Verdict, again: int
) -> None:
    lit = door(BY_FACE)
    lit.stand(ADA)
    assert shown(lit.answer(verdict, ADA)) == [Indication.ENTER_PIN]
    lit.wait(RESTS)
    assert len(asked(lit.stand(ADA))) == again
    assert bool(opened(lit.answer(ALIVE, ADA))) is bool(again)


@pytest.mark.parametrize(("verdict", "person"), [(SCREEN, ADA), (ALIVE, BEN), (MOVED, BEN)])
def test_an_attack_takes_back_the_face_that_waits_for_the_pin(
    verdict: Verdict, person: Person
) -> None:
    lit = door(BY_FACE)
    lit.stand(ADA)
    lit.answer(MOVED, ADA)
    lit.wait(RESTS)
    assert len(asked(lit.stand(ADA))) == 1
    assert opened(lit.answer(verdict, person)) == []
    assert opened(lit.code(PIN)) == []


def test_an_attack_leaves_the_face_of_somebody_else_that_waits() -> None:
    lit = door(BY_FACE)
    lit.stand(ADA)
    lit.answer(MOVED, ADA)
    lit.wait(RESTS)
    lit.stand(BEN)
    lit.answer(SCREEN, BEN)
    assert opened(lit.code(PIN)) == [(ADA.id, "face+pin")]


def test_an_administrator_who_moved_and_is_then_found_alive_authorises_an_enrolment() -> None:
    lit = door(BY_FACE, administrator=True)
    lit.stand(ADA)
    lit.answer(MOVED, ADA)
    lit.wait(RESTS)
    lit.stand(ADA)
    assert len(opened(lit.answer(ALIVE, ADA))) == 1
    lit.wait(10.0)
    assert [each for each in events(lit.hold()) if isinstance(each, EnrolmentStarted)]


@pytest.mark.parametrize("probes", [0, 1, 2, 3])
def test_who_stepped_out_of_view_is_no_attack(probes: int) -> None:
    lit = door(BY_FACE)
    lit.stand(ADA)
    # What little there is of a face may look like anybody's.
    effects = lit.answer(MOVED, STRANGER if probes < 3 else ADA, probes=probes)
    assert shown(effects) == [Indication.ENTER_PIN]


def test_who_looks_for_the_pin_does_not_lock_everybody_out() -> None:
    lit = door(replace(BY_FACE, lockout=Lockout(refusals=4, within=1000.0)))
    tried(lit, MOVED, MOVED, MOVED)
    for _ in range(2):
        assert events([*lit.wait(20.0), *lit.stand(ADA)]) == []


def test_who_has_a_card_and_no_pin_uses_that_where_the_face_cannot_be_told() -> None:
    for first in ("face", "card"):
        lit = Lit(memory(ADA, held={ADA: holding(None, "card")}), with_mode(Mode.FACE))
        if first == "card":
            assert opened(lit.card("card")) == []
        lit.stand(ADA)
        effects = lit.answer(SUN, ADA)
        if first == "face":
            assert shown(effects) == [Indication.ENTER_PIN]
            effects = lit.card("card")
        assert opened(effects) == [(ADA.id, "face+card")]


def test_the_lamp_is_not_touched_by_the_examination() -> None:
    lit = door()
    effects = [*lit.stand(ADA), *lit.answer(ALIVE, ADA)]
    assert not [effect for effect in effects if isinstance(effect, Light)]


# --- beside the button ----------------------------------------------------------------------------


def test_a_face_is_examined_before_it_says_who_is_there() -> None:
    lit = door()
    lit.hold()
    effects = lit.stand(ADA)
    assert len(asked(effects)) == 1
    assert SelfServiceBegun(ADA.id, "face") not in events(effects)  # type: ignore[arg-type]
    assert SelfServiceBegun(ADA.id, "face") in events(lit.answer(ALIVE, ADA))  # type: ignore[arg-type]


@pytest.mark.parametrize(("verdict", "authorises"), [(ALIVE, True), (SUN, False), (MOVED, False)])
@pytest.mark.parametrize("pin_first", [False, True])
def test_an_administrator_who_could_not_be_told_alive_authorises_no_enrolment(
    verdict: Verdict, *, authorises: bool, pin_first: bool
) -> None:
    lit = door(with_mode(Mode.FACE), administrator=True)
    if pin_first:
        lit.code(PIN)
    lit.stand(ADA)
    effects = lit.answer(verdict, ADA)
    if not opened(effects):
        effects = lit.code(PIN)
    assert len(opened(effects)) == 1
    lit.wait(10.0)
    started = [each for each in events(lit.hold()) if isinstance(each, EnrolmentStarted)]
    assert bool(started) is authorises


def test_a_face_that_could_not_be_told_does_not_wait_for_an_hour_that_asks_for_it() -> None:
    access = Access(Mode.FACE_AND_PIN, (Hours(NIGHT, Mode.FACE),), pad=PadLevel.FLASH)
    lit = door(Rules(access=access, notice=NOTICE))
    lit.week_minute = 359
    lit.stand(ADA)
    assert shown(lit.answer(SUN, ADA)) == [Indication.ENTER_PIN]
    lit.week_minute = 360
    assert opened(lit.code(PIN)) == []


def test_who_could_not_be_told_alive_is_examined_anew_to_be_served() -> None:
    lit = door(with_mode(Mode.FACE))
    lit.stand(ADA)
    lit.answer(SUN, ADA)
    lit.hold()
    lit.wait(RESTS)
    assert len(asked(lit.stand(ADA))) == 1
    assert SelfServiceBegun(ADA.id, "face") in events(lit.answer(ALIVE, ADA))  # type: ignore[arg-type]


def test_nobody_is_served_by_a_face_that_could_not_be_told_alive() -> None:
    lit = door(with_mode(Mode.FACE))
    lit.stand(ADA)
    lit.answer(SUN, ADA)
    lit.hold()
    begun = [each for each in events(lit.code(PIN)) if isinstance(each, SelfServiceBegun)]
    assert begun == []
    lit.wait(20.0)
    lit.hold()
    lit.stand(ADA)
    assert reasons(lit.answer(SUN, ADA)) == ["not_told_alive"]


@pytest.mark.parametrize("act", ["hold", "push"])
def test_an_answer_from_before_the_button_counts_for_nothing(act: str) -> None:
    lit = door()
    lit.stand(ADA)
    getattr(lit, act)(after=0.1)
    assert lit.answer(ALIVE, ADA) == []


def test_nobody_enters_by_an_answer_while_choosing() -> None:
    lit = door()
    lit.hold()
    lit.stand(ADA)
    lit.code(PIN, after=0.1)
    assert opened(lit.answer(ALIVE, ADA)) == []


@pytest.mark.parametrize("frames", [0, 1])
def test_an_enrolment_ends_the_examination(frames: int) -> None:
    lit = door()
    lit.stand(ADA)
    code = EnrolmentCode("123456", lit.at, "root", Terms())
    lit.give(replace(lit.store.load(), codes=(code,)))
    lit.give(EnrolCommanded(SubjectId("newcomer"), "123456"))
    lit.stand(ADA, frames)
    assert opened(lit.answer(ALIVE, ADA)) == []


# --- by the hour ----------------------------------------------------------------------------------


def by_night(night: PadLevel | None, day: PadLevel = PadLevel.BASIC) -> Access:
    return Access(Mode.ANY, (Hours(NIGHT, Mode.ANY, night),), day)


@pytest.mark.parametrize(
    ("access", "minute", "trusted", "level"),
    [
        (Access(), 0, True, "basic"),
        (Access(pad=PadLevel.FLASH), 0, True, "flash"),
        (by_night(PadLevel.FLASH), 0, True, "flash"),
        (by_night(PadLevel.FLASH), 360, True, "basic"),
        (by_night(None, PadLevel.FLASH), 0, True, "flash"),
        (by_night(PadLevel.BASIC, PadLevel.FLASH), 0, True, "basic"),
        (by_night(PadLevel.BASIC, PadLevel.FLASH), 0, False, "flash"),
        (by_night(PadLevel.FLASH), 360, False, "flash"),
        (by_night(PadLevel.FLASH_AND_CHALLENGE, PadLevel.FLASH), 360, False, "flash+challenge"),
    ],
)
def test_the_level_is_that_of_the_hour_and_the_strictest_where_nobody_knows_it(
    access: Access, minute: int, trusted: bool, level: str
) -> None:
    now = now_at(1.0, week_minute=minute, trusted=trusted)
    assert pad_level(access, now) == level
    lit = door(Rules(access=access, notice=NOTICE))
    lit.week_minute, lit.trusted = minute, trusted
    lit.wait(1.0)
    assert lit.controller.condition.pad == level


# --- the head that turns --------------------------------------------------------------------------

SIDES = {Indication.TURN_LEFT: 0.6, Indication.TURN_RIGHT: -0.6}


def commanded(lit: Lit, person: Person = ADA) -> float:
    """Look straight until a turn is asked for; give the yaw that it takes."""
    for _ in range(12):
        for each in shown(lit.turn(0.1, person=person)):
            if each in SIDES:
                return SIDES[each]
    raise AssertionError("no turn was asked for")


def test_the_head_turns_as_it_is_asked_to_and_then_the_light_flashes() -> None:
    lit = door(CHALLENGE)
    assert shown(lit.stand(ADA))[-1] is Indication.LOOK_HERE
    for _ in range(2):
        yaw = commanded(lit)
        assert lit.turn(yaw / 2) == []
        assert lit.turn(None) == []
        assert asked(lit.turn(yaw)) == []
    effects = [effect for _ in range(4) for effect in lit.turn(0.0, person=ADA)]
    assert len(asked(effects)) == 1
    assert lit.turn(0.6) == []
    assert opened(lit.answer(ALIVE, ADA)) == [(ADA.id, "face")]


def test_a_turn_to_the_other_side_is_not_what_was_asked() -> None:
    lit = door(CHALLENGE)
    lit.stand(ADA)
    effects = lit.turn(-commanded(lit))
    assert shown(effects) == [Indication.ENTER_PIN]
    assert asked([effect for _ in range(4) for effect in lit.turn(0.0, person=ADA)]) == []


def turned(lit: Lit, *between: Person) -> list[Effect]:
    """Turn as asked, as these people look straight before each turn and after the last."""
    effects: list[Effect] = []
    for person in between[:-1]:
        effects = lit.turn(commanded(lit, person))
    return [*effects, *(each for _ in range(4) for each in lit.turn(0.0, person=between[-1]))]


@pytest.mark.parametrize("other", [STRANGER, BEN])
def test_the_head_that_turns_must_be_of_who_was_recognised(other: Person) -> None:
    for place in range(4):
        between = [ADA, ADA, ADA, ADA]
        between[place], opens = other, place == 3
        lit = door(CHALLENGE)
        lit.stand(ADA)
        assert len(asked(turned(lit, *between[:3]))) == 1
        effects = lit.answer(ALIVE, ADA)
        assert bool(opened(effects)) is opens
        assert reasons(effects) == ([] if opens else ["inconsistent"])


def test_who_turned_the_head_before_is_not_held_against_who_comes_next() -> None:
    lit = door(CHALLENGE)
    lit.stand(BEN)
    lit.turn(commanded(lit, BEN))
    lit.push()
    lit.wait(20.0)
    lit.stand(ADA)
    turned(lit, ADA, ADA, ADA)
    assert len(opened(lit.answer(ALIVE, ADA))) == 1


def test_a_head_that_nobody_could_be_recognised_by_is_not_straight() -> None:
    lit = door(CHALLENGE)
    lit.stand(ADA)
    assert [effect for _ in range(12) for effect in lit.turn(0.0)] == []
    assert commanded(lit)


def test_a_turn_before_it_is_asked_for_is_none() -> None:
    lit = door(CHALLENGE)
    lit.stand(ADA)
    lit.turn(0.0, person=ADA)
    assert shown(lit.turn(0.6)) == [Indication.ENTER_PIN]


def test_a_head_that_is_still_turned_from_before_is_waited_for() -> None:
    lit = door(CHALLENGE)
    lit.stand(ADA)
    assert lit.turn(0.6) == []
    assert commanded(lit)


def test_a_frame_from_before_the_command_shows_no_turn() -> None:
    lit = door(CHALLENGE)
    lit.stand(ADA)
    yaw = commanded(lit)
    before = Observed(lit.at - AGE / 2, 1, QualityIssue.TURNED_AWAY, yaw=yaw)
    assert lit.give(before, AGE) == []
    assert shown(lit.turn(yaw)) == [Indication.LOOK_HERE]


def test_a_head_that_does_not_turn_in_time_takes_the_pin() -> None:
    lit = door(CHALLENGE)
    lit.stand(ADA)
    commanded(lit)
    assert shown(lit.wait(5.0)) == [Indication.ENTER_PIN]


def test_whoever_needs_more_time_has_it_to_turn() -> None:
    lit = door(CHALLENGE, accessible=True)
    lit.stand(ADA)
    yaw = commanded(lit)
    assert lit.wait(6.0) == []
    assert shown(lit.turn(yaw)) == [Indication.LOOK_HERE]


def test_an_answer_while_the_head_turns_is_none() -> None:
    lit = door(CHALLENGE)
    lit.stand(ADA)
    assert lit.answer(ALIVE, ADA) == []
