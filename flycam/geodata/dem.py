"""Terrain files: their inspection, the terrain grid of a flight, and hillshade.

The grid of a flight is made from registered files. It does not depend on the requested window: the post
spacing comes from the finest DEM alone and the posts lie on multiples of it (or are that DEM's own posts,
where it is already in the work CRS). So the same ground has the same heights when a flight is rebuilt later.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.errors import RasterioError, RasterioIOError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from flycam.errors import CrsMissing, DatumUnknown, FlycamError, SourceUnreadable, TerrainMissing
from flycam.geodata.crs import (
    WEB_MERCATOR,
    WGS84,
    CrsInfo,
    choose_work_crs,
    describe_crs,
    to_lonlat,
    to_work,
    transform_points,
)
from flycam.geodata.geoid import (
    DATUMS,
    convert_height,
    interpolate_bilinear,
    interpolate_cubic,
    take_at_posts,
)
from flycam.geodata.raster_source import list_raster_files, open_raster
from flycam.geometry.grid import (
    TILE_SIZE_PX,
    TileId,
    compute_grid_pixel_m,
    compute_ground_pixel_m,
    get_tile_bounds,
    mercator_to_lonlat,
)
from flycam.geometry.terrain import TerrainGrid
from flycam.messages import Message, _, ngettext
from flycam.model.flight import LOCAL_DATUM

# -- Inspection of a terrain file without writing: bounds, spacing, datum, holes, faults -----------
#
# Readable formats are defined by `raster_source`: GeoTIFF, SRTM HGT, VRT mosaics. Format page:
# docs/formats/dem.md.


Bounds = tuple[float, float, float, float]

LOWEST_M, HIGHEST_M = -500.0, 9000.0
_FEET = {
    "ft": 0.3048,
    "feet": 0.3048,
    "foot": 0.3048,
    "international foot": 0.3048,
    "us survey foot": 1200.0 / 3937.0,
    "us_survey_foot": 1200.0 / 3937.0,
    "ftus": 1200.0 / 3937.0,
    "us-ft": 1200.0 / 3937.0,
}
_NAMED_DATUMS = (
    (re.compile(r"^[NS]\d{2}[EW]\d{3}.*\.(hgt|zip)$", re.IGNORECASE), "EGM96", "SRTM tile name"),
    (re.compile(r"^(srtm|nasadem|astgtm|alpsmlc30)", re.IGNORECASE), "EGM96", "product name"),
    (re.compile(r"(copernicus_dsm|fabdem|cop-?dem)", re.IGNORECASE), "EGM2008", "product name"),
)
_DATUM_TAGS = ("VERTICAL_DATUM", "FLYCAM_VERTICAL_DATUM", "DATUM")
_STRIP_POSTS = 1 << 22


@dataclass(frozen=True, kw_only=True, slots=True)
class DemInfo:
    """One registered terrain file.

    dem_id          32 hex digits from the bytes of the file(s) and the datum: another datum, another DEM
    bounds_lonlat   (west, south, east, north) degrees of the outer posts
    crs             as the file states it (EPSG:n or WKT)
    datum           "EGM96", "EGM2008", "ELLIPSOID" or "LOCAL"; datum_source: who stated it
    unit_m          metres per unit of the file's heights (0.3048 where they are feet)
    post_spacing_m  the narrower of the two steps, metres on the ground at the middle
    hole_fraction   share of posts without a height, 0..1
    height_range_m  (lowest, highest)
    warnings        sentences for the user who adds it
    trouble         error that keeps its file from being read; None: none is known
    """

    dem_id: str
    path: Path
    bounds_lonlat: Bounds
    crs: str
    datum: str
    datum_source: str
    unit_m: float
    post_spacing_m: float
    hole_fraction: float
    height_range_m: tuple[float, float]
    warnings: tuple[Message, ...] = ()
    trouble: FlycamError | None = field(default=None, compare=False)

    def file(self) -> Path:
        """Return the path to read; raise `trouble`."""
        if self.trouble is not None:
            raise self.trouble.with_traceback(None)
        return self.path


def read_dem_info(path: Path, datum: str | None = None) -> DemInfo:
    """Inspect a terrain file; read all of it once, in strips, for holes and heights.

    `datum` is stated by the operator and overrides the file's. Raises SourceUnreadable (not a raster, an
    image), CrsMissing, DatumUnknown (datum stated nowhere), TerrainMissing (no post has a height).
    """
    path = Path(path)
    with open_dem(path) as source:
        crs = _crs_of(source, path)
        warnings: list[Message] = []
        resolved, datum_source = _datum_of(source, crs, path, datum, warnings)
        unit_m = _unit_of(source, crs, path, warnings)
        holes, strange, lowest, highest = 0, 0, np.inf, -np.inf
        rows = max(_STRIP_POSTS // source.width, 1)
        for top in range(0, source.height, rows):
            window = Window(0, top, source.width, min(rows, source.height - top))
            heights, odd = _read_checked(source, window, unit_m)
            known = heights[np.isfinite(heights)]
            holes += heights.size - known.size
            strange += odd
            if known.size:
                lowest, highest = min(lowest, float(known.min())), max(highest, float(known.max()))
        posts = source.width * source.height
        if holes == posts:
            raise TerrainMissing(_("{name}: no post has a height: take another terrain file", name=path.name))
        if strange:
            warnings.append(
                ngettext(
                    "{name}: {count} post holds heights no mountain has (outside {lowest_m:g} to "
                    "{highest_m:g} m) and counts as unknown: set the file's nodata value",
                    "{name}: {count} posts hold heights no mountain has (outside {lowest_m:g} to "
                    "{highest_m:g} m) and count as unknown: set the file's nodata value",
                    strange,
                    name=path.name,
                    lowest_m=LOWEST_M,
                    highest_m=HIGHEST_M,
                )
            )
        # bounds of the outer posts in degrees, and the narrower ground step at the middle, rounded to a
        # millimetre
        edge = np.linspace(0.0, 1.0, 21)
        cols, rows = edge * (source.width - 1), edge * (source.height - 1)
        from_post = get_post_affine(source)
        ring_c = np.concatenate([cols, cols, np.full(21, cols[0]), np.full(21, cols[-1])])
        ring_r = np.concatenate([np.full(21, rows[0]), np.full(21, rows[-1]), rows, rows])
        ring = apply_affine(from_post, np.stack([ring_c, ring_r], axis=-1))
        lonlat = to_lonlat(ring, crs.text)
        west, south = lonlat.min(axis=0)
        east, north = lonlat.max(axis=0)
        mid = np.array([[source.width / 2.0, source.height / 2.0]]) + np.array([[0, 0], [1, 0], [0, 1]])
        centre = to_lonlat(apply_affine(from_post, mid), crs.text)
        metres = to_work(centre, choose_work_crs(float(centre[0, 0]), float(centre[0, 1])))
        steps = np.hypot(*(metres[1:] - metres[0]).T)
        bounds, spacing = (float(west), float(south), float(east), float(north)), round(float(steps.min()), 3)
        files = list_raster_files(source, path)
        digests = []
        try:
            for file in files:
                with file.open("rb") as stream:
                    digests.append(hashlib.file_digest(stream, "sha256").digest())
        except OSError as error:
            raise SourceUnreadable(
                _("{name}: cannot be read to its end: copy it again", name=path.name)
            ) from error
        return DemInfo(
            dem_id=hashlib.sha256(resolved.encode() + b"".join(sorted(digests))).hexdigest()[:32],
            path=path.resolve(),
            bounds_lonlat=bounds,
            crs=crs.text,
            datum=resolved,
            datum_source=datum_source,
            unit_m=unit_m,
            post_spacing_m=spacing,
            hole_fraction=holes / posts,
            height_range_m=(lowest, highest),
            warnings=tuple(warnings),
        )


def read_dem_tags(path: Path) -> dict[str, str]:
    """Read a terrain file's tags, verbatim; raise SourceUnreadable."""
    with open_dem(path) as source:
        return dict(source.tags())


