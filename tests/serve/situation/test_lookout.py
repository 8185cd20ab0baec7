"""New tiles of flights in the air: looked for by one reader, which wakes every screen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from flycam.catalog.catalog import Catalog
from flycam.catalog.withholding import NOTHING_WITHHELD
from flycam.errors import CatalogUnavailable
from flycam.pipeline.workspace import Workspace
from flycam.serve.situation.airborne import Sky
from flycam.serve.situation.events import _Presented
from flycam.serve.situation.lookout import look_out
from flycam.serve.tiles.follower import Follower, Moved
from tests.serve.situation.test_airborne import TOLD
from tests.serve.tiles.test_tile_route import TILE, write
from tests.serve.world import make_workspace


def _followed(catalog: Catalog) -> tuple[Follower, list[Moved]]:
    follower, heard = Follower(catalog, 3600.0), []
    follower.watch("m")
    follower.listen(heard.append)
    return follower, heard


def _sky(workspace: Workspace) -> Sky:
    """At the moment of the report, however long a busy machine takes to read it."""
    return Sky(workspace.catalog, 3600.0, lambda: TOLD.told_ns, lambda: 0.0)


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
    asyncio.run(look_out(_sky(workspace), follower, 0.0, _times(2)))
    (moved,) = heard
    assert moved.mosaic_id == "m" and (TILE, seq) in (moved.tiles or ())


def test_logs_of_flights_that_lie_on_the_ground_are_left_to_the_screens(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    write(workspace, 100, 10)
    follower, heard = _followed(workspace.catalog)
    workspace.catalog.airborne.put(replace(TOLD, flight_id="another"))
    write(workspace, 200, 20)
    asyncio.run(look_out(_sky(workspace), follower, 0.0, _times(2)))
    assert heard == []
    follower.read()
    assert [one.mosaic_id for one in heard] == ["m"]


def test_a_catalogue_that_is_away_for_a_moment_is_asked_again(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    write(workspace, 100, 10)
    follower, heard = _followed(workspace.catalog)
    workspace.catalog.airborne.put(replace(TOLD, flight_id="f"))
    write(workspace, 200, 20)
    sky, asked = _sky(workspace), []

    def look() -> object:
        asked.append(1)
        if len(asked) == 1:
            raise CatalogUnavailable("locked")
        return sky.look()

    away = SimpleNamespace(look=look, now_s=sky.now_s)
    asyncio.run(look_out(away, follower, 0.0, _times(3)))
    assert len(heard) == 1


def test_a_screen_that_waits_is_woken_by_news() -> None:
    async def woken() -> list[str]:
        meeting = SimpleNamespace(look=lambda: None, listen=lambda _: lambda: None)
        presented = _Presented(meeting)
        presented._told = None
        asyncio.get_running_loop().call_later(0.01, presented.hurry)
        here = SimpleNamespace(withholding=NOTHING_WITHHELD)
        return [word async for word in presented.words(3600.0, here)]

    async def in_time() -> list[str]:
        return await asyncio.wait_for(woken(), 60.0)

    assert asyncio.run(in_time()) == []
