"""Terrain grid of a flight from registered terrain files.

The grid does not depend on the requested window: the post spacing comes from the finest DEM alone and the
posts lie on multiples of it (or are that DEM's own posts, where it is already in the work CRS). So the same
ground has the same heights when a flight is rebuilt later.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window

from flycam.errors import TerrainMissing
from flycam.geodata.crs import WGS84, describe_crs, to_lonlat, transform_points
from flycam.geodata.dem_info import (
    DemInfo,
    apply_affine,
    get_post_affine,
    is_in_feet,
    open_dem,
    read_dem_info,
    read_heights,
)
from flycam.geodata.geoid import convert_height
from flycam.geodata.interpolation import interpolate_bilinear, interpolate_cubic, take_at_posts
from flycam.geometry.terrain import TerrainGrid
from flycam.messages import Message, _

__all__ = [
    "DemInfo",
    "compute_coverage_fraction",
    "is_in_feet",
    "load_terrain",
    "read_dem_info",
    "sample_heights",
]

Floats = NDArray[np.float64]
Bounds = tuple[float, float, float, float]

MAX_POSTS = 32_000_000
"""Largest grid returned (128 MB); a wider window gets its posts 2, 4, … times as far apart."""

_BLOCK_POSTS = 1 << 19
_METRES_PER_DEGREE = 111_000.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Member:
    """Place of a file on a lattice: its first column and row, and the number of each."""

    dem: DemInfo
    col: int
    row: int
    cols: int
    rows: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Lattice:
    """DEM files on one grid of posts: neighbours are joined before interpolation.

    from_post  from (column, row), posts at integers on the first file's posts, to the files' CRS
    """

    crs: str
    datum: str
    from_post: Affine
    members: tuple[_Member, ...]


def load_terrain(
    dems: Sequence[DemInfo], work_crs: str, bounds_work: Bounds, datum: str | None = None
) -> TerrainGrid:
    """Load terrain over (xmin, ymin, xmax, ymax) of `work_crs` from DEM files.

    The finest file decides the spacing and, unless `datum` is given, the vertical datum; where it has no
    height the next finest fills in (of equal spacing: the earlier in `dems`). A file already in `work_crs`,
    north up, keeps its own posts; others are interpolated by cubic convolution, bilinearly beside holes.
    Posts without a height in any file are NaN: see `compute_coverage_fraction`. The id of the result is that
    of the files it was made of.

    Raises TerrainMissing if no file has a height inside, DatumUnknown if datums cannot be reconciled,
    SourceUnreadable if a registered file is gone or damaged, `DemInfo.trouble` of one that is needed.
    """
    lattices = _lattices([dem for dem in dems if _touches(dem, work_crs, bounds_work)])
    if not lattices:
        raise _nothing_covers(dems, work_crs, bounds_work)
    target_datum = datum or lattices[0].datum
    east, north, step_e, step_s, rows, cols = _post_grid(lattices[0], work_crs, bounds_work)
    heights = np.full((rows, cols), np.nan, dtype=np.float32)
    used: list[DemInfo] = []
    coarsened = step_e * step_s / lattices[0].members[0].dem.post_spacing_m ** 2
    block = max(int(_BLOCK_POSTS / (cols * max(coarsened, 1.0))), 1)
    for lattice in lattices:
        contributed = False
        for top in range(0, rows, block):
            part = heights[top : top + block]
            if not np.isnan(part).any():
                continue
            e = east + step_e * np.arange(cols, dtype=np.float64)
            n = north - step_s * np.arange(top, top + len(part), dtype=np.float64)
            contributed |= _fill(part, (e, n), lattice, work_crs, target_datum)
        if contributed:
            used.extend(member.dem for member in lattice.members)
        if not np.isnan(heights).any():
            break
    if not used:
        raise _nothing_covers(dems, work_crs, bounds_work)
    return TerrainGrid(
        heights_m=heights,
        origin_m=(east, north),
        post_spacing_m=(step_e, step_s),
        work_crs=work_crs,
        vertical_datum=target_datum,
        dem_id=_joint_id(used),
    )


def compute_coverage_fraction(terrain: TerrainGrid) -> float:
    """Compute the share of the grid's posts whose height is known, 0..1."""
    return float(np.isfinite(terrain.heights_m).mean())


def sample_heights(
    dems: Sequence[DemInfo], lonlat_deg: Floats, datum: str | None = None
) -> tuple[Floats, str]:
    """Sample ground heights (N, metres, NaN unknown) at WGS 84 degrees (N×2).

    Also returns their datum. Bilinear, finest file first; `datum` None takes that of the finest file nearby.
    Raises TerrainMissing if no file has a height at any of the points; DatumUnknown, SourceUnreadable.
    """
    lonlat = np.asarray(lonlat_deg, dtype=np.float64).reshape(-1, 2)
    known_xy = lonlat[np.isfinite(lonlat).all(axis=1)]
    box = (*known_xy.min(axis=0), *known_xy.max(axis=0)) if len(known_xy) else (0.0, 0.0, 0.0, 0.0)
    lattices = _lattices([dem for dem in dems if _touches(dem, WGS84, box)])
    heights = np.full(len(lonlat), np.nan)
    target = datum or (lattices[0].datum if lattices else "")
    for lattice in lattices:
        missing = np.isnan(heights) & np.isfinite(lonlat).all(axis=1)
        heights[missing] = _at_points(lattice, lonlat[missing], WGS84, target, smooth=False)
    if not np.isfinite(heights).any():
        raise _nothing_covers(dems, WGS84, box)
    return heights, target


