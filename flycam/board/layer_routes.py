"""Routes and name search of specialist layers (power lines, masts …).

Features in bounds are returned as GeoJSON; names are found without accents or case.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from flycam.access.policy import AccessPolicy
from flycam.board.layers import is_url
from flycam.catalog.board import make_layer_not_found
from flycam.catalog.catalog import Catalog
from flycam.catalog.tables import intersect_boxes, is_touching
from flycam.http.guards import AccessPolicyHere, require_viewer
from flycam.http.requests import parse_bounds, take_fitting_outlines
from flycam.http.responses import Json, format_iso_or_none, to_geojson_collection, to_geojson_feature
from flycam.http.services import CatalogHere, get_services
from flycam.model.board import LayerKind, get_stale_after_s, is_stale
from flycam.model.flight import Classification
from flycam.model.records import BoundsLonLat, LayerFeatureRecord, LayerRecord
from flycam.model.text import strip_url_credentials, to_search_key
from flycam.model.time import format_iso

# -- Search of layer features by name, ignoring accents and case -----------------------------------


_BATCH_SIZE = 100
"""Hits read at a time: where all features are visible, only the first few are needed."""


@dataclass(frozen=True, slots=True)
class _FeatureName:
    key: str
    layer_id: str
    number: int
    box: BoundsLonLat


class FeatureNameIndex:
    """Names of all features, read again when a layer changes. Thread-safe."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._lock = threading.Lock()
        self._stamp: tuple[tuple[str, int], ...] | None = None
        self._names: list[_FeatureName] = []

    def search(
        self, text: str, policy: AccessPolicy, limit: int
    ) -> list[tuple[LayerRecord, LayerFeatureRecord]]:
        """Search features whose name contains the text, within the access policy.

        Villages come first, then names that begin with the text.
        """
        key = to_search_key(text)
        if not key:
            return []
        found: list[tuple[LayerRecord, LayerFeatureRecord]] = []
        ranked = self._ranked(key, policy)
        while len(found) < limit and (some := list(islice(ranked, _BATCH_SIZE))):
            things = self._catalog.layers.get_many([(name.layer_id, name.number) for _, name in some])
            # some may be gone: their layer is being read again
            there = [
                (layer, things[one])
                for layer, name in some
                if (one := (name.layer_id, name.number)) in things
            ]
            are_outside = policy.are_outside([one.wkb for _, one in there])
            found += [one for one, is_out in zip(there, are_outside, strict=True) if not is_out]
        return found[:limit]

    def _ranked(self, key: str, policy: AccessPolicy) -> Iterator[tuple[LayerRecord, _FeatureName]]:
        layers = {
            one.layer_id: one for one in self._catalog.layers.all() if not policy.hides_layer(one.layer_id)
        }
        near = policy.visible_bounds
        hits = [
            one
            for one in self._known()
            if key in one.key and one.layer_id in layers and (near is None or is_touching(one.box, near))
        ]

        def rank(one: _FeatureName) -> tuple[bool, bool, str, str, int]:
            is_village = layers[one.layer_id].kind is LayerKind.SETTLEMENT
            return (not is_village, not one.key.startswith(key), one.key, one.layer_id, one.number)

        return ((layers[one.layer_id], one) for one in sorted(hits, key=rank))

    def _known(self) -> list[_FeatureName]:
        with self._lock:
            stamp = self._catalog.layers.stamp()
            if stamp != self._stamp:
                rows = self._catalog.layers.names()
                self._names = [
                    _FeatureName(to_search_key(name), layer_id, number, box)
                    for layer_id, number, name, box in rows
                ]
                self._stamp = stamp
            return self._names


# -- Routes of specialist layers -------------------------------------------------------------------


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
