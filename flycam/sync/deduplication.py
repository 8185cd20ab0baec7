"""Tiles of a log that the peer has already, and did not get from it: they do not go over the line again.

A box that read the province's stick, or another box's, has their flights in logs of its own; a province may
have laid the same card, or have folded a flight without what it withdrew. It is asked when they are due: what
the peer gave once it may have lost since, with an older backup put back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from flycam.frame.tile import TileRecord
from flycam.sync.log_tail import LogTail
from flycam.sync.node import Node

HEAD_DIGITS = 16
"""Of a content hash, which holds the tile's address too."""

_MAX_HEADS_PER_QUERY = 1000

MissingHeadsQuery = Callable[[str, Sequence[str]], Collection[str]]
"""Of these heads (HEAD_DIGITS digits of their content hashes) of a live mosaic those that a peer has not."""


def assume_all_missing(_mosaic_id: str, heads: Sequence[str]) -> Collection[str]:
    """A peer that is not asked."""
    return heads


def drop_known_tiles(log: LogTail, missing: MissingHeadsQuery, *, views: bool = False) -> list[TileRecord]:
    """Take out of a log what the peer has, views too where they are still to go; the base tiles taken out. It
    is asked once."""
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
    """Which of these heads are not those of the mosaic here: the peer's side of `drop_known_tiles`."""
    here = {head.content_hash[:HEAD_DIGITS] for head in node.catalog.tiles.heads(mosaic_id, 0)}
    return [one for one in wanted_heads if one not in here]
