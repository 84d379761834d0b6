from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from agent.core.matching import (
    Calibration,
    Curve,
    OperatingPoint,
    Ranking,
    Threshold,
    likeness_to_others,
    mean_template,
    only,
    search,
    threshold_for,
)
from agent.core.types import Float32, Gallery, SubjectId
from tests.core.people import CALIBRATION, gallery, look_alike, somebody

NAN, INFINITY = float("nan"), float("inf")
SMALL = 8
ADA, BEN, CLEO = somebody("ada"), somebody("ben"), somebody("cleo")


# --- search ---------------------------------------------------------------------------------------


def unit_vector(seed: int) -> Float32:
    vector = np.random.default_rng(seed).normal(size=SMALL)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


@st.composite
def galleries(draw: st.DrawFn, damage: st.SearchStrategy[float] | None = None) -> Gallery:
    """Up to a dozen subjects in up to four households; some rows are damaged where asked for."""
    seeds = draw(st.lists(st.integers(0, 2**32 - 1), max_size=12, unique=True))
    households = draw(st.lists(st.integers(0, 3), min_size=len(seeds), max_size=len(seeds)))
    matrix = np.array([unit_vector(seed) for seed in seeds], np.float32).reshape(-1, SMALL)
    if damage is not None:
        for row in range(len(seeds)):
            if draw(st.booleans()):
                matrix[row, draw(st.integers(0, SMALL - 1))] = draw(damage)
    ids = tuple(SubjectId(str(seed)) for seed in seeds)
    references = draw(st.lists(st.integers(1, 20), min_size=len(seeds), max_size=len(seeds)))
    return Gallery(matrix, ids, np.array(households, np.intp), np.array(references, np.intp), "m")


DAMAGE = st.sampled_from([NAN, INFINITY, -INFINITY])


def ranked(kept: Gallery, vector: Float32) -> list[tuple[float, int]]:
    """Compare one by one: the reference that search must equal. Sound rows only, best first."""
    scores = [
        (sum(float(a) * float(b) for a, b in zip(row, vector, strict=True)), number)
        for number, row in enumerate(kept.matrix)
        if np.isfinite(row).all()
    ]
    return sorted(scores, reverse=True)


@given(galleries(), st.data())
def test_of_a_gallery_only_the_wanted_rows_are_left_each_with_its_own(
    kept: Gallery, data: st.DataObject
) -> None:
    wanted = {name for name in kept.subjects if data.draw(st.booleans())} | {SubjectId("nobody")}

    narrowed = only(kept, wanted)

    rows = [row for row, name in enumerate(kept.subjects) if name in wanted]
    assert narrowed.subjects == tuple(kept.subjects[row] for row in rows)
    assert narrowed.model == kept.model
    assert narrowed.matrix.shape == (len(rows), SMALL)
    for place, row in enumerate(rows):
        assert np.array_equal(narrowed.matrix[place], kept.matrix[row])
        assert narrowed.households[place] == kept.households[row]
        assert narrowed.references[place] == kept.references[row]


@given(galleries(DAMAGE), st.integers(0, 2**32 - 1))
def test_search_finds_what_comparing_one_by_one_finds(kept: Gallery, seed: int) -> None:
    vector = unit_vector(seed)
    ranking, reference = search(kept, vector), ranked(kept, vector)

    if not reference:
        assert ranking is None or not ranking.best.score >= -1.1
        return
    assert ranking is not None
    score, row = reference[0]
    assert ranking.best.score == pytest.approx(score, abs=1e-5)
    assert ranking.best.row == row
    assert ranking.best.subject == kept.subjects[row]
    rivals = [(s, r) for s, r in reference if kept.households[r] != kept.households[row]]
    if not rivals:
        assert (ranking.rival, ranking.margin) == (None, None)
        return
    assert ranking.rival is not None
    assert ranking.rival.row == rivals[0][1]
    assert ranking.margin == pytest.approx(score - rivals[0][0], abs=1e-5)


