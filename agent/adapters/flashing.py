"""A series of frames under one exposure, while the light goes on and off: by libcamera's metadata.

What a control is set to takes effect some frames later, and the frames that arrive meanwhile were
taken before. So nothing is believed but the metadata of each frame: they are those of that frame.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from agent.core.pad import Series
from agent.core.types import Frame
from agent.errors import DeviceError
from agent.ports import Switch

Captured: TypeAlias = tuple[Frame, Mapping[str, Any]]
"""A frame and its metadata, by libcamera's names."""

HEADROOM = 0.8
"""Exposure of a series as a share of the one before, at the most: a change that shows in the
metadata once it is in force, and with it what was asked for at the same time."""
NEARER = 1.3
"""How much brighter a face that is nearer than half a metre may be lit than one that is not."""
DARKEST = 0.02
"""Share of the exposure before, at the least."""
NEAR_ENOUGH = 0.05
"""Share by which exposure and gain may differ from what was asked for: a camera has steps."""
SETTLES = 0.002
"""Seconds that the light takes to go on or off."""
NEEDED = ("AeEnable", "ExposureTime", "AnalogueGain")
MEND = 'set [pad] level = "basic"'


def hold(
    metadata: Mapping[str, Any], known: Mapping[str, Any], light_lux: float
) -> dict[str, object]:
    """Give the controls that hold exposure, gain and white balance, and hurry the frames.

    metadata: of the frame before. known: the controls that the camera has, with their limits.
    light_lux: what the light gives half a metre before it, for which there is to be room.
    Raises DeviceError where it lacks what that takes.
    """
    if not all(name in known for name in NEEDED) or "SensorTimestamp" not in metadata:
        raise DeviceError(f"camera: its exposure cannot be locked: {MEND}")
    exposure = max(1, round(_headroom(metadata, light_lux) * _number(metadata, "ExposureTime")))
    held: dict[str, object] = {
        "AeEnable": False,
        "AwbEnable": False,
        "ExposureTime": exposure,
        "AnalogueGain": _number(metadata, "AnalogueGain"),
    }
    if "ColourGains" in metadata:
        held["ColourGains"] = metadata["ColourGains"]
    limits = known.get("FrameDurationLimits")
    if limits is not None:
        fastest = max(int(limits[0]), exposure)
        held["FrameDurationLimits"] = (fastest, fastest)
    return known_of(held, known)


def _headroom(metadata: Mapping[str, Any], light_lux: float) -> float:
    ambient = _number(metadata, "Lux") if "Lux" in metadata else 0.0
    if not ambient > 0:
        return DARKEST if light_lux > 0 else HEADROOM
    return min(HEADROOM, max(DARKEST, 1 / (1 + NEARER * light_lux / ambient)))


def known_of(controls: Mapping[str, object], known: Mapping[str, Any]) -> dict[str, object]:
    """Give those controls that a camera has."""
    return {name: value for name, value in controls.items() if name in known}


def take(
    capture: Callable[[], Captured | None],
    held: Mapping[str, Any],
    lit: Sequence[bool],
    switch: Switch,
    until: float,
) -> Series | None:
    """Take a frame for each of `lit`, exposed wholly after the light was switched so.

    capture: gives the next frame, None where the camera was closed. held: as from `hold`, asked
    for already. until: monotonic seconds, after which there is no series. Raises as the two do.
    """
    frames: list[Frame] = []
    lux: list[float] = []
    shines: bool | None = None
    switched_at = float("inf")
    while len(frames) < len(lit):
        captured = capture()
        if captured is None or not time.monotonic() < until:
            return None
        frame, metadata = captured
        # The light must not set the exposure, so it is switched only once that is locked.
        if not _in_force(held, metadata):
            continue
        # The stamp is of when the first row is read out, and that was exposed before (picamera2's
        # issues 821 and 1278). The last is read out by now, and the light is not switched yet.
        exposed_from = frame.captured_at - _number(metadata, "ExposureTime") / 1e6
        if exposed_from >= switched_at:
            frames.append(frame)
            if shines is False and "Lux" in metadata:
                lux.append(_number(metadata, "Lux"))
        if len(frames) < len(lit) and lit[len(frames)] is not shines:
            shines = lit[len(frames)]
            switch(shines)
            switched_at = time.monotonic() + SETTLES
    return Series(tuple(frames), tuple(lit), min(lux, default=None))


def _in_force(held: Mapping[str, Any], metadata: Mapping[str, Any]) -> bool:
    return all(
        abs(_number(metadata, name) - held[name]) <= NEAR_ENOUGH * held[name]
        for name in ("ExposureTime", "AnalogueGain")
    )


def _number(metadata: Mapping[str, Any], name: str) -> float:
    try:
        return float(metadata[name])
    except (KeyError, TypeError, ValueError):
        raise DeviceError(f"camera: it does not tell its {name}: {MEND}") from None
