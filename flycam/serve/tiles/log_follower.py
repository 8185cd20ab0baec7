"""Follower of the tile logs: the last seq of each mosaic, and which tiles moved.

Other processes write while this one serves. Memory is valid only as far as the log has been read, so every
reader here works behind this cursor.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from flycam.catalog.catalog import Catalog
from flycam.geometry.grid import TileId
from flycam.model.frame import TileRecord
from flycam.model.records import MosaicInfo

_LOG_BATCH = 1000
_MAX_MOVED_LINES = 5000


@dataclass(frozen=True, slots=True)
class WatchedMosaic:
    """Followed mosaic: its published revision and the last log entry seen."""

    info: MosaicInfo
    seq: int


@dataclass(frozen=True, slots=True)
class MovedTiles:
    """Changes of a mosaic.

    tiles: (tile, seq) of each head that moved; None: treat all of them as moved.
    """

    mosaic_id: str
    seq: int
    tiles: tuple[tuple[TileId, int], ...] | None


Listener = Callable[[MovedTiles], None]


class TileLogFollower:
    """One cursor a mosaic, shared by all readers. Safe to use from several threads."""

    def __init__(self, catalog: Catalog, period_s: float) -> None:
        self._catalog = catalog
        self._period_s = period_s
        self._lock = threading.Lock()
        self._watched: dict[str, WatchedMosaic] = {}
        self._watched_by_id: dict[str, WatchedMosaic] = {}
        self._looked_at: dict[str, float] = {}
        self._listeners: list[Listener] = []
        self._read_at = time.monotonic()

    @property
    def is_due(self) -> bool:
        """True if the logs should be read before memory is trusted."""
        # inlined from `_is_older`: this runs for each tile
        return time.monotonic() - self._read_at > self._period_s

    def _is_older(self, seconds: float) -> bool:
        """Return True if the logs were last read longer ago."""
        return time.monotonic() - self._read_at > seconds

    def is_newest(self, watched: WatchedMosaic) -> bool:
        """Return True if nothing newer of the mosaic was read.

        Listeners may not have been notified yet.
        """
        return self._watched.get(watched.info.mosaic_id) is watched

    def get_watched(self, mosaic_id: str) -> WatchedMosaic | None:
        """Return a mosaic as all listeners know it; None: it is not watched.

        What they cache is valid up to there. The same object until there is news.
        """
        return self._watched_by_id.get(mosaic_id)

    def add_listener(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with all changes; return a function that stops this."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def watch_mosaic(self, mosaic_id: str) -> WatchedMosaic:
        """Start to follow a mosaic, if that is new. Raises NotFound, CatalogUnavailable."""
        watched = self._watched.get(mosaic_id)
        if watched is None:
            seq = self._catalog.tiles.last_seq(mosaic_id)
            watched = WatchedMosaic(self._catalog.tiles.mosaic(mosaic_id), seq)
            with self._lock:
                watched = self._watched.setdefault(mosaic_id, watched)
                self._watched_by_id.setdefault(mosaic_id, watched)
        return watched

    def head(self, watched: WatchedMosaic, tile_id: TileId) -> TileRecord | None:
        """Return the current object of a tile; None where nothing was flown."""
        return self._catalog.tiles.head(watched.info.mosaic_id, watched.info.revision, tile_id)

    def read_if_due(self, within_s: float | None = None) -> None:
        """Read the logs of all watched mosaics, unless that was done a moment ago.

        within_s: length of that moment, seconds (default: the follower's period).
        """
        within_s = self._period_s if within_s is None else within_s
        if self._is_older(within_s):
            self.read(unless_within_s=within_s)

    def read(self, *, unless_within_s: float | None = None) -> None:
        """Read the logs of all watched mosaics now. Raises CatalogUnavailable."""
        with self._lock:
            began = time.monotonic()
            if unless_within_s is not None and not self._is_older(unless_within_s):
                return
            self._notify(self._watched)
            # after the listeners: until then readers must not trust their caches
            self._read_at = began

    def read_flights(self, flight_ids: Collection[str]) -> None:
        """Read the logs of these flights' watched mosaics now, and no others.

        Raises CatalogUnavailable.
        """
        with self._lock:
            self._notify([key for key, one in self._watched.items() if one.info.flight_id in flight_ids])

    def read_mosaic_log(self, mosaic_id: str, since: float) -> None:
        """Read the log of one watched mosaic, unless a read began at `since` or later.

        By `time.monotonic`: many who want newer tiles at one time share it. Raises CatalogUnavailable.
        """
        with self._lock:
            began = time.monotonic()
            if self.get_last_read_s(mosaic_id) >= since:
                return
            self._notify([mosaic_id])
            self._looked_at[mosaic_id] = began

    def get_last_read_s(self, mosaic_id: str) -> float:
        """Return when `read_mosaic_log` last began to read (`time.monotonic`).

        -inf where it never did.
        """
        return self._looked_at.get(mosaic_id, -math.inf)

    def _notify(self, mosaic_ids: Iterable[str]) -> None:
        """Notify listeners of what moved in these mosaics; the caller holds the lock."""
        seen = ((mosaic_id, self._watched[mosaic_id]) for mosaic_id in mosaic_ids)
        news = [one for mosaic_id, watched in seen if (one := self._find_moved(mosaic_id, watched))]
        # before the listeners: nothing read of a mosaic's old state is cached once they dropped it
        self._watched.update({moved.mosaic_id: now for moved, now in news})
        for moved, _ in news:
            for listener in list(self._listeners):
                listener(moved)
        self._watched_by_id.update({moved.mosaic_id: now for moved, now in news})

    def _find_moved(self, mosaic_id: str, watched: WatchedMosaic) -> tuple[MovedTiles, WatchedMosaic] | None:
        """Return the moved tiles and the mosaic's new state; None if nothing moved.

        Another revision moves all tiles.
        """
        last = self._catalog.tiles.last_seq(mosaic_id)
        info = self._catalog.tiles.mosaic(mosaic_id)
        if info.revision != watched.info.revision or last - watched.seq > _MAX_MOVED_LINES:
            return MovedTiles(mosaic_id, last, None), WatchedMosaic(info, last)
        if last == watched.seq:
            return None
        tiles: dict[TileId, int] = {}
        seq = watched.seq
        while lines := self._catalog.tiles.log_since(mosaic_id, seq, _LOG_BATCH):
            shown = (line for line in lines if line.revision == info.revision)
            tiles.update({line.tile_id: line.seq for line in shown})
            seq = lines[-1].seq
        return MovedTiles(mosaic_id, seq, tuple(tiles.items())), WatchedMosaic(info, seq)
