"""Settlements over the API: everybody reads, analysts say, what was not seen is not overwritten."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from flycam.http.guards import Services
from flycam.model.access import ACCOUNT_ROLES, Role
from flycam.model.board import LayerKind
from tests.board.test_settlements import MAIN, PLACES, VALLEY
from tests.change.impacted import add_things, impacted_house
from tests.serve.running import running
from tests.serve.world import add_account


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.Client]:
    workspace = impacted_house(tmp_path)
    add_things(workspace, tmp_path, "Đường", LayerKind.ROAD, [MAIN, VALLEY])
    add_things(workspace, tmp_path, "Thôn bản", LayerKind.SETTLEMENT, PLACES)
    for role in ACCOUNT_ROLES:
        add_account(workspace, role.value, role, f"{role.value}-token")
    with running(Services(workspace=workspace, follow_s=0.1)) as url, httpx.Client(base_url=url) as one:
        yield one


def by(role: Role) -> dict[str, str]:
    return {"Authorization": f"Bearer {role.value}-token"}


def first(client: httpx.Client, role: Role = Role.VIEWER) -> dict[str, Any]:
    answer = client.get("/api/settlements?event=e1", headers=by(role))
    assert answer.status_code == 200
    one: dict[str, Any] = answer.json()["settlements"][0]
    return one


def test_analysts_say_and_everybody_reads(client: httpx.Client) -> None:
    one = first(client)
    names = ("name", "access", "proposed", "roads_say", "version")
    assert [one[name] for name in names] == ["Nậm Lúc Thượng", "unknown", "isolated", "cut_off", 0]
    word = {"event_id": "e1", "access": "isolated", "note": "gọi trưởng bản", "based_on": 0}
    answer = client.put(f"/api/settlements/{one['settlement_id']}", json=word, headers=by(Role.ANALYST))
    assert answer.status_code == 200
    assert (first(client)["access"], first(client)["said_by"]) == ("isolated", "analyst")


@pytest.mark.parametrize(
    ("query", "status"),
    [("event=e9", 404), ("event=e1&reach=nan", 422)],
)
def test_what_cannot_be_asked_is_refused(client: httpx.Client, query: str, status: int) -> None:
    assert client.get(f"/api/settlements?{query}", headers=by(Role.VIEWER)).status_code == status


def test_a_word_reaches_other_screens(client: httpx.Client) -> None:
    address = f"/api/settlements/{first(client)['settlement_id']}"
    with client.stream("GET", "/events", headers=by(Role.VIEWER), timeout=60) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("retry")
        word = {"event_id": "e1", "access": "isolated", "based_on": 0}
        client.put(address, json=word, headers=by(Role.ANALYST))
        assert any(line == "event: changes" for line in lines)
