"""`/events`: server-sent events of tiles, live flights and changes on the map.

They come from the tile log and from live flights, so that screens need not poll.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace

from fastapi import APIRouter, Depends, Request
from fastapi.responses import StreamingResponse

from flycam.catalog.access_policy import AccessPolicy
from flycam.catalog.records import Role
from flycam.serve.api.change_stamps import MapStampCache, MapStamps
from flycam.serve.api.live_flights import (
    POLL_INTERVAL_S,
    LiveFlightFeed,
    describe_live_flight,
    filter_live_flights,
    fingerprint_live_flights,
)
from flycam.serve.api.meeting import Meeting, describe_presentation, filter_presentation
from flycam.serve.auth.authenticator import Authenticator, Principal
from flycam.serve.auth.guards import require_guest
from flycam.serve.http.request_metrics import ACCOUNT_SCOPE_KEY
from flycam.serve.services import get_services
from flycam.serve.tiles.log_follower import MovedTiles, TileLogFollower

router = APIRouter()

_MAX_TILES_PER_EVENT = 2000
_KEEP_ALIVE_S = 15.0
_MAX_QUEUED_TILES = 1000
_COALESCE_S = 0.05


@router.get("/events", dependencies=[Depends(require_guest)])
async def stream_events(request: Request) -> StreamingResponse:
    """Events `tiles` (tiles of a mosaic moved), `flights` (a mosaic or another revision appeared),
    `airborne` (all live flights, as `/api/airborne` has them but for their tracks), `layers` (a specialist
    layer came, went or was read again), `marks` (somebody wrote a mark), `changes` (some were found or
    decided on), `withheld` (the word for what is withheld from this visitor: at once, and whenever it is
    another; what is shown is to be asked for anew) and `meeting` (what is presented now, as `/api/meeting`
    has it; at once, and first of all where something is presented already)."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_stream(request), media_type="text/event-stream", headers=headers)


async def _stream(request: Request) -> AsyncIterator[str]:
    services = get_services(request)
    follower: TileLogFollower = request.app.state.follower
    door: Authenticator = request.app.state.door
    sky: LiveFlightFeed = request.app.state.sky
    loop = asyncio.get_running_loop()
    news = _TileNews()

    # entered first, so that listeners go whatever ends the stream, also before its first message
    with ExitStack() as leaving:
        presented = _PresentationStream(request.app.state.meeting)
        leaving.callback(presented.stop)

        def take(moved: MovedTiles) -> None:
            news.take(moved)
            presented.wake()

        def hear(moved: MovedTiles) -> None:
            loop.call_soon_threadsafe(take, moved)

        leaving.callback(follower.add_listener(hear))
        kept: MapStampCache = request.app.state.stamps
        stamps = await asyncio.to_thread(_read_stamps, kept, follower)
        flying: object = frozenset()
        rules = ""
        said_s = followed_s = loop.time()
        pace_s = services.follow_s
        yield "retry: 3000\n\n: here\n\n"
        while (
            not services.stopping.is_set()
            and (here := await _authenticate_follower(door, request)) is not None
        ):
            policy = here.access_policy
            async for word in presented.iterate_messages(pace_s, here):
                yield word
            words: list[str] = []
            if policy.fingerprint != rules:
                rules = policy.fingerprint
                words.append(format_event("withheld", {"rules": rules}))
            seen = (
                filter_live_flights(await asyncio.to_thread(sky.read_flights), policy)
                if here.has_role(Role.VIEWER)
                else []
            )
            now_s = sky.now_s()
            # over a flight in the air people wait for its tiles, and to learn that it is lost
            is_up = any(one.is_flying(now_s) for one in seen)
            pace_s = min(services.follow_s, POLL_INTERVAL_S) if is_up else services.follow_s
            if (flies := fingerprint_live_flights(seen, now_s)) != flying:
                flying = flies
                words.append(format_event("airborne", [describe_live_flight(one, now_s) for one in seen]))
            if loop.time() - followed_s >= services.follow_s - _COALESCE_S:
                followed_s = loop.time()
                newer = await asyncio.to_thread(_read_stamps, kept, follower)
                words += [format_event(name, {}) for name in _list_changed(stamps, newer)]
                stamps = newer
            await asyncio.to_thread(follower.read_if_due, pace_s)
            words += [format_event("tiles", _describe_moved(one)) for one in news.drain(policy)]
            if words:
                said_s = loop.time()
            elif loop.time() - said_s >= _KEEP_ALIVE_S:
                said_s = loop.time()
                words.append(": still here\n\n")
            for one in words:
                yield one


