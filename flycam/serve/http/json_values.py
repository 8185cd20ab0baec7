"""Catalogue values in JSON: times as ISO 8601 UTC, polygons as GeoJSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import shapely

from flycam.frame.timestamp import format_iso

Json = dict[str, Any]

# of latitude; taken for longitude too, as the tolerance is approximate
_METRES_PER_DEGREE = 111_320.0


def format_iso_or_none(ns: int | None) -> str | None:
    """Format a time as `format_iso`; None stays None."""
    return None if ns is None else format_iso(ns)


def to_geojson_geometry(wkb: bytes, tolerance_m: float = 0.0, decimals: int = 6) -> tuple[Json, list[float]]:
    """Return (GeoJSON geometry, bounds) of a lon/lat WKB.

    Simplified by about `tolerance_m` on the ground.
    """
    shape = shapely.from_wkb(wkb)
    if tolerance_m > 0:
        shape = shapely.simplify(shape, tolerance_m / _METRES_PER_DEGREE, preserve_topology=True)
    rounded = shapely.set_precision(shape, 10.0**-decimals, mode="pointwise")
    return json.loads(shapely.to_geojson(rounded)), [float(v) for v in shapely.bounds(shape)]


def to_geojson_feature(wkb: bytes, properties: Json, tolerance_m: float = 0.0) -> Json:
    """Return a GeoJSON feature with its bounding box."""
    shape, bounds = to_geojson_geometry(wkb, tolerance_m)
    return {"type": "Feature", "geometry": shape, "bbox": bounds, "properties": properties}


def to_geojson_collection(features: Iterable[Json]) -> Json:
    """Return a GeoJSON feature collection."""
    return {"type": "FeatureCollection", "features": list(features)}
