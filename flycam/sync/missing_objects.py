"""Objects that a peer lacks, by its answer."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flycam.errors import SourceUnreadable
from flycam.messages import _
from flycam.mosaic.peer_tiles import PeerCursor
from flycam.sync.capabilities import CAPABILITIES, parse_capabilities
from flycam.sync.manifest import ObjectKind
from flycam.sync.name_checks import require_hex_digits, require_key_segment, require_text

INVENTORY_KEYS = {ObjectKind.TERRAIN: "terrain", ObjectKind.ORIGINAL: "originals"}
"""Kinds that are queried when due, and their JSON key in query and answer. A flight from a video has a
terrain for each frame.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class MissingObjects:
    """Objects that the peer lacks of those it was asked about.

    cursors       how far it imported each log
    views         first DIGEST_PREFIX_DIGITS digits of the content hashes of tiles whose previews it has
    capabilities  what it applies and answers (`flycam.sync.capabilities`)
    heads         those of live mosaics that it lacks, for each mosaic that it was asked about
    """

    cursors: Mapping[str, PeerCursor]
    records: Collection[str] = ()
    terrain: Iterable[str] = ()
    originals: Iterable[str] = ()
    views: Collection[str] = ()
    capabilities: Collection[str] = CAPABILITIES
    heads: Mapping[str, Collection[str]] = field(default_factory=dict)

    def list_names(self, kind: ObjectKind) -> Iterable[str]:
        """Return the names of a kind that is queried when due."""
        return self.terrain if kind is ObjectKind.TERRAIN else self.originals


def parse_missing_objects(answer: Mapping[str, Any], place: str) -> MissingObjects:
    """Parse a peer's answer; SourceUnreadable."""
    try:
        return MissingObjects(
            cursors={
                require_key_segment(one): PeerCursor(seq=int(seq), digest=require_hex_digits(digest))
                for one, (seq, digest) in answer["taken"].items()
            },
            records=frozenset(map(require_text, answer["records"])),
            terrain=tuple(map(require_key_segment, answer["terrain"])),
            originals=tuple(map(require_hex_digits, answer["originals"])),
            views=frozenset(map(require_text, answer["views"])),
            capabilities=parse_capabilities(answer),
            heads={
                require_text(one): frozenset(map(require_text, some))
                for one, some in answer.get("heads", {}).items()
            },
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SourceUnreadable(
            _(
                "{place}: its answer does not read ({error}); bring both boxes to the same version",
                place=place,
                error=error,
            )
        ) from error
