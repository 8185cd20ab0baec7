"""Raster files: Cloud-Optimized GeoTIFF, outlines and digests, reference rasters.

A COG with mask is written block by block, complete or not at all.

`transform` is GDAL's affine as six numbers (a, b, c, d, e, f) of pixel corners, not of pixel centres.
"""

from __future__ import annotations

import errno
import hashlib
import math
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np
import rasterio
import rasterio.shutil
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.enums import MaskFlags, Resampling
from rasterio.errors import RasterioError
from rasterio.features import shapes
from rasterio.windows import Window
from shapely.geometry.base import BaseGeometry

from flycam.errors import CrsMissing, DiskFull, SourceUnreadable, StorageFailed
from flycam.geodata.crs import describe_crs, make_point_transform, parse_crs
from flycam.geodata.raster_source import is_mosaic, list_raster_files, open_raster
from flycam.geometry.grid import Bounds, TileRange, get_range_bounds, mercator_to_lonlat
from flycam.messages import _
from flycam.model.time import EARLIEST_NS, LATEST_NS, parse_timestamp
from flycam.storage.files import move_into_place

BLOCK_PX = 512
_FREE_MARGIN_BYTES = 1 << 20
_WRITE_ERRORS = (RasterioError, CPLE_BaseError, OSError)
"""GDAL's own error escapes rasterio's when a file is closed on a full disk."""

_ENV = {"GDAL_TIFF_INTERNAL_MASK": True, "GDAL_CACHEMAX": 64, "GDAL_NUM_THREADS": 1}


@dataclass(frozen=True, kw_only=True, slots=True)
class BandDescription:
    """Description of a band, as other programs list it.

    holds  its contents
    unit   "metre", "hour", "1" for a plain number; none: that of the heights, where the CRS has heights
    """

    holds: str
    unit: str = ""


