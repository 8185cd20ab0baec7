"""Absolute control of a block: ground control points and a reference map.

A field list of ground control points has errors: latitude before longitude, ellipsoidal heights where the
flight uses geoid heights, marks on photos that are not in the flight. The terrain and the camera positions
resolve axes, datum and marks where they can; what is left out is named.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.errors import InputUnusable
from flycam.geodata.control_points import GroundControl, GroundMark, format_crs_accuracy, read_ground_control
from flycam.geodata.crs import describe_crs, estimate_accuracy_m, to_lonlat, to_work, transform_points
from flycam.geodata.geoid import convert_height
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
from flycam.messages import Message, _, encode_message, join, ngettext
from flycam.model.flight import is_flat_datum
from flycam.model.frame import OrthoPatch
from flycam.mosaic.adjustment import block
from flycam.mosaic.adjustment.block import (
    Accuracy,
    Adjustment,
    AdjustOptions,
    BlockFrame,
    ControlPoint,
    FrameState,
)
from flycam.mosaic.finish.stages import FinishRun, run_adjustment
from flycam.mosaic.orthorectify.rectification import orthorectify_frame
from flycam.workspace import Progress, ignore_progress

# -- Ties of a block to a reference map ------------------------------------------------------------
#
# The reference is an earlier revision, another orthomosaic or a satellite scene. Each frame, orthorectified
# with its current pose, is compared with it window by window where the frame looks nearly straight down.
# Windows that agree with each other show how the block should move, and become its control points;
# disagreement (another season, a new landslide, cloud) is outvoted, and if too little agrees the reference is
# not used.


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


# -- Absolute control of a block: ground control points and a reference map ------------------------


# -- Marks made on images of another size than the flight's ----------------------------------------
#
# Projected with the recorded pose, a point should lie within some percent of the image width of its mark.
# Marks made on reduced or enlarged copies lie at one common ratio, counted from the top left corner, where
# all of them begin.


_MIN_MARKS = 4
# Of the image width: marks that fit, and that do not.
_FITS, _OFF = 0.06, 0.12
# A ratio this near to 1 is no other size.
_SCALE_TOLERANCE = 0.1


def estimate_mark_scale(
    points: Sequence[ControlPoint], frames: Sequence[BlockFrame], terrain: TerrainGrid | None
) -> float | None:
    """Estimate how much larger (over 1) or smaller the marked images are.

    Compared with the photos.

    None where marks fit as they are, or no one size explains them. Points without a height are put on the
    terrain.
    """
    marked, seen, width = _marked_and_seen(points, frames, terrain)
    if len(marked) < _MIN_MARKS:
        return None
    # Pixel centres are at integers: + 0.5 counts from the top left corner, where copies of any size begin.
    share = float(np.median((marked + 0.5).sum(axis=1) / np.maximum((seen + 0.5).sum(axis=1), 1.0)))
    as_made = float(np.median(np.linalg.norm(marked - seen, axis=1) / width))
    scaled = float(np.median(np.linalg.norm((marked + 0.5) / max(share, 1e-3) - 0.5 - seen, axis=1) / width))
    if as_made > _OFF and scaled < _FITS and abs(share - 1.0) > _SCALE_TOLERANCE:
        return share
    return None


def _marked_and_seen(
    points: Sequence[ControlPoint], frames: Sequence[BlockFrame], terrain: TerrainGrid | None
) -> tuple[Floats, Floats, Floats]:
    """Return marks N×2, projections of their points N×2, widths of their photos N."""
    marked: list[Floats] = []
    seen: list[Floats] = []
    width: list[float] = []
    for point in points:
        place = np.array([point.position_m])
        if not np.isfinite(point.sigma_m[2]):
            ground = np.nan if terrain is None else interpolate_heights(terrain, place[:, :2])[0]
            place[0, 2] = ground
        if not np.isfinite(place).all():
            continue
        for number, uv in zip(point.frames, np.asarray(point.uv_px), strict=True):
            frame = frames[number]
            shown, depth = project(frame.interior, frame.exterior, place)
            if depth[0] > 0.0 and np.isfinite(shown).all():
                marked.append(uv)
                seen.append(shown[0])
                width.append(float(frame.interior.image_size_px[0]))
    return np.array(marked).reshape(-1, 2), np.array(seen).reshape(-1, 2), np.array(width)


# -- Ground control points from a field list -------------------------------------------------------


_MAX_DISTANCE_M = 3000.0
_SIGMA_XY_M, _SIGMA_Z_M, _SIGMA_PX = 0.03, 0.05, 1.0
_SAME_DATUM_M = 8.0
_EVERY_CHECK = 5
_MIN_FOR_CHECKS = 10
_MIN_POINTS = 3
_WORTH_SAYING_M, _CLEARLY_NEARER = 1.0, 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedControl:
    """Control for the block, and notes on what was decided or left out.

    notes: sentences for the report; doubts: those of them to be looked into; crs_sigma_m: of all points
    together, by the transformation of their CRS (radial).
    """

    points: Sequence[ControlPoint]
    notes: Sequence[Message]
    doubts: Sequence[Message] = ()
    crs_sigma_m: float = 0.0


def resolve_ground_control(
    path: Path, frames: Sequence[BlockFrame], terrain: TerrainGrid | None
) -> ResolvedControl:
    """Read an OpenDroneMap list and resolve it against a flight.

    Of ten points and more every fifth is kept as check point. Raises SourceUnreadable, CrsMissing;
    InputUnusable where no mark lies on a photo of the flight, no point near it, or the marks were made on
    images of another size.
    """
    control = read_ground_control(path)
    control_notes: list[Message] = []
    doubts: list[Message] = []
    marks = _on_photos(control, frames, doubts)
    if not marks:
        raise InputUnusable(
            _(
                "{name}: none of its photos is in this flight ({value}); check the photo names in the list",
                name=path.name,
                value=format_names({m.photo for m in control.marks}),
            )
        )
    names = sorted({mark.point for mark, __ in marks})
    first = {name: next(mark for mark, __ in marks if mark.point == name) for name in names}
    listed = np.array([(first[name].x, first[name].y, first[name].z) for name in names])
    exterior = frames[0].exterior
    centres = np.array([frame.exterior.projection_centre_m[:2] for frame in frames])
    xy = _near(path, control.crs, listed[:, :2], exterior.work_crs, centres, control_notes)
    crs_sigma_m = estimate_accuracy_m(control.crs, to_lonlat(centres[:1], exterior.work_crs)[0])
    if crs_sigma_m:
        doubts.append(format_crs_accuracy(path.name, crs_sigma_m))
    heights, sigma_z = _heights(
        listed[:, 2], xy, exterior.work_crs, exterior.vertical_datum, terrain, control_notes, doubts
    )
    points = []
    for row, name in enumerate(names):
        if not np.isfinite(xy[row]).all():
            continue
        seen = {frame: mark.uv_px for mark, frame in marks if mark.point == name}
        known = bool(np.isfinite(heights[row]))
        points.append(
            ControlPoint(
                name=name,
                position_m=(
                    float(xy[row, 0]),
                    float(xy[row, 1]),
                    float(heights[row]) if known else 0.0,
                ),
                sigma_m=(_SIGMA_XY_M, _SIGMA_XY_M, sigma_z if known else float("inf")),
                frames=tuple(sorted(seen)),
                uv_px=np.array([seen[frame] for frame in sorted(seen)]),
                sigma_px=_SIGMA_PX,
                check=len(names) >= _MIN_FOR_CHECKS and row % _EVERY_CHECK == _EVERY_CHECK - 1,
            )
        )
    _refuse_scaled(path, estimate_mark_scale(points, frames, terrain))
    if len(points) < _MIN_POINTS:
        doubts.append(
            ngettext(
                "{name}: only {count} control point can be used: it holds the place of the block and "
                "hardly its turn and scale, and nothing checks it; {least} and more, far apart, do.",
                "{name}: only {count} control points can be used: they hold the place of the block and "
                "hardly its turn and scale, and nothing checks them; {least} and more, far apart, do.",
                len(points),
                name=path.name,
                least=_MIN_POINTS,
            )
        )
    return ResolvedControl(
        points=tuple(points), notes=(*control_notes, *doubts), doubts=tuple(doubts), crs_sigma_m=crs_sigma_m
    )


def _refuse_scaled(path: Path, scale: float | None) -> None:
    if scale is not None:
        raise InputUnusable(
            _(
                "{name}: its marks were made on pictures {scale:.2f} times as large as this "
                "flight's photos; mark the points on the photos themselves, or give the "
                "positions in their pixels",
                name=path.name,
                scale=scale,
            )
        )


def _on_photos(
    control: GroundControl, frames: Sequence[BlockFrame], notes: list[Message]
) -> list[tuple[GroundMark, int]]:
    """Return marks with the index of their frame; notes name marks elsewhere.

    Matched by file name, else without suffix.
    """
    by_name = {PurePath(frame.source_name).name.lower(): k for k, frame in enumerate(frames)}
    by_stem = {PurePath(name).stem: k for name, k in by_name.items()}
    found, absent, outside = [], set(), set()
    for mark in control.marks:
        name = PurePath(mark.photo.replace("\\", "/")).name.lower()
        frame = by_name.get(name, by_stem.get(PurePath(name).stem))
        if frame is None:
            absent.add(mark.photo)
            continue
        width, height = frames[frame].interior.image_size_px
        if not (-0.5 <= mark.uv_px[0] <= width - 0.5 and -0.5 <= mark.uv_px[1] <= height - 0.5):
            outside.add(f"{mark.point} in {mark.photo}")
            continue
        found.append((mark, frame))
    if absent:
        notes.append(
            _(
                "{name}: marks on photos that are not in this flight were left out ({count}: {photos}).",
                name=control.path.name,
                count=len(absent),
                photos=format_names(absent),
            )
        )
    if outside:
        notes.append(
            _(
                "{name}: marks outside their picture were left out ({count}: {marks}); were they made on "
                "photos of another size?",
                name=control.path.name,
                count=len(outside),
                marks=format_names(outside),
            )
        )
    return found


def _near(
    path: Path, crs: str, listed: Floats, work_crs: str, centres: Floats, notes: list[Message]
) -> Floats:
    """Return points in the work CRS, N×2; NaN for those far from the flight.

    Axes are swapped if only so the points lie near it.
    """
    as_written, swapped = (_to_work(points, crs, work_crs) for points in (listed, listed[:, ::-1]))
    near = [_distances(points, centres) <= _MAX_DISTANCE_M for points in (as_written, swapped)]
    xy, here = as_written, near[0]
    if near[1].sum() > near[0].sum():
        xy, here = swapped, near[1]
        notes.append(
            _(
                "{name}: its axes are the other way round (north before east); they were read that way, "
                "because only then do the points lie under this flight.",
                name=path.name,
            )
        )
    if not here.any():
        raise InputUnusable(
            _(
                "{name}: no point lies within {reach_m:.0f} km of this flight, in either "
                "order of axes; check the coordinate system in its first line ({crs})",
                name=path.name,
                reach_m=_MAX_DISTANCE_M / 1000,
                crs=crs[:60],
            )
        )
    if not here.all():
        note = _(
            "{name}: points far from this flight were left out ({count}).",
            name=path.name,
            count=int((~here).sum()),
        )
        notes.append(note)
    return np.where(here[:, None], xy, np.nan)


def _to_work(points: Floats, crs: str, work_crs: str) -> Floats:
    if describe_crs(crs).is_geographic:
        on_globe = (np.abs(points[:, 0]) <= 180.0) & (np.abs(points[:, 1]) <= 90.0)
        points = np.where(on_globe[:, None], points, np.nan)
    out = np.full(points.shape, np.nan)
    usable = np.isfinite(points).all(axis=1)
    if usable.any():
        lonlat = transform_points(points[usable], crs, "EPSG:4326")
        # UTM is not defined beyond 84° latitude.
        sane = np.isfinite(lonlat).all(axis=1) & (np.abs(lonlat[:, 1]) < 84.0)
        moved = np.full(lonlat.shape, np.nan)
        moved[sane] = to_work(lonlat[sane], work_crs)
        out[usable] = moved
    return out


def _distances(points: Floats, centres: Floats) -> Floats:
    distance = np.hypot(*np.moveaxis(points[:, None] - centres[None], -1, 0)).min(axis=1)
    return np.where(np.isfinite(distance), distance, np.inf)


def _heights(
    listed: Floats,
    xy: Floats,
    work_crs: str,
    datum: str,
    terrain: TerrainGrid | None,
    notes: list[Message],
    doubts: list[Message],
) -> tuple[Floats, float]:
    """Return heights in the flight's datum (NaN: not used) and their sigma.

    The datum is decided against the terrain.
    """
    usable = np.isfinite(listed) & np.isfinite(xy).all(axis=1)
    if not usable.any():
        notes.append(_("The control points have no heights; they fix the horizontal position only."))
        return np.full(listed.shape, np.nan), _SIGMA_Z_M
    if is_flat_datum(datum) or terrain is None or terrain.dem_id.startswith("flat:"):
        notes.append(
            _(
                "The heights of the control points are not used, because this flight has no terrain to "
                "compare their datum with; register one with 'flycam dem add'."
            )
        )
        return np.full(listed.shape, np.nan), _SIGMA_Z_M
    ground = interpolate_heights(terrain, xy)
    lonlat = to_lonlat(np.where(usable[:, None], xy, 0.0), work_crs)
    candidates = {}
    for name in (datum, *(d for d in ("ELLIPSOID", "EGM2008", "EGM96") if d != datum)):
        heights = np.full(listed.shape, np.nan)
        heights[usable] = convert_height(listed[usable], lonlat[usable], name, datum)
        off = float(np.nanmedian(heights - ground)) if np.isfinite(heights - ground).any() else np.nan
        candidates[name] = (heights, abs(off))
    # The flight's own datum unless another explains the heights clearly better.
    best = datum
    if not candidates[datum][1] <= _SAME_DATUM_M:
        best = min(candidates, key=lambda name: np.nan_to_num(candidates[name][1], nan=np.inf))
    heights, off = candidates[best]
    if not off <= _SAME_DATUM_M:
        doubts.append(
            _(
                "The heights of the control points are {off_m:.0f} m off the terrain in every datum tried "
                "and are not used; the points fix the horizontal position only.",
                off_m=off,
            )
        )
        return np.full(listed.shape, np.nan), _SIGMA_Z_M
    if best != datum:
        notes.append(
            _(
                "The heights of the control points fit the terrain as {fitting} heights, not as {stated}; "
                "they were converted.",
                fitting=best,
                stated=datum,
            )
        )
    above = float(np.nanmedian(heights - ground))
    if abs(above) > _WORTH_SAYING_M:
        doubts.append(_off_terrain(above, best, {name: off for name, (__, off) in candidates.items()}))
    return heights, _SIGMA_Z_M


def _off_terrain(above: float, datum: str, offs: Mapping[str, float]) -> Message:
    """Describe heights off the terrain, and whether another datum fits better.

    EGM96 and EGM2008 differ by a metre and more in these mountains.
    """
    values = {"off_m": abs(above), "datum": datum}
    nearest = min(offs, key=lambda name: np.nan_to_num(offs[name], nan=np.inf))
    if nearest != datum and offs[nearest] < _CLEARLY_NEARER * abs(above):
        values |= {"other": nearest, "other_off_m": offs[nearest]}
        if above > 0.0:
            return _(
                "The control points lie {off_m:.1f} m above the terrain model (median) and are taken as "
                "{datum} heights; as {other} heights they would lie {other_off_m:.1f} m from it: check the "
                "datum they were measured in.",
                **values,
            )
        return _(
            "The control points lie {off_m:.1f} m below the terrain model (median) and are taken as {datum} "
            "heights; as {other} heights they would lie {other_off_m:.1f} m from it: check the datum they "
            "were measured in.",
            **values,
        )
    if above > 0.0:
        return _(
            "The control points lie {off_m:.1f} m above the terrain model (median) and are taken as {datum} "
            "heights: check the datum they were measured in, unless the model is known to be off.",
            **values,
        )
    return _(
        "The control points lie {off_m:.1f} m below the terrain model (median) and are taken as {datum} "
        "heights: check the datum they were measured in, unless the model is known to be off.",
        **values,
    )


def format_names(names: set[str]) -> str:
    """Join the first three of some names."""
    listed = sorted(names)
    return ", ".join(listed[:3]) + (" …" if len(listed) > 3 else "")


# -- Plausibility of control against the flight's own positions and marks --------------------------
#
# Control is trusted to centimetres, so a list in another zone, a point under another's name or a map of
# another year would move a whole block unnoticed. The receiver's stated accuracy, and the marks themselves,
# reveal it.


_WARNING_SIGMAS = 3.0
# No receiver errs by so much while it states so little.
_IMPOSSIBLE_M, _IMPOSSIBLE_SIGMAS = 30.0, 20.0
_OFF_M, _OFF_PIXELS = 0.3, 4.0


def select_tied_points(points: Sequence[ControlPoint], tied: Sequence[bool]) -> tuple[ControlPoint, ...]:
    """Return points with their marks on tied frames; without those left unmarked."""
    kept = []
    for point in points:
        rows = [row for row, number in enumerate(point.frames) if tied[number]]
        if rows:
            tied_frames = tuple(point.frames[row] for row in rows)
            kept.append(replace(point, frames=tied_frames, uv_px=np.asarray(point.uv_px)[rows]))
    return tuple(kept)


def restrict_to_tied(
    name: str, settled: ResolvedControl, frames: Sequence[BlockFrame], tied: Sequence[bool]
) -> ResolvedControl:
    """Restrict control to its marks on tied frames; the same object if all are.

    An untied photo carries no information on a point. Notes name points that lose all marks.
    """
    loose = {number for point in settled.points for number in point.frames if not tied[number]}
    if not loose:
        return settled
    points = select_tied_points(settled.points, tied)
    lost = {point.name for point in settled.points} - {point.name for point in points}
    photos = format_names({frames[number].source_name for number in loose})
    note = _(
        "{name}: marks on photos that could not be tied to others were left out ({photos}).",
        name=name,
        photos=photos,
    )
    doubt = _(
        "{name}: control points marked only on photos that could not be tied to others hold nothing "
        "({count}: {points}): mark them on tied photos too.",
        name=name,
        count=len(lost),
        points=format_names(lost),
    )
    doubts = [doubt] if lost else []
    return replace(
        settled,
        points=points,
        notes=(*settled.notes, note, *doubts),
        doubts=(*settled.doubts, *doubts),
    )


def validate_control(
    name: str,
    settled: ResolvedControl,
    frames: Sequence[BlockFrame],
    adjustment: Adjustment,
    gsd_m: float,
) -> ResolvedControl:
    """Return control points as the adjusted block supports them, with doubts.

    None where their shift exceeds any receiver's error. name: of their list; frames: with their priors.
    """
    stated_m = np.median([frame.exterior.sigma_position_m[:2] for frame in frames], axis=0)
    usable, far = check_control_shift(name, np.array(adjustment.accuracy.shift_m[:2]), stated_m)
    off = describe_unfollowed_points(name, settled.points, adjustment, gsd_m) if usable else None
    doubts = [doubt for doubt in (far, off) if doubt]
    return replace(
        settled,
        points=settled.points if usable else (),
        notes=(*settled.notes, *doubts),
        doubts=(*settled.doubts, *doubts),
    )


def check_control_shift(
    name: str, shift_m: NDArray[np.float64], stated_m: NDArray[np.float64]
) -> tuple[bool, Message | None]:
    """Check whether control that moved the block is plausible; return a note, if any.

    shift_m: east, north from where receivers put it, stated ± stated_m.
    """
    distance, times = float(np.hypot(*shift_m)), float(np.hypot(*(shift_m / np.maximum(stated_m, 1e-3))))
    if times <= _WARNING_SIGMAS:
        return True, None
    values = {"name": name, "distance_m": distance, "times": times, "sigma_m": stated_m.max()}
    if distance > _IMPOSSIBLE_M and times > _IMPOSSIBLE_SIGMAS:
        return False, _(
            "{name}: the control points are {distance_m:.1f} m from where this flight's own "
            "positions put the block, {times:.1f} times what those are uncertain by (± "
            "{sigma_m:.1f} m): they are not used; check their coordinate system, its zone, "
            "and which point is which.",
            **values,
        )
    return True, _(
        "{name}: the control points are {distance_m:.1f} m from where this flight's own "
        "positions put the block, {times:.1f} times what those are uncertain by (± "
        "{sigma_m:.1f} m): the block was moved onto them; check the map at a place you know.",
        **values,
    )


def describe_unfollowed_points(
    name: str, points: Sequence[ControlPoint], adjustment: Adjustment, gsd_m: float
) -> Message | None:
    """Describe points whose marks disagree with their coordinates, if there are any.

    In plan alone for points without a height.
    """
    if adjustment.control_residual_m is None:
        return None
    off_m = np.where(np.isfinite([point.sigma_m for point in points]), adjustment.control_residual_m, 0.0)
    far_m = np.nan_to_num(np.linalg.norm(off_m, axis=1))
    chosen = [k for k in np.argsort(-far_m, kind="stable") if far_m[k] > max(_OFF_M, _OFF_PIXELS * gsd_m)]
    if not chosen:
        return None
    named = join(
        (_("{point}: {off_m:.1f} m", point=points[k].name, off_m=far_m[k]) for k in chosen[:3]), ", "
    )
    return _(
        "{name}: control points that are elsewhere than their marks: {count} of {all} ({points}); "
        "correct or remove them.",
        name=name,
        count=len(chosen),
        all=len(points),
        points=join([named, "…"]) if len(chosen) > 3 else named,
    )


def describe_refused_reference(name: str, tie: ReferenceTie) -> Message:
    """Describe a self-consistent reference with which the adjustment was refused."""
    return _(
        "{name}: windows in agreement: {agreed} of {found}, but this flight's ties, heights and cameras "
        "contradict that position: the block was not moved onto it; check the reference's place and its "
        "date.",
        name=name,
        agreed=tie.agreed,
        found=tie.found,
    )


def describe_reference_shift(name: str, shift_m: tuple[float, float], accuracy: Accuracy) -> Message | None:
    """Describe a reference farther off the block than its sigmas explain.

    Farther than either axis's sigma explains (the distance counts in sigmas of both axes).
    """
    sigma = np.array(accuracy.shift_sigma_m[:2])
    if not (np.isfinite(sigma).all() and (sigma > 0.0).all()):
        return None
    times = float(np.hypot(*(np.array(shift_m) / sigma)))
    if times <= _WARNING_SIGMAS:
        return None
    return _(
        "{name}: it is {distance_m:.1f} m from where this flight's own positions put the "
        "block, {times:.1f} times what those are uncertain by (± {sigma_m:.1f} m): the block "
        "was moved onto it; check the map at a place you know.",
        name=name,
        distance_m=np.hypot(*shift_m),
        times=times,
        sigma_m=sigma.max(),
    )


# -- Adjustment of a block with its control --------------------------------------------------------
#
# The block is adjusted with the control points, compared with the reference under the resulting poses, and
# adjusted again with control from the reference. Without either, the block keeps its GNSS position. A block
# tied to a reference is no more accurate than that.


_REFERENCE_KINDS = (ReferenceTie, ControlPoint, Message)
_SHIFT_SIGMAS = 4.0
# Offset between two maps without control beyond our own sigma.
_MAP_OFF_M = 6.0
_MAX_REACH_M = 25.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlledAdjustment:
    """An adjustment with its absolute control.

    notes: sentences for the report; doubts: those of them to be looked into; reference None: none given.
    """

    adjustment: Adjustment
    notes: Sequence[Message]
    points: int
    reference: ReferenceTie | None
    doubts: Sequence[Message] = ()

    @property
    def stats(self) -> dict[str, Any]:
        """JSON values for the revision's record."""
        tie = self.reference
        return {
            "said": [encode_message(one) for one in self.notes],
            "doubts": [encode_message(one) for one in self.doubts],
            "points": self.points if self.adjustment.accepted else 0,
            "reference": None
            if tie is None
            else {
                "used": bool(tie.control),
                "why": encode_message(tie.why),
                "windows": {"tried": tie.tried, "found": tie.found, "agreed": tie.agreed},
                "shift_m": list(tie.shift_m) if tie.control else None,
                "spread_m": tie.spread_m if tie.control else None,
            },
        }


