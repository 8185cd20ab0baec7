"""Features that owners of specialist layers report as damaged or closed, by commune: masts, roads.

A layer states the condition at its own time; it may have changed since.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from flycam.catalog.access_policy import UNRESTRICTED, AccessPolicy
from flycam.catalog.catalog import Catalog
from flycam.catalog.records import BoundsLonLat, CommuneRecord, LayerFeatureRecord, LayerRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerTroubles:
    """Features in trouble of one layer in one commune, by name.

    commune_index: of the commune.

    valid_ns  time of the newest of them, UTC ns; None: no feature has a time
    """

    commune_index: int
    layer: LayerRecord
    features: tuple[LayerFeatureRecord, ...]
    valid_ns: int | None


def list_layer_troubles(
    catalog: Catalog, communes: Sequence[CommuneRecord], policy: AccessPolicy = UNRESTRICTED
) -> list[LayerTroubles]:
    """List features in trouble commune by commune, layers ordered by kind and name.

    A line through several communes is listed in each. Layers and features that the access policy hides are
    left out.
    """
    if not communes:
        return []
    shapes = shapely.from_wkb(np.array([one.wkb for one in communes], dtype=object))
    west, south, east, north = (float(side) for side in shapely.total_bounds(shapes))
    tree = shapely.STRtree(shapes)
    found = [
        some
        for layer in catalog.layers.all()
        if layer.troubles and not policy.hides_layer(layer.layer_id)
        for some in _of_layer(catalog, layer, tree, (west, south, east, north), policy)
    ]
    return sorted(found, key=lambda one: one.commune_index)


def _of_layer(
    catalog: Catalog,
    layer: LayerRecord,
    tree: shapely.STRtree,
    bounds: BoundsLonLat,
    policy: AccessPolicy,
) -> Iterable[LayerTroubles]:
    # features in trouble come first
    first, _ = catalog.layers.features(layer.layer_id, bounds, layer.troubles)
    things = [one for one in first if one.condition.is_trouble and not policy.is_outside(one.wkb)]
    if not things:
        return
    shapes = shapely.from_wkb(np.array([one.wkb for one in things], dtype=object))
    by_place: dict[int, list[LayerFeatureRecord]] = {}
    for thing, place in zip(*(some.tolist() for some in tree.query(shapes, "intersects")), strict=True):
        by_place.setdefault(place, []).append(things[thing])
    for place, some in by_place.items():
        dated = [one.valid_ns for one in some if one.valid_ns is not None]
        yield LayerTroubles(
            commune_index=place,
            layer=layer,
            features=tuple(sorted(some, key=lambda one: (not one.name, one.name, one.number))),
            valid_ns=max(dated, default=layer.valid_ns),
        )
