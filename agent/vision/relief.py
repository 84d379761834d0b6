"""What light does to a face: where its skin is, how it should shade, and how pictures of it align.

All is laid on one grid of the face, upright, with its eyes EYES_APART cells apart: pictures in
linear light, and the slope of the mesh. Nothing here knows a threshold.
"""

from dataclasses import dataclass
from typing import TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.core.types import Float32, Pixels
from agent.vision.align import CONTINUOUS_TEMPLATE, fit
from agent.vision.detect import Mesh

Float64: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]

SIDE = 64
"""Cells of the grid along each side."""
EYES_APART = 24.0
_EYES = CONTINUOUS_TEMPLATE[:2]
TEMPLATE = (CONTINUOUS_TEMPLATE - _EYES.mean(0)) * np.float32(
    EYES_APART / np.linalg.norm(_EYES[1] - _EYES[0])
) + np.array([SIDE / 2, SIDE * 0.4], np.float32)
"""Where the five points lie on the grid, in cells."""
FINER = 2
"""Samples along a cell: their mean is what the cell holds."""

PUPILS_APART = 0.063
"""Metres between the pupils of an adult: 63 +- 4 mm (Dodgson, 2004); at five years about 51."""

Ring: TypeAlias = tuple[int, ...]

OVAL: Ring = (
    10,
    338,
    297,
    332,
    284,
    251,
    389,
    356,
    454,
    323,
    361,
    288,
    397,
    365,
    379,
    378,
    400,
    377,
)
OVAL += (152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)
LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
IMAGE_LEFT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
IMAGE_RIGHT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
IMAGE_LEFT_BROW = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
IMAGE_RIGHT_BROW = (300, 293, 334, 296, 336, 285, 295, 282, 283, 276)
NOT_SKIN = (LIPS, IMAGE_LEFT_EYE, IMAGE_RIGHT_EYE, IMAGE_LEFT_BROW, IMAGE_RIGHT_BROW)
"""Points of the mesh around what moves, glistens or has hair."""
RIM = 3
"""Cells at the rim of the face that are left out: the mesh slips there."""
MARGIN = 1
"""Cells around eyes, brows and lips that are left out."""

REACH = 2.5
"""Cells over which the points of the mesh are averaged into a slope."""
STEPS = 2
"""Rounds of registration. The first leaves some 0.1 of a cell."""

CODES = np.arange(256) / 255
TOE = 0.04045
LINEAR = np.where(TOE >= CODES, CODES / 12.92, ((CODES + 0.055) / 1.055) ** 2.4).astype(np.float32)
"""sRGB code -> linear light, 0 to 1 (IEC 61966-2-1)."""

_CENTRES = (np.arange(SIDE) + 0.5).astype(np.float32)
X, Y = np.meshgrid(_CENTRES, _CENTRES)
"""Centres of the cells."""
_U, _V = X / SIDE * 2 - 1, Y / SIDE * 2 - 1
BEND = np.stack([np.ones_like(_U), _U, _V, _U * _U, _U * _V, _V * _V], axis=-1)
"""(SIDE, SIDE, 6): what shades a sheet of paper, flat or gently bent, can be made of."""


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """A face as its mesh has it, on the grid.

    skin: (SIDE, SIDE), where there is skin. shades: (SIDE, SIDE, 4), what light makes of the mesh:
    the shading by the door's light (1 on a plane that faces it), the slope to the side and down, by
    which ambient light falls unevenly, and how hollow the face is there, which keeps it out.
    """

    skin: Mask
    shades: Float64


@dataclass(frozen=True, slots=True)
class Relief:
    """What relief a face shows under a light.

    correlation: of log(lit / unlit) with the best mixture of the shades of the mesh, 0 to 1, what a
    bent sheet could have being taken from all of them. frontal: with the shading by the door's
    light alone, -1 to 1. depth: standard deviation of R over its median, again without the sheet's.
    """

    correlation: float
    frontal: float
    depth: float


def surface(mesh: Mesh, distance: float, light: tuple[float, float, float]) -> Surface:
    """Lay a mesh on the grid.

    distance: of the face, metres. light: metres from the camera, x right, y down, z towards the
    face. Raises ValueError where the mesh has collapsed.
    """
    onto = fit(mesh.five, TEMPLATE)
    flat = onto.apply(mesh.points[:, :2])
    depth = mesh.points[:, 2].astype(np.float64) * abs(onto.turn)
    slope_x, slope_y, level = _plane_through(flat, depth)
    normals = np.dstack([slope_x, slope_y, -np.ones_like(slope_x)])
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    cell = PUPILS_APART / EYES_APART
    across, down = (X - TEMPLATE[2, 0]) * cell, (Y - TEMPLATE[2, 1]) * cell
    ray = np.array(light) - np.dstack([across, down, distance + (level - depth.min()) * cell])
    away = np.linalg.norm(ray, axis=2)
    shading = np.clip((normals * ray).sum(2) / away, 0, None) * (distance / away) ** 2
    hollow = -np.gradient(slope_x, axis=1) - np.gradient(slope_y, axis=0)
    shades = np.dstack([shading, normals[..., :2], cv2.GaussianBlur(hollow, (0, 0), 1.5)])
    holes = np.any([_filled(flat, ring) for ring in NOT_SKIN], axis=0)
    return Surface(_eroded(_filled(flat, OVAL), RIM) & _eroded(~holes, MARGIN), shades)


