"""Tile routes: `/tiles`, and tile matrix sets of WMTS and OGC API.

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
import re
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from fastapi import Request, Response

from flycam.access.policy import AccessPolicy, get_flight_bounds
from flycam.errors import FlycamError, NotFound
from flycam.geometry.grid import (
    MAX_ZOOM,
    TileId,
    TileRange,
    compute_grid_pixel_m,
    find_range_for_bounds,
    lonlat_to_mercator,
)
from flycam.http.guards import (
    Authenticator,
    Headers,
    Principal,
    build_role_error,
    build_scope_error,
    get_access_policy,
)
from flycam.http.protocol import ACCOUNT_SCOPE_KEY, AsgiMessage, build_error_response, build_sign_in_response
from flycam.messages import _
from flycam.model.access import Role
from flycam.model.flight import Flight
from flycam.model.records import BoundsLonLat, MosaicInfo
from flycam.mosaic.tiles.codec import ViewFormat
from flycam.serve.tiles.data_tiles import PUBLISHED_VIEW, DataTileViews, TileQuery, parse_tile_query
from flycam.serve.tiles.tile_views import (
    EMPTY_VIEW,
    FORMAT_BY_SUFFIX,
    TileLogFollower,
    TileView,
    ViewCache,
    WatchedMosaic,
    load_view,
)
from flycam.storage.keys import ObjectStore

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
