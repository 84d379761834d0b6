"""What is known of whether a face is there in the flesh: presentation-attack detection (PAD).

Terms are those of ISO/IEC 30107-3: a bona fide presentation, an attack, and the species of it.
"""

from dataclasses import dataclass
from enum import StrEnum

from agent.core.types import Frame, Probe


class PadLevel(StrEnum):
    """How much is asked of a face before it counts as there in the flesh, the least first."""

    BASIC = "basic"
    FLASH = "flash"
    FLASH_AND_CHALLENGE = "flash+challenge"


class Liveness(StrEnum):
    """What a test says. `UNCLEAR` is never a pass: the second factor decides."""

    BONA_FIDE = "bona_fide"
    ATTACK = "attack"
    UNCLEAR = "unclear"


class Cue(StrEnum):
    """What a verdict was told by."""

    REFLECTION = "reflection"
    """A screen gives light and hardly returns any."""
    RELIEF = "relief"
    """Paper returns light as skin does, but not as a face has its relief."""
    LIGHT_CODE = "light_code"
    """The face did not get brighter and darker when the light did."""
    AMBIENT = "ambient"
    """There is too much other light to tell."""
    MOTION = "motion"
    """The face moved too much, or was not in every picture, to tell."""
    TURN = "turn"
    """The head did not turn as it was asked to, or not then."""
    ALL = "all"
    """Nothing spoke against it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """liveness, and the cue that told it.

    ratio: median over the face of (lit - unlit) / unlit, 0 and more; relief: correlation of that
    ratio with the shading expected of the face, -1 to 1. None where it was not measured.
    """

    liveness: Liveness
    cue: Cue
    ratio: float | None = None
    relief: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Frames under one exposure, each taken wholly with the light on or wholly with it off.

    frames: at least 4, oldest first, within about 300 ms. lit: for each frame whether the light was
    on; both occur, in an order made at random. ambient: illuminance at the door without the light,
    lux, as the camera's exposure tells; None where it does not.
    """

    frames: tuple[Frame, ...]
    lit: tuple[bool, ...]
    ambient: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Examined:
    """What a series showed. probes: of the nearest face in each frame that has a good one.

    captured_at: monotonic seconds, of the newest frame.
    """

    captured_at: float
    verdict: Verdict
    probes: tuple[Probe, ...]
