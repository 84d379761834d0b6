from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import cos, sin

import numpy as np
import pytest
from hypothesis import given, strategies as st

from agent.core.effects import Append, Effect, Enrol, Indication, Show, SpendCodes
from agent.core.enroller import HINTS, Enroller
from agent.core.enrolment import PURPOSE, Enrolment, give_consent
from agent.core.events import (
    Enrolled,
    EnrolmentFailed,
    EnrolmentFailure,
    EnrolmentLapsed,
    EnrolmentStarted,
)
from agent.core.types import (
    AuthorityKind,
    Consent,
    Embedding,
    EnrolmentCode,
    Float32,
    Probe,
    QualityIssue,
    Subject,
    SubjectId,
    Terms,
    Validity,
)
from tests.core.people import NOTICE, Person, now_at, somebody

NAN = float("nan")
RULES = Enrolment(frames=3, seconds=20.0, spacing=0.4, authority_seconds=60.0, notice="2026-11")
NEWCOMER, NINA, STRANGER = SubjectId("newcomer"), somebody("nina"), somebody("stranger")
ADMIN = SubjectId("ada")
TERMS = Terms("Nina, second floor", "upstairs", administrator=True, validity=Validity(1.0, 2.0))


def code(digits: str = "123456", issued_at: float = 100.0, terms: Terms = TERMS) -> EnrolmentCode:
    return EnrolmentCode(digits, issued_at, "root", terms)


def enroller_with(*codes: EnrolmentCode, rules: Enrolment = RULES) -> Enroller:
    enroller = Enroller(rules, NOTICE)
    enroller.loaded(codes)
    return enroller


def enroller_of_administrator(at: float = 100.0) -> Enroller:
    enroller = Enroller(RULES, NOTICE)
    enroller.administrator_granted(ADMIN, at)
    return enroller


def press(enroller: Enroller, at: float = 100.0, *, faulty: bool = False) -> list[Effect]:
    return enroller.button_held(NEWCOMER, now_at(at), faulty=faulty, at_door=True)


def command(
    enroller: Enroller, typed: str = "123456", at: float = 100.0, *, faulty: bool = False
) -> list[Effect]:
    return enroller.commanded(NEWCOMER, typed, now_at(at), faulty=faulty)


@dataclass
class Lookout:
    """Stands in for the gallery: finds what it was told to find, and keeps what it was asked."""

    found: SubjectId | None = None
    asked: Float32 | None = None
    household: str | None = None

    def __call__(self, template: Float32, household: str | None) -> SubjectId | None:
        self.asked, self.household = template, household
        return self.found


def show(
    enroller: Enroller,
    frames: Sequence[Probe | QualityIssue],
    start: float = 100.0,
    spacing: float = 0.5,
    lookout: Lookout | None = None,
) -> list[Effect]:
    """Let the door see these frames; give everything it did."""
    effects = []
    for number, frame in enumerate(frames, start=1):
        at = start + number * spacing
        effects += enroller.observe(frame, at, now_at(at), lookout or Lookout())
    return effects


def between(one: Person, other: Person, angle: float) -> Probe:
    """Give a face that far, in radians, from one face towards another."""
    away = other.face - (other.face @ one.face) * one.face
    away /= np.linalg.norm(away)
    vector = (cos(angle) * one.face + sin(angle) * away).astype(np.float32)
    return replace(one.probe(0), embedding=Embedding(vector, one.probe(0).embedding.model))


def started(kind: AuthorityKind) -> list[Effect]:
    return [Append(EnrolmentStarted(NEWCOMER, kind), SpendCodes()), Show(Indication.ENROLLING)]


def refused(reason: EnrolmentFailure) -> list[Effect]:
    return [Show(Indication.NOT_ENROLLED), Append(EnrolmentFailed(NEWCOMER, reason))]


