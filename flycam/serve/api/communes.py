"""Communes, VN-2000 coordinates and restricted areas over HTTP."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from flycam.board.marks import build_vn2000_grid, locate_in_vn2000
from flycam.catalog.restrictions import RestrictedArea
from flycam.http.authenticator import Principal
from flycam.http.guards import OperatorPrincipal, require_guest
from flycam.http.requests import parse_bounds
from flycam.http.responses import Json, to_geojson_collection, to_geojson_feature
from flycam.http.services import CatalogHere
from flycam.model.access import Role
from flycam.model.flight import EXERCISE_COMMUNE_CODES
from flycam.model.records import BoundsLonLat, CommuneRecord
from flycam.model.time import format_iso

router = APIRouter(dependencies=[Depends(require_guest)])

_MAX_COMMUNES = 4000


@router.get("/api/communes")
def list_communes(
    catalog: CatalogHere,
    q: Annotated[str | None, Query(max_length=100)] = None,
    bounds: Annotated[str | None, Query(max_length=120)] = None,
    on: date | None = None,
    drill: bool | None = None,
    tolerance_m: Annotated[float, Query(ge=0, le=5000)] = 0.0,
) -> Json:
    """List boundaries in force on a date (default: the latest) as GeoJSON.

    They are simplified to a tolerance in metres. q searches names without regard to accents and case; bounds
    is west,south,east,north in degrees. drill: only those in which an exercise (true) or a real event (false)
    counts its ground, as on its board; for a day on which none was in force there, today's. In an exercise a
    search by name finds every commune.
    """
    if q:
        named = catalog.boundaries.search(q, on)
        found = [one for one in named if drill is not False or not one.is_synthetic]
    elif drill is None:
        found = catalog.boundaries.communes(on, parse_bounds(bounds))
    else:
        found = catalog.boundaries.list_countable(is_drill=drill, on_date=on, bounds=parse_bounds(bounds))
    return to_geojson_collection(
        to_geojson_feature(commune.wkb, build_commune_properties(commune), tolerance_m)
        for commune in found[:_MAX_COMMUNES]
    )


@router.get("/api/communes/extent")
def get_communes_extent(
    catalog: CatalogHere, on: date | None = None, made_up: bool = True
) -> BoundsLonLat | None:
    """Return (west, south, east, north) in degrees of all boundaries in force.

    null where none is known. made_up: synthetic ones of exercises count too.
    """
    return catalog.boundaries.extent(on, () if made_up else EXERCISE_COMMUNE_CODES)


def build_commune_properties(commune: CommuneRecord) -> Json:
    """Return the properties of a commune's feature."""
    return {
        "code": commune.code,
        "name": commune.name,
        "area_m2": commune.area_m2,
        "valid_from": commune.valid_from.isoformat(),
        "valid_to": commune.valid_to.isoformat() if commune.valid_to else None,
    }


# -- VN-2000, the CRS of Vietnamese maps: places, and the grid of a sheet --------------------------


coordinates_router = APIRouter(dependencies=[Depends(require_guest)])

_DECIMALS = 8  # of a degree: a millimetre


@coordinates_router.get("/api/vn2000")
def convert_to_vn2000(
    catalog: CatalogHere,
    lon: Annotated[float, Query(ge=-180, le=180)],
    lat: Annotated[float, Query(ge=-90, le=90)],
) -> Json | None:
    """Convert a place to north (X) and east (Y) in metres in a 3° zone of VN-2000.

    null outside Vietnam. The zone is that of the province, by the commune whose boundary holds the place;
    where no boundary is known, or its province's meridian is not, that of the nearest meridian, and
    `province` is null.
    """
    place = locate_in_vn2000(catalog.boundaries, lon, lat)
    return None if place is None else asdict(place)


@coordinates_router.get("/api/vn2000/grid")
def get_vn2000_grid(
    catalog: CatalogHere,
    west: Annotated[float, Query(ge=-180, le=180)],
    south: Annotated[float, Query(ge=-90, le=90)],
    east: Annotated[float, Query(ge=-180, le=180)],
    north: Annotated[float, Query(ge=-90, le=90)],
) -> Json | None:
    """Return the lines of the VN-2000 grid that cross a sheet, a round step apart.

    null outside Vietnam, and for bounds that are empty or wider than a zone. Each line: `axis` "x" (X, north,
    is constant along it) or "y" (Y, east), `value_m`, its points in WGS 84.
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


# -- Restricted areas, listed for roles that see the ground in them --------------------------------
#
# Administrators, who answer for the policy, see all.


areas_router = APIRouter()


@areas_router.get("/api/restricted")
def list_restricted_areas(catalog: CatalogHere, principal: OperatorPrincipal) -> list[Json]:
    """List the areas that one's own role sees, by name, with the roles that do."""
    return [
        {
            "area_id": one.area_id,
            "name": one.name,
            "roles": sorted(role.value for role in one.roles),
            "added": format_iso(one.added_ns),
            "bounds": list(one.bounds_lonlat_deg),
        }
        for one in catalog.restrictions.areas()
        if _may_know(principal, one)
    ]


def _may_know(principal: Principal, area: RestrictedArea) -> bool:
    if principal.has_role(Role.ADMIN):
        return True
    account = principal.account
    return (
        account is not None
        and account.role in area.roles
        and not principal.access_policy.is_outside(area.wkb)
    )