@contextmanager
def open_dem(path: Path) -> Iterator[rasterio.DatasetReader]:
    """Open a file as one band of heights; raise SourceUnreadable with the remedy."""
    try:
        source = open_raster(path)
    except RasterioError as error:
        if not path.exists():
            raise SourceUnreadable(_("{path}: there is no such file: check the path", path=path)) from error
        raise SourceUnreadable(
            _("{name}: cannot be read as a raster: give terrain as GeoTIFF, HGT or VRT", name=path.name)
        ) from error
    with source:
        if source.count == 0 or "complex" in source.dtypes[0]:
            raise SourceUnreadable(
                _("{name}: holds no band of heights: give terrain as GeoTIFF or HGT", name=path.name)
            )
        if source.count >= 3 and source.dtypes[0] == "uint8":
            raise SourceUnreadable(
                _(
                    "{name}: is a picture ({count} bands of bytes), not terrain: give heights",
                    name=path.name,
                    count=source.count,
                )
            )
        if source.width < 2 or source.height < 2:
            raise SourceUnreadable(
                _("{name}: has fewer than 2 by 2 posts: take another terrain file", name=path.name)
            )
        yield source


def get_post_affine(source: rasterio.DatasetReader) -> Affine:
    """Return the map from (column, row), posts at integers, to the file's CRS.

    The half-pixel shift is here only: GDAL returns the corner of the corner pixel for "area" and "point"
    files alike; posts are pixel centres.
    """
    t = source.transform
    return Affine(t.a, t.b, t.c + (t.a + t.b) / 2.0, t.d, t.e, t.f + (t.d + t.e) / 2.0)


