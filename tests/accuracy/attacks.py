"""Who, or what, stands there: a bona fide presentation of a photograph's person, or an attack.

Each takes a Sitter, the door and a generator of random numbers and gives the Series that the
door's camera would take.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np

from tests.accuracy.light import (
    FOCAL,
    HEIGHT,
    WIDTH,
    Body,
    Door,
    Map,
    code,
    linear,
    record,
    spread,
    view_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.core.pad import Series
    from agent.core.types import Pixels
    from agent.vision.detect import Mesh

    Presentation: TypeAlias = Callable[["Sitter", Door, np.random.Generator], Series]

SKIN = 0.7
"""By what a photograph's linear light is multiplied to be a reflectance."""


@dataclass(frozen=True)
class Sitter:
    """A photograph, and the mesh that the door's own landmark model finds in it."""

    photograph: Pixels
    mesh: Mesh


def head(
    sitter: Sitter,
    random: np.random.Generator,
    *,
    size: float = 1.0,
    tone: float = 1.0,
    near: tuple[float, float] = (0.4, 0.6),
) -> Body:
    """A living head: relief as the mesh has it, but for 20 % and 2 mm. size: of an adult's."""
    distance = random.uniform(*near)
    view = _view(sitter, random, distance / size)
    albedo, there = _laid(sitter.photograph, view, feather=True)
    raw, _ = spread(sitter.mesh, view)
    metre = distance / FOCAL * float(np.hypot(view[0, 0], view[1, 0]))
    depth = (raw - raw.min()) * metre * random.uniform(0.8, 1.2)
    bumps = cv2.GaussianBlur(
        random.standard_normal((HEIGHT, WIDTH), dtype=np.float32), (0, 0), 0.016 * FOCAL / distance
    )
    depth += bumps * (0.0015 / bumps.std())
    # Ambient light hardly reaches the sockets of the eyes and below the nose and chin.
    around = cv2.GaussianBlur(depth, (0, 0), 0.015 * FOCAL / distance)
    hollow = np.clip((depth - around) / 0.006, 0, 1)
    sheen = random.uniform(0, 0.12)
    flat = sitter.mesh.points[:, :2] @ view[:, :2].T + view[:, 2]
    skin = np.zeros((HEIGHT, WIDTH), np.float32)
    cv2.fillPoly(skin, [cv2.convexHull(np.round(flat).astype(np.int32))], 1.0)
    # The rest of the head, and the neck, are as dark.
    skin = np.clip(2 * cv2.GaussianBlur(skin, (0, 0), 0.015 * FOCAL / distance), 0, 1)
    albedo = albedo * (1 - (1 - tone) * skin[..., None])
    return Body(
        albedo, depth.astype(np.float32), there, distance, sheen=sheen, view=view, hollow=hollow
    )


def bona_fide(sitter: Sitter, door: Door, random: np.random.Generator) -> Series:
    return record(head(sitter, random), door, random, code(random))


def dark_skinned(sitter: Sitter, door: Door, random: np.random.Generator) -> Series:
    """As if the skin returned a quarter of the light."""
    return record(head(sitter, random, tone=0.25), door, random, code(random))


def child(sitter: Sitter, door: Door, random: np.random.Generator) -> Series:
    """A head of four fifths of an adult's size, which the door takes for one farther away."""
    return record(head(sitter, random, size=0.8), door, random, code(random))


def seated(sitter: Sitter, door: Door, random: np.random.Generator) -> Series:
    """Below the light and farther away, as from a wheelchair: light from 20 cm above the lens."""
    above = replace(door, at=(0.0, -0.2))
    return record(head(sitter, random, near=(0.6, 0.9)), above, random, code(random))


def spectacled(sitter: Sitter, door: Door, random: np.random.Generator) -> Series:
    """Dark frames around the eyes, and a glint of the light on each lens in half of them."""
    body = head(sitter, random)
    assert body.view is not None
    flat = sitter.mesh.points[:, :2] @ body.view[:, :2].T + body.view[:, 2]
    left, right = flat[[33, 133]].mean(0), flat[[362, 263]].mean(0)
    apart = float(np.linalg.norm(right - left))
    albedo = body.albedo.copy()
    mirror = np.zeros((HEIGHT, WIDTH), np.float32)
    for eye in (left, right):
        centre = tuple(round(float(each)) for each in eye)
        axes = (round(apart * 0.36), round(apart * 0.27))
        cv2.ellipse(albedo, centre, axes, 0, 0, 360, (0.03,) * 3, max(round(apart * 0.05), 1))
        if random.random() < 0.5:
            spot = eye + random.normal(0, apart * 0.1, 2)
            cv2.circle(mirror, tuple(int(each) for each in spot), round(apart * 0.05), 3.0, -1)
    lens = np.array([apart * 0.36, 0])
    ends = np.round([left + lens, right - lens]).astype(np.int32)
    cv2.polylines(albedo, [ends], False, (0.03,) * 3, max(round(apart * 0.05), 1))
    return record(replace(body, albedo=albedo, glints=mirror), door, random, code(random))


