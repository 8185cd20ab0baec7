"""New tiles of flights in the air: looked for by one reader, which wakes every screen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from flycam.catalog.catalog import Catalog
from flycam.ingest.live.routes import LiveFlightFeed
from flycam.serve.events import poll_live_flights
from flycam.serve.tiles import MovedTiles, TileLogFollower
from flycam.workspace import Workspace
from tests.ingest.live.test_live_flights import TOLD
from tests.serve.test_tile_route import TILE, write
from tests.serve.world import make_workspace


def _followed(catalog: Catalog) -> tuple[TileLogFollower, list[MovedTiles]]:
    follower, heard = TileLogFollower(catalog, 3600.0), []
    follower.watch_mosaic("m")
    follower.add_listener(heard.append)
    return follower, heard


def _sky(workspace: Workspace) -> LiveFlightFeed:
    """At the moment of the report, however long a busy machine takes to read it."""
    return LiveFlightFeed(workspace.catalog, 3600.0, lambda: TOLD.told_ns, lambda: 0.0)


def _times(count: int) -> Callable[[], bool]:
    """Says that the server stops, once it was asked so often."""
    answers: Iterator[bool] = iter([False] * count + [True])
    return lambda: next(answers)


def test_tiles_of_a_flight_in_the_air_are_told_before_a_screen_would_ask(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    write(workspace, 100, 10)
    follower, heard = _followed(workspace.catalog)
    workspace.catalog.airborne.put(replace(TOLD, flight_id="f"))
    seq = write(workspace, 200, 20)
    asyncio.run(poll_live_flights(_sky(workspace), follower, 0.0, _times(2)))
    (moved,) = heard
    assert moved.mosaic_id == "m" and (TILE, seq) in (moved.tiles or ())