@given(galleries(DAMAGE), st.integers(0, 2**32 - 1))
def test_a_damaged_row_is_never_the_best_nor_the_rival(kept: Gallery, seed: int) -> None:
    ranking = search(kept, unit_vector(seed))

    sound = {row for row, template in enumerate(kept.matrix) if np.isfinite(template).all()}
    if ranking is not None and sound:
        assert ranking.best.row in sound
        assert ranking.rival is None or ranking.rival.row in sound


@given(galleries())
def test_a_probe_that_is_no_number_matches_nobody(kept: Gallery) -> None:
    ranking = search(kept, np.full(SMALL, NAN, np.float32))

    assert ranking is None or not ranking.best.score >= -1.0


def test_a_gallery_of_nobody_ranks_nobody() -> None:
    assert search(gallery({}), ADA.face) is None


def test_the_margin_is_to_the_best_of_another_household() -> None:
    sister = look_alike(ADA, "sister", 0.9)
    neighbour = look_alike(ADA, "neighbour", 0.6)
    templates = {person.id: person.face for person in (ADA, sister, neighbour)}
    kept = gallery(templates, {ADA.id: "upstairs", sister.id: "upstairs"})

    ranking = search(kept, ADA.face)

    assert ranking is not None
    assert ranking.best.subject == ADA.id
    assert ranking.rival is not None
    assert ranking.rival.subject == neighbour.id
    assert ranking.margin == pytest.approx(0.4, abs=1e-5)


def test_one_household_alone_has_no_rival() -> None:
    kept = gallery({p.id: p.face for p in (ADA, BEN)}, {ADA.id: "one", BEN.id: "one"})

    ranking = search(kept, ADA.face)

    assert ranking is not None
    assert (ranking.rival, ranking.margin) == (None, None)


@pytest.mark.parametrize("damage", [NAN, INFINITY, -INFINITY])
def test_a_damaged_row_hides_nobody(damage: float) -> None:
    kept = gallery({p.id: p.face for p in (ADA, BEN, CLEO)})
    kept.matrix[0] = damage

    ranking = search(kept, BEN.face)

    assert ranking is not None
    assert ranking.best.subject == BEN.id
    assert ranking.best.score == pytest.approx(1.0)


def test_a_rival_whose_row_is_damaged_is_no_rival() -> None:
    kept = gallery({ADA.id: ADA.face, BEN.id: BEN.face})
    kept.matrix[1] = NAN

    ranking = search(kept, ADA.face)

    assert ranking is not None
    assert (ranking.rival, ranking.margin) == (None, None)


# --- shortlists -----------------------------------------------------------------------------------


@st.composite
def shortlisted(draw: st.DrawFn) -> tuple[Gallery, Float32]:
    """A gallery with ties and a shortlist: the best few rows, and what the others are not above."""
    kept = draw(galleries(DAMAGE))
    for row in range(1, len(kept.subjects)):
        if draw(st.booleans()):
            kept.matrix[row] = kept.matrix[draw(st.integers(0, row - 1))]
    length, slack = draw(st.integers(0, 6)), draw(st.sampled_from([0.0, 0.1, NAN, 2.0]))

    def best_few(vector: Float32) -> tuple[NDArray[np.intp], float]:
        scores = np.nan_to_num(kept.matrix @ vector, nan=-2.0, posinf=-2.0, neginf=-2.0)
        order = np.argsort(-scores, kind="stable")
        left = scores[order[length:]].max(initial=-np.inf)
        return np.sort(order[:length]), float(left) + slack

    return replace(kept, shortlist=best_few), unit_vector(draw(st.integers(0, 2**32 - 1)))


def same(one: Ranking | None, other: Ranking | None) -> bool:
    if one is None or other is None:
        return one is other
    pairs = ((one.best, other.best), (one.rival, other.rival))
    # How equal rows tie is the rounding of a product of so many rows.
    return all(
        a is b is None
        or (a is not None and b is not None and a.score == pytest.approx(b.score, abs=1e-6))
        for a, b in pairs
    )


@given(shortlisted(), st.data())
def test_a_shortlist_changes_nothing_that_is_found_nor_do_ties_or_damage(
    given: tuple[Gallery, Float32], data: st.DataObject
) -> None:
    kept, vector = given
    with np.errstate(invalid="ignore"):
        assert same(search(kept, vector), search(replace(kept, shortlist=None), vector))
        wanted = {name for name in kept.subjects if data.draw(st.booleans())}
        fewer = only(kept, wanted)
        assert same(search(fewer, vector), search(replace(fewer, shortlist=None), vector))


