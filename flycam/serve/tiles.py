"""Tiles: as they stand, of a revision, as data layers, and hillshade; their routes.

`/tiles/{mosaic}/{z}/{x}/{y}[.png|.webp]` is an ASGI route before the router.

`?revision=N` and `?layer=error|age|gsd|surface` request another revision, or a data layer of the pixels.

`?v=SEQ&r=N` states which revision the client takes to be published: where the server knows less, it reads the
log first, so that an answer that is cached for ever is never of another revision than its address states.

A tile that is kept in memory is answered without leaving the event loop: one look at the headers, one at the
cached account, one at the cached view. `?v=SEQ` names the log entry that the client knows: where the tile's
head is not newer than that and the log has been read that far, the answer never changes and says so. Under an
account it is cached for a minute only, as more may be withheld by then; a page that is notified of that
(`withheld` of `/events`) uses another address at once: `&w=RULES`, which is not read here.
"""

from __future__ import annotations

import asyncio
import io
import math
import re
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    Sequence,
)
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, NamedTuple
from urllib.parse import parse_qs

import cv2
import numpy as np
from fastapi import APIRouter, Depends, Path, Request, Response
from numpy.typing import NDArray
from PIL import Image

from flycam.access.policy import AccessPolicy, find_shown_revision, get_flight_bounds
from flycam.catalog.catalog import Catalog
from flycam.catalog.mosaics import LIVE_REVISION, make_mosaic_not_found
from flycam.drill.routes import is_exercise_dem
from flycam.errors import FlycamError, NotFound, StorageFailed
from flycam.geodata.dem import make_palette, render_hillshade_tile
from flycam.geometry.grid import (
    MAX_ZOOM,
    TILE_SIZE_PX,
    TileId,
    TileRange,
    compute_grid_pixel_m,
    find_range_for_bounds,
    lonlat_to_mercator,
)
from flycam.geometry.terrain import TerrainGrid
from flycam.http.guards import (
    Authenticator,
    Headers,
    Principal,
    ServicesHere,
    build_role_error,
    build_scope_error,
    get_access_policy,
    require_guest,
)
from flycam.http.protocol import (
    ACCOUNT_SCOPE_KEY,
    AsgiMessage,
    Json,
    build_error_response,
    build_sign_in_response,
)
from flycam.messages import Message, _, ngettext
from flycam.model.access import Role
from flycam.model.flight import Flight, is_flat_datum
from flycam.model.frame import MosaicTile, TileRecord
from flycam.model.records import BoundsLonLat, DemRecord, MosaicInfo
from flycam.model.time import format_iso
from flycam.mosaic.finish.finished_tiles import (
    HOUR_NS,
    compute_age_h,
    compute_error_m,
    compute_gsd_m,
    compute_hours_since,
    mask_dsm_pixels,
)
from flycam.mosaic.redaction import TileMask, compute_tile_mask
from flycam.mosaic.terrain import FAILURE_TTL_S, load_registered_dems
from flycam.mosaic.terrain_codec import TerrainCache
from flycam.mosaic.tiles.codec import ViewFormat, decode_rgb, decode_tile, encode_view
from flycam.reports.layout import ERROR_COLOURS, SURFACE_COLOURS
from flycam.storage.keys import ObjectStore
from flycam.workspace import Workspace

# -- Tiles as they stand: their heads by the tile logs, and encoded views --------------------------
#
# A view is rendered once from the lossless state, and kept in bounded memory.


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
        for moved, __ in news:
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


# -- Tiles of a named revision, and data layers: `?revision=N`, `?layer=…` -------------------------
#
# Each answer reads the tile's head from the catalogue, so it is never older than the log. A retired revision,
# or one that is still being written, is not found.


# -- Data layers of a tile: expected error, age, GSD and ground of its pixels ----------------------
#
# They are made from the lossless state on request and never stored. Colours are classes, not a ramp: a class
# can be read off the legend on a bad projector, and each has one colour that holds for every flight.