def _lattices(dems: Sequence[DemInfo]) -> list[_Lattice]:
    """Group files that share CRS, datum and posts; the finest first."""
    groups: list[_Lattice] = []
    for dem in sorted(dems, key=lambda d: d.post_spacing_m):
        with open_dem(dem.file()) as source:
            from_post = get_post_affine(source)
            member = _Member(dem=dem, col=0, row=0, cols=source.width, rows=source.height)
        for i, group in enumerate(groups):
            offset = _offset_on(group, dem, from_post)
            if offset is not None:
                placed = replace(member, col=offset[0], row=offset[1])
                groups[i] = replace(group, members=(*group.members, placed))
                break
        else:
            groups.append(_Lattice(crs=dem.crs, datum=dem.datum, from_post=from_post, members=(member,)))
    return groups


def _offset_on(group: _Lattice, dem: DemInfo, from_post: Affine) -> tuple[int, int] | None:
    """Return a file's (columns, rows) shift on the group's posts; None if off them."""
    if (dem.crs, dem.datum) != (group.crs, group.datum):
        return None
    corners = np.array([[0.0, 0.0], [10_000.0, 0.0], [0.0, 10_000.0]])
    offsets = apply_affine(~group.from_post, apply_affine(from_post, corners)) - corners
    whole = np.round(offsets[0])
    return (int(whole[0]), int(whole[1])) if np.abs(offsets - whole).max() < 1e-3 else None


def _post_grid(
    lattice: _Lattice, work_crs: str, bounds: Bounds
) -> tuple[float, float, float, float, int, int]:
    """Return (east, north of the first post, step east, step south, rows, columns)."""
    own = lattice.from_post
    north_up = own.b == 0 and own.d == 0 and own.a > 0 and own.e < 0
    if north_up and _same_plane(lattice.crs, work_crs):
        step_e, step_s, anchor_e, anchor_n = own.a, -own.e, own.c, own.f
    else:
        step_e = step_s = min(member.dem.post_spacing_m for member in lattice.members)
        anchor_e = anchor_n = 0.0
    xmin, ymin, xmax, ymax = bounds
    factor = 1
    while (xmax - xmin) / step_e * (ymax - ymin) / step_s > MAX_POSTS * factor * factor:
        factor *= 2
    step_e, step_s = step_e * factor, step_s * factor
    first_c, last_c = math.floor((xmin - anchor_e) / step_e), math.ceil((xmax - anchor_e) / step_e)
    first_r, last_r = math.floor((anchor_n - ymax) / step_s), math.ceil((anchor_n - ymin) / step_s)
    cols, rows = max(last_c - first_c, 1) + 1, max(last_r - first_r, 1) + 1
    return anchor_e + first_c * step_e, anchor_n - first_r * step_s, step_e, step_s, rows, cols


def _same_plane(dem_crs: str, work_crs: str) -> bool:
    if dem_crs == work_crs:
        return True
    return describe_crs(dem_crs).horizontal == describe_crs(work_crs).horizontal


def _fill(
    part: NDArray[np.float32], posts: tuple[Floats, Floats], lattice: _Lattice, work_crs: str, datum: str
) -> bool:
    """Write heights into the NaN posts of `part`; return True if any was known.

    Columns go east, rows north.
    """
    row, col = np.nonzero(np.isnan(part))
    xy = np.stack([posts[0][col], posts[1][row]], axis=-1)
    crs = lattice.crs if _same_plane(lattice.crs, work_crs) else work_crs
    found = _at_points(lattice, xy, crs, datum, smooth=True)
    part[row, col] = found
    return bool(np.isfinite(found).any())


def _at_points(lattice: _Lattice, xy: Floats, crs: str, datum: str, *, smooth: bool) -> Floats:
    """Return heights in `datum` at points (N×2) of `crs`; NaN where unknown.

    Points so far apart that the posts around them would not fit in memory are halved until they do.
    """
    position = apply_affine(~lattice.from_post, transform_points(xy, crs, lattice.crs))
    nearest = np.round(position)
    # on a post its own height counts, without neighbours that rounding would bring in
    position = np.where(np.abs(position - nearest) < 1e-6, nearest, position)
    heights = np.full(len(xy), np.nan)
    inside = np.isfinite(position).all(axis=1)
    if not inside.any():
        return heights
    heights[inside] = _interpolated(lattice, position[inside], smooth=smooth)
    known = np.isfinite(heights)
    if datum != lattice.datum and known.any():
        lonlat = to_lonlat(xy[known], crs)
        heights[known] = convert_height(heights[known], lonlat, lattice.datum, datum)
    return heights


