"""Ties of a block to a reference map.

The reference is an earlier revision, another orthomosaic or a satellite scene. Each frame, orthorectified
with its current pose, is compared with it window by window where the frame looks nearly straight down.
Windows that agree with each other show how the block should move, and become its control points; disagreement
(another season, a new landslide, cloud) is outvoted, and if too little agrees the reference is not used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.errors import InputUnusable
from flycam.geodata.crs import to_lonlat, to_work
from flycam.geodata.raster import ReferenceRaster
from flycam.geometry.camera import is_in_image, project
from flycam.geometry.correlation import compute_edge_directions, match_windows
from flycam.geometry.grid import (
    TileRange,
    choose_zoom,
    compute_ground_pixel_m,
    compute_pixel_centres,
    find_range_for_bounds,
    lonlat_to_mercator,
    mercator_to_lonlat,
)
from flycam.geometry.terrain import TerrainGrid, interpolate_heights
from flycam.messages import Message, _
from flycam.model.frame import OrthoPatch
from flycam.mosaic.adjustment.block import BlockFrame, ControlPoint
from flycam.workspace import Progress, ignore_progress

# -- Control points from a reference map: places with known shifts ---------------------------------
#
# A place of the adjusted block is projected into the frames that see it, with their current poses. As a
# control point with these image points at (place + shift), it moves the block without affecting what its own
# ties determine about its interior.


Floats = NDArray[np.float64]

_MAX_VIEWS = 6
_MIN_VIEWS = 2
_REFERENCE_SIGMA_PX = 0.5
# Places nearer to a frame's border, as a share of its shorter side, are not used.
_RIM_SHARE = 0.03


def make_reference_control(
    frames: Sequence[BlockFrame],
    places_m: Floats,
    shift_m: Floats,
    sigma_m: Floats,
    *,
    name: str = "reference",
) -> list[ControlPoint]:
    """Make control points from N places of a block and their shifts in a reference.

    frames    with the poses under which the places were found
    places_m  N×3 (east, north, height)
    shift_m   N×2 (east, north), reference minus block
    sigma_m   N, of one coordinate of the shift

    The height stays free. A place seen by fewer than two frames is left out; the six frames nearest to it are
    used.
    """
    count = len(places_m)
    uv = np.full((len(frames), count, 2), np.nan)
    distance = np.full((len(frames), count), np.inf)
    for k, frame in enumerate(frames):
        points, depth = project(frame.interior, frame.exterior, places_m)
        width, height = frame.interior.image_size_px
        rim = _RIM_SHARE * min(width, height)
        seen = (
            is_in_image(frame.interior, points[:, 0] - rim, points[:, 1] - rim)
            & is_in_image(frame.interior, points[:, 0] + rim, points[:, 1] + rim)
            & (depth > 0.0)
        )
        uv[k, seen] = points[seen]
        off = places_m[seen, :2] - np.array(frame.exterior.projection_centre_m[:2])
        distance[k, seen] = np.hypot(off[:, 0], off[:, 1])
    nearest = np.argsort(distance, axis=0, kind="stable")[:_MAX_VIEWS]
    control = []
    for j in range(count):
        views = [int(k) for k in nearest[:, j] if np.isfinite(distance[k, j])]
        if len(views) < _MIN_VIEWS:
            continue
        east, north = places_m[j, :2] + shift_m[j]
        control.append(
            ControlPoint(
                name=f"{name} {j + 1}",
                position_m=(float(east), float(north), float(places_m[j, 2])),
                sigma_m=(float(sigma_m[j]), float(sigma_m[j]), float("inf")),
                frames=tuple(sorted(views)),
                uv_px=uv[sorted(views), j],
                sigma_px=_REFERENCE_SIGMA_PX,
            )
        )
    return control


# -- Matching of frames with the reference map -----------------------------------------------------

PatchMaker = Callable[[int, TileRange], OrthoPatch]

_WINDOW_PX, _SPACING_PX = 64, 40
_MAX_FRAMES, _MAX_WINDOWS = 150, 12_000
# The cost of the search grows with the square of the resolution, which hardly improves the tie.
_MAX_REACH_PX = 100
_MAX_VOTERS = 2000
# Tangent of the off-nadir angle: nearer to nadir, wrong heights shift little.
_MAX_OFF_NADIR_TAN = 0.35
_MIN_MARGIN = 6.0
_MIN_WINDOWS, _MIN_SHARE = 12, 0.15
_AGREE_SIGMAS, _AGREE_M = 3.0, 0.6
_ROUNDS = 4
# Median length of a 2-D error of sigma 1 in each coordinate (Rayleigh): sqrt(2 ln 2).
_RAYLEIGH_MEDIAN = 1.1774
_SAME_PLACE_M = 1.0
# relative error between a map's own points
_MAP_SIGMA_M = 0.15


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferenceTie:
    """Result of matching a reference.

    control   for the next adjustment; empty where too few windows agree
    tried     windows compared, found: matched clearly, agreed: those that agree with each other
    shift_m   median (east, north) of the reference minus the block; spread_m of single windows about the fit
    why       one sentence for the report
    """

    control: Sequence[ControlPoint]
    tried: int
    found: int
    agreed: int
    shift_m: tuple[float, float]
    spread_m: float
    why: Message


def open_reference(path: Path, centres_m: Floats, work_crs: str) -> ReferenceRaster:
    """Open a reference for a flight with projection centres centres_m N×2 (work CRS).

    Raises SourceUnreadable, CrsMissing; InputUnusable if it does not cover any of them.
    """
    picture = ReferenceRaster(path)
    west, south, east, north = picture.bounds_lonlat
    lonlat = to_lonlat(centres_m, work_crs)
    inside = (lonlat >= (west, south)).all(axis=1) & (lonlat <= (east, north)).all(axis=1)
    if not inside.any():
        raise InputUnusable(
            _(
                "{name}: does not cover this flight (it lies at {west:.4f} to {east:.4f} E, "
                "{south:.4f} to {north:.4f} N, the flight at {lon:.4f} E, "
                "{lat:.4f} N); give a map of the same ground",
                name=path.name,
                west=west,
                east=east,
                south=south,
                north=north,
                lon=lonlat[:, 0].mean(),
                lat=lonlat[:, 1].mean(),
            )
        )
    return picture


def match_reference(
    picture: ReferenceRaster,
    frames: Sequence[BlockFrame],
    make_patch: PatchMaker,
    terrain: TerrainGrid,
    *,
    reach_m: float,
    progress: Progress = ignore_progress,
) -> ReferenceTie:
    """Compare frames with a reference and turn what agrees into control points.

    frames    with the poses to be judged; make_patch(index, tiles) orthorectifies one onto tiles of any zoom
    terrain   that they are orthorectified on; reach_m the largest shift to look for
    """
    lat = float(to_lonlat(_centre(frames[0])[None, :2], frames[0].exterior.work_crs)[0, 1])
    zoom = choose_zoom(max(picture.gsd_m, reach_m / _MAX_REACH_PX), lat)
    reach_px = max(int(np.ceil(reach_m / compute_ground_pixel_m(zoom, lat))), 4)
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), _MAX_FRAMES)).astype(int))
    seen = []
    for done, k in enumerate(chosen, start=1):
        found = _match_frame(
            picture, frames[k], make_patch, int(k), terrain, zoom, reach_px, _MAX_WINDOWS // len(chosen)
        )
        seen.append(found)
        progress("reference", done, len(chosen))
    places, shifts, sigmas = (np.concatenate([one[i] for one in seen]) for i in (0, 1, 2))
    tried, name = sum(one[3] for one in seen), picture.path.name
    if not len(places):
        why = _(
            "{name}: not used as a reference, because no ground looks alike in both; another season or "
            "another place? The absolute position remains that of the aircraft's GNSS.",
            name=name,
        )
        return _refused(why, tried, 0, 0)
    agree, spread = _consensus(places[:, :2], shifts)
    agreed = int(agree.sum())
    if agreed < _MIN_WINDOWS or agreed < _MIN_SHARE * tried or agreed < len(places) / 2:
        why = _(
            "{name}: not used as a reference, because too few windows agree on one shift ({agreed} of "
            "{tried}); another season or another place? The absolute position remains that of the aircraft's "
            "GNSS.",
            name=name,
            agreed=agreed,
            tried=tried,
        )
        return _refused(why, tried, len(places), agreed)
    sigma = np.hypot(np.hypot(sigmas[agree], spread), _MAP_SIGMA_M)
    control = make_reference_control(frames, *_one_a_place(places[agree], shifts[agree], sigma), name=name)
    if not control:
        why = _(
            "{name}: not used as a reference, because each place that agrees is seen by one photo alone, "
            "which cannot place it. The absolute position remains that of the aircraft's GNSS.",
            name=name,
        )
        return _refused(why, tried, len(places), agreed)
    east, north = np.median(shifts[agree], axis=0)
    return ReferenceTie(
        control=tuple(control),
        tried=tried,
        found=len(places),
        agreed=agreed,
        shift_m=(float(east), float(north)),
        spread_m=spread,
        why=_(
            "{name}: windows in agreement: {agreed} of {tried}; the block was {off_m:.2f} m off it, and "
            "single windows scatter by {spread_m:.2f} m.",
            name=name,
            agreed=agreed,
            tried=tried,
            off_m=np.hypot(east, north),
            spread_m=spread,
        ),
    )


def _match_frame(
    picture: ReferenceRaster,
    frame: BlockFrame,
    patch_of: PatchMaker,
    index: int,
    terrain: TerrainGrid,
    zoom: int,
    reach_px: int,
    most: int,
) -> tuple[Floats, Floats, Floats, int]:
    """Match one frame: points N×3, shifts N×2, sigmas N, and the windows tried.

    Metres in the work CRS. At most `most` windows, spread over the frame.
    """
    none = (np.empty((0, 3)), np.empty((0, 2)), np.empty(0), 0)
    crs, centre = frame.exterior.work_crs, _centre(frame)
    pixel_m = compute_ground_pixel_m(zoom, float(to_lonlat(centre[None, :2], crs)[0, 1]))
    ground = float(interpolate_heights(terrain, centre[None, :2])[0])
    radius = _MAX_OFF_NADIR_TAN * (centre[2] - ground)
    if not (np.isfinite(radius) and radius > 0.0):
        return none
    tiles = _tiles_around(centre[:2], crs, radius + reach_px * pixel_m, zoom)
    patch, reference = patch_of(index, tiles), picture.warp_to_tiles(tiles)
    frame_grey, ref_grey = (
        cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) for rgb in (patch.rgb, reference.rgb)
    )
    windows = _windows(tiles, patch.quality > 0, reference.valid, reach_px)
    middle = _ground(tiles, windows, crs)
    windows = _thinned(windows[np.hypot(*(middle - centre[:2]).T) <= radius], most)
    if not len(windows):
        return none
    shifts = match_windows(
        compute_edge_directions(frame_grey, patch.quality > 0),
        compute_edge_directions(ref_grey, reference.valid),
        windows,
        window_px=_WINDOW_PX,
        reach_px=reach_px,
    )
    clear = np.isfinite(shifts.shift_px[:, 0]) & (shifts.margin >= _MIN_MARGIN)
    here = _ground(tiles, windows[clear], crs)
    there = _ground(tiles, windows[clear] + shifts.shift_px[clear], crs)
    heights = interpolate_heights(terrain, here)
    known = np.isfinite(heights)
    places = np.column_stack([here, heights])[known]
    return places, (there - here)[known], (shifts.sigma_px[clear] * pixel_m)[known], len(windows)


def _centre(frame: BlockFrame) -> Floats:
    return np.array(frame.exterior.projection_centre_m)


def _tiles_around(centre: Floats, crs: str, radius_m: float, zoom: int) -> TileRange:
    corners = centre + radius_m * np.array([(-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0)])
    mercator = lonlat_to_mercator(to_lonlat(corners, crs))
    (west, south), (east, north) = mercator.min(axis=0), mercator.max(axis=0)
    return find_range_for_bounds(zoom, (float(west), float(south), float(east), float(north)))


def _windows(
    tiles: TileRange, frame_mask: NDArray[np.bool_], reference_mask: NDArray[np.bool_], reach_px: int
) -> NDArray[np.int64]:
    """Return centres (column, row) of windows with data in both images.

    The search area lies within the tiles. Windows are on a world-wide grid, so those of neighbouring frames
    fall on the same places.
    """
    height, width = tiles.shape_px
    room = _WINDOW_PX // 2 + reach_px + 1
    first_col, first_row = -(tiles.x_start * 256) % _SPACING_PX, -(tiles.y_start * 256) % _SPACING_PX
    cols = np.arange(first_col, width, _SPACING_PX)
    rows = np.arange(first_row, height, _SPACING_PX)
    cols, rows = (
        axis[(axis >= room) & (axis < size - room)] for axis, size in ((cols, width), (rows, height))
    )
    centres = np.stack(np.meshgrid(cols, rows), axis=-1).reshape(-1, 2)
    share = cv2.blur((frame_mask & reference_mask).astype(np.float32), (_WINDOW_PX, _WINDOW_PX))
    return np.asarray(centres[share[centres[:, 1], centres[:, 0]] > 0.9], dtype=np.int64)


def _thinned(rows: NDArray[Any], most: int) -> NDArray[Any]:
    """Return at most `most` of the rows, evenly."""
    return np.asarray(rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(int)])


def _ground(tiles: TileRange, at_px: NDArray[Any], crs: str) -> Floats:
    """Convert (column, row) N×2 to work CRS metres."""
    at = np.asarray(at_px, dtype=np.float64)
    return to_work(mercator_to_lonlat(compute_pixel_centres(tiles, at[:, 1], at[:, 0])), crs)


def _consensus(places: Floats, shifts: Floats) -> tuple[NDArray[np.bool_], float]:
    """Return windows that agree with one affine shift field, and their scatter.

    Scatter of one coordinate. It starts from the densest place among the shifts, not from their mean: half of
    them may be wrong.
    """
    voters = _thinned(shifts, _MAX_VOTERS)
    near = np.hypot(*np.moveaxis(voters[:, None] - voters[None], -1, 0)) < _AGREE_M
    start = voters[int(near.sum(axis=1).argmax())]
    off = np.hypot(*(shifts - start).T)
    agree = off < 3.0 * _AGREE_M
    scale = max(float(np.abs(places - places.mean(axis=0)).max()), 1.0)
    design = np.column_stack([np.ones(len(places)), (places - places.mean(axis=0)) / scale])
    spread = _AGREE_M
    for __ in range(_ROUNDS):
        if agree.sum() < 2 * design.shape[1]:
            fit = np.broadcast_to(np.median(shifts[agree], axis=0), shifts.shape)
        else:
            fit = design @ np.linalg.lstsq(design[agree], shifts[agree], rcond=None)[0]
        residual = np.hypot(*(shifts - fit).T)
        spread = max(float(np.median(residual[agree])) / _RAYLEIGH_MEDIAN, 0.02)
        agree = residual < max(_AGREE_SIGMAS * spread, _AGREE_M)
    return agree, spread


def _one_a_place(places: Floats, shifts: Floats, sigmas: Floats) -> tuple[Floats, Floats, Floats]:
    """Merge windows of several frames at one place: mean shift, best sigma."""
    __, place = np.unique(np.rint(places[:, :2] / _SAME_PLACE_M), axis=0, return_inverse=True)
    count = np.bincount(place)
    means = [np.bincount(place, weights=column) / count for column in (*places.T, *shifts.T)]
    best = np.full(len(count), np.inf)
    np.minimum.at(best, place, sigmas)
    return np.stack(means[:3], -1), np.stack(means[3:], -1), best


def _refused(why: Message, tried: int, found: int, agreed: int) -> ReferenceTie:
    return ReferenceTie(
        control=(),
        tried=tried,
        found=found,
        agreed=agreed,
        shift_m=(float("nan"), float("nan")),
        spread_m=float("nan"),
        why=why,
    )