def test_a_shortlist_saves_a_look_at_the_rest_where_it_is_sure_and_only_there() -> None:
    kept = gallery({p.id: p.face for p in (ADA, BEN, CLEO)})
    rows = np.array([0, 1], np.intp)
    # So that whoever looks at the third sees it first.
    kept.matrix[2] = 2 * ADA.face

    sure = replace(kept, shortlist=lambda _: (rows, float(ADA.face @ BEN.face) - 0.1))
    unsure = replace(kept, shortlist=lambda _: (rows, float(ADA.face @ BEN.face) + 0.1))

    for each, subject in ((sure, ADA.id), (unsure, CLEO.id)):
        ranking = search(each, ADA.face)
        assert ranking is not None
        assert ranking.best.subject == subject


# --- templates ------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=20),
    arrays(np.float32, SMALL, elements=st.floats(-1, 1, width=32)),
)
def test_a_mean_template_is_of_unit_norm_and_along_the_mean(
    seeds: list[int], direction: Float32
) -> None:
    vectors = [unit_vector(seed) for seed in seeds]
    template = mean_template(vectors)

    assert template.dtype == np.float32
    assert template.shape == (SMALL,)
    assert float(np.linalg.norm(template)) == pytest.approx(1.0, abs=1e-6)
    mean = np.mean(vectors, axis=0, dtype=np.float64)
    along = float(template.astype(np.float64) @ direction) * float(np.linalg.norm(mean))
    assert along == pytest.approx(float(mean @ direction), abs=1e-6)


def test_a_mean_template_takes_any_iterable() -> None:
    assert mean_template(iter([ADA.face])) == pytest.approx(ADA.face)


def test_there_is_no_mean_of_no_vectors() -> None:
    with pytest.raises(ValueError, match="no mean"):
        mean_template([])


def test_there_is_no_mean_of_vectors_that_cancel_out() -> None:
    with pytest.raises(ValueError, match="cancel out"):
        mean_template([ADA.face, -ADA.face])


@given(st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=8, unique=True))
def test_each_is_as_like_the_others_as_it_is_to_their_mean(seeds: list[int]) -> None:
    vectors = [unit_vector(seed) for seed in seeds]

    alike = likeness_to_others(iter(vectors))

    assert len(alike) == len(vectors)
    for number, (vector, cosine) in enumerate(zip(vectors, alike, strict=True)):
        others = vectors[:number] + vectors[number + 1 :]
        assert cosine == pytest.approx(float(vector @ mean_template(others)), abs=1e-5)


def test_who_is_alone_or_among_others_that_cancel_out_is_like_nobody() -> None:
    assert likeness_to_others([ADA.face]) == [0.0]
    assert likeness_to_others([ADA.face, BEN.face, -BEN.face])[0] == 0.0


# --- calibration and threshold --------------------------------------------------------------------


def points(*pairs: tuple[float, float]) -> tuple[OperatingPoint, ...]:
    return tuple(OperatingPoint(threshold, fmr) for threshold, fmr in pairs)


@pytest.mark.parametrize(
    "wrong",
    [
        points(),
        points((0.5, 1e-3), (0.5, 1e-4)),
        points((0.5, 1e-3), (0.4, 1e-4)),
        points((0.4, 1e-4), (0.5, 1e-3)),
        points((1.1, 1e-3)),
        points((-1.1, 1e-3)),
        points((NAN, 1e-3)),
        points((0.5, NAN)),
        points((0.5, 0.0)),
        points((0.5, -1e-3)),
        points((0.5, 1.1)),
        points((0.4, 1e-3), (NAN, 1e-4)),
    ],
)
def test_points_that_make_no_sense_are_refused(wrong: tuple[OperatingPoint, ...]) -> None:
    with pytest.raises(ValueError, match="points need thresholds that rise"):
        Curve(1, 1, 0.5, wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"references": 0},
        {"frames": 0},
        {"measured_to": NAN},
        {"measured_to": 1.1},
        {"measured_to": -1.1},
    ],
)
def test_a_curve_of_nothing_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a curve needs references"):
        replace(curve((0.5, 1e-3)), **wrong)  # type: ignore[arg-type]


