"""Construction between two dates: roads with their cuttings, and houses."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from dataclasses import fields as fields_of

import numpy as np
from numpy.typing import NDArray

from flycam.drill.cell_window import Bounds, CellWindow
from flycam.drill.date_changes import Confuser, DateChanges
from flycam.drill.land_cover import LandCover
from flycam.drill.scene_objects import Houses, place_houses
from flycam.drill.spatial_noise import Singles, generate_smooth_noise, hash_unit
from flycam.drill.valley import ValleyFields

_ROAD_HALF_M = 2.2
_MIN_SLOPE = 0.12
_MIN_DISTANCE_M = 22.0
_REACH_M = 70.0
# seed offset of the candidate places for new houses
_OTHER_HOUSES = 7_919


@dataclass(frozen=True, kw_only=True, slots=True)
class NewRoad:
    """A road that follows a level line.

    level_m, grade    its height at `along_m`, and its climb from there
    left              whether it is on the left side of the valley
    above_m, below_m  widths of the cut and of the spoil below
    beyond_m          distance of its middle uphill from the foot of the slope
    """

    along_m: float
    length_m: float
    level_m: float
    grade: float
    left: bool
    beyond_m: float
    above_m: float
    below_m: float


def plan_new_roads(fields: ValleyFields, bounds: Bounds, between: DateChanges) -> list[NewRoad]:
    """Plan the new roads of `between` at random places on the slopes of `bounds`."""
    draw = np.random.default_rng([between.seed, 99])
    valley = fields.valley
    west, south, east, north = bounds
    middle = valley.to_valley(np.array((west + east) / 2), np.array((south + north) / 2))[0]
    roads = []
    for _ in range(between.roads):
        left = bool(draw.random() < 0.5)
        along = float(middle) + draw.uniform(-0.35, 0.35) * (east - west)
        beyond = draw.uniform(25.0, 150.0)
        foot = 44.0 if left else 66.0
        river = valley.river_across(np.array(along))
        place = valley.to_work_crs(
            np.array([along]), np.array([river + (foot + beyond) * (1 if left else -1)])
        )
        roads.append(
            NewRoad(
                along_m=along,
                length_m=draw.uniform(90.0, 260.0),
                level_m=float(fields.sample("height", *place)[0]),
                grade=draw.uniform(-0.09, 0.09),
                left=left,
                beyond_m=float(fields.sample("left" if left else "right", *place)[0]),
                above_m=draw.uniform(2.0, 7.0),
                below_m=draw.uniform(1.5, 6.0),
            )
        )
    return roads


def draw_new_roads(
    height: Singles, cover: NDArray[np.uint8], fields: ValleyFields, window: CellWindow, roads: list[NewRoad]
) -> tuple[Singles, NDArray[np.uint8], NDArray[np.uint8]]:
    """Return height, cover and Confuser numbers of one band with its new roads."""
    east, north = window.eastings, window.northings
    along, _ = fields.valley.to_valley(east[None, :], north[:, None])
    slope = np.maximum(fields.interpolate("slope", east, north), _MIN_SLOPE)
    smooth = fields.interpolate("height", east, north)
    ragged = 0.7 * generate_smooth_noise(east, north, 4.0, fields.valley.seed, "road edge")
    height, cover = height.copy(), cover.copy()
    confuser = np.zeros(cover.shape, np.uint8)
    for road in roads:
        level = road.level_m + road.grade * (along - road.along_m)
        uphill = ((smooth - level) / slope).astype(np.float32)
        here = np.abs(along - road.along_m) < road.length_m / 2
        here &= (
            np.abs(fields.interpolate("left" if road.left else "right", east, north) - road.beyond_m)
            < _REACH_M
        )
        on = here & (np.abs(uphill) < _ROAD_HALF_M)
        top, bottom = _ROAD_HALF_M + road.above_m + ragged, -_ROAD_HALF_M - road.below_m + ragged
        bare = here & ~on & (uphill < top) & (uphill > bottom)
        width = np.where(uphill > 0, road.above_m, road.below_m)
        eased = np.clip((np.abs(uphill) - _ROAD_HALF_M) / width, 0.0, 1.0)
        height = np.where(on | bare, level + (height - level) * eased, height).astype(np.float32)
        cover[on], confuser[on] = LandCover.TRACK, Confuser.ROAD
        cover[bare], confuser[bare] = LandCover.CUTTING, Confuser.CUTTING
    return height, cover, confuser


def place_new_houses(fields: ValleyFields, bounds: Bounds, existing: Houses, between: DateChanges) -> Houses:
    """Place houses where there were none, at a distance from existing ones."""
    other = replace(fields, valley=replace(fields.valley, seed=fields.valley.seed + _OTHER_HOUSES))
    found = place_houses(other, bounds)
    places = np.rint(found.centre_m).astype(np.int64)
    built = hash_unit(places[:, 0], places[:, 1], between.seed, "built") < between.houses
    found = found.select(built)
    if len(existing.length_m) and len(found.length_m):
        away = np.linalg.norm(found.centre_m[:, None] - existing.centre_m[None], axis=-1).min(axis=1)
        found = found.select(away > _MIN_DISTANCE_M)
    return found


def merge_houses(some: Houses, more: Houses) -> Houses:
    """Return the houses of both."""
    return Houses(
        **{f.name: np.concatenate([getattr(some, f.name), getattr(more, f.name)]) for f in fields_of(Houses)}
    )


def mark_new_houses(confuser: NDArray[np.uint8], window: CellWindow, houses: Houses) -> None:
    """Write Confuser.HOUSE around each new house and its yard, in place."""
    for centre, length in zip(houses.centre_m, houses.length_m, strict=True):
        col, row = window.to_cells(centre[0], centre[1])
        reach = math.ceil((length / 2 + 8.0) / window.cell_m)
        rows = slice(max(int(row) - reach, 0), max(int(row) + reach + 1, 0))
        cols = slice(max(int(col) - reach, 0), max(int(col) + reach + 1, 0))
        confuser[rows, cols] = Confuser.HOUSE
