"""`/events`: server-sent events from the tile log, so that a screen learns what moved without asking."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import StreamingResponse

from flycam.catalog.catalog import Catalog
from flycam.serve.door import Door, Visitor
from flycam.serve.follower import Follower, Moved
from flycam.serve.guard import viewer
from flycam.serve.services import Services

router = APIRouter()

_TILES_IN_ONE_EVENT = 2000
_KEEP_ALIVE_S = 15.0
_WAITING = 1000


@router.get("/events")
async def events(request: Request, visitor: Annotated[Visitor, Depends(viewer)]) -> StreamingResponse:
    """Events `tiles` (tiles of a mosaic moved) and `flights` (a mosaic or another revision appeared)."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_stream(request), media_type="text/event-stream", headers=headers)


async def _stream(request: Request) -> AsyncIterator[str]:
    services: Services = request.app.state.services
    follower: Follower = request.app.state.follower
    door: Door = request.app.state.door
    catalog = services.workspace.catalog
    loop = asyncio.get_running_loop()
    news: asyncio.Queue[Moved] = asyncio.Queue(_WAITING)

    def hear(moved: Moved) -> None:
        loop.call_soon_threadsafe(lambda: None if news.full() else news.put_nowait(moved))

    stop = follower.listen(hear)
    known = await asyncio.to_thread(_watch_all, catalog, follower)
    silent_s = 0.0
    try:
        yield "retry: 3000\n\n: here\n\n"
        while door.visitor(request.scope["headers"]) is not None:
            await asyncio.sleep(services.follow_s)
            silent_s += services.follow_s
            now = await asyncio.to_thread(_watch_all, catalog, follower)
            await asyncio.to_thread(follower.read_if_due)
            if now != known:
                known, silent_s = now, 0.0
                yield "event: flights\ndata: {}\n\n"
            while not news.empty():
                silent_s = 0.0
                yield f"event: tiles\ndata: {json.dumps(_words(news.get_nowait()))}\n\n"
            if silent_s >= _KEEP_ALIVE_S:
                silent_s = 0.0
                yield ": still here\n\n"
    finally:
        stop()


def _watch_all(catalog: Catalog, follower: Follower) -> frozenset[tuple[str, int]]:
    """Follow every mosaic; which revision of which mosaic is on show."""
    shown = [mosaic for mosaic in catalog.tiles.mosaics() if mosaic.published]
    for mosaic in shown:
        follower.watch(mosaic.mosaic_id)
    return frozenset((mosaic.mosaic_id, mosaic.revision) for mosaic in shown)


def _words(moved: Moved) -> dict[str, object]:
    tiles = moved.tiles if moved.tiles is not None and len(moved.tiles) <= _TILES_IN_ONE_EVENT else None
    return {
        "mosaic_id": moved.mosaic_id,
        "seq": moved.seq,
        "tiles": None if tiles is None else [[tile.z, tile.x, tile.y, seq] for tile, seq in tiles],
    }
