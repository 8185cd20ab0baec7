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
from flycam.serve.api.live_flights import LiveFlightFeed
from flycam.serve.tiles.log_follower import TileLogFollower

POLL_S = 0.05
_log = logging.getLogger(__name__)


async def poll_live_flights(
    sky: LiveFlightFeed, follower: TileLogFollower, idle_s: float, is_stopping: Callable[[], bool]
) -> None:
    """Until the server stops, or this is cancelled.

    idle_s  how often it is asked whether anything flies
    """
    while not is_stopping():
        try:
            flies = await asyncio.to_thread(_read_live_logs, sky, follower)
        except CatalogUnavailable as error:
            _log.debug("the logs of flights in the air are asked again: %s", error)
            flies = False
        await asyncio.sleep(POLL_S if flies else max(POLL_S, idle_s))


def _read_live_logs(sky: LiveFlightFeed, follower: TileLogFollower) -> bool:
    """Read the logs of the flights that are in the air; whether there are any."""
    now_s = sky.now_s()
    up = {one.report.flight_id for one in sky.read_flights() if one.is_flying(now_s)}
    if up:
        follower.read_flights(up)
    return bool(up)
