from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from agent.core.decision import Judge, Match, Presentation, Recognition
from agent.core.matching import Curve, OperatingPoint
from agent.core.types import Gallery, Probe, Reason, Refusal
from tests.core.people import CALIBRATION, Person, gallery, look_alike, somebody

NAN = float("nan")
ADA, BEN, STRANGER = somebody("ada"), somebody("ben"), somebody("stranger")
RULES = Recognition(min_frames=3, max_frames=5, patience=1.5, max_gap=0.8)
THRESHOLD = 0.5

PEOPLE = st.sampled_from([ADA, BEN, STRANGER])


def presented(probes: Sequence[Probe], spacing: float = 0.4) -> Presentation:
    presentation = Presentation(RULES)
    for number, probe in enumerate(probes):
        presentation.add(probe, 10.0 + number * spacing)
    return presentation


def judge_of(*people: Person, rules: Recognition = RULES) -> Judge:
    return Judge(rules, CALIBRATION, gallery({person.id: person.face for person in people}))


# --- the evidence ---------------------------------------------------------------------------------


def kept(probes: Sequence[Probe], rules: Recognition = RULES) -> list[int]:
    """Say which frames of a presentation are pooled."""
    presentation = Presentation(rules)
    for number, probe in enumerate(probes):
        presentation.add(probe, 10.0 + number * 0.1)
    numbers = {id(probe.embedding.vector): number for number, probe in enumerate(probes)}
    return [numbers[id(vector)] for vector in presentation.vectors]


def bursts(*lengths: int) -> list[Probe]:
    """Frames of ADA that are the same to 0.99 within each burst, and differ between them."""
    poses = [Person(str(pose), probe.embedding.vector) for pose, probe in enumerate(ADA.probes(9))]
    return [
        poses[pose].probe(number, likeness=0.995)
        for pose, length in enumerate(lengths)
        for number in range(length)
    ]


def test_a_presentation_keeps_as_many_frames_as_the_rules_allow() -> None:
    assert len(kept(ADA.probes(5))) == 5
    assert len(kept(ADA.probes(7))) == 5
    assert len(kept(ADA.probes(20))) == 5


def test_of_frames_that_repeat_each_other_the_older_ones_are_dropped() -> None:
    assert kept(bursts(1, 1, 5)) == [0, 1, 4, 5, 6]
    assert kept(bursts(1, 3, 3)) == [0, 3, 4, 5, 6]
    assert kept(bursts(3, 1, 3)) == [2, 3, 4, 5, 6]


def test_the_newest_frames_stay_however_alike() -> None:
    assert kept(bursts(1, 1, 1, 1, 4))[-3:] == [5, 6, 7]


def test_where_all_that_is_pooled_must_agree_it_is_the_newest() -> None:
    rules = replace(RULES, min_frames=5)

    assert kept(bursts(1, 1, 5), rules) == [2, 3, 4, 5, 6]


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_evidence_is_in_order_and_never_old(lengths: list[int]) -> None:
    probes = bursts(*lengths)

    pooled = kept(probes)

    assert pooled == sorted(pooled)
    assert len(pooled) == min(len(probes), 5)
    assert pooled[-3:] == list(range(len(probes)))[-3:]
    assert pooled[0] > len(probes) - 1 - 10


def test_whoever_steps_in_front_is_alone_in_the_evidence_before_long() -> None:
    shown = [*STRANGER.probes(20), *bursts(8)]

    assert min(kept(shown)) >= 18
    assert isinstance(judge_of(ADA, BEN).judge(presented(shown, spacing=0.1)), Match)


def test_a_presentation_lasts_from_its_first_good_frame_to_its_newest() -> None:
    assert presented(ADA.probes(7), spacing=0.5).seconds == pytest.approx(3.0)


def test_a_gap_without_a_good_face_ends_a_presentation() -> None:
    presentation = presented(ADA.probes(2), spacing=0.79)
    assert len(presentation) == 2

    presentation.add(ADA.probe(2), 10.79 + 0.81)

    assert (len(presentation), presentation.seconds) == (1, 0.0)


def test_a_presentation_that_is_cleared_begins_anew() -> None:
    presentation = presented(ADA.probes(3))
    presentation.clear()
    assert len(presentation) == 0

    presentation.add(ADA.probe(3), 11.0)

    assert (len(presentation), presentation.seconds) == (1, 0.0)


@pytest.mark.parametrize("captured_at", [10.8, 10.7, 0.0])
def test_a_frame_no_newer_than_the_last_adds_no_evidence(captured_at: float) -> None:
    presentation = presented(ADA.probes(3))

    presentation.add(ADA.probe(3), captured_at)

    assert len(presentation) == 3
    assert presentation.seconds == pytest.approx(0.8)


