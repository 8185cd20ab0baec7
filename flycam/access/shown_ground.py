"""Ground that one placement of a photo may show: more than its footprint, which is the ground mapped of it.

Mapping ends where pixels become coarse (decision 0013), while an oblique photo shows ground to the horizon;
and a photo shows other ground than its footprint by the error of its pose. Only access asks for this wider
ground: lists, gaps and drawings keep to footprints.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from flycam.geodata.crs import to_lonlat, to_work
from flycam.geometry.camera import InteriorOrientation
from flycam.geometry.footprint import outline_view_beyond
from flycam.geometry.pose import ExteriorOrientation
from flycam.model.records import Placement

# -- Buffers in metres around geometries in degrees ------------------------------------------------


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


# -- Ground that a placement may show --------------------------------------------------------------


FOOTPRINT_MARGIN_M = 30.0
"""An image may show ground this far outside its footprint: poses have errors, and footprints are cut short.
"""
SIGMAS_BESIDE = 2.0
"""It may show ground this many sigmas of its place outside, where that is more."""

_MAX_CACHED = 2048


def outline_shown_ground(placement: Placement, margin_m: float = FOOTPRINT_MARGIN_M) -> bytes | None:
    """Outline all ground that a placement may show, margin included (WKB, lon/lat).

    None where its footprint is unknown.

    margin_m  the least margin
    """
    if placement.footprint_wkb is None:
        return None
    return _outline(placement.interior, placement.exterior, placement.footprint_wkb, margin_m)


@lru_cache(maxsize=_MAX_CACHED)
def _outline(
    interior: InteriorOrientation | None,
    exterior: ExteriorOrientation | None,
    footprint_wkb: bytes,
    margin_m: float,
) -> bytes:
    """Outline the ground from what it depends on; bytes, since threads share them."""
    shown = repair_geometry(footprint_wkb)
    if exterior is not None and not shown.is_empty:
        footprint_m = to_work(shapely.get_coordinates(shown), exterior.work_crs)
        margin_m = max(margin_m, SIGMAS_BESIDE * _estimate_sigma_m(exterior, footprint_m))
        if interior is not None:
            beyond = outline_view_beyond(interior, exterior, footprint_m)
            if len(beyond):
                sector = shapely.make_valid(shapely.Polygon(to_lonlat(beyond, exterior.work_crs)))
                shown = shapely.union(shown, sector)
    wkb: bytes = shapely.to_wkb(expand_geometry(shown, margin_m))
    return wkb


def _estimate_sigma_m(exterior: ExteriorOrientation, footprint_m: np.ndarray) -> float:
    """Estimate the 1-sigma of where the farthest corner of a footprint lies."""
    farthest_m = np.linalg.norm(footprint_m - exterior.projection_centre_m[:2], axis=1).max()
    return float(np.hypot(max(exterior.sigma_position_m), max(exterior.sigma_attitude_rad) * farthest_m))
