"""Features in trouble by commune and layer, cached.

Counted anew when a layer, a boundary or the access policy changes.
"""

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

# access policies, each with its own communes
_MAX_CACHED_COUNTS = 16


class CommuneTroubles:
    """Trouble counts of one catalogue. Safe to use from several threads."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._lock = threading.Lock()
        self._counts: OrderedDict[object, list[list[Json]]] = OrderedDict()

    def count_troubles(self, communes: Sequence[CommuneRecord], policy: AccessPolicy) -> list[list[Json]]:
        """Count features in trouble by commune, in their order, and layer.

        Only what the policy shows.
        """
        # key taken before the layers are read: a change meanwhile leaves a stale key, and the counts are
        # redone
        key = (tuple(self._catalog.layers.all()), _digest(communes), policy.fingerprint)
        with self._lock:
            if key in self._counts:
                self._counts.move_to_end(key)
                return self._counts[key]
        counts: list[list[Json]] = [[] for _ in communes]
        for one in list_layer_troubles(self._catalog, communes, policy):
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
    """Digest commune codes, dates and boundaries, to notice that any differs."""
    said = hashlib.sha256()
    for one in communes:
        said.update(f"{one.code} {one.valid_from} {len(one.wkb)} ".encode())
        said.update(one.wkb)
    return said.digest()
