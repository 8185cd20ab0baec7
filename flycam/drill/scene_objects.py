"""Trees and houses of the synthetic world, and its terrain model without them.

They stand above the ground, so terrain models lack them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from dataclasses import fields as fields_of

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.drill.land import (
    Bounds,
    CellWindow,
    Floats,
    Ints,
    LandCover,
    Singles,
    Valley,
    ValleyFields,
    build_bare_ground,
    build_valley_fields,
    compute_road_distance,
    generate_smooth_noise,
    hash_unit,
    make_cell_window,
)
from flycam.errors import OptionUnusable
from flycam.messages import _

_TREE_STEP_M = 4.3
_HOUSE_ALONG_M = 19.0
# chance that a tree stands at a candidate place, and its height range in metres, by cover
_TREES: dict[LandCover, tuple[float, float, float]] = {
    LandCover.FOREST: (0.93, 6.0, 15.0),
    LandCover.SCRUB: (0.22, 2.0, 7.0),
    LandCover.MAIZE: (0.015, 4.0, 8.0),
    LandCover.TEA: (0.03, 4.0, 8.0),
    LandCover.RISER: (0.03, 2.0, 6.0),
    LandCover.GARDEN: (0.4, 2.5, 7.0),
    LandCover.ROCK: (0.2, 1.5, 4.0),
}
ROOF_COLOURS = 7


@dataclass(frozen=True, kw_only=True, slots=True)
class Houses:
    """N houses.

    centre_m                              N×2
    azimuth_rad                           N, of the ridge
    length_m, width_m, eaves_m, ridge_m   N
    roof                                  N, number of its colour, 0 to ROOF_COLOURS - 1
    """

    centre_m: Floats
    azimuth_rad: Floats
    length_m: Floats
    width_m: Floats
    eaves_m: Floats
    ridge_m: Floats
    roof: Floats

    def select(self, keep: NDArray[np.bool_]) -> Houses:
        """Return the houses for which `keep` (N) is true."""
        return Houses(**{f.name: getattr(self, f.name)[keep] for f in fields_of(self)})


@dataclass(frozen=True, kw_only=True, slots=True)
class Trees:
    """N trees. centre_m N×2, height_m N, radius_m N, tint N in [0, 1)."""

    centre_m: Floats
    height_m: Floats
    radius_m: Floats
    tint: Floats


def place_houses(fields: ValleyFields, bounds: Bounds) -> Houses:
    """Place a village along the road and some houses up the terraces.

    Returns them in the order of their places.
    """
    seed = fields.valley.seed
    i, j, east, north = _jittered(bounds, _HOUSE_ALONG_M, seed, "house")
    right, river = fields.sample("right", east, north), fields.sample("river", east, north)
    along, __ = fields.valley.to_valley(east, north)
    to_road = compute_road_distance(right)
    near = (np.abs(to_road) > 10.0) & (to_road > -24.0) & (to_road < 46.0)
    village = np.cos(along / 120.0 + 0.6) > -0.1
    chance = np.where(
        near & village, 0.8, np.where(near, 0.12, np.where((right > 0) & (right < 150), 0.035, 0.0))
    )
    gentle = fields.sample("slope", east, north) < 0.5
    keep = (hash_unit(i, j, seed, "is house") < chance) & gentle & (np.abs(river) > 26.0)
    i, j = i[keep], j[keep]

    def number(name: str) -> Floats:
        return hash_unit(i, j, seed, name)

    big = number("big") > 0.93
    length = np.where(big, 20.0 + 6.0 * number("length"), 8.0 + 5.0 * number("length"))
    width = np.where(big, 8.5, 5.5 + 2.5 * number("width"))
    eaves = 2.8 + 1.6 * number("eaves") + np.where(big, 2.5, 0.0)
    turn = np.where(number("turn") < 0.5, 0.0, np.pi / 2.0) + 0.35 * (number("skew") - 0.5)
    return Houses(
        centre_m=np.stack([east[keep], north[keep]], -1),
        azimuth_rad=fields.valley.azimuth_rad + turn,
        length_m=length,
        width_m=width,
        eaves_m=eaves,
        ridge_m=eaves + width * (0.22 + 0.12 * number("pitch")),
        roof=np.floor(number("roof") * ROOF_COLOURS),
    )


def place_trees(window: CellWindow, cover: NDArray[np.uint8], seed: int) -> Trees:
    """Place trees by the cover at their foot; `cover` is rows×columns of `window`."""
    i, j, east, north = _jittered(window.bounds, _TREE_STEP_M, seed, "tree")
    col, row = (np.rint(x).astype(int) for x in window.to_cells(east, north))
    inside = (col >= 0) & (row >= 0) & (col < window.shape[1]) & (row < window.shape[0])
    i, j, col, row = i[inside], j[inside], col[inside], row[inside]
    east, north = east[inside], north[inside]
    chance = np.zeros(256)
    low, high = np.zeros(256), np.zeros(256)
    for kind, (p, shortest, tallest) in _TREES.items():
        chance[kind], low[kind], high[kind] = p, shortest, tallest
    kind = cover[row, col]
    keep = hash_unit(i, j, seed, "is tree") < chance[kind]
    i, j, kind = i[keep], j[keep], kind[keep]
    size = hash_unit(i, j, seed, "tree height")
    height = low[kind] + (high[kind] - low[kind]) * size**1.3
    radius = np.clip(0.33 * height * (0.75 + 0.5 * hash_unit(i, j, seed, "crown")), 0.8, 4.6)
    return Trees(
        centre_m=np.stack([east[keep], north[keep]], -1),
        height_m=height,
        radius_m=radius,
        tint=hash_unit(i, j, seed, "tint"),
    )


def _jittered(bounds: Bounds, step: float, seed: int, name: str) -> tuple[Ints, Ints, Floats, Floats]:
    """Return i, j, east, north of candidate places, one in each square of `step`."""
    west, south, east, north = (int(np.floor(b / step)) for b in bounds)
    i, j = (x.ravel() for x in np.meshgrid(np.arange(west, east + 1), np.arange(south, north + 1)))
    jitter_e = hash_unit(i, j, seed, name + " east")
    jitter_n = hash_unit(i, j, seed, name + " north")
    return i, j, (i + 0.1 + 0.8 * jitter_e) * step, (j + 0.1 + 0.8 * jitter_n) * step


# -- Trees and houses drawn into the surface, the cover and the parcels ----------------------------


_YARD_M = 3.0
_LEAF_M = 0.24
_LEAF_SIZE_M = 0.3


def draw_yards(houses: Houses, window: CellWindow, height: Singles, cover: NDArray[np.uint8]) -> None:
    """Level a yard under each house and plant a garden around it.

    Changes `height` and `cover` in place.
    """
    for k in range(len(houses.length_m)):
        patch = _patch(window, houses.centre_m[k], houses.length_m[k] / 2 + 14.0)
        if patch is None:
            continue
        rows, cols, x, y = patch
        u, v = _house_axes(houses.azimuth_rad[k], x, y)
        beyond = np.maximum(np.abs(u) - houses.length_m[k] / 2, np.abs(v) - houses.width_m[k] / 2)
        level = float(np.median(height[rows, cols][beyond < 1.0])) if (beyond < 1.0).any() else None
        if level is None:
            continue
        ease = np.clip((7.0 - beyond) / 4.0, 0.0, 1.0)
        ease = (ease * ease * (3.0 - 2.0 * ease)).astype(np.float32)
        height[rows, cols] += ease * (level - height[rows, cols])
        part = cover[rows, cols]
        free = ~np.isin(part, (LandCover.ROAD, LandCover.TRACK, LandCover.WATER, LandCover.GRAVEL))
        front = beyond - np.where(v > 0, 5.0, 0.0)
        part[free & (beyond < 8.0)] = LandCover.GARDEN
        part[free & (front < _YARD_M * 0.6) & (np.abs(u) < houses.length_m[k] / 2 + 1.0)] = LandCover.YARD


def draw_houses(
    houses: Houses,
    window: CellWindow,
    ground: Singles,
    surface: Singles,
    cover: NDArray[np.uint8],
    parcel: Singles,
) -> None:
    """Draw gable roofs above the ground, in place; roof parcels are colour numbers."""
    for k in range(len(houses.length_m)):
        patch = _patch(window, houses.centre_m[k], houses.length_m[k])
        if patch is None:
            continue
        rows, cols, x, y = patch
        u, v = _house_axes(houses.azimuth_rad[k], x, y)
        under = (np.abs(u) <= houses.length_m[k] / 2) & (np.abs(v) <= houses.width_m[k] / 2)
        if not under.any():
            continue
        floor = float(ground[rows, cols][under].max())
        fall = (houses.ridge_m[k] - houses.eaves_m[k]) * np.abs(v) / (houses.width_m[k] / 2)
        surface[rows, cols][under] = (floor + houses.ridge_m[k] - fall)[under]
        cover[rows, cols][under] = LandCover.ROOF
        parcel[rows, cols][under] = houses.roof[k]


def draw_trees(
    trees: Trees,
    window: CellWindow,
    ground: Singles,
    surface: Singles,
    cover: NDArray[np.uint8],
    parcel: Singles,
) -> None:
    """Draw crowns where they rise above what is there, in place.

    Crowns are paraboloids on a stem with bumps of leaves.
    """
    centre_col, centre_row = window.to_cells(trees.centre_m[:, 0], trees.centre_m[:, 1])
    # bumps large enough to shift by up to 64 cells under the largest crown
    radius_m = float(trees.radius_m.max(initial=0.0))
    side = 64 + int(2.0 * radius_m / window.cell_m) + 3
    leaves = np.random.default_rng(1).standard_normal((side, side), dtype=np.float32)
    smooth = cv2.GaussianBlur(leaves, (0, 0), max(_LEAF_SIZE_M / window.cell_m, 0.3))
    leaves = np.asarray(smooth * (_LEAF_M / float(smooth.std())), np.float32)
    for k in range(len(trees.height_m)):
        reach = trees.radius_m[k] / window.cell_m
        row_0, row_1 = int(centre_row[k] - reach) + 1, int(centre_row[k] + reach) + 1
        col_0, col_1 = int(centre_col[k] - reach) + 1, int(centre_col[k] + reach) + 1
        if row_0 < 0 or col_0 < 0 or row_1 > window.shape[0] or col_1 > window.shape[1]:
            continue
        y = (np.arange(row_0, row_1) - centre_row[k]) / reach
        x = (np.arange(col_0, col_1) - centre_col[k]) / reach
        inside = 1.0 - (y * y)[:, None] - (x * x)
        foot = ground[round(centre_row[k]), round(centre_col[k])]
        crown = foot + trees.height_m[k] * (0.25 + 0.75 * np.maximum(inside, 0.0) ** 0.7)
        shift_row, shift_col = int(trees.tint[k] * 64), int(trees.tint[k] * 4096) % 64
        crown += leaves[shift_row : shift_row + len(y), shift_col : shift_col + len(x)]
        part = surface[row_0:row_1, col_0:col_1]
        higher = (inside > 0.0) & (crown > part)
        part[higher] = crown[higher]
        cover[row_0:row_1, col_0:col_1][higher] = LandCover.CROWN
        parcel[row_0:row_1, col_0:col_1][higher] = trees.tint[k]


def _house_axes(azimuth: float, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return (along the ridge, across it) of offsets east and north."""
    return x * np.sin(azimuth) + y * np.cos(azimuth), y * np.sin(azimuth) - x * np.cos(azimuth)


