"""Communes of the view, and search by name without accents."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from flycam.catalog.records import BoundsLonLat, CommuneRecord
from flycam.frame.exercise_communes import EXERCISE_COMMUNE_CODES
from flycam.serve.auth.guards import require_guest
from flycam.serve.http.bounds import parse_bounds
from flycam.serve.http.json_values import Json, to_geojson_collection, to_geojson_feature
from flycam.serve.services import CatalogHere

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
    """Boundaries in force on a date (default: the latest) as GeoJSON, simplified to a tolerance in metres.

    q searches names, accents and case aside; bounds is west,south,east,north in degrees. drill: only those in
    which a drill (true) or a real event (false) counts its ground, as its board does: of a day on which none
    was in force there those of today. A drill finds by name whatever there is.
    """
    if q:
        named = catalog.boundaries.search(q, on)
        found = [one for one in named if drill is not False or not one.is_synthetic]
    elif drill is None:
        found = catalog.boundaries.communes(on, parse_bounds(bounds))
    else:
        found = catalog.boundaries.list_countable(is_drill=drill, on_date=on, bounds=parse_bounds(bounds))
    return to_geojson_collection(_to_feature(commune, tolerance_m) for commune in found[:_MAX_COMMUNES])


@router.get("/api/communes/extent")
def get_communes_extent(
    catalog: CatalogHere, on: date | None = None, made_up: bool = True
) -> BoundsLonLat | None:
    """(west, south, east, north) in degrees of all boundaries in force; null where none is known.

    made_up: those that a drill brought count too.
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


def _to_feature(commune: CommuneRecord, tolerance_m: float) -> Json:
    return to_geojson_feature(commune.wkb, build_commune_properties(commune), tolerance_m)
