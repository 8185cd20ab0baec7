"""Specialist layers (power lines, masts …), and features in bounds as GeoJSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from flycam.catalog.access_policy import AccessPolicy
from flycam.catalog.bounding_boxes import intersect_boxes
from flycam.catalog.catalog import Catalog
from flycam.catalog.records import BoundsLonLat, LayerFeatureRecord, LayerRecord
from flycam.catalog.specialist_layers import make_layer_not_found
from flycam.frame.classification import Classification
from flycam.frame.safe_url import strip_url_credentials
from flycam.frame.specialist_layer import get_stale_after_s, is_stale
from flycam.frame.timestamp import format_iso
from flycam.pipeline.http_download import is_url
from flycam.serve.api.feature_search import FeatureNameIndex
from flycam.serve.auth.guards import AccessPolicyHere, require_viewer
from flycam.serve.http.bounds import parse_bounds, take_fitting_outlines
from flycam.serve.http.json_values import Json, format_iso_or_none, to_geojson_collection, to_geojson_feature
from flycam.serve.services import CatalogHere, get_services

router = APIRouter(dependencies=[Depends(require_viewer)])

MAX_FEATURES = 5000
_NAMED_TOLERANCE_M = 50.0


def _now_ns(request: Request) -> int:
    return get_services(request).workspace.clock_ns()


Now = Annotated[int, Depends(_now_ns)]


@router.get("/api/layers")
def list_layers(catalog: CatalogHere, now_ns: Now, access_policy: AccessPolicyHere) -> list[Json]:
    """Every layer: whose, of what, of when (`valid`), whether that counts as old by now (`stale`)."""
    levels = catalog.restrictions.levels()
    return [
        {
            **_describe_layer(layer, now_ns),
            "classification": levels.get(layer.layer_id, Classification.OPEN).value,
        }
        for layer in catalog.layers.all()
        if not access_policy.hides_layer(layer.layer_id)
    ]


@router.get("/api/things")
def search_features(
    request: Request,
    now_ns: Now,
    access_policy: AccessPolicyHere,
    q: Annotated[str, Query(min_length=1, max_length=100)],
    limit: Annotated[int, Query(ge=1, le=50)] = 8,
) -> Json:
    """Things of all layers by name (accents and case aside), villages first, as GeoJSON; what is withheld of
    the layers is withheld here."""
    names: FeatureNameIndex = request.app.state.thing_names
    found = names.search(q, access_policy, limit)
    return to_geojson_collection(
        to_geojson_feature(
            one.wkb, {**build_feature_properties(layer, one, now_ns), "layer": layer.name}, _NAMED_TOLERANCE_M
        )
        for layer, one in found
    )


@router.get("/api/layers/{layer_id}/features")
def list_layer_features(
    layer_id: str,
    catalog: CatalogHere,
    now_ns: Now,
    access_policy: AccessPolicyHere,
    bounds: Annotated[str | None, Query(max_length=120)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_FEATURES)] = 2000,
    tolerance_m: Annotated[float, Query(ge=0, le=5000)] = 0.0,
) -> Json:
    """Features of a layer (id or name) as GeoJSON, those in trouble first.

    bounds is west,south,east,north in degrees. `numberMatched` says how many there are that the visitor may
    see, `numberReturned` how many of them are in the answer.
    """
    layer = catalog.layers.get(layer_id)
    if access_policy.hides_layer(layer.layer_id):
        raise make_layer_not_found(layer_id)
    if access_policy.visible_bounds is None:
        found, matched = catalog.layers.features(layer.layer_id, parse_bounds(bounds), limit)
    else:
        found, matched = _find_features_inside(
            catalog, layer.layer_id, parse_bounds(bounds), access_policy, limit
        )
    found = take_fitting_outlines(found)
    answer = to_geojson_collection(
        to_geojson_feature(one.wkb, build_feature_properties(layer, one, now_ns), tolerance_m)
        for one in found
    )
    return {**answer, "numberMatched": matched, "numberReturned": len(found)}


def _find_features_inside(
    catalog: Catalog, layer_id: str, bounds: BoundsLonLat | None, access_policy: AccessPolicy, limit: int
) -> tuple[list[LayerFeatureRecord], int]:
    """Return features and count as `SpecialistLayers.features`, within the policy.

    The bounds of the visible communes hold others too, so that each feature is tested.
    """
    found: list[LayerFeatureRecord] = []
    box, matched, offset = intersect_boxes(bounds, access_policy.visible_bounds), 0, 0
    while True:
        some, in_box = catalog.layers.features(layer_id, box, MAX_FEATURES, offset)
        are_outside = access_policy.are_outside([one.wkb for one in some])
        inside = [one for one, is_out in zip(some, are_outside, strict=True) if not is_out]
        found += inside[: limit - len(found)]
        matched, offset = matched + len(inside), offset + len(some)
        if not some or offset >= in_box:
            return found, matched


def _describe_layer(layer: LayerRecord, now_ns: int) -> Json:
    return {
        "layer_id": layer.layer_id,
        "name": layer.name,
        "kind": layer.kind.value,
        "owner": layer.owner or None,
        # paths of this machine and keys in an address are secret
        "source": strip_url_credentials(layer.source) if is_url(layer.source) else Path(layer.source).name,
        "valid": format_iso_or_none(layer.valid_ns),
        "stale": is_stale(layer.valid_ns, now_ns, has_status=layer.has_status),
        "stale_after_s": get_stale_after_s(has_status=layer.has_status),
        "refreshed": format_iso(layer.refreshed_ns),
        "features": layer.features,
        "troubles": layer.troubles,
        "bounds": layer.bounds_lonlat_deg,
    }


def build_feature_properties(layer: LayerRecord, feature: LayerFeatureRecord, now_ns: int) -> Json:
    """Return the properties of a layer's feature.

    The layer names the owner where its file does not. `valid` is only what was read with the feature: the
    layer's own time is that of its newest feature.
    """
    return {
        "layer_id": layer.layer_id,
        "number": feature.number,
        "kind": layer.kind.value,
        "name": feature.name or None,
        "owner": feature.owner or layer.owner or None,
        "status": feature.status or None,
        "condition": feature.condition.value,
        "valid": format_iso_or_none(feature.valid_ns),
        "stale": is_stale(feature.valid_ns, now_ns, has_status=layer.has_status),
    }
