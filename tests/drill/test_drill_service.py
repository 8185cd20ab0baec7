"""`/api/drill`: a house without flights makes itself a drill, and no other house does."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from flycam.http.guards import Services
from flycam.model.access import Role
from flycam.workspace import Workspace
from tests.serve.running import running
from tests.serve.world import add_account, add_communes, make_workspace
from tests.waiting import until

BEGINS = 'import os, pathlib; pathlib.Path("{0}").open("a").write(os.environ["FLYCAM_OPERATOR"])'
HANGS = """
import os, pathlib, time
begun = pathlib.Path("{0}.part")
begun.write_text(f'{{os.environ["FLYCAM_OPERATOR"]}} {{os.getpid()}}')
begun.rename("{0}")
time.sleep(600)
"""
FAILS = """
import json, sys
print(json.dumps({"sentence": "the disk is full"}))
print("flycam: đĩa đầy", file=sys.stderr)
sys.exit(4)
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = make_workspace(tmp_path / "house")
    for role in (Role.ANALYST, Role.ADMIN):
        add_account(workspace, role.value, role, role.value)
    return workspace


def serving(workspace: Workspace, program: str) -> Services:
    return Services(workspace=workspace, drill_command=(sys.executable, "-c", program))


def as_(url: str, role: Role = Role.ADMIN) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=60, headers={"Authorization": f"Bearer {role.value}"})


def ended(client: httpx.Client) -> dict[str, Any]:
    until(lambda: client.get("/api/drill").json()["state"] != "making", every_s=0.05)
    return dict(client.get("/api/drill").json())


def test_it_is_made_in_the_name_of_whoever_asked(workspace: Workspace, tmp_path: Path) -> None:
    with running(serving(workspace, BEGINS.format(tmp_path / "by"))) as url, as_(url) as client:
        assert client.get("/api/drill").json()["state"] == "none"
        assert client.post("/api/drill").status_code == 202
        assert ended(client)["state"] == "made"
        assert (tmp_path / "by").read_text() == "admin"
    asked = [one.who for one in workspace.catalog.audit.lines() if one.what == "drill asked"]
    assert asked == ["admin"]


def test_asked_twice_it_is_made_once_and_ends_with_its_server(workspace: Workspace, tmp_path: Path) -> None:
    by = tmp_path / "by"
    with running(serving(workspace, HANGS.format(by))) as url, as_(url) as client:
        assert [client.post("/api/drill").json()["state"] for _ in range(3)] == ["making"] * 3
        until(by.exists)
    who, pid = by.read_text().split()
    assert who == "admin"
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_only_administrators_ask(workspace: Workspace) -> None:
    with running(serving(workspace, "pass")) as url, as_(url, Role.ANALYST) as client:
        assert client.post("/api/drill").status_code == 403
        assert client.get("/api/drill").status_code == 403


def test_none_is_made_in_a_house_that_is_prepared_for_a_storm(workspace: Workspace, tmp_path: Path) -> None:
    """Before the first flight: real communes are there already, and nothing takes made-up ones away again."""
    add_communes(workspace)
    with running(serving(workspace, BEGINS.format(tmp_path / "by"))) as url, as_(url) as client:
        answer = client.post("/api/drill", params={"lang": "vi"})
        assert answer.status_code == 409
        assert "flycam demo --data" in answer.json()["message"]
        assert client.get("/api/drill").json()["state"] == "none"
    assert not (tmp_path / "by").exists()


def test_a_page_of_another_site_makes_none(tmp_path: Path) -> None:
    """In a house without accounts any page that is open on the machine could ask."""
    services = serving(make_workspace(tmp_path), BEGINS.format(tmp_path / "by"))
    with running(services) as url, httpx.Client(base_url=url, timeout=60) as client:
        for said in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
            answer = client.post("/api/drill", headers=said)
            assert answer.status_code == 401
        assert client.get("/api/drill").json()["state"] == "none"
        assert client.post("/api/drill", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 202
