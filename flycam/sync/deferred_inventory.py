"""Inventory of terrain and photos that the peer lacks, queried when they are due.

A query about thousands is some hundred kilobytes: asked first, it would delay everything sent before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from flycam.sync.manifest import ManifestItem, ObjectKind
from flycam.sync.missing_objects import INVENTORY_KEYS, MissingObjects
from flycam.sync.step_planner import StepPlanner

InventoryQuery = Callable[[Mapping[str, object]], MissingObjects]


class DeferredInventory:
    """Peer's answers about terrain and photos, for as long as they are used."""

    def __init__(self) -> None:
        self._kinds = {kind: _KindInventory(kind) for kind in INVENTORY_KEYS}

    def begin(self, giver: StepPlanner) -> None:
        """Continue with what there is to send now."""
        for one in self._kinds.values():
            one.begin(giver)

    def query_due(
        self,
        lacking: MissingObjects,
        giver: StepPlanner,
        question: Mapping[str, object],
        ask: InventoryQuery,
        is_spent: Callable[[int], bool],
    ) -> MissingObjects:
        """Return `lacking` with terrain and photos that query the peer as they are read.

        Each name is asked about once.

        question  the query that was sent about everything else
        is_spent  whether so many bytes exceed the budget
        """
        terrain, photos = (one.query_missing(giver, question, ask, is_spent) for one in self._kinds.values())
        return replace(lacking, terrain=terrain, originals=photos)

    @property
    def missing_bytes(self) -> int:
        """Bytes of photos known to be lacking at the peer and not sent before `begin`."""
        return sum(one.missing_bytes for one in self._kinds.values())

    @property
    def unqueried_bytes(self) -> int:
        """Bytes of photos that the peer was not asked about."""
        return sum(one.unqueried_bytes for one in self._kinds.values())

    @property
    def is_truncated(self) -> bool:
        """Check whether the budget ended before the whole inventory was queried."""
        return any(one.is_truncated for one in self._kinds.values())

    def note_sent(self, items: Iterable[ManifestItem]) -> None:
        """Mark these items as present at the peer."""
        for item in items:
            if item.kind in self._kinds:
                self._kinds[item.kind].is_missing[item.name] = False


class _KindInventory:
    """Inventory of one kind.

    is_missing  by name, of those that the peer was asked about
    """

    def __init__(self, kind: ObjectKind) -> None:
        self._kind = kind
        self.is_missing: dict[str, bool] = {}
        self.missing_bytes = self.unqueried_bytes = 0
        self.is_truncated = False

    def begin(self, giver: StepPlanner) -> None:
        names = giver.names(self._kind)
        self.is_truncated = False
        self.missing_bytes = giver.count_bytes(self._kind, self._list_missing(giver))
        self.unqueried_bytes = giver.count_bytes(self._kind, names - self.is_missing.keys())

    def query_missing(
        self,
        giver: StepPlanner,
        question: Mapping[str, object],
        ask: InventoryQuery,
        is_spent: Callable[[int], bool],
    ) -> Iterator[str]:
        yield from self._list_missing(giver)
        for page in giver.build_name_queries(self._kind, question, self.is_missing):
            if is_spent(len(to_request_body(page))):
                self.is_truncated = True
                return
            some, asked = frozenset(ask(page).list_names(self._kind)), page[INVENTORY_KEYS[self._kind]]
            self.is_missing.update((str(one), one in some) for one in asked)
            self.missing_bytes += giver.count_bytes(self._kind, some)
            self.unqueried_bytes -= giver.count_bytes(self._kind, asked)
            yield from sorted(some)

    def _list_missing(self, giver: StepPlanner) -> list[str]:
        return [name for name in giver.names(self._kind) if self.is_missing.get(name)]


def to_request_body(question: Mapping[str, Any]) -> bytes:
    """Encode a query as a request body."""
    return json.dumps(question, separators=(",", ":")).encode()
