"""The server: application, health, built map, API page, sign-in on the map.

Only this module and the command line choose implementations.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, MutableMapping
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import cache, partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Info, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware

from flycam import __version__
from flycam.access.policy import AccessPolicy, list_visible_flights
from flycam.board import routes as board_routes
from flycam.board.routes import FeatureNameIndex, Meeting
from flycam.change import review
from flycam.concurrency import LruCache
from flycam.drill import routes as drill_routes
from flycam.errors import FlycamError, OptionUnusable, StorageFailed
from flycam.http.guards import (
    SAME_USER_STATE_KEY,
    Authenticator,
    DownloadLog,
    GuardedRoute,
    Principal,
    Services,
    ServicesHere,
    ViewerPrincipal,
    is_same_user,
    require_viewer,
)
from flycam.http.protocol import (
    MAP_POLICY,
    MAX_SIGN_IN_BYTES,
    CorsApp,
    Json,
    MeteredApp,
    RequestMetrics,
    build_standalone_policy,
    install_error_handlers,
    limit_body,
)
from flycam.ingest.live import routes as live_routes
from flycam.ingest.upload import routes as upload_routes
from flycam.ingest.upload.service import UploadService
from flycam.messages import _
from flycam.model.access import Role, Scope
from flycam.mosaic.terrain_codec import TerrainCache
from flycam.operations import retention_routes
from flycam.reports import routes as reports_routes
from flycam.reports.routes import PackQueue
from flycam.serve import auth, communes, events, flight_routes, pixels, tiles
from flycam.serve.auth import TokenBody, describe_session, sign_in_visitor
from flycam.serve.communes import CommuneTroubles
from flycam.serve.events import MapStampCache, poll_live_flights
from flycam.serve.limits import ENDED_CONNECTIONS, HEAD_TIMEOUT_S, Attempts, BoundedHttpProtocol, Connections
from flycam.serve.ogc import features, stac
from flycam.serve.ogc import tiles as map_tiles
from flycam.serve.tiles import App, DataTileViews, TileCounts, TileLogFollower, TileRoute, ViewCache
from flycam.storage import keys
from flycam.storage.files import LOW_SPACE_BYTES
from flycam.sync import server as sync_server

if TYPE_CHECKING:
    from flycam.operations.certificate_authority import TlsCertificate

# -- Health endpoints: `/healthz`, `/metrics` and `/api/machine` -----------------------------------
#
# For restarting the server, for monitoring, and for keeping it in power and with room on its disk.


health_router = APIRouter()


@health_router.get("/healthz")
def check_health(services: ServicesHere) -> JSONResponse:
    """Return 200 when catalogue and store answer, else 503.

    The answer names which of them does not, and nothing more.
    """
    checks = {"catalog": True, "store": True}
    try:
        services.workspace.catalog.flights.events()
    except StorageFailed:
        checks["catalog"] = False
    try:
        services.workspace.store.exists(keys.format_probe_key("does-not-exist"))
    except StorageFailed:
        checks["store"] = False
    return JSONResponse(checks, status_code=200 if all(checks.values()) else 503)


@health_router.get("/api/machine", dependencies=[Depends(require_viewer)])
def get_machine_state(services: ServicesHere) -> dict[str, Any]:
    """Return the state of battery and disk.

    battery: percent, in_use, left_s (null: unknown); null without a known battery. disk: free_bytes of the
    fullest one, is_low (flights then evict derived data); null: unknown.
    """
    power = services.workspace.power
    info = power.battery
    battery = info and {"percent": round(info.percent), "in_use": info.is_in_use, "left_s": info.remaining_s}
    place = services.workspace.find_fullest_disk()
    disk = place and {"free_bytes": place.free_bytes, "is_low": place.free_bytes < LOW_SPACE_BYTES}
    return {"battery": battery, "low_power": power.is_low, "disk": disk}


@health_router.get("/metrics")
def get_metrics(request: Request, services: ServicesHere, principal: ViewerPrincipal) -> Response:
    """Return metrics in Prometheus' text format.

    Flights and packs are those that the account may see.
    """
    of_node: CollectorRegistry = request.app.state.figures
    of_visitor = CollectorRegistry()
    of_visitor.register(_CatalogCollector(services, request.app.state.packing, principal.access_policy))
    text = generate_latest(of_node) + generate_latest(of_visitor)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


def register_metrics(registry: CollectorRegistry, services: Services, counts: TileCounts) -> None:
    """Register metrics of the node, computed when they are scraped."""
    ProcessCollector(registry=registry)
    Info("flycam_build", "The program that serves", registry=registry).info({"version": __version__})
    registry.register(_NodeCollector(services, counts))


class _NodeCollector(Collector):
    def __init__(self, services: Services, counts: TileCounts) -> None:
        self._services, self._counts = services, counts

    def collect(self) -> Iterator[Metric]:
        tiles = CounterMetricFamily("flycam_tile_answers", "Tile answers by kind", labels=["kind"])
        for kind in ("hits", "made", "unchanged", "refused", "failed"):
            tiles.add_metric([kind], getattr(self._counts, kind))
        yield tiles
        ended = CounterMetricFamily(
            "flycam_connections_ended", "Connections ended, by what was too slow or too large", labels=["why"]
        )
        for why, count in ENDED_CONNECTIONS.items():
            ended.add_metric([why], count)
        yield ended
        if self._services.request_log is not None:
            lost = self._services.request_log.lost
            yield CounterMetricFamily("flycam_request_log_lost", "Lines that could not be written", lost)
        place = None
        with suppress(StorageFailed):
            place = self._services.workspace.find_fullest_disk()
        if place is not None:
            yield GaugeMetricFamily(
                "flycam_disk_free_bytes", "On the disk with the least room", place.free_bytes
            )
        battery = self._services.workspace.power.battery
        if battery:
            yield GaugeMetricFamily("flycam_battery_percent", "Charge of the battery", battery.percent)


class _CatalogCollector(Collector):
    """Metrics of the catalogue, as one principal sees it.

    Where the catalogue does not answer, only `flycam_catalog_up` is given.
    """

    def __init__(self, services: Services, packing: PackQueue, policy: AccessPolicy) -> None:
        self._services, self._packing, self._access_policy = services, packing, policy

    def collect(self) -> Iterator[Metric]:
        try:
            flights = list_visible_flights(self._services.workspace.catalog, self._access_policy)
            packs = self._packing.all()
        except StorageFailed:
            flights = None
        yield GaugeMetricFamily("flycam_catalog_up", "Whether the catalogue answers", flights is not None)
        if flights is not None:
            states = [flight.state.value for flight in flights]
            seen = {flight.flight_id for flight in flights}
            of_seen = [one.state.value for one in packs if seen.issuperset(one.flights_seen)]
            yield self._counted("flycam_flights", "Flights in the catalogue by state", states)
            yield self._counted("flycam_packs", "Meeting packs by state", of_seen)

    @staticmethod
    def _counted(name: str, what: str, states: Iterable[str]) -> Metric:
        family = GaugeMetricFamily(name, what, labels=["state"])
        for state, count in sorted(Counter(states).items()):
            family.add_metric([state], count)
        return family


# -- Assembly of the server: application, built map, API page, sign-in on the map ------------------


# -- Sign-in on the map page -----------------------------------------------------------------------
#
# The answer brings the map's first lists, which saves a round trip.


bootstrap_router = APIRouter(route_class=GuardedRoute)
_LOG = logging.getLogger("flycam.serve")


@bootstrap_router.post("/api/arrival", openapi_extra=limit_body(MAX_SIGN_IN_BYTES))
def bootstrap_page(token: TokenBody, request: Request, response: Response, services: ServicesHere) -> Json:
    """Sign in as by `/api/login`, and return the map's first lists.

    `session`: the answer of `/api/login`. `lists`: the answers of `/api/events`, `/api/flights`,
    `/api/terrain` and `/api/airborne`, in this order; null for an account that may not read them, and where
    one of them fails: the sign-in holds, for a one-time code is spent, and the client requests them itself.
    """
    visitor = sign_in_visitor(token, request, response, services)
    has_all = visitor.account is not None and visitor.account.scope is Scope.ALL
    # a node that signs in here reads no list elsewhere either
    is_for_map = has_all and visitor.has_role(Role.VIEWER)
    return {
        "session": describe_session(visitor),
        "lists": _describe_lists(request, services, visitor) if is_for_map else None,
    }


def _describe_lists(request: Request, services: Services, principal: Principal) -> list[list[Json]] | None:
    try:
        catalog = services.workspace.catalog
        return [
            flight_routes.list_events(services, principal),
            flight_routes.list_flights(catalog, principal),
            tiles.list_terrain(services),
            live_routes.list_live_flights(live_routes.get_live_feed(request), principal.access_policy),
        ]
    except FlycamError:
        _LOG.warning("what the map begins with cannot be said at the door", exc_info=True)
        return None


# -- `/api/docs`: the API's description as a plain page without external assets --------------------


router = APIRouter(dependencies=[Depends(require_viewer)])

_HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><title>flycam API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{font:17px/1.45 sans-serif;max-width:60rem;margin:1rem auto;padding:0 1rem;color:#14202b}
h2{margin:1.6rem 0 .2rem;font-size:1.1rem}code{font-size:1rem}
td{padding:.1rem 1rem .1rem 0;vertical-align:top}
</style><h1>flycam API</h1>
<p>Machine-readable: <a href="/api/openapi.json">/api/openapi.json</a>. Send
<code>Authorization: Bearer TOKEN</code>, or sign in on the map. Times are ISO 8601 UTC, coordinates WGS 84
degrees.</p>
<h2><code>GET /tiles/{mosaic}/{z}/{x}/{y}[.png|.webp][?v=SEQ]</code></h2>
<p>One tile: JPEG where every pixel has data, else WebP with alpha; transparent where nothing was flown. The
ETag is the content hash; with <code>?v=</code> the answer may be kept for ever.
<code>?revision=N</code> asks for another revision than the one on show (0 is the live one),
<code>?layer=error|age|gsd|surface</code> for what is known about its pixels, as PNG in the colours of
<code>/api/legends</code>.</p>"""