class CogWriter:
    """Windowed writer of a large COG; the file appears only when it is complete.

    Use as a context manager: leaving it normally finishes the COG (overviews by averaging, mask inside),
    leaving it by an exception removes every trace. Memory stays at a few blocks whatever the size.
    """

    def __init__(
        self,
        path: Path,
        *,
        shape_px: tuple[int, int],
        transform: Sequence[float],
        crs: str,
        bands: int | Sequence[BandDescription] = 3,
        dtype: str = "uint8",
        tags: Mapping[str, str] | None = None,
        overview_resampling: str = "AVERAGE",
    ) -> None:
        """Open for `shape_px` = (rows, cols).

        bands  their number, or a description of each

        Raises CrsMissing for an unknown `crs`, StorageFailed or DiskFull if the folder cannot be written.
        """
        named = () if isinstance(bands, int) else tuple(bands)
        count = bands if isinstance(bands, int) else len(named)
        self.path = Path(path)
        self._overviews = overview_resampling
        token = uuid.uuid4().hex[:8]
        # GDAL's COG driver only copies a whole raster, so windows go to a scratch file first
        self._scratch = self.path.with_name(f".{self.path.name}.{token}.scratch.tif")
        self._partial = self.path.with_name(f".{self.path.name}.{token}.part")
        profile = {
            "driver": "GTiff",
            "height": shape_px[0],
            "width": shape_px[1],
            "count": count,
            "dtype": dtype,
            "crs": CRS.from_wkt(parse_crs(crs).to_wkt("WKT1_GDAL")),
            "transform": Affine(*transform[:6]),
            "tiled": True,
            "blockxsize": BLOCK_PX,
            "blockysize": BLOCK_PX,
            "compress": "ZSTD",
            "zstd_level": 1,
            "bigtiff": "IF_SAFER",
            "sparse_ok": True,
            **({"photometric": "RGB"} if count == 3 and dtype == "uint8" else {}),
        }
        try:
            with rasterio.Env(**_ENV):
                self._target = rasterio.open(self._scratch, "w", **profile)
                self._target.update_tags(**(tags or {}))
                for number, band in enumerate(named, start=1):
                    self._target.set_band_description(number, band.holds)
                    self._target.set_band_unit(number, band.unit)
        except _WRITE_ERRORS as error:
            self._leave()
            raise _trouble(self.path, error) from error

    def write(self, row: int, col: int, pixels: NDArray[np.generic], mask: NDArray[np.generic]) -> None:
        """Write rows×cols×bands pixels at (row, col).

        mask  rows×cols, nonzero where there is data

        Windows on multiples of BLOCK_PX are written once; others make the scratch file rewrite blocks.
        """
        window = Window(col, row, pixels.shape[1], pixels.shape[0])
        try:
            with rasterio.Env(**_ENV):
                self._target.write(np.moveaxis(pixels, -1, 0), window=window)
                self._target.write_mask((np.asarray(mask) != 0).astype(np.uint8) * 255, window=window)
        except _WRITE_ERRORS as error:
            raise _trouble(self.path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with rasterio.Env(**_ENV):
                self._target.close()
                if kind is None:
                    self._finish()
        except _WRITE_ERRORS as trouble:
            raise _trouble(self.path, trouble) from trouble
        finally:
            self._leave()

    def _finish(self) -> None:
        rasterio.shutil.copy(
            self._scratch,
            self._partial,
            driver="COG",
            compress="DEFLATE",
            predictor="YES",
            blocksize=BLOCK_PX,
            overview_resampling=self._overviews,
            bigtiff="IF_SAFER",
            num_threads="ALL_CPUS",
        )
        _check_last_block(self._partial)
        move_into_place(self._partial, self.path)

    def _leave(self) -> None:
        for leftover in (self._scratch, self._partial):
            for file in (leftover, leftover.with_name(leftover.name + ".aux.xml")):
                # on a read-only disk the first error is the one to report
                with suppress(OSError):
                    file.unlink()


def write_cog(
    path: Path,
    rgb: NDArray[np.generic],
    mask: NDArray[np.generic],
    transform: Sequence[float],
    crs: str,
    *,
    tags: Mapping[str, str] | None = None,
    bands: Sequence[BandDescription] = (),
) -> None:
    """Write rows×cols×bands pixels and a mask as a COG, complete or not at all.

    mask   rows×cols, nonzero = data
    bands  descriptions, if the file is to state them

    Raises CrsMissing, DiskFull, StorageFailed.
    """
    rows, cols, count = rgb.shape
    with CogWriter(
        path,
        shape_px=(rows, cols),
        transform=transform,
        crs=crs,
        bands=bands or count,
        dtype=str(rgb.dtype),
        tags=tags,
    ) as writer:
        for top in range(0, rows, BLOCK_PX):
            writer.write(top, 0, rgb[top : top + BLOCK_PX], mask[top : top + BLOCK_PX])


def _check_last_block(path: Path) -> None:
    """Read the last block of a COG, which is at full resolution.

    If it is there, the disk did not fill.
    """
    with open_raster(path) as written:
        row, col = ((n - 1) // BLOCK_PX * BLOCK_PX for n in written.shape)
        window = Window(col, row, written.width - col, written.height - row)
        written.read(window=window)
        written.read_masks(1, window=window)


def _trouble(path: Path, error: Exception) -> StorageFailed:
    full = "No space left" in str(error) or getattr(error, "errno", None) == errno.ENOSPC
    try:
        disk = shutil.disk_usage(path.parent)
        full = full or (disk.total > 0 and disk.free < _FREE_MARGIN_BYTES)  # /proc and the like have no size
    except OSError:
        return StorageFailed(
            _("{path}: the folder cannot be written: check that it exists and is yours", path=path)
        )
    if full:
        return DiskFull(
            _(
                "{path}: no space left on the disk: free some and run again; nothing was left behind",
                path=path,
            )
        )
    return StorageFailed(
        _("{path}: cannot be written there; choose another folder, one that is yours", path=path)
    )


# -- Plain GeoTIFF of arrays: terrain, truth and other rasters that are no images ------------------
#
# Images are written by `CogWriter`: in windows, with mask and overviews, complete or not at all. A terrain
# model has a nodata value, no mask, must not be averaged into overviews, and is small: it is written at once.


_TILE_PX = 256


def write_geotiff(
    path: Path,
    bands: NDArray[np.generic],
    transform: Sequence[float],
    crs: str,
    *,
    nodata: float | None = None,
    tags: Mapping[str, str] | None = None,
    names: Sequence[str] = (),
) -> None:
    """Write an array as a tiled, losslessly compressed GeoTIFF.

    bands      rows×columns or rows×columns×N values
    transform  (a, b, c, d, e, f) from pixel corners (column, row) to CRS coordinates
    names      band descriptions
    Raises OSError where the file cannot be written.
    """
    cube = bands[..., None] if bands.ndim == 2 else bands
    rows, cols, count = cube.shape
    floating = np.issubdtype(cube.dtype, np.floating)
    profile = {
        "driver": "GTiff",
        "height": rows,
        "width": cols,
        "count": count,
        "dtype": cube.dtype.name,
        "crs": crs,
        "transform": Affine(*transform),
        "nodata": nodata,
        "compress": "deflate",
        "zlevel": 1,
        "predictor": 3 if floating else 2,
        "num_threads": "all_cpus",
        "interleave": "pixel" if count == 3 else "band",
    }
    if min(rows, cols) >= _TILE_PX:
        profile |= {"tiled": True, "blockxsize": _TILE_PX, "blockysize": _TILE_PX}
    with rasterio.open(path, "w", **profile) as target:
        target.update_tags(**dict(tags or {}))
        for number in range(count):
            target.write(cube[..., number], number + 1)
        for number, name in enumerate(names):
            target.set_band_description(number + 1, name)


# -- Outlines of a mask, along the edges of its pixels ---------------------------------------------


def trace_mask_polygons(mask: NDArray[np.bool_], west: float, north: float, pixel_m: float) -> BaseGeometry:
    """Trace a mask (rows×columns, row 0 northernmost) as polygons with holes.

    Empty without a pixel.

    west, north  outer corner of the first pixel; pixel_m its side, all in the same unit
    """
    found = shapes(
        mask.astype(np.uint8), mask=mask, transform=Affine(pixel_m, 0.0, west, 0.0, -pixel_m, north)
    )
    return shapely.union_all([shapely.geometry.shape(outline) for outline, __ in found])


def trace_cell_rings(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Trace closed rings (column, row) around connected cells: exterior, then holes.

    Counted from the outer corner of the first cell, in cells. Cells that meet at a corner alone are
    connected; a ring touches itself there. Raises ValueError unless the mask holds exactly one patch.
    """
    found = list(shapes(mask.astype(np.uint8), mask=mask, connectivity=8))
    if len(found) != 1:
        raise ValueError(f"a mask of one patch, not of {len(found)}")
    return [np.array(ring, dtype=np.float64) for ring in found[0][0]["coordinates"]]


# -- Digest of a raster file's contents, independent of its path and name --------------------------


def compute_raster_digest(path: Path) -> str:
    """Compute the SHA-256 (hex) of a raster file's bytes.

    For a virtual raster (VRT), whose own bytes only name others, of those too. Files that programs put beside
    it (statistics, overviews) change nothing.

    Raises SourceUnreadable.
    """
    try:
        with open_raster(path) as source:
            parts = list_raster_files(source, path) if is_mosaic(path) else [path]
        digest = hashlib.sha256()
        for part in parts:
            with part.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    except (RasterioError, OSError) as error:
        raise SourceUnreadable(
            _("{name}: cannot be read to its end: copy it again", name=path.name)
        ) from error
    return digest.hexdigest()


# -- Reference raster resampled to another grid, window by window ----------------------------------
#
# It is a map, another program's orthomosaic or a satellite scene; its collar, ground that was never imaged,
# is left out. Coordinates go through `crs` (named datum transformations, VN-2000 included), never through
# the raster library's own choice.


# -- Collar of an image: ground never imaged, in a file without nodata value or mask ---------------
#
# Many programs fill the triangles around a rotated mosaic, and the holes in it, with black or white and write
# neither a nodata value nor an alpha band. Exactly black or exactly white, connected to the edge of the
# raster, is such a collar. Inside the image it is a hole where it is larger than a roof; a smaller patch (a
# shadow, a roof) is ground. Lossy compression (JPEG) leaves both exact except for the blocks that ground
# shares with them: pixels nearly of their colour there go with them.


Mask = NDArray[np.bool_]

# up to this size a cell is a pixel; above, memory is the limit
_MAX_CELLS = 16_000_000
_AT_ONCE_PX = 8_000_000
# a hole is at least as large (the size from which a cloud counts, decision 0036), and somewhere as wide both
# ways without a pixel of another colour: roofs are smaller, and nothing else as large is of one value
_MIN_HOLE_M2, _MIN_HOLE_WIDTH_M = 400.0, 10.0
# of 255: a larger difference is no ringing that looks black; a block of JPEG is 8 pixels, of its colour 16
_NEARLY, _WORN_PX = 8, 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Collar:
    """Cells of ground that was never imaged: rows×columns bool of `side_px` pixels.

    hole_share  share of the image, 0 to 1, of cells that are not connected to the rim
    """

    cells: Mask
    side_px: int
    hole_share: float = 0.0

    @property
    def rim_share(self) -> float:
        """Share of the image, 0 to 1, of cells connected to its rim."""
        return float(self.cells.mean()) - self.hole_share

    def touches(self, window: Window, step: int) -> Mask:
        """Return which step×step squares of source pixels in a window hold any collar.

        The squares fill the window.
        """
        (top, bottom), (left, right) = (
            self._spans(offset, length // step, step, most)
            for offset, length, most in (
                (window.row_off, window.height, self.cells.shape[0]),
                (window.col_off, window.width, self.cells.shape[1]),
            )
        )
        part = self.cells[top[0] : bottom[-1], left[0] : right[-1]]
        sums = cv2.integral(part.astype(np.uint8), sdepth=cv2.CV_32S)
        first, last = (top - top[0], left - left[0]), (bottom - top[0], right - left[0])
        count = sums[np.ix_(*last)] - sums[np.ix_(first[0], last[1])]
        count += sums[np.ix_(*first)] - sums[np.ix_(last[0], first[1])]
        return np.asarray(count > 0)

    def _spans(
        self, offset: int, count: int, step: int, most: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the first cells, and those after the last, of `count` squares in a row.

        There are `most` cells.
        """
        first = offset + step * np.arange(count, dtype=np.int64)
        return first // self.side_px, np.minimum((first + step - 1) // self.side_px + 1, most)


def find_collar(source: rasterio.DatasetReader, bands: list[int], pixel_m: float) -> Collar | None:
    """Find the collar of an open image and the holes in it; None without either.

    For images of unsigned integers; None also if the file has a mask.

    bands  those that make its colour; pixel_m  side of a pixel on the ground. Reads the image once.
    In images above 16 million pixels a cell that holds both collar and ground counts as collar.
    Raises rasterio.errors.RasterioError where the file is damaged.
    """
    silent = all(source.mask_flag_enums[band - 1] == [MaskFlags.all_valid] for band in bands)
    dtype = np.dtype(source.dtypes[0])
    if not silent or dtype.kind != "u":
        return None
    side = max(1, math.ceil(math.sqrt(source.width * source.height / _MAX_CELLS)))
    cells = np.zeros((-(-source.height // side), -(-source.width // side)), np.bool_)
    holes = np.zeros_like(cells)
    for some, full, nearly in _filled_cells(source, bands, (0, int(np.iinfo(dtype).max)), side):
        if not full.any():
            continue
        cell_m = side * pixel_m
        count, label = cv2.connectedComponents(full.astype(np.uint8), connectivity=4)
        at_rim = np.zeros(count, np.bool_)
        for edge in (label[0], label[-1], label[:, 0], label[:, -1]):
            at_rim[edge] = True
        is_large = np.bincount(label.ravel(), minlength=count) * cell_m**2 >= _MIN_HOLE_M2
        wide = np.ones((max(math.ceil(_MIN_HOLE_WIDTH_M / cell_m), 1),) * 2, np.uint8)
        is_wide = np.zeros(count, np.bool_)
        is_wide[label[cv2.erode(full.astype(np.uint8), wide).astype(np.bool_)]] = True
        is_hole = is_large & is_wide & ~at_rim
        at_rim[0] = is_hole[0] = False  # label 0 is of another colour
        rim, hole = at_rim[label], is_hole[label]
        cells |= _with_worn(_spread(rim, some), nearly, _WORN_PX / side)
        holes |= _with_worn(_spread(hole, some), nearly, _WORN_PX / side)
    holes &= ~cells
    cells |= holes
    return Collar(cells=cells, side_px=side, hole_share=float(holes.mean())) if cells.any() else None


def _filled_cells(
    source: rasterio.DatasetReader, bands: list[int], fills: Sequence[int], side: int
) -> list[tuple[Mask, Mask, Mask]]:
    """Return the cells in which some, all, and nearly some pixels have each colour.

    Nearly only for 8 bits, else exactly; the last cells may be cut.
    """
    rows, cols = -(-source.height // side), -(-source.width // side)
    found = [tuple(np.zeros((rows, cols), np.bool_) for __ in range(3)) for __ in fills]
    within = _NEARLY if np.dtype(source.dtypes[0]) == np.uint8 else 0
    strip = max(1, _AT_ONCE_PX // (source.width * side))
    for top in range(0, rows, strip):
        stop = min(top + strip, rows)
        height = min(stop * side, source.height) - top * side
        pixels = source.read(bands, window=Window(0, top * side, source.width, height))
        for fill, (some, full, nearly) in zip(fills, found, strict=True):
            filled = (pixels == fill).all(axis=0)
            close = (pixels <= within if fill == 0 else pixels >= fill - within).all(axis=0)
            nearly[top:stop] = _by_cell(close, (stop - top, cols), side, np.False_).any(axis=(1, 3))
            some[top:stop] = _by_cell(filled, (stop - top, cols), side, np.False_).any(axis=(1, 3))
            full[top:stop] = _by_cell(filled, (stop - top, cols), side, np.True_).all(axis=(1, 3))
    return [(some, full, nearly) for some, full, nearly in found]


def _by_cell(filled: Mask, cells: tuple[int, int], side: int, beyond: np.bool_) -> Mask:
    """Reshape to rows×side×columns×side; the missing part of a cut cell is `beyond`."""
    padded = np.full((cells[0] * side, cells[1] * side), beyond)
    padded[: filled.shape[0], : filled.shape[1]] = filled
    return padded.reshape(cells[0], side, cells[1], side)


def _spread(joined: Mask, some: Mask) -> Mask:
    """Extend whole cells to their continuation in the next cell."""
    return np.asarray(cv2.dilate(joined.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & some)


def _with_worn(joined: Mask, nearly: Mask, reach: float) -> Mask:
    """Extend cells of one colour by what compression changed around them.

    That is cells nearly of that colour, no farther off than `reach` cells.
    """
    around = np.ones((2 * math.ceil(reach) + 1,) * 2, np.uint8)
    return np.asarray(joined | (cv2.dilate(joined.astype(np.uint8), around).astype(np.bool_) & nearly))


# -- Reference raster, read on another grid --------------------------------------------------------


Floats = NDArray[np.float64]

RASTER_SUFFIXES = frozenset({".tif", ".tiff", ".vrt", ".jp2", ".png", ".jpg", ".jpeg"})
"""Suffixes of names of images, which no flight has."""

EXERCISE_TAG = "FLYCAM_DRILL"
"""Tag of a GeoTIFF that shows an exercise, nothing real."""

CAPTURED_TAG = "FLYCAM_CAPTURED"
"""Tag of a GeoTIFF with the times of its first and last photo."""

_LATTICE_PX = 32
_MARGIN_PX = 2
_DEGREE_M = 111_195.0  # of a sphere of 6,371 km


@dataclass(frozen=True, kw_only=True, slots=True)
class WarpedWindow:
    """A window of an image on another grid: rgb H×W×3 uint8, valid H×W bool."""

    rgb: NDArray[np.uint8]
    valid: NDArray[np.bool_]


class ReferenceRaster:
    """A georeferenced image of one (grey) or three and more bands.

    Opened once, read by window.

    gsd_m     its pixel on the ground, bounds_lonlat (west, south, east, north)
    collar    its rim and holes that were never imaged, where the file itself does not mark them (`Collar`)
    is_drill  the file is marked as one of an exercise (`EXERCISE_TAG`, as exports of exercises are)
    taken_ns  UTC, when the file states that it was taken, or else made; None: neither

    Raises SourceUnreadable, CrsMissing.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        try:
            with open_raster(self.path) as source:
                if source.crs is None or source.transform.is_identity:
                    raise CrsMissing(
                        _(
                            "{name}: does not say where it is (no coordinate reference system): write it "
                            "into the file, e.g. with gdal_edit -a_srs EPSG:32648",
                            name=self.path.name,
                        )
                    )
                self.crs = describe_crs(source.crs.to_wkt()).text
                self._size = (source.width, source.height)
                self._to_pixel: Affine = ~source.transform
                self._bands = [1, 2, 3] if source.count >= 3 else [1]
                self._stretch = _stretch_of(source, self._bands)
                self.is_drill = EXERCISE_TAG in source.tags()
                # the last photo of an export; a satellite product's acquisition time (UTC); else the date
                # of the TIFF itself, which has no zone and is taken for Vietnam's; None where that clock
                # was never set
                captured = source.tags().get(CAPTURED_TAG, "").rpartition(" - ")[2].removesuffix(" UTC+7")
                acquired = source.tags(ns="IMAGERY").get("ACQUISITIONDATETIME", "")
                dated = source.tags().get("TIFFTAG_DATETIME", "").replace(":", "-", 2)
                taken = parse_timestamp(captured or (f"{acquired}Z" if acquired else dated))
                self.taken_ns = taken if taken is not None and EARLIEST_NS <= taken <= LATEST_NS else None
                rim = _rim(source.transform, *self._size)
        except RasterioError as error:
            raise SourceUnreadable(
                _(
                    "{name}: cannot be read as a georeferenced picture: copy it again, or give a GeoTIFF",
                    name=self.path.name,
                )
            ) from error
        self._from_lonlat: Callable[[Floats], Floats] = make_point_transform("EPSG:4326", self.crs)
        lonlat = make_point_transform(self.crs, "EPSG:4326")(rim)
        (west, south), (east, north) = lonlat.min(axis=0), lonlat.max(axis=0)
        self.bounds_lonlat = (float(west), float(south), float(east), float(north))
        across = np.radians(east - west) * 6_371_000.0 * np.cos(np.radians((south + north) / 2.0))
        self.gsd_m = float(across) / self._size[0]
        # `pixel_m` on a sphere, in any zone; infinite if it is nowhere on earth
        (a, b), (c, d) = self._middle_pixel("EPSG:4326")
        across = math.cos(math.radians(self.bounds_lonlat[1] + self.bounds_lonlat[3]) / 2.0)
        side_m = _DEGREE_M * math.sqrt(abs(a * d - b * c) * abs(across))
        self.collar = _collar_of(self.path, self._bands, side_m if math.isfinite(side_m) else math.inf)

    def warp_to_tiles(self, tiles: TileRange) -> WarpedWindow:
        """Warp the image to a range of tiles; valid False beside it and without data.

        Raises SourceUnreadable where the file is damaged or truncated.
        """
        return self._warp(
            get_range_bounds(tiles), tiles.shape_px, lambda xy: self._from_lonlat(mercator_to_lonlat(xy))
        )

    def warp_to_bounds(self, bounds: Bounds, shape: tuple[int, int], crs: str) -> WarpedWindow:
        """Warp the image to (west, south, east, north) of a CRS, in (rows, columns).

        Raises as `warp_to_tiles`, and CrsMissing.
        """
        return self._warp(bounds, shape, make_point_transform(crs, self.crs))

    def pixel_m(self, crs: str) -> float:
        """Return the side of its middle pixel in metres of a projected CRS.

        Of a square of equal area. Raises CrsMissing.
        """
        (a, b), (c, d) = self._middle_pixel(crs)
        # nine digits: the rest is rounding of its coordinates
        return float(f"{np.sqrt(abs(a * d - b * c)):.9g}")

    def _middle_pixel(self, crs: str) -> Floats:
        """Return the middle pixel's sides to the next column and row, in a CRS: 2×2."""
        middle = np.array(self._size) / 2.0
        corners = middle + np.array([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)])
        there = ~self._to_pixel
        at = make_point_transform(self.crs, crs)(
            np.stack(_apply(there, corners[:, 0], corners[:, 1]), axis=-1)
        )
        return np.asarray(at[1:] - at[0], np.float64)

    def _warp(
        self, bounds: Bounds, shape: tuple[int, int], to_source: Callable[[Floats], Floats]
    ) -> WarpedWindow:
        columns, rows = self._source_pixels(bounds, shape, to_source)
        left, right = int(np.floor(columns.min())) - _MARGIN_PX, int(np.ceil(columns.max())) + _MARGIN_PX + 1
        top, bottom = int(np.floor(rows.min())) - _MARGIN_PX, int(np.ceil(rows.max())) + _MARGIN_PX + 1
        left, top, right, bottom = (
            max(left, 0),
            max(top, 0),
            min(right, self._size[0]),
            min(bottom, self._size[1]),
        )
        window = Window(left, top, right - left, bottom - top) if left < right and top < bottom else None
        if window is None:
            return WarpedWindow(rgb=np.zeros((*shape, 3), np.uint8), valid=np.zeros(shape, bool))
        pixels, mask, step = self._read(window, columns, rows)
        u = ((columns - window.col_off + 0.5) / step - 0.5).astype(np.float32)
        v = ((rows - window.row_off + 0.5) / step - 0.5).astype(np.float32)
        rgb = cv2.remap(pixels, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        seen = cv2.remap(mask, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        return WarpedWindow(rgb=np.asarray(rgb, np.uint8), valid=np.asarray(seen == 255))

    def _source_pixels(
        self, bounds: Bounds, shape: tuple[int, int], to_source: Callable[[Floats], Floats]
    ) -> tuple[Floats, Floats]:
        """Return image pixel coordinates (centres at integers) of every pixel of a grid.

        to_source  from coordinates of the grid (N×2) to those of the image's CRS
        """
        height, width = shape
        west, south, east, north = bounds
        nodes_x = np.linspace(0.0, width, max(width // _LATTICE_PX, 1) + 1)
        nodes_y = np.linspace(0.0, height, max(height // _LATTICE_PX, 1) + 1)
        x, y = np.meshgrid(west + nodes_x / width * (east - west), north - nodes_y / height * (north - south))
        points = to_source(np.stack([x, y], -1).reshape(-1, 2))
        cols, rows = _apply(self._to_pixel, points[:, 0], points[:, 1])
        step_x, step_y = width / (len(nodes_x) - 1), height / (len(nodes_y) - 1)
        u, v = np.meshgrid((np.arange(width) + 0.5) / step_x, (np.arange(height) + 0.5) / step_y)
        here = (u.astype(np.float32), v.astype(np.float32))
        # float32 would round far from the corner, so values are relative to the first lattice point
        found = []
        for values in (cols - 0.5, rows - 0.5):
            nodes = values.reshape(x.shape)
            local = cv2.remap((nodes - nodes[0, 0]).astype(np.float32), *here, cv2.INTER_LINEAR)
            found.append(np.asarray(local, np.float64) + nodes[0, 0])
        return found[0], found[1]

    def _read(
        self, window: Window, columns: Floats, rows: Floats
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], int]:
        """Read pixels and mask of a window, averaged by an integer step, and that step.

        A fractional one would put every mean up to half a pixel beside its place. The last pixels of the file
        that do not fill a mean are left out.
        """
        step = max(1, int(min(_step(columns, rows, axis) for axis in (0, 1))))
        shape = (max(window.height // step, 1), max(window.width // step, 1))
        cropped = Window(window.col_off, window.row_off, shape[1] * step, shape[0] * step)
        try:
            with open_raster(self.path) as source:
                thin = {"window": cropped, "resampling": Resampling.average}
                values = source.read(self._bands, out_shape=(len(self._bands), *shape), **thin)
                mask = source.dataset_mask(out_shape=shape, **thin)
        except RasterioError as error:
            raise _damaged(self.path) from error
        if self.collar is not None:
            mask[self.collar.touches(cropped, step)] = 0
        low, high = self._stretch
        scaled = np.clip((values.astype(np.float32) - low) * (255.0 / (high - low)), 0.0, 255.0)
        pixels = np.moveaxis(np.nan_to_num(scaled).astype(np.uint8), 0, -1)
        if pixels.shape[2] == 1:
            pixels = np.repeat(pixels, 3, axis=2)
        return np.ascontiguousarray(pixels), mask, step


def _collar_of(path: Path, bands: list[int], pixel_m: float) -> Collar | None:
    try:
        with open_raster(path) as source:
            return find_collar(source, bands, pixel_m)
    except RasterioError as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> SourceUnreadable:
    return SourceUnreadable(_("{name}: is damaged or cut off; copy it again and run again", name=path.name))


def _stretch_of(source: rasterio.DatasetReader, bands: list[int]) -> tuple[float, float]:
    """Return the values that become 0 and 255, the same for all bands.

    The type's own for bytes, else those of a reduced read: from 0 up to the 99th percentile, so that a colour
    keeps its shares of red, green and blue (subtracting a common offset would tint it); from the 1st
    percentile only where values are negative, or where all of them lie in the upper half (degrees, heights).
    """
    if source.dtypes[0] == "uint8":
        return 0.0, 255.0
    shape = (len(bands), min(source.height, 512), min(source.width, 512))
    look = source.read(bands, out_shape=shape, masked=True).compressed().astype(np.float64)
    look = look[np.isfinite(look)]
    if not look.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(look, [1.0, 99.0]))
    if 0.0 <= low <= 0.5 * high:
        low = 0.0
    return low, max(high, low + 1e-9)


def _rim(transform: Affine, width: int, height: int) -> Floats:
    edge = np.linspace(0.0, 1.0, 9)
    cols = np.concatenate([edge * width, edge * width, np.zeros(9), np.full(9, width)])
    rows = np.concatenate([np.zeros(9), np.full(9, height), edge * height, edge * height])
    x, y = _apply(transform, cols, rows)
    return np.stack([x, y], axis=-1)


def _apply(affine: Affine, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    return affine.a * x + affine.b * y + affine.c, affine.d * x + affine.e * y + affine.f


def _step(columns: Floats, rows: Floats, axis: int) -> float:
    """Return source pixels per grid pixel along an axis, in whichever direction."""
    steps = max(columns.shape[axis] - 1, 1)
    along = (float(at.take(-1, axis).mean()) - float(at.take(0, axis).mean()) for at in (columns, rows))
    return float(math.hypot(*along) / steps)
