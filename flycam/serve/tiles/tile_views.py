"""Tiles as they stand: their heads by the tile logs, and encoded views.

A view is rendered once from the lossless state, and kept in bounded memory.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from flycam.catalog.catalog import Catalog
from flycam.geometry.grid import TILE_SIZE_PX, TileId
from flycam.http.protocol import AsgiMessage
from flycam.model.frame import TileRecord
from flycam.model.records import MosaicInfo
from flycam.mosaic.redaction import TileMask
from flycam.mosaic.tiles.codec import ViewFormat, decode_rgb, encode_view
from flycam.storage.keys import ObjectStore

# -- Follower of the tile logs: the last seq of each mosaic, and which tiles moved -----------------
#
# Other processes write while this one serves. Memory is valid only as far as the log has been read, so every
# reader here works behind this cursor.


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


# -- Encoded tiles, rendered once from the lossless state ------------------------------------------


FORMAT_BY_SUFFIX: dict[str, ViewFormat | None] = {
    "": None,
    ".png": ViewFormat.PNG,
    ".webp": ViewFormat.WEBP,
}
_OVERHEAD_BYTES = 1500
_CACHE_IMMUTABLE = b"private, max-age=31536000, immutable"
_CACHE_REVALIDATE = b"private, no-cache"
_CACHE_BRIEFLY = b"private, max-age=60, must-revalidate"
# one account's cached tiles must not be shown to the next that signs in on that browser
_VARY = b"Authorization, Cookie"


def _build_start(status: int, headers: list[tuple[bytes, bytes]]) -> AsgiMessage:
    return {"type": "http.response.start", "status": status, "headers": headers}


class TileView:
    """One encoded tile with its answers ready to send.

    seq       log entry of the head it shows; 0 for an empty tile
    etag      quoted; changes with content and format, and with what is withheld of it
    until_ns  from when on it shows something else, though its tile is the same; None: never
    brief, unchanged_briefly  for principals from whom something may be withheld at any moment
    """

    __slots__ = (
        "body",
        "brief",
        "etag",
        "immutable",
        "revalidated",
        "seq",
        "unchanged",
        "unchanged_briefly",
        "until_ns",
        "used",
    )

    def __init__(
        self,
        data: bytes,
        media_type: str,
        etag: str,
        seq: int,
        until_ns: int | None = None,
    ) -> None:
        self.seq = seq
        self.until_ns = until_ns
        self.etag = etag.encode()
        self.used = True
        common = [(b"etag", self.etag), (b"x-content-type-options", b"nosniff"), (b"vary", _VARY)]
        entity = [(b"content-type", media_type.encode()), (b"content-length", str(len(data)).encode())]
        self.immutable = _build_start(200, [*entity, *common, (b"cache-control", _CACHE_IMMUTABLE)])
        self.revalidated = _build_start(200, [*entity, *common, (b"cache-control", _CACHE_REVALIDATE)])
        self.brief = _build_start(200, [*entity, *common, (b"cache-control", _CACHE_BRIEFLY)])
        self.unchanged = _build_start(304, [*common, (b"cache-control", _CACHE_REVALIDATE)])
        self.unchanged_briefly = _build_start(304, [*common, (b"cache-control", _CACHE_BRIEFLY)])
        self.body: AsgiMessage = {"type": "http.response.body", "body": data}

    @property
    def data(self) -> bytes:
        """The encoded image."""
        return bytes(self.body["body"])

    @property
    def size(self) -> int:
        """Bytes held, roughly."""
        return len(self.body["body"]) + _OVERHEAD_BYTES


class ViewCache:
    """Views by path, within `limit_bytes`. The least recently used goes first.

    By second chance: looking up takes no lock. Drops a view when the log says that its tile moved.
    """

    def __init__(self, follower: TileLogFollower, limit_bytes: int) -> None:
        self._follower = follower
        self._limit_bytes = limit_bytes
        self._views: OrderedDict[str, TileView] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        follower.add_listener(self._invalidate)

    def get(self, path: str) -> TileView | None:
        """Return the view cached for a path. Valid only while the follower is not due."""
        view = self._views.get(path)
        if view is not None:
            view.used = True
        return view

    def keep(self, path: str, view: TileView, watched: WatchedMosaic) -> None:
        """Cache a view unless its mosaic has moved since `watched`.

        `watched` was read before the tile's head.
        """
        with self._lock:
            if not self._follower.is_newest(watched):
                return
            self._drop(path)
            self._views[path] = view
            self._bytes += view.size
            while self._bytes > self._limit_bytes:
                oldest, candidate = self._views.popitem(last=False)
                if candidate.used and len(self._views):
                    candidate.used = False
                    self._views[oldest] = candidate
                else:
                    self._bytes -= candidate.size

    def _invalidate(self, moved: MovedTiles) -> None:
        prefix = f"/tiles/{moved.mosaic_id}/"
        with self._lock:
            if moved.tiles is None:
                paths = [path for path in self._views if path.startswith(prefix)]
            else:
                paths = [f"{prefix}{tile}{suffix}" for tile, _ in moved.tiles for suffix in FORMAT_BY_SUFFIX]
            for path in paths:
                self._drop(path)

    def _drop(self, path: str) -> None:
        view = self._views.pop(path, None)
        if view is not None:
            self._bytes -= view.size


def _render_empty_png() -> bytes:
    written, png = cv2.imencode(".png", np.zeros((TILE_SIZE_PX, TILE_SIZE_PX, 4), np.uint8))
    if not written:
        raise RuntimeError("OpenCV cannot write PNG")
    return png.tobytes()


EMPTY_VIEW = TileView(_render_empty_png(), ViewFormat.PNG.value, '"empty"', 0)
"""Shown where nothing was flown: fully transparent, so that the map's own sign for it shows through."""


def load_view(
    store: ObjectStore, record: TileRecord, wanted: ViewFormat | None, without: TileMask | None = None
) -> TileView:
    """Load the view of a tile record. Raises errors of the store, or TileCorrupt."""
    # without `wanted`: JPEG where every pixel has data, else WebP, whose alpha keeps unflown ground
    # transparent and which is a tenth of the PNG in size; nothing of withheld pixels is in the image, no
    # colour under its alpha either
    data = store.get(record.key)
    rgb, mask = decode_rgb(data, record.tile_id)
    if without is not None:
        rgb, mask = np.where(without.hidden[..., None], np.uint8(0), rgb), mask & ~without.hidden
    chosen = wanted or (ViewFormat.JPEG if mask.all() else ViewFormat.WEBP)
    picture = encode_view(rgb, mask, chosen)
    veiled = "" if without is None else f".{without.name}"
    return TileView(
        picture, chosen.value, f'"{record.content_hash}.{chosen.name.lower()}{veiled}"', record.seq
    )