@bootstrap_router.get("/api/openapi.json", include_in_schema=False)
def send_api_description(request: Request) -> Response:
    """Return OpenAPI's description: anyone may ask, so it is made once, and not on the event loop."""
    description = _API_DESCRIPTIONS.get(request.app, lambda: JSONResponse(request.app.openapi()).body)
    return Response(description, media_type="application/json")


_API_DESCRIPTIONS: LruCache[FastAPI, bytes | memoryview] = LruCache(1)


@router.get("/api/docs", response_class=HTMLResponse, include_in_schema=False)
def show_api_reference(request: Request) -> HTMLResponse:
    """Return the page."""
    schema: dict[str, Any] = request.app.openapi()
    parts = [
        _render_operation(method, path, operation)
        for path, methods in sorted(schema["paths"].items())
        for method, operation in methods.items()
    ]
    page = _HEAD + "".join(parts) + "</html>"
    return HTMLResponse(page, headers={"Content-Security-Policy": build_standalone_policy(_HEAD.encode())})


def _render_operation(method: str, path: str, operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(one['name'])}</code><td>{escape(one['in'])}"
        f"<td>{'required' if one.get('required') else 'optional'}"
        for one in operation.get("parameters", ())
    )
    table = f"<table>{rows}</table>" if rows else ""
    text = escape(operation.get("description", ""))
    return f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{text}</p>{table}"


