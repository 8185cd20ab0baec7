"""Specialist layers (power lines, masts, roads …): what there is, and features by rectangle as GeoJSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from flycam.catalog.boxes import both
from flycam.catalog.catalog import Catalog
from flycam.catalog.layers import no_such_layer
from flycam.catalog.records import BoundsLonLat, LayerFeatureRecord, LayerRecord
from flycam.catalog.withholding import Withholding
from flycam.frame.address import shown
from flycam.frame.classification import Classification
from flycam.frame.moment import iso
from flycam.frame.specialist import is_stale, stale_after_s
from flycam.pipeline.fetching import is_address
from flycam.serve.answering.rectangle import fitting, parse_bounds
from flycam.serve.answering.wording import Json, collection, feature, iso_or_none
from flycam.serve.door.guard import Sees, viewer
from flycam.serve.services import CatalogHere, services_of
from flycam.serve.situation.thing_names import ThingNames

router = APIRouter(dependencies=[Depends(viewer)])

MOST_FEATURES = 5000
_NAMED_TOLERANCE_M = 50.0


def _now_ns(request: Request) -> int:
    return services_of(request).workspace.clock_ns()


Now = Annotated[int, Depends(_now_ns)]


@router.get("/api/layers")
def layers(catalog: CatalogHere, now_ns: Now, sees: Sees) -> list[Json]:
    """Every layer: whose, of what, of when (`valid`), whether that counts as old by now (`stale`)."""
    levels = catalog.restrictions.levels()
    return [
        {**_in_words(layer, now_ns), "classification": levels.get(layer.layer_id, Classification.OPEN).value}
        for layer in catalog.layers.all()
        if not sees.hides_layer(layer.layer_id)
    ]


@router.get("/api/things")
def things(
    request: Request,
    now_ns: Now,
    sees: Sees,
    q: Annotated[str, Query(min_length=1, max_length=100)],
    limit: Annotated[int, Query(ge=1, le=50)] = 8,
) -> Json:
    """Things of all layers by name (accents and case aside), villages first, as GeoJSON; what is withheld of
    the layers is withheld here."""
    names: ThingNames = request.app.state.thing_names
    found = names.search(q, sees, limit)
    return collection(
        feature(one.wkb, {**thing_properties(layer, one, now_ns), "layer": layer.name}, _NAMED_TOLERANCE_M)
        for layer, one in found
    )


@router.get("/api/layers/{layer_id}/features")
def features(
    layer_id: str,
    catalog: CatalogHere,
    now_ns: Now,
    sees: Sees,
    bounds: Annotated[str | None, Query(max_length=120)] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_FEATURES)] = 2000,
    tolerance_m: Annotated[float, Query(ge=0, le=5000)] = 0.0,
) -> Json:
    """Features of a layer (id or name) as GeoJSON, those in trouble first.

    bounds is west,south,east,north in degrees. `numberMatched` says how many there are that the visitor may
    see, `numberReturned` how many of them are in the answer.
    """
    layer = catalog.layers.get(layer_id)
    if sees.hides_layer(layer.layer_id):
        raise no_such_layer(layer_id)
    if sees.within_box is None:
        found, matched = catalog.layers.features(layer.layer_id, parse_bounds(bounds), limit)
    else:
        found, matched = _inside(catalog, layer.layer_id, parse_bounds(bounds), sees, limit)
    found = fitting(found)
    answer = collection(feature(one.wkb, thing_properties(layer, one, now_ns), tolerance_m) for one in found)
    return {**answer, "numberMatched": matched, "numberReturned": len(found)}


def _inside(
    catalog: Catalog, layer_id: str, bounds: BoundsLonLat | None, sees: Withholding, limit: int
) -> tuple[list[LayerFeatureRecord], int]:
    """As `SpecialistLayers.features`, of those alone that lie in the visitor's communes: a box around these
    holds others too, so each is looked at."""
    found: list[LayerFeatureRecord] = []
    box, matched, offset = both(bounds, sees.within_box), 0, 0
    while True:
        some, in_box = catalog.layers.features(layer_id, box, MOST_FEATURES, offset)
        are_outside = sees.are_outside([one.wkb for one in some])
        inside = [one for one, is_out in zip(some, are_outside, strict=True) if not is_out]
        found += inside[: limit - len(found)]
        matched, offset = matched + len(inside), offset + len(some)
        if not some or offset >= in_box:
            return found, matched


def _in_words(layer: LayerRecord, now_ns: int) -> Json:
    return {
        "layer_id": layer.layer_id,
        "name": layer.name,
        "kind": layer.kind.value,
        "owner": layer.owner or None,
        # neither the folders of this machine nor a key in an address is anybody's business
        "source": shown(layer.source) if is_address(layer.source) else Path(layer.source).name,
        "valid": iso_or_none(layer.valid_ns),
        "stale": is_stale(layer.valid_ns, now_ns, has_status=layer.has_status),
        "stale_after_s": stale_after_s(has_status=layer.has_status),
        "refreshed": iso(layer.refreshed_ns),
        "features": layer.features,
        "troubles": layer.troubles,
        "bounds": layer.bounds_lonlat_deg,
    }


def thing_properties(layer: LayerRecord, one: LayerFeatureRecord, now_ns: int) -> Json:
    """Whose a thing is its layer says where its file does not; of when it is, only what was read with it: the
    layer's own time is that of its newest thing."""
    return {
        "layer_id": layer.layer_id,
        "number": one.number,
        "kind": layer.kind.value,
        "name": one.name or None,
        "owner": one.owner or layer.owner or None,
        "status": one.status or None,
        "condition": one.condition.value,
        "valid": iso_or_none(one.valid_ns),
        "stale": is_stale(one.valid_ns, now_ns, has_status=layer.has_status),
    }
