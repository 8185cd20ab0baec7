"""How many things of which layer are in trouble in each commune: worked out once, until a layer, a boundary
or what is withheld is another."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence

from flycam.catalog.access_policy import AccessPolicy
from flycam.catalog.catalog import Catalog
from flycam.catalog.records import CommuneRecord
from flycam.pipeline.layer_troubles import list_layer_troubles
from flycam.serve.http.json_values import Json

_MAX_CACHED_COUNTS = 16  # kinds of visitors, each with communes of its own


class CommuneTroubles:
    """The counts of one catalogue. For several threads at once."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._lock = threading.Lock()
        self._counts: OrderedDict[object, list[list[Json]]] = OrderedDict()

    def count_troubles(self, communes: Sequence[CommuneRecord], sees: AccessPolicy) -> list[list[Json]]:
        """Of each commune, in their order, layer by layer, for whoever sees so much."""
        # before they are read: what changes meanwhile is known under what it was, and worked out again
        key = (tuple(self._catalog.layers.all()), _digest(communes), sees.fingerprint)
        with self._lock:
            if key in self._counts:
                self._counts.move_to_end(key)
                return self._counts[key]
        counts: list[list[Json]] = [[] for _ in communes]
        for one in list_layer_troubles(self._catalog, communes, sees):
            layer = one.layer
            counts[one.commune_index].append(
                {
                    "layer_id": layer.layer_id,
                    "name": layer.name,
                    "kind": layer.kind.value,
                    "count": len(one.features),
                }
            )
        with self._lock:
            self._counts[key] = counts
            while len(self._counts) > _MAX_CACHED_COUNTS:
                self._counts.popitem(last=False)
        return counts


def _digest(communes: Sequence[CommuneRecord]) -> bytes:
    """Another value where any boundary is, or another commune is among them."""
    said = hashlib.sha256()
    for one in communes:
        said.update(f"{one.code} {one.valid_from} {len(one.wkb)} ".encode())
        said.update(one.wkb)
    return said.digest()
