"""Terrain shading as an offline base map, drawn from the registered DEM."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.errors import TerrainMissing
from flycam.geodata.dem import sample_heights
from flycam.geodata.dem_info import DemInfo
from flycam.geometry.grid import (
    TILE_SIZE_PX,
    TileId,
    grid_pixel_m,
    lonlat_to_mercator,
    mercator_to_lonlat,
    pixel_centres,
    range_for_bounds,
    single_tile_range,
)

Rgba = NDArray[np.uint8]

MIN_ZOOM = 7
MAX_ZOOM = 14
_DIRECT_ZOOM = 10
"""From here on a tile is shaded from heights; coarser ones are made of their four children, so that no
request reads a province of posts at once."""

_ZENITH = np.radians(45.0)
_LIGHTS = ((315.0, 0.7), (270.0, 0.15), (0.0, 0.15))
_DARKEST = np.array([86.0, 84.0, 78.0])
_LIGHTEST = np.array([246.0, 244.0, 236.0])
_CACHE_TILES = 1024


def shade(heights_m: NDArray[np.float64], pixel_m: float) -> Rgba:
    """Hillshade of (N+2)×(N+2) heights as N×N×4 uint8 RGBA; alpha 0 where a height is not known.

    Horn's gradient (Proc. IEEE 69, 1981) and Lambert's law under three lights: the north-west one of the
    atlas tradition, and two weaker ones so that slopes facing away keep their form.
    """
    known = np.isfinite(heights_m)
    filled = np.where(known, heights_m, np.nanmean(heights_m) if known.any() else 0.0)
    east = cv2.Sobel(filled, cv2.CV_64F, 1, 0, ksize=3, scale=1 / (8 * pixel_m))[1:-1, 1:-1]
    south = cv2.Sobel(filled, cv2.CV_64F, 0, 1, ksize=3, scale=1 / (8 * pixel_m))[1:-1, 1:-1]
    normal_z = 1 / np.sqrt(1 + east**2 + south**2)
    light = np.zeros_like(normal_z)
    for azimuth_deg, weight in _LIGHTS:
        azimuth = np.radians(azimuth_deg)
        to_light_e, to_light_n = np.sin(_ZENITH) * np.sin(azimuth), np.sin(_ZENITH) * np.cos(azimuth)
        lit = (-east * to_light_e + south * to_light_n + np.cos(_ZENITH)) * normal_z
        light += weight * np.clip(lit, 0, 1)
    rgba = np.empty((*light.shape, 4), np.uint8)
    rgba[..., :3] = _DARKEST + light[..., None] * (_LIGHTEST - _DARKEST)
    whole = cv2.erode(known.astype(np.uint8), np.ones((3, 3), np.uint8))
    rgba[..., 3] = 255 * whole[1:-1, 1:-1]
    return rgba


class Relief:
    """Hillshade tiles of a set of DEMs, kept in bounded memory. Safe to use from several threads."""

    def __init__(self, dems: Sequence[DemInfo]) -> None:
        self._dems = dems
        self._tiles: OrderedDict[TileId, Rgba | None] = OrderedDict()
        self._lock = threading.Lock()
        self._covered = [_mercator_box(dem) for dem in dems]

    def tile(self, tile_id: TileId) -> Rgba | None:
        """256×256×4 RGBA, or None where no terrain is known. Raises what reading a DEM raises."""
        with self._lock:
            if tile_id in self._tiles:
                self._tiles.move_to_end(tile_id)
                return self._tiles[tile_id]
        made = self._make(tile_id) if self._touches(tile_id) else None
        with self._lock:
            self._tiles[tile_id] = made
            if len(self._tiles) > _CACHE_TILES:
                self._tiles.popitem(last=False)
        return made

    def _touches(self, tile_id: TileId) -> bool:
        return any(tile_id in range_for_bounds(tile_id.z, box) for box in self._covered)

    def _make(self, tile_id: TileId) -> Rgba | None:
        return self._shaded(tile_id) if tile_id.z >= _DIRECT_ZOOM else self._of_children(tile_id)

    def _shaded(self, tile_id: TileId) -> Rgba | None:
        steps = np.arange(-1.0, TILE_SIZE_PX + 1)
        columns, rows = np.meshgrid(steps, steps)
        lonlat = mercator_to_lonlat(pixel_centres(single_tile_range(tile_id), rows, columns))
        try:
            heights, _ = sample_heights(self._dems, lonlat.reshape(-1, 2))
        except TerrainMissing:
            return None
        middle = lonlat[TILE_SIZE_PX // 2, TILE_SIZE_PX // 2, 1]
        return shade(
            heights.reshape(columns.shape), grid_pixel_m(tile_id.z) * float(np.cos(np.radians(middle)))
        )

    def _of_children(self, tile_id: TileId) -> Rgba | None:
        whole = np.zeros((2 * TILE_SIZE_PX, 2 * TILE_SIZE_PX, 4), np.uint8)
        found = False
        for place, child in enumerate(tile_id.children()):
            picture = self.tile(child)
            if picture is not None:
                found = True
                row, column = divmod(place, 2)
                window = whole[row * TILE_SIZE_PX :, column * TILE_SIZE_PX :]
                window[:TILE_SIZE_PX, :TILE_SIZE_PX] = picture
        return (
            cv2.resize(whole, (TILE_SIZE_PX, TILE_SIZE_PX), interpolation=cv2.INTER_AREA) if found else None
        )


def _mercator_box(dem: DemInfo) -> tuple[float, float, float, float]:
    west, south, east, north = dem.bounds_lonlat
    corners = lonlat_to_mercator(np.array([[west, south], [east, north]]))
    return (*corners[0].tolist(), *corners[1].tolist())
