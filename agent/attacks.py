"""Which attacks on a face a level of detection stops, and which it does not, in plain words."""

from collections.abc import Mapping
from types import MappingProxyType

from agent.core.pad import PadLevel

STOPS: Mapping[PadLevel, str] = MappingProxyType(
    {
        PadLevel.BASIC: "stops a careless photograph or phone at the most",
        PadLevel.FLASH: (
            "stopped screens, and flat and bent paper, in a simulation where the light "
            "outshines the day (docs/accuracy.md)"
        ),
        PadLevel.FLASH_AND_CHALLENGE: (
            "stopped screens, and flat and bent paper, in a simulation where the light "
            "outshines the day (docs/accuracy.md), and stops pictures merely held still or waved"
        ),
    }
)
PASSES: Mapping[PadLevel, str] = MappingProxyType(
    {
        PadLevel.BASIC: "a good photograph of a resident on paper or a screen",
        PadLevel.FLASH: "a mask, a figure with relief, at times a print draped over a head",
        PadLevel.FLASH_AND_CHALLENGE: "a good mask or a live deepfake",
    }
)
SURE = 'only a second factor (mode "face+pin") stops a good mask or a live deepfake'


def in_words(level: PadLevel) -> str:
    """Give what a level stops, and what it does not."""
    return f"level {level}: {STOPS[level]}; does not stop {PASSES[level]}; {SURE}; not certified"