ClassImage = NDArray[np.uint8]

_ALPHA = 205


class DataLayer(StrEnum):
    """Quantity that a data layer shows."""

    ERROR = "error"
    AGE = "age"
    GSD = "gsd"
    SURFACE = "surface"


@dataclass(frozen=True, kw_only=True, slots=True)
class LegendClass:
    """One colour and its meaning; `up_to`: upper bound in the layer's unit, or None."""

    colour: str
    up_to: float | None
    label: Message


@dataclass(frozen=True, kw_only=True, slots=True)
class Legend:
    """Classes of a layer, best first."""

    title: Message
    classes: tuple[LegendClass, ...]

    @property
    def bounds(self) -> NDArray[np.float64]:
        """Upper bounds of all classes but the last."""
        return np.array([one.up_to for one in self.classes[:-1]], dtype=np.float64)


def _build_legend(title: Message, bounds: Sequence[tuple[float, Message | str]], last: Message) -> Legend:
    classes = [
        LegendClass(colour=colour, up_to=bound, label=_("up to {bound}", bound=bound_text))
        for colour, (bound, bound_text) in zip(ERROR_COLOURS, bounds, strict=False)
    ]
    return Legend(
        title=title, classes=(*classes, LegendClass(colour=ERROR_COLOURS[-1], up_to=None, label=last))
    )


LEGENDS: Mapping[DataLayer, Legend] = {
    DataLayer.ERROR: _build_legend(
        _("Expected error (1 sigma)"),
        [(bound, Message("{error_m:,g} m", {"error_m": bound})) for bound in (0.1, 0.25, 0.5, 1.0, 2.0, 5.0)],
        _("over 5 m, or not known"),
    ),
    DataLayer.AGE: _build_legend(
        _("Age of the picture"),
        [
            *((float(hours), ngettext("{count} hour", "{count} hours", hours)) for hours in (1, 3, 12)),
            *((24.0 * days, ngettext("{count} day", "{count} days", days)) for days in (1, 3, 7)),
        ],
        _("over 7 days"),
    ),
    DataLayer.GSD: _build_legend(
        _("GSD of the photo"),
        [(0.03, "3 cm"), (0.05, "5 cm"), (0.1, "10 cm"), (0.2, "20 cm"), (0.5, "50 cm"), (1.0, "1 m")],
        _("over 1 m, or not known"),
    ),
    DataLayer.SURFACE: Legend(
        title=_("Ground under the pixels"),
        classes=(
            LegendClass(colour=SURFACE_COLOURS["own"], up_to=None, label=_("the flight's own surface")),
            LegendClass(
                colour=SURFACE_COLOURS["corrected"],
                up_to=None,
                label=_("carried on or corrected from the flight"),
            ),
            LegendClass(colour=SURFACE_COLOURS["dem"], up_to=None, label=_("terrain model (DEM)")),
            LegendClass(colour=SURFACE_COLOURS["plane"], up_to=None, label=_("a flat plane (no DEM)")),
        ),
    ),
}
OWN_SURFACE, CORRECTED, TERRAIN_MODEL, PLANE = range(4)


def classify_pixels(value: NDArray[np.float32], layer: DataLayer) -> ClassImage:
    """Classify each pixel (256×256) by its value in the layer's unit.

    Unknown values (NaN) get the last class. Pixels without data get any.
    """
    return np.searchsorted(LEGENDS[layer].bounds, value, side="left").astype(np.uint8)


def classify_surface(tile: MosaicTile, support: TerrainGrid | None, *, on_plane: bool) -> ClassImage:
    """Classify pixels by the ground that they lie on.

    `support` has heights where the flight measured the ground. Beside that a DSM is no terrain model any
    more: heights are continued from what was measured, and the terrain is corrected by it. None: there is no
    DSM, and all lies on the terrain, or on the plane in its place.
    """
    if support is None:
        return np.full(tile.quality.shape, PLANE if on_plane else TERRAIN_MODEL, dtype=np.uint8)
    return np.where(mask_dsm_pixels(tile.tile_id, support), OWN_SURFACE, CORRECTED).astype(np.uint8)