BY_CODE = started(AuthorityKind.CODE)
WRONG_CODE = EnrolmentFailed(NEWCOMER, EnrolmentFailure.UNAUTHORISED)


# --- who may enrol --------------------------------------------------------------------------------


def test_nobody_enrols_without_authority() -> None:
    assert press(Enroller(RULES, NOTICE)) == refused(EnrolmentFailure.UNAUTHORISED)
    assert command(Enroller(RULES, NOTICE)) == [Append(WRONG_CODE, None)]


def test_a_live_code_authorises_the_button_and_the_command() -> None:
    assert press(enroller_with(code())) == BY_CODE
    assert command(enroller_with(code())) == BY_CODE


@pytest.mark.parametrize(
    ("issued_at", "works"),
    [(40.0, True), (39.9, False), (100.0, True), (100.1, False), (NAN, False), (-1e9, False)],
)
def test_a_code_is_live_for_its_seconds_only(issued_at: float, works: bool) -> None:
    begun = press(enroller_with(code(issued_at=issued_at)), at=100.0)
    commanded = command(enroller_with(code(issued_at=issued_at)), at=100.0)

    assert (begun == BY_CODE) is works
    assert (commanded == BY_CODE) is works


def test_an_administrators_visit_authorises_the_button_for_its_seconds() -> None:
    by_administrator = started(AuthorityKind.ADMINISTRATOR)

    assert press(enroller_of_administrator(at=40.0), at=100.0) == by_administrator
    late = press(enroller_of_administrator(at=39.9), at=100.0)
    assert late == refused(EnrolmentFailure.UNAUTHORISED)


def test_an_administrators_visit_authorises_no_command() -> None:
    assert command(enroller_of_administrator()) == [Append(WRONG_CODE, None)]


def test_an_administrators_visit_authorises_one_enrolment_only() -> None:
    enroller = enroller_of_administrator()
    press(enroller)
    enroller.abandon(EnrolmentFailure.CANCELLED)

    assert press(enroller) == refused(EnrolmentFailure.UNAUTHORISED)


@pytest.mark.parametrize(
    "now_known",
    [
        {},
        {ADMIN: Subject(ADMIN, administrator=True, revoked=True)},
        {ADMIN: Subject(ADMIN, administrator=False)},
    ],
    ids=["erased", "revoked", "no administrator any more"],
)
def test_the_visit_of_one_who_is_no_administrator_any_more_authorises_nothing(
    now_known: dict[SubjectId, Subject],
) -> None:
    enroller = enroller_of_administrator()

    enroller.review(now_known)

    assert press(enroller) == refused(EnrolmentFailure.UNAUTHORISED)


def test_an_administrators_visit_outlasts_a_store_that_says_nothing_against_it() -> None:
    enroller = enroller_of_administrator()

    enroller.review({ADMIN: Subject(ADMIN, administrator=True)})

    assert press(enroller) == started(AuthorityKind.ADMINISTRATOR)


def test_the_code_typed_is_the_one_whose_terms_hold() -> None:
    other = code("654321", terms=Terms(label="somebody else"))
    enroller = enroller_with(other, code())
    command(enroller, "123456")

    [_, change] = appended(show(enroller, NINA.probes(3)))

    assert isinstance(change, Enrol)
    assert change.label == TERMS.label


def test_a_code_works_once() -> None:
    enroller = enroller_with(code())
    command(enroller)
    enroller.abandon(EnrolmentFailure.CANCELLED)

    assert command(enroller) == [Append(WRONG_CODE, None)]
    assert press(enroller, at=110.0) == refused(EnrolmentFailure.UNAUTHORISED)


def test_a_wrong_code_spends_the_right_one() -> None:
    enroller = enroller_with(code())

    assert command(enroller, "000000") == [Append(WRONG_CODE, SpendCodes())]
    assert command(enroller, "123456") == [Append(WRONG_CODE, None)]


