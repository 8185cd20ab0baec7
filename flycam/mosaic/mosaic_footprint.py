"""Footprint of a mosaic revision, traced on the masks of a few coarse tiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from flycam.catalog.records import MosaicInfo
from flycam.frame.tile import TileRecord
from flycam.frame.tile_codec import decode_mask
from flycam.geodata.mask_polygons import trace_mask_polygons
from flycam.geometry.grid import HALF_WORLD_M, TILE_SIZE_PX, compute_grid_pixel_m
from flycam.mosaic.tile_log import TileLog
from flycam.store.base import ObjectStore

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
