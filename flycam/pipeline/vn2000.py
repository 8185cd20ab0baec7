"""Places in VN-2000, the coordinates of printed Vietnamese maps, in the zone of their province."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flycam.catalog.boundaries import Boundaries
from flycam.geodata.crs import to_vn2000
from flycam.geodata.vn2000 import find_nearest_zone, find_province, get_central_meridian_deg, get_zone
from flycam.geodata.vn2000_grid import GridLine, compute_grid_lines

# the mainland, its islands and Hoang Sa and Truong Sa: beyond, VN-2000 is not used
_WEST, _SOUTH, _EAST, _NORTH = 102.0, 6.0, 118.0, 23.5
_MAX_WIDTH_DEG = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Vn2000Position:
    """VN-2000 coordinates: X north, Y east in metres, in a 3-degree zone.

    province None: the zone is the nearest one.
    """

    x_north_m: float
    y_east_m: float
    crs: str
    central_meridian_deg: float
    province: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Vn2000Grid:
    """Grid lines of one zone, `step_m` apart; `province` as in Vn2000Position."""

    crs: str
    central_meridian_deg: float
    province: str | None
    step_m: float
    lines: list[GridLine]


def locate_in_vn2000(boundaries: Boundaries, lon_deg: float, lat_deg: float) -> Vn2000Position | None:
    """Locate a place in VN-2000; None outside Vietnam.

    The zone is that of the province, by the commune whose boundary holds the place; without a known boundary
    or provincial meridian, that of the nearest meridian.
    """
    found = _zone_at(boundaries, lon_deg, lat_deg)
    if found is None:
        return None
    zone, province = found
    points, _ = to_vn2000(np.array([[lon_deg, lat_deg]]), zone)
    east, north = points[0].tolist()
    return Vn2000Position(
        x_north_m=round(north, 2),
        y_east_m=round(east, 2),
        crs=zone,
        central_meridian_deg=get_central_meridian_deg(zone),
        province=province,
    )


def build_vn2000_grid(boundaries: Boundaries, bounds: tuple[float, float, float, float]) -> Vn2000Grid | None:
    """Build the grid of a rectangle, in the zone of its centre.

    bounds: west, south, east, north in degrees. None outside Vietnam, and for more than a zone is wide.
    """
    west, south, east, north = bounds
    if not (0.0 < east - west <= _MAX_WIDTH_DEG and 0.0 < north - south <= _MAX_WIDTH_DEG):
        return None
    found = _zone_at(boundaries, (west + east) / 2.0, (south + north) / 2.0)
    if found is None:
        return None
    zone, province = found
    step_m, lines = compute_grid_lines(bounds, zone)
    return Vn2000Grid(
        crs=zone,
        central_meridian_deg=get_central_meridian_deg(zone),
        province=province,
        step_m=step_m,
        lines=lines,
    )


def _zone_at(boundaries: Boundaries, lon_deg: float, lat_deg: float) -> tuple[str, str | None] | None:
    """Find the zone of a place and the province that sets it; None outside Vietnam."""
    if not (_WEST <= lon_deg <= _EAST and _SOUTH <= lat_deg <= _NORTH):
        return None
    commune = boundaries.find_at(lon_deg, lat_deg)
    province = find_province(commune.code) if commune else None
    if province is None:
        return find_nearest_zone(lon_deg), None
    return get_zone(province.meridian_deg), province.name