def render_class_png(classes: ClassImage, mask: NDArray[np.bool_], layer: DataLayer) -> bytes:
    """Render PNG in the palette's colours where `mask`, transparent elsewhere."""
    colours = [_bgra(one.colour) for one in LEGENDS[layer].classes]
    table = np.array([*colours, (0, 0, 0, 0)], dtype=np.uint8)
    picture = table[np.where(mask, classes, len(colours))]
    written, png = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not written:
        raise RuntimeError("OpenCV cannot write PNG")
    return bytes(png.tobytes())


def _bgra(colour: str) -> tuple[int, int, int, int]:
    red, green, blue = bytes.fromhex(colour[1:])
    return blue, green, red, _ALPHA


def to_legend_json(legend: Legend) -> dict[str, object]:
    """Return a legend for the map: title and classes in both languages."""
    return {
        **legend.title.to_fields("title"),
        "classes": [
            {"colour": one.colour, "up_to": one.up_to, **one.label.to_fields("label")}
            for one in legend.classes
        ],
    }


# -- Tiles of a named revision, and data views -----------------------------------------------------


@dataclass(frozen=True, slots=True)
class TileQuery:
    """Parameters of a tile request beyond the published view."""

    revision: int | None
    layer: DataLayer | None


def parse_tile_query(query: bytes) -> TileQuery | None:
    """Parse the query; None for the published view. Raises NotFound otherwise.

    NotFound is for revisions and layers that do not exist.
    """
    if b"revision=" not in query and b"layer=" not in query:
        return None
    values = parse_qs(query.decode("latin-1"))
    revision, layer = values.get("revision", [""])[0], values.get("layer", [""])[0]
    if revision and not (revision.isdecimal() and len(revision) < 10):
        raise NotFound(
            _("revision={revision}: no revision has such a number; see the flight's list", revision=revision)
        )
    if layer and layer not in frozenset(DataLayer):
        raise NotFound(
            _(
                "layer={layer}: there is no such view; ask for {datalayer}",
                layer=layer,
                datalayer=", ".join(DataLayer),
            )
        )
    if not revision and not layer:
        return None
    return TileQuery(int(revision) if revision else None, DataLayer(layer) if layer else None)


PUBLISHED_VIEW = TileQuery(None, None)
"""Published revision, in its own colours."""


