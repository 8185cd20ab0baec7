"""Deduplication of tiles that the peer already has from elsewhere.

A node that read the server's bundle, or another node's, has their flights in logs of its own; a server
may have orthorectified the same memory card, or have rebuilt a flight without withdrawn frames. The peer
is asked when the tiles are due: what it once sent it may have lost since, restored from an older backup.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from flycam.frame.tile import TileRecord
from flycam.sync.log_tail import LogTail
from flycam.sync.node import Node

HEAD_DIGITS = 16
"""Digits of a content hash, which covers the tile's address too."""

_MAX_HEADS_PER_QUERY = 1000

MissingHeadsQuery = Callable[[str, Sequence[str]], Collection[str]]
"""Of these heads of a live mosaic (HEAD_DIGITS digits of content hashes) return those that a peer lacks."""


def assume_all_missing(_mosaic_id: str, heads: Sequence[str]) -> Collection[str]:
    """Return all heads, for a peer that is not asked."""
    return heads


def drop_known_tiles(log: LogTail, missing: MissingHeadsQuery, *, views: bool = False) -> list[TileRecord]:
    """Remove the tiles that the peer has from a log; return the base tiles removed.

    Overview tiles too if `views`, where they are still to be sent. The peer is asked once.
    """
    if log.is_queried:
        return []
    log.is_queried = True
    lines = (*log.views, *log.tiles) if views else log.tiles
    heads = [line.content_hash[:HEAD_DIGITS] for line in lines]
    wanted: set[str] = set()
    for start in range(0, len(heads), _MAX_HEADS_PER_QUERY):
        wanted.update(missing(log.mosaic.mosaic_id, heads[start : start + _MAX_HEADS_PER_QUERY]))
    out = [one for one in log.tiles if one.content_hash[:HEAD_DIGITS] not in wanted]
    log.tiles = [one for one in log.tiles if one.content_hash[:HEAD_DIGITS] in wanted]
    log.views = [one for one in log.views if one.content_hash[:HEAD_DIGITS] in wanted] if views else []
    return out


def find_missing_heads(node: Node, mosaic_id: str, wanted_heads: Iterable[str]) -> list[str]:
    """Return the heads that the mosaic here lacks: `drop_known_tiles` at the peer."""
    here = {head.content_hash[:HEAD_DIGITS] for head in node.catalog.tiles.heads(mosaic_id, 0)}
    return [one for one in wanted_heads if one not in here]