def _patch(window: CellWindow, centre: Floats, reach_m: float) -> tuple[slice, slice, Floats, Floats] | None:
    """Return rows and columns around a centre, and the cells' offsets (east, north).

    None at the border.
    """
    col, row = window.to_cells(centre[0], centre[1])
    reach = int(np.ceil(reach_m / window.cell_m))
    row_0, col_0 = int(row) - reach, int(col) - reach
    row_1, col_1 = row_0 + 2 * reach + 1, col_0 + 2 * reach + 1
    if row_0 < 0 or col_0 < 0 or row_1 > window.shape[0] or col_1 > window.shape[1]:
        return None
    x = (np.arange(col_0, col_1) - col) * window.cell_m
    y = (row - np.arange(row_0, row_1)) * window.cell_m
    return slice(row_0, row_1), slice(col_0, col_1), *np.meshgrid(x, y)


# -- The operator's terrain model, from before the storm and without objects -----------------------
#
# It lacks trees and houses. A real one has errors: it is shifted by some metres from the ground it describes,
# and its height errors are correlated over hundreds of metres. `TerrainErrorModel` states them; the drill's
# truth records it.


MAX_ERROR_M = 100.0
_PARTS = 4
# a cubic B-spline field with nodes h apart has approximately the autocorrelation exp(-d² / (2 · 8/12 ·
# h²))
_NODES_PER_LENGTH = math.sqrt(2.0 * 8.0 / 12.0)
_SIGMA_PER_SHIFT = 1.0 / 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class TerrainErrorModel:
    """Errors of a terrain model.

    shift_m   (east, north, up) of all terrain from where it is
    sigma_m   1-sigma of a correlated height error
    length_m  distance at which the error's correlation has fallen to 1/e
    """

    shift_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    sigma_m: float = 0.0
    length_m: float = 200.0

    def __post_init__(self) -> None:
        size = math.hypot(*self.shift_m)
        if not (size <= MAX_ERROR_M and 0.0 <= self.sigma_m <= MAX_ERROR_M and 1.0 <= self.length_m < 1e5):
            raise OptionUnusable(
                _(
                    "terrain error of {size:g} m, sigma {sigma_m:g} m over {length_m:g} m: a "
                    "drill's terrain is wrong by 0 to {most_error_m:g} m: give less",
                    size=size,
                    sigma_m=self.sigma_m,
                    length_m=self.length_m,
                    most_error_m=MAX_ERROR_M,
                )
            )


