"""What changes touch, over the API: everybody hears of confirmed changes, analysts of all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from flycam.http.guards import Services
from flycam.model.access import Role
from tests.change.impacted import FLOOD, SLIDE, add_roads_and_masts, impacted_house
from tests.serve.running import running
from tests.serve.world import add_account


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.Client]:
    workspace = impacted_house(tmp_path)
    add_roads_and_masts(workspace, tmp_path)
    for role in Role:
        add_account(workspace, role.value, role, f"{role.value}-token")
    with running(Services(workspace=workspace, follow_s=0.1)) as url, httpx.Client(base_url=url) as one:
        yield one


def by(role: Role) -> dict[str, str]:
    return {"Authorization": f"Bearer {role.value}-token"}


def change_ids(client: httpx.Client, role: Role, query: str) -> list[str]:
    answer = client.get(f"/api/changes/impact?{query}", headers=by(role))
    assert answer.status_code == 200
    return [one["change_id"] for one in answer.json()["changes"]]


def test_who_is_no_analyst_is_told_of_confirmed_changes_only(client: httpx.Client) -> None:
    assert sorted(change_ids(client, Role.ANALYST, "event=e1")) == [SLIDE, FLOOD]
    assert change_ids(client, Role.VIEWER, "event=e1") == [SLIDE]
    assert change_ids(client, Role.VIEWER, f"change={SLIDE}") == [SLIDE]
    assert change_ids(client, Role.VIEWER, f"change={FLOOD}") == []
    assert change_ids(client, Role.ANALYST, f"change={FLOOD}") == [FLOOD]
    assert client.get("/api/changes/impact?event=e1").status_code == 401


def test_roads_cut_counts_and_communes(client: httpx.Client) -> None:
    answer = client.get("/api/changes/impact?event=e1", headers=by(Role.VIEWER)).json()
    (change,), (row,) = answer["changes"], answer["communes"]
    assert [road["name"] for road in change["roads_cut"]] == ["ĐT 153"]
    assert (row["name"], row["confirmed"]["changes"], row["waiting"]["changes"]) == ("Mường Đăng", 1, 0)
    assert row["confirmed"]["counts"]["house"] is None
    assert answer["reach_m"]["road"] == 20.0
    wide = client.get("/api/changes/impact?event=e1&distance=200", headers=by(Role.VIEWER)).json()
    assert wide["changes"][0]["counts"]["mast"] == {"inside": 0, "near": 2, "whole": True}
