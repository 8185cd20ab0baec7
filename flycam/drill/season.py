"""Colour of leaves and soil on another date: factors of the reflectance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flycam.drill.cell_window import CellWindow
from flycam.drill.date_changes import DateChanges
from flycam.drill.ground_colour import LEAFY
from flycam.drill.land_cover import LandCover
from flycam.drill.spatial_noise import Singles, generate_smooth_noise

_SOIL = (
    LandCover.PLOUGHED,
    LandCover.SCAR,
    LandCover.CUTTING,
    LandCover.TRACK,
    LandCover.YARD,
    LandCover.GRAVEL,
)
# red, green, blue of fully dried leaves relative to fresh ones
_DRY = np.array([1.42, 1.10, 1.12], np.float32)
_FRESH = np.array([0.86, 1.04, 0.90], np.float32)
_WET_SOIL = 0.62
_SHEDDING = 0.18


def apply_season(
    albedo: Singles, cover: NDArray[np.uint8], parcel: Singles, window: CellWindow, between: DateChanges
) -> Singles:
    """Return the reflectance rows×columns×3 of one band on the after-date.

    Leaves change colour by areas of some hundred metres, single trees more than others; soils differ by
    their parent rock, and are darker where it rained.
    """
    east, north, seed = window.eastings, window.northings, between.seed
    drift = 0.25 * generate_smooth_noise(east, north, 260.0, seed, "season") + between.season
    leafy = np.isin(cover, LEAFY)
    shed = leafy & (cover == LandCover.CROWN) & (parcel * 17.0 % 1.0 < _SHEDDING * max(between.season, 0.0))
    turned = np.clip(drift + np.where(shed, 1.2, 0.0), -1.0, 2.0)[..., None]
    leaves = np.where(turned > 0, _DRY ** np.maximum(turned, 0.0), _FRESH ** np.maximum(-turned, 0.0))
    rock = generate_smooth_noise(east, north, 95.0, seed, "rock")[..., None]
    soils = np.exp(0.14 * rock * np.array([1.0, 0.75, 0.5], np.float32)) * _WET_SOIL**between.wetness
    factor = np.where(leafy[..., None], leaves, 1.0)
    factor = np.where(np.isin(cover, _SOIL)[..., None], soils, factor)
    return np.asarray(np.clip(albedo * factor, 0.002, 1.0), np.float32)
