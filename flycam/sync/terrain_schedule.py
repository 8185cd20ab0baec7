"""Terrains of a flight's frames, sent with the tiles that were made on them.

A peer that has the photos may have to rebuild such a tile at once, as where a frame has another placement
there: the terrain it needs for that must not come later. A flight from video has a terrain for each
frame.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Set

from flycam.catalog.records import FrameRecord, FrameStatus
from flycam.geometry.grid import TileId, TileRange
from flycam.sync.integrity import IntegrityFilter
from flycam.sync.manifest import ManifestItem
from flycam.sync.node import Node
from flycam.sync.offer import build_terrain_item, list_terrain_ids


class TerrainSchedule:
    """Terrains of all flights of a node; names: ids of all that are here."""

    def __init__(self, house: Node, readable: IntegrityFilter) -> None:
        self._node, self._readable = house, readable
        self._under: dict[str, list[tuple[TileRange, str]]] = {}
        self._missing: set[str] = set()
        self.names: set[str] = set()

    def add(self, flight_id: str, frames: Collection[FrameRecord]) -> None:
        """Add the terrains of a flight's frames."""
        here = set(list_terrain_ids(self._node, frames))
        self.names |= here
        self._under[flight_id] = [
            (one.tiles, one.dem_id)
            for one in frames
            if one.status is FrameStatus.USED and one.tiles is not None and one.dem_id in here
        ]

    def note_missing(self, lacking: Iterable[str]) -> None:
        """Note which of them the peer lacks."""
        self._missing = set(lacking)
        for flight_id, under in self._under.items():
            self._under[flight_id] = [one for one in under if one[1] in self._missing]

    def select_for_tiles(self, flight_id: str, tile_ids: Set[TileId]) -> list[ManifestItem]:
        """Return the terrains under these tiles that were not sent before."""
        found = {
            dem_id
            for tiles, dem_id in self._under[flight_id]
            if dem_id in self._missing and any(tile_id in tiles for tile_id in tile_ids)
        }
        self._missing -= found
        return list(self._items(sorted(found)))

    def iterate_remaining(self, target: Callable[[], int]) -> Iterator[list[ManifestItem]]:
        """Yield the remaining terrains, about `target()` bytes at a time."""
        some: list[ManifestItem] = []
        size = 0
        for item in self._items(sorted(self._missing)):
            some.append(item)
            size += item.size_bytes
            if size >= target():
                yield some
                some, size = [], 0
        if some:
            yield some

    def _items(self, dem_ids: Iterable[str]) -> Iterator[ManifestItem]:
        for dem_id in dem_ids:
            if (data := self._readable.terrain(dem_id)) is not None:
                yield build_terrain_item(dem_id, data)
