"""Hillshade of the registered terrain, rendered per tile: the offline base map."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT

from flycam.errors import SourceUnreadable
from flycam.geodata.crs import WEB_MERCATOR
from flycam.geodata.dem import HIGHEST_M, LOWEST_M, DemInfo
from flycam.geodata.raster_source import open_raster
from flycam.geometry.grid import (
    TILE_SIZE_PX,
    TileId,
    compute_grid_pixel_m,
    compute_ground_pixel_m,
    get_tile_bounds,
    mercator_to_lonlat,
)
from flycam.messages import _

SUN_AZIMUTH_DEG = 315.0
SUN_ALTITUDE_DEG = 45.0
_FULL_RELIEF_ZOOM = 13
_SHADOW_RGB, _LIGHT_RGB = (70.0, 78.0, 84.0), (247.0, 246.0, 240.0)
_TONES, _ALPHAS = 51, 5
_FADE_PX = 32
"""Pixels over which shading fades out where known terrain ends: an edge of the data, not of a mountain."""
_GROUND_TONE = 0.89
"""The tone nearest the page's ground (`--ground` in web/src/style.css): shading fades to it, so that no edge
shows, however few opacities there are."""


def render_hillshade_tile(dems: Sequence[DemInfo], tile: TileId) -> NDArray[np.uint8] | None:
    """Render shaded relief of one tile, 256×256 indices of `make_palette`.

    0 where no terrain is known, None if nowhere. The finest file goes first and the next fills its holes.
    Below zoom 13 the relief is exaggerated, because averaging over wide pixels flattens slopes. Raises
    SourceUnreadable if a registered file is gone, `DemInfo.trouble` of one that is needed.
    """
    west, south, east, north = get_tile_bounds(tile)
    corners = mercator_to_lonlat(np.array([[west, south], [east, north]]))
    (lon0, lat0), (lon1, lat1) = corners.tolist()
    side = TILE_SIZE_PX + 2 * _FADE_PX
    heights = np.full((side, side), np.nan, dtype=np.float32)
    for dem in sorted(dems, key=lambda d: d.post_spacing_m):
        w, s, e, n = dem.bounds_lonlat
        if w <= lon1 and e >= lon0 and s <= lat1 and n >= lat0 and np.isnan(heights).any():
            found = _warped(dem, tile)
            np.copyto(heights, found, where=np.isnan(heights))
    inner = np.s_[_FADE_PX - 1 : 1 - _FADE_PX, _FADE_PX - 1 : 1 - _FADE_PX]
    if np.isnan(heights[inner][1:-1, 1:-1]).all():
        return None
    pixel_m = compute_ground_pixel_m(tile.z, (lat0 + lat1) / 2.0)
    exaggeration = 1.0 + 0.3 * max(_FULL_RELIEF_ZOOM - tile.z, 0)
    tone = compute_hillshade(heights[inner], pixel_m, exaggeration)
    share = _fade(np.isfinite(heights))[_FADE_PX:-_FADE_PX, _FADE_PX:-_FADE_PX]
    return _numbered(_GROUND_TONE + share * (tone - _GROUND_TONE), share)


def make_palette() -> NDArray[np.uint8]:
    """Make the palette of tiles, 256×4 RGBA: one byte a pixel where RGBA has four."""
    colours = np.zeros((256, 4), dtype=np.uint8)
    share = np.arange(_TONES)[:, None] / (_TONES - 1)
    tones = np.array(_SHADOW_RGB) + share * (np.array(_LIGHT_RGB) - np.array(_SHADOW_RGB))
    for level in range(_ALPHAS):
        start = 1 + level * _TONES
        colours[start : start + _TONES, :3] = np.round(tones)
        colours[start : start + _TONES, 3] = round(255 * (level + 1) / _ALPHAS)
    return colours


def _numbered(tone: NDArray[np.float64], alpha: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return palette indices of tones (NaN unknown) and opacities from 0 to 1."""
    level = np.ceil(alpha * _ALPHAS).astype(np.int16)
    number = 1 + (level - 1) * _TONES + np.rint(np.nan_to_num(tone) * (_TONES - 1)).astype(np.int16)
    return np.where(np.isfinite(tone) & (level > 0), number, 0).astype(np.uint8)


