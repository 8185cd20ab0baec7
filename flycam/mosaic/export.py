"""Export of a mosaic revision as a Cloud-Optimized GeoTIFF in any CRS, block by block in bounded memory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from shapely.geometry.base import BaseGeometry

from flycam.catalog.records import MosaicInfo
from flycam.geodata.crs import transform_points
from flycam.geodata.raster import BLOCK_PX, CogWriter
from flycam.geometry.grid import compute_ground_pixel_m, mercator_to_lonlat
from flycam.geometry.planar_map import Bounds
from flycam.mosaic.output_grid import (
    WGS84,
    OutputGrid,
    find_data_bounds,
    make_disjoint_error,
    make_output_grid,
)
from flycam.mosaic.polygon_mask import PolygonMask
from flycam.mosaic.resampling import COLOURS, PixelsWithMask, TileDecoding, TileReader, resample_window
from flycam.mosaic.tile_log import TileLog
from flycam.store.base import ObjectStore

_BLOCKS_EACH = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedCog:
    """A written COG.

    bounds    (west, south, east, north) in `crs`
    shape_px  (rows, columns)
    notes     warnings about it, as `flycam.frame.warning` keeps them
    """

    path: Path
    crs: str
    gsd_m: float
    bounds: Bounds
    shape_px: tuple[int, int]
    notes: tuple[str, ...] = ()


def export_cog(
    store: ObjectStore,
    tile_log: TileLog,
    mosaic: MosaicInfo,
    out_path: Path,
    *,
    crs: str,
    gsd_m: float,
    polygon: BaseGeometry | None = None,
    tags: Mapping[str, str] | None = None,
    compress: str = "DEFLATE",
    decoding: TileDecoding = COLOURS,
    workers: int = 1,
) -> ExportedCog:
    """Write the mosaic, clipped to `polygon` (WGS 84 degrees) if given, as a COG.

    Pixels lie on multiples of `gsd_m` in `crs` (of the equivalent number of degrees if `crs` is geographic),
    are resampled (`resample_window`) from the coarsest zoom that is not coarser than `gsd_m`, and are masked
    where less than half of the ground around them has data.

    compress  as in `CogWriter`
    decoding  what of the tiles is written instead of colours, and how it is resampled
    workers   threads that read and resample

    Raises NotFound if there is nothing to write (no tiles, or none inside the polygon), CrsMissing, DiskFull,
    StorageFailed, ObjectMissing, TileCorrupt. Nothing half-written is left under `out_path`.
    """
    extent = find_data_bounds(store, tile_log, mosaic)
    grid = make_output_grid(extent, crs, gsd_m, polygon)
    tiles = TileReader(store, tile_log, mosaic, choose_source_zoom(gsd_m, extent, mosaic), decoding)
    outline = None
    if polygon is not None:
        outline = PolygonMask.from_polygon(polygon, lambda p: grid.to_pixels(transform_points(p, WGS84, crs)))
    with CogWriter(
        out_path,
        shape_px=(grid.rows, grid.cols),
        transform=(grid.step_x, 0.0, grid.west, 0.0, -grid.step_y, grid.north),
        crs=crs,
        tags=tags,
        compress=compress,
        bands=decoding.bands,
        dtype=decoding.dtype,
        overview_resampling="AVERAGE" if decoding.mixed else "NEAREST",
    ) as out:
        if not _write_blocks(out, tiles, grid, crs, outline, workers):
            raise make_disjoint_error()
    return ExportedCog(
        path=out_path, crs=crs, gsd_m=gsd_m, bounds=grid.bounds, shape_px=(grid.rows, grid.cols)
    )


def _write_blocks(
    out: CogWriter, tiles: TileReader, grid: OutputGrid, crs: str, outline: PolygonMask | None, workers: int
) -> bool:
    """Write the blocks and return True if any pixel had data.

    A few blocks for each worker are in memory at a time.
    """

    def seen(corner: tuple[int, int]) -> PixelsWithMask:
        row, col = corner
        shape = (min(BLOCK_PX, grid.rows - row), min(BLOCK_PX, grid.cols - col))
        inside = None if outline is None else outline.mask(row, col, shape)
        if inside is not None and not inside.any():
            return np.zeros((*shape, tiles.look.count), tiles.look.dtype), inside
        pixels, mask = resample_window(tiles, grid, crs, corner, shape)
        if inside is not None:
            mask &= inside
        # in a plane of figures 0 is a value, so no data is NaN there
        pixels[~mask] = 0 if tiles.look.mixed else np.nan
        return pixels, mask

    found = False
    corners = itertools.product(range(0, grid.rows, BLOCK_PX), range(0, grid.cols, BLOCK_PX))
    with ThreadPoolExecutor(workers, thread_name_prefix="export") as pool:
        while some := list(itertools.islice(corners, _BLOCKS_EACH * workers)):
            for (row, col), (pixels, mask) in zip(some, pool.map(seen, some), strict=True):
                if mask.any():
                    out.write(row, col, pixels, mask)
                    found = True
    return found


def choose_source_zoom(gsd_m: float, extent: Bounds, mosaic: MosaicInfo) -> int:
    """Choose the coarsest zoom of a mosaic that is not coarser than `gsd_m`.

    extent  Mercator bounds; its middle latitude gives the scale
    """
    middle = np.array([[extent[0], (extent[1] + extent[3]) / 2]])
    latitude_deg = float(mercator_to_lonlat(middle)[0, 1])
    exact = math.log2(compute_ground_pixel_m(0, latitude_deg) / gsd_m)
    return min(max(math.ceil(exact - 0.01), mosaic.min_zoom), mosaic.base_zoom)