@pytest.mark.parametrize(
    "typed", ["", "12345", "1234567", "\uff11\uff12\uff13\uff14\uff15\uff16", "123456\n", "\0"]
)
def test_only_the_exact_code_is_right(typed: str) -> None:
    assert command(enroller_with(code()), typed) == [Append(WRONG_CODE, SpendCodes())]


def test_a_stale_code_that_was_guessed_at_is_spent_too() -> None:
    assert command(enroller_with(code(issued_at=1.0))) == [Append(WRONG_CODE, SpendCodes())]


def test_a_spent_code_stays_spent_when_the_store_still_has_it() -> None:
    used, guessed_at = enroller_with(code()), enroller_with(code())
    command(used)
    used.abandon(EnrolmentFailure.CANCELLED)
    command(guessed_at, "000000")

    for enroller in (used, guessed_at):
        enroller.loaded((code(),))

        assert press(enroller) == refused(EnrolmentFailure.UNAUTHORISED)
        assert command(enroller) == [Append(WRONG_CODE, SpendCodes())]


def test_a_code_given_out_after_another_was_spent_works() -> None:
    enroller = enroller_with(code())
    command(enroller, "000000")

    enroller.loaded((code("222222", issued_at=100.5),))

    assert command(enroller, "222222", at=101.0) == BY_CODE


def test_nobody_begins_while_the_door_is_faulty_and_the_code_stays_good() -> None:
    enroller = enroller_with(code())

    assert press(enroller, faulty=True) == refused(EnrolmentFailure.FAULT)
    assert command(enroller, at=110.0, faulty=True) == refused(EnrolmentFailure.FAULT)
    assert command(enroller, at=111.0) == BY_CODE


def test_nobody_begins_while_somebody_else_is_being_enrolled() -> None:
    enroller = enroller_with(code())
    press(enroller)
    enroller.loaded((code("222222", issued_at=101.0),))
    busy = [Append(EnrolmentFailed(NEWCOMER, EnrolmentFailure.BUSY))]

    assert press(enroller, at=101.0) == busy
    assert command(enroller, "222222", at=111.0) == busy
    enroller.abandon(EnrolmentFailure.CANCELLED)
    assert command(enroller, "222222", at=111.0) == BY_CODE


def test_whoever_holds_the_button_or_publishes_cannot_fill_the_log() -> None:
    enroller = Enroller(RULES, NOTICE)

    answers = [press(enroller, at) + command(enroller, at=at) for at in (100.0, 105.0, 109.9)]

    failed = [Append(EnrolmentFailed(NEWCOMER, EnrolmentFailure.UNAUTHORISED))]
    assert [[e for e in answer if isinstance(e, Append)] for answer in answers] == [failed, [], []]
    assert all(Show(Indication.NOT_ENROLLED) in answer for answer in answers)
    assert command(enroller, at=110.0) == failed


def test_a_guess_at_a_code_is_recorded_whatever_was_recorded_just_before() -> None:
    enroller = enroller_with(code(issued_at=1.0))
    press(enroller)

    assert command(enroller) == [Append(WRONG_CODE, SpendCodes())]


# --- codes that nobody uses -----------------------------------------------------------------------

LAPSED = [Append(EnrolmentLapsed(), SpendCodes())]


def test_a_code_that_nobody_used_in_time_is_forgotten_once() -> None:
    enroller = enroller_with(code(issued_at=40.0))

    assert enroller.lapse(100.0) == []
    assert enroller.lapse(100.1) == LAPSED
    assert enroller.lapse(100.2) == []
    assert press(enroller) == refused(EnrolmentFailure.UNAUTHORISED)


def test_a_code_stays_as_long_as_another_is_live() -> None:
    enroller = enroller_with(code(issued_at=40.0), code("222222", issued_at=90.0))

    assert enroller.lapse(150.0) == []
    assert enroller.lapse(150.1) == LAPSED


