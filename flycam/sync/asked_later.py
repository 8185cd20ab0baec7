"""Terrain and photos that go over a line: whether the peer lacks them, asked some at a time when due.

A question about thousands is some hundred kilobytes: asked first, it held up all that goes before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from flycam.sync.lacking import ASKED_AS, Lacking
from flycam.sync.manifest import Item, Kind
from flycam.sync.steps import Giver

Ask = Callable[[Mapping[str, object]], Lacking]


class AskedLater:
    """What a peer said of terrain and of photos, for as long as its word is taken."""

    def __init__(self) -> None:
        self._kinds = {kind: _Kind(kind) for kind in ASKED_AS}

    def begin(self, giver: Giver) -> None:
        """Go on with what there is to give now."""
        for one in self._kinds.values():
            one.begin(giver)

    def due(
        self,
        lacking: Lacking,
        giver: Giver,
        question: Mapping[str, object],
        ask: Ask,
        is_spent: Callable[[int], bool],
    ) -> Lacking:
        """What is lacking with what there is to be asked for, which is when it is read; once about each.

        question  as it was asked about all else; is_spent: whether so many bytes are more than the budget has
        """
        terrain, photos = (one.lacking(giver, question, ask, is_spent) for one in self._kinds.values())
        return replace(lacking, terrain=terrain, originals=photos)

    @property
    def lacking_bytes(self) -> int:
        """Bytes of photos that the peer is known to have lacked and that were not sent by then."""
        return sum(one.lacking_bytes for one in self._kinds.values())

    @property
    def unasked_bytes(self) -> int:
        """Bytes of photos that it was not asked about."""
        return sum(one.unasked_bytes for one in self._kinds.values())

    @property
    def is_cut_short(self) -> bool:
        """Whether there was no budget to ask about the rest."""
        return any(one.is_cut_short for one in self._kinds.values())

    def note_sent(self, items: Iterable[Item]) -> None:
        """The peer has them now."""
        for item in items:
            if item.kind in self._kinds:
                self._kinds[item.kind].is_lacking[item.name] = False


class _Kind:
    """One kind. is_lacking: by name, of those that the peer was asked about."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self.is_lacking: dict[str, bool] = {}
        self.lacking_bytes = self.unasked_bytes = 0
        self.is_cut_short = False

    def begin(self, giver: Giver) -> None:
        names = giver.names(self._kind)
        self.is_cut_short = False
        self.lacking_bytes = giver.bytes_of(self._kind, self._lacked(giver))
        self.unasked_bytes = giver.bytes_of(self._kind, names - self.is_lacking.keys())

    def lacking(
        self, giver: Giver, question: Mapping[str, object], ask: Ask, is_spent: Callable[[int], bool]
    ) -> Iterator[str]:
        yield from self._lacked(giver)
        for page in giver.questions_of(self._kind, question, self.is_lacking):
            if is_spent(len(as_body(page))):
                self.is_cut_short = True
                return
            some, asked = frozenset(ask(page).of(self._kind)), page[ASKED_AS[self._kind]]
            self.is_lacking.update((str(one), one in some) for one in asked)
            self.lacking_bytes += giver.bytes_of(self._kind, some)
            self.unasked_bytes -= giver.bytes_of(self._kind, asked)
            yield from sorted(some)

    def _lacked(self, giver: Giver) -> list[str]:
        return [name for name in giver.names(self._kind) if self.is_lacking.get(name)]


def as_body(question: Mapping[str, Any]) -> bytes:
    """A question as it goes over the line."""
    return json.dumps(question, separators=(",", ":")).encode()
