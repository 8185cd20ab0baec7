"""Search of layer features (villages, masts, schools …) by name without accents.

Case is ignored too.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from flycam.catalog.access_policy import AccessPolicy
from flycam.catalog.bounding_boxes import is_touching
from flycam.catalog.catalog import Catalog
from flycam.catalog.records import BoundsLonLat, LayerFeatureRecord, LayerRecord
from flycam.frame.specialist_layer import LayerKind
from flycam.frame.text_normalization import to_search_key

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