def masked(sitter: Sitter, door: Door, random: np.random.Generator) -> Series:
    """A surgical mask from the nose down, which smooths what is below it."""
    body = head(sitter, random)
    assert body.view is not None
    ring = [123, 117, 118, 101, 100, 126, 197, 355, 329, 330, 347, 346, 352]
    ring += [361, 397, 379, 400, 152, 176, 150, 172, 132]
    flat = sitter.mesh.points[ring, :2] @ body.view[:, :2].T + body.view[:, 2]
    cloth = np.zeros((HEIGHT, WIDTH), np.float32)
    cv2.fillPoly(cloth, [np.round(flat).astype(np.int32)], 1.0)
    smooth = cv2.GaussianBlur(body.depth, (0, 0), 0.012 * FOCAL / body.distance)
    depth = body.depth * (1 - cloth) + (smooth - 0.004) * cloth
    colour = np.array([0.45, 0.6, 0.65], np.float32)
    albedo = body.albedo * (1 - cloth[..., None]) + colour * cloth[..., None]
    return record(replace(body, albedo=albedo, depth=depth), door, random, code(random))


def print_of(
    sitter: Sitter,
    random: np.random.Generator,
    sheet: Callable[[Map, Map], Map],
    scale: tuple[float, float] = (0.6, 1.0),
) -> Body:
    """A photograph printed. sheet: depth in metres over x and y in metres. scale: of life size."""
    shrunk = random.uniform(*scale)
    apparent = random.uniform(0.4, 0.6)
    distance = apparent * shrunk
    view = _view(sitter, random, apparent)
    albedo, there = _laid(sitter.photograph, view, feather=False)
    # Ink on paper has less contrast than the photograph.
    albedo = albedo * 0.8 + 0.04
    metre = distance / FOCAL
    at = view[:, :2] @ sitter.mesh.points[:, :2].mean(0) + view[:, 2]
    x, y = np.meshgrid(np.arange(WIDTH) - at[0], np.arange(HEIGHT) - at[1])
    tilt_x, tilt_y = np.tan(np.deg2rad(random.uniform(-20, 20, 2)))
    x, y = (x * metre).astype(np.float32), (y * metre).astype(np.float32)
    depth = sheet(x, y) + tilt_x * x + tilt_y * y
    return Body(albedo, depth.astype(np.float32), there, distance, view=view)


def _flat(x: Map, y: Map) -> Map:
    del y
    return np.zeros(x.shape, np.float32)


def flat_print(sitter: Sitter, door: Door, random: np.random.Generator) -> Series:
    return record(print_of(sitter, random, _flat), door, random, code(random))


def glossy_print(sitter: Sitter, door: Door, random: np.random.Generator) -> Series:
    """Photo paper, with the light mirrored in it as a spot of 1 to 4 cm."""
    body = print_of(sitter, random, _flat)
    gloss = random.uniform(60, 600)
    body = replace(body, sheen=random.uniform(0.1, 0.6), gloss=gloss)
    return record(body, door, random, code(random))


def bent_print(sitter: Sitter, door: Door, random: np.random.Generator) -> Series:
    """A cylinder of 7 to 30 cm radius about any axis, towards the camera or, in a third, away."""
    radius, turn = (
        random.uniform(0.07, 0.3),
        random.choice([0, np.pi / 2, random.uniform(0, np.pi)]),
    )
    towards = 1 if random.random() < 2 / 3 else -1

    def sheet(x: Map, y: Map) -> Map:
        across = np.cos(turn) * x + np.sin(turn) * y
        bent: Map = towards * _cylinder(across, radius)
        return bent

    return record(print_of(sitter, random, sheet), door, random, code(random))


def draped_print(sitter: Sitter, door: Door, random: np.random.Generator) -> Series:
    """Life size, held over a head: as wide as it, and raised by the nose."""
    radius, high = random.uniform(0.075, 0.1), random.uniform(0.005, 0.015)

    def sheet(x: Map, y: Map) -> Map:
        nose = high * np.exp(-(x**2 + (y - 0.01) ** 2) / (2 * 0.02**2))
        return _cylinder(x, radius) + _cylinder(y, 0.2) - nose

    return record(print_of(sitter, random, sheet, (0.9, 1.0)), door, random, code(random))