def check_control(frames: Sequence[BlockFrame], reference: Path | None, gcp: Path | None) -> None:
    """Reject unusable control of these frames early, before hours of work.

    Raises what `open_reference` and `resolve_ground_control` raise.
    """
    if reference is not None:
        open_reference(reference, _centres(frames), frames[0].exterior.work_crs)
    if gcp is not None:
        resolve_ground_control(gcp, frames, None)


def adjust_with_control(
    run: FinishRun,
    ties: block.Ties,
    options: AdjustOptions,
    reference: Path | None,
    gcp: Path | None,
    reference_sigma_m: float | None = None,
) -> ControlledAdjustment:
    """Adjust the block of a run with its control, in the steps described above."""
    terrain = None if is_flat_datum(run.terrain.vertical_datum) else run.terrain
    settled = (
        ResolvedControl(points=(), notes=())
        if gcp is None
        else resolve_ground_control(gcp, run.frames, terrain)
    )
    if gcp is not None:
        counts = np.bincount(ties.frame, minlength=len(run.frames))
        settled = restrict_to_tied(gcp.name, settled, run.frames, (counts > 0).tolist())
    adjustment = run_adjustment(run, ties, options, settled.points)
    if gcp is not None and adjustment.accepted and settled.points:
        if (tied := restrict_to_tied(gcp.name, settled, run.frames, _tied(adjustment))) is not settled:
            settled, adjustment = tied, run_adjustment(run, ties, options, tied.points, name="adjust-tied")
        settled = validate_control(gcp.name, settled, run.frames, adjustment, run.flight.gsd_m)
        if not settled.points:
            adjustment = run_adjustment(run, ties, options, (), name="adjust-free")
        elif adjustment.accepted:
            adjustment = widen_shift(adjustment, settled.crs_sigma_m)
    doubts = list(settled.doubts)
    tie = None
    if reference is not None:
        tie, crs_sigma_m = _match_reference(run, adjustment, reference)
        if crs_sigma_m and tie.control:
            doubts.append(format_crs_accuracy(reference.name, crs_sigma_m))
        doubt: Message | None = tie.why
        if tie.control:
            doubt = describe_reference_shift(reference.name, tie.shift_m, adjustment.accuracy)
            control = (*settled.points, *select_tied_points(tie.control, _tied(adjustment)))
            again = run_adjustment(run, ties, options, control, name="adjust-reference")
            if again.accepted:
                hung = apply_reference_accuracy(again, tie.shift_m, adjustment.accuracy, reference_sigma_m)
                adjustment = widen_shift(hung, crs_sigma_m)
            else:
                doubt = describe_refused_reference(reference.name, tie)
                tie = replace(tie, control=(), why=doubt)
        if doubt:
            doubts.append(doubt)
    merged = (*settled.notes, *([] if tie is None else [tie.why]))
    merged = (*merged, *(one for one in doubts if one not in merged))
    return ControlledAdjustment(
        adjustment=adjustment, notes=merged, points=len(settled.points), reference=tie, doubts=tuple(doubts)
    )


