"""Encoded tiles, rendered once from the lossless state, in bounded memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import cv2
import numpy as np

from flycam.geometry.grid import TILE_SIZE_PX, TileId
from flycam.model.frame import TileRecord
from flycam.mosaic.redaction import TileMask
from flycam.mosaic.tiles.codec import ViewFormat, decode_rgb, encode_view
from flycam.serve.tiles.log_follower import MovedTiles, TileLogFollower, WatchedMosaic
from flycam.storage.base import ObjectStore

Message = dict[str, Any]

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


def _build_start(status: int, headers: list[tuple[bytes, bytes]]) -> Message:
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
        self.body: Message = {"type": "http.response.body", "body": data}

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


def render_view(
    data: bytes,
    tile_id: TileId,
    content_hash: str,
    seq: int,
    wanted: ViewFormat | None,
    without: TileMask | None = None,
) -> TileView:
    """Render the view of an encoded tile state. Raises TileCorrupt.

    Without `wanted`: JPEG where every pixel has data, else WebP, whose alpha keeps unflown ground transparent
    and which is a tenth of the PNG in size. without: pixels that are withheld: nothing of them is in
    the image, no colour under its alpha either.
    """
    rgb, mask = decode_rgb(data, tile_id)
    if without is not None:
        rgb, mask = np.where(without.hidden[..., None], np.uint8(0), rgb), mask & ~without.hidden
    chosen = wanted or (ViewFormat.JPEG if mask.all() else ViewFormat.WEBP)
    picture = encode_view(rgb, mask, chosen)
    veiled = "" if without is None else f".{without.name}"
    return TileView(picture, chosen.value, f'"{content_hash}.{chosen.name.lower()}{veiled}"', seq)


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
    return render_view(
        store.get(record.key), record.tile_id, record.content_hash, record.seq, wanted, without
    )
