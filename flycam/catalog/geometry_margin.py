"""Buffers in metres around geometries in degrees."""

from __future__ import annotations

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

_METRES_PER_DEGREE = 111_320.0


def expand_geometry(shape: BaseGeometry, margin_m: float) -> BaseGeometry:
    """Buffer a geometry in degrees: at least this wide on the ground everywhere."""
    if margin_m <= 0.0 or shape.is_empty:
        return shape
    _, south, _, north = shape.bounds
    # a degree of longitude is shortest at the latitude farthest from the equator
    shrink = float(np.cos(np.radians(min(max(abs(south), abs(north)), 85.0))))
    return shape.buffer(margin_m / (_METRES_PER_DEGREE * shrink), quad_segs=4)


def repair_geometry(wkb: bytes) -> BaseGeometry:
    """Parse a stored geometry and make it valid.

    One that GEOS cannot work with would fail every access check.
    """
    shape = shapely.from_wkb(wkb)
    return shape if shape.is_valid else shapely.make_valid(shape)
