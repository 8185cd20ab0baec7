"""Land cover of the synthetic valley, cell by cell.

The classes follow the smooth fields (distance to the river, to the foot of a slope, steepness) with a
ragged edge; parcels, terraces and rows of tea come from contours and valley coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from flycam.drill.cell_window import CellWindow
from flycam.drill.spatial_noise import Floats, Singles, generate_smooth_noise, hash_table
from flycam.drill.valley import RIVER_HALF_WIDTH_M, ValleyFields

Bools = NDArray[np.bool_]
Reals = TypeVar("Reals", Floats, Singles)

TERRACE_STEP_M = 1.3
ROAD_WIDTH_M = 5.0


class LandCover(IntEnum):
    """Land cover of a cell; the numbers are those of truth/cover.tif."""

    FOREST = 1
    SCRUB = 2
    PADDY = 3
    TERRACE = 4
    RISER = 5
    PLOUGHED = 6
    MAIZE = 7
    TEA = 8
    ROAD = 9
    TRACK = 10
    YARD = 11
    WATER = 12
    GRAVEL = 13
    ROCK = 14
    GARDEN = 15
    BUND = 16
    ROOF = 17
    CROWN = 18
    SCAR = 19
    FLOOD = 20
    CUTTING = 21


@dataclass(frozen=True, kw_only=True, slots=True)
class BareGround:
    """Bare ground of one band of cells, all arrays rows×columns.

    height  metres, terraces and embankments included
    cover   LandCover numbers, uint8
    parcel  a number in [0, 1) that is the same all over one parcel of land
    """

    height: Singles
    cover: NDArray[np.uint8]
    parcel: Singles


def build_bare_ground(fields: ValleyFields, window: CellWindow) -> BareGround:
    """Build height, cover and parcels of the cells of `window`, without objects."""
    east, north = window.eastings, window.northings
    seed = fields.valley.seed
    height = fields.interpolate("height", east, north)
    slope, river = fields.interpolate("slope", east, north), fields.interpolate("river", east, north)
    left, right = fields.interpolate("left", east, north), fields.interpolate("right", east, north)
    ragged = generate_smooth_noise(east, north, 9.0, seed, "ragged") + generate_smooth_noise(
        east, north, 3.0, seed, "frayed"
    )
    broad = generate_smooth_noise(east, north, 75.0, seed, "patches")
    along, across = (a.astype(np.float32) for a in fields.valley.to_valley(east[None, :], north[:, None]))

    cover = np.full(window.shape, LandCover.SCRUB, np.uint8)
    cover[(left > 2 + 1.5 * ragged) | (right > 165 + 25 * broad + 3 * ragged)] = LandCover.FOREST
    cover[(left > 95) & (slope < 0.45) & (broad + 0.1 * ragged > 0.4)] = LandCover.MAIZE
    cover[(left > 95) & (slope < 0.45) & (broad + 0.1 * ragged < -0.9)] = LandCover.PLOUGHED

    slope_side = (right > 3) & (right < 165 + 25 * broad + 3 * ragged)
    terraced = slope_side & (slope < 0.5) & (broad < 0.75 + 0.05 * ragged)
    cover[slope_side & (broad >= 0.75 + 0.05 * ragged)] = LandCover.TEA
    ploughed, _ = _plots(along, across, seed, "hill fields", (46.0, 27.0))
    upper = slope_side & (right > 95 + 12 * broad) & ((broad < -0.35) | (slope >= 0.5))
    cover[upper] = np.where(ploughed[upper] < 0.5, LandCover.PLOUGHED, LandCover.MAIZE)
    terraced &= ~upper
    height, terrace_cover, terrace_parcel = _terraces(height, terraced, along, seed)
    cover[terraced] = terrace_cover[terraced]

    floor = (left <= 2 + 1.5 * ragged) & (right <= 3) & (np.abs(river) > 16.0)
    paddy, plot_edge = _plots(along, across, seed, "paddies", (31.0, 17.0))
    cover[floor] = np.where(plot_edge[floor] < 0.45, LandCover.BUND, LandCover.PADDY)
    parcel = np.where(terraced, terrace_parcel, np.where(floor, paddy, ploughed)).astype(np.float32)
    stepped = floor & (right < -17.0)
    height = height + np.where(stepped, 0.25 * (np.floor(paddy * 3.0) - 1.0), 0.0).astype(np.float32)

    cover[slope > 1.45 + 0.12 * ragged] = LandCover.ROCK
    cover[np.abs(river) < 15.0 + 2.5 * ragged] = LandCover.GRAVEL
    cover[(np.abs(river) >= 12.5 + 2.0 * ragged) & (np.abs(river) < 18.0 + ragged)] = LandCover.SCRUB
    height, cover = _roads(fields, window, height, cover, ragged)
    water = np.asarray(fields.valley.river_height(along), np.float32)
    wet = (height < water) & (np.abs(river) < 2.0 * RIVER_HALF_WIDTH_M)
    cover[wet] = LandCover.WATER
    return BareGround(height=np.where(wet, water, height), cover=cover, parcel=parcel)


def compute_road_distance(right: Reals) -> Reals:
    """Return the distance from the road's middle, positive uphill.

    The road follows the foot of the terraced side.
    """
    return right + 9.0


def _terraces(
    height: Singles, where: Bools, along: Singles, seed: int
) -> tuple[Singles, NDArray[np.uint8], Singles]:
    """Return heights, cover and parcels of terraces: level treads, steep risers.

    They follow the contours.
    """
    steps = height / TERRACE_STEP_M
    tread = np.floor(steps)
    part = steps - tread
    rise = np.clip((part - 0.72) / 0.28, 0.0, 1.0)
    terraced = TERRACE_STEP_M * (tread + rise * rise * (3.0 - 2.0 * rise)) + 0.1
    cover = np.where(part > 0.74, LandCover.RISER, LandCover.TERRACE).astype(np.uint8)
    level = tread.astype(np.int32)
    shift = 60.0 * hash_table(level, np.zeros_like(level), seed, "shift")
    piece = np.floor((along + shift) / 38.0).astype(np.int32)
    parcel = hash_table(level // 2, piece, seed, "terrace")
    return np.where(where, terraced, height).astype(np.float32), cover, parcel


def _plots(
    along: Singles, across: Singles, seed: int, name: str, size_m: tuple[float, float]
) -> tuple[Singles, Singles]:
    """Return (plot number, distance to its edge in metres) of rectangular plots.

    The number is in [0, 1). The plots of `size_m` (length, breadth) form a gently bent brickwork.

    The plots of `size_m` (length, breadth) form a gently bent brickwork.
    """
    length, breadth = size_m
    v = (across + 6.0 * np.sin(along / 57.0)) / breadth
    row = np.floor(v)
    number_v = row.astype(np.int32)
    offset = hash_table(number_v, np.zeros_like(number_v), seed, name)
    u = (along + 4.0 * np.sin(across / 23.0)) / length + offset
    col = np.floor(u)
    number = hash_table(col.astype(np.int32), number_v, seed, name + " plot")
    u -= col
    v -= row
    edge = np.minimum(np.minimum(u, 1.0 - u) * length, np.minimum(v, 1.0 - v) * breadth)
    return number, edge


def _roads(
    fields: ValleyFields, window: CellWindow, height: Singles, cover: NDArray[np.uint8], ragged: Singles
) -> tuple[Singles, NDArray[np.uint8]]:
    """Add a paved road along the foot of the slope and a track up the terraces.

    The road is on a low bank. Returns (height, cover).
    """
    east, north = window.eastings, window.northings
    along, _ = fields.valley.to_valley(east[None, :], north[:, None])
    right = fields.interpolate("right", east, north)
    middle = np.abs(compute_road_distance(right))
    bank = np.clip((7.0 - middle) / 4.0, 0.0, 1.0).astype(np.float32)
    height = height + 0.9 * bank * bank * (3.0 - 2.0 * bank)
    cover[(middle < 6.5 + 0.6 * ragged) & (middle >= ROAD_WIDTH_M / 2)] = LandCover.SCRUB
    cover[(middle < 3.4 + 0.25 * ragged) & (middle >= ROAD_WIDTH_M / 2)] = LandCover.TRACK
    cover[middle < ROAD_WIDTH_M / 2] = LandCover.ROAD
    winding = along + 75.0 * np.sin(right / 24.0) - 20.0
    steepness = np.sqrt(1.0 + (75.0 / 24.0 * np.cos(right / 24.0)) ** 2)
    on_track = (np.abs(winding) / steepness < 1.5 + 0.2 * ragged) & (right > -8.0) & (right < 190.0)
    cover[on_track & (cover != LandCover.ROAD)] = LandCover.TRACK
    return height.astype(np.float32), cover
