"""Assembly of the server.

Only this module and the command line choose implementations.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import cast

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from flycam import __version__
from flycam.serve import api_reference, drill_service, health, static_site
from flycam.serve.api import (
    bootstrap,
    briefing_places,
    changes,
    commune_board,
    communes,
    coordinates,
    event_stream,
    live_flights,
    marks,
    meeting,
    restricted_areas,
    settlements,
    specialist_layers,
)
from flycam.serve.api.change_stamps import MapStampCache
from flycam.serve.api.commune_troubles import CommuneTroubles
from flycam.serve.api.feature_search import FeatureNameIndex
from flycam.serve.api.live_flight_poller import poll_live_flights
from flycam.serve.auth import certificate_authority, credentials, guests, openid, sign_in
from flycam.serve.auth.attempts import Attempts
from flycam.serve.auth.authenticator import Authenticator
from flycam.serve.auth.download_log import DownloadLog
from flycam.serve.evidence import pixels, quality_reports, redactions, retention, video
from flycam.serve.http import errors
from flycam.serve.http.cors import CorsApp
from flycam.serve.http.request_metrics import MeteredApp, RequestMetrics
from flycam.serve.packs import pack_routes
from flycam.serve.packs.pack_queue import PackQueue
from flycam.serve.services import Services
from flycam.serve.standards import clips, kml, ogc, ogc_tiles, stac, wmts
from flycam.serve.sync import reference_routes, step_routes
from flycam.serve.tiles import flight_routes, outlines, terrain
from flycam.serve.tiles.data_tiles import DataTileViews
from flycam.serve.tiles.log_follower import TileLogFollower
from flycam.serve.tiles.terrain_cache import TerrainCache
from flycam.serve.tiles.tile_route import App, TileRoute
from flycam.serve.tiles.tile_views import ViewCache
from flycam.serve.uploads import tus, upload_routes
from flycam.serve.uploads.upload_service import UploadService

_ROUTERS = (
    sign_in.router,
    live_flights.router,
    bootstrap.router,
    certificate_authority.router,
    briefing_places.router,
    upload_routes.router,
    changes.router,
    reference_routes.router,
    commune_board.router,
    communes.router,
    coordinates.router,
    credentials.router,
    drill_service.router,
    event_stream.router,
    flight_routes.router,
    guests.router,
    health.router,
    outlines.router,
    kml.router,
    marks.router,
    meeting.router,
    ogc.router,
    ogc_tiles.router,
    openid.router,
    pack_routes.router,
    pixels.router,
    clips.router,
    redactions.router,
    api_reference.router,
    quality_reports.router,
    restricted_areas.router,
    retention.router,
    settlements.router,
    specialist_layers.router,
    stac.router,
    step_routes.router,
    terrain.router,
    tus.router,
    video.router,
    wmts.router,
)


def create_app(services: Services) -> App:
    """Return the ASGI application for these services.

    Tiles are answered first, everything else behind them.
    """
    reception = UploadService(services)
    packing = PackQueue(services)
    drill = drill_service.DrillService(services)
    follower = TileLogFollower(services.workspace.catalog, services.follow_s)
    sky = live_flights.LiveFlightFeed(services.workspace.catalog, services.follow_s)

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
        openapi_url="/api/openapi.json",
        redoc_url=None,
        lifespan=lifespan,
    )
    door = Authenticator(services)
    cache = ViewCache(follower, services.view_cache_bytes)
    grounds = TerrainCache(services.workspace.store)
    asked = DataTileViews(services.workspace, follower, cache, grounds)
    route = TileRoute(
        static_site.ResponseHeaders(cast(App, api)), door, follower, services.workspace.store, cache, asked
    )
    _create_caches(api, services)
    api.state.services = services
    api.state.door = door
    api.state.reception = reception
    api.state.packing = packing
    api.state.drilling = drill
    api.state.attempts = {way: Attempts() for way in sign_in.SignInMethod}
    api.state.asking_service = asyncio.Semaphore(openid.MAX_CONCURRENT_SIGN_INS)
    api.state.openings = DownloadLog()
    api.state.follower = follower
    api.state.sky = sky
    api.state.meeting = meeting.Meeting(services.workspace.clock_ns)
    api.state.stamps = MapStampCache(services.workspace.catalog, services.follow_s / 2)
    api.state.grounds = grounds
    api.state.asked = asked
    api.state.tile_counts = route.counts
    figures = api.state.figures = CollectorRegistry()
    health.register_metrics(figures, services, route.counts)
    errors.install_error_handlers(api)
    for room in _ROUTERS:
        api.include_router(room)
    static_site.mount_static_site(api, services.static_dir)
    across = CorsApp(route, services.origins) if services.origins else route
    return MeteredApp(across, RequestMetrics(figures), services.request_log)


def _create_caches(api: FastAPI, services: Services) -> None:
    """Create the state kept between requests that needs only the services."""
    api.state.arrivals = step_routes.StepReceiver(services)
    api.state.shelf = reference_routes.ReferenceFeedCache(services.workspace)
    api.state.thing_names = FeatureNameIndex(services.workspace.catalog)
    api.state.commune_troubles = CommuneTroubles(services.workspace.catalog)
    api.state.outlines = outlines.OutlineCache(services.workspace)
    api.state.relief = terrain.HillshadeCache(services.workspace)
