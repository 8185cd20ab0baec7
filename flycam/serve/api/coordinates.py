"""Places, and the grid of a map sheet, in VN-2000, the CRS of Vietnamese maps."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from flycam.pipeline.vn2000 import build_vn2000_grid, locate_in_vn2000
from flycam.serve.auth.guards import require_guest
from flycam.serve.http.json_values import Json
from flycam.serve.services import CatalogHere

router = APIRouter(dependencies=[Depends(require_guest)])

_DECIMALS = 8  # of a degree: a millimetre


@router.get("/api/vn2000")
def convert_to_vn2000(
    catalog: CatalogHere,
    lon: Annotated[float, Query(ge=-180, le=180)],
    lat: Annotated[float, Query(ge=-90, le=90)],
) -> Json | None:
    """North (X) and east (Y) in metres in a 3-degree zone of VN-2000; null outside Vietnam.

    The zone is that of the province, by the commune whose boundary holds the place; where no boundary is
    known, or its province's meridian is not, that of the nearest meridian, and `province` is null.
    """
    place = locate_in_vn2000(catalog.boundaries, lon, lat)
    return None if place is None else asdict(place)


@router.get("/api/vn2000/grid")
def get_vn2000_grid(
    catalog: CatalogHere,
    west: Annotated[float, Query(ge=-180, le=180)],
    south: Annotated[float, Query(ge=-90, le=90)],
    east: Annotated[float, Query(ge=-180, le=180)],
    north: Annotated[float, Query(ge=-90, le=90)],
) -> Json | None:
    """The lines of the VN-2000 grid that cross a sheet, a round step apart; null outside Vietnam, and for
    bounds that are empty or wider than a zone.

    Each line: `axis` "x" (X, north, is the same all along) or "y" (Y, east), `value_m`, its WGS 84 places.
    """
    grid = build_vn2000_grid(catalog.boundaries, (west, south, east, north))
    if grid is None:
        return None
    lines = [
        {"axis": one.axis, "value_m": one.value_m, "lonlat": one.lonlat.round(_DECIMALS).tolist()}
        for one in grid.lines
    ]
    return {
        "crs": grid.crs,
        "central_meridian_deg": grid.central_meridian_deg,
        "province": grid.province,
        "step_m": grid.step_m,
        "lines": lines,
    }