def _tied(adjustment: Adjustment) -> list[bool]:
    """Return True for each frame held by ties; for all if the block is not adjusted."""
    return [not adjustment.accepted or frame.state is not FrameState.CARRIED for frame in adjustment.frames]


def widen_shift(adjustment: Adjustment, radial_m: float) -> Adjustment:
    """Return the adjustment with a larger horizontal shift sigma (1 sigma, radial)."""
    east_m, north_m, up_m = adjustment.accuracy.shift_sigma_m
    each_m = radial_m / math.sqrt(2.0)
    sigma_m = (math.hypot(east_m, each_m), math.hypot(north_m, each_m), up_m)
    return replace(adjustment, accuracy=replace(adjustment.accuracy, shift_sigma_m=sigma_m))


def apply_reference_accuracy(
    tied: Adjustment, shift_m: tuple[float, float], own: Accuracy, reference_sigma_m: float | None
) -> Adjustment:
    """Return a block tied to a reference with its shift sigma (1-sigma, east, north).

    It combines what the tie leaves open with the reference's own error. That error is bounded by what its
    maker states (`read_reference_sigma`, radial), and by the flight's own positions: their sigma, and the
    distance by which the two differ.

    own  of the block before it was moved by `shift_m` (east, north)
    """
    by_maker_m = math.nan if reference_sigma_m is None else reference_sigma_m / math.sqrt(2.0)
    by_flight_m = np.hypot(own.shift_sigma_m[:2], shift_m)
    east_m, north_m = np.hypot(tied.accuracy.shift_sigma_m[:2], np.fmin(by_flight_m, by_maker_m))
    sigma_m = (float(east_m), float(north_m), tied.accuracy.shift_sigma_m[2])
    return replace(tied, accuracy=replace(tied.accuracy, shift_sigma_m=sigma_m))