class DataTileViews:
    """Maker of data views, and of views of redacted tiles. Thread-safe."""

    def __init__(
        self, workspace: Workspace, follower: TileLogFollower, cache: ViewCache, grounds: TerrainCache
    ) -> None:
        self._workspace = workspace
        self._catalog = workspace.catalog
        self._follower = follower
        self._cache = cache
        self._grounds = grounds

    def view(
        self,
        path: str,
        mosaic_id: str,
        tile_id: TileId,
        query: TileQuery,
        wanted: ViewFormat | None,
        policy: AccessPolicy,
    ) -> TileView:
        """Return the view under an access policy.

        EMPTY_VIEW where nothing was flown, or all is withheld. Raises NotFound (also for a mosaic that the
        policy hides), and errors of reading a tile.
        """
        self._follower.read_if_due()
        watched = self._follower.watch_mosaic(mosaic_id)
        if policy.hides_mosaic(mosaic_id):
            raise make_mosaic_not_found(mosaic_id)
        info = find_shown_revision(self._catalog, watched.info, query.revision)
        head = self._catalog.tiles.head(mosaic_id, info.revision, tile_id)
        if head is None:
            return EMPTY_VIEW
        rules = policy.fingerprint if policy.touches_tile(tile_id) else ""
        key = f"{path}?{info.revision}.{query.layer or ''}.{rules}"
        cached = self._cache.get(key)
        if cached is not None and self._is_still_valid(cached, head):
            return cached
        veil = compute_tile_mask(tile_id, policy)
        if veil is not None and veil.hidden.all():
            return EMPTY_VIEW
        view = (
            load_view(self._workspace.store, head, wanted, veil)
            if query.layer is None
            else self._render_data_view(info, head, query.layer, veil)
        )
        self._cache.keep(key, view, watched)
        return view

    def _is_still_valid(self, cached: TileView, head: TileRecord) -> bool:
        """Return True if a cached view equals one that would be made now."""
        is_its_time = cached.until_ns is None or self._workspace.clock_ns() <= cached.until_ns
        return is_its_time and cached.etag.startswith(f'"{head.content_hash}.'.encode())

    def _render_data_view(
        self, info: MosaicInfo, head: TileRecord, layer: DataLayer, veil: TileMask | None
    ) -> TileView:
        tile = decode_tile(self._workspace.store.get(head.key), head.tile_id, head.content_hash)
        shown = tile.quality > 0 if veil is None else (tile.quality > 0) & ~veil.hidden
        # taken before the ages are drawn: never too long
        until_ns = self._ages_valid_until_ns(tile) if layer is DataLayer.AGE else None
        png = render_class_png(self._classify(info, tile, layer), shown, layer)
        # a view changes without its tile: with the clock, and with what classes mean in a newer flycam
        stamp = f"{head.content_hash}.{layer}.{zlib.crc32(png):08x}"
        return TileView(png, ViewFormat.PNG.value, f'"{stamp}"', head.seq, until_ns)

    def _ages_valid_until_ns(self, tile: MosaicTile) -> int | None:
        """Return the time, UTC ns, until which its age colours are valid."""
        captured = [self._catalog.frames.get(name).header.captured_ns for name in tile.frames]
        now_ns = self._workspace.clock_ns()
        bounds = LEGENDS[DataLayer.AGE].bounds
        now = np.searchsorted(bounds, compute_hours_since(captured, now_ns), side="left")
        ends = [
            moment + int(bounds[at] * HOUR_NS)
            for moment, at in zip(captured, now.tolist(), strict=True)
            if at < len(bounds)
        ]
        return min(ends, default=None)

    def _classify(self, info: MosaicInfo, tile: MosaicTile, layer: DataLayer) -> ClassImage:
        if layer is DataLayer.SURFACE:
            flight = self._catalog.flights.flight(info.flight_id)
            on_plane = is_flat_datum(flight.vertical_datum)
            return classify_surface(tile, self._load_support(info), on_plane=on_plane)
        finished = info.revision != LIVE_REVISION
        # a finished tile holds its errors: no frame is looked up
        if layer is DataLayer.ERROR and finished:
            return classify_pixels(compute_error_m(tile, None), layer)
        frames = {name: self._catalog.frames.get(name) for name in tile.frames}
        if layer is DataLayer.AGE:
            return classify_pixels(compute_age_h(tile, frames, self._workspace.clock_ns()), layer)
        if layer is DataLayer.GSD:
            return classify_pixels(compute_gsd_m(tile, frames), layer)
        return classify_pixels(compute_error_m(tile, frames), layer)

    def _load_support(self, info: MosaicInfo) -> TerrainGrid | None:
        if info.revision == LIVE_REVISION:
            return None
        key = self._catalog.revisions.get(info.mosaic_id, info.revision).support_key
        return None if key is None else self._grounds.grid(key)


# -- Tile routes: `/tiles`, and tile matrix sets of WMTS and OGC API -------------------------------


Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_PREFIX = "/tiles/"
_PATH = re.compile(r"/tiles/([0-9A-Za-z._-]{1,128})/(\d{1,2})/(\d{1,8})/(\d{1,8})(\.png|\.webp|)")
# between reads of a log for versions not known yet: made-up versions cost others nothing
_MIN_READ_INTERVAL_S = 0.05
# bytes of a query, as long as the map sends; longer ones do not recur, and are not cached
_MAX_CACHED_QUERY_BYTES = 64
_NO_BODY: AsgiMessage = {"type": "http.response.body", "body": b""}


