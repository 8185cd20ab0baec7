"""Polling of the tile logs of flights in the air, for all screens at once.

A screen that follows reads the log itself, but no more often than a machine with two hundred of them can
bear. Over a flight in the air people wait for each tile: then one reader reads the logs of those flights
alone, twenty times a second, and wakes all followers.
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