async def _authenticate_follower(door: Authenticator, request: Request) -> Principal | None:
    """Authenticate the follower again; None once they may not see the map."""
    visitor = await door.authenticate_async(request.scope)
    request.scope[ACCOUNT_SCOPE_KEY] = visitor.name if visitor is not None else None
    is_let = (
        visitor is not None and visitor.has_role(Role.GUEST) and visitor.can_reach("GET", request.url.path)
    )
    return visitor if is_let else None


class _PresentationStream:
    """Presentation messages for one screen.

    Followers wait neither for the next read of the tile log nor for that of tiles that came.
    """

    def __init__(self, meeting: Meeting) -> None:
        self._meeting, self._loop = meeting, asyncio.get_running_loop()
        self._turned = asyncio.Event()
        self._is_hurried = False
        self._last_sent: object = None
        self.stop = meeting.add_listener(lambda: self._loop.call_soon_threadsafe(self._turned.set))

    def wake(self) -> None:
        """End the wait: other messages are due at once."""
        self._is_hurried = True
        self._turned.set()

    async def iterate_messages(self, seconds: float, here: Principal) -> AsyncIterator[str]:
        """Yield the presentation whenever it differs from the last one sent.

        Ends after `seconds`, or when woken by `wake`. Yields only what `here` may see.
        """
        until_s = self._loop.time() + seconds
        while True:
            self._turned.clear()
            if (shown := filter_presentation(self._meeting.get_current(), here)) is not self._last_sent:
                self._last_sent = shown
                yield format_event("meeting", describe_presentation(shown))
            left_s = until_s - self._loop.time()
            if left_s <= 0 or self._is_hurried:
                self._is_hurried = False
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._turned.wait(), left_s)


def format_event(name: str, data: object) -> str:
    """Format a server-sent event in ASCII.

    Nothing in the data can then end the line, or fail to encode and end everybody's stream.
    """
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


class _TileNews:
    """Moved tiles queued for one screen.

    Of a slow screen only the mosaics that moved are kept.
    """

    def __init__(self) -> None:
        self._moved: list[MovedTiles] = []
        self._beyond: dict[str, MovedTiles] = {}

    def take(self, moved: MovedTiles) -> None:
        """Queue the tiles.

        Beyond `_MAX_QUEUED_TILES` note only that all of the mosaic may have moved.
        """
        if len(self._moved) < _MAX_QUEUED_TILES:
            self._moved.append(moved)
        else:
            self._beyond[moved.mosaic_id] = replace(moved, tiles=None)

    def drain(self, policy: AccessPolicy) -> Iterator[MovedTiles]:
        """Yield all that is queued, once, but for mosaics that are withheld."""
        waiting = [*self._moved, *self._beyond.values()]
        self._moved, self._beyond = [], {}
        return (moved for moved in waiting if not policy.hides_mosaic(moved.mosaic_id))


def _read_stamps(kept: MapStampCache, follower: TileLogFollower) -> MapStamps:
    """Read the map's stamps, and follow every mosaic on show."""
    stamps = kept.read()
    for mosaic_id, _ in stamps["flights"].revisions:
        follower.watch_mosaic(mosaic_id)
    return stamps


def _list_changed(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    return [name for name, stamp in now.items() if stamp != before[name]]


def _describe_moved(moved: MovedTiles) -> dict[str, object]:
    tiles = moved.tiles if moved.tiles is not None and len(moved.tiles) <= _MAX_TILES_PER_EVENT else None
    return {
        "mosaic_id": moved.mosaic_id,
        "seq": moved.seq,
        "tiles": None if tiles is None else [[tile.z, tile.x, tile.y, seq] for tile, seq in tiles],
    }
