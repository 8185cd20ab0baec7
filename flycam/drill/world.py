"""The synthetic world as arrays: land cover, heights, and orthophoto."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from flycam.drill.appearance import PLAIN_APPEARANCE, Appearance
from flycam.drill.cell_window import Bounds, CellWindow, make_cell_window
from flycam.drill.construction import (
    draw_new_roads,
    mark_new_houses,
    merge_houses,
    place_new_houses,
    plan_new_roads,
)
from flycam.drill.date_changes import DateChanges
from flycam.drill.field_work import apply_field_work
from flycam.drill.ground_colour import compute_albedo
from flycam.drill.land_cover import LandCover, build_bare_ground
from flycam.drill.landslides import with_drawn_slides, with_intact_slopes
from flycam.drill.lighting import Sun, compute_lit_fraction, render_lit_ground
from flycam.drill.object_stamps import draw_houses, draw_trees, draw_yards
from flycam.drill.scene_objects import Houses, place_houses, place_trees
from flycam.drill.season import apply_season
from flycam.drill.spatial_noise import Singles
from flycam.drill.storm import FLOOD_DEPTH_M, apply_storm, with_scars
from flycam.drill.valley import Valley, ValleyFields, build_valley_fields

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

    See DrillWorld and land_cover.BareGround.
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
    storm_over  bounds of the world whose storm it is, without `between`; None: its own (`storm.with_scars`)
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
    lit = compute_lit_fraction(surface, window.cell_m, sun)
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
        rgb[rows] = render_lit_ground(bare, surface[framed], lit[framed], window.cell_m, sun, look.shading)

    _by_bands(window, paint)
    return rgb


def _by_bands(window: CellWindow, work: Callable[[slice, CellWindow], None]) -> None:
    """Run `work` on bands of rows in a few threads; bands do not share rows."""
    starts = range(0, window.shape[0], _BAND_ROWS)
    bands = [window.band(start, start + _BAND_ROWS) for start in starts]
    rows = [slice(start, start + band.shape[0]) for start, band in zip(starts, bands, strict=True)]
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(work, rows, bands))