def waved_photo(sitter: Sitter, door: Door, random: np.random.Generator) -> Series:
    """A flat print that is moved ten times as fast as a head."""
    body = print_of(sitter, random, _flat)
    return record(replace(body, sways=10.0), door, random, code(random))


def cut_out_eyes(sitter: Sitter, door: Door, random: np.random.Generator) -> Series:
    """A flat print with holes, and somebody's own eyes 1 cm behind them."""
    body = print_of(sitter, random, _flat, (0.9, 1.0))
    assert body.view is not None
    flat = sitter.mesh.points[:, :2] @ body.view[:, :2].T + body.view[:, 2]
    raw, _ = spread(sitter.mesh, body.view)
    own = (
        (raw - raw.min())
        * body.distance
        / FOCAL
        * float(np.hypot(body.view[0, 0], body.view[1, 0]))
    )
    holes = np.zeros((HEIGHT, WIDTH), np.float32)
    for corners in ((33, 133), (362, 263)):
        ends = flat[list(corners)]
        centre = tuple(int(each) for each in ends.mean(0))
        wide = float(np.linalg.norm(ends[1] - ends[0]))
        cv2.ellipse(holes, centre, (round(wide * 0.65), round(wide * 0.4)), 0, 0, 360, 1.0, -1)
    depth = body.depth * (1 - holes) + (own + 0.01) * holes
    return record(replace(body, depth=depth), door, random, code(random))


def _screen(
    sitter: Sitter,
    door: Door,
    random: np.random.Generator,
    scale: tuple[float, float],
    nits: tuple[float, ...],
) -> Series:
    body = print_of(sitter, random, _flat, scale)
    photograph, _ = _laid(sitter.photograph, body.view, feather=False)
    emitted = np.full((HEIGHT, WIDTH, 1), random.choice(nits) * np.pi, np.float32)
    # The glass mirrors the light itself where it happens to lie so.
    body = replace(
        body,
        albedo=photograph,
        emitted=emitted,
        reflects=random.uniform(0.01, 0.03),
        mirror=0.04 * 50,
    )
    lit = code(random)
    brightness = random.normal(1, 0.01, len(lit))
    kind = random.integers(3)
    if kind == 1:  # It dims or brightens by itself.
        brightness[random.integers(1, len(lit)) :] *= random.uniform(0.7, 1.4)
    elif kind == 2:  # The recording is of somebody before this door, with another code.
        strength = random.uniform(0.2, 3)
        brightness *= 1 + strength * np.array(code(random))
        brightness /= brightness.mean()
    return record(body, door, random, lit, brightness)


def phone_replay(sitter: Sitter, door: Door, random: np.random.Generator) -> Series:
    return _screen(sitter, door, random, (0.35, 0.5), (80.0, 200.0, 400.0, 800.0))


def tablet_replay(sitter: Sitter, door: Door, random: np.random.Generator) -> Series:
    return _screen(sitter, door, random, (0.7, 1.0), (80.0, 200.0, 400.0, 600.0))


BONA_FIDE: dict[str, Presentation] = {
    "bona fide": bona_fide,
    "skin of a quarter": dark_skinned,
    "child": child,
    "seated": seated,
    "glasses": spectacled,
    "surgical mask": masked,
}
ATTACKS: dict[str, Presentation] = {
    "flat print": flat_print,
    "glossy print": glossy_print,
    "bent print": bent_print,
    "print over a head": draped_print,
    "waved photo": waved_photo,
    "cut-out eyes": cut_out_eyes,
    "phone replay": phone_replay,
    "tablet replay": tablet_replay,
}


def _view(sitter: Sitter, random: np.random.Generator, distance: float) -> Map:
    x, y = random.uniform(-0.025, 0.025, 2)
    return view_of(sitter.mesh, distance, (x, y))


def _laid(photograph: Pixels, view: Map | None, *, feather: bool) -> tuple[Map, Map]:
    """Draw a photograph on the canvas: its reflectance, and where it is."""
    assert view is not None
    size = (WIDTH, HEIGHT)
    drawn = cv2.warpAffine(linear(photograph), view, size, flags=cv2.INTER_CUBIC)
    albedo = np.clip(drawn, 0, 1)
    high, wide = photograph.shape[:2]
    mask = np.ones((high, wide), np.float32)
    if feather:
        x, y = np.arange(wide), np.arange(high)[:, None]
        edge = np.minimum(np.minimum(x, wide - 1 - x), np.minimum(y, high - 1 - y))
        mask = np.clip(edge / (0.12 * min(high, wide)), 0, 1).astype(np.float32)
    return albedo * SKIN + 0.005, cv2.warpAffine(mask, view, size)


def _cylinder(across: Map, radius: float) -> Map:
    return radius - np.sqrt(np.clip(radius**2 - across**2, (0.15 * radius) ** 2, None))