# -- Built map: a page that is revalidated, and files named by their content -----------------------
#
# The build leaves each file compressed beside it: that is sent to clients that can read it.


AsgiScope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[AsgiScope, Receive, Send], Awaitable[None]]

_MAP_POLICY = MAP_POLICY.encode()
# a day: a browser that comes daily is never led to http; a node that is installed anew, with another
# authority or none, shuts nobody out for longer. Its other ports and names under it are not meant: no
# includeSubDomains
_HTTPS_ONLY = b"max-age=86400"
# addresses without gzip: compressed already, with true byte ranges, streamed, or open to anyone
_WITHOUT_GZIP = (
    "/api/openapi.json",
    "/api/evidence/",
    "/api/video/",
    "/api/packs/",
    "/api/airborne/",
    "/api/hillshade/",
    "/cog/",
    "/events",
)
_COMPRESSED = {".br": "br", ".gz": "gzip"}
"""Content encodings by suffix, the best first."""
_ZERO_WEIGHTS = ("q=0", "q=0.0", "q=0.00", "q=0.000")
_NOT_BUILT = _("The map is not built")
_RUN = _("Run: {command}", command="<code>make map</code>")
_NOT_BUILT_PAGE = f"""<!doctype html><html lang="vi"><meta charset="utf-8"><title>flycam</title>
<h1>{_NOT_BUILT.in_language("vi")} / {_NOT_BUILT}</h1>
<p>{_RUN.in_language("vi")}. API: <a href="/api/docs">/api/docs</a></p></html>"""


