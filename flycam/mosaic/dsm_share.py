"""Pixels of a finished mosaic that lie on the flight's own DSM, and their share of the mosaic."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flycam.catalog.records import MosaicInfo
from flycam.geodata.crs import fit_mercator_to_work
from flycam.geometry.grid import TILE_SIZE_PX, TileId, compute_pixel_centres, get_tile_bounds, make_tile_range
from flycam.geometry.terrain import TerrainGrid, find_nearest_posts
from flycam.mosaic.tile_log import TileLog, read_tile
from flycam.store.base import ObjectStore

Floats = NDArray[np.float64]

_ZOOMS_UP = 3
"""Zooms above the base: fine enough for a share, with a sixty-fourth of the tiles."""


def is_dsm_ground(support: TerrainGrid, east: Floats, north: Floats) -> NDArray[np.bool_]:
    """Return True where the flight measured the ground at places of the work CRS.

    east, north  two arrays of one shape

    Measured means that the nearest post of `support` has a height: the same rule for a pixel of the map, of
    the report and of the exported DSM, whose pixels are those posts. False outside the posts.
    """
    post, inside = find_nearest_posts(support, east, north)
    return np.asarray(inside & np.isfinite(support.heights_m.reshape(-1).take(post)), dtype=np.bool_)


def mask_dsm_pixels(tile_id: TileId, support: TerrainGrid) -> NDArray[np.bool_]:
    """Return the mask (256×256) of a tile's pixels on the DSM (`is_dsm_ground`)."""
    side = np.arange(TILE_SIZE_PX, dtype=np.float64)
    rows, cols = np.meshgrid(side, side, indexing="ij")
    to_work = fit_mercator_to_work(support.work_crs, get_tile_bounds(tile_id))
    xy = to_work(compute_pixel_centres(make_tile_range(tile_id), rows, cols).reshape(-1, 2))
    return is_dsm_ground(support, xy[:, 0], xy[:, 1]).reshape(rows.shape)


def compute_dsm_pct(store: ObjectStore, tiles: TileLog, mosaic: MosaicInfo, support: TerrainGrid) -> float:
    """Compute the share of a finished mosaic's ground that is the DSM, 0-100.

    The only source of this figure: `finish` records it; command, map and report read the record. Counted in
    pixels of a coarser zoom. NaN for a mosaic without pixels. Raises ObjectMissing, TileCorrupt.
    """
    zoom = max(mosaic.base_zoom - _ZOOMS_UP, mosaic.min_zoom)
    shown = own = 0
    for head in tiles.heads(mosaic.mosaic_id, mosaic.revision, z=zoom):
        mask = read_tile(store, head).quality > 0
        shown += int(mask.sum())
        own += int((mask & mask_dsm_pixels(head.tile_id, support)).sum())
    return 100.0 * own / shown if shown else float("nan")