def test_one_frame_is_not_evidence_for_two_presentations() -> None:
    presentation = presented(ADA.probes(3))
    presentation.clear()

    presentation.add(ADA.probe(2), 10.8)

    assert len(presentation) == 0


# --- the verdict ----------------------------------------------------------------------------------


def test_a_resident_matches_as_soon_as_there_are_enough_frames() -> None:
    judge = judge_of(ADA, BEN)

    assert judge.judge(presented(ADA.probes(2))) is None
    match = judge.judge(presented(ADA.probes(3)))

    assert isinstance(match, Match)
    assert (match.subject, match.threshold) == (ADA.id, THRESHOLD)
    assert match.score > 0.9
    assert match.margin is not None
    assert match.margin > 0.7


def test_the_only_household_matches_without_a_margin() -> None:
    match = judge_of(ADA).judge(presented(ADA.probes(3)))

    assert isinstance(match, Match)
    assert match.margin is None


@given(st.lists(PEOPLE, max_size=7), st.integers(0, 10**6))
def test_nobody_matches_on_fewer_frames_than_must_agree(shown: list[Person], seed: int) -> None:
    probes = [person.probe(seed + number) for number, person in enumerate(shown)]

    verdict = judge_of(ADA, BEN).judge(presented(probes))

    if isinstance(verdict, Match):
        pooled = [shown[number] for number in kept(probes)]
        assert sum(person.id == verdict.subject for person in pooled) >= RULES.min_frames
        assert shown[-1].id == verdict.subject
    if shown[-3:] in ([ADA] * 3, [BEN] * 3):
        assert isinstance(verdict, Match)


@pytest.mark.parametrize(
    ("frames", "spacing", "refused"), [(4, 1.0, False), (5, 0.37, False), (5, 0.38, True)]
)
def test_a_stranger_is_refused_only_after_enough_frames_and_time(
    frames: int, spacing: float, refused: bool
) -> None:
    presentation = Presentation(replace(RULES, max_gap=2.0))
    for number, probe in enumerate(STRANGER.probes(frames)):
        presentation.add(probe, number * spacing)

    verdict = judge_of(ADA, BEN).judge(presentation)

    assert verdict == (Refusal(Reason.NO_MATCH) if refused else None)


def test_an_empty_gallery_matches_nobody() -> None:
    assert judge_of().judge(presented(ADA.probes(5))) == Refusal(Reason.NO_MATCH)


def test_a_face_as_like_two_households_is_ambiguous() -> None:
    double = look_alike(ADA, "double", 0.99)

    assert judge_of(ADA, double).judge(presented(ADA.probes(5))) == Refusal(Reason.AMBIGUOUS)


def test_siblings_of_one_household_are_not_ambiguous() -> None:
    twin = look_alike(ADA, "twin", 0.99)
    templates = {person.id: person.face for person in (ADA, twin, BEN)}
    kept = gallery(templates, {ADA.id: "upstairs", twin.id: "upstairs"})

    verdict = Judge(RULES, CALIBRATION, kept).judge(presented(ADA.probes(3)))

    assert isinstance(verdict, Match)
    assert verdict.subject in {ADA.id, twin.id}


def test_frames_of_two_people_are_inconsistent_even_where_their_mean_would_pass() -> None:
    shown = [
        ADA.probe(0, likeness=0.99),
        STRANGER.probe(1),
        STRANGER.probe(2),
        STRANGER.probe(3, likeness=0.6),
        ADA.probe(4, likeness=0.99),
    ]

    verdict = judge_of(ADA, BEN).judge(presented(shown))

    assert verdict == Refusal(Reason.INCONSISTENT)


@pytest.mark.parametrize(("likeness", "agrees"), [(0.36, False), (0.4, True), (0.49, True)])
def test_a_single_frame_may_be_a_little_less_like_than_the_whole(
    likeness: float, agrees: bool
) -> None:
    """The threshold is 0.5, the slack 0.12."""
    shown = [ADA.probe(1), ADA.probe(2, likeness), ADA.probe(3)]

    assert (judge_of(ADA, BEN).judge(presented(shown)) is not None) is agrees


def test_nobody_matches_while_the_newest_frame_shows_somebody_else() -> None:
    judge, shown = judge_of(ADA, BEN), [*ADA.probes(4), STRANGER.probe(9)]

    assert judge.judge(presented(shown)) is None
    assert judge.judge(presented([*shown, STRANGER.probe(10)])) is None
    assert judge.judge(presented([*shown, *STRANGER.probes(2)])) == Refusal(Reason.NO_MATCH)
    assert isinstance(judge.judge(presented([*shown, ADA.probe(5)])), Match)


def test_one_frame_in_between_that_shows_somebody_else_refuses_no_resident() -> None:
    shown = [*ADA.probes(2), STRANGER.probe(9), ADA.probe(3)]

    assert isinstance(judge_of(ADA, BEN).judge(presented(shown)), Match)