def test_a_code_that_the_store_could_not_forget_is_forgotten_when_it_is_loaded_again() -> None:
    enroller = enroller_with(code(issued_at=40.0))
    enroller.lapse(101.0)

    enroller.loaded((code(issued_at=40.0),))

    assert enroller.lapse(102.0) == LAPSED


@pytest.mark.parametrize("issued_at", [NAN, 1e9])
def test_a_code_of_no_time_or_of_another_boot_is_forgotten(issued_at: float) -> None:
    assert enroller_with(code(issued_at=issued_at)).lapse(100.0) == LAPSED


def test_a_code_that_was_used_or_guessed_at_does_not_lapse_as_well() -> None:
    used, guessed_at = enroller_with(code()), enroller_with(code())
    command(used)
    command(guessed_at, "000000")

    assert used.lapse(1e6) == guessed_at.lapse(1e6) == Enroller(RULES, NOTICE).lapse(1e6) == []


# --- the frames -----------------------------------------------------------------------------------


def appended(effects: list[Effect]) -> list[object]:
    [append] = [effect for effect in effects if isinstance(effect, Append)]
    return [append.event, append.change]


def shown(effects: list[Effect]) -> list[Indication]:
    return [effect.indication for effect in effects if isinstance(effect, Show)]


def test_an_enrolee_who_looks_around_is_enrolled_on_the_codes_terms() -> None:
    enroller, lookout, frames = enroller_with(code()), Lookout(), NINA.probes(3)
    press(enroller)

    effects = show(enroller, frames, lookout=lookout)

    assert shown(effects) == [Indication.FRAME_TAKEN] * 2 + [Indication.ENROLLED]
    event, change = appended(effects)
    assert event == Enrolled(NEWCOMER, AuthorityKind.CODE, references=3, collision=None)
    assert isinstance(change, Enrol)
    assert change.subject == Subject(
        NEWCOMER,
        TERMS.household,
        administrator=True,
        validity=TERMS.validity,
        consent=Consent("root", NOTICE, PURPOSE, at=now_at(0.0).wall),
    )
    assert change.label == TERMS.label
    assert change.references == tuple(probe.embedding for probe in frames)
    assert enroller.deadline is None
    assert lookout.asked is not None
    assert float(lookout.asked @ NINA.face) > 0.9
    assert lookout.household == TERMS.household


def test_an_administrators_enrolee_is_a_resident_without_conditions() -> None:
    enroller = enroller_of_administrator()
    press(enroller)

    _, change = appended(show(enroller, NINA.probes(3)))

    assert isinstance(change, Enrol)
    consent = Consent(ADMIN, NOTICE, PURPOSE, at=now_at(0.0).wall)
    assert (change.subject, change.label) == (Subject(NEWCOMER, consent=consent), "")


def test_a_minor_is_enrolled_with_the_guardian_who_consented() -> None:
    enroller = enroller_with(code(terms=Terms("Nina", minor=True, guardian="Mum")))
    press(enroller)

    _, change = appended(show(enroller, NINA.probes(3)))

    assert isinstance(change, Enrol)
    assert change.subject.minor
    assert change.subject.consent is not None
    assert change.subject.consent.guardian == "Mum"


def test_a_consent_ends_after_the_days_that_the_rules_give_it() -> None:
    enroller = enroller_with(code(), rules=replace(RULES, consent_days=2.0))
    press(enroller)

    _, change = appended(show(enroller, NINA.probes(3)))

    assert isinstance(change, Enrol)
    expires = now_at(0.0).wall + 2 * 86_400
    assert change.subject.consent == Consent("root", NOTICE, PURPOSE, 1_000_000.0, expires)


def test_a_consent_holds_until_it_is_withdrawn_where_the_rules_give_no_days() -> None:
    given_now = give_consent(RULES, NOTICE, "root", guardian="Mum", wall=5.0)

    assert given_now == Consent("root", NOTICE, PURPOSE, 5.0, expires=None, guardian="Mum")


