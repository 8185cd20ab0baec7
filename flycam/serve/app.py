"""Puts the server together. Only this module and the command line choose implementations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import cast

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from flycam import __version__
from flycam.serve import drilling, health, reference, site
from flycam.serve.answering import failures
from flycam.serve.answering.cors import Across
from flycam.serve.answering.watching import RequestFigures, Watched
from flycam.serve.boxes import commons, syncing
from flycam.serve.door import accounts, authority, credentials, guests, openid
from flycam.serve.door.admission import Door
from flycam.serve.door.attempts import Attempts
from flycam.serve.door.openings import Openings
from flycam.serve.evidence import pixels, redactions, reports, retention, video
from flycam.serve.packs import meeting_packs
from flycam.serve.packs.packing import Packing
from flycam.serve.services import Services
from flycam.serve.situation import (
    airborne,
    arrival,
    briefings,
    changes,
    commune_board,
    communes,
    coordinates,
    events,
    marks,
    meeting,
    restricted,
    settlements,
    specialist,
)
from flycam.serve.situation.commune_troubles import CommuneTroubles
from flycam.serve.situation.lookout import look_out
from flycam.serve.situation.stamps import StampsKept
from flycam.serve.situation.thing_names import ThingNames
from flycam.serve.standards import kml, ogc, ogc_tiles, products, stac, wmts
from flycam.serve.tiles import flights, imaged, terrain
from flycam.serve.tiles.asked import AskedViews
from flycam.serve.tiles.follower import Follower
from flycam.serve.tiles.grounds import Grounds
from flycam.serve.tiles.tile_route import App, TileRoute
from flycam.serve.tiles.views import ViewCache
from flycam.serve.uploads import cards, tus
from flycam.serve.uploads.reception import Reception

_ROUTERS = (
    accounts,
    airborne,
    arrival,
    authority,
    briefings,
    cards,
    changes,
    commons,
    commune_board,
    communes,
    coordinates,
    credentials,
    drilling,
    events,
    flights,
    guests,
    health,
    imaged,
    kml,
    marks,
    meeting,
    ogc,
    ogc_tiles,
    openid,
    meeting_packs,
    pixels,
    products,
    redactions,
    reference,
    reports,
    restricted,
    retention,
    settlements,
    specialist,
    stac,
    syncing,
    terrain,
    tus,
    video,
    wmts,
)


def create_app(services: Services) -> App:
    """The ASGI application for these services: tiles first, everything else behind them."""
    reception = Reception(services)
    packing = Packing(services)
    drill = drilling.Drilling(services)
    follower = Follower(services.workspace.catalog, services.follow_s)
    sky = airborne.Sky(services.workspace.catalog, services.follow_s)

    @asynccontextmanager
    async def lifespan(_api: FastAPI) -> AsyncIterator[None]:
        reception.start()
        packing.start()
        looking = asyncio.create_task(look_out(sky, follower, services.follow_s, services.stopping.is_set))
        yield
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking
        drill.ask_to_stop()  # so that both processes end at once
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
    door = Door(services)
    cache = ViewCache(follower, services.view_cache_bytes)
    grounds = Grounds(services.workspace.store)
    asked = AskedViews(services.workspace, follower, cache, grounds)
    route = TileRoute(site.Wrapping(cast(App, api)), door, follower, services.workspace.store, cache, asked)
    _remember(api, services)
    api.state.services = services
    api.state.door = door
    api.state.reception = reception
    api.state.packing = packing
    api.state.drilling = drill
    api.state.attempts = {way: Attempts() for way in accounts.WayIn}
    api.state.asking_service = asyncio.Semaphore(openid.ASKING_AT_ONCE)
    api.state.openings = Openings()
    api.state.follower = follower
    api.state.sky = sky
    api.state.meeting = meeting.Meeting(services.workspace.clock_ns)
    api.state.stamps = StampsKept(services.workspace.catalog, services.follow_s / 2)
    api.state.grounds = grounds
    api.state.asked = asked
    api.state.tile_counts = route.counts
    figures = api.state.figures = CollectorRegistry()
    health.tell_figures(figures, services, route.counts)
    failures.install(api)
    for room in _ROUTERS:
        api.include_router(room.router)
    site.install(api, services.static_dir)
    across = Across(route, services.origins) if services.origins else route
    return Watched(across, RequestFigures(figures), services.request_log)


def _remember(api: FastAPI, services: Services) -> None:
    """What is kept between requests, made of the house alone."""
    api.state.arrivals = syncing.Arrivals(services)
    api.state.shelf = commons.Shelf(services.workspace)
    api.state.thing_names = ThingNames(services.workspace.catalog)
    api.state.commune_troubles = CommuneTroubles(services.workspace.catalog)
    api.state.outlines = imaged.Outlines(services.workspace)
    api.state.relief = terrain.Relief(services.workspace)
