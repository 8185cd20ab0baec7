"""Pixel grid of an exported raster."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from shapely.geometry.base import BaseGeometry

from flycam.catalog.records import MosaicInfo
from flycam.errors import NotFound
from flycam.frame.tile_codec import decode_mask
from flycam.geodata.crs import describe_crs, make_point_transform
from flycam.geometry.grid import HALF_WORLD_M, TILE_SIZE_PX, compute_grid_pixel_m
from flycam.geometry.planar_map import Bounds, Floats
from flycam.messages import _
from flycam.mosaic.tile_log import TileLog
from flycam.store.base import ObjectStore

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