def comparable(light: Float64, face: Surface) -> Mask:
    """Choose the cells that are skin, neither saturated nor dark: no hair, no rim of glasses.

    light: (N, SIDE, SIDE), as registered.
    """
    dim = light.min(0)
    seen: Mask = face.skin & np.isfinite(dim)
    if not seen.any():
        return seen
    lightest = float(np.median(dim[seen]))
    return face.skin & _eroded(dim > max(DARK, SHADOW * lightest), MARGIN)


SHADOW = 0.3
"""Of the light on the middle cell of the skin, below which something darker covers it."""


def relief(unlit: Float64, lit: Float64, face: Surface, fit_for_use: Mask) -> Relief:
    """Compare how the light shades a face with how it should.

    unlit, lit: (SIDE, SIDE) linear light. fit_for_use: the cells to compare. Raises ValueError
    where they are too few or the face has no shades.
    """
    logarithm = np.where(fit_for_use, np.log(np.where(fit_for_use, lit / unlit, 1)), 0)
    share = cv2.GaussianBlur(fit_for_use.astype(np.float64), (0, 0), GRAIN)
    smooth = cv2.GaussianBlur(logarithm, (0, 0), GRAIN)[fit_for_use] / share[fit_for_use]
    shown = np.clip(smooth, *np.percentile(smooth, OUTLIERS))
    sheet, shades = BEND[fit_for_use], face.shades[fit_for_use]
    left = _without(sheet, shown)
    expected = np.column_stack([_without(sheet, shade) for shade in shades.T])
    explained = expected @ solve(expected, left)
    spread = float(left.std())
    if not spread > 0:
        raise ValueError("pictures that are the same")
    gain = float(np.exp(np.median(shown)))
    return Relief(
        correlation=float(explained.std()) / spread,
        frontal=float(np.corrcoef(left, expected[:, 0])[0, 1]),
        # d log(1 + R) = dR / (1 + R).
        depth=spread * gain / (gain - 1) if gain > 1 else 0.0,
    )


def tinted(unlit: Float64, lit: Float64, fit_for_use: Mask) -> float:
    """Say how far the light that comes back is darker where the face is darker, 0 to about 1.

    Slope of log(lit - unlit) over log(unlit): skin and paper return light by their reflectance, and
    so it is near 1; the glass of a screen returns it evenly whatever is shown, and it is near 0.
    """
    given = np.log(unlit[fit_for_use])
    returned = (lit - unlit)[fit_for_use]
    returned = np.log(np.maximum(returned, np.median(np.abs(returned)) / 10))
    shown = given - given.mean()
    return float(shown @ returned / (shown @ shown))


GRAIN = 1.0
"""Cells over which noise is averaged."""
OUTLIERS = (2, 98)
"""Percentiles at which highlights and what glasses do are cut off."""


def _without(design: Float64, values: Float64) -> Float64:
    return values - design @ solve(design, values)


def unroll(pixels: Pixels, affine: Float64) -> Float32:
    """Sample a picture on the grid. affine: (2, 3), takes cells to px. Gives linear RGB, 0 to 1.

    NaN where a channel is saturated or beyond the picture.
    """
    height, width = pixels.shape[:2]
    corners = np.array([[0, 0, 1], [SIDE, 0, 1], [0, SIDE, 1], [SIDE, SIDE, 1]]) @ affine.T
    low = np.clip(np.floor(corners.min(0)).astype(int) - 2, 0, [width, height])
    high = np.clip(np.ceil(corners.max(0)).astype(int) + 2, 0, [width, height])
    if not (low < high).all():
        return np.full((SIDE, SIDE, 3), np.nan, np.float32)
    codes = pixels[low[1] : high[1], low[0] : high[0]]
    light = LINEAR[codes]
    light[(codes >= SATURATED).any(2)] = np.nan
    # OpenCV counts from the centres of pixels.
    turn = affine[:, :2] / FINER
    shift = affine[:, 2] - low + turn @ [0.5, 0.5] - 0.5
    side = SIDE * FINER
    fine = cv2.warpAffine(
        light,
        np.column_stack([turn, shift]),
        (side, side),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(np.nan,) * 3,
    )
    return cast("Float32", fine.reshape(SIDE, FINER, SIDE, FINER, 3).mean((1, 3)))


SATURATED = 250
"""sRGB code from which a channel may have been cut off."""


