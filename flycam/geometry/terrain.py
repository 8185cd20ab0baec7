"""Terrain as a regular grid of posts, bilinear between them; NaN where it is not known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class TerrainGrid:
    """Heights of ground posts in a work CRS.

    heights_m       rows×columns float32, row 0 northernmost, NaN unknown
    origin_m        (east, north) of the post at row 0, column 0
    post_spacing_m  (east step, south step), both positive: post (r, c) stands at
                    (origin_e + c * step_e, origin_n - r * step_s)
    vertical_datum  "EGM96", "EGM2008", "ELLIPSOID" or "LOCAL"
    dem_id          content-derived id of the DEM it was cut from; "flat:<height>" for a plane
    """

    heights_m: NDArray[np.float32]
    origin_m: tuple[float, float]
    post_spacing_m: tuple[float, float]
    work_crs: str
    vertical_datum: str
    dem_id: str
