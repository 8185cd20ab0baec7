"""Rasters of a mosaic in any CRS: grid, resampling, clipping, COG export.

A mosaic is resampled to another grid window by window. Colours by a kernel that keeps the fine detail of the
tiles: Lanczos' where the grid is no coarser than they are. Where it is coarser, detail that it cannot hold is
removed first by that kernel, stretched, and cubic convolution, which takes a quarter of the time, keeps the
rest.

Sources: Duchon, J. Appl. Meteorol. 18(8), 1979 (Lanczos' kernel); Keys, IEEE ASSP 29(6), 1981 (cubic
convolution); Turkowski, Graphics Gems I, 1990 (for images).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from flycam.concurrency import LruCache
from flycam.errors import NotFound
from flycam.geodata.crs import describe_crs, make_point_transform, transform_points
from flycam.geodata.raster import BLOCK_PX, BandDescription, CogWriter, trace_mask_polygons
from flycam.geometry.grid import (
    HALF_WORLD_M,
    TILE_SIZE_PX,
    Bounds,
    Floats,
    PlanarMap,
    TileId,
    TileRange,
    compute_grid_pixel_m,
    compute_ground_pixel_m,
    fit_planar_map,
    mercator_to_lonlat,
)
from flycam.messages import _
from flycam.model.frame import TileRecord
from flycam.model.records import MosaicInfo
from flycam.mosaic.tiles.codec import TileLog, decode_mask, decode_rgb
from flycam.storage.keys import ObjectStore

# -- Footprint of a mosaic revision, traced on the masks of a few coarse tiles ---------------------


_MAX_TILES = 64
"""Tiles of the traced rectangle: at least a thousand pixels across, and a second to read."""


def trace_mosaic_footprint(
    store: ObjectStore, tile_log: TileLog, mosaic: MosaicInfo
) -> tuple[BaseGeometry, float]:
    """Trace the ground a mosaic shows; return (polygons, side of the traced pixels).

    Polygons and side in Web Mercator metres; empty without a pixel. Raises ObjectMissing, TileCorrupt,
    StorageFailed.
    """
    heads = _coarse_heads(tile_log, mosaic)
    if not heads:
        return shapely.Polygon(), 0.0
    x0, y0 = (min(getattr(head.tile_id, axis) for head in heads) for axis in "xy")
    x1, y1 = (max(getattr(head.tile_id, axis) for head in heads) + 1 for axis in "xy")
    shown = np.zeros(((y1 - y0) * TILE_SIZE_PX, (x1 - x0) * TILE_SIZE_PX), dtype=bool)
    for head in heads:
        row, column = (head.tile_id.y - y0) * TILE_SIZE_PX, (head.tile_id.x - x0) * TILE_SIZE_PX
        mask = decode_mask(store.get(head.key), head.tile_id)
        shown[row : row + TILE_SIZE_PX, column : column + TILE_SIZE_PX] = mask
    pixel_m = compute_grid_pixel_m(heads[0].tile_id.z)
    corner = x0 * TILE_SIZE_PX * pixel_m - HALF_WORLD_M, HALF_WORLD_M - y0 * TILE_SIZE_PX * pixel_m
    return trace_mask_polygons(shown, *corner, pixel_m), pixel_m


def _coarse_heads(tile_log: TileLog, mosaic: MosaicInfo) -> Sequence[TileRecord]:
    """Return heads of the finest zoom that fits a rectangle of few tiles."""
    chosen: Sequence[TileRecord] = ()
    for zoom in range(mosaic.min_zoom, mosaic.base_zoom + 1):
        heads = tile_log.heads(mosaic.mosaic_id, mosaic.revision, z=zoom)
        if not heads:
            continue
        x, y = ([getattr(head.tile_id, axis) for head in heads] for axis in "xy")
        if chosen and (max(x) - min(x) + 1) * (max(y) - min(y) + 1) > _MAX_TILES:
            break
        chosen = heads
    return chosen


# -- Pixel grid of an exported raster --------------------------------------------------------------


MERCATOR = "EPSG:3857"
WGS84 = "EPSG:4326"
_EDGE_POINTS = 33
_ZOOMS_UP = 3
# of latitude, and of longitude at the equator
_METRES_PER_DEGREE = 111_319.49


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputGrid:
    """Grid of the raster.

    Pixel (r, c) has its corner at (west + c*step_x, north - r*step_y).
    """

    west: float
    north: float
    step_x: float
    step_y: float
    rows: int
    cols: int

    def centres(self, row: int, col: int, shape: tuple[int, int]) -> tuple[Floats, Floats]:
        """Return abscissae (M) and ordinates (N) of the pixel centres of a window."""
        x = self.west + (col + np.arange(shape[1], dtype=np.float64) + 0.5) * self.step_x
        y = self.north - (row + np.arange(shape[0], dtype=np.float64) + 0.5) * self.step_y
        return np.asarray(x), np.asarray(y)

    @property
    def bounds(self) -> Bounds:
        """Bounds of the outer pixel edges: (west, south, east, north)."""
        return (
            self.west,
            self.north - self.rows * self.step_y,
            self.west + self.cols * self.step_x,
            self.north,
        )

    def to_pixels(self, xy: Floats) -> Floats:
        """Convert points in the CRS to (column, row) of corners."""
        return np.stack(
            [(xy[:, 0] - self.west) / self.step_x, (self.north - xy[:, 1]) / self.step_y], axis=-1
        )


def find_data_bounds(store: ObjectStore, tile_log: TileLog, mosaic: MosaicInfo) -> Bounds:
    """Find the Mercator bounds of the data, from the masks of a few coarse tiles.

    Raises NotFound if the mosaic has no pixel.
    """
    zoom = max(mosaic.min_zoom, mosaic.base_zoom - _ZOOMS_UP)
    resolution = compute_grid_pixel_m(zoom)
    edges: list[tuple[int, int, int, int]] = []
    for head in tile_log.heads(mosaic.mosaic_id, mosaic.revision, z=zoom):
        rows, cols = np.nonzero(decode_mask(store.get(head.key), head.tile_id))
        if rows.size:
            top, left = head.tile_id.y * TILE_SIZE_PX, head.tile_id.x * TILE_SIZE_PX
            edges.append((left + cols.min(), top + rows.max() + 1, left + cols.max() + 1, top + rows.min()))
    if not edges:
        raise NotFound(
            _(
                "mosaic {mosaic_id}: it has no pixels yet; ingest photos of the flight first",
                mosaic_id=mosaic.mosaic_id,
            )
        )
    west, south, east, north = np.array(edges).T
    return (
        float(west.min() * resolution - HALF_WORLD_M),
        float(HALF_WORLD_M - south.max() * resolution),
        float(east.max() * resolution - HALF_WORLD_M),
        float(HALF_WORLD_M - north.min() * resolution),
    )


def make_disjoint_error() -> NotFound:
    """Make the error for a boundary that the mosaic, or its pixels, do not meet."""
    return NotFound(_("the mosaic shows nothing inside this boundary; choose another commune or flight"))


def make_output_grid(extent: Bounds, crs: str, gsd_m: float, polygon: BaseGeometry | None) -> OutputGrid:
    """Make a grid over Mercator bounds, or their part around `polygon` (WGS 84).

    Corners lie on multiples of the step, so exports of neighbours share one grid. A geographic CRS gets steps
    in degrees that are `gsd_m` on the ground at its middle. Raises NotFound if the two do not meet.
    """
    west, south, east, north = transform_bounds(extent, make_point_transform(MERCATOR, crs))
    if polygon is not None:
        w, s, e, n = transform_bounds(polygon.bounds, make_point_transform(WGS84, crs))
        west, south, east, north = max(west, w), max(south, s), min(east, e), min(north, n)
        if west >= east or south >= north:
            raise make_disjoint_error()
    step_x = step_y = gsd_m / (describe_crs(crs).unit_m or 1.0)
    if describe_crs(crs).is_geographic:
        step_y = gsd_m / _METRES_PER_DEGREE
        step_x = step_y / math.cos(math.radians((south + north) / 2))
    left, top = math.floor(west / step_x), math.ceil(north / step_y)
    return OutputGrid(
        west=left * step_x,
        north=top * step_y,
        step_x=step_x,
        step_y=step_y,
        rows=top - math.floor(south / step_y),
        cols=math.ceil(east / step_x) - left,
    )


def transform_bounds(bounds: Bounds, transform: Callable[[Floats], Floats]) -> Bounds:
    """Return the bounds of a rectangle's transformed outline.

    Its edges are curves in another CRS, so points along them are transformed, not only corners.
    """
    west, south, east, north = bounds
    s = np.linspace(0.0, 1.0, _EDGE_POINTS)
    x, y = west + s * (east - west), south + s * (north - south)
    outline = np.concatenate(
        [
            np.stack([x, np.full_like(x, south)], -1),
            np.stack([x, np.full_like(x, north)], -1),
            np.stack([np.full_like(y, west), y], -1),
            np.stack([np.full_like(y, east), y], -1),
        ]
    )
    at = transform(outline)
    (w, s_), (e, n) = np.nanmin(at, axis=0), np.nanmax(at, axis=0)
    return float(w), float(s_), float(e), float(n)


# -- Rasterised polygons by the pixel-centre rule: neighbours that share an edge share no pixel ----
#
# Pixel coordinates here are (column, row) of corners: the pixel (r, c) has its centre at (c + 0.5, r + 0.5).


@dataclass(frozen=True, slots=True)
class PolygonMask:
    """Edges of a polygon, holes and parts included.

    E×4 pixels: x0, y0, x1, y1 with y0 < y1.
    """

    edges: Floats

    @classmethod
    def from_polygon(cls, polygon: BaseGeometry, to_pixels: Callable[[Floats], Floats]) -> PolygonMask:
        """Build from a shapely polygon or multipolygon.

        to_pixels  maps its N×2 vertices to pixels
        """
        segments = []
        for ring in _rings(polygon):
            at = to_pixels(ring)
            segments.append(np.hstack([at[:-1], at[1:]]))
        edges = np.concatenate(segments) if segments else np.empty((0, 4))
        upward = edges[:, 1] > edges[:, 3]
        edges[upward] = edges[upward][:, [2, 3, 0, 1]]
        return cls(edges[edges[:, 1] < edges[:, 3]])

    def mask(self, row: int, col: int, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Return True where a pixel's centre lies inside (even-odd), in a window.

        The window has `shape` and begins at (row, col).
        """
        rows, cols = shape
        x0, y0, x1, y1 = (self.edges - np.array([col, row, col, row])).T
        # An edge to the right of the window changes nothing in it; one to the left flips whole rows.
        near = (y0 < rows) & (y1 > 0) & (np.minimum(x0, x1) < cols)
        x0, y0, x1, y1 = x0[near], y0[near], x1[near], y1[near]
        first = np.clip(np.ceil(y0 - 0.5), 0, rows).astype(np.int64)
        stop = np.clip(np.ceil(y1 - 0.5), 0, rows).astype(np.int64)
        count = stop - first
        edge = np.repeat(np.arange(count.size), count)
        at_row = np.arange(edge.size) - np.repeat(np.cumsum(count) - count, count) + first[edge]
        slope = (x1 - x0) / (y1 - y0)
        at_x = x0[edge] + (at_row + 0.5 - y0[edge]) * slope[edge]
        at_col = np.clip(np.ceil(at_x - 0.5), 0, cols).astype(np.int64)
        if not at_col.any():  # no edge inside: each row is all in or all out
            parity = np.bincount(at_row, minlength=rows) & 1
            return np.repeat(parity.astype(np.bool_)[:, None], cols, axis=1)
        flips = np.bincount(at_row * (cols + 1) + at_col, minlength=rows * (cols + 1))
        flips = flips.reshape(rows, cols + 1)[:, :cols].astype(np.uint8)
        return (np.add.accumulate(flips, axis=1, dtype=np.uint8) & 1).astype(np.bool_)


