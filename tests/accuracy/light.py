"""The physics: what a camera at a door sees of a head, a sheet of paper or a screen, lit and unlit.

Lambert's law with a sheen, the inverse square of the distance, sRGB with a tone curve that is a
little off, shot and read noise, 8 bits, one exposure for all frames. Lengths in metres, light in
lux. Not modelled: blur by motion, a rolling shutter, light that goes through skin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.core.pad import Series
from agent.core.types import Frame
from agent.vision.relief import LINEAR, PUPILS_APART

if TYPE_CHECKING:
    from agent.core.types import Float32, Pixels
    from agent.vision.detect import Mesh

Map: TypeAlias = NDArray[Any]
"""Of float32 where there are many."""

WIDTH, HEIGHT = 400, 360
"""Of the middle of a picture of 640x480, which is all that is drawn."""
FOCAL = 493.0
"""Pixels: of a lens that sees 66 degrees over 640 pixels."""
FIELD_OF_VIEW = 44.2
"""Degrees that WIDTH is."""
FRAMES = 6
INTERVAL = 0.05
"""Seconds between frames."""
FROM_AXIS = np.meshgrid(
    np.arange(WIDTH, dtype=np.float32) - WIDTH / 2, np.arange(HEIGHT, dtype=np.float32) - HEIGHT / 2
)
FULL_WELL = 4500
"""Electrons of a pixel at unit gain."""
READ_NOISE = 3.0
"""Electrons."""
BACKGROUND = (0.12, 0.45)
"""Reflectances of what is behind."""
GREY = 0.2
"""Reflectance that the camera's meter takes a scene for."""


@dataclass(frozen=True)
class Door:
    """What an installation and its hour are like.

    ambient: lux. light: of the door's light at 0.5 m, lux. at: where the light is, metres from the
    lens, x right, y down. flicker: share by which the ambient light differs between frames.
    """

    ambient: float
    light: float
    at: tuple[float, float] = (0.0, -0.03)
    flicker: float = 0.015


@dataclass(frozen=True)
class Body:
    """What stands in front of the camera, before it moves: all maps (HEIGHT, WIDTH[, 3]).

    albedo: reflectance of each colour. depth: metres behind the plane at `distance`. emitted:
    luminous exitance, lux; none but a screen's. reflects: share of the light that a screen returns.
    there: 1 where the body is, 0 where the background is. sheen: strength of the highlight; gloss:
    its sharpness.
    """

    albedo: Map
    depth: Map
    there: Map
    distance: float
    emitted: Map | None = None
    reflects: float = 1.0
    sheen: float = 0.0
    gloss: float = 12.0
    mirror: float = 0.0
    sways: float = 1.0
    view: Map | None = None
    glints: Map | None = None
    hollow: Map | None = None


def spread(mesh: Mesh, view: Map) -> tuple[Map, Map]:
    """Interpolate a mesh's depth over the canvas, piecewise linear; px of the mesh's own picture.

    view: (2, 3), takes the mesh's pixels to the canvas's. Also says where there is mesh.
    """
    flat = mesh.points[:, :2] @ view[:, :2].T + view[:, 2]
    flat = np.clip(flat, 1, [WIDTH - 2, HEIGHT - 2]).astype(np.float32)
    # Points that fall on one another make no triangle.
    flat += np.random.default_rng(0).normal(0, 0.01, flat.shape).astype(np.float32)
    plan = cv2.Subdiv2D((0, 0, WIDTH, HEIGHT))
    plan.insert(cast("Any", flat))
    corners = np.array(plan.getTriangleList()).reshape(-1, 3, 2)
    inside = ((corners >= 0) & (corners < [WIDTH, HEIGHT])).all((1, 2))
    corners = corners[inside]
    index = ((corners[:, :, None] - flat[None, None]) ** 2).sum(3).argmin(2)
    which = np.full((HEIGHT, WIDTH), -1, np.int32)
    for number, triangle in enumerate(corners):
        cv2.fillConvexPoly(which, np.round(triangle).astype(np.int32), number)
    ones = np.ones((len(corners), 3, 1))
    planes = np.linalg.solve(
        np.concatenate([corners, ones], axis=2) + np.eye(3) * 1e-6, mesh.points[index, 2][..., None]
    )[..., 0]
    there = which >= 0
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    chosen = planes[which]
    depth = chosen[..., 0] * x + chosen[..., 1] * y + chosen[..., 2]
    low, high = float(mesh.points[:, 2].min()), float(mesh.points[:, 2].max())
    depth = np.where(there, np.clip(depth, low, high), 0).astype(np.float32)
    # Beyond the mesh the head goes on as it ends there, and bends away.
    share = there.astype(np.float32)
    near = cv2.GaussianBlur(depth, (0, 0), 9.0) / np.maximum(
        cv2.GaussianBlur(share, (0, 0), 9.0), 1e-4
    )
    beyond = cv2.distanceTransform((~there).astype(np.uint8), cv2.DIST_L2, 3)
    scale = float(np.hypot(view[0, 0], view[1, 0]))
    outside = np.minimum(near, high) + 0.6 * np.minimum(beyond, 60) / scale
    solid = cv2.GaussianBlur(np.where(there, depth, outside), (0, 0), 2.0)
    return solid, there