def apply_affine(affine: Affine, xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Transform points (S×2) by an affine map."""
    x, y = xy[..., 0], xy[..., 1]
    columns = (affine.a * x + affine.b * y + affine.c, affine.d * x + affine.e * y + affine.f)
    return np.stack(columns, axis=-1)


def is_in_feet(dem_heights_m: NDArray[np.float64], other_heights_m: NDArray[np.float64]) -> bool:
    """Return True if heights read as metres are feet, judged by other heights.

    The other heights are of the same places (N each). Evidence: the median ratio is 3.28 within 8 %, over
    heights of at least 100 m. Otherwise False: lower ground is inconclusive, and the error there is small
    against the aircraft's own.
    """
    dem, other = np.asarray(dem_heights_m, dtype=np.float64), np.asarray(other_heights_m, dtype=np.float64)
    usable = np.isfinite(dem) & np.isfinite(other) & (other >= 100.0)
    if not usable.any():
        return False
    ratio = float(np.median(dem[usable] / other[usable]))
    return abs(ratio * 0.3048 - 1.0) <= 0.08


def _crs_of(source: rasterio.DatasetReader, path: Path) -> CrsInfo:
    if source.crs is None or (source.transform.is_identity and not source.gcps[0]):
        raise CrsMissing(
            _(
                "{name}: does not say where it is (no coordinate reference system): write it into the "
                "file, e.g. with gdal_edit -a_srs EPSG:32648",
                name=path.name,
            )
        )
    return describe_crs(source.crs.to_wkt())


def _datum_of(
    source: rasterio.DatasetReader,
    crs: CrsInfo,
    path: Path,
    requested_datum: str | None,
    warnings: list[Message],
) -> tuple[str, str]:
    if requested_datum is not None and requested_datum not in DATUMS:
        known = ", ".join(DATUMS)
        raise DatumUnknown(
            _(
                "{name}: datum {asked!r} is not known: use one of {known}",
                name=path.name,
                asked=requested_datum,
                known=known,
            )
        )
    stated, stated_by = _stated_datum(source, crs, path)
    if requested_datum is None:
        if stated is None:
            raise DatumUnknown(
                _(
                    "{name}: does not say above what its heights are: add --datum EGM96 "
                    "(SRTM), EGM2008 (Copernicus), ELLIPSOID or LOCAL",
                    name=path.name,
                )
            )
        return stated, stated_by
    if stated is not None and stated != requested_datum:
        warnings.append(
            _(
                "{name}: says {stated} ({stated_by}) but is used as {requested}, as you asked",
                name=path.name,
                stated=stated,
                stated_by=stated_by,
                requested=requested_datum,
            )
        )
    if requested_datum == LOCAL_DATUM:
        warnings.append(
            _(
                "{name}: heights of an unknown datum compare with no aircraft's: flights are "
                "placed on a plane, as without terrain; once it is known, add it with --datum "
                "EGM96, EGM2008 or ELLIPSOID",
                name=path.name,
            )
        )
    return requested_datum, "operator"


def _stated_datum(source: rasterio.DatasetReader, crs: CrsInfo, path: Path) -> tuple[str | None, str]:
    if crs.vertical_datum is not None:
        return crs.vertical_datum, "vertical CRS"
    tags = {key.upper(): value.strip().upper() for key, value in source.tags().items()}
    for key in _DATUM_TAGS:
        if tags.get(key) in DATUMS:
            return tags[key], f"tag {key}"
    for pattern, datum, why in _NAMED_DATUMS:
        if pattern.search(path.name):
            return datum, why
    return None, ""


def _unit_of(source: rasterio.DatasetReader, crs: CrsInfo, path: Path, warnings: list[Message]) -> float:
    word = (source.units[0] or "").strip().lower()
    unit_m = _FEET.get(word, 1.0)
    if not word and crs.vertical_unit_m is not None:
        unit_m = crs.vertical_unit_m
    if word in ("cm", "centimetre", "centimeter"):
        unit_m = 0.01
    if unit_m != 1.0:
        unit = word or f"{unit_m:g} m"
        warnings.append(
            _(
                "{name}: heights are in {unit} and are converted to metres",
                name=path.name,
                unit=unit,
            )
        )
    elif not word and crs.unit_m is not None and abs(crs.unit_m - 0.3048) < 1e-3:
        warnings.append(
            _(
                "{name}: the map unit is feet but the unit of the heights is not stated, metres are assumed: "
                "if they are feet, say so in the file, e.g. with gdal_edit -units ft",
                name=path.name,
            )
        )
    return unit_m


def _read_checked(
    source: rasterio.DatasetReader, window: Window, unit_m: float
) -> tuple[NDArray[np.float32], int]:
    try:
        band = source.read(1, window=window, masked=True)
    except RasterioIOError as error:
        name = Path(source.name).name
        raise SourceUnreadable(
            _("{name}: is damaged and cannot be read to its end: copy it again", name=name)
        ) from error
    scale, offset = float(source.scales[0]) * unit_m, float(source.offsets[0]) * unit_m
    heights = band.astype(np.float32).filled(np.nan) * np.float32(scale) + np.float32(offset)
    strange = (heights < LOWEST_M) | (heights > HIGHEST_M) | np.isinf(heights)
    heights[strange] = np.nan
    return heights, int(strange.sum())


# -- Terrain grid of a flight from registered terrain files ----------------------------------------


Floats = NDArray[np.float64]

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
    Posts without a height in any file are NaN. The id of the result is that
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
            # columns go east, rows north
            posts = (e, n)
            row, col = np.nonzero(np.isnan(part))
            xy = np.stack([posts[0][col], posts[1][row]], axis=-1)
            crs = lattice.crs if _same_plane(lattice.crs, work_crs) else work_crs
            found = _at_points(lattice, xy, crs, target_datum, smooth=True)
            part[row, col] = found
            contributed |= bool(np.isfinite(found).any())
        if contributed:
            used.extend(member.dem for member in lattice.members)
        if not np.isnan(heights).any():
            break
    if not used:
        raise _nothing_covers(dems, work_crs, bounds_work)
    ids = sorted({dem.dem_id for dem in used})
    return TerrainGrid(
        heights_m=heights,
        origin_m=(east, north),
        post_spacing_m=(step_e, step_s),
        work_crs=work_crs,
        vertical_datum=target_datum,
        dem_id=ids[0] if len(ids) == 1 else hashlib.sha256("\n".join(ids).encode()).hexdigest()[:32],
    )


def sample_heights(dems: Sequence[DemInfo], lonlat_deg: Floats) -> tuple[Floats, str]:
    """Sample ground heights (N, metres, NaN unknown) at WGS 84 degrees (N×2).

    Also returns their datum, that of the finest file nearby. Bilinear, finest file first.
    Raises TerrainMissing if no file has a height at any of the points; DatumUnknown, SourceUnreadable.
    """
    lonlat = np.asarray(lonlat_deg, dtype=np.float64).reshape(-1, 2)
    known_xy = lonlat[np.isfinite(lonlat).all(axis=1)]
    box = (*known_xy.min(axis=0), *known_xy.max(axis=0)) if len(known_xy) else (0.0, 0.0, 0.0, 0.0)
    lattices = _lattices([dem for dem in dems if _touches(dem, WGS84, box)])
    heights = np.full(len(lonlat), np.nan)
    target = lattices[0].datum if lattices else ""
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
    rounded = np.round(offsets[0])
    return (int(rounded[0]), int(rounded[1])) if np.abs(offsets - rounded).max() < 1e-3 else None


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
            # impossible is what no mountain has: below LOWEST_M or above HIGHEST_M
            read = _read_checked(source, window, m.dem.unit_m)[0]
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


# -- Hillshade of the registered terrain, rendered per tile: the offline base map ------------------


SUN_AZIMUTH_DEG = 315.0
SUN_ALTITUDE_DEG = 45.0
_FULL_RELIEF_ZOOM = 13
_SHADOW_RGB, _LIGHT_RGB = (70.0, 78.0, 84.0), (247.0, 246.0, 240.0)
_TONES, _ALPHAS = 51, 5
_FADE_PX = 32
"""Pixels over which shading fades out where known terrain ends: an edge of the data, not of a mountain."""
_GROUND_TONE = 0.89
"""The tone nearest the page's ground (`--ground` in web/src/style.css): shading fades to it, so that no edge
shows, however few opacities there are."""


def render_hillshade_tile(dems: Sequence[DemInfo], tile: TileId) -> NDArray[np.uint8] | None:
    """Render shaded relief of one tile, 256×256 indices of `make_palette`.

    0 where no terrain is known, None if nowhere. The finest file goes first and the next fills its holes.
    Below zoom 13 the relief is exaggerated, because averaging over wide pixels flattens slopes. Raises
    SourceUnreadable if a registered file is gone, `DemInfo.trouble` of one that is needed.
    """
    west, south, east, north = get_tile_bounds(tile)
    corners = mercator_to_lonlat(np.array([[west, south], [east, north]]))
    (lon0, lat0), (lon1, lat1) = corners.tolist()
    side = TILE_SIZE_PX + 2 * _FADE_PX
    heights = np.full((side, side), np.nan, dtype=np.float32)
    for dem in sorted(dems, key=lambda d: d.post_spacing_m):
        w, s, e, n = dem.bounds_lonlat
        if w <= lon1 and e >= lon0 and s <= lat1 and n >= lat0 and np.isnan(heights).any():
            found = _warped(dem, tile)
            np.copyto(heights, found, where=np.isnan(heights))
    inner = np.s_[_FADE_PX - 1 : 1 - _FADE_PX, _FADE_PX - 1 : 1 - _FADE_PX]
    if np.isnan(heights[inner][1:-1, 1:-1]).all():
        return None
    pixel_m = compute_ground_pixel_m(tile.z, (lat0 + lat1) / 2.0)
    exaggeration = 1.0 + 0.3 * max(_FULL_RELIEF_ZOOM - tile.z, 0)
    tone = compute_hillshade(heights[inner], pixel_m, exaggeration)
    share = _fade(np.isfinite(heights))[_FADE_PX:-_FADE_PX, _FADE_PX:-_FADE_PX]
    return _numbered(_GROUND_TONE + share * (tone - _GROUND_TONE), share)


def make_palette() -> NDArray[np.uint8]:
    """Make the palette of tiles, 256×4 RGBA: one byte a pixel where RGBA has four."""
    colours = np.zeros((256, 4), dtype=np.uint8)
    share = np.arange(_TONES)[:, None] / (_TONES - 1)
    tones = np.array(_SHADOW_RGB) + share * (np.array(_LIGHT_RGB) - np.array(_SHADOW_RGB))
    for level in range(_ALPHAS):
        start = 1 + level * _TONES
        colours[start : start + _TONES, :3] = np.round(tones)
        colours[start : start + _TONES, 3] = round(255 * (level + 1) / _ALPHAS)
    return colours


def _numbered(tone: NDArray[np.float64], alpha: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return palette indices of tones (NaN unknown) and opacities from 0 to 1."""
    level = np.ceil(alpha * _ALPHAS).astype(np.int16)
    number = 1 + (level - 1) * _TONES + np.rint(np.nan_to_num(tone) * (_TONES - 1)).astype(np.int16)
    return np.where(np.isfinite(tone) & (level > 0), number, 0).astype(np.uint8)


def _fade(known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the relief's opacity, rising over `_FADE_PX` from the edge of the known.

    Without a kink at either end.
    """
    if known.all():
        return np.ones(known.shape)
    away = cv2.distanceTransform(known.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    share = np.clip(away.astype(np.float64) / _FADE_PX, 0.0, 1.0)
    return np.asarray(share * share * (3.0 - 2.0 * share))


def compute_hillshade(
    heights_m: NDArray[np.float32], pixel_m: float, exaggeration: float = 1.0
) -> NDArray[np.float64]:
    """Shade (rows+2)×(cols+2) heights to rows×cols tones, 0 (dark) to 1; NaN unknown.

    The heights have one pixel of rim. Lambert's cosine of a sun in the north-west at 45° over slopes by
    Horn's 3×3 differences (Horn 1981, Proc. IEEE 69). `pixel_m` is the pixel's side on the ground.
    """
    # without heights beyond the edge it would not be shaded: fill the rim from its inner neighbours
    heights = heights_m.astype(np.float64)
    out = heights.copy()
    for rim, inner in ((np.s_[0], np.s_[1]), (np.s_[-1], np.s_[-2])):
        out[rim] = np.where(np.isnan(out[rim]), out[inner], out[rim])
        out[:, rim] = np.where(np.isnan(out[:, rim]), out[:, inner], out[:, rim])
    z = out * (exaggeration / (8.0 * pixel_m))
    up, middle, down = z[:-2], z[1:-1], z[2:]
    east = (up[:, 2:] + 2 * middle[:, 2:] + down[:, 2:]) - (up[:, :-2] + 2 * middle[:, :-2] + down[:, :-2])
    north = (up[:, :-2] + 2 * up[:, 1:-1] + up[:, 2:]) - (down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:])
    azimuth, altitude = math.radians(SUN_AZIMUTH_DEG), math.radians(SUN_ALTITUDE_DEG)
    sun_e = math.sin(azimuth) * math.cos(altitude)
    sun_n = math.cos(azimuth) * math.cos(altitude)
    light = (math.sin(altitude) - east * sun_e - north * sun_n) / np.sqrt(1.0 + east**2 + north**2)
    known = np.isfinite(light) & np.isfinite(heights_m[1:-1, 1:-1])
    return np.where(known, np.clip(light, 0.0, 1.0), np.nan)


def _warped(dem: DemInfo, tile: TileId) -> NDArray[np.float32]:
    """Read heights at the tile's pixels and `_FADE_PX` around, NaN unknown.

    GDAL keeps the memory bounded.
    """
    pixel = compute_grid_pixel_m(tile.z)
    west, __, __, north = get_tile_bounds(tile)
    size, rim = TILE_SIZE_PX + 2 * _FADE_PX, _FADE_PX * pixel
    finer = dem.post_spacing_m < compute_ground_pixel_m(
        tile.z, (dem.bounds_lonlat[1] + dem.bounds_lonlat[3]) / 2
    )
    try:
        with (
            open_raster(dem.file()) as source,
            WarpedVRT(
                source,
                crs=WEB_MERCATOR,
                transform=Affine(pixel, 0.0, west - rim, 0.0, -pixel, north + rim),
                width=size,
                height=size,
                resampling=Resampling.average if finer else Resampling.cubic_spline,
                dtype="float32",
                nodata=np.nan,
            ) as view,
        ):
            heights = view.read(1) * np.float32(dem.unit_m)
    except RasterioError as error:
        raise SourceUnreadable(
            _(
                "{name}: registered terrain can no longer be read: put the file back or add it again",
                name=dem.path.name,
            )
        ) from error
    heights[(heights < LOWEST_M) | (heights > HIGHEST_M)] = np.nan
    return np.asarray(heights, dtype=np.float32)