def test_a_calibration_without_a_curve_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a curve"):
        Calibration("m", provisional=False, curves=())


def curve(
    *pairs: tuple[float, float], references: int = 1, frames: int = 1, measured_to: float = 1.0
) -> Curve:
    return Curve(references, frames, measured_to, points(*pairs))


def calibration_of(*curves: Curve) -> Calibration:
    return Calibration("m", provisional=False, curves=curves)


@st.composite
def calibrations(draw: st.DrawFn) -> Calibration:
    """Of some of the poolings 1, 3 and 5, each with up to 8 points and measured to somewhere."""
    kinds = [(references, frames) for references in (1, 3, 5) for frames in (1, 3, 5)]
    drawn = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=3, unique=True))
    return calibration_of(*(draw(curves(references, frames)) for references, frames in drawn))


@st.composite
def curves(draw: st.DrawFn, references: int, frames: int) -> Curve:
    steps = draw(
        st.lists(st.tuples(st.integers(1, 40), st.integers(0, 400)), min_size=1, max_size=5)
    )
    thresholds = np.cumsum([step for step, _ in steps]) / 100 - 1
    rates = 10.0 ** (np.cumsum([fall for _, fall in steps]) / -100)
    pairs = zip(thresholds.tolist(), rates.tolist(), strict=True)
    measured_to = draw(st.floats(-1, 1))
    return curve(*pairs, references=references, frames=frames, measured_to=measured_to)


REFERENCES = st.lists(st.integers(1, 7), max_size=6)
FRAMES = st.integers(2, 7)
TARGETS = st.floats(1e-9, 0.999)


def in_force(
    calibration: Calibration, references: Sequence[int], frames: int, target: float
) -> Threshold:
    return threshold_for(calibration, np.array(references, np.intp), frames, target)


@given(calibrations(), REFERENCES, st.integers(1, 7), FRAMES, TARGETS)
def test_a_larger_gallery_never_has_a_lower_threshold(
    calibration: Calibration, references: list[int], another: int, frames: int, target: float
) -> None:
    fewer = in_force(calibration, [another, *references], frames, target)
    more = in_force(calibration, [another, *references, another], frames, target)

    assert fewer.cosine <= more.cosine
    assert fewer.met or not more.met


@given(calibrations(), REFERENCES, FRAMES, TARGETS, TARGETS)
def test_a_stricter_target_never_has_a_lower_threshold(
    calibration: Calibration, references: list[int], frames: int, one: float, other: float
) -> None:
    strict, lax = sorted((one, other))

    assert (
        in_force(calibration, references, frames, strict).cosine
        >= in_force(calibration, references, frames, lax).cosine
    )


@given(calibrations(), REFERENCES, FRAMES, TARGETS)
def test_the_threshold_in_force_is_the_lowest_that_meets_the_target(
    calibration: Calibration, references: list[int], frames: int, target: float
) -> None:
    """Each template is reckoned with on its own, by the curve of its own pooling."""
    threshold = in_force(calibration, references, frames, target)
    used = [calibration.curve_for(each, frames) for each in references or [1]]
    most = max(references or [1])
    cosines = sorted({point.threshold for curve in used for point in curve.points})

    def fpir(cosine: float) -> float:
        kept_out = Fraction(1)
        for each in used:
            passed = [point.fmr for point in each.points if point.threshold <= cosine]
            kept_out *= 1 - Fraction(min(passed, default=1.0))
        return float(1 - kept_out**3)

    if references:
        assert threshold.fpir == pytest.approx(fpir(threshold.cosine), rel=1e-9)
        assert threshold.met == (threshold.fpir <= target)
    else:
        assert threshold.fpir == 0.0
    lower = [fpir(cosine) for cosine in cosines if cosine < threshold.cosine]
    assert all(rate > target * (1 - 1e-9) for rate in lower)
    if not threshold.met:
        assert threshold.cosine == cosines[-1]
    less_pooled = frames > min(each.frames for each in used) or most > max(
        each.references for each in used
    )
    beyond = any(threshold.cosine > each.measured_to for each in used)
    assert threshold.estimated == (beyond or less_pooled)


