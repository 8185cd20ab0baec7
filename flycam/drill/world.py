"""The synthetic world as arrays: land cover, heights, and orthophoto.

Between two dates it changes by construction, field work, season, and a storm with landslides.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from dataclasses import fields as fields_of
from functools import partial

import numpy as np
from numpy.typing import NDArray

from flycam.drill.appearance import (
    LEAFY,
    PLAIN_APPEARANCE,
    TERRACES,
    Appearance,
    Confuser,
    DateChanges,
    Sun,
    compute_albedo,
    compute_lit_fraction,
    normalise_field_work,
    render_lit_ground,
)
from flycam.drill.land import (
    FIELD_STEP_M,
    Bounds,
    CellWindow,
    Floats,
    LandCover,
    Singles,
    Valley,
    ValleyFields,
    build_bare_ground,
    build_valley_fields,
    generate_smooth_noise,
    hash_unit,
    make_cell_window,
)
from flycam.drill.scene_objects import Houses, draw_houses, draw_trees, draw_yards, place_houses, place_trees

# -- Construction between two dates: roads with their cuttings, and houses -------------------------


_ROAD_HALF_M = 2.2
_MIN_CUT_SLOPE = 0.12
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
    slope = np.maximum(fields.interpolate("slope", east, north), _MIN_CUT_SLOPE)
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


# -- Field work between two dates: ploughing, harvest, flooding, clearing --------------------------


# indices into the stages of `appearance._STAGES`, to which a paddy's parcel number is scaled
_STAGES = 7
_WATER_STAGE, _MUD_STAGE = 5, 6
_CLEARED_SLOPE = (0.12, 0.85)


def apply_field_work(
    cover: NDArray[np.uint8], parcel: Singles, fields: ValleyFields, window: CellWindow, between: DateChanges
) -> tuple[NDArray[np.uint8], Singles, NDArray[np.uint8]]:
    """Return cover, parcel and Confuser numbers of one band after the season's work.

    The band is of bare ground.
    """
    after, parcel_after = cover.copy(), parcel.copy()
    confuser = np.zeros(cover.shape, np.uint8)
    work_draw = _lot(parcel, between.seed, 1)
    worked = work_draw < between.fields

    wet_fields = np.isin(cover, (LandCover.PADDY, LandCover.TERRACE)) & worked
    now = _lot(parcel, between.seed, 2)
    parcel_after[wet_fields] = now[wet_fields]
    stage, was = (now * _STAGES).astype(int), (parcel * _STAGES).astype(int)
    changed = wet_fields & (stage != was)
    confuser[changed] = Confuser.CROP
    confuser[changed & (stage == _MUD_STAGE)] = Confuser.PLOUGHED
    confuser[changed & (stage == _WATER_STAGE)] = Confuser.WET_PADDY
    terraced = cover == LandCover.TERRACE
    for terrace in TERRACES:
        confuser[terraced & (confuser == normalise_field_work(np.array(terrace)))] = terrace

    green, bare = (cover == LandCover.MAIZE) & worked, (cover == LandCover.PLOUGHED) & worked
    after[green], confuser[green] = LandCover.PLOUGHED, Confuser.PLOUGHED
    after[bare], confuser[bare] = LandCover.MAIZE, Confuser.CROP

    slope = fields.interpolate("slope", window.eastings, window.northings)
    low, high = _CLEARED_SLOPE
    cut = (
        np.isin(cover, (LandCover.FOREST, LandCover.SCRUB))
        & (_lot(parcel, between.seed, 3) < between.cleared)
        & (slope > low)
        & (slope < high)
    )
    after[cut], confuser[cut] = LandCover.PLOUGHED, Confuser.CLEARED
    return after, parcel_after, confuser


def _lot(parcel: Singles, seed: int, use: int) -> Singles:
    """Return another number in [0, 1) for each parcel, the same all over it."""
    phase = np.random.default_rng([seed, use]).random()
    return np.asarray(np.modf(parcel.astype(np.float64) * 1013.0 * use + phase)[0], np.float32)


# -- Colour of leaves and soil on another date: factors of the reflectance -------------------------


_SOIL = (
    LandCover.PLOUGHED,
    LandCover.SCAR,
    LandCover.CUTTING,
    LandCover.TRACK,
    LandCover.YARD,
    LandCover.GRAVEL,
)
# red, green, blue of fully dried leaves relative to fresh ones
_DRY = np.array([1.42, 1.10, 1.12], np.float32)
_FRESH = np.array([0.86, 1.04, 0.90], np.float32)
_WET_SOIL = 0.62
_SHEDDING = 0.18


def apply_season(
    albedo: Singles, cover: NDArray[np.uint8], parcel: Singles, window: CellWindow, between: DateChanges
) -> Singles:
    """Return the reflectance rows×columns×3 of one band on the after-date.

    Leaves change colour by areas of some hundred metres, single trees more than others; soils differ by
    their parent rock, and are darker where it rained.
    """
    east, north, seed = window.eastings, window.northings, between.seed
    drift = 0.25 * generate_smooth_noise(east, north, 260.0, seed, "season") + between.season
    leafy = np.isin(cover, LEAFY)
    shed = leafy & (cover == LandCover.CROWN) & (parcel * 17.0 % 1.0 < _SHEDDING * max(between.season, 0.0))
    turned = np.clip(drift + np.where(shed, 1.2, 0.0), -1.0, 2.0)[..., None]
    leaves = np.where(turned > 0, _DRY ** np.maximum(turned, 0.0), _FRESH ** np.maximum(-turned, 0.0))
    rock = generate_smooth_noise(east, north, 95.0, seed, "rock")[..., None]
    soils = np.exp(0.14 * rock * np.array([1.0, 0.75, 0.5], np.float32)) * _WET_SOIL**between.wetness
    factor = np.where(leafy[..., None], leaves, 1.0)
    factor = np.where(np.isin(cover, _SOIL)[..., None], soils, factor)
    return np.asarray(np.clip(albedo * factor, 0.002, 1.0), np.float32)


# -- Storm: landslides, and a river that filled its valley -----------------------------------------


FLOOD_DEPTH_M = 3.4
_START_STEP_M = 62.0
_START_SLOPE = 0.72
_STEP_M = 2.0
_MAX_PATH_M = 320.0
_MIN_SLIDE_SLOPE = 0.16
# `scar` of nodes without a slide near
_FAR_M = -20.0
_CUT_M = 2.2
_PILE_M = 1.6


def with_scars(fields: ValleyFields, storm_over: Bounds | None = None) -> ValleyFields:
    """Add `scar` and `moved` (metres of ground gained) of a storm.

    scar is metres inside a landslide, negative outside. A slide's size, and which slopes fail, depend on
    the window that they are computed for.

    storm_over  the window whose slides these are, so that another window shows the same: identical there,
                with more only beyond it
    """
    height = fields.values["height"]
    scar = np.full(height.shape, _FAR_M, np.float32)
    moved = np.zeros(height.shape, np.float32)
    if storm_over is None:
        _slide(fields, scar, moved, _starts(fields), 0)
        return fields.with_values(scar=scar, moved=moved)
    storm_fields = build_valley_fields(fields.valley, storm_over)
    starts = _starts(storm_fields)
    easts, norths = storm_fields.node_coordinates
    beyond = [
        (east, north)
        for east, north in _starts(fields, fails_somewhere=False)
        if not (easts[0] <= east <= easts[-1] and norths[0] <= north <= norths[-1])
    ]
    _slide(fields, scar, moved, beyond, len(starts))
    there = with_scars(storm_fields).values
    # the nodes that two fields have in common, as a window of each
    spans = []
    for axis in (0, 1):
        start = max(fields.first[axis], storm_fields.first[axis])
        ends = [some.first[axis] + some.values["height"].shape[axis] for some in (fields, storm_fields)]
        stop = max(min(ends), start)
        spans.append(
            [slice(start - some.first[axis], stop - some.first[axis]) for some in (fields, storm_fields)]
        )
    (rows, of_rows), (cols, of_cols) = spans
    own_part, storm_part = (rows, cols), (of_rows, of_cols)
    scar[own_part], moved[own_part] = there["scar"][storm_part], there["moved"][storm_part]
    return fields.with_values(scar=scar, moved=moved)


def _slide(
    fields: ValleyFields, scar: Singles, moved: Singles, starts: list[tuple[float, float]], first: int
) -> None:
    """Draw slides from these heads into the fields, in place; numbered from `first`."""
    easts, norths = fields.node_coordinates
    for number, (east, north) in enumerate(starts, first):
        path = trace_flow_path(fields, east, north)
        share = np.linspace(0.0, 1.0, len(path))
        size = 0.75 + 0.6 * hash_unit(np.array([number]), np.array([3]), fields.valley.seed, "size")[0]
        width = size * (
            4.5 + 7.0 * np.minimum(share * 4.0, 1.0) + 7.0 * np.clip(share - 0.75, 0.0, 1.0) * 4.0
        )
        widen_path(scar, moved, easts, norths, path, width, share)


def apply_storm(
    height: Singles,
    cover: NDArray[np.uint8],
    fields: ValleyFields,
    window: CellWindow,
    flood_m: float = FLOOD_DEPTH_M,
) -> tuple[Singles, NDArray[np.uint8]]:
    """Return height and cover of one band's ground after the storm.

    fields   with the scars
    flood_m  height of the river above its usual level, metres; 0: no flood
    """
    east, north = window.eastings, window.northings
    seed = fields.valley.seed
    along, _ = fields.valley.to_valley(east[None, :], north[:, None])
    edge = 1.1 * generate_smooth_noise(east, north, 7.0, seed, "scar edge") + 0.5 * generate_smooth_noise(
        east, north, 2.2, seed, "scar fray"
    )
    inside = fields.interpolate("scar", east, north) + edge > 0.0
    rubble = 0.12 * generate_smooth_noise(east, north, 3.0, seed, "rubble")
    failed = fields.interpolate("height", east, north) + fields.interpolate("moved", east, north) + rubble
    height = np.where(inside, failed, height)
    cover = np.where(inside, np.uint8(LandCover.SCAR), cover)
    if flood_m <= 0.0:
        return height.astype(np.float32), cover
    level = np.asarray(fields.valley.river_height(along) + flood_m, np.float32)
    low = (height < level) & (np.abs(fields.interpolate("river", east, north)) < 120.0)
    return np.where(low, level, height).astype(np.float32), np.where(low, np.uint8(LandCover.FLOOD), cover)


def _starts(fields: ValleyFields, *, fails_somewhere: bool = True) -> list[tuple[float, float]]:
    """Return heads of slides at steep places, one candidate per square.

    With `fails_somewhere` the steepest place is one if no other is.
    """
    easts, norths = fields.node_coordinates
    i, j = (
        x.ravel()
        for x in np.meshgrid(
            np.arange(int(easts[0] // _START_STEP_M) + 1, int(easts[-1] // _START_STEP_M)),
            np.arange(int(norths[0] // _START_STEP_M) + 1, int(norths[-1] // _START_STEP_M)),
        )
    )
    seed = fields.valley.seed
    east = (i + hash_unit(i, j, seed, "slide east")) * _START_STEP_M
    north = (j + hash_unit(i, j, seed, "slide north")) * _START_STEP_M
    slope = fields.sample("slope", east, north)
    far_up = np.maximum(fields.sample("left", east, north), fields.sample("right", east, north) - 100.0)
    fails = (slope > _START_SLOPE) & (far_up > 48.0) & (hash_unit(i, j, seed, "fails") < 0.6)
    if fails_somewhere and not fails.any() and len(slope):
        fails = slope == slope.max()
    return list(zip(east[fails].tolist(), north[fails].tolist(), strict=True))


def trace_flow_path(
    fields: ValleyFields, east: float, north: float, longest_m: float = _MAX_PATH_M
) -> Floats:
    """Return the path of a slide, K×2, from its head down the steepest slope.

    It has some momentum.
    """
    height = fields.values["height"]
    easts, norths = fields.node_coordinates
    heading = np.zeros(2)
    path = [(east, north)]
    for _ in range(round(longest_m / _STEP_M)):
        col = int((path[-1][0] - easts[0]) / FIELD_STEP_M)
        row = int((path[-1][1] - norths[0]) / FIELD_STEP_M)
        if not (3 <= row < height.shape[0] - 4 and 3 <= col < height.shape[1] - 4):
            break
        around = height[row - 3 : row + 4, col - 3 : col + 4]
        fall = (
            np.array([around[:, :3].mean() - around[:, 4:].mean(), around[:3].mean() - around[4:].mean()])
            / 8.0
        )
        if len(path) > 12 and np.hypot(*fall) < _MIN_SLIDE_SLOPE:
            break
        heading = 0.55 * heading + fall / max(float(np.hypot(*fall)), 1e-6)
        heading /= max(float(np.hypot(*heading)), 1e-6)
        path.append((path[-1][0] + _STEP_M * heading[0], path[-1][1] + _STEP_M * heading[1]))
    return np.array(path)


def widen_path(
    scar: Singles, moved: Singles, easts: Floats, norths: Floats, path: Floats, width: Floats, share: Floats
) -> None:
    """Widen a path into the fields, in place; only nodes around it are changed."""
    reach = float(width.max()) + 12.0
    rows = slice(*np.searchsorted(norths, [path[:, 1].min() - reach, path[:, 1].max() + reach]))
    cols = slice(*np.searchsorted(easts, [path[:, 0].min() - reach, path[:, 0].max() + reach]))
    east, north = np.meshgrid(easts[cols], norths[rows])
    distance = np.hypot(east[..., None] - path[:, 0], north[..., None] - path[:, 1])
    inside = width - distance
    nearest = inside.argmax(-1)
    depth = np.take_along_axis(inside, nearest[..., None], -1)[..., 0]
    shape = np.clip(depth / 6.0, 0.0, 1.0)
    # the upper part loses ground, the foot gains it
    change = np.interp(share[nearest], [0.0, 0.6, 0.8, 1.0], [-_CUT_M, -_CUT_M, 0.3, _PILE_M]) * shape
    deeper = depth > scar[rows, cols]
    moved[rows, cols] = np.where(deeper, change, moved[rows, cols])
    scar[rows, cols] = np.maximum(scar[rows, cols], depth)


# -- Separate landslides of many sizes on all steep slopes, to evaluate detectors ------------------
#
# The plain storm (`with_scars`) fails a slope nearly everywhere; its scars overlap and tell little
# about how well single slides are found.


_SQUARE_M = 85.0
_STEEP = 0.5
_MIN_LENGTH_M, _MAX_LENGTH_M = 14.0, 260.0
_MIN_STEPS = 5


def with_drawn_slides(
    fields: ValleyFields, seed: int, grown_m: float = 0.0, slim: float = 1.0, failing: float = 0.36
) -> ValleyFields:
    """Add `scar` and `moved`, as `with_scars` does, for slides drawn by `seed`.

    grown_m  by which each reaches farther on every side
    slim     factor of their width
    failing  share of steep places that fail
    """
    calm = with_intact_slopes(fields)
    scar, moved = calm.values["scar"], calm.values["moved"]
    easts, norths = fields.node_coordinates
    for east, north, length, slimness in zip(*_heads(fields, seed, failing), strict=True):
        path = trace_flow_path(fields, float(east), float(north), float(length))
        if len(path) < _MIN_STEPS:
            continue
        share = np.linspace(0.0, 1.0, len(path))
        # half a width: 4 to 5 m for the shortest, about 16 m for the longest
        half = (2.3 + 0.82 * np.sqrt(length)) * slimness * slim
        head, foot = np.minimum(share * 4.0, 1.0), np.clip(share * 4.0 - 3.0, 0.0, 1.0)
        width = half * (0.45 + 0.55 * head + 0.4 * foot)
        widen_path(scar, moved, easts, norths, path, width, share)
    return calm.with_values(scar=scar + np.float32(grown_m)) if grown_m else calm


def with_intact_slopes(fields: ValleyFields) -> ValleyFields:
    """Add `scar` and `moved` of slopes that did not fail."""
    height = fields.values["height"]
    return fields.with_values(scar=np.full_like(height, _FAR_M), moved=np.zeros_like(height))


def _heads(fields: ValleyFields, seed: int, failing: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Return (east, north, maximum length in metres, width factor) of slides' heads."""
    easts, norths = fields.node_coordinates
    i, j = (
        x.ravel()
        for x in np.meshgrid(
            np.arange(int(easts[0] // _SQUARE_M) + 1, int(easts[-1] // _SQUARE_M)),
            np.arange(int(norths[0] // _SQUARE_M) + 1, int(norths[-1] // _SQUARE_M)),
        )
    )
    east = (i + 0.15 + 0.7 * hash_unit(i, j, seed, "head east")) * _SQUARE_M
    north = (j + 0.15 + 0.7 * hash_unit(i, j, seed, "head north")) * _SQUARE_M
    fails = (fields.sample("slope", east, north) > _STEEP) & (hash_unit(i, j, seed, "gives way") < failing)
    i, j, east, north = i[fails], j[fails], east[fails], north[fails]
    length = _MIN_LENGTH_M * (_MAX_LENGTH_M / _MIN_LENGTH_M) ** hash_unit(i, j, seed, "runs")
    return east, north, length, 0.75 + 0.5 * hash_unit(i, j, seed, "slim")


# -- World over one window: cover, heights and orthophoto ------------------------------------------


_BAND_ROWS = 128
_THREADS = 2
# seed offset of the texture of ground that is new since the other date
_TURNED_OVER = 104_729
SUN_BEFORE = Sun(azimuth_rad=math.radians(118.0), elevation_rad=math.radians(52.0))
SUN_AFTER = Sun(azimuth_rad=math.radians(135.0), elevation_rad=math.radians(60.0), strength=0.72)


@dataclass(frozen=True, kw_only=True, slots=True)
class DrillWorld:
    """One state of the world over one window; all arrays rows×columns of `window`.

    surface_m  float32: top of everything, what a camera sees; bilinear between cell centres
    ground_m   float32: bare ground (water level where there is water), as in a terrain model
    cover      uint8: LandCover numbers, of the top
    rgb        uint8 rows×columns×3: the true orthophoto without haze or clouds
    change     uint8: 1 landslide, 2 water on former land, else 0
    confuser   uint8: Confuser numbers, other differences; None of a plain drill
    """

    window: CellWindow
    valley: Valley
    after: bool
    sun: Sun
    surface_m: Singles
    ground_m: Singles
    cover: NDArray[np.uint8]
    rgb: NDArray[np.uint8]
    change: NDArray[np.uint8]
    confuser: NDArray[np.uint8] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Bare:
    """Ground without objects, rows×columns each.

    See `DrillWorld` and `land.BareGround`.
    """

    height: Singles
    cover: NDArray[np.uint8]
    parcel: Singles
    change: NDArray[np.uint8]
    confuser: NDArray[np.uint8]


def build_drill_world(
    bounds: Bounds,
    cell_m: float,
    *,
    seed: int = 1,
    relief_m: float = 180.0,
    after: bool = False,
    between: DateChanges | None = None,
    storm_over: Bounds | None = None,
    look: Appearance = PLAIN_APPEARANCE,
) -> DrillWorld:
    """Build the world over `bounds` with cells of `cell_m`.

    bounds      (west, south, east, north) in the work CRS
    between     what else differs on the after-date
    storm_over  bounds of the world whose storm it is, without `between`; None: its own (`with_scars`)
    look        of both dates, the same for both

    The same seed, relief and cell give the same ground before and after the storm except where the storm
    changed it, and with `between` also where people and the season did.
    """
    window = make_cell_window(bounds, cell_m)
    valley = Valley(seed=seed, relief_m=relief_m)
    between = between if after else None
    fields = _failed(build_valley_fields(valley, window.bounds), after, between, storm_over)
    houses = _surviving_houses(place_houses(fields, window.bounds), fields)
    if between is not None:
        built = _surviving_houses(place_new_houses(fields, window.bounds, houses, between), fields)
        houses = merge_houses(houses, built)
    bare = _bare_ground(fields, window, houses, after, between)
    surface, top, parcel = bare.height.copy(), bare.cover.copy(), bare.parcel
    if look.trees:
        draw_trees(place_trees(window, bare.cover, seed), window, bare.height, surface, top, parcel)
    draw_houses(houses, window, bare.height, surface, top, parcel)
    if between is not None:
        mark_new_houses(bare.confuser, window, built)
        bare.confuser[bare.change > 0] = 0
    sun = between.sun if between is not None else SUN_AFTER if after else SUN_BEFORE
    new = (bare.confuser > 0) | (bare.change > 0)
    rgb = _picture(valley, window, surface, top, parcel, sun, between, new, look)
    return DrillWorld(
        window=window,
        valley=valley,
        after=after,
        sun=sun,
        surface_m=surface,
        ground_m=bare.height,
        cover=top,
        rgb=rgb,
        change=bare.change,
        confuser=bare.confuser if between is not None else None,
    )


def _failed(
    fields: ValleyFields, after: bool, between: DateChanges | None, storm_over: Bounds | None = None
) -> ValleyFields:
    """Return the fields with the scars of the storm, if any."""
    if between is not None:
        if not between.slides:
            return with_intact_slopes(fields)
        return with_drawn_slides(fields, between.seed, between.grown_m, between.slim, between.failing)
    return with_scars(fields, storm_over) if after else fields


def _surviving_houses(houses: Houses, fields: ValleyFields) -> Houses:
    """Return the houses outside landslides."""
    if "scar" not in fields.values:
        return houses
    keep = fields.sample("scar", houses.centre_m[:, 0], houses.centre_m[:, 1]) < -1.0
    return houses.select(keep)


def _bare_ground(
    fields: ValleyFields, window: CellWindow, houses: Houses, after: bool, between: DateChanges | None
) -> _Bare:
    """Return the ground without objects: field work and roads first, then the storm."""
    height = np.empty(window.shape, np.float32)
    parcel = np.empty(window.shape, np.float32)
    cover = np.empty(window.shape, np.uint8)
    change, confuser = np.zeros(window.shape, np.uint8), np.zeros(window.shape, np.uint8)
    roads = plan_new_roads(fields, window.bounds, between) if between is not None else []
    flood_m = FLOOD_DEPTH_M if between is None else between.flood_m

    def lay(rows: slice, band: CellWindow) -> None:
        part = build_bare_ground(fields, band)
        height[rows], cover[rows], parcel[rows] = part.height, part.cover, part.parcel

    def work(rows: slice, band: CellWindow, what: DateChanges) -> None:
        cover[rows], parcel[rows], worked = apply_field_work(cover[rows], parcel[rows], fields, band, what)
        height[rows], cover[rows], built = draw_new_roads(height[rows], cover[rows], fields, band, roads)
        confuser[rows] = np.where(built > 0, built, worked)

    def storm(rows: slice, band: CellWindow) -> None:
        was_water = cover[rows] == LandCover.WATER
        height[rows], cover[rows] = apply_storm(height[rows], cover[rows], fields, band, flood_m)
        change[rows][cover[rows] == LandCover.SCAR] = 1
        change[rows][(cover[rows] == LandCover.FLOOD) & ~was_water] = 2

    _by_bands(window, lay)
    draw_yards(houses, window, height, cover)
    if between is not None:
        _by_bands(window, partial(work, what=between))
    if after and (between is None or between.storm):
        _by_bands(window, storm)
    return _Bare(height=height, cover=cover, parcel=parcel, change=change, confuser=confuser)


def _picture(
    valley: Valley,
    window: CellWindow,
    surface: Singles,
    top: NDArray[np.uint8],
    parcel: Singles,
    sun: Sun,
    between: DateChanges | None,
    new: NDArray[np.bool_],
    look: Appearance,
) -> NDArray[np.uint8]:
    """Return the lit orthophoto; ground that is `new` has other texture than before."""
    sunlit = compute_lit_fraction(surface, window.cell_m, sun)
    rgb = np.empty((*window.shape, 3), np.uint8)

    def paint(rows: slice, band: CellWindow) -> None:
        framed = np.clip(np.arange(rows.start - 1, rows.stop + 1), 0, window.shape[0] - 1)
        along, across = valley.to_valley(band.eastings[None, :], band.northings[:, None])
        place = (along.astype(np.float32), across.astype(np.float32))
        bare = compute_albedo(band, top[rows], parcel[rows], surface[rows], place, valley.seed, look)
        if new[rows].any():
            turned = compute_albedo(
                band, top[rows], parcel[rows], surface[rows], place, valley.seed + _TURNED_OVER, look
            )
            bare[new[rows]] = turned[new[rows]]
        if between is not None:
            bare = apply_season(bare, top[rows], parcel[rows], band, between)
        rgb[rows] = render_lit_ground(bare, surface[framed], sunlit[framed], window.cell_m, sun, look.shading)

    _by_bands(window, paint)
    return rgb


def _by_bands(window: CellWindow, work: Callable[[slice, CellWindow], None]) -> None:
    """Run `work` on bands of rows in a few threads; bands do not share rows."""
    starts = range(0, window.shape[0], _BAND_ROWS)
    bands = [window.band(start, start + _BAND_ROWS) for start in starts]
    rows = [slice(start, start + band.shape[0]) for start, band in zip(starts, bands, strict=True)]
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(work, rows, bands))
