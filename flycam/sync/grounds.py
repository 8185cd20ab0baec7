"""The terrains that a flight's frames lie on, as they go over a line: with the tiles that were made on them.

A peer that has the photos may have to make such a tile again at once, as where a frame lies otherwise there:
the terrain it needs for that must not come later. A filmed flight has a terrain for each picture.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Set

from flycam.catalog.records import FrameRecord, FrameStatus
from flycam.geometry.grid import TileId, TileRange
from flycam.sync.house import House
from flycam.sync.manifest import Item
from flycam.sync.offering import terrain_ids, terrain_item
from flycam.sync.whole import Readable


class Grounds:
    """Of all flights of a house. names: ids of all that are here."""

    def __init__(self, house: House, readable: Readable) -> None:
        self._house, self._readable = house, readable
        self._under: dict[str, list[tuple[TileRange, str]]] = {}
        self._lacking: set[str] = set()
        self.names: set[str] = set()

    def add(self, flight_id: str, frames: Collection[FrameRecord]) -> None:
        """What a flight lies on."""
        here = set(terrain_ids(self._house, frames))
        self.names |= here
        self._under[flight_id] = [
            (one.tiles, one.dem_id)
            for one in frames
            if one.status is FrameStatus.USED and one.tiles is not None and one.dem_id in here
        ]

    def learn(self, lacking: Iterable[str]) -> None:
        """Hear which of them the peer has not."""
        self._lacking = set(lacking)
        for flight_id, under in self._under.items():
            self._under[flight_id] = [one for one in under if one[1] in self._lacking]

    def below(self, flight_id: str, tile_ids: Set[TileId]) -> list[Item]:
        """Those that these tiles were made on and that did not go before."""
        found = {
            dem_id
            for tiles, dem_id in self._under[flight_id]
            if dem_id in self._lacking and any(tile_id in tiles for tile_id in tile_ids)
        }
        self._lacking -= found
        return list(self._items(sorted(found)))

    def rest(self, target: Callable[[], int]) -> Iterator[list[Item]]:
        """Those that are left, about `target()` bytes at a time."""
        some: list[Item] = []
        size = 0
        for item in self._items(sorted(self._lacking)):
            some.append(item)
            size += item.size_bytes
            if size >= target():
                yield some
                some, size = [], 0
        if some:
            yield some

    def _items(self, dem_ids: Iterable[str]) -> Iterator[Item]:
        for dem_id in dem_ids:
            if (data := self._readable.terrain(dem_id)) is not None:
                yield terrain_item(dem_id, data)
