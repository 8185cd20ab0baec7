"""Raster files: Cloud-Optimized GeoTIFF, plain GeoTIFF, outlines and digests.

A COG with mask is written block by block, complete or not at all.

`transform` is GDAL's affine as six numbers (a, b, c, d, e, f) of pixel corners, not of pixel centres.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import rasterio
import rasterio.shutil
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.features import shapes
from rasterio.windows import Window
from shapely.geometry.base import BaseGeometry

from flycam.errors import DiskFull, SourceUnreadable, StorageFailed
from flycam.geodata.crs import parse_crs
from flycam.geodata.raster_source import is_mosaic, list_raster_files, open_raster
from flycam.messages import _
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
