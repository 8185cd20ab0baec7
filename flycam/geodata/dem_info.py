"""Inspection of a terrain file: bounds, spacing, datum, holes, and faults. Nothing is written.

Readable formats are defined by `raster_source`: GeoTIFF, SRTM HGT, VRT mosaics. Format page:
docs/formats/dem.md.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import RasterioError, RasterioIOError
from rasterio.windows import Window

from flycam.errors import CrsMissing, DatumUnknown, FlycamError, SourceUnreadable, TerrainMissing
from flycam.frame.flight import LOCAL_DATUM
from flycam.geodata.crs import CrsInfo, choose_work_crs, describe_crs, to_lonlat, to_work
from flycam.geodata.geoid import DATUMS
from flycam.geodata.raster_source import list_raster_files, open_raster
from flycam.messages import Message, _, ngettext

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
        holes, strange, lowest, highest = _scan(source, unit_m)
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
        bounds, spacing = _extent(source, crs)
        return DemInfo(
            dem_id=_content_id(list_raster_files(source, path), resolved, path),
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


def read_heights(source: rasterio.DatasetReader, window: Window, unit_m: float) -> NDArray[np.float32]:
    """Read heights in metres of a window; NaN where missing or impossible.

    Impossible is what no mountain has: below LOWEST_M or above HIGHEST_M.
    """
    return _read_checked(source, window, unit_m)[0]


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
                "{name}: does not say where it lies (no coordinate reference system): write "
                "it into the file, e.g. with gdal_edit -a_srs EPSG:32648",
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
                "{name}: heights that nobody knows the zero of compare with no aircraft's: flights are laid "
                "on a plane, as without terrain; once it is known, add it with --datum EGM96, EGM2008 or "
                "ELLIPSOID",
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


def _scan(source: rasterio.DatasetReader, unit_m: float) -> tuple[int, int, float, float]:
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
    return holes, strange, lowest, highest


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


def _extent(source: rasterio.DatasetReader, crs: CrsInfo) -> tuple[Bounds, float]:
    """Return bounds of the outer posts in degrees, and the narrower ground step.

    The step is at the middle, rounded to a millimetre.
    """
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
    return (float(west), float(south), float(east), float(north)), round(float(steps.min()), 3)


def _content_id(files: list[Path], datum: str, path: Path) -> str:
    digests = []
    try:
        for file in files:
            with file.open("rb") as stream:
                digests.append(hashlib.file_digest(stream, "sha256").digest())
    except OSError as error:
        raise SourceUnreadable(
            _("{name}: cannot be read to its end: copy it again", name=path.name)
        ) from error
    return hashlib.sha256(datum.encode() + b"".join(sorted(digests))).hexdigest()[:32]
