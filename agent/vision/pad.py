"""Presentation-attack detection by the door's own light: does it fall on skin, and in relief?

The light goes on and off in an order that nobody can know, and R = (lit - unlit) / unlit is
measured over the skin of the face. The colour of the skin cancels in it. A screen gives light of
its own and returns little, so R is far below what the light is known to give; paper returns light
as skin does, but evenly. After SpecDiff (Ebihara et al., arXiv 1907.12400), Face Flashing (Tang et
al., NDSS 2018) and Aurora Guard (Liu et al., arXiv 1902.10311). docs/accuracy.md has the figures,
and how the limits below were chosen.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import atan, degrees, radians, tan
from typing import TYPE_CHECKING

import numpy as np

from agent.core.pad import Cue, Examined, Liveness, Series, Verdict
from agent.core.types import Float32, Frame, Probe
from agent.vision.relief import PUPILS_APART, Float64, comparable, register, relief, surface, tinted

if TYPE_CHECKING:
    from agent.vision.detect import Mesh
    from agent.vision.pipeline import Pipeline

FIELD_OF_VIEW = 66.0
"""Degrees along the longer side of the picture, of Camera Module 3."""
LIGHT_AT = (0.0, -0.03, 0.0)
"""Where the light is, metres right of, below and before the lens: beside it."""
REFERENCE = 0.5
"""Metres at which the light's illuminance is stated."""
NEAREST, FARTHEST = 0.2, 1.5
"""Metres beyond which no distance is believed."""

MIN_FRAMES = 4
MAX_STEP = 0.35
"""Of the distance between the eyes: a face that moves more from one frame to the next is not
followed, or is another one."""
MAX_GROWTH = 1.2
"""By which the distance between the eyes may change over a series, either way."""
MIN_CELLS = 700
"""Of the 64 x 64 on the grid, that are skin and neither saturated nor dark."""

MIN_EXPECTED = 0.25
"""Ratio of the door's light to the ambient light below which relief is lost in the noise."""
MIN_SHARE = 0.15
"""Of the ratio expected, that skin gives back at least. Low, since the camera takes
dark skin for a darker scene and so expects more of it."""
MIN_FOLLOWS = 0.95
"""Correlation of the face's brightness with the code of the light."""
MIN_TINTED = 0.3
"""Slope of the light returned over the light of the face, below which it comes off a pane."""
MIN_RATIO = 0.12
"""Median of R below which there is too little of the light to tell by, whatever was expected."""
SHEET_DEPTH, MIN_DEPTH = 0.04, 0.08
"""Of Relief, below which it is as even as a sheet, and from which it has a face's. Between the two
are faces in surgical masks, whom nobody should call an attack."""
MIN_RELIEF = 0.4
MIN_FRONTAL = 0.15
"""Of Relief, below which it is not that of the face, or something hides it."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a series shows of the door's light.

    expected: ratio of it to the ambient light; None where that is not known. ratio: median of R.
    follows: correlation of the face's brightness with the code of the light. tinted: as from
    agent.vision.relief.tinted. relief, frontal, depth: as in agent.vision.relief.Relief.
    """

    expected: float | None
    ratio: float
    follows: float
    tinted: float
    relief: float
    frontal: float
    depth: float


def field_of_view(share: float) -> float:
    """Give the degrees along a part of the longer side of the picture, above 0 to 1 of it."""
    return degrees(2 * atan(share * tan(radians(FIELD_OF_VIEW) / 2)))