@dataclass(slots=True)
class TileCounts:
    """Counters of tile requests for `/metrics`."""

    hits: int = 0
    made: int = 0
    unchanged: int = 0
    refused: int = 0
    failed: int = 0


class TileRoute:
    """ASGI route that answers tile requests and passes everything else on to `app`."""

    def __init__(
        self,
        app: App,
        door: Authenticator,
        follower: TileLogFollower,
        store: ObjectStore,
        cache: ViewCache,
        data_views: DataTileViews,
    ) -> None:
        self._app = app
        self._door = door
        self._follower = follower
        self._store = store
        self._cache = cache
        self._data_views = data_views
        self._making: dict[tuple[str, int, int], asyncio.Future[TileView]] = {}
        self.counts = TileCounts()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if (
            scope["type"] == "http"
            and scope["path"].startswith(_PREFIX)
            and scope["method"] in ("GET", "HEAD")
        ):
            return self._serve(scope, send)
        return self._app(scope, receive, send)

    async def _serve(self, scope: Scope, send: Send) -> None:
        headers, path = scope["headers"], scope["path"]
        try:
            visitor = await self._door.authenticate_async(scope)
            scope[ACCOUNT_SCOPE_KEY] = visitor.name if visitor is not None else None
            if visitor is None or not visitor.sees_tiles:
                self.counts.refused += 1
                await _send_answer(send, _build_refusal(visitor, scope))
                return
            query = scope["query_string"]
            tile_query, version, believed = (
                _parse_query_cached if len(query) <= _MAX_CACHED_QUERY_BYTES else _parse_query
            )(query)
            policy = visitor.access_policy
            if tile_query is None and not policy.is_nothing and _is_affected(policy, path):
                tile_query = PUBLISHED_VIEW
            if tile_query is not None:
                view, is_settled = (
                    await asyncio.to_thread(self._make_data_view, path, tile_query, policy),
                    False,
                )
            else:
                mosaic_id = path[len(_PREFIX) : path.find("/", len(_PREFIX))]
                watched = self._follower.get_watched(mosaic_id)
                cached = self._cache.get(path)
                if (
                    cached is None
                    or watched is None
                    or self._follower.is_due
                    or _is_newer(watched, version, believed)
                    or self._follower.get_watched(mosaic_id) is not watched
                ):
                    view, watched = await self._make_view(path, version, believed)
                    is_settled = view.seq <= version and not _is_newer(watched, version, believed)
                else:
                    self.counts.hits += 1
                    view, is_settled = cached, cached.seq <= version
        except FlycamError as error:
            self.counts.failed += 1
            await _send_answer(send, build_error_response(error, scope))
            return
        head, body = self._build_answer(visitor, view, headers, is_settled)
        await send(head)
        await send(body if scope["method"] == "GET" else _NO_BODY)

    def _build_answer(
        self, visitor: Principal, view: TileView, headers: Headers, is_settled: bool
    ) -> tuple[AsgiMessage, AsgiMessage]:
        """Build head and body.

        A settled answer never changes under its address, but for what may be withheld of it from an account.
        """
        has_account = visitor.account is not None
        known = _read_etags(headers)
        if known and view.etag in known:
            self.counts.unchanged += 1
            return view.unchanged_briefly if is_settled and has_account else view.unchanged, _NO_BODY
        if not is_settled:
            return view.revalidated, view.body
        return view.brief if has_account else view.immutable, view.body

    def _make_data_view(self, path: str, tile_query: TileQuery, policy: AccessPolicy) -> TileView:
        mosaic_id, tile_id, suffix = _parse_path(path)
        return self._data_views.view(path, mosaic_id, tile_id, tile_query, FORMAT_BY_SUFFIX[suffix], policy)

    async def _make_view(self, path: str, version: int, believed: int) -> tuple[TileView, WatchedMosaic]:
        """Read the log, then return the view and the mosaic as known before it was made.

        A cached view is taken. Equal requests at one time share the work, where they know the same of the
        mosaic.
        """
        mosaic_id, tile_id, suffix = _parse_path(path)
        watched = await self._read_log(mosaic_id, version, believed)
        view = self._cache.get(path)
        if view is not None and self._follower.get_watched(mosaic_id) is watched:
            self.counts.hits += 1
            return view, watched
        key = (path, watched.seq, watched.info.revision)
        making = self._making.get(key)
        if making is None:
            making = asyncio.ensure_future(asyncio.to_thread(self._make, path, watched, tile_id, suffix))
            self._making[key] = making
            making.add_done_callback(lambda _: self._making.pop(key, None))
        # shielded: other requests wait for the same view
        return await asyncio.shield(making), watched

    async def _read_log(self, mosaic_id: str, version: int, believed: int) -> WatchedMosaic:
        """Return the mosaic as it is known, after reading the log where that is due.

        A version that is not known yet is looked for in the mosaic's own log alone, once for all concurrent
        requests and then not for a moment: a client that makes versions up costs others nothing.
        """
        watched = self._follower.get_watched(mosaic_id)
        if watched is None:
            return await asyncio.to_thread(self._follower.watch_mosaic, mosaic_id)
        if _is_newer(watched, version, believed):
            request_s = time.monotonic()
            await asyncio.sleep(self._follower.get_last_read_s(mosaic_id) + _MIN_READ_INTERVAL_S - request_s)
            await asyncio.to_thread(self._follower.read_mosaic_log, mosaic_id, request_s)
        elif self._follower.is_due:
            await asyncio.to_thread(self._follower.read_if_due)
        return self._follower.get_watched(mosaic_id) or watched

    def _make(self, path: str, watched: WatchedMosaic, tile_id: TileId, suffix: str) -> TileView:
        head = self._follower.head(watched, tile_id)
        view = EMPTY_VIEW if head is None else load_view(self._store, head, FORMAT_BY_SUFFIX[suffix])
        self._cache.keep(path, view, watched)
        self.counts.made += 1
        return view


