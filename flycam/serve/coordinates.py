"""A place in the coordinates that Vietnamese maps are printed in: VN-2000."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends, Query

from flycam.geodata.crs import wgs84_points_to_vn2000
from flycam.geodata.vn2000 import central_meridian_deg, nearest_zone, province_of_commune, zone_of_meridian
from flycam.serve.flights import CatalogHere
from flycam.serve.guard import viewer
from flycam.serve.wording import Json

router = APIRouter(dependencies=[Depends(viewer)])

# the mainland, its islands and Hoang Sa and Truong Sa: beyond, VN-2000 is not used
_WEST, _SOUTH, _EAST, _NORTH = 102.0, 6.0, 118.0, 23.5


@router.get("/api/vn2000")
def vn2000(
    catalog: CatalogHere,
    lon: Annotated[float, Query(ge=-180, le=180)],
    lat: Annotated[float, Query(ge=-90, le=90)],
) -> Json | None:
    """North (X) and east (Y) in metres in a 3-degree zone of VN-2000; null outside Vietnam.

    The zone is that of the province, by the commune whose boundary holds the place; where no boundary is
    known, or its province's meridian is not, that of the nearest meridian, and `province` is null.
    """
    if not (_WEST <= lon <= _EAST and _SOUTH <= lat <= _NORTH):
        return None
    commune = catalog.boundaries.at(lon, lat)
    province = province_of_commune(commune.code) if commune else None
    zone = zone_of_meridian(province.meridian_deg) if province else nearest_zone(lon)
    points, _ = wgs84_points_to_vn2000(np.array([[lon, lat]]), zone)
    east, north = points[0].tolist()
    return {
        "x_north_m": round(north, 2),
        "y_east_m": round(east, 2),
        "crs": zone,
        "central_meridian_deg": central_meridian_deg(zone),
        "province": province.name if province else None,
    }
