"""`/events`: server-sent events from the tile log and from live flights, so that a screen learns what moved
without asking."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace

from fastapi import APIRouter, Depends, Request
from fastapi.responses import StreamingResponse

from flycam.catalog.records import Role
from flycam.catalog.withholding import Withholding
from flycam.serve.answering.watching import ACCOUNT
from flycam.serve.door.admission import Door, Visitor
from flycam.serve.door.guard import guest
from flycam.serve.services import services_of
from flycam.serve.situation.airborne import LOOK_S, Sky, as_seen, in_words, news_of
from flycam.serve.situation.meeting import Meeting, as_heard
from flycam.serve.situation.meeting import in_words as meeting_in_words
from flycam.serve.situation.stamps import Stamps, StampsKept
from flycam.serve.tiles.follower import Follower, Moved

router = APIRouter()

_TILES_IN_ONE_EVENT = 2000
_KEEP_ALIVE_S = 15.0
_WAITING = 1000
_SOON_S = 0.05


@router.get("/events", dependencies=[Depends(guest)])
async def events(request: Request) -> StreamingResponse:
    """Events `tiles` (tiles of a mosaic moved), `flights` (a mosaic or another revision appeared),
    `airborne` (all live flights, as `/api/airborne` has them but for their tracks), `layers` (a specialist
    layer came, went or was read again), `marks` (somebody wrote a mark), `changes` (some were found or
    decided on), `withheld` (the word for what is withheld from this visitor: at once, and whenever it is
    another; what is shown is to be asked for anew) and `meeting` (what is presented now, as `/api/meeting`
    has it; at once, and first of all where something is presented already)."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_stream(request), media_type="text/event-stream", headers=headers)


async def _stream(request: Request) -> AsyncIterator[str]:
    services = services_of(request)
    follower: Follower = request.app.state.follower
    door: Door = request.app.state.door
    sky: Sky = request.app.state.sky
    loop = asyncio.get_running_loop()
    news = _News()

    with ExitStack() as leaving:  # whatever ends the stream, also before its first word
        presented = _Presented(request.app.state.meeting)
        leaving.callback(presented.stop)

        def take(moved: Moved) -> None:
            news.take(moved)
            presented.hurry()

        def hear(moved: Moved) -> None:
            loop.call_soon_threadsafe(take, moved)

        leaving.callback(follower.listen(hear))
        kept: StampsKept = request.app.state.stamps
        stamps = await asyncio.to_thread(_look, kept, follower)
        flying: object = frozenset()
        rules = ""
        said_s = followed_s = loop.time()
        pace_s = services.follow_s
        yield "retry: 3000\n\n: here\n\n"
        while not services.stopping.is_set() and (here := await _looking(door, request)) is not None:
            sees = here.withholding
            async for word in presented.words(pace_s, here):
                yield word
            words: list[str] = []
            if sees.fingerprint != rules:
                rules = sees.fingerprint
                words.append(event_words("withheld", {"rules": rules}))
            seen = as_seen(await asyncio.to_thread(sky.look), sees) if here.may(Role.VIEWER) else []
            now_s = sky.now_s()
            # over a flight in the air people wait for its tiles, and for word that it is lost
            is_up = any(one.is_up(now_s) for one in seen)
            pace_s = min(services.follow_s, LOOK_S) if is_up else services.follow_s
            if (flies := news_of(seen, now_s)) != flying:
                flying = flies
                words.append(event_words("airborne", [in_words(one, now_s) for one in seen]))
            if loop.time() - followed_s >= services.follow_s - _SOON_S:
                followed_s = loop.time()
                newer = await asyncio.to_thread(_look, kept, follower)
                words += [event_words(name, {}) for name in _changed(stamps, newer)]
                stamps = newer
            await asyncio.to_thread(follower.read_if_due, pace_s)
            words += [event_words("tiles", _words(one)) for one in news.told(sees)]
            if words:
                said_s = loop.time()
            elif loop.time() - said_s >= _KEEP_ALIVE_S:
                said_s = loop.time()
                words.append(": still here\n\n")
            for one in words:
                yield one


async def _looking(door: Door, request: Request) -> Visitor | None:
    """Who follows, as long as they may look at the map."""
    visitor = await door.visitor_soon(request.scope)
    request.scope[ACCOUNT] = visitor.name if visitor is not None else None
    is_let = visitor is not None and visitor.may(Role.GUEST) and visitor.reaches("GET", request.url.path)
    return visitor if is_let else None


class _Presented:
    """What is presented, for one screen: who follows does not wait for the next look at the log, nor for that
    of tiles that came."""

    def __init__(self, meeting: Meeting) -> None:
        self._meeting, self._loop = meeting, asyncio.get_running_loop()
        self._turned = asyncio.Event()
        self._is_hurried = False
        self._told: object = None
        self.stop = meeting.listen(lambda: self._loop.call_soon_threadsafe(self._turned.set))

    def hurry(self) -> None:
        """Something else is to be told at once."""
        self._is_hurried = True
        self._turned.set()

    async def words(self, seconds: float, here: Visitor) -> AsyncIterator[str]:
        """For so long, or until it is hurried: what is presented and for whoever follows, each time that it
        is not what was told last."""
        until_s = self._loop.time() + seconds
        while True:
            self._turned.clear()
            if (shown := as_heard(self._meeting.look(), here)) is not self._told:
                self._told = shown
                yield event_words("meeting", meeting_in_words(shown))
            left_s = until_s - self._loop.time()
            if left_s <= 0 or self._is_hurried:
                self._is_hurried = False
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._turned.wait(), left_s)


def event_words(name: str, data: object) -> str:
    """In ASCII: nothing that the data hold ends the line, or cannot be sent and ends everybody's stream."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


class _News:
    """What moved, for one screen, until it takes it; of one that does not for long, in which mosaics."""

    def __init__(self) -> None:
        self._moved: list[Moved] = []
        self._beyond: dict[str, Moved] = {}

    def take(self, moved: Moved) -> None:
        """Remember it; where too much waits, that all of its mosaic may have moved."""
        if len(self._moved) < _WAITING:
            self._moved.append(moved)
        else:
            self._beyond[moved.mosaic_id] = replace(moved, tiles=None)

    def told(self, sees: Withholding) -> Iterator[Moved]:
        """All of it, once, but for mosaics that are withheld."""
        waiting = [*self._moved, *self._beyond.values()]
        self._moved, self._beyond = [], {}
        return (moved for moved in waiting if not sees.hides_mosaic(moved.mosaic_id))


def _look(kept: StampsKept, follower: Follower) -> Stamps:
    """How what is on the map stands; every mosaic there is followed."""
    stamps = kept.look()
    for mosaic_id, _ in stamps["flights"].revisions:
        follower.watch(mosaic_id)
    return stamps


def _changed(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    return [name for name, stamp in now.items() if stamp != before[name]]


def _words(moved: Moved) -> dict[str, object]:
    tiles = moved.tiles if moved.tiles is not None and len(moved.tiles) <= _TILES_IN_ONE_EVENT else None
    return {
        "mosaic_id": moved.mosaic_id,
        "seq": moved.seq,
        "tiles": None if tiles is None else [[tile.z, tile.x, tile.y, seq] for tile, seq in tiles],
    }