def _build_refusal(principal: Principal | None, scope: Scope) -> tuple[AsgiMessage, AsgiMessage]:
    """Build the answer to a principal that may not have the tile.

    A valid token of another scope is not reported as a wrong one.
    """
    if principal is None:
        return build_sign_in_response(scope)
    if principal.account is not None and not principal.can_reach("GET", scope["path"]):
        return build_error_response(build_scope_error(principal.name, principal.account.scope), scope)
    return build_error_response(build_role_error(principal, Role.GUEST), scope)


def _is_affected(policy: AccessPolicy, path: str) -> bool:
    """Return True if a policy hides or changes the tile."""
    mosaic_id, tile_id, _ = _parse_path_cached(path)
    return policy.hides_mosaic(mosaic_id) or policy.touches_tile(tile_id)


class _TileAddressQuery(NamedTuple):
    """Query of a tile's address.

    tile_query: what is requested beyond the published view; version, revision: log entry and revision that
    the client knows; -1 where none is named.
    """

    tile_query: TileQuery | None
    version: int
    revision: int


def _parse_query(query: bytes) -> _TileAddressQuery:
    _, found, rest = query.partition(b"&r=")
    digits = rest.partition(b"&")[0]
    return _TileAddressQuery(
        parse_tile_query(query),
        _parse_version(query),
        int(digits) if found and digits.isdigit() and len(digits) < 10 else -1,
    )


_parse_query_cached = lru_cache(maxsize=1024)(_parse_query)
"""A mosaic's tiles have the same query until it moves."""


def _read_etags(headers: Headers) -> bytes:
    """Return the ETags that the client has (If-None-Match)."""
    for name, value in headers:
        if name == b"if-none-match":
            return value
    return b""