@pytest.mark.parametrize("damage", [NAN, float("inf"), -float("inf")])
def test_a_template_that_is_no_number_matches_nobody(damage: float) -> None:
    kept = gallery({ADA.id: ADA.face, BEN.id: BEN.face})
    kept.matrix[0, 7] = damage
    judge = Judge(RULES, CALIBRATION, kept)

    assert judge.judge(presented(ADA.probes(5))) == Refusal(Reason.NO_MATCH)
    assert isinstance(judge.judge(presented(BEN.probes(5))), Match)


def test_a_gallery_with_nothing_but_damaged_templates_matches_nobody() -> None:
    kept = gallery({ADA.id: ADA.face, BEN.id: BEN.face})
    kept.matrix[:] = NAN

    verdict = Judge(RULES, CALIBRATION, kept).judge(presented(ADA.probes(5)))

    assert verdict == Refusal(Reason.NO_MATCH)


# --- models ---------------------------------------------------------------------------------------


def wrong_model(gallery_model: str, calibration_model: str, probe_models: Sequence[str]) -> bool:
    kept = gallery({ADA.id: ADA.face}, model=gallery_model)
    calibration = replace(CALIBRATION, model=calibration_model)
    shown = [ADA.probe(number, model=model) for number, model in enumerate(probe_models)]
    verdict = Judge(RULES, calibration, kept).judge(presented(shown))
    if isinstance(verdict, Match):
        return False
    assert verdict == Refusal(Reason.WRONG_MODEL)
    return True


@pytest.mark.parametrize(
    ("gallery_model", "calibration_model", "probe_models", "refused"),
    [
        ("new", "new", ["new", "new", "new"], False),
        ("new", "new", ["old", "old", "old"], True),
        ("new", "new", ["new", "new", "old"], True),
        ("old", "new", ["new", "new", "new"], True),
        ("new", "old", ["new", "new", "new"], True),
        ("old", "new", ["old", "old", "old"], True),
    ],
)
def test_frames_gallery_and_calibration_must_be_of_one_model(
    gallery_model: str, calibration_model: str, probe_models: Sequence[str], refused: bool
) -> None:
    assert wrong_model(gallery_model, calibration_model, probe_models) is refused


def test_the_threshold_follows_from_the_size_of_the_gallery() -> None:
    many = np.repeat(ADA.face[None], 51, axis=0)
    ids = tuple(somebody(str(number)).id for number in range(51))
    crowd = Gallery(many, ids, np.arange(51), np.full(51, 5), CALIBRATION.model)

    assert Judge(RULES, CALIBRATION, crowd).threshold.cosine > judge_of(ADA).threshold.cosine


@pytest.mark.parametrize(
    ("cosine", "likeness", "borne_out"), [(0.99, 0.95, True), (0.45, 0.99, False)]
)
def test_later_faces_must_match_as_surely_as_the_first(
    cosine: float, likeness: float, *, borne_out: bool
) -> None:
    # 0.45 is below the threshold of 0.5, and above what a single frame may be.
    later = look_alike(ADA, "later", cosine)
    probes = [later.probe(seed, likeness) for seed in range(6)]
    assert judge_of(ADA).bears_out(ADA.id, probes) is borne_out


def test_later_faces_that_are_more_like_another_resident_bear_nothing_out() -> None:
    double = look_alike(ADA, "double", 0.8)
    probes = [double.probe(seed, 0.97) for seed in range(6)]
    assert judge_of(ADA).bears_out(ADA.id, probes)
    assert not judge_of(ADA, double).bears_out(ADA.id, probes)


@pytest.mark.parametrize("frames", [3, 5])
def test_the_threshold_serves_however_many_frames_are_pooled(frames: int) -> None:
    # One that a fit of the tail made stricter for few frames, or for many, is in force for both.
    points = {each: OperatingPoint(0.7 if each == frames else 0.5, 1e-8) for each in (3, 5)}
    curves = tuple(Curve(5, each, 0.5, (point,)) for each, point in points.items())
    calibration = replace(CALIBRATION, curves=curves)
    kept = gallery({ADA.id: ADA.face}, references=5)
    assert Judge(RULES, calibration, kept).threshold.cosine == 0.7


# --- how sure -------------------------------------------------------------------------------------


def test_of_many_faces_seen_later_no_more_count_than_are_ever_pooled_the_newest() -> None:
    judge = judge_of(ADA)
    assert judge.bears_out(ADA.id, [*BEN.probes(4), *ADA.probes(5)])
    assert not judge.bears_out(ADA.id, [*ADA.probes(5), *BEN.probes(4)])


def test_later_faces_are_compared_where_few_are_pooled() -> None:
    judge = judge_of(ADA, rules=Recognition(min_frames=2, max_frames=2))
    assert judge.bears_out(ADA.id, ADA.probes(6))
    assert not judge.bears_out(ADA.id, ADA.probes(2))