def register(frames: list[Pixels], meshes: list[Mesh]) -> Float32:
    """Lay pictures of one face on one grid, (N, SIDE, SIDE, 3) linear RGB.

    The landmarks bring each within about a pixel of the first; what is left is found by least
    squares over the logarithm of the light, with the change of light itself taken for something
    smooth (Lucas and Kanade, 1981, with an illumination term). Raises ValueError for a mesh that
    has collapsed.
    """
    first = fit(TEMPLATE, meshes[0].five)
    start = np.array(
        [
            [first.turn.real, -first.turn.imag, first.shift.real],
            [first.turn.imag, first.turn.real, first.shift.imag],
        ]
    )
    oval = _filled(fit(meshes[0].five, TEMPLATE).apply(meshes[0].points[:, :2]), OVAL)
    base = unroll(frames[0], start)
    target = _logarithm(base)
    gradient_y, gradient_x = np.gradient(target)
    texture = [
        gradient * weight
        for gradient in (gradient_x, gradient_y)
        for weight in (np.ones_like(X), X - SIDE / 2, Y - SIDE / 2)
    ]
    design = np.dstack([BEND, *texture])
    sound = oval & np.isfinite(design).all(2)
    laid = [base]
    for pixels, mesh in zip(frames[1:], meshes[1:], strict=True):
        affine = _affine(meshes[0], mesh) @ np.vstack([start, [0, 0, 1]])
        for _ in range(STEPS):
            moved = _logarithm(unroll(pixels, affine)) - target
            chosen = sound & np.isfinite(moved)
            if not int(chosen.sum()) > 4 * design.shape[2]:
                break
            found = solve(design[chosen], moved[chosen])[BEND.shape[2] :]
            # moved = gradient . (shift + spread @ (cell - centre)): the picture lies that far off.
            off = found.reshape(2, 3)
            spread, shift = off[:, 1:], off[:, 0]
            undo = np.column_stack([np.eye(2) - spread, spread @ [SIDE / 2, SIDE / 2] - shift])
            affine = affine @ np.vstack([undo, [0, 0, 1]])
        laid.append(unroll(pixels, affine))
    return np.stack(laid)


def solve(design: Float64, values: Float64) -> Float64:
    """Least squares by the normal equations: (N, K) and (N,) to (K,).

    Raises ValueError where the columns of the design depend on one another.
    """
    try:
        return cast("Float64", np.linalg.solve(design.T @ design, design.T @ values))
    except np.linalg.LinAlgError as error:
        raise ValueError("columns depend on one another") from error


def _logarithm(light: Float32) -> Float64:
    luma = np.maximum(light.mean(2, dtype=np.float64), DARK)
    return cast("Float64", np.log(cv2.GaussianBlur(luma, (0, 0), 1.0)))


DARK = 0.002
"""Linear light below which there is more noise than picture."""


def _affine(source: Mesh, target: Mesh) -> Float64:
    """Fit the (2, 3) affine map that takes one mesh's points to another's."""
    before = np.column_stack([source.points[:, :2], np.ones(len(source.points))]).astype(np.float64)
    solved = np.linalg.lstsq(before, target.points[:, :2].astype(np.float64), rcond=None)[0]
    return cast("Float64", solved.T)


def _plane_through(flat: Float32, depth: Float64) -> tuple[Float64, Float64, Float64]:
    """Fit a plane to the points around each cell: its slopes along x and y, and its level there.

    Local linear regression with a Gaussian kernel (Cleveland, 1979), which needs no triangles.
    """
    x, y = flat[:, 0].astype(np.float64), flat[:, 1].astype(np.float64)
    columns = X[0].astype(np.float64)
    # The kernel is a product, so each moment is one matrix product.
    across = np.exp(-((columns[:, None] - x) ** 2) / (2 * REACH**2))
    down = np.exp(-((columns[:, None] - y) ** 2) / (2 * REACH**2))

    def moment(values: Float64) -> Float64:
        return cast("Float64", (down * values) @ across.T)

    one = np.ones_like(x)
    w, wx, wy = moment(one), moment(x), moment(y)
    wxx, wxy, wyy = moment(x * x), moment(x * y), moment(y * y)
    wz, wxz, wyz = moment(depth), moment(x * depth), moment(y * depth)
    w = np.maximum(w, 1e-12)
    mean_x, mean_y, mean_z = wx / w, wy / w, wz / w
    ridge = 1e-3
    xx, yy = wxx / w - mean_x**2 + ridge, wyy / w - mean_y**2 + ridge
    xy = wxy / w - mean_x * mean_y
    xz, yz = wxz / w - mean_x * mean_z, wyz / w - mean_y * mean_z
    area = xx * yy - xy * xy
    slope_x, slope_y = (yy * xz - xy * yz) / area, (xx * yz - xy * xz) / area
    return slope_x, slope_y, mean_z + slope_x * (X - mean_x) + slope_y * (Y - mean_y)


def _filled(flat: Float32, ring: Ring) -> Mask:
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    # Sixteenths of a cell, counted from the centres of cells.
    corners = np.round((flat[list(ring)] - 0.5) * 16).astype(np.int32)
    cv2.fillPoly(canvas, [cv2.convexHull(corners)], 1, shift=4)
    return canvas.astype(bool)


def _eroded(mask: Mask, cells: int) -> Mask:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * cells + 1, 2 * cells + 1))
    return cv2.erode(mask.astype(np.uint8), disc, borderValue=0).astype(bool)
