"""Tiles of a log that the peer has already, and did not get from it: they do not go over the line again.

A box that read the province's stick, or another box's, has their flights in logs of its own. It is asked
about them when they are due: what the peer gave once it may have lost since, with an older backup put back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from flycam.frame.tile import TileRecord
from flycam.mosaic.given import has_given
from flycam.sync.house import House
from flycam.sync.log_beyond import LogBeyond

HEAD_DIGITS = 16
"""Of a content hash, which holds the tile's address too."""

_ASKED_AT_ONCE = 1000

HeadsLacking = Callable[[str, Sequence[str]], Collection[str]]
"""Of these heads (HEAD_DIGITS digits of their content hashes) of a live mosaic those that a peer has not."""


def all_lacking(_mosaic_id: str, heads: Sequence[str]) -> Collection[str]:
    """A peer that is not asked."""
    return heads


def leave_out(house: House, logs: Iterable[LogBeyond], lacking: HeadsLacking) -> list[TileRecord]:
    """Take out of logs what the peer has, where another box's tiles are in them; the base tiles taken out."""
    out: list[TileRecord] = []
    for log in logs:
        if not has_given(house.store, log.mosaic.mosaic_id):
            continue
        heads = [line.content_hash[:HEAD_DIGITS] for line in (*log.views, *log.tiles)]
        wanted: set[str] = set()
        for start in range(0, len(heads), _ASKED_AT_ONCE):
            wanted.update(lacking(log.mosaic.mosaic_id, heads[start : start + _ASKED_AT_ONCE]))
        out += [one for one in log.tiles if one.content_hash[:HEAD_DIGITS] not in wanted]
        log.tiles = [one for one in log.tiles if one.content_hash[:HEAD_DIGITS] in wanted]
        log.views = [one for one in log.views if one.content_hash[:HEAD_DIGITS] in wanted]
    return out


def heads_lacking(house: House, mosaic_id: str, asked: Iterable[str]) -> list[str]:
    """Which of these heads are not those of the mosaic here: the peer's side of `leave_out`."""
    here = {head.content_hash[:HEAD_DIGITS] for head in house.catalog.tiles.heads(mosaic_id, 0)}
    return [one for one in asked if one not in here]
