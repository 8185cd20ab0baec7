"""Marks over the API: who may write, that nothing is overwritten, and what screens hear."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from flycam.catalog.access import hash_token
from flycam.http.guards import Services
from flycam.model.access import ACCOUNT_ROLES, Role
from flycam.model.flight import Event, EventKind
from flycam.workspace import Workspace
from tests.serve.running import running
from tests.serve.world import LAT, LON, add_account, add_communes, make_workspace

MARK = "/api/marks/mark-0123456789abcdef"
BODY: dict[str, Any] = {
    "based_on": 0,
    "event_id": "e1",
    "kind": "rescue",
    "note": "<script>alert(1)</script>",
    "places": [[LON, LAT]],
}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    one = make_workspace(tmp_path / "house")
    add_communes(one)
    for event_id, kind in (("e1", EventKind.STORM), ("e2", EventKind.DRILL)):
        is_drill = kind is EventKind.DRILL
        one.catalog.flights.put_event(Event(event_id=event_id, name=event_id, kind=kind, is_drill=is_drill))
    for role in ACCOUNT_ROLES:
        add_account(one, role.value, role, f"{role.value}-token")
    return one


@pytest.fixture
def client(workspace: Workspace) -> Iterator[httpx.Client]:
    with running(Services(workspace=workspace, follow_s=0.1)) as url, httpx.Client(base_url=url) as one:
        yield one


PEOPLE = [role for role in ACCOUNT_ROLES if role is not Role.BOX]


def by(role: Role) -> dict[str, str]:
    return {"Authorization": f"Bearer {role.value}-token"}


OPERATOR, VIEWER = by(Role.OPERATOR), by(Role.VIEWER)


def photo() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (640, 480)).save(out, "JPEG")
    return out.getvalue()


def test_a_mark_its_change_and_its_history(client: httpx.Client) -> None:
    made = client.put(MARK, json=BODY, headers=OPERATOR).json()
    assert made["geometry"] == {"type": "Point", "coordinates": [LON, LAT]}
    changed = client.put(MARK, json={**BODY, "based_on": 1, "status": "doing"}, headers=by(Role.ANALYST))
    assert changed.json()["properties"]["version"] == 2
    lines = client.get(MARK, headers=VIEWER).json()["features"]
    said = [(one["properties"]["author"], one["properties"]["status"]) for one in lines]
    assert said == [("operator", "open"), ("analyst", "doing")]
    assert lines[0]["properties"]["note"] == BODY["note"]
    assert lines[0]["properties"]["vn2000"]["crs"] == "EPSG:9208"
    late = client.put(MARK, json={**BODY, "based_on": 1, "status": "done"}, headers=OPERATOR)
    assert late.status_code == 409


def test_a_photo_is_shown_as_kept_and_a_removed_mark_only_to_who_asks(client: httpx.Client) -> None:
    client.put(MARK, json=BODY, headers=OPERATOR)
    assert client.get(f"{MARK}/photo", headers=VIEWER).status_code == 404
    client.put(f"{MARK}/photo?based_on=1", content=photo() + b"<script>", headers=OPERATOR)
    shown = client.get(f"{MARK}/photo", headers=VIEWER)
    assert (shown.headers["content-type"], shown.headers["x-content-type-options"]) == (
        "image/jpeg",
        "nosniff",
    )
    assert b"script" not in shown.content
    assert client.get(f"{MARK}/photo?version=1", headers=VIEWER).status_code == 404
    client.put(MARK, json={**BODY, "based_on": 2, "status": "removed"}, headers=OPERATOR)
    assert client.get("/api/marks", headers=VIEWER).json()["features"] == []
    assert len(client.get("/api/marks?removed=true", headers=VIEWER).json()["features"]) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "bomb"},
        {"places": [["x", 1]]},
        {"places": [[LON, 91]]},
        {"based_on": -1},
    ],
)
def test_what_cannot_be_is_refused(client: httpx.Client, wrong: dict[str, Any]) -> None:
    answer = client.put(MARK, json={**BODY, **wrong}, headers=OPERATOR)
    assert answer.status_code == 422
    assert answer.json()["message"]
    assert client.get("/api/marks", headers=VIEWER).json()["features"] == []


def test_other_ids_photos_and_events_are_refused(client: httpx.Client) -> None:
    assert client.put("/api/marks/mark-..%2Fx", json=BODY, headers=OPERATOR).status_code in (404, 405, 422)
    assert client.put("/api/marks/x", json=BODY, headers=OPERATOR).status_code == 422
    assert client.put(MARK, json={**BODY, "event_id": "e9"}, headers=OPERATOR).status_code == 404
    assert client.put(f"{MARK}/photo?based_on=1", content=photo(), headers=OPERATOR).status_code == 404
    client.put(MARK, json=BODY, headers=OPERATOR)
    assert client.put(f"{MARK}/photo?based_on=1", content=b"<svg/>", headers=OPERATOR).status_code == 422
    large = bytes((4 << 20) + 1)
    assert client.put(f"{MARK}/photo?based_on=1", content=large, headers=OPERATOR).status_code == 413
    assert len(client.get(MARK, headers=VIEWER).json()["features"]) == 1


def test_no_other_site_can_write_through_a_browser(client: httpx.Client) -> None:
    """A cookie goes with no request of another site (SameSite), and a form or a simple request is no PUT."""
    client.post("/api/login", json={"token": "operator-token"})
    assert client.post(MARK, json=BODY).status_code == 405
    query = {"Origin": "https://evil.vn", "Access-Control-Request-Method": "PUT"}
    preflight = client.options(MARK, headers=query)
    assert preflight.status_code == 405
    assert "access-control-allow-origin" not in preflight.headers


def test_a_mark_reaches_other_screens_at_once(client: httpx.Client) -> None:
    with client.stream("GET", "/events", headers=VIEWER, timeout=60) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("retry")
        client.put(MARK, json=BODY, headers=OPERATOR)
        assert any(line == "event: marks" for line in lines)


@pytest.fixture
def scoped(workspace: Workspace) -> dict[str, str]:
    """Headers of an operator who is there for the commune around LON, LAT alone."""
    (own,) = workspace.catalog.boundaries.communes(bounds=(LON, LAT, LON, LAT))
    account = next(one for one in workspace.catalog.accounts.all() if one.name == Role.OPERATOR.value)
    workspace.catalog.accounts.put(
        replace(account, name="xã", token_hash=hash_token("xa-token"), communes=(own.code,))
    )
    return {"Authorization": "Bearer xa-token"}


def test_a_mark_tells_those_of_a_commune_nothing_of_where_it_lay_beyond(
    client: httpx.Client, scoped: dict[str, str]
) -> None:
    beyond = BODY | {"places": [[LON + 1.0, LAT]], "note": "bí mật"}
    assert client.put(MARK, json=beyond, headers=OPERATOR).status_code == 200
    assert client.get(MARK, headers=scoped).status_code == 404
    assert client.put(MARK, json=BODY | {"based_on": 1}, headers=OPERATOR).status_code == 200
    (line,) = client.get(MARK, headers=scoped).json()["features"]
    assert line["properties"]["version"] == 2 and line["geometry"]["coordinates"] == [LON, LAT]
    assert len(client.get(MARK, headers=OPERATOR).json()["features"]) == 2