class FlashPad:
    """Examines series of lit and unlit frames; keeps nothing from one to the next.

    light_lux: illuminance of the door's light at 0.5 m, measured, lux. field_of_view: degrees
    along the longer side of the frames. focal: length of the lens, in such sides.
    """

    def __init__(self, pipeline: "Pipeline", light_lux: float, field_of_view: float) -> None:
        self._pipeline = pipeline
        self._light = light_lux
        self.focal = 0.5 / tan(radians(field_of_view) / 2)

    def __call__(self, series: Series) -> Examined:
        """Say whether the nearest face is there in the flesh. Raises ModelError.

        What cannot be measured is `UNCLEAR`: no face, too much motion, too much or too little
        light, an ambient light that is not known, a series that is none.
        """
        meshes = [self._pipeline.nearest(frame.pixels)[1] for frame in series.frames]
        found = [
            self._pipeline.probe(frame.pixels, mesh)
            for frame, mesh in zip(series.frames, meshes, strict=True)
            if mesh is not None
        ]
        probes = tuple(probe for probe in found if isinstance(probe, Probe))
        newest = max((frame.captured_at for frame in series.frames), default=0.0)
        return Examined(newest, self._verdict(series, meshes), probes)

    def _verdict(self, series: Series, meshes: "list[Mesh | None]") -> Verdict:
        whole = len(series.lit) == len(series.frames) >= MIN_FRAMES
        if not (whole and any(series.lit) and not all(series.lit)):
            return Verdict(Liveness.UNCLEAR, Cue.LIGHT_CODE)
        seen = [mesh for mesh in meshes if mesh is not None]
        if not (len(seen) == len(meshes) and holds_still([mesh.five for mesh in seen])):
            return Verdict(Liveness.UNCLEAR, Cue.MOTION)
        try:
            measured = self.measure(series, seen)
        except ValueError:
            return Verdict(Liveness.UNCLEAR, Cue.MOTION)
        return Verdict(Liveness.UNCLEAR, Cue.RELIEF) if measured is None else judge(measured)

    def measure(self, series: Series, meshes: "list[Mesh]") -> Measured | None:
        """Measure a series; None where too little of the face is neither dark nor saturated.

        meshes: of the same face in each frame. Raises ValueError where one has collapsed.
        """
        distance = self._distance(series.frames[0], meshes)
        face = surface(meshes[0], distance, LIGHT_AT)
        light = register([frame.pixels for frame in series.frames], meshes).mean(3, np.float64)
        on = np.array(series.lit)
        lit, unlit = light[on].mean(0), light[~on].mean(0)
        usable = comparable(light, face)
        if not int(usable.sum()) >= MIN_CELLS:
            return None
        ratio = float(np.median(lit[usable] / unlit[usable])) - 1
        level = np.log(light[:, usable].mean(1))
        shown = relief(unlit, lit, face, usable)
        return Measured(
            expected=self._expected(series.ambient, distance),
            ratio=ratio,
            follows=_correlation(level, on.astype(np.float64)),
            tinted=tinted(unlit, lit, usable),
            relief=shown.correlation,
            frontal=shown.frontal,
            depth=shown.depth,
        )

    def _expected(self, ambient: float | None, distance: float) -> float | None:
        if ambient is None or not ambient > 0:
            return None
        return self._light * (REFERENCE / distance) ** 2 / ambient

    def _distance(self, frame: Frame, meshes: "list[Mesh]") -> float:
        """Give metres to the face, if its pupils are as far apart as an adult's.

        A child is taken for somebody farther away, so that less is expected of its face.
        """
        apart = float(np.median([_apart(mesh.five) for mesh in meshes]))
        if not apart > 0:
            raise ValueError("eyes that coincide")
        metres = self.focal * max(frame.pixels.shape[:2]) * PUPILS_APART / apart
        return float(np.clip(metres, NEAREST, FARTHEST))


def judge(measured: Measured) -> Verdict:
    """Weigh what was measured; every test must pass, and NaN passes none."""
    expected, ratio = measured.expected, measured.ratio

    def say(liveness: Liveness, cue: Cue) -> Verdict:
        return Verdict(liveness, cue, ratio, measured.relief)

    if expected is None or not expected >= MIN_EXPECTED:
        return say(Liveness.UNCLEAR, Cue.AMBIENT)
    if not ratio >= MIN_SHARE * expected:
        return say(Liveness.ATTACK, Cue.REFLECTION)
    if not ratio >= MIN_RATIO:
        return say(Liveness.UNCLEAR, Cue.REFLECTION)
    if not measured.tinted >= MIN_TINTED:
        return say(Liveness.ATTACK, Cue.REFLECTION)
    if not measured.follows >= MIN_FOLLOWS:
        return say(Liveness.ATTACK, Cue.LIGHT_CODE)
    if not measured.depth >= SHEET_DEPTH:
        return say(Liveness.ATTACK, Cue.RELIEF)
    as_a_face = measured.relief >= MIN_RELIEF and measured.frontal >= MIN_FRONTAL
    if not (as_a_face and measured.depth >= MIN_DEPTH):
        return say(Liveness.UNCLEAR, Cue.RELIEF)
    return say(Liveness.BONA_FIDE, Cue.ALL)


def holds_still(faces: list[Float32]) -> bool:
    """Say whether (5, 2) points are of one face that can be followed from frame to frame."""
    apart = [_apart(five) for five in faces]
    steps = [
        float(np.linalg.norm(after.mean(0) - before.mean(0))) for before, after in pairwise(faces)
    ]
    near = min(apart)
    return near > 0 and max(apart) <= MAX_GROWTH * near and max(steps) <= MAX_STEP * near


def _apart(five: Float32) -> float:
    return float(np.linalg.norm(five[1] - five[0]))


def _correlation(one: Float64, other: Float64) -> float:
    if not (one.std() > 0 and other.std() > 0):
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])
