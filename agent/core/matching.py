"""Exact search of the gallery, and the threshold that such a gallery needs."""

from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from agent.core.types import Float32, Gallery, Shortlist, SubjectId

NOTHING = np.float32(-np.inf)
TRIES = 3
"""How many tries one attempt comes to, since it is decided on with every frame (docs/adr/0010)."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A subject, its row in the gallery, and its comparison score, a cosine from -1 to 1."""

    subject: SubjectId
    row: int
    score: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """The best subject, and the best one of any other household."""

    best: Candidate
    rival: Candidate | None

    @property
    def margin(self) -> float | None:
        """Distance in cosine from the best subject to the rival."""
        return None if self.rival is None else self.best.score - self.rival.score


def search(gallery: Gallery, vector: Float32) -> Ranking | None:
    """Compare one unit vector (D,) with every template; None where the gallery is empty.

    Scores that are not finite rank below all others, so that one damaged row hides nobody. A
    shortlist changes nothing but the time: where it is not sure to hold both, all are looked at.
    """
    if not len(gallery.subjects) > 0:
        return None
    if gallery.shortlist is not None:
        rows, bound = gallery.shortlist(vector)
        few = search(_rows_of(gallery, rows, None), vector)
        if few is not None and few.rival is not None and few.rival.score > bound:
            return Ranking(
                replace(few.best, row=int(rows[few.best.row])),
                replace(few.rival, row=int(rows[few.rival.row])),
            )
    with np.errstate(invalid="ignore", over="ignore"):
        scores: Float32 = np.dot(gallery.matrix, vector)
    best = int(np.argmax(scores))
    if not np.isfinite(scores[best]):
        scores = np.where(np.isfinite(scores), scores, NOTHING)
        best = int(np.argmax(scores))
    found = Candidate(gallery.subjects[best], best, float(scores[best]))
    # In place: at 100,000 subjects another array of scores costs more than looking through this.
    scores[gallery.households == gallery.households[best]] = NOTHING
    row = int(np.argmax(scores))
    if not scores[row] > NOTHING:
        return Ranking(found, None)
    return Ranking(found, Candidate(gallery.subjects[row], row, float(scores[row])))


def only(gallery: Gallery, subjects: Container[SubjectId]) -> Gallery:
    """Give the rows of these subjects, as if nobody else had ever been enrolled."""
    rows = [row for row, subject in enumerate(gallery.subjects) if subject in subjects]
    if len(rows) == len(gallery.subjects):
        return gallery
    kept = np.array(rows, np.intp)
    wide = gallery.shortlist
    return _rows_of(gallery, kept, None if wide is None else _narrowed(wide, kept))


def _rows_of(gallery: Gallery, rows: NDArray[np.intp], shortlist: Shortlist | None) -> Gallery:
    return Gallery(
        matrix=gallery.matrix[rows],
        subjects=tuple(gallery.subjects[row] for row in rows),
        households=gallery.households[rows],
        references=gallery.references[rows],
        model=gallery.model,
        shortlist=shortlist,
    )


def _narrowed(shortlist: Shortlist, kept: NDArray[np.intp]) -> Shortlist:
    """Make a shortlist one of the rows that were kept (K,), which rise."""

    def narrowed(vector: Float32) -> tuple[NDArray[np.intp], float]:
        rows, bound = shortlist(vector)
        places = np.searchsorted(kept, rows)
        within = places < len(kept)
        places = places[within]
        return places[kept[places] == rows[within]], bound

    return narrowed


def mean_template(vectors: Iterable[Float32]) -> Float32:
    """Give the unit vector (D,) along the mean of unit vectors.

    Raises ValueError where there are none or they cancel out.
    """
    total = np.asarray(np.sum(list(vectors), axis=0, dtype=np.float64))
    norm = float(np.linalg.norm(total))
    if not norm > 0:
        message = "no mean of no vectors, or of vectors that cancel out"
        raise ValueError(message)
    return (total / norm).astype(np.float32)


def likeness_to_others(vectors: Iterable[Float32]) -> list[float]:
    """Give the cosine of each of some unit vectors (D,), one at least, to the mean of the others.

    0 where there are no others, or they cancel out. The least is the self-consistency of the set.
    """
    each = np.array(list(vectors), np.float64)
    others = each.sum(axis=0) - each
    norms = np.linalg.norm(others, axis=1)
    along = (each * others).sum(axis=1)
    return [float(a / norm) if norm > 0 else 0.0 for a, norm in zip(along, norms, strict=True)]


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """One line of a calibration: at this cosine, no more than this share of non-mated pass."""

    threshold: float
    fmr: float


