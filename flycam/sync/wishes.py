"""Where a server's viewers look, as boxes are told: rectangles and how closely, nothing of who looks.

Pure. Over a line: `[zoom, west, south, east, north]`, degrees (docs/formats/sync.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flycam.catalog.records import BoundsLonLat
from flycam.frame.tile import TileRecord
from flycam.geometry.grid import MAX_ZOOM, TileId, mercator_to_lonlat, tile_bounds

MOST_WISHES = 16
_DECIMALS = 5


@dataclass(frozen=True, slots=True)
class Wish:
    """Ground (degrees) that somebody looks at, at this zoom."""

    zoom: int
    bounds: BoundsLonLat

    def touches(self, bounds: BoundsLonLat | None) -> bool:
        """Whether a rectangle shares more than an edge with it; None, ground nobody knows, does not."""
        if bounds is None:
            return False
        west, south, east, north = self.bounds
        return bounds[0] < east and bounds[2] > west and bounds[1] < north and bounds[3] > south


def is_wished(tile_id: TileId, wishes: Iterable[Wish]) -> bool:
    """Whether a tile is seen where somebody looks: finer ones than the screen shows are not."""
    some = [one for one in wishes if tile_id.z <= one.zoom]
    return bool(some) and any(one.touches(lonlat_of(tile_id)) for one in some)


def is_looked_at(bounds: BoundsLonLat | None, wishes: Iterable[Wish]) -> bool:
    """Whether somebody looks at any of a rectangle."""
    return any(one.touches(bounds) for one in wishes)


def views_in_order(lines: Iterable[TileRecord], wishes: Sequence[Wish]) -> list[TileRecord]:
    """Coarse zooms before fine ones; of a zoom what is looked at first, then the latest line."""
    return sorted(lines, key=lambda one: (one.tile_id.z, not is_wished(one.tile_id, wishes), -one.seq))


def lonlat_of(tile_id: TileId) -> BoundsLonLat:
    """(west, south, east, north) of a tile, degrees."""
    west, south, east, north = tile_bounds(tile_id)
    corners = mercator_to_lonlat(np.array([[west, south], [east, north]]))
    return (float(corners[0, 0]), float(corners[0, 1]), float(corners[1, 0]), float(corners[1, 1]))


def wishes_to_values(wishes: Iterable[Wish]) -> list[list[float]]:
    """As they travel."""
    return [[one.zoom, *(round(side, _DECIMALS) for side in one.bounds)] for one in wishes]


def wishes_from_values(values: Any) -> tuple[Wish, ...]:
    """What a server said; whatever does not read is no wish: it only decides what goes first."""
    found = []
    for one in values[:MOST_WISHES] if isinstance(values, list) else ():
        if not isinstance(one, list) or len(one) != 5 or any(type(side) not in (int, float) for side in one):
            continue
        zoom, *sides = one
        if type(zoom) is int and 0 <= zoom <= MAX_ZOOM and all(map(math.isfinite, sides)):
            west, south, east, north = map(float, sides)
            found.append(Wish(zoom, (west, south, east, north)))
    return tuple(found)