def _interpolated(lattice: _Lattice, position: Floats, *, smooth: bool) -> Floats:
    low, extent = position.min(axis=0), np.ptp(position, axis=0)
    if np.prod(extent + 5.0) > MAX_POSTS and len(position) > 1:
        axis = int(np.argmax(extent))
        first = position[:, axis] < low[axis] + extent[axis] / 2.0
        heights = np.empty(len(position))
        heights[first] = _interpolated(lattice, position[first], smooth=smooth)
        heights[~first] = _interpolated(lattice, position[~first], smooth=smooth)
        return heights
    window, col0, row0 = _read_window(lattice, position)
    if window is None:
        return np.full(len(position), np.nan)
    row, col = position[:, 1] - row0, position[:, 0] - col0
    if np.array_equal(position, np.round(position)):
        return take_at_posts(window, row, col)
    return interpolate_cubic(window, row, col) if smooth else interpolate_bilinear(window, row, col)


def _read_window(lattice: _Lattice, position: Floats) -> tuple[NDArray[np.float32] | None, int, int]:
    """Read joined posts around positions with a rim of 2; and first column and row.

    position  N×2: column, row
    """
    members = lattice.members
    low = np.array([min(m.col for m in members), min(m.row for m in members)])
    high = np.array([max(m.col + m.cols for m in members), max(m.row + m.rows for m in members)])
    first = np.clip(np.floor(position.min(axis=0)) - 2, low, high).astype(int)
    stop = np.clip(np.ceil(position.max(axis=0)) + 3, low, high).astype(int)
    (c0, r0), (c1, r1) = first.tolist(), stop.tolist()
    if c1 - c0 < 2 or r1 - r0 < 2:
        return None, 0, 0
    joined = np.full((r1 - r0, c1 - c0), np.nan, dtype=np.float32)
    for m in members:
        left, right = max(c0, m.col), min(c1, m.col + m.cols)
        top, bottom = max(r0, m.row), min(r1, m.row + m.rows)
        if left >= right or top >= bottom:
            continue
        with open_dem(m.dem.file()) as source:
            window = Window(left - m.col, top - m.row, right - left, bottom - top)
            read = read_heights(source, window, m.dem.unit_m)
        place = joined[top - r0 : bottom - r0, left - c0 : right - c0]
        np.copyto(place, read, where=np.isnan(place))
    return joined, c0, r0


def _touches(dem: DemInfo, crs: str, bounds: Bounds) -> bool:
    """Return True if the file's posts, and three more around them, reach the bounds.

    The three matter where tiles only touch: ground between the outer posts of two needs them both.
    """
    west, south, east, north = _lonlat_box(bounds, crs)
    w, s, e, n = dem.bounds_lonlat
    lat_margin = 3.0 * dem.post_spacing_m / _METRES_PER_DEGREE
    lon_margin = lat_margin / max(math.cos(math.radians((s + n) / 2.0)), 0.01)
    return (
        w - lon_margin <= east
        and e + lon_margin >= west
        and s - lat_margin <= north
        and n + lat_margin >= south
    )


def _lonlat_box(bounds: Bounds, crs: str) -> Bounds:
    edge = np.linspace(0.0, 1.0, 9)
    x, y = bounds[0] + edge * (bounds[2] - bounds[0]), bounds[1] + edge * (bounds[3] - bounds[1])
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    lonlat = transform_points(grid, crs, WGS84)
    low, high = np.nanmin(lonlat, axis=0), np.nanmax(lonlat, axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _nothing_covers(dems: Sequence[DemInfo], crs: str, bounds: Bounds) -> TerrainMissing:
    flight = _format_box(_lonlat_box(bounds, crs))
    if not dems:
        return TerrainMissing(
            _(
                "no terrain is registered: the flight lies at {flight}: add a file with flycam dem add",
                flight=flight,
            )
        )
    return TerrainMissing(
        _(
            "{names}: has no height under the flight, which lies at {flight} (the first file "
            "covers {covered}): add terrain of that place with flycam dem add",
            names=", ".join(dem.path.name for dem in dems[:3]) + (" …" if len(dems) > 3 else ""),
            flight=flight,
            covered=_format_box(dems[0].bounds_lonlat),
        )
    )


def _format_box(lonlat: Bounds) -> Message:
    # points also in Vietnamese, to paste
    west, south, east, north = (f"{side:.4f}" for side in lonlat)
    return _("{west} to {east} E, {south} to {north} N", west=west, east=east, south=south, north=north)


def _joint_id(dems: Sequence[DemInfo]) -> str:
    ids = sorted({dem.dem_id for dem in dems})
    return ids[0] if len(ids) == 1 else hashlib.sha256("\n".join(ids).encode()).hexdigest()[:32]
