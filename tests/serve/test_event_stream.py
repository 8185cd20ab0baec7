"""Server-sent events follow the tile log."""

from __future__ import annotations

import json
from pathlib import Path

import httpx

from flycam.access.policy import AccessPolicy, IdFilter
from flycam.http.guards import Services
from flycam.model.access import Role
from flycam.model.flight import Classification
from flycam.serve.events import _TileNews
from flycam.serve.tiles import MovedTiles
from tests.serve.running import running
from tests.serve.test_tile_route import TILE, write
from tests.serve.world import add_account, make_workspace


def test_tiles_that_move_are_told_with_their_log_line(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    write(workspace, 100, 10)
    with (
        running(Services(workspace=workspace, follow_s=0.05)) as url,
        httpx.Client(base_url=url, timeout=60) as client,
        client.stream("GET", "/events") as stream,
    ):
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.iter_lines()
        assert next(lines).startswith("retry")
        seq = write(workspace, 200, 20)
        while next(lines) != "event: tiles":
            pass
        news = json.loads(next(lines).removeprefix("data: "))
    assert news["mosaic_id"] == "m"
    assert [TILE.z, TILE.x, TILE.y, seq] in news["tiles"]
    assert news["seq"] == workspace.catalog.tiles.last_seq("m")


def test_a_screen_that_stalls_is_told_which_mosaics_to_ask_for_anew() -> None:
    news, policy = _TileNews(), AccessPolicy(mosaics=IdFilter(frozenset({"hidden"})))
    for seq in range(1, 3001):
        for mosaic_id in ("m", "hidden", "n"):
            news.take(MovedTiles(mosaic_id, seq, ((TILE, seq),)))
    told = list(news.drain(policy))
    assert {one.mosaic_id for one in told} == {"m", "n"} and len(told) < 1000
    assert sorted((one.mosaic_id, one.seq, one.tiles) for one in told[-2:]) == [
        ("m", 3000, None),
        ("n", 3000, None),
    ]
    assert all(one.tiles is not None for one in told[:-2])
    news.take(MovedTiles("m", 3001, ((TILE, 3001),)))
    assert list(news.drain(policy)) == [MovedTiles("m", 3001, ((TILE, 3001),))]
    assert list(news.drain(policy)) == []


def test_a_screen_is_told_when_more_is_withheld_from_it_and_nobody_else_is(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    write(workspace, 100, 10)
    for role in (Role.VIEWER, Role.ADMIN):
        add_account(workspace, role.value, role, role.value)
    with running(Services(workspace=workspace, follow_s=0.05)) as url:

        def told(role: Role) -> list[str]:
            """Words for what is withheld, until there are two, or tiles moved after it was more."""
            headers, said = {"Authorization": f"Bearer {role.value}"}, []
            with (
                httpx.Client(base_url=url, timeout=60, headers=headers) as client,
                client.stream("GET", "/events") as stream,
            ):
                lines = stream.iter_lines()
                for line in lines:
                    if line == "event: withheld":
                        said.append(json.loads(next(lines).removeprefix("data: "))["rules"])
                        if len(said) == 1:
                            assert client.get("/api/session").json()["withheld"] == said[0]
                            level = Classification.RESTRICTED
                            workspace.catalog.restrictions.classify(f"f-{role.value}", level, 5)
                            if role is Role.ADMIN:
                                write(workspace, 200, 20)
                    if len(said) == 2 or line == "event: tiles":
                        break
            return said

        assert len(set(told(Role.VIEWER))) == 2
        assert len(told(Role.ADMIN)) == 1
