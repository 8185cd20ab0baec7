"""A place in the coordinates that Vietnamese maps are printed in: VN-2000."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends, Query

from flycam.geodata.crs import central_meridian_deg, wgs84_points_to_vn2000
from flycam.serve.guard import viewer
from flycam.serve.wording import Json

router = APIRouter(dependencies=[Depends(viewer)])

# the mainland, its islands and Hoang Sa and Truong Sa: beyond, VN-2000 is not used
_WEST, _SOUTH, _EAST, _NORTH = 102.0, 6.0, 118.0, 23.5


@router.get("/api/vn2000")
def vn2000(
    lon: Annotated[float, Query(ge=-180, le=180)], lat: Annotated[float, Query(ge=-90, le=90)]
) -> Json | None:
    """North (X) and east (Y) in metres in the 3-degree zone whose meridian is nearest; null outside Vietnam.

    By law the meridian belongs to the province, so it is stated with the numbers.
    """
    if not (_WEST <= lon <= _EAST and _SOUTH <= lat <= _NORTH):
        return None
    points, zone = wgs84_points_to_vn2000(np.array([[lon, lat]]))
    east, north = points[0].tolist()
    return {
        "x_north_m": round(north, 2),
        "y_east_m": round(east, 2),
        "crs": zone,
        "central_meridian_deg": central_meridian_deg(zone),
    }