def test_a_resemblance_to_somebody_enrolled_is_told() -> None:
    enroller = enroller_with(code())
    press(enroller)

    event, _ = appended(show(enroller, NINA.probes(3), lookout=Lookout(found=ADMIN)))

    assert event == Enrolled(NEWCOMER, AuthorityKind.CODE, references=3, collision=ADMIN)


def test_frames_too_close_in_time_are_not_taken() -> None:
    enroller = enroller_with(code())
    press(enroller)

    effects = show(enroller, NINA.probes(8), spacing=0.1)

    assert effects == [Show(Indication.FRAME_TAKEN)] * 2


def test_a_frame_like_one_already_taken_asks_to_turn_a_little() -> None:
    enroller = enroller_with(code())
    press(enroller)
    still = NINA.probe(1)

    effects = show(enroller, [still, still, still])

    assert shown(effects) == [Indication.FRAME_TAKEN] + [Indication.TURN_A_LITTLE] * 2


def test_another_face_is_not_taken_in_between() -> None:
    enroller, lookout = enroller_with(code()), Lookout()
    press(enroller)
    first, second, third = NINA.probes(3)

    effects = show(enroller, [first, second, STRANGER.probe(1), third], lookout=lookout)

    _, change = appended(effects)
    assert isinstance(change, Enrol)
    assert change.references == (first.embedding, second.embedding, third.embedding)


def test_whoever_stood_there_for_the_first_frame_only_is_not_enrolled() -> None:
    enroller, frames = enroller_with(code()), NINA.probes(3)
    press(enroller)

    effects = show(enroller, [STRANGER.probe(1), *frames, NINA.probe(9)])

    _, change = appended(effects)
    assert isinstance(change, Enrol)
    assert change.references == tuple(probe.embedding for probe in frames)


def test_two_people_who_take_turns_are_not_enrolled() -> None:
    enroller = enroller_with(code(), rules=replace(RULES, frames=5))
    press(enroller)
    turns = [
        probe for each in zip(NINA.probes(9), STRANGER.probes(9), strict=True) for probe in each
    ]

    effects = show(enroller, turns)

    assert effects[-2:] == ended(EnrolmentFailure.NOT_ONE_PERSON, 1)
    assert enroller.deadline is None


DRIFTING = replace(RULES, frames=4, min_consistency=0.6, max_similarity=1.0)


def test_frames_that_changed_little_by_little_into_another_face_are_not_one_person() -> None:
    """Each goes with the mean of those before it; the first does not go with all the others."""
    enroller = enroller_with(code(), rules=DRIFTING)
    press(enroller)
    angles = (0.0, 0.9, 1.2, 1.4)
    drifting = [between(NINA, STRANGER, angle) for angle in angles]

    effects = show(enroller, [*drifting, between(NINA, STRANGER, 1.3)])

    _, change = appended(effects)
    assert isinstance(change, Enrol)
    assert drifting[0].embedding not in change.references
    assert len(change.references) == 4


@given(st.lists(st.sampled_from([NINA, STRANGER]), max_size=12), st.integers(0, 10**6))
def test_the_references_are_all_of_one_person(shown: list[Person], seed: int) -> None:
    enroller = enroller_with(code())
    press(enroller)
    frames = [person.probe(seed + number) for number, person in enumerate(shown)]
    owners = {id(f.embedding): person for f, person in zip(frames, shown, strict=True)}

    effects = show(enroller, frames)

    changes = [e.change for e in effects if isinstance(e, Append) and isinstance(e.change, Enrol)]
    for change in changes:
        assert len({owners[id(reference)] for reference in change.references}) == 1
    turns = sum(a is not b for a, b in pairwise(shown))
    assert changes or turns > 0 or len(shown) < RULES.frames