@pytest.mark.parametrize(
    ("references", "frames", "wanted"),
    [
        (1, 1, (1, 1)),
        (2, 1, (3, 1)),
        (3, 2, (3, 3)),
        (4, 3, (5, 3)),
        (5, 5, (5, 5)),
        (6, 5, (5, 5)),
        (20, 20, (5, 5)),
        (1, 4, (1, 5)),
    ],
)
def test_a_pooling_that_was_not_measured_counts_as_the_next_above_that_was(
    references: int, frames: int, wanted: tuple[int, int]
) -> None:
    poolings = [(k, m) for k in (5, 1, 3) for m in (3, 5, 1)]
    calibration = calibration_of(*(curve((0.5, 1e-3), references=k, frames=m) for k, m in poolings))

    found = calibration.curve_for(references, frames)

    assert (found.references, found.frames) == wanted


def test_templates_of_more_references_may_need_a_higher_threshold() -> None:
    """A mean has less noise, so that at one cosine more strangers pass (docs/adr/0010)."""
    calibration = calibration_of(
        curve((0.5, 1e-5), (0.6, 1e-7), references=1, frames=5),
        curve((0.5, 1e-4), (0.6, 1e-6), references=5, frames=5),
    )

    assert in_force(calibration, [1], 5, 1e-4).cosine == 0.5
    assert in_force(calibration, [1, 5], 5, 1e-4).cosine == 0.6


def test_below_its_first_point_a_curve_says_that_everybody_passes() -> None:
    calibration = calibration_of(curve((0.4, 1e-6), references=1), curve((0.6, 1e-6), references=5))

    assert in_force(calibration, [1, 5], 1, 1e-3).cosine == 0.6


def test_the_share_of_strangers_admitted_grows_with_every_template_and_try() -> None:
    """An attempt comes to three tries."""
    one = calibration_of(curve((0.5, 0.1)))

    assert in_force(one, [1], 1, 1e-3).fpir == pytest.approx(1 - 0.9**3)
    assert in_force(one, [1, 1], 1, 1e-3).fpir == pytest.approx(1 - 0.81**3)


def test_rates_that_are_small_add_up() -> None:
    one = calibration_of(curve((0.5, 1e-17)))

    assert in_force(one, [1, 1, 1], 1, 1e-3).fpir == pytest.approx(9e-17, rel=1e-6, abs=0)


def test_nobody_is_admitted_where_nobody_is_enrolled() -> None:
    nobody = in_force(CALIBRATION, [], 5, 1e-4)

    assert (nobody.fpir, nobody.met) == (0.0, True)
    assert nobody.cosine == in_force(CALIBRATION, [1], 5, 1e-4).cosine


@pytest.mark.parametrize(("measured_to", "estimated"), [(0.6, False), (0.59, True)])
def test_a_threshold_beyond_what_was_measured_is_called_an_estimate(
    measured_to: float, estimated: bool
) -> None:
    one = calibration_of(curve((0.5, 1e-2), (0.6, 1e-6), measured_to=measured_to))

    assert in_force(one, [1], 1, 1e-3).estimated is estimated
    assert in_force(one, [1], 1, 1e-1).estimated is False


@pytest.mark.parametrize(
    ("references", "frames", "estimated"),
    [([3, 1], 3, False), ([4, 1], 3, True), ([1, 3], 4, True)],
)
def test_more_pooling_than_was_measured_is_called_an_estimate(
    references: list[int], frames: int, estimated: bool
) -> None:
    one = calibration_of(curve((0.5, 1e-5), references=3, frames=3))

    assert in_force(one, references, frames, 1e-3).estimated is estimated


def test_the_synthetic_calibration_tightens_as_residents_come() -> None:
    sizes = (0, 50, 51, 10_000)

    assert [in_force(CALIBRATION, [5] * n, 5, 1e-4).cosine for n in sizes] == [0.5, 0.5, 0.6, 0.6]
