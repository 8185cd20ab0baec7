"""Puts the server together. Only this module and the command line choose implementations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import cast

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from flycam import __version__
from flycam.serve import (
    accounts,
    airborne,
    authority,
    briefings,
    changes,
    commons,
    commune_board,
    communes,
    coordinates,
    credentials,
    events,
    evidence,
    failures,
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
    packs,
    products,
    redactions,
    reference,
    reports,
    restricted,
    retention,
    settlements,
    site,
    specialist,
    stac,
    syncing,
    terrain,
    tus,
    uploads,
    video,
    wmts,
)
from flycam.serve.asked import AskedViews
from flycam.serve.attempts import Attempts
from flycam.serve.board import Board
from flycam.serve.bodies import Bounded
from flycam.serve.cors import Across
from flycam.serve.door import Door
from flycam.serve.follower import Follower
from flycam.serve.grounds import Grounds
from flycam.serve.linked_reads import LinkedReads
from flycam.serve.lookout import look_out
from flycam.serve.looks import Looks
from flycam.serve.openings import Openings
from flycam.serve.packing import Packing
from flycam.serve.reception import Reception
from flycam.serve.services import Services
from flycam.serve.thing_names import ThingNames
from flycam.serve.tiles import App, TileRoute
from flycam.serve.views import ViewCache
from flycam.serve.watching import RequestFigures, Watched

_ROUTERS = (
    accounts,
    airborne,
    authority,
    briefings,
    changes,
    commons,
    commune_board,
    communes,
    coordinates,
    credentials,
    events,
    evidence,
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
    packs,
    products,
    reference,
    reports,
    redactions,
    restricted,
    retention,
    settlements,
    specialist,
    stac,
    syncing,
    terrain,
    video,
    tus,
    uploads,
    wmts,
)


def create_app(services: Services) -> App:
    """The ASGI application for these services: tiles first, everything else behind them."""
    reception = Reception(services)
    packing = Packing(services)
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
        packing.stop()
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
    looks = Looks()
    route = TileRoute(
        site.Wrapping(Bounded(cast(App, api))), door, follower, services.workspace.store, cache, asked, looks
    )
    api.state.looks = looks
    api.state.services = services
    api.state.door = door
    api.state.reception = reception
    api.state.packing = packing
    api.state.arrivals = syncing.Arrivals(services)
    api.state.shelf = commons.Shelf(services.workspace)
    api.state.attempts = {way: Attempts() for way in accounts.WayIn}
    api.state.openings = Openings()
    api.state.linked_reads = LinkedReads()
    api.state.follower = follower
    api.state.sky = sky
    api.state.thing_names = ThingNames(services.workspace.catalog)
    api.state.meeting = meeting.Meeting(services.workspace.clock_ns)
    api.state.board = Board(services.workspace.catalog, services.follow_s / 2)
    api.state.grounds = grounds
    api.state.asked = asked
    api.state.outlines = imaged.Outlines(services.workspace)
    api.state.relief = terrain.Relief(services.workspace)
    api.state.tile_counts = route.counts
    figures = api.state.figures = CollectorRegistry()
    health.tell_figures(figures, services, route.counts, packing)
    failures.install(api)
    for room in _ROUTERS:
        api.include_router(room.router)
    site.install(api, services.static_dir)
    watched = Watched(route, RequestFigures(figures), services.request_log)
    return Across(watched, services.origins) if services.origins else watched