@pytest.mark.parametrize("issue", QualityIssue)
def test_a_poor_frame_gets_its_hint_and_is_not_taken(issue: QualityIssue) -> None:
    enroller = enroller_with(code())
    press(enroller)

    assert show(enroller, [issue]) == [Show(HINTS[issue])]
    assert enroller.abandon(EnrolmentFailure.CANCELLED) == ended(EnrolmentFailure.CANCELLED, 0)


@pytest.mark.parametrize(
    ("poor", "issue"),
    [
        ({"eye_distance": 33.9}, QualityIssue.TOO_FAR),
        ({"eye_distance": NAN}, QualityIssue.TOO_FAR),
        ({"sharpness": 49.9}, QualityIssue.BLURRED),
        ({"sharpness": NAN}, QualityIssue.BLURRED),
        ({"pitch": 0.46}, QualityIssue.TURNED_AWAY),
        ({"pitch": -0.46}, QualityIssue.TURNED_AWAY),
        ({"pitch": NAN}, QualityIssue.TURNED_AWAY),
        ({"eye_distance": 34.0, "sharpness": 50.0, "pitch": -0.45}, None),
    ],
)
def test_a_frame_good_enough_for_the_door_may_be_too_poor_to_be_kept_for_years(
    poor: dict[str, float], issue: QualityIssue | None
) -> None:
    enroller = enroller_with(code())
    press(enroller)
    good = NINA.probe(1)
    frame = replace(good, quality=replace(good.quality, **poor))

    told = Indication.FRAME_TAKEN if issue is None else HINTS[issue]
    assert show(enroller, [frame]) == [Show(told)]
    reason = EnrolmentFailure.POOR_FRAMES
    assert enroller.tick(120.0) == ended(reason, int(issue is None), issue)


def test_nothing_is_taken_where_nobody_is_being_enrolled() -> None:
    assert show(Enroller(RULES, NOTICE), NINA.probes(3)) == []


# --- the end --------------------------------------------------------------------------------------


def ended(reason: EnrolmentFailure, frames: int, hint: QualityIssue | None = None) -> list[Effect]:
    failed = EnrolmentFailed(NEWCOMER, reason, frames, hint)
    return [Show(Indication.NOT_ENROLLED), Append(failed)]


@pytest.mark.parametrize(
    ("frames", "reason", "taken", "hint"),
    [
        ([], EnrolmentFailure.NO_FACE, 0, None),
        (
            [QualityIssue.BLURRED, QualityIssue.TOO_DARK, QualityIssue.TOO_DARK],
            EnrolmentFailure.POOR_FRAMES,
            0,
            QualityIssue.TOO_DARK,
        ),
        (NINA.probes(2), EnrolmentFailure.POOR_FRAMES, 2, None),
        ([*NINA.probes(2), STRANGER.probe(1)], EnrolmentFailure.POOR_FRAMES, 2, None),
    ],
)
def test_an_enrolment_that_runs_out_of_time_says_what_was_missing(
    frames: list[Probe | QualityIssue],
    reason: EnrolmentFailure,
    taken: int,
    hint: QualityIssue | None,
) -> None:
    enroller = enroller_with(code())
    press(enroller)
    show(enroller, frames)

    assert enroller.deadline == 120.0
    assert enroller.tick(119.9) == []
    assert enroller.tick(120.0) == ended(reason, taken, hint)
    assert enroller.tick(121.0) == []


def test_an_enrolment_that_is_abandoned_keeps_nothing() -> None:
    enroller = enroller_with(code(), code("222222"))
    press(enroller)
    show(enroller, NINA.probes(2))

    assert enroller.abandon(EnrolmentFailure.FAULT) == ended(EnrolmentFailure.FAULT, 2)
    assert enroller.abandon(EnrolmentFailure.FAULT) == []
    assert show(enroller, NINA.probes(3)) == []


