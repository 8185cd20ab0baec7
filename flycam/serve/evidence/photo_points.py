"""Position of a place in a photo, and the newest photo that shows it obliquely."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import shapely

from flycam.catalog.records import FrameRecord
from flycam.errors import ObjectMissing, TileCorrupt
from flycam.geodata.crs import to_work
from flycam.geometry.camera import is_in_image, project
from flycam.geometry.exterior import ExteriorOrientation
from flycam.geometry.interior import InteriorOrientation
from flycam.geometry.terrain import interpolate_heights
from flycam.serve.http.json_values import Json
from flycam.serve.tiles.terrain_cache import TerrainCache
from flycam.store import keys

MIN_OBLIQUE_PITCH_DEG = -60.0
"""Photos whose axis points further down show a place from above."""


def locate_in_photo(
    grounds: TerrainCache,
    interior: InteriorOrientation,
    exterior: ExteriorOrientation | None,
    dem_id: str | None,
    lonlat: tuple[float, float],
) -> Json | None:
    """Return where a place (WGS 84 degrees) lies in a photo.

    `x`, `y` in its pixels (corners of pixels at integers) and the photo's `width`, `height`. By the pose and
    the recorded terrain on which it was orthorectified; None where one of them is unknown, or the place is
    outside.
    """
    if exterior is None or dem_id is None:
        return None
    try:
        terrain = grounds.grid(keys.format_terrain_key(dem_id))
    except (ObjectMissing, TileCorrupt):
        return None
    place = to_work(np.array([lonlat]), exterior.work_crs)
    at = np.concatenate([place, interpolate_heights(terrain, place)[:, None]], axis=1)
    uv, _ = project(interior, exterior, at)
    if not bool(is_in_image(interior, uv[:, 0], uv[:, 1])[0]):
        return None
    width, height = interior.image_size_px
    x, y = (uv[0] + 0.5).tolist()
    return {"x": round(x, 1), "y": round(y, 1), "width": width, "height": height}


def compute_pitch_deg(exterior: ExteriorOrientation) -> float:
    """Return the pitch of the camera axis: -90 straight down, 0 level."""
    return math.degrees(math.asin(min(max(exterior.rotation[2][2], -1.0), 1.0)))


def find_newest_oblique(frames: Iterable[FrameRecord], lonlat: tuple[float, float]) -> FrameRecord | None:
    """Return the newest orthorectified frame that shows a place obliquely, or None."""
    found = [
        one
        for one in frames
        if one.exterior is not None
        and one.footprint_wkb is not None
        and compute_pitch_deg(one.exterior) > MIN_OBLIQUE_PITCH_DEG
        and shapely.intersects_xy(shapely.from_wkb(one.footprint_wkb), *lonlat)
    ]
    return max(found, key=lambda one: one.header.captured_ns, default=None)
