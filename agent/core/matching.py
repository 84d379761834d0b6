"""Exact search of the gallery, and the threshold that a gallery of its size needs."""

from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from agent.core.types import Float32, Gallery, Shortlist, SubjectId

NOTHING = np.float32(-np.inf)


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
class Calibration:
    """Threshold to FMR of pooled probes against mean templates, for one embedder.

    model: as in Embedding. fmr of each point: upper confidence bound. points: by rising threshold.
    Raises ValueError where the points are not finite, not rising or missing.
    """

    model: str
    provisional: bool
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


@dataclass(frozen=True, slots=True)
class Threshold:
    """The threshold in force and what it means for one stranger's attempt.

    fpir: share of strangers' attempts admitted, upper bound. met: whether that is the target.
    """

    cosine: float
    fpir: float
    met: bool


def threshold_for(calibration: Calibration, gallery_size: int, target_fpir: float) -> Threshold:
    """Give the lowest calibrated threshold that keeps a gallery of this size within the target.

    FPIR = 1 - (1 - FMR)^N for N templates, comparisons taken as independent (ISO/IEC 19795-1).
    Where no point reaches the target, the strictest one is in force and `met` is false.
    """
    size = max(gallery_size, 1)
    in_force = [
        Threshold(point.threshold, fpir, met=fpir <= target_fpir)
        for point in calibration.points
        for fpir in [1.0 - (1.0 - point.fmr) ** size]
    ]
    return next((threshold for threshold in in_force if threshold.met), in_force[-1])
