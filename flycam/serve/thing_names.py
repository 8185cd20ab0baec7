"""Things of specialist layers (villages, masts, schools …) by name, accents and case aside."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

from flycam.catalog.catalog import Catalog
from flycam.catalog.records import LayerFeatureRecord, LayerRecord
from flycam.catalog.withholding import Withholding
from flycam.errors import NotFound
from flycam.frame.specialist import LayerKind
from flycam.frame.spelling import search_key


@dataclass(frozen=True, slots=True)
class _Name:
    key: str
    layer_id: str
    number: int


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
        for layer, name in self._ranked(key, sees):
            try:
                one = self._catalog.layers.feature(layer.layer_id, name.number)
            except NotFound:  # the layer is being read again
                continue
            if not sees.is_outside(one.wkb):
                found.append((layer, one))
            if len(found) == limit:
                break
        return found

    def _ranked(self, key: str, sees: Withholding) -> Iterator[tuple[LayerRecord, _Name]]:
        layers = {
            one.layer_id: one for one in self._catalog.layers.all() if not sees.hides_layer(one.layer_id)
        }
        hits = [one for one in self._known() if key in one.key and one.layer_id in layers]

        def rank(one: _Name) -> tuple[bool, bool, str, str, int]:
            is_village = layers[one.layer_id].kind is LayerKind.SETTLEMENT
            return (not is_village, not one.key.startswith(key), one.key, one.layer_id, one.number)

        return ((layers[one.layer_id], one) for one in sorted(hits, key=rank))

    def _known(self) -> list[_Name]:
        with self._lock:
            stamp = self._catalog.layers.stamp()
            if stamp != self._stamp:
                rows = self._catalog.layers.names()
                self._names = [_Name(search_key(name), layer_id, number) for layer_id, number, name in rows]
                self._stamp = stamp
            return self._names
