"""A mosaic whose every pixel says where it lies: for tests of coverage and export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from flycam.catalog.catalog import Catalog, open_catalog
from flycam.geodata.crs import to_work
from flycam.geometry.grid import (
    TileRange,
    compute_pixel_centres,
    find_tile_at,
    lonlat_to_mercator,
    mercator_to_lonlat,
)
from flycam.model.flight import Layer
from flycam.model.frame import OrthoPatch
from flycam.model.records import MosaicInfo
from flycam.mosaic.tiles.writer import MosaicWriter
from flycam.storage.keys import ObjectStore

ZOOM = 18
LON, LAT = 104.8, 21.9
WORK_CRS = "EPSG:32648"
MOSAIC = MosaicInfo(mosaic_id="ground", flight_id="flight", layer=Layer.COLOUR, base_zoom=ZOOM, min_zoom=12)


def colour_of(east_north: np.ndarray) -> np.ndarray:
    """Smooth colours that tell positions apart; work CRS metres (…×2) to RGB (…×3, float)."""
    e, n = east_north[..., 0], east_north[..., 1]
    return np.stack(
        [127 + 100 * np.sin(e / 9), 127 + 100 * np.sin(n / 7), 127 + 60 * np.sin((e + n) / 11)], -1
    )


def fine_colour_of(east_north: np.ndarray) -> np.ndarray:
    """Waves of 1.6 and 1.7 m, 3 pixels of the tiles: about as fine as they hold."""
    e, n = np.moveaxis(east_north * 2 * np.pi, -1, 0)
    return np.stack([127 + 60 * np.sin(v) for v in (e / 1.6, n / 1.7, (0.28 * e + 0.96 * n) / 1.6)], -1)


def patches(count: int = 3, colours: Callable[[np.ndarray], np.ndarray] = colour_of) -> list[OrthoPatch]:
    """Discs of 60 m radius side by side, 70 m apart, over the place."""
    centre, *_ = find_tile_at(ZOOM, tuple(lonlat_to_mercator(np.array([[LON, LAT]]))[0]))
    tiles = TileRange(
        z=ZOOM, x_start=centre.x - 1, y_start=centre.y - 1, x_stop=centre.x + 3, y_stop=centre.y + 2
    )
    rows, cols = np.indices(tiles.shape_px)
    at = to_work(mercator_to_lonlat(compute_pixel_centres(tiles, rows, cols)), WORK_CRS)
    middle = to_work(np.array([[LON, LAT]]), WORK_CRS)[0]
    found = []
    for number in range(count):
        distance = np.hypot(*np.moveaxis(at - middle - [70.0 * number, 0.0], -1, 0))
        inside = distance < 60
        quality = np.where(inside, 60_000 - 500 * distance, 0).astype(np.uint16)
        rgb = np.where(inside[..., None], np.rint(colours(at)), 0).astype(np.uint8)
        found.append(
            OrthoPatch(
                tiles=tiles, rgb=rgb, quality=quality, frame_id=f"f{number}", exterior_version=0, dem_id="d"
            )
        )
    return found


def written(
    store: ObjectStore, folder: Path, colours: Callable[[np.ndarray], np.ndarray] = colour_of
) -> Catalog:
    catalog = open_catalog(f"sqlite:///{folder}/catalog.db")
    catalog.tiles.put_mosaic(MOSAIC)
    with MosaicWriter(store, catalog.tiles, MOSAIC, origin="box", clock_ns=lambda: 0) as writer:
        for patch in patches(colours=colours):
            writer.add(patch)
    return catalog
