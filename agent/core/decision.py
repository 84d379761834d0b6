"""Evidence of one presentation, pooled over its frames, against the gallery.

A single frame never decides: the pooled probe must pass the threshold in force, stand clear of the
best subject of another household, and be borne out by enough frames each on its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from agent.core.matching import (
    Calibration,
    Ranking,
    Threshold,
    mean_template,
    search,
    threshold_for,
)
from agent.core.types import Embedding, Float32, Gallery, Probe, Reason, Refusal, SubjectId

LEAST_LATER = 3
"""Frames of a face that is examined which must show who was recognised, at the least."""


@dataclass(frozen=True, slots=True)
class Recognition:
    """How sure the door must be, and on what evidence."""

    target_fpir: float = 1e-4
    """Share of strangers' attempts that may be admitted, above 0 to below 1; sets the threshold."""
    min_frames: int = 3
    """Frames of one presentation that must agree before the door opens, 2 to 20."""
    max_frames: int = 5
    """Frames pooled at most, those most unlike each other, min_frames to 20; fewer never refuse."""
    patience: float = 1.5
    """Seconds of good frames that a presentation gets before it can be refused, 0 to 10."""
    max_age: float = 0.5
    """Seconds after which a frame is too old to decide on, above 0 to 60."""
    max_gap: float = 0.8
    """Seconds without a good face after which a presentation is over, above 0 to 60."""
    agreement_slack: float = 0.12
    """How far below the threshold, in cosine, a single frame may be and still agree, 0 to 1."""
    min_margin: float = 0.05
    """Distance in cosine to the best subject of another household, 0 to 1."""
    cooldown: float = 8.0
    """Seconds after a grant in which the same subject is not granted again, above 0 to 60."""
    retry_after: float = 2.0
    """Seconds after a refusal before faces are judged again, above 0 to 60."""

    def __post_init__(self) -> None:
        if not 0 < self.target_fpir < 1:
            message = "target_fpir must be between 0 and 1"
            raise ValueError(message)
        if not 2 <= self.min_frames <= self.max_frames <= 20:  # noqa: PLR2004
            message = "min_frames and max_frames must be 2 to 20, and min_frames not the greater"
            raise ValueError(message)
        if not 0 <= self.patience <= 10:  # noqa: PLR2004
            message = "patience must be 0 to 10 seconds"
            raise ValueError(message)
        limits = (self.max_age, self.max_gap, self.cooldown, self.retry_after)
        if not all(0 < seconds <= 60 for seconds in limits):  # noqa: PLR2004
            message = "max_age, max_gap, cooldown and retry_after must be above 0, up to 60 s"
            raise ValueError(message)
        if not (0 <= self.agreement_slack <= 1 and 0 <= self.min_margin <= 1):
            message = "agreement_slack and min_margin must be 0 to 1"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Match:
    """The evidence is for this subject. Policy still has its say."""

    subject: SubjectId
    score: float
    threshold: float
    margin: float | None


class Presentation:
    """Good frames of whoever stands at the door, the most independent of them (docs/adr/0010)."""

    def __init__(self, rules: Recognition) -> None:
        self._rules = rules
        self._frames: list[Embedding] = []
        self._ages: list[int] = []
        self._begun_at = float("-inf")
        self._seen_at = float("-inf")

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def vectors(self) -> list[Float32]:
        """The pooled frames, each (D,) of unit norm, oldest first."""
        return [frame.vector for frame in self._frames]

    @property
    def models(self) -> set[str]:
        """The models that made the pooled frames: one, unless something is amiss."""
        return {frame.model for frame in self._frames}

    @property
    def seconds(self) -> float:
        """Time from the first good frame of the presentation to the newest."""
        return self._seen_at - self._begun_at

    def add(self, probe: Probe, captured_at: float) -> None:
        """Pool a frame newer than the last; past the limit drop the one most like another.

        None of the newest min_frames is dropped, and what 2 * max_frames have followed always is:
        evidence is to follow whoever steps in front. captured_at: monotonic seconds.
        """
        if not captured_at > self._seen_at:
            return
        if not captured_at - self._seen_at <= self._rules.max_gap:
            self.clear()
        if not self._frames:
            self._begun_at = captured_at
        self._frames.append(probe.embedding)
        self._ages = [*(age + 1 for age in self._ages), 0]
        self._seen_at = captured_at
        if not self._ages[0] < 2 * self._rules.max_frames:
            self._drop(0)
        if len(self._frames) > self._rules.max_frames:
            self._drop(self._redundant())

    def clear(self) -> None:
        """Forget every frame."""
        self._frames, self._ages = [], []

    def _redundant(self) -> int:
        vectors = np.stack(self.vectors)
        cosines: Float32 = vectors @ vectors.T
        np.fill_diagonal(cosines, -1.0)
        return int(np.argmax(cosines.max(axis=1)[: -self._rules.min_frames]))

    def _drop(self, place: int) -> None:
        del self._frames[place], self._ages[place]


