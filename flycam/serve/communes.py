"""Communes, their board, VN-2000 coordinates and restricted areas over HTTP."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Annotated

import shapely
from fastapi import APIRouter, Depends, Query, Request

from flycam.access.policy import AccessPolicy, list_visible_flights
from flycam.board.commune_board import (
    FlightCoverage,
    build_commune_board,
    compute_imaged_share,
    list_layer_troubles,
    select_board_communes,
)
from flycam.board.marks import build_vn2000_grid, locate_in_vn2000
from flycam.catalog.access import RestrictedArea
from flycam.catalog.catalog import Catalog
from flycam.change.comparison import find_compared_ground
from flycam.change.export import serialize_waiting
from flycam.concurrency import LruCache
from flycam.http.guards import (
    AccessPolicyHere,
    CatalogHere,
    OperatorPrincipal,
    Principal,
    require_guest,
    require_viewer,
)
from flycam.http.protocol import (
    Json,
    format_iso_or_none,
    parse_bounds,
    parse_until,
    to_geojson_collection,
    to_geojson_feature,
)
from flycam.ingest.live.routes import LiveFlight, LiveFlightFeed, LiveState, get_live_feed
from flycam.model.access import Role
from flycam.model.flight import EXERCISE_COMMUNE_CODES, Flight, FlightState
from flycam.model.records import BoundsLonLat, CommuneRecord
from flycam.model.time import format_iso
from flycam.serve.flight_routes import get_shown_outline

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


# -- Features in trouble by commune and layer, cached ----------------------------------------------
#
# Counted anew when a layer, a boundary or the access policy changes.


# access policies, each with its own communes
_MAX_CACHED_COUNTS = 16


class CommuneTroubles:
    """Trouble counts of one catalogue. Safe to use from several threads."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._counts = LruCache[object, list[list[Json]]](_MAX_CACHED_COUNTS)

    def count_troubles(self, communes: Sequence[CommuneRecord], policy: AccessPolicy) -> list[list[Json]]:
        """Count features in trouble by commune, in their order, and layer.

        Only what the policy shows.
        """
        # key taken before the layers are read: a change meanwhile leaves a stale key, and the counts are
        # redone
        digest_of_all = hashlib.sha256()
        for commune in communes:
            digest_of_all.update(f"{commune.code} {commune.valid_from} {len(commune.wkb)} ".encode())
            digest_of_all.update(commune.wkb)
        key = (tuple(self._catalog.layers.all()), digest_of_all.digest(), policy.fingerprint)
        return self._counts.get(key, lambda: self._count(communes, policy))

    def _count(self, communes: Sequence[CommuneRecord], policy: AccessPolicy) -> list[list[Json]]:
        counts: list[list[Json]] = [[] for _ in communes]
        for one in list_layer_troubles(self._catalog, communes, policy):
            layer = one.layer
            counts[one.commune_index].append(
                {
                    "layer_id": layer.layer_id,
                    "name": layer.name,
                    "kind": layer.kind.value,
                    "count": len(one.features),
                }
            )
        return counts


# -- Commune board ---------------------------------------------------------------------------------


board_router = APIRouter(dependencies=[Depends(require_viewer)])