def _rings(polygon: BaseGeometry) -> Iterator[Floats]:
    for part in shapely.get_parts(polygon):
        yield shapely.get_coordinates(shapely.get_exterior_ring(part))
        for hole in range(shapely.get_num_interior_rings(part)):
            yield shapely.get_coordinates(shapely.get_interior_ring(part, hole))


# -- Resampling of a mosaic to another grid --------------------------------------------------------


_CACHED_TILES = 256  # 0.26 MB each, 0.6 MB of figures
_LANCZOS_PX = 4  # reach to each side of cv2.INTER_LANCZOS4
_LOBES = 3  # of the stretched kernel

Picture = tuple[NDArray[np.uint8], NDArray[np.bool_]]
PixelsWithMask = tuple[NDArray[Any], NDArray[np.bool_]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TileDecoding:
    """Decoder of tiles to pixels of `dtype` and a mask of data.

    decode  from a tile's object, by its id
    bands   their number, or a description of each, as for `CogWriter`
    mixed   interpolate between pixels; else take the nearest one, for the mean of two ages is no image's time
    """

    decode: Callable[[bytes, TileId], PixelsWithMask]
    bands: int | Sequence[BandDescription]
    dtype: str
    mixed: bool

    @property
    def count(self) -> int:
        """Number of bands."""
        return self.bands if isinstance(self.bands, int) else len(self.bands)


COLOURS = TileDecoding(decode=decode_rgb, bands=3, dtype="uint8", mixed=True)


class TileReader:
    """Thread-safe reader of one zoom's tiles; keeps the latest few hundred."""

    def __init__(
        self,
        store: ObjectStore,
        tile_log: TileLog,
        mosaic: MosaicInfo,
        zoom: int,
        look: TileDecoding = COLOURS,
    ) -> None:
        self.zoom = zoom
        self.look = look
        self._store = store
        heads = tile_log.heads(mosaic.mosaic_id, mosaic.revision, z=zoom)
        self._heads = {head.tile_id: head for head in heads}
        self._kept = LruCache[TileId, PixelsWithMask](_CACHED_TILES)

    def picture(self, tiles: TileRange) -> PixelsWithMask | None:
        """Return (pixels, mask) of a rectangle of tiles; None if none of them exists."""
        present = [tile_id for tile_id in tiles if tile_id in self._heads]
        if not present:
            return None
        pixels = np.zeros((*tiles.shape_px, self.look.count), dtype=self.look.dtype)
        mask = np.zeros(tiles.shape_px, dtype=np.bool_)
        for tile_id in present:
            at = tiles.window_px(tile_id)
            pixels[at], mask[at] = self._tile(self._heads[tile_id])
        return pixels, mask

    def _tile(self, head: TileRecord) -> PixelsWithMask:
        return self._kept.get(head.tile_id, lambda: self.look.decode(self._store.get(head.key), head.tile_id))


def resample_colours(
    tiles: TileReader, grid: OutputGrid, crs: str, corner: tuple[int, int], shape: tuple[int, int]
) -> Picture:
    """Resample a window of the grid in `crs` to (rgb, mask).

    corner, shape  (row, column) and size of the window

    Masked where less than half of the four pixels around a place has data, by their weights; rgb is undefined
    there.
    """
    pixels, mask = resample_window(tiles, grid, crs, corner, shape)
    return np.asarray(pixels, dtype=np.uint8), mask


def resample_window(
    tiles: TileReader, grid: OutputGrid, crs: str, corner: tuple[int, int], shape: tuple[int, int]
) -> PixelsWithMask:
    """Resample a window as `resample_colours` does, for any decoding of the reader.

    From the nearest pixel where the decoding is not `mixed`.
    """
    x, y = grid.centres(*corner, shape)
    margin_x, margin_y = grid.step_x, grid.step_y
    around = (x[0] - margin_x, y[-1] - margin_y, x[-1] + margin_x, y[0] + margin_y)
    to_mercator = fit_planar_map(make_point_transform(crs, MERCATOR), around)
    mercator = to_mercator.grid(x, y)
    resolution = compute_grid_pixel_m(tiles.zoom)
    low_pass = _low_pass(_step_m(to_mercator, (grid.step_x, grid.step_y)) / resolution)
    reach_px = _LANCZOS_PX + low_pass.size // 2
    cols = (mercator[..., 0] + HALF_WORLD_M) / resolution - 0.5
    rows = (HALF_WORLD_M - mercator[..., 1]) / resolution - 0.5
    span = TileRange(
        z=tiles.zoom,
        x_start=math.floor(cols.min() - reach_px) // TILE_SIZE_PX,
        y_start=math.floor(rows.min() - reach_px) // TILE_SIZE_PX,
        x_stop=math.ceil(cols.max() + reach_px) // TILE_SIZE_PX + 1,
        y_stop=math.ceil(rows.max() + reach_px) // TILE_SIZE_PX + 1,
    )
    source = tiles.picture(span)
    if source is None:
        return np.zeros((*shape, tiles.look.count), dtype=tiles.look.dtype), np.zeros(shape, dtype=np.bool_)
    map_x = (cols - span.x_start * TILE_SIZE_PX).astype(np.float32)
    map_y = (rows - span.y_start * TILE_SIZE_PX).astype(np.float32)
    if not tiles.look.mixed:
        return _nearest(source, map_x, map_y)
    return _mixed(source, map_x, map_y, low_pass)


def _nearest(
    source: PixelsWithMask, map_x: NDArray[np.float32], map_y: NDArray[np.float32]
) -> PixelsWithMask:
    pixels, mask = source
    there = cv2.remap(mask.view(np.uint8), map_x, map_y, cv2.INTER_NEAREST)
    return np.asarray(cv2.remap(pixels, map_x, map_y, cv2.INTER_NEAREST)), there > 0


def _step_m(to_mercator: PlanarMap, step: tuple[float, float]) -> float:
    """Return the side of a `step` pixel in Mercator metres, in the middle of bounds.

    step  (width, height)
    """
    west, south, east, north = to_mercator.bounds
    x, y = np.array([west + east, south + north]) / 2.0
    start, across, up = to_mercator(np.array([[x, y], [x + step[0], y], [x, y + step[1]]]))
    return math.sqrt(abs(float(np.linalg.det([across - start, up - start]))))


def _low_pass(step_px: float) -> NDArray[np.float32]:
    """Return an odd number of weights that keep what a grid of `step_px` can hold.

    A single weight of 1 keeps everything.
    """
    # the same kernel in all windows of a grid, whose steps differ by what the projection stretches
    stretch = round(step_px, 2)
    if stretch <= 1.0:
        return np.ones(1, dtype=np.float32)
    lobes = stretch * _LOBES
    at = np.arange(1 - math.ceil(lobes), math.ceil(lobes))
    weights = np.sinc(at / stretch) * np.sinc(at / lobes)
    return np.asarray(weights / weights.sum(), dtype=np.float32)


def _mixed(
    source: PixelsWithMask,
    map_x: NDArray[np.float32],
    map_y: NDArray[np.float32],
    low_pass: NDArray[np.float32],
) -> PixelsWithMask:
    """Interpolate by the kernels above; bilinear where they would reach no data."""
    rgb, mask = source
    if low_pass.size == 1:
        taken = cv2.remap(rgb, map_x, map_y, cv2.INTER_LANCZOS4)
    else:
        taken = cv2.remap(cv2.sepFilter2D(rgb, -1, low_pass, low_pass), map_x, map_y, cv2.INTER_CUBIC)
    taken = np.asarray(taken, dtype=np.uint8)
    side = 2 * _LANCZOS_PX + low_pass.size
    complete = cv2.erode(mask.view(np.uint8), np.ones((side, side), np.uint8))
    incomplete = cv2.remap(complete, map_x, map_y, cv2.INTER_NEAREST) == 0
    if not incomplete.any():
        return taken, ~incomplete
    soft, there = _bilinear(source, map_x, map_y)
    taken[incomplete] = soft[incomplete]
    return taken, there


def _bilinear(
    source: PixelsWithMask, map_x: NDArray[np.float32], map_y: NDArray[np.float32]
) -> PixelsWithMask:
    """Interpolate bilinearly, from the pixels with data alone where some have none."""
    rgb, mask = source
    taken = np.asarray(cv2.remap(rgb, map_x, map_y, cv2.INTER_LINEAR), dtype=np.uint8)
    weight = cv2.remap(mask.view(np.uint8) * np.uint8(255), map_x, map_y, cv2.INTER_LINEAR)
    partial = np.nonzero((weight >= 128) & (weight < 255))
    if partial[0].size:
        share = weight[partial].astype(np.float32)[:, None] / 255.0
        taken[partial] = np.minimum(np.rint(taken[partial] / share), 255).astype(np.uint8)
    return taken, weight >= 128


# -- Export of a revision as a COG in any CRS ------------------------------------------------------


_BLOCKS_EACH = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedCog:
    """A written COG.

    bounds    (west, south, east, north) in `crs`
    shape_px  (rows, columns)
    notes     warnings about it, as `flycam.model.warning` keeps them
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
    decoding: TileDecoding = COLOURS,
    workers: int = 1,
) -> ExportedCog:
    """Write the mosaic, clipped to `polygon` (WGS 84 degrees) if given, as a COG.

    Pixels lie on multiples of `gsd_m` in `crs` (of the equivalent number of degrees if `crs` is geographic),
    are resampled (`resample_window`) from the coarsest zoom that is not coarser than `gsd_m`, and are masked
    where less than half of the ground around them has data.

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