def draw_typical_error(seed: int, size_m: float) -> TerrainErrorModel:
    """Return a shift of `size_m` in a random direction, with a third of it as sigma.

    The direction on the sphere is drawn by the seed.
    """
    size_m = abs(size_m)
    direction = np.random.default_rng([seed, 31]).normal(size=3)
    east, north, up = size_m * direction / np.linalg.norm(direction)
    return TerrainErrorModel(
        shift_m=(float(east), float(north), float(up)), sigma_m=size_m * _SIGMA_PER_SHIFT
    )


def make_terrain_model(
    valley: Valley, bounds: Bounds, post_m: float, error: TerrainErrorModel | None = None
) -> tuple[CellWindow, Singles]:
    """Return the window and heights of a terrain model over `bounds`.

    Its cells are centred on multiples of `post_m`. A height is the mean of the ground around it, over
    three quarters of the spacing, as a survey gives. With an `error`, point p holds ground(p - shift) +
    shift_up + correlated error(p).
    """
    error = error or TerrainErrorModel()
    posts = make_cell_window(bounds, post_m)
    east_m, north_m, up_m = error.shift_m
    west, south, east, north = posts.bounds
    margin = post_m + max(abs(east_m), abs(north_m))
    fine = make_cell_window((west - margin, south - margin, east + margin, north + margin), post_m / _PARTS)
    fields = build_valley_fields(valley, fine.bounds)
    ground = build_bare_ground(fields, fine)
    height = ground.height.copy()
    draw_yards(place_houses(fields, fine.bounds), fine, height, ground.cover)
    mean = np.asarray(cv2.blur(height, (_PARTS - 1, _PARTS - 1)), np.float32)
    heights = _at_posts(mean, fine, posts, (east_m, north_m)) + np.float32(up_m)
    if error.sigma_m:
        wavelength = 2.0 * error.length_m / _NODES_PER_LENGTH
        wrong = generate_smooth_noise(
            posts.eastings, posts.northings, wavelength, valley.seed, "terrain error"
        )
        heights += np.float32(error.sigma_m) * wrong
    return posts, np.ascontiguousarray(heights)


def _at_posts(mean: Singles, fine: CellWindow, posts: CellWindow, shift_m: tuple[float, float]) -> Singles:
    """Return the fine heights at the points, each taken `shift_m` before it.

    Bilinear where that is between cells.
    """
    if shift_m == (0.0, 0.0):
        rows = fine.north_cell - _PARTS * (posts.north_cell - np.arange(posts.shape[0]))
        cols = _PARTS * (posts.west_cell + np.arange(posts.shape[1])) - fine.west_cell
        return mean[np.ix_(rows, cols)]
    east, north = np.meshgrid(posts.eastings - shift_m[0], posts.northings - shift_m[1])
    u, v = (cells.astype(np.float32) for cells in fine.to_cells(east, north))
    return np.asarray(cv2.remap(mean, u, v, cv2.INTER_LINEAR), np.float32)