def _parse_version(query: bytes) -> int:
    """Return the log entry in `v=…`; -1 if none is named."""
    if query[:2] != b"v=":
        return -1
    digits = query[2:].partition(b"&")[0]
    return int(digits) if digits.isdigit() and len(digits) < 18 else -1


def _is_newer(watched: WatchedMosaic, version: int, believed: int) -> bool:
    """Return True if the client knows a newer log entry or another revision.

    -1: it names none, and nothing is newer.
    """
    return version > watched.seq or (believed != watched.info.revision and believed >= 0)


def _parse_path(path: str) -> tuple[str, TileId, str]:
    match = _PATH.fullmatch(path)
    if match is None:
        raise NotFound(_("{path}: not a tile; ask for /tiles/MOSAIC/Z/X/Y", path=path))
    mosaic_id, z, x, y, suffix = match.groups()
    tile_id = TileId(z=int(z), x=int(x), y=int(y))
    side = 1 << tile_id.z
    if tile_id.z > MAX_ZOOM or tile_id.x >= side or tile_id.y >= side:
        raise NotFound(
            _(
                "{path}: outside the tile grid; ask for zoom 0-{max_zoom} and x, y below 2^zoom",
                path=path,
                max_zoom=MAX_ZOOM,
            )
        )
    return mosaic_id, tile_id, suffix


_parse_path_cached = lru_cache(maxsize=8192)(_parse_path)
"""For principals from whom something is withheld; invalid addresses are not cached."""


async def _send_answer(send: Send, answer: tuple[AsgiMessage, AsgiMessage]) -> None:
    for message in answer:
        await send(message)


# -- WebMercatorQuad as in the standards, and a mosaic's limits in it ------------------------------
#
# Sources: OGC 17-083r4 (Two Dimensional Tile Matrix Set 2.0), annex D.1; OGC 07-057r7 (WMTS), 6.1.


TILE_MATRIX_SET = "WebMercatorQuad"
_OGC_PIXEL_M = 0.00028
"""Size of a screen's pixel in the scale denominators, metres."""


@dataclass(frozen=True, slots=True)
class TileMatrix:
    """One zoom of the grid: cell size in metres of EPSG:3857, and tiles a side."""

    zoom: int

    @property
    def cell_m(self) -> float:
        return compute_grid_pixel_m(self.zoom)

    @property
    def scale_denominator(self) -> float:
        return self.cell_m / _OGC_PIXEL_M

    @property
    def tiles(self) -> int:
        return 1 << self.zoom


def iterate_tile_limits(mosaic: MosaicInfo, bounds: BoundsLonLat) -> Iterator[TileRange]:
    """Yield, by zoom, the range of tiles that touch the mosaic's bounds (degrees).

    There are no tiles of it elsewhere.
    """
    west, south, east, north = bounds
    (x0, y0), (x1, y1) = lonlat_to_mercator(np.array([[west, south], [east, north]])).tolist()
    for z in range(mosaic.min_zoom, mosaic.base_zoom + 1):
        yield find_range_for_bounds(z, (x0, y0, x1, y1))


# -- Tiles at the addresses of WMTS and OGC API, with errors outside their limits ------------------
#
# Most requests come by `/tiles` instead.


_SUFFIX_OF = {wanted: suffix for suffix, wanted in FORMAT_BY_SUFFIX.items()}


def is_within_limits(mosaic: MosaicInfo, flight: Flight, tile_id: TileId) -> bool:
    """Return True if the mosaic can have this tile, as its tile set states."""
    return any(tile_id in tiles for tiles in iterate_tile_limits(mosaic, get_flight_bounds(flight)))


def build_tile_response(
    request: Request, mosaic: MosaicInfo, tile_id: TileId, wanted: ViewFormat
) -> Response:
    """Return the published tile, transparent where nothing was flown.

    304 where the client has it. Raises errors of reading a tile.
    """
    views: DataTileViews = request.app.state.asked
    path = f"/tiles/{mosaic.mosaic_id}/{tile_id}{_SUFFIX_OF[wanted]}"
    view = views.view(path, mosaic.mosaic_id, tile_id, PUBLISHED_VIEW, wanted, get_access_policy(request))
    headers = {"ETag": view.etag.decode(), "Cache-Control": "private, no-cache"}
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(view.data, media_type=wanted.value, headers=headers)


