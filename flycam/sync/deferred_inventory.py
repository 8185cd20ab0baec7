"""Terrain and photos that go over a line: whether the peer lacks them, asked some at a time when due.

A question about thousands is some hundred kilobytes: asked first, it held up all that goes before.
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
    """What a peer said of terrain and of photos, for as long as its word is taken."""

    def __init__(self) -> None:
        self._kinds = {kind: _KindInventory(kind) for kind in INVENTORY_KEYS}

    def begin(self, giver: StepPlanner) -> None:
        """Go on with what there is to give now."""
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
        """What is lacking with what there is to be asked for, which is when it is read; once about each.

        question  as it was asked about all else; is_spent: whether so many bytes are more than the budget has
        """
        terrain, photos = (one.query_missing(giver, question, ask, is_spent) for one in self._kinds.values())
        return replace(lacking, terrain=terrain, originals=photos)

    @property
    def missing_bytes(self) -> int:
        """Bytes of photos that the peer is known to have lacked and that were not sent by then."""
        return sum(one.missing_bytes for one in self._kinds.values())

    @property
    def unqueried_bytes(self) -> int:
        """Bytes of photos that it was not asked about."""
        return sum(one.unqueried_bytes for one in self._kinds.values())

    @property
    def is_truncated(self) -> bool:
        """Whether there was no budget to ask about the rest."""
        return any(one.is_truncated for one in self._kinds.values())

    def note_sent(self, items: Iterable[ManifestItem]) -> None:
        """The peer has them now."""
        for item in items:
            if item.kind in self._kinds:
                self._kinds[item.kind].is_missing[item.name] = False


class _KindInventory:
    """One kind. is_lacking: by name, of those that the peer was asked about."""

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
    """A question as it goes over the line."""
    return json.dumps(question, separators=(",", ":")).encode()
