"""Ground that a mosaic shows of an area: counted on the base tiles' masks, measured in the work CRS."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from flycam.catalog.records import MosaicInfo
from flycam.frame.tile import TileRecord
from flycam.frame.tile_codec import decode_owners
from flycam.geodata.crs import fit_mercator_to_work
from flycam.geometry.grid import (
    HALF_WORLD_M,
    TILE_SIZE_PX,
    TileId,
    compute_grid_pixel_m,
    get_tile_bounds,
    lonlat_to_mercator,
    mercator_to_lonlat,
)
from flycam.geometry.planar_map import Floats, PlanarMap
from flycam.mosaic.polygon_mask import PolygonMask
from flycam.mosaic.tile_log import TileLog
from flycam.store.base import ObjectStore

_IN_FLIGHT = 64  # tiles read ahead: bounds memory


@dataclass(frozen=True, kw_only=True, slots=True)
class AreaCoverage:
    """Part of one area that a mosaic shows.

    covered_m2  ground with data inside the area, square metres in the work CRS
    pixels      base-zoom pixels counted
    frames      the frames those pixels come from
    """

    covered_m2: float
    pixels: int
    frames: frozenset[str]


def measure_area_coverage(
    store: ObjectStore,
    tile_log: TileLog,
    mosaic: MosaicInfo,
    areas: Mapping[str, BaseGeometry],
    work_crs: str,
    *,
    workers: int = 2,
) -> dict[str, AreaCoverage]:
    """Measure the covered ground of each area that the mosaic reaches.

    areas  name -> polygon in WGS 84 degrees

    A pixel belongs to the area that holds its centre, so areas without overlap never count a pixel twice.
    Each tile is read once whatever the number of areas. Areas without a pixel are left out. Raises
    ObjectMissing, TileCorrupt, CrsMissing.
    """
    heads = tile_log.heads(mosaic.mosaic_id, mosaic.revision, z=mosaic.base_zoom)
    if not heads or not areas:
        return {}
    plan = _Plan(areas, mosaic.base_zoom, _work_map(heads, work_crs))
    totals: dict[str, AreaCoverage] = {}
    remaining = iter(plan.reached(heads))
    # only reads run in threads: counting is short
    with ThreadPoolExecutor(workers, thread_name_prefix="clip") as pool:
        while chunk := list(islice(remaining, _IN_FLIGHT)):
            stored = pool.map(store.get, (head.key for head, _ in chunk))
            for (head, near), data in zip(chunk, stored, strict=True):
                for name, part in plan.count(head.tile_id, near, data):
                    totals[name] = _sum(totals[name], part) if name in totals else part
    return totals


class _Plan:
    """The areas, indexed for queries by tile from several threads."""

    def __init__(self, areas: Mapping[str, BaseGeometry], zoom: int, to_work: PlanarMap) -> None:
        self._names = list(areas)
        self._polygons = list(areas.values())
        self._tree = shapely.STRtree(self._polygons)
        self._outlines = [
            PolygonMask.from_polygon(polygon, make_mercator_projection(zoom)) for polygon in self._polygons
        ]
        self._to_work = to_work

    def reached(self, heads: Iterable[TileRecord]) -> Iterator[tuple[TileRecord, list[int]]]:
        """Yield the tiles that may show part of an area, with the numbers of those areas."""
        for head in heads:
            if near := sorted(self._tree.query(_box(head.tile_id))):
                yield head, near

    def count(self, tile_id: TileId, near: Iterable[int], data: bytes) -> Iterator[tuple[str, AreaCoverage]]:
        """Yield the covered ground of one stored tile in each of these areas."""
        source, frames = decode_owners(data, tile_id)
        pixel_m2 = _tile_area_m2(tile_id, self._to_work) / TILE_SIZE_PX**2
        for index in near:
            found = _count(tile_id, source, frames, self._outlines[index], pixel_m2)
            if found.pixels:
                yield self._names[index], found


def _count(
    tile_id: TileId, source: NDArray[np.uint16], frames: Sequence[str], outline: PolygonMask, pixel_m2: float
) -> AreaCoverage:
    row, col = tile_id.y * TILE_SIZE_PX, tile_id.x * TILE_SIZE_PX
    inside = outline.mask(row, col, source.shape)
    owned = np.bincount(source.ravel() if inside.all() else source[inside], minlength=len(frames) + 1)[1:]
    pixels = int(owned.sum())
    return AreaCoverage(
        covered_m2=pixels * pixel_m2,
        pixels=pixels,
        frames=frozenset(name for name, n in zip(frames, owned, strict=True) if n),
    )


def _sum(a: AreaCoverage, b: AreaCoverage) -> AreaCoverage:
    return AreaCoverage(
        covered_m2=a.covered_m2 + b.covered_m2, pixels=a.pixels + b.pixels, frames=a.frames | b.frames
    )


def make_mercator_projection(zoom: int) -> Callable[[Floats], Floats]:
    """Return a function from WGS 84 degrees (N×2) to global pixels of a zoom.

    Pixels are (column, row), counted at their corners.
    """

    def to_pixels(lonlat: Floats) -> Floats:
        mercator = lonlat_to_mercator(lonlat)
        shifted = np.stack([mercator[:, 0] + HALF_WORLD_M, HALF_WORLD_M - mercator[:, 1]], axis=-1)
        return np.asarray(shifted / compute_grid_pixel_m(zoom), dtype=np.float64)

    return to_pixels


def _work_map(heads: list[TileRecord], work_crs: str) -> PlanarMap:
    corners = np.array([get_tile_bounds(head.tile_id) for head in heads])
    west, south = corners[:, :2].min(axis=0)
    east, north = corners[:, 2:].max(axis=0)
    return fit_mercator_to_work(work_crs, (float(west), float(south), float(east), float(north)))


def _tile_area_m2(tile_id: TileId, to_work: PlanarMap) -> float:
    """Return the area of the tile's four corners in the work CRS.

    Within a tile the pixel's size varies by 1e-5.
    """
    west, south, east, north = get_tile_bounds(tile_id)
    x, y = to_work(np.array([[west, south], [east, south], [east, north], [west, north]])).T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2.0)


def _box(tile_id: TileId) -> BaseGeometry:
    west, south, east, north = get_tile_bounds(tile_id)
    (w, s), (e, n) = mercator_to_lonlat(np.array([[west, south], [east, north]]))
    return shapely.box(w, s, e, n)