def test_a_fault_ends_the_enrolment_under_way_and_an_administrators_visit() -> None:
    enroller = enroller_of_administrator()
    assert enroller.faulted() == []
    assert press(enroller) == refused(EnrolmentFailure.UNAUTHORISED)
    enroller.loaded((code(issued_at=110.0),))
    press(enroller, at=110.0)
    show(enroller, NINA.probes(2), start=110.0)

    assert enroller.faulted() == ended(EnrolmentFailure.FAULT, 2)
    assert enroller.faulted() == []


def test_an_enrolment_that_could_not_be_committed_has_failed() -> None:
    enroller = enroller_with(code())
    press(enroller)
    show(enroller, NINA.probes(3))

    assert enroller.faulted() == ended(EnrolmentFailure.FAULT, 3)


def test_an_enrolment_that_the_store_has_taken_does_not_fail_any_more() -> None:
    enroller = enroller_with(code())
    press(enroller)
    show(enroller, NINA.probes(3))
    enroller.loaded(())

    assert enroller.faulted() == []


def test_the_next_enrolment_begins_with_no_frames_of_the_one_before() -> None:
    enroller = enroller_with(code())
    press(enroller)
    show(enroller, STRANGER.probes(2))
    enroller.abandon(EnrolmentFailure.CANCELLED)
    enroller.loaded((code("222222", issued_at=110.0),))
    command(enroller, "222222", at=110.0)
    frames = NINA.probes(3)

    _, change = appended(show(enroller, frames, start=110.0))

    assert isinstance(change, Enrol)
    assert change.references == tuple(probe.embedding for probe in frames)


# --- the rules ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"frames": 2}, "frames"),
        ({"frames": 21}, "frames"),
        ({"seconds": 4.9}, "seconds"),
        ({"seconds": 121.0}, "seconds"),
        ({"seconds": NAN}, "seconds"),
        ({"authority_seconds": 4.9}, "authority_seconds"),
        ({"authority_seconds": 601.0}, "authority_seconds"),
        ({"spacing": -0.1}, "spacing"),
        ({"spacing": NAN}, "spacing"),
        ({"hold_seconds": 0.4}, "hold_seconds"),
        ({"hold_seconds": 10.1}, "hold_seconds"),
        ({"max_similarity": 1.1}, "max_similarity"),
        ({"min_consistency": -0.1}, "min_consistency"),
        ({"collision": NAN}, "collision"),
        ({"min_eye_distance": -0.1}, "min_eye_distance"),
        ({"min_sharpness": NAN}, "min_sharpness"),
        ({"max_pitch": 0.0}, "max_pitch"),
        ({"max_pitch": 1.1}, "max_pitch"),
        ({"notice": " "}, "notice"),
        ({"consent_days": 0.9}, "consent_days"),
        ({"consent_days": 3651.0}, "consent_days"),
        ({"consent_days": NAN}, "consent_days"),
    ],
)
def test_a_rule_outside_its_bounds_is_refused(wrong: dict[str, float], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        replace(Enrolment(), **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bounds",
    [
        {"frames": 3, "seconds": 5.0, "authority_seconds": 5.0, "spacing": 0.0},
        {"frames": 20, "seconds": 120.0, "authority_seconds": 600.0, "hold_seconds": 10.0},
        {"hold_seconds": 0.5, "max_similarity": 0.0, "min_consistency": 0.0, "collision": 0.0},
        {"max_similarity": 1.0, "min_consistency": 1.0, "collision": 1.0},
        {"min_eye_distance": 0.0, "min_sharpness": 0.0, "max_pitch": 1.0},
        {"consent_days": 1.0},
        {"consent_days": 3650.0},
    ],
)
def test_a_rule_at_its_bounds_is_taken(bounds: dict[str, float]) -> None:
    replace(Enrolment(), **bounds)  # type: ignore[arg-type]


def test_every_quality_issue_has_a_hint() -> None:
    assert set(HINTS) == set(QualityIssue)
