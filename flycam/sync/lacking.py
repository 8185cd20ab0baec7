"""What a peer has not, as it answers and as it is heard."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flycam.errors import SourceUnreadable
from flycam.messages import _
from flycam.mosaic.given import Taken
from flycam.sync.knows import KNOWS, known_of
from flycam.sync.manifest import Kind
from flycam.sync.names import hex_digits, segment, text

ASKED_AS = {Kind.TERRAIN: "terrain", Kind.ORIGINAL: "originals"}
"""What is asked about when it is due, and its word in a question and an answer. A flight that was filmed has
a terrain for each picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lacking:
    """What the peer says that it has not of what it was asked about. taken: how far it took in each log;
    views: first MARK_DIGITS digits of the content hashes of tiles that it has early views of; knows: what it
    keeps to, and answers (`flycam.sync.knows`); heads: those of live mosaics that it has not, of each that it
    was asked about."""

    taken: Mapping[str, Taken]
    records: Collection[str] = ()
    terrain: Iterable[str] = ()
    originals: Iterable[str] = ()
    views: Collection[str] = ()
    knows: Collection[str] = KNOWS
    heads: Mapping[str, Collection[str]] = field(default_factory=dict)

    def of(self, kind: Kind) -> Iterable[str]:
        """Names of things of one of the kinds that are asked about when they are due."""
        return self.terrain if kind is Kind.TERRAIN else self.originals


def lacking_of(said: Mapping[str, Any], place: str) -> Lacking:
    """What a peer answered. SourceUnreadable."""
    try:
        return Lacking(
            taken={
                segment(one): Taken(seq=int(seq), digest=hex_digits(digest))
                for one, (seq, digest) in said["taken"].items()
            },
            records=frozenset(map(text, said["records"])),
            terrain=tuple(map(segment, said["terrain"])),
            originals=tuple(map(hex_digits, said["originals"])),
            views=frozenset(map(text, said["views"])),
            knows=known_of(said),
            heads={text(one): frozenset(map(text, some)) for one, some in said.get("heads", {}).items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SourceUnreadable(
            _(
                "{place}: its answer does not read ({error}); bring both boxes to the same version",
                place=place,
                error=error,
            )
        ) from error