@dataclass(frozen=True, slots=True)
class Curve:
    """Threshold to FMR of probes pooled of so many frames against templates of so many references.

    points: by rising threshold; the fmr of each is an upper confidence bound. measured_to: cosine
    up to which non-mated comparisons bear the points out; above it they are estimated by a fit of
    the tail. Raises ValueError where anything is not finite, not rising or missing.
    """

    references: int
    frames: int
    measured_to: float
    points: tuple[OperatingPoint, ...]

    def __post_init__(self) -> None:
        thresholds = [point.threshold for point in self.points]
        rates = [point.fmr for point in self.points]
        rising = all(a < b for a, b in pairwise(thresholds))
        falling = all(a >= b for a, b in pairwise(rates))
        ranged = all(-1 <= t <= 1 for t in thresholds) and all(0 < r <= 1 for r in rates)
        if not (self.points and rising and falling and ranged):
            message = "points need thresholds that rise in -1..1 and rates that fall in 0..1"
            raise ValueError(message)
        if not (self.references >= 1 and self.frames >= 1 and -1 <= self.measured_to <= 1):
            message = "a curve needs references and frames from 1 and measured_to in -1..1"
            raise ValueError(message)

    def fmr(self, threshold: float) -> float:
        """Give the share of non-mated comparisons that pass a cosine, at the most; 1 if unknown."""
        reached = [point.fmr for point in self.points if point.threshold <= threshold]
        return reached[-1] if reached else 1.0

    def bears_out(self, threshold: float, references: int, frames: int) -> bool:
        """Say whether it was measured at this cosine, and with no less pooling than this."""
        measured = threshold <= self.measured_to
        return measured and references <= self.references and frames <= self.frames


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was measured of one embedder. model: as in Embedding.

    Raises ValueError where there is no curve.
    """

    model: str
    provisional: bool
    curves: tuple[Curve, ...]

    def __post_init__(self) -> None:
        if not self.curves:
            message = "a calibration needs a curve"
            raise ValueError(message)

    def curve_for(self, references: int, frames: int) -> Curve:
        """Give the curve of the least pooling that is not below this one; else of the most.

        At one cosine pooling raises the FMR, for a mean has less noise in it that parts strangers
        (docs/adr/0010): the next curve above is the safe one.
        """
        return min(
            self.curves,
            key=lambda curve: (
                max(references - curve.references, 0),
                max(frames - curve.frames, 0),
                curve.references,
                curve.frames,
            ),
        )


@dataclass(frozen=True, slots=True)
class Threshold:
    """The threshold in force and what it means for one stranger's attempt.

    fpir: share of strangers' attempts admitted, upper bound. met: whether that is the target.
    estimated: whether it rests on a fit beyond what was measured, or on less pooling than is used.
    """

    cosine: float
    fpir: float
    met: bool
    estimated: bool


def threshold_for(
    calibration: Calibration, references: NDArray[np.intp], frames: int, target_fpir: float
) -> Threshold:
    """Give the lowest calibrated threshold that keeps a gallery within the target.

    FPIR = 1 - product over the templates of (1 - FMR) to the power of TRIES, comparisons taken as
    independent (ISO/IEC 19795-1). Where no point reaches the target, the strictest one is in force
    and `met` is false. With nobody to compare with, the threshold is that of a gallery of one, and
    nobody is admitted.

    Args:
        calibration: of the embedder that made the templates.
        references: (N,) how many references each template is the mean of.
        frames: how many frames a probe is pooled of, at the most.
        target_fpir: share of strangers' attempts that may be admitted.
    """
    kinds, sizes = np.unique(references if len(references) else [1], return_counts=True)
    curves = [calibration.curve_for(int(kind), frames) for kind in kinds]
    used = list(zip(kinds, curves, strict=True))
    in_force = [
        Threshold(
            cosine,
            fpir if len(references) else 0.0,
            met=fpir <= target_fpir,
            estimated=not all(curve.bears_out(cosine, int(kind), frames) for kind, curve in used),
        )
        for cosine in sorted({point.threshold for curve in curves for point in curve.points})
        for fpir in [_fpir([curve.fmr(cosine) for curve in curves], sizes)]
    ]
    return next((threshold for threshold in in_force if threshold.met), in_force[-1])


def _fpir(rates: list[float], sizes: NDArray[np.intp]) -> float:
    # Of a small rate 1 - (1 - rate) would leave few digits.
    with np.errstate(divide="ignore"):
        return float(-np.expm1(TRIES * np.sum(sizes * np.log1p(-np.array(rates)))))
