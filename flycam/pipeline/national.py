"""A place in the coordinates that Vietnamese maps are printed in: VN-2000, in the zone of its province."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flycam.catalog.boundaries import Boundaries
from flycam.geodata.crs import wgs84_points_to_vn2000
from flycam.geodata.vn2000 import central_meridian_deg, nearest_zone, province_of_commune, zone_of_meridian

# the mainland, its islands and Hoang Sa and Truong Sa: beyond, VN-2000 is not used
_WEST, _SOUTH, _EAST, _NORTH = 102.0, 6.0, 118.0, 23.5


@dataclass(frozen=True, kw_only=True, slots=True)
class NationalPlace:
    """X north and Y east in metres in a 3-degree zone; `province` None where the zone is only the nearest."""

    x_north_m: float
    y_east_m: float
    crs: str
    central_meridian_deg: float
    province: str | None


def national_place(boundaries: Boundaries, lon_deg: float, lat_deg: float) -> NationalPlace | None:
    """The place in VN-2000; None outside Vietnam.

    The zone is that of the province, by the commune whose boundary holds the place; where no boundary is
    known, or its province's meridian is not, that of the nearest meridian.
    """
    if not (_WEST <= lon_deg <= _EAST and _SOUTH <= lat_deg <= _NORTH):
        return None
    commune = boundaries.at(lon_deg, lat_deg)
    province = province_of_commune(commune.code) if commune else None
    zone = zone_of_meridian(province.meridian_deg) if province else nearest_zone(lon_deg)
    points, _ = wgs84_points_to_vn2000(np.array([[lon_deg, lat_deg]]), zone)
    east, north = points[0].tolist()
    return NationalPlace(
        x_north_m=round(north, 2),
        y_east_m=round(east, 2),
        crs=zone,
        central_meridian_deg=central_meridian_deg(zone),
        province=province.name if province else None,
    )
