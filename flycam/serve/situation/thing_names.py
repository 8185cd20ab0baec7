"""Things of specialist layers (villages, masts, schools …) by name, accents and case aside."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from flycam.catalog.boxes import do_touch
from flycam.catalog.catalog import Catalog
from flycam.catalog.records import BoundsLonLat, LayerFeatureRecord, LayerRecord
from flycam.catalog.withholding import Withholding
from flycam.frame.specialist import LayerKind
from flycam.frame.spelling import search_key

_AT_ONCE = 100
"""Hits that are read at a time: of whom all is seen, the first few are asked for."""


@dataclass(frozen=True, slots=True)
class _Name:
    key: str
    layer_id: str
    number: int
    box: BoundsLonLat


class ThingNames:
    """All names, read again when a layer came, went or was read again. For several threads at once."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._lock = threading.Lock()
        self._stamp: tuple[tuple[str, int], ...] | None = None
        self._names: list[_Name] = []

    def search(
        self, text: str, sees: Withholding, limit: int
    ) -> list[tuple[LayerRecord, LayerFeatureRecord]]:
        """Things whose name contains the text, as far as this visitor may see them as parts of their layers:
        villages before all else, names that begin with the text before others."""
        key = search_key(text)
        if not key:
            return []
        found: list[tuple[LayerRecord, LayerFeatureRecord]] = []
        ranked = self._ranked(key, sees)
        while len(found) < limit and (some := list(islice(ranked, _AT_ONCE))):
            things = self._catalog.layers.some([(name.layer_id, name.number) for _, name in some])
            # some may be gone: their layer is being read again
            there = [
                (layer, things[one])
                for layer, name in some
                if (one := (name.layer_id, name.number)) in things
            ]
            are_outside = sees.are_outside([one.wkb for _, one in there])
            found += [one for one, is_out in zip(there, are_outside, strict=True) if not is_out]
        return found[:limit]

    def _ranked(self, key: str, sees: Withholding) -> Iterator[tuple[LayerRecord, _Name]]:
        layers = {
            one.layer_id: one for one in self._catalog.layers.all() if not sees.hides_layer(one.layer_id)
        }
        near = sees.within_box
        hits = [
            one
            for one in self._known()
            if key in one.key and one.layer_id in layers and (near is None or do_touch(one.box, near))
        ]

        def rank(one: _Name) -> tuple[bool, bool, str, str, int]:
            is_village = layers[one.layer_id].kind is LayerKind.SETTLEMENT
            return (not is_village, not one.key.startswith(key), one.key, one.layer_id, one.number)

        return ((layers[one.layer_id], one) for one in sorted(hits, key=rank))

    def _known(self) -> list[_Name]:
        with self._lock:
            stamp = self._catalog.layers.stamp()
            if stamp != self._stamp:
                rows = self._catalog.layers.names()
                self._names = [
                    _Name(search_key(name), layer_id, number, box) for layer_id, number, name, box in rows
                ]
                self._stamp = stamp
            return self._names