def sureness(
    residents: int, references: int = 5, rules: Recognition = RULES, *curves: Curve
) -> str:
    people = [somebody(str(number)) for number in range(residents)]
    kept = gallery({person.id: person.face for person in people}, references=references)
    calibration = replace(CALIBRATION, provisional=False, curves=curves or CALIBRATION.curves)
    return Judge(rules, calibration, kept).sureness


def flat(references: int, frames: int, fmr: float, measured_to: float = 0.5) -> Curve:
    return Curve(references, frames, measured_to, (OperatingPoint(0.5, fmr),))


def test_it_is_said_in_words_how_often_a_stranger_is_admitted() -> None:
    assert sureness(10) == (
        "with 10 compared, a stranger is admitted about once in 50,506 attempts, at the most"
    )


def test_that_a_calibration_is_provisional_is_said() -> None:
    assert judge_of(ADA).sureness.endswith("; provisional calibration")


def test_what_was_not_measured_is_called_an_estimate() -> None:
    assert sureness(51).endswith("at the most, by an estimate beyond what was measured")


def test_what_pools_more_frames_than_were_measured_is_called_an_estimate() -> None:
    for frames, estimated in ((5, False), (4, True)):
        said = sureness(1, 5, RULES, flat(5, frames, 1e-6))
        assert said.endswith("an estimate beyond what was measured") is estimated


def test_nobody_is_admitted_by_face_where_nobody_is_compared() -> None:
    assert sureness(0) == "with nobody compared, no face opens the door"


@pytest.mark.parametrize(
    ("curves", "mends"),
    [
        ([flat(5, 5, 1e-2)], "ask for face+pin"),
        ([flat(5, 5, 1e-2), flat(5, 20, 1e-2)], "ask for face+pin"),
        (
            [flat(5, 5, 1e-2), flat(5, 20, 1e-5)],
            "set min_frames and max_frames to 20 or ask for face+pin",
        ),
        (
            [flat(5, 5, 1e-2), flat(9, 5, 1e-5)],
            "enrol everybody anew with 9 references or ask for face+pin",
        ),
        ([flat(5, 5, 1e-2), flat(9, 5, 1e-2)], "ask for face+pin"),
    ],
)
def test_where_the_target_is_out_of_reach_only_what_would_reach_it_is_advised(
    curves: list[Curve], mends: str
) -> None:
    said = sureness(1, 5, RULES, *curves)

    assert said.endswith(
        f"once in 34 attempts, at the most; the target of 0.0001 is NOT met: {mends}"
    )


def test_nearest_ranks_whatever_the_threshold() -> None:
    ranking = judge_of(ADA, BEN).nearest(look_alike(ADA, "faintly", 0.2).face)

    assert ranking is not None
    assert ranking.best.subject == ADA.id
    assert ranking.best.score == pytest.approx(0.2, abs=1e-5)


# --- the rules ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"target_fpir": 0.0}, "target_fpir"),
        ({"target_fpir": 1.0}, "target_fpir"),
        ({"target_fpir": NAN}, "target_fpir"),
        ({"min_frames": 1}, "min_frames"),
        ({"min_frames": 6}, "min_frames"),
        ({"max_frames": 21}, "max_frames"),
        ({"patience": -0.1}, "patience"),
        ({"patience": 10.1}, "patience"),
        ({"patience": NAN}, "patience"),
        ({"max_age": 0.0}, "max_age"),
        ({"max_gap": NAN}, "max_gap"),
        ({"cooldown": -1.0}, "cooldown"),
        ({"retry_after": 0.0}, "retry_after"),
        ({"agreement_slack": 1.1}, "agreement_slack"),
        ({"agreement_slack": NAN}, "agreement_slack"),
        ({"min_margin": -0.1}, "min_margin"),
        ({"min_margin": NAN}, "min_margin"),
    ],
)
def test_a_rule_outside_its_bounds_is_refused(wrong: dict[str, float], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        replace(Recognition(), **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bounds",
    [
        {"min_frames": 2, "max_frames": 2},
        {"min_frames": 20, "max_frames": 20},
        {"patience": 0.0, "agreement_slack": 0.0, "min_margin": 0.0},
        {"patience": 10.0, "agreement_slack": 1.0, "min_margin": 1.0},
        {"max_age": 60.0, "max_gap": 60.0, "cooldown": 60.0, "retry_after": 60.0},
    ],
)
def test_a_rule_at_its_bounds_is_taken(bounds: dict[str, float]) -> None:
    replace(Recognition(), **bounds)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["max_age", "max_gap", "cooldown", "retry_after"])
def test_no_time_limit_is_without_limit(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        replace(Recognition(), **{name: float("inf")})  # type: ignore[arg-type]
