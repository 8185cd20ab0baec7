"""Looks for new tiles of the flights in the air, for all screens at once, so that they come at once.

A screen that follows asks the log itself, but no more often than a machine with two hundred of them can bear.
Over a flight in the air people wait for each tile: then one reader looks at the logs of those flights alone,
twenty times a second, and wakes whoever follows.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from flycam.errors import CatalogUnavailable
from flycam.serve.situation.airborne import Sky
from flycam.serve.tiles.follower import Follower

NEWS_S = 0.05
_log = logging.getLogger(__name__)


async def look_out(sky: Sky, follower: Follower, idle_s: float, is_stopping: Callable[[], bool]) -> None:
    """Until the server stops, or this is cancelled.

    idle_s  how often it is asked whether anything flies
    """
    while not is_stopping():
        try:
            flies = await asyncio.to_thread(_look, sky, follower)
        except CatalogUnavailable as error:
            _log.debug("the logs of flights in the air are asked again: %s", error)
            flies = False
        await asyncio.sleep(NEWS_S if flies else max(NEWS_S, idle_s))


def _look(sky: Sky, follower: Follower) -> bool:
    """Read the logs of the flights that are in the air; whether there are any."""
    now_s = sky.now_s()
    up = {one.told.flight_id for one in sky.look() if one.is_up(now_s)}
    if up:
        follower.read_flights(up)
    return bool(up)