def _fade(known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the relief's opacity, rising over `_FADE_PX` from the edge of the known.

    Without a kink at either end.
    """
    if known.all():
        return np.ones(known.shape)
    away = cv2.distanceTransform(known.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    share = np.clip(away.astype(np.float64) / _FADE_PX, 0.0, 1.0)
    return np.asarray(share * share * (3.0 - 2.0 * share))


def compute_hillshade(
    heights_m: NDArray[np.float32], pixel_m: float, exaggeration: float = 1.0
) -> NDArray[np.float64]:
    """Shade (rows+2)×(cols+2) heights to rows×cols tones, 0 (dark) to 1; NaN unknown.

    The heights have one pixel of rim. Lambert's cosine of a sun in the north-west at 45° over slopes by
    Horn's 3×3 differences (Horn 1981, Proc. IEEE 69). `pixel_m` is the pixel's side on the ground.
    """
    # without heights beyond the edge it would not be shaded: fill the rim from its inner neighbours
    heights = heights_m.astype(np.float64)
    out = heights.copy()
    for rim, inner in ((np.s_[0], np.s_[1]), (np.s_[-1], np.s_[-2])):
        out[rim] = np.where(np.isnan(out[rim]), out[inner], out[rim])
        out[:, rim] = np.where(np.isnan(out[:, rim]), out[:, inner], out[:, rim])
    z = out * (exaggeration / (8.0 * pixel_m))
    up, middle, down = z[:-2], z[1:-1], z[2:]
    east = (up[:, 2:] + 2 * middle[:, 2:] + down[:, 2:]) - (up[:, :-2] + 2 * middle[:, :-2] + down[:, :-2])
    north = (up[:, :-2] + 2 * up[:, 1:-1] + up[:, 2:]) - (down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:])
    azimuth, altitude = math.radians(SUN_AZIMUTH_DEG), math.radians(SUN_ALTITUDE_DEG)
    sun_e = math.sin(azimuth) * math.cos(altitude)
    sun_n = math.cos(azimuth) * math.cos(altitude)
    light = (math.sin(altitude) - east * sun_e - north * sun_n) / np.sqrt(1.0 + east**2 + north**2)
    known = np.isfinite(light) & np.isfinite(heights_m[1:-1, 1:-1])
    return np.where(known, np.clip(light, 0.0, 1.0), np.nan)


def _warped(dem: DemInfo, tile: TileId) -> NDArray[np.float32]:
    """Read heights at the tile's pixels and `_FADE_PX` around, NaN unknown.

    GDAL keeps the memory bounded.
    """
    pixel = compute_grid_pixel_m(tile.z)
    west, __, __, north = get_tile_bounds(tile)
    size, rim = TILE_SIZE_PX + 2 * _FADE_PX, _FADE_PX * pixel
    finer = dem.post_spacing_m < compute_ground_pixel_m(
        tile.z, (dem.bounds_lonlat[1] + dem.bounds_lonlat[3]) / 2
    )
    try:
        with (
            open_raster(dem.file()) as source,
            WarpedVRT(
                source,
                crs=WEB_MERCATOR,
                transform=Affine(pixel, 0.0, west - rim, 0.0, -pixel, north + rim),
                width=size,
                height=size,
                resampling=Resampling.average if finer else Resampling.cubic_spline,
                dtype="float32",
                nodata=np.nan,
            ) as view,
        ):
            heights = view.read(1) * np.float32(dem.unit_m)
    except RasterioError as error:
        raise SourceUnreadable(
            _(
                "{name}: registered terrain can no longer be read: put the file back or add it again",
                name=dem.path.name,
            )
        ) from error
    heights[(heights < LOWEST_M) | (heights > HIGHEST_M)] = np.nan
    return np.asarray(heights, dtype=np.float32)
