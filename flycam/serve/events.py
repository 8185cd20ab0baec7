"""`/events`: server-sent events of tiles, live flights and changes on the map.

They come from the tile log and from live flights, so that screens need not poll. Stamps of the map, and the
tile logs of flights in the air, are read once for all screens.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import TypedDict

from fastapi import APIRouter, Depends, Request
from fastapi.responses import StreamingResponse

from flycam.access.policy import AccessPolicy
from flycam.board.routes import Meeting, describe_presentation, filter_presentation
from flycam.catalog.catalog import Catalog
from flycam.errors import CatalogUnavailable
from flycam.http.guards import Authenticator, Principal, get_services, require_guest
from flycam.http.protocol import ACCOUNT_SCOPE_KEY
from flycam.ingest.live.routes import (
    POLL_INTERVAL_S,
    LiveFlightFeed,
    describe_live_flight,
    filter_live_flights,
    fingerprint_live_flights,
)
from flycam.model.access import Role
from flycam.serve.tiles import MovedTiles, TileLogFollower

# -- Stamps of mosaics, marks, layers and changes on the map ---------------------------------------


@dataclass(frozen=True, slots=True)
class ShownFlights:
    """Published mosaic revisions and the events of their flights.

    revisions: (mosaic id, shown revision); events: (flight id, event id).
    """

    revisions: frozenset[tuple[str, int]]
    events: frozenset[tuple[str, str]]


class MapStamps(TypedDict):
    """Stamp by name of the event that notifies screens; a changed value: read again."""

    flights: ShownFlights
    layers: object
    marks: object
    changes: object


class MapStampCache:
    """Stamps of the map, at most `period_s` old. Safe to use from several threads."""

    def __init__(
        self, catalog: Catalog, period_s: float, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._catalog, self._period_s, self._clock_s = catalog, period_s, clock_s
        self._lock = threading.Lock()
        self._stamps: MapStamps | None = None
        self._read_s = float("-inf")

    def read(self) -> MapStamps:
        """Return the current stamps. Raises CatalogUnavailable."""
        with self._lock:
            now_s = self._clock_s()
            if self._stamps is None or now_s - self._read_s >= self._period_s:
                published = (one for one in self._catalog.tiles.mosaics() if one.published)
                self._stamps = {
                    "flights": ShownFlights(
                        revisions=frozenset((one.mosaic_id, one.revision) for one in published),
                        events=frozenset(
                            (one.flight_id, one.event_id) for one in self._catalog.flights.flights()
                        ),
                    ),
                    "layers": self._catalog.layers.stamp(),
                    "marks": self._catalog.marks.stamp(),
                    # confirmed changes decide which roads are cut, and analysts what that means for
                    # settlements
                    "changes": self._catalog.changes.stamp()
                    # comparisons: candidates that a newer one did not find again
                    + self._catalog.comparisons.stamp()
                    + self._catalog.settlements.stamp(),
                }
                self._read_s = now_s
            return self._stamps


# -- Event stream of one screen --------------------------------------------------------------------


router = APIRouter()

_MAX_TILES_PER_EVENT = 2000
_KEEP_ALIVE_S = 15.0
_MAX_QUEUED_TILES = 1000
_COALESCE_S = 0.05


@router.get("/events", dependencies=[Depends(require_guest)])
async def stream_events(request: Request) -> StreamingResponse:
    """Stream server-sent events to one screen.

    `tiles`: tiles of a mosaic changed. `flights`: a mosaic or another revision appeared. `airborne`: all live
    flights, as `/api/airborne` has them but without their tracks. `layers`: a specialist layer was added,
    removed or read again. `marks`: a mark was written. `changes`: some were found or reviewed. `withheld`:
    the fingerprint of what is withheld from this account, at once and whenever it differs; what is shown must
    then be requested anew. `meeting`: what is presented now, as `/api/meeting` has it; at once, and first of
    all where something is presented already.
    """
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
        stamp_cache: MapStampCache = request.app.state.stamps
        stamps = await asyncio.to_thread(_read_stamps, stamp_cache, follower)
        flying: object = frozenset()
        rules = ""
        sent_s = followed_s = loop.time()
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
                newer = await asyncio.to_thread(_read_stamps, stamp_cache, follower)
                words += [format_event(name, {}) for name in _list_changed(stamps, newer)]
                stamps = newer
            await asyncio.to_thread(follower.read_if_due, pace_s)
            words += [format_event("tiles", _describe_moved(one)) for one in news.drain(policy)]
            if words:
                sent_s = loop.time()
            elif loop.time() - sent_s >= _KEEP_ALIVE_S:
                sent_s = loop.time()
                words.append(": still here\n\n")
            for one in words:
                yield one


async def _authenticate_follower(door: Authenticator, request: Request) -> Principal | None:
    """Authenticate the follower again; None once they may not see the map."""
    visitor = await door.authenticate_async(request.scope)
    request.scope[ACCOUNT_SCOPE_KEY] = visitor.name if visitor is not None else None
    is_let = (
        visitor is not None
        and visitor.has_role(Role.GUEST)
        and visitor.can_reach("GET", request.scope["path"])
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


def _read_stamps(stamp_cache: MapStampCache, follower: TileLogFollower) -> MapStamps:
    """Read the map's stamps, and follow every published mosaic."""
    stamps = stamp_cache.read()
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


# -- Polling of the tile logs of flights in the air ------------------------------------------------
#
# A screen that follows reads the log itself, but no more often than a machine with two hundred of them can
# bear. Over a flight in the air people wait for each tile: then one reader for all screens reads the logs of
# those flights alone, twenty times a second, and wakes all followers.


POLL_S = 0.05
_log = logging.getLogger(__name__)


async def poll_live_flights(
    sky: LiveFlightFeed, follower: TileLogFollower, idle_s: float, is_stopping: Callable[[], bool]
) -> None:
    """Poll until the server stops, or this is cancelled.

    idle_s: seconds between checks whether anything flies.
    """
    while not is_stopping():
        try:
            flies = await asyncio.to_thread(_read_live_logs, sky, follower)
        except CatalogUnavailable as error:
            _log.debug("the logs of flights in the air are asked again: %s", error)
            flies = False
        await asyncio.sleep(POLL_S if flies else max(POLL_S, idle_s))


def _read_live_logs(sky: LiveFlightFeed, follower: TileLogFollower) -> bool:
    """Read the tile logs of the flights in the air; return True if there are any."""
    now_s = sky.now_s()
    up = {one.report.flight_id for one in sky.read_flights() if one.is_flying(now_s)}
    if up:
        follower.read_flights(up)
    return bool(up)
