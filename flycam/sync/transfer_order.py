"""Selection of tiles to send, and their order. Pure: log lines in, order out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from flycam.frame.tile import TileRecord
from flycam.geometry.grid import TileId
from flycam.sync.manifest import ManifestItem, ObjectKind

_KINDS = {kind: place for place, kind in enumerate(ObjectKind)}

TransferRank = tuple[int, int, str, int, int, int, int, str]


def select_last_lines(lines: Iterable[TileRecord]) -> dict[TileId, TileRecord]:
    """Return each tile's last line among lines of one mosaic revision, in any order."""
    last: dict[TileId, TileRecord] = {}
    for line in lines:
        before = last.get(line.tile_id)
        if before is None or line.seq > before.seq:
            last[line.tile_id] = line
    return last


def rank_by(newest_ns: Mapping[str, int]) -> Callable[[ManifestItem], TransferRank]:
    """Return a sort key of items.

    newest_ns  capture time (UTC ns) of each mosaic's newest frame

    Kinds as in `ObjectKind`. Tiles: newest mosaic first, its coarse zooms before fine ones (the shape of
    the valley is visible after some kilobytes), within a zoom the latest line first. Total: no two items
    are equal unless they are the same object at the same place.
    """

    def rank(item: ManifestItem) -> TransferRank:
        kind = _KINDS[item.kind]
        if item.tile is None:
            return (kind, 0, item.name, 0, 0, 0, 0, item.sha256)
        line, tile = item.tile, item.tile.tile_id
        newest = newest_ns.get(line.mosaic_id, 0)
        return (kind, -newest, line.mosaic_id, tile.z, -line.seq, tile.y, tile.x, item.sha256)

    return rank


def sort_items(items: Iterable[ManifestItem], newest_ns: Mapping[str, int]) -> tuple[ManifestItem, ...]:
    """Return the items in the order they are sent, each once."""
    return tuple(sorted(set(items), key=rank_by(newest_ns)))
