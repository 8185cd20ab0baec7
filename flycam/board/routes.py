"""Routes of field marks, reported access to settlements, and specialist layers.

Marks are seen by everybody and written by operators and above. Every edit is a new version. Edits come by PUT
with JSON or a photo: no page of another site can make a browser send that.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from flycam.access.policy import AccessPolicy, build_withheld_error
from flycam.board.layers import is_url
from flycam.board.marks import (
    MAX_MARK_CORNERS,
    MarkEdit,
    add_mark_photo,
    build_mark_collection,
    build_mark_feature,
    encode_mark_shape,
    write_mark,
)
from flycam.board.settlements import (
    MAX_REACH_M,
    REACH_M,
    AccessReport,
    list_access_history,
    list_event_settlements,
    report_access,
    serialize_settlement,
)
from flycam.catalog.board import SettlementVersion, make_layer_not_found, make_mark_not_found
from flycam.catalog.catalog import Catalog
from flycam.catalog.tables import intersect_boxes, is_touching
from flycam.errors import AccessDenied, NotFound
from flycam.http.guards import (
    AccessPolicyHere,
    AnalystPrincipal,
    CatalogHere,
    GuardedRoute,
    OperatorPrincipal,
    ServicesHere,
    ViewerPrincipal,
    get_services,
    require_operator,
    require_viewer,
)
from flycam.http.protocol import (
    BRIEF_CACHE_HEADERS,
    MAX_LARGE_BYTES,
    Json,
    format_iso_or_none,
    parse_bounds,
    parse_until,
    read_body,
    take_fitting_outlines,
    to_geojson_collection,
    to_geojson_feature,
)
from flycam.messages import _
from flycam.model.board import Access, LayerKind, MarkKind, MarkStatus, get_stale_after_s, is_stale
from flycam.model.flight import Classification
from flycam.model.records import BoundsLonLat, LayerFeatureRecord, LayerRecord, MarkVersion
from flycam.model.text import MAX_NOTE_LENGTH, strip_url_credentials, to_search_key
from flycam.model.time import format_iso
from flycam.originals import require_not_purged
from flycam.storage import keys

router = APIRouter(route_class=GuardedRoute)

_MAX_MARKS = 5000


class MarkBody(BaseModel):
    """A mark as it is to be. places: [longitude, latitude] of a point, or the corners of a sector."""

    based_on: Annotated[int, Field(ge=0, le=1_000_000)]
    event_id: Annotated[str, Field(max_length=200)]
    kind: MarkKind
    status: MarkStatus = MarkStatus.OPEN
    note: Annotated[str, Field(max_length=MAX_NOTE_LENGTH * 2)] = ""
    places: Annotated[list[tuple[float, float]], Field(min_length=1, max_length=MAX_MARK_CORNERS)]


@router.get("/api/marks", dependencies=[Depends(require_viewer)])
def list_marks(
    catalog: CatalogHere,
    access_policy: AccessPolicyHere,
    event: Annotated[str | None, Query(max_length=200)] = None,
    bounds: Annotated[str | None, Query(max_length=120)] = None,
    removed: bool = False,
    vn2000: bool = False,
    until: datetime | None = None,
) -> Json:
    """Marks of an event (id or name), else of all, as they stand (GeoJSON), the newest first; with `removed`
    also those taken off the map.

    bounds is west,south,east,north in degrees; with `vn2000` each has its VN-2000 coordinates too; with
    `until` (without a zone it is Vietnam's) as they stood then.
    """
    event_id = None if event is None else catalog.flights.event(event).event_id
    found = catalog.marks.current(
        event_id, parse_bounds(bounds), with_removed=removed, until_ns=parse_until(until)
    )
    found = [one for one in found if not access_policy.is_outside(one.wkb)]
    answer = build_mark_collection(found[:_MAX_MARKS], catalog.boundaries if vn2000 else None)
    return {**answer, "numberMatched": len(found), "numberReturned": min(len(found), _MAX_MARKS)}


@router.get("/api/marks/{mark_id}", dependencies=[Depends(require_viewer)])
def get_mark_history(mark_id: str, catalog: CatalogHere, access_policy: AccessPolicyHere) -> Json:
    """Every line of a mark, the first first: who wrote what, and when."""
    return build_mark_collection(_find_lines(catalog, mark_id, access_policy), catalog.boundaries)


@router.put("/api/marks/{mark_id}")
def put_mark(mark_id: str, mark: MarkBody, principal: OperatorPrincipal, services: ServicesHere) -> Json:
    """Write a mark: new with based_on 0, else a change of the version that was seen (409: there is a newer).

    The caller makes the id, "mark-" and 8 to 40 hex digits: the same sent twice is written once. 403 where it
    would lie beyond the communes that the caller is there for.
    """
    if mark.based_on:
        _find_lines(services.workspace.catalog, mark_id, principal.access_policy)
    edit = MarkEdit(mark_id=mark_id, **mark.model_dump())
    if principal.access_policy.is_outside(encode_mark_shape(edit)):
        raise _build_outside_error(principal.name)
    return build_mark_feature(write_mark(services.workspace, edit, principal.name), None)


@router.put(
    "/api/marks/{mark_id}/photo",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def put_mark_photo(
    mark_id: str,
    request: Request,
    principal: OperatorPrincipal,
    services: ServicesHere,
    based_on: Annotated[int, Query(ge=1, le=1_000_000)],
) -> Json:
    """Give a mark a photo (JPEG, PNG, WebP): kept as pixels only, without what else the file holds."""
    await asyncio.to_thread(_find_lines, services.workspace.catalog, mark_id, principal.access_policy)
    data = await read_body(request, MAX_LARGE_BYTES)
    # again: the token may have been revoked while the body came
    await asyncio.to_thread(require_operator, request)
    line = await asyncio.to_thread(
        add_mark_photo, services.workspace, mark_id, based_on, data, principal.name
    )
    return build_mark_feature(line, None)


@router.get("/api/marks/{mark_id}/photo")
def get_mark_photo(
    mark_id: str,
    catalog: CatalogHere,
    services: ServicesHere,
    principal: ViewerPrincipal,
    version: Annotated[int | None, Query(ge=1, le=1_000_000)] = None,
) -> Response:
    """The photo of a mark, of its last line or an older version."""
    lines = _find_lines(catalog, mark_id, principal.access_policy)
    if any(principal.access_policy.touches(one.wkb) for one in lines):
        raise build_withheld_error(mark_id, principal.name)
    line = next((one for one in lines if one.version == version), None) if version else lines[-1]
    if line is None or line.photo_sha256 is None:
        raise NotFound(_("{mark_id}: has no photo there; see its history", mark_id=mark_id))
    require_not_purged(services.workspace, line.photo_sha256)
    jpeg = services.workspace.store.get(keys.format_original_key(line.photo_sha256))
    return Response(jpeg, media_type="image/jpeg", headers=BRIEF_CACHE_HEADERS)


def _find_lines(catalog: Catalog, mark_id: str, access_policy: AccessPolicy) -> list[MarkVersion]:
    """Return the versions of a mark that lie where the policy shows ground.

    Raises NotFound, also for a mark that now lies outside it.
    """
    lines = catalog.marks.history(mark_id)
    if access_policy.is_outside(lines[-1].wkb):
        raise make_mark_not_found(mark_id)
    return [one for one in lines if not access_policy.is_outside(one.wkb)]


def _build_outside_error(name: str) -> AccessDenied:
    return AccessDenied(
        _(
            "{name}: this place is beyond the communes that the account is for; mark one within them",
            name=name,
        )
    )


# -- Routes of reported access to settlements ------------------------------------------------------


class SettlementAccessBody(BaseModel):
    """Report on a settlement. based_on: the version that was seen, 0 for the first report."""

    event_id: Annotated[str, Field(max_length=200)]
    access: Access
    note: Annotated[str, Field(max_length=MAX_NOTE_LENGTH * 2)] = ""
    based_on: Annotated[int, Field(ge=0, le=1_000_000)]


@router.get("/api/settlements", dependencies=[Depends(require_viewer)])
def list_settlements(
    services: ServicesHere,
    access_policy: AccessPolicyHere,
    event: Annotated[str, Query(max_length=200)],
    reach: Annotated[float, Query(gt=0, le=MAX_REACH_M)] = REACH_M,
    until: datetime | None = None,
) -> Json:
    """Settlements of an event: `access` as a person said (unknown where nobody has), `proposed` by the roads
    that confirmed changes cut, and why (`roads_say`). reach: metres within which a road reaches one."""
    workspace = services.workspace
    found = list_event_settlements(
        workspace, workspace.catalog.flights.event(event), reach, parse_until(until), access_policy
    )
    return {"reach_m": reach, "settlements": [serialize_settlement(one) for one in found]}


@router.get("/api/settlements/{settlement_id}", dependencies=[Depends(require_viewer)])
def get_settlement_history(
    settlement_id: str,
    services: ServicesHere,
    access_policy: AccessPolicyHere,
    event: Annotated[str, Query(max_length=200)],
) -> Json:
    """All that was said of a settlement in an event, the first first."""
    workspace = services.workspace
    lines = list_access_history(
        workspace, workspace.catalog.flights.event(event), settlement_id, access_policy
    )
    return {"lines": [_describe_settlement(line) for line in lines]}


@router.put("/api/settlements/{settlement_id}")
def set_settlement_access(
    settlement_id: str, body: SettlementAccessBody, principal: AnalystPrincipal, services: ServicesHere
) -> Json:
    """Say whether a settlement can be reached (409: somebody said something since it was seen)."""
    report = AccessReport(
        event=body.event_id,
        settlement=settlement_id,
        access=body.access,
        note=body.note,
        based_on=body.based_on,
    )
    return _describe_settlement(
        report_access(services.workspace, report, principal.name, principal.access_policy)
    )


def _describe_settlement(line: SettlementVersion) -> Json:
    return {
        "settlement_id": line.settlement_id,
        "event_id": line.event_id,
        "version": line.version,
        "name": line.name,
        "access": line.access.value,
        "roads_said": line.roads_said.value,
        "note": line.note,
        "said_by": line.author,
        "said": format_iso(line.at_ns, "seconds"),
    }


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


MAX_FEATURES = 5000
_NAMED_TOLERANCE_M = 50.0


def _now_ns(request: Request) -> int:
    return get_services(request).workspace.clock_ns()


Now = Annotated[int, Depends(_now_ns)]


@router.get("/api/layers", dependencies=[Depends(require_viewer)])
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


@router.get("/api/things", dependencies=[Depends(require_viewer)])
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


@router.get("/api/layers/{layer_id}/features", dependencies=[Depends(require_viewer)])
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
