"""Signing in at the map: what the answer brings, to whom."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from flycam.access.accounts import make_token
from flycam.access.restrictions import set_flight_classification
from flycam.http.guards import Services
from flycam.model.access import ACCOUNT_ROLES, Scope
from flycam.model.flight import Classification
from tests.serve.running import running
from tests.serve.world import add_account, make_world


@pytest.fixture
def services(tmp_path: Path) -> Services:
    """A storm, one flight of it for analysts; an account of each role, whose token is called as it is."""
    world = make_world(tmp_path)
    for role in ACCOUNT_ROLES:
        add_account(world.workspace, role.value, role, role.value)
    set_flight_classification(world.workspace, world.after, Classification.RESTRICTED, "admin")
    return Services(workspace=world.workspace)


@pytest.fixture
def client(services: Services) -> Iterator[httpx.Client]:
    with running(services) as url, httpx.Client(base_url=url, timeout=60) as one:
        yield one


def test_who_arrives_at_the_map_is_told_at_once_what_it_begins_with(
    client: httpx.Client, services: Services
) -> None:
    lists = ("/api/events", "/api/flights", "/api/terrain", "/api/airborne")
    told = {}
    for name in ("viewer", "analyst"):
        client.cookies.clear()
        came = client.post("/api/arrival", json={"token": name}).json()
        assert came["session"] == client.get("/api/session").json(), "the cookie is of who came"
        assert came["lists"] == [client.get(path).json() for path in lists]
        told[name] = len(came["lists"][1])
    assert told == {"viewer": 2, "analyst": 3}, "what is withheld is not among it"
    client.cookies.clear()
    _, secret = make_token(services.workspace, "operator", "điện thoại", Scope.UPLOADS, None, "test")
    came = client.post("/api/arrival", json={"token": secret}).json()
    assert came["session"]["scope"] == "uploads" and came["lists"] is None, "it reaches no map"
    box = client.post("/api/arrival", json={"token": "box"}).json()
    assert box["lists"] is None and client.get("/api/flights").status_code == 403
    client.cookies.clear()
    refused = client.post("/api/arrival", json={"token": "wrong"})
    assert refused.status_code == 401 and "set-cookie" not in refused.headers