def shade(depth: Map, door: Door, distance: float) -> tuple[Map, Map, Map]:
    """Give normals (H, W, 3), the light's share on each point, and its highlight's cosine.

    1 is what a plane gets that faces the light at `distance`.
    """
    metre = distance / FOCAL
    slope_y, slope_x = np.gradient(depth / np.float32(metre))
    normals = _unit(np.dstack([slope_x, slope_y, np.full_like(depth, -1)]))
    place = np.dstack([FROM_AXIS[0] * metre, FROM_AXIS[1] * metre, distance + depth])
    ray = np.array([*door.at, 0.0], np.float32) - place
    away = np.sqrt(np.einsum("ijk,ijk->ij", ray, ray))
    ray /= away[..., None]
    facing = np.clip(np.einsum("ijk,ijk->ij", normals, ray), 0, None) * (distance / away) ** 2
    half = _unit(ray - _unit(place))
    glint = np.clip(np.einsum("ijk,ijk->ij", normals, half), 0, None)
    return normals, facing, glint


def _unit(vectors: Map) -> Map:
    return cast("Map", vectors / np.sqrt(np.einsum("ijk,ijk->ij", vectors, vectors))[..., None])


def fall(door: Door, distance: float) -> float:
    """Illuminance by the door's light at a distance, lux."""
    return door.light * (0.5 / distance) ** 2


def irradiate(body: Body, door: Door, random: np.random.Generator) -> tuple[Map, Map]:
    """Give the light that leaves each point towards the camera, unlit and by the light alone."""
    normals, facing, glint = shade(body.depth, door, body.distance)
    turn, height = random.uniform(0, 2 * np.pi), random.uniform(0.2, 1.2)
    # Ambient light comes from somewhere above, more or less of it.
    sun = (np.cos(turn) * np.sin(height), -abs(np.sin(turn) * np.sin(height)), -np.cos(height))
    directed = random.uniform(0.2, 0.6)
    ambient = (1 - directed) + directed * np.clip(normals @ np.array(sun, np.float32), 0, None)
    if body.hollow is not None:
        ambient = ambient * (1 - random.uniform(0.2, 0.8) * body.hollow)
    ambient = (door.ambient * ambient)[..., None]
    flash = fall(door, body.distance)
    highlight = body.sheen * glint**body.gloss
    if body.glints is not None:
        highlight = highlight + body.glints
    if body.mirror:
        highlight = highlight + body.mirror * glint**2000
    if body.emitted is None:
        unlit = body.albedo * ambient
        lit = flash * (body.albedo * facing[..., None] + 0.3 * highlight[..., None])
    else:
        unlit = body.albedo * body.emitted + body.reflects * ambient
        lit = flash * (body.reflects * facing + 0.3 * highlight)[..., None] * np.ones(3, np.float32)
    behind = _behind(random)
    wall = door.ambient * random.uniform(0.5, 1.2)
    there = body.there[..., None]
    unlit = unlit * there + behind * wall * (1 - there)
    lit = lit * there + behind * fall(door, random.uniform(1.2, 3.0)) * (1 - there)
    return unlit.astype(np.float32), lit.astype(np.float32)


def _behind(random: np.random.Generator) -> Map:
    picture = np.full((HEIGHT, WIDTH, 3), random.uniform(*BACKGROUND), np.float32)
    for cells in (3, 8, 25):
        blotches = random.normal(0, 0.06, (cells, cells, 3)).astype(np.float32)
        picture += cv2.resize(blotches, (WIDTH, HEIGHT))
    return np.clip(picture, 0.02, 0.9)


def code(random: np.random.Generator, frames: int = FRAMES) -> tuple[bool, ...]:
    """Draw when the light is on: at least two frames of each kind."""
    while True:
        drawn = random.random(frames) < 0.5
        if 2 <= drawn.sum() <= frames - 2:
            return tuple(bool(on) for on in drawn)