def mount_static_site(app: FastAPI, static_dir: Path) -> None:
    """Serve the map at `/`."""
    if (static_dir / "index.html").is_file():
        app.mount("/", _StaticFiles(static_dir), name="map")
        return

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    def not_built() -> str:
        return _NOT_BUILT_PAGE


class _StaticFiles(StaticFiles):
    """Files of the map as it was built when the server started.

    Requests that match no route arrive here, from anybody: other names are not looked up, which would take a
    thread and a step in the file system for each part of an address.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory=directory)
        files = (one for one in directory.rglob("*") if one.is_file())
        self._names = frozenset(one.relative_to(directory).as_posix() for one in files)

    def get_path(self, scope: AsgiScope) -> str:
        """Return the requested name, below the built folder."""
        return str(scope["path"])[1:] or "index.html"

    async def get_response(self, path: str, scope: AsgiScope) -> Response:
        """Return the file. Raises HTTPException 404 and 405."""
        if path not in self._names and scope["method"] in ("GET", "HEAD"):
            raise HTTPException(404)
        return await super().get_response(path, scope)

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: AsgiScope,
        status_code: int = 200,
    ) -> Response:
        """Return the file, or the best compressed one beside it.

        A compressed one has the plain file's type.
        """
        plain = super().file_response(full_path, stat_result, scope, status_code)
        accepted = Headers(scope=scope).get("accept-encoding", "")
        offers = (part.strip().lower().partition(";") for part in accepted.split(","))
        readable = {
            name.strip() for name, _, weight in offers if weight.replace(" ", "") not in _ZERO_WEIGHTS
        }
        for ending, name in _COMPRESSED.items():
            compressed = Path(f"{os.fspath(full_path)}{ending}")
            if name not in readable or not compressed.is_file():
                continue
            answer = super().file_response(compressed, compressed.stat(), scope, status_code)
            answer.headers["vary"] = "Accept-Encoding"
            if answer.status_code == status_code:
                answer.headers["content-type"] = plain.headers["content-type"]
                answer.headers["content-encoding"] = name
            return answer
        return plain


class ResponseHeaders:
    """Compression of text, and safety and caching headers on every answer of FastAPI.

    Photos and images pass unchanged: they are compressed already, and their byte ranges must stay true.
    """

    def __init__(self, app: AsgiApp) -> None:
        self._plain = app
        self._compressed = GZipMiddleware(app, minimum_size=1000, compresslevel=5)

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._plain(scope, receive, send)
            return
        path: str = scope["path"]
        # by this server, or by a proxy that is trusted
        is_https = scope["scheme"] == "https"

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    *_missing_headers(path, message, is_https=is_https),
                ]
            await send(message)

        if path.startswith(_WITHOUT_GZIP) or path.endswith("/photo"):
            await self._plain(scope, receive, send_with_headers)
        else:
            await self._compressed(scope, receive, send_with_headers)


def _missing_headers(
    path: str, message: MutableMapping[str, Any], *, is_https: bool
) -> list[tuple[bytes, bytes]]:
    wanted = {b"x-content-type-options": b"nosniff", b"referrer-policy": b"no-referrer"}
    wanted[b"content-security-policy"] = _MAP_POLICY
    if is_https:
        wanted[b"strict-transport-security"] = _HTTPS_ONLY
    if path.startswith("/files"):
        wanted[b"tus-resumable"] = b"1.0.0"
    if path.startswith("/assets/") and message["status"] == 200:
        wanted[b"cache-control"] = b"public, max-age=31536000, immutable"
    else:
        wanted[b"cache-control"] = b"no-store" if path.startswith("/api/") else b"no-cache"
    present = {name.lower() for name, _ in message["headers"]}
    return [(name, value) for name, value in wanted.items() if name not in present]


# -- Assembly of the application -------------------------------------------------------------------


_ROUTERS = (
    auth.router,
    live_routes.router,
    bootstrap_router,
    auth.authority_router,
    upload_routes.router,
    review.router,
    sync_server.reference_router,
    communes.board_router,
    communes.router,
    communes.coordinates_router,
    drill_routes.router,
    events.router,
    flight_routes.router,
    health_router,
    flight_routes.outline_router,
    map_tiles.kml_router,
    board_routes.router,
    features.router,
    map_tiles.router,
    auth.openid_router,
    reports_routes.router,
    pixels.router,
    stac.clips_router,
    pixels.redactions_router,
    router,
    reports_routes.quality_router,
    communes.areas_router,
    retention_routes.router,
    stac.router,
    sync_server.router,
    tiles.router,
    upload_routes.tus_router,
    live_routes.video_router,
    map_tiles.wmts_router,
)


def create_app(services: Services) -> App:
    """Return the ASGI application for these services.

    Tiles are answered first, everything else behind them.
    """
    reception = UploadService(services)
    packing = PackQueue(services)
    drill = drill_routes.DrillService(services)
    follower = TileLogFollower(services.workspace.catalog, services.follow_s)
    sky = live_routes.LiveFlightFeed(services.workspace.catalog, services.follow_s)

    @asynccontextmanager
    async def lifespan(_api: FastAPI) -> AsyncIterator[None]:
        reception.start()
        packing.start()
        looking = asyncio.create_task(
            poll_live_flights(sky, follower, services.follow_s, services.stopping.is_set)
        )
        yield
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking
        # before the packs stop, so that both processes end at once
        drill.ask_to_stop()
        packing.stop()
        drill.stop()
        reception.stop()

    api = FastAPI(
        title="flycam",
        version=__version__,
        docs_url=None,
        openapi_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    door = Authenticator(services)
    cache = ViewCache(follower, services.view_cache_bytes)
    grounds = TerrainCache(services.workspace.store)
    views = DataTileViews(services.workspace, follower, cache, grounds)
    route = TileRoute(ResponseHeaders(cast(App, api)), door, follower, services.workspace.store, cache, views)
    _create_caches(api, services)
    api.state.services = services
    api.state.door = door
    api.state.reception = reception
    api.state.packing = packing
    api.state.drilling = drill
    api.state.attempts = {way: Attempts() for way in auth.SignInMethod}
    api.state.asking_service = asyncio.Semaphore(auth.MAX_CONCURRENT_SIGN_INS)
    api.state.openings = DownloadLog()
    api.state.follower = follower
    api.state.sky = sky
    api.state.meeting = Meeting(services.workspace.clock_ns)
    api.state.stamps = MapStampCache(services.workspace.catalog, services.follow_s / 2)
    api.state.grounds = grounds
    api.state.asked = views
    api.state.tile_counts = route.counts
    figures = api.state.figures = CollectorRegistry()
    register_metrics(figures, services, route.counts)
    install_error_handlers(api)
    for room in _ROUTERS:
        api.include_router(room)
    mount_static_site(api, services.static_dir)
    across = CorsApp(route, services.origins) if services.origins else route
    return MeteredApp(across, RequestMetrics(figures), services.request_log)


def _create_caches(api: FastAPI, services: Services) -> None:
    """Create the state kept between requests that needs only the services."""
    api.state.arrivals = sync_server.StepReceiver(services)
    api.state.shelf = sync_server.ReferenceFeedCache(services.workspace)
    api.state.thing_names = FeatureNameIndex(services.workspace.catalog)
    api.state.commune_troubles = CommuneTroubles(services.workspace.catalog)
    api.state.outlines = flight_routes.OutlineCache(services.workspace)
    api.state.relief = tiles.HillshadeCache(services.workspace)


# -- uvicorn server that counts its connections and renews its certificate -------------------------


_TICKS_PER_CERTIFICATE_CHECK = 600
"""Ticks of uvicorn, a tenth of a second each, between checks of the certificate."""
_MAX_OPEN_FILES = 16384
_SPARE_FILES = 256
"""Handles left for files and the database when connections have taken all others."""
_ACCEPT_RETRY_S = 0.1


class MapServer(uvicorn.Server):
    """Server that ends event streams on shutdown and renews its certificate.

    It ends open event streams before it waits for its connections to close, and presents a new certificate
    where the machine has another address, or the old one nears its end, without a restart. It accepts
    connections itself: uvicorn's listener reports one only when its TLS handshake is done, and those that
    never begin it would be counted nowhere.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        services: Services,
        connections: Connections,
        encryption: TlsCertificate | None,
    ) -> None:
        super().__init__(config)
        self._services = services
        self._connections = connections
        self._encryption = encryption
        self._tasks: set[asyncio.Task[None]] = set()

    def renew(self) -> None:
        """Load the certificate anew if it was renewed, for connections from now on."""
        encryption, context = self._encryption, self.config.ssl
        if encryption is None or context is None:
            return
        try:
            if encryption.is_renewed():
                context.load_cert_chain(encryption.certificate, encryption.key)
        except (FlycamError, OSError) as error:
            _LOG.warning("the certificate stays as it is: %s", error)

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS_PER_CERTIFICATE_CHECK == _TICKS_PER_CERTIFICATE_CHECK - 1:
            await asyncio.to_thread(self.renew)
        return await super().on_tick(counter)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        # the same services may be served again
        self._services.stopping.clear()
        await super().startup([])
        for listener in sockets or []:
            listener.setblocking(False)
            listener.listen(self.config.backlog)
            self._keep(self._accept(listener))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._services.stopping.set()
        for task in self._tasks:
            task.cancel()
        await super().shutdown(sockets)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                line, peer = await loop.sock_accept(listener)
            except OSError:
                # no handle is left, or the client is gone
                await asyncio.sleep(_ACCEPT_RETRY_S)
                continue
            if self._connections.admit(peer[0]):
                self._keep(self._begin(line, peer[0]))
            else:
                ENDED_CONNECTIONS["too many connections"] += 1
                line.close()

    async def _begin(self, line: socket.socket, address: str) -> None:
        """Speak HTTP on an admitted connection, after its TLS handshake if it has one."""
        release = ExitStack()
        release.callback(self._connections.release, address)
        connection_state = {SAME_USER_STATE_KEY: cache(partial(is_same_user, line))}
        protocol = BoundedHttpProtocol(
            release.close,
            config=self.config,
            server_state=self.server_state,
            app_state={**self.lifespan.state, **connection_state},
        )
        tls = self.config.ssl
        try:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: protocol, line, ssl=tls, ssl_handshake_timeout=HEAD_TIMEOUT_S if tls else None
            )
        except OSError:
            # also of a failed or late TLS handshake
            ENDED_CONNECTIONS["handshake"] += 1
            release.close()
            line.close()

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def create_server(
    services: Services, host: str, port: int, encryption: TlsCertificate | None = None
) -> MapServer:
    """Return a uvicorn server of one process; encryption: over HTTPS.

    Tiles are too many for an access log: `/metrics` counts them.
    """
    config = uvicorn.Config(
        create_app(services),
        host=host,
        port=port,
        # nothing uses WebSockets, and their handshakes are bounded nowhere
        ws="none",
        access_log=False,
        # a warning for each malformed request fills the log: `/metrics` counts them
        log_level="error",
        server_header=False,
        # on every answer, tiles too: another site's page may read what CORS opens to it, and embed nothing
        headers=[("Cross-Origin-Resource-Policy", "same-origin")],
        proxy_headers=True,
        forwarded_allow_ips=list(services.trusted_proxies),
        timeout_graceful_shutdown=3,
        ssl_certfile=None if encryption is None else encryption.certificate,
        ssl_keyfile=None if encryption is None else encryption.key,
    )
    connections = Connections(_raise_open_files() - _SPARE_FILES, services.trusted_proxies)
    return MapServer(config, services, connections, encryption)


def _raise_open_files() -> int:
    """Raise this process's limit of open files, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return _MAX_OPEN_FILES if soft == resource.RLIM_INFINITY else soft


def open_listener(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises OptionUnusable where it cannot be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        # Python repeats the address behind it
        why = str(error.strerror).partition(" (")[0]
        raise OptionUnusable(
            _(
                "{host}, port {port}: cannot be listened on ({why}); is a map served there "
                "already? choose another --port or --host",
                host=host,
                port=port,
                why=why,
            )
        ) from error


def serve_until_stopped(
    services: Services, listener: socket.socket, encryption: TlsCertificate | None = None
) -> None:
    """Serve on a listening socket until SIGINT or SIGTERM."""
    host, port = listener.getsockname()[:2]
    create_server(services, host, port, encryption).run(sockets=[listener])
