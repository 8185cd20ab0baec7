"""Resampling of a mosaic to another grid, window by window.

Colours by a kernel that keeps the fine detail of the tiles: Lanczos' where the grid is no coarser than they
are. Where it is coarser, detail that it cannot hold is removed first by that kernel, stretched, and cubic
convolution, which takes a quarter of the time, keeps the rest.

Sources: Duchon, J. Appl. Meteorol. 18(8), 1979 (Lanczos' kernel); Keys, IEEE ASSP 29(6), 1981 (cubic
convolution); Turkowski, Graphics Gems I, 1990 (for images).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.catalog.records import MosaicInfo
from flycam.frame.tile import TileRecord
from flycam.frame.tile_codec import decode_rgb
from flycam.geodata.crs import make_point_transform
from flycam.geodata.raster import BandDescription
from flycam.geometry.grid import HALF_WORLD_M, TILE_SIZE_PX, TileId, TileRange, compute_grid_pixel_m
from flycam.geometry.planar_map import PlanarMap, fit_planar_map
from flycam.mosaic.output_grid import MERCATOR, OutputGrid
from flycam.mosaic.tile_log import TileLog
from flycam.store.base import ObjectStore

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
        self._kept: OrderedDict[TileId, PixelsWithMask] = OrderedDict()
        self._lock = Lock()

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
        with self._lock:
            kept = self._kept.get(head.tile_id)
        # decoded outside the lock, so that threads decode in parallel; now and then twice
        if kept is None:
            kept = self.look.decode(self._store.get(head.key), head.tile_id)
        with self._lock:
            self._kept[head.tile_id] = kept
            self._kept.move_to_end(head.tile_id)
            if len(self._kept) > _CACHED_TILES:
                self._kept.popitem(last=False)
        return kept


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
    """Interpolate by this module's kernels; bilinear where they would reach no data."""
    rgb, mask = source
    if low_pass.size == 1:
        taken = cv2.remap(rgb, map_x, map_y, cv2.INTER_LANCZOS4)
    else:
        taken = cv2.remap(cv2.sepFilter2D(rgb, -1, low_pass, low_pass), map_x, map_y, cv2.INTER_CUBIC)
    taken = np.asarray(taken, dtype=np.uint8)
    side = 2 * _LANCZOS_PX + low_pass.size
    whole = cv2.erode(mask.view(np.uint8), np.ones((side, side), np.uint8))
    beside = cv2.remap(whole, map_x, map_y, cv2.INTER_NEAREST) == 0
    if not beside.any():
        return taken, ~beside
    soft, there = _bilinear(source, map_x, map_y)
    taken[beside] = soft[beside]
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