# -- Registered terrain, and its hillshade as tiles: the base map without a network ----------------


router = APIRouter(dependencies=[Depends(require_guest)])

MIN_HILLSHADE_ZOOM, MAX_HILLSHADE_ZOOM = 6, 16
_HEADERS = {"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"}
_MAX_TILES = 1024
_PNG_LEVEL = 6


class HillshadeCache:
    """Hillshade PNGs of the registered DEMs, in bounded memory. Thread-safe."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._lock = threading.Lock()
        self._dem_ids: tuple[str, ...] = ()
        self._pictures: OrderedDict[TileId, bytes] = OrderedDict()

    def picture(self, tile_id: TileId) -> bytes:
        """Return the PNG of one tile; transparent where no terrain is registered.

        Raises SourceUnreadable, and DataDamaged where the file of that ground is damaged or lost.
        """
        dem_ids = tuple(dem.dem_id for dem in self._workspace.catalog.terrain.dems())
        with self._lock:
            if dem_ids != self._dem_ids:
                self._dem_ids = dem_ids
                self._pictures.clear()
            if tile_id in self._pictures:
                self._pictures.move_to_end(tile_id)
                return self._pictures[tile_id]
        made = self._make(tile_id)
        with self._lock:
            # otherwise it may show the terrain before a DEM was added
            if dem_ids == self._dem_ids:
                self._pictures[tile_id] = made
            if len(self._pictures) > _MAX_TILES:
                self._pictures.popitem(last=False)
        return made

    def _make(self, tile_id: TileId) -> bytes:
        numbers = render_hillshade_tile(load_registered_dems(self._workspace, FAILURE_TTL_S), tile_id)
        if numbers is None:
            return EMPTY_VIEW.data
        picture, colours = Image.fromarray(numbers, "P"), make_palette()
        picture.putpalette(colours[:, :3].tobytes())
        out = io.BytesIO()
        picture.save(out, "PNG", compress_level=_PNG_LEVEL, transparency=colours[:, 3].tobytes())
        return out.getvalue()


@router.get("/api/terrain")
def list_terrain(services: ServicesHere) -> list[Json]:
    """List registered DEMs with their datums.

    is_drill: it is synthetic; null where its file cannot be read now.
    """
    workspace = services.workspace
    return [
        {
            "dem_id": dem.dem_id,
            "name": dem.name,
            "datum": dem.vertical_datum,
            "crs": dem.crs,
            "bounds": dem.bounds_lonlat_deg,
            "post_spacing_m": dem.post_spacing_m,
            "added": format_iso(dem.added_ns),
            "is_drill": _is_drill(workspace, dem),
        }
        for dem in workspace.catalog.terrain.dems()
    ]


def _is_drill(workspace: Workspace, dem: DemRecord) -> bool | None:
    try:
        return is_exercise_dem(workspace, dem, FAILURE_TTL_S)
    except StorageFailed:
        # a store that is away must not hide which DEMs are registered
        return None


@router.get("/api/hillshade/{z}/{x}/{y}")
def get_hillshade_tile(
    request: Request,
    z: Annotated[int, Path(ge=MIN_HILLSHADE_ZOOM, le=MAX_HILLSHADE_ZOOM)],
    x: Annotated[int, Path(ge=0, lt=1 << MAX_HILLSHADE_ZOOM)],
    y: Annotated[int, Path(ge=0, lt=1 << MAX_HILLSHADE_ZOOM)],
) -> Response:
    """Return one hillshade tile, PNG; transparent where no terrain is known."""
    relief: HillshadeCache = request.app.state.relief
    return Response(relief.picture(TileId(z=z, x=x, y=y)), media_type="image/png", headers=_HEADERS)