class Judge:
    """Holds the gallery and the threshold that its size and the operator's target put in force."""

    def __init__(self, rules: Recognition, calibration: Calibration, gallery: Gallery) -> None:
        self._rules = rules
        self._calibration = calibration
        self._gallery = gallery
        self.threshold = self._strictest(gallery.references)

    @cached_property
    def sureness(self) -> str:
        """What the threshold in force means, in words, and what to do where it is not enough."""
        compared = len(self._gallery.subjects)
        if not compared > 0:
            return "with nobody compared, no face opens the door"
        once = f"about once in {1 / self.threshold.fpir:,.0f} attempts, at the most"
        estimated = ", by an estimate beyond what was measured" if self.threshold.estimated else ""
        said = [f"with {compared} compared, a stranger is admitted {once}{estimated}"]
        if not self.threshold.met:
            mends = " or ".join(self._mends())
            said.append(f"the target of {self._rules.target_fpir:g} is NOT met: {mends}")
        if self._calibration.provisional:
            said.append("provisional calibration")
        return "; ".join(said)

    def judge(self, presentation: Presentation) -> Match | Refusal | None:
        """Weigh the evidence; None asks for more frames.

        Frames are refused outright where they, the gallery and the calibration are not all of one
        model. `min_frames` are enough to match; only `max_frames`, after `patience`, are to refuse.
        """
        if not len(presentation) >= self._rules.min_frames:
            return None
        if not presentation.models == {self._gallery.model} == {self._calibration.model}:
            return Refusal(Reason.WRONG_MODEL)
        pooled = mean_template(presentation.vectors)
        ranking = search(self._gallery, pooled)
        reason = self._objection(ranking, presentation.vectors)
        if ranking is not None and reason is None:
            best = ranking.best
            if not self._agrees(presentation.vectors[-1], best.row):
                # Somebody else has stepped in front.
                return None
            return Match(best.subject, best.score, self.threshold.cosine, ranking.margin)
        enough = len(presentation) >= self._rules.max_frames
        if not (enough and presentation.seconds >= self._rules.patience):
            return None
        return Refusal(reason or Reason.NO_MATCH)

    def bears_out(self, subject: SubjectId, probes: Sequence[Probe]) -> bool:
        """Say whether faces that were seen later would have matched this subject themselves.

        As surely as any: no more of them are pooled than ever are, the newest, and most of all must
        agree.
        """
        if not len(probes) >= LEAST_LATER:
            return False
        if not {probe.embedding.model for probe in probes} == {self._gallery.model}:
            return False
        vectors = [probe.embedding.vector for probe in probes]
        pooled = vectors[-self._rules.max_frames :]
        ranking = search(self._gallery, mean_template(pooled))
        if ranking is None or ranking.best.subject != subject:
            return False
        agreeing = sum(self._agrees(vector, ranking.best.row) for vector in vectors)
        return 2 * agreeing > len(vectors) and self._objection(ranking, pooled) is None

    def nearest(self, vector: Float32) -> Ranking | None:
        """Rank the subjects for one unit vector (D,), whatever the threshold."""
        return search(self._gallery, vector)

    def _strictest(self, references: NDArray[np.intp]) -> Threshold:
        """Give the threshold that serves however many frames are pooled when it is decided."""
        frames = range(self._rules.min_frames, self._rules.max_frames + 1)
        needed = [self._needed(references, each) for each in frames]
        return max(needed, key=lambda each: (each.cosine, each.estimated))

    def _needed(self, references: NDArray[np.intp], frames: int) -> Threshold:
        return threshold_for(self._calibration, references, frames, self._rules.target_fpir)

    def _mends(self) -> list[str]:
        """Say what would reach the target: of more evidence only what the calibration promises."""
        references = self._gallery.references
        most_frames = max(curve.frames for curve in self._calibration.curves)
        most_references = max(curve.references for curve in self._calibration.curves)
        mends = []
        if self._needed(references, most_frames).met:
            mends.append(f"set min_frames and max_frames to {most_frames}")
        enrolled_anew = np.maximum(references, most_references)
        if self._strictest(enrolled_anew).met:
            mends.append(f"enrol everybody anew with {most_references} references")
        return [*mends, "ask for face+pin"]

    def _objection(self, ranking: Ranking | None, vectors: Sequence[Float32]) -> Reason | None:
        if ranking is None or not ranking.best.score >= self.threshold.cosine:
            return Reason.NO_MATCH
        if ranking.margin is not None and not ranking.margin >= self._rules.min_margin:
            return Reason.AMBIGUOUS
        row = ranking.best.row
        agreeing = sum(self._agrees(vector, row) for vector in vectors)
        if not agreeing >= min(self._rules.min_frames, len(vectors)):
            return Reason.INCONSISTENT
        return None

    def _agrees(self, vector: Float32, row: int) -> bool:
        floor = self.threshold.cosine - self._rules.agreement_slack
        return bool(vector @ self._gallery.matrix[row] >= floor)