@board_router.get("/api/board")
def get_commune_board(
    request: Request,
    catalog: CatalogHere,
    sky: Annotated[LiveFlightFeed, Depends(get_live_feed)],
    access_policy: AccessPolicyHere,
    event: Annotated[str, Query(max_length=200)],
    on: date | None = None,
    until: datetime | None = None,
) -> Json:
    """List the communes in force on a date with the state of an event.

    Where no communes are known for the date, today's are listed; synthetic ones in exercises only, and they
    alone where all of the exercise was flown over them.

    `imaged_pct` null: not imaged; beside `communes`: of the ground of all of them together. `waiting`: change
    candidates by kind, with their ground in the commune; null: none. `changes` counts confirmed changes,
    overlapping ones once; 0: none on the ground that was compared (`compared_pct`); null: none is confirmed
    there, which does not mean that nothing changed.

    With `until` (Vietnam's time where it has no zone) only flights count whose last image was taken by then,
    and marks and changes are those of that time. `under_way` names flights over a commune that had begun by
    then and were not over: whether they had imaged it yet is unknown, so it must not be called unflown.
    `aloft` names flights in the air over a commune now, none for an earlier time. `troubles`: number of
    features that their owner reports to be in trouble, by layer; null for an earlier time, as layers are kept
    only as they were read last.
    """
    found = catalog.flights.event(event)
    event_id = found.event_id
    here = list_visible_flights(catalog, access_policy, event_id)
    flights = [one for one in here if one.state is not FlightState.WITHDRAWN]
    until_ns = parse_until(until)
    compared = find_compared_ground(catalog, [event_id], access_policy, until_ns)
    communes = select_board_communes(
        catalog.boundaries, flights, compared.ground, on, is_drill=found.is_drill
    )
    if not access_policy.is_nothing:
        communes = [one for one in communes if not access_policy.is_outside(_find_inner_point(one.wkb))]
    over, begun = _split_by_time(flights, until_ns)
    changed = catalog.changes.current(event_id, until_ns=until_ns)
    rows = build_commune_board(
        communes,
        [_get_flown_ground(request, catalog, one) for one in over],
        catalog.marks.current(event_id, until_ns=until_ns),
        _find_live_positions(sky, event_id, access_policy) if until_ns is None else {},
        [_get_flown_ground(request, catalog, one) for one in begun],
        [one for one in changed if not access_policy.hides_change(one)],
        compared,
    )
    known: CommuneTroubles = request.app.state.commune_troubles
    troubles = [None] * len(rows) if until_ns is not None else known.count_troubles(communes, access_policy)
    valid_from = max((one.valid_from.isoformat() for one in communes), default=None)
    return {
        "event_id": event_id,
        "valid_from": valid_from,
        "imaged_pct": compute_imaged_share(rows),
        "communes": [
            {
                "code": one.code,
                "name": one.name,
                "bounds": [round(side, 6) for side in one.bounds_lonlat_deg],
                "imaged_pct": one.imaged_pct,
                "newest": format_iso_or_none(one.newest_ns),
                "newest_flight": one.newest_flight,
                "newest_pct": one.newest_pct,
                "flights": one.flights,
                "marks": {kind.value: count for kind, count in sorted(one.marks.items())},
                "changes": one.changes,
                "waiting": serialize_waiting(one.waiting),
                "compared_pct": one.compared_pct,
                "aloft": one.flying_flights,
                "under_way": one.unfinished_flights,
                "troubles": some,
            }
            for one, some in zip(rows, troubles, strict=True)
        ],
    }


def _find_inner_point(wkb: bytes) -> bytes:
    """Return a point inside a commune (WKB), as neighbours' boundaries touch its own."""
    point: bytes = shapely.to_wkb(shapely.from_wkb(wkb).representative_point())
    return point


def _split_by_time(flights: Sequence[Flight], until_ns: int | None) -> tuple[list[Flight], list[Flight]]:
    """Split flights into those over by a time (None: now) and those in progress then.

    A flight is over when its last frame was taken by then.
    """
    if until_ns is None:
        return list(flights), []
    begun = [one for one in flights if one.first_ns <= until_ns]
    return [one for one in begun if one.last_ns <= until_ns], [one for one in begun if one.last_ns > until_ns]


def _get_flown_ground(request: Request, catalog: Catalog, flight: Flight) -> FlightCoverage:
    return FlightCoverage(
        flight_id=flight.flight_id,
        last_ns=flight.last_ns,
        work_crs=flight.work_crs,
        outline_wkb=get_shown_outline(request, catalog, flight),
        coverage=catalog.boundaries.coverage(flight.flight_id),
    )


def _find_live_positions(
    sky: LiveFlightFeed, event_id: str, access_policy: AccessPolicy
) -> dict[str, tuple[float, float]]:
    """Return where live flights of the event look, else where the aircraft are.

    Includes flights that fell silent; leaves out landed ones and recordings that are replayed.
    """
    now_s = sky.now_s()
    flights = [
        one
        for one in sky.read_flights()
        if one.report.event_id == event_id
        and not one.report.is_recording
        and not access_policy.hides_flight(one.report.flight_id)
    ]
    places = {
        one.report.flight_id: _find_position(one)
        for one in flights
        if one.get_state(now_s) is not LiveState.ENDED
    }
    return {flight_id: place for flight_id, place in places.items() if place is not None}


def _find_position(one: LiveFlight) -> tuple[float, float] | None:
    if len(one.report.footprint) > 2:
        middle = shapely.Polygon(one.report.footprint).centroid
        return middle.x, middle.y
    return one.report.aircraft.lonlat_deg if one.report.aircraft else None