def _match_reference(run: FinishRun, adjustment: Adjustment, reference: Path) -> tuple[ReferenceTie, float]:
    """Match the block under the poses just found with the reference.

    Returns the tie, and the accuracy of the reference's CRS at this place.
    """
    frames = [
        replace(before, exterior=after.exterior, interior=adjustment.interiors[before.camera])
        for before, after in zip(run.frames, adjustment.frames, strict=True)
    ]
    headers = [
        replace(record.header, interior=frame.interior, exterior_prior=frame.exterior)
        for record, frame in zip(run.records, frames, strict=True)
    ]
    picture = open_reference(reference, _centres(frames), frames[0].exterior.work_crs)

    def patch(number: int, tiles: TileRange) -> OrthoPatch:
        frame = frames[number]
        pixels = _thin_to_gsd(
            run.originals.pixels(frame.frame_id), run.flight.gsd_m, compute_ground_pixel_m(tiles.z, 0)
        )
        return orthorectify_frame(headers[number], frame.exterior, pixels, run.terrain, tiles)

    with run.progress.stage("reference") as progress:
        tie = run.folder.load_or_make(
            "reference",
            _REFERENCE_KINDS,
            lambda: match_reference(
                picture,
                frames,
                patch,
                run.terrain,
                reach_m=_reach_m(adjustment.accuracy),
                progress=progress,
            ),
        )
    lonlat = to_lonlat(_centres(frames)[:1], frames[0].exterior.work_crs)[0]
    return tie, estimate_accuracy_m(picture.crs, lonlat)


def _reach_m(accuracy: Accuracy) -> float:
    sigma = np.nan_to_num(float(np.hypot(*accuracy.shift_sigma_m[:2])), nan=_MAP_OFF_M)
    return float(min(_SHIFT_SIGMAS * sigma + _MAP_OFF_M, _MAX_REACH_M))


def _thin_to_gsd(pixels: NDArray[np.uint8], gsd_m: float, wanted_m: float) -> NDArray[np.uint8]:
    """Downsample by a whole factor, averaging, while it stays as fine as wanted."""
    factor = int(wanted_m / gsd_m)
    if factor < 2:
        return pixels
    size = (pixels.shape[1] // factor, pixels.shape[0] // factor)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _centres(frames: Sequence[BlockFrame]) -> NDArray[np.float64]:
    return np.array([frame.exterior.projection_centre_m[:2] for frame in frames])