def record(
    body: Body,
    door: Door,
    random: np.random.Generator,
    lit: tuple[bool, ...],
    brightness: Map | None = None,
) -> Series:
    """Take the frames. brightness: (N,) by which what the body gives out changes, if it does."""
    unlit, by_light = irradiate(body, door, random)
    middle = np.s_[HEIGHT // 5 : -HEIGHT // 5, WIDTH // 4 : -WIDTH // 4]
    # The camera's meter: the middle of the view counts double.
    metered = (float(unlit[middle].mean()) * 2 + float(unlit.mean())) / 3 / GREY
    told = metered * random.lognormal(0, 0.15)
    # Exposed for the unlit scene, with the room that the door's own light at 0.5 m needs.
    white = float(np.percentile(unlit[middle], 90)) * (1 + 1.3 * door.light / told) / 0.5
    gain = float(np.clip(200 / door.ambient, 1, 8))
    tone = random.uniform(0.92, 1.08)
    table = _encoder(tone)
    drift = random.normal(0, 0.01)
    pace = random.normal(0, 1, 6) * body.sways
    frames = []
    for number, on in enumerate(lit):
        # Neither the door's light nor a screen flickers with the mains.
        flicker = 1 + drift * number / len(lit) + random.normal(0, door.flicker)
        change = flicker if brightness is None else brightness[number]
        seen = unlit * np.float32(change)
        radiance = seen + by_light if on else seen
        moved = _moved(radiance, body, pace, number * INTERVAL, random)
        frames.append(Frame(_exposed(moved, white, gain, table, random), number * INTERVAL))
    return Series(tuple(frames), lit, told)


def _moved(picture: Map, body: Body, pace: Map, seconds: float, random: np.random.Generator) -> Map:
    """Move a picture as a head or a hand does: 3 cm/s, 5 cm/s to and fro, 3 and 8 degrees/s."""
    metre = FOCAL / body.distance
    dx, dy = pace[:2] * 0.03 * seconds * metre + random.normal(0, 0.15, 2)
    grow = 1 + pace[2] * 0.05 * seconds / body.distance
    roll = np.deg2rad(pace[3] * 3) * seconds
    yaw, pitch = np.tan(np.deg2rad(pace[4:] * 8) * seconds)
    x, y = FROM_AXIS
    relief = (body.depth * metre).astype(np.float32)
    cos, sin = np.cos(roll) / grow, np.sin(roll) / grow
    source_x = cos * x - sin * y + WIDTH / 2 - dx + relief * yaw
    source_y = sin * x + cos * y + HEIGHT / 2 - dy + relief * pitch
    return cv2.remap(
        picture,
        source_x.astype(np.float32),
        source_y.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


LEVELS = 8192
"""Of light, that are turned into codes by a table."""
GRAIN = np.random.default_rng(0).standard_normal(5_000_000, dtype=np.float32)
"""Noise of unit variance; every frame takes its own stretch."""


def _encoder(tone: float) -> Pixels:
    light = np.linspace(0, 1, LEVELS) ** tone
    codes = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(codes * 255).astype(np.uint8)


def _exposed(
    radiance: Map, white: float, gain: float, table: Pixels, random: np.random.Generator
) -> Pixels:
    well = np.float32(FULL_WELL / gain)
    electrons = np.clip(radiance * (well / np.float32(white)), 0, 1.2 * well)
    start = int(random.integers(len(GRAIN) - electrons.size))
    noise = GRAIN[start : start + electrons.size].reshape(electrons.shape)
    electrons += noise * np.sqrt(electrons + np.float32(READ_NOISE**2))
    electrons *= (LEVELS - 1) / well
    return table[np.clip(electrons, 0, LEVELS - 1, out=electrons).astype(np.uint16)]


def linear(pixels: Pixels) -> Float32:
    """Undo sRGB: (H, W, 3) uint8 to linear light, 0 to 1."""
    return LINEAR[pixels]


def view_of(mesh: Mesh, distance: float, at: tuple[float, float] = (0.0, 0.0)) -> Map:
    """Give the (2, 3) map from a photograph to the canvas that shows its face at a distance.

    at: metres right and below of the axis.
    """
    left, right = mesh.five[:2]
    scale = FOCAL * PUPILS_APART / distance / float(np.linalg.norm(right - left))
    middle = mesh.points[:, :2].mean(0)
    goal = np.array([WIDTH / 2, HEIGHT / 2]) + np.array(at) * FOCAL / distance
    return np.column_stack([np.eye(2) * scale, goal - scale * middle])
