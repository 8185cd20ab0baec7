"""Changes over the API: analysts decide, everybody else sees what was confirmed, screens hear of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from flycam.http.guards import Services
from flycam.model.access import ACCOUNT_ROLES, Role
from flycam.model.board import ChangeStatus
from flycam.model.flight import Event, EventKind
from flycam.workspace import Workspace
from tests.serve.running import running
from tests.serve.world import LAT, LON, add_account, add_communes, make_workspace
from tests.suites.change_suite import FOUND
from tests.suites.comparison_suite import COMPARED, WINDOWS

STEP = "/api/changes/steps/step-0123456789abcdef"
OUTLINE = [[[[LON, LAT], [LON + 0.001, LAT], [LON + 0.001, LAT + 0.001], [LON, LAT]]]]
ACCEPT: dict[str, Any] = {"action": "accept", "changes": {FOUND.change_id: 1}}
DRAW: dict[str, Any] = {"action": "draw", "event_id": "e1", "kind": "landslide", "outlines": [OUTLINE]}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    one = make_workspace(tmp_path / "house")
    add_communes(one)
    for event_id in ("e1", "e2"):
        one.catalog.flights.put_event(
            Event(event_id=event_id, name=f"Bão {event_id}", kind=EventKind.STORM, is_drill=False)
        )
    for role in ACCOUNT_ROLES:
        add_account(one, role.value, role, f"{role.value}-token")
    other = replace(FOUND, change_id="change-00000002", score=0.2)
    rejected = replace(FOUND, change_id="change-00000003", status=ChangeStatus.REJECTED)
    one.catalog.changes.append([FOUND, other, rejected])
    return one


@pytest.fixture
def client(workspace: Workspace) -> Iterator[httpx.Client]:
    with running(Services(workspace=workspace, follow_s=0.1)) as url, httpx.Client(base_url=url) as one:
        yield one


def test_the_windows_of_a_change_are_for_analysts_and_of_its_own_pictures(
    workspace: Workspace, client: httpx.Client
) -> None:
    path = f"/api/changes/{FOUND.change_id}/registration"
    assert client.get(path, headers=by(Role.ANALYST)).json()["features"] == [], "they were not kept"
    elsewhere = replace(COMPARED, comparison_id="compared-2", after_shown="m9@1")
    workspace.catalog.comparisons.add([COMPARED], WINDOWS)
    workspace.catalog.comparisons.add([elsewhere], WINDOWS[:1])
    answer = client.get(path, headers=by(Role.ANALYST)).json()
    assert [one["properties"] for one in answer["features"]] == [
        {"state": "agreed", "residual_m": 0.125},
        {"state": "not found", "residual_m": None},
    ]
    assert answer["features"][0]["geometry"]["coordinates"] == [104.8, 21.9]
    assert client.get(path, headers=by(Role.VIEWER)).status_code == 403
    assert client.get(path.replace("01/", "09/"), headers=by(Role.ANALYST)).status_code == 404


def by(role: Role) -> dict[str, str]:
    return {"Authorization": f"Bearer {role.value}-token"}


ANALYST, VIEWER = by(Role.ANALYST), by(Role.VIEWER)


def listed(client: httpx.Client, headers: dict[str, str], query: str = "event=e1") -> dict[str, str]:
    features = client.get(f"/api/changes?{query}", headers=headers).json()["features"]
    return {one["id"]: one["properties"]["status"] for one in features}


def test_analysts_see_all_and_everybody_else_what_was_confirmed(client: httpx.Client) -> None:
    assert client.get(f"/api/changes/{FOUND.change_id}", headers=ANALYST).status_code == 200
    assert client.get(f"/api/changes/{FOUND.change_id}", headers=VIEWER).status_code == 403
    assert (len(listed(client, ANALYST)), listed(client, VIEWER)) == (3, {})
    client.put(STEP, json=ACCEPT, headers=ANALYST)
    assert listed(client, VIEWER) == {FOUND.change_id: "accepted"}
    assert listed(client, VIEWER, "event=e1&status=rejected") == {}
    assert listed(client, ANALYST, "event=e1&status=rejected") == {"change-00000003": "rejected"}


def test_analysts_are_told_over_which_pictures_they_may_draw(
    workspace: Workspace, client: httpx.Client
) -> None:
    """As the decision itself has it: those of the event, and files that changes of it were looked for on."""
    workspace.catalog.changes.append([replace(FOUND, change_id="change-00000009", before_shown="truoc.tif")])
    path = f"/api/changes/pictures?event={FOUND.event_id}"
    assert client.get(path, headers=by(Role.ANALYST)).json() == {"pictures": ["truoc.tif"]}
    assert client.get(path, headers=by(Role.VIEWER)).status_code == 403


def test_a_decision_its_undoing_and_its_history(client: httpx.Client) -> None:
    (made,) = client.put(STEP, json={**ACCEPT, "note": "rõ"}, headers=ANALYST).json()["features"]
    assert (made["properties"]["version"], made["properties"]["author"]) == (2, "analyst")
    assert client.put(STEP, json={**ACCEPT, "note": "rõ"}, headers=ANALYST).json()["features"] == [made]
    late = client.put(f"{STEP[:-1]}0", json=ACCEPT, headers=by(Role.ADMIN))
    assert late.status_code == 409
    undo = {"action": "undo", "undoes": STEP.rpartition("/")[2]}
    assert client.put(f"{STEP[:-1]}1", json=undo, headers=ANALYST).status_code == 200
    lines = client.get(f"/api/changes/{FOUND.change_id}", headers=ANALYST).json()["features"]
    read_properties = [(one["properties"]["action"], one["properties"]["status"]) for one in lines]
    assert read_properties == [("found", "proposed"), ("accept", "accepted"), ("undo", "proposed")]
    assert listed(client, VIEWER) == {}


def test_who_decided_is_told_whoever_commented_later(client: httpx.Client) -> None:
    def read_properties() -> tuple[str | None, ...]:
        (one,) = client.get("/api/changes?event=e1", headers=VIEWER).json()["features"]
        return tuple(one["properties"][name] for name in ("decided_by", "note", "note_by", "author"))

    (made,) = client.put(STEP, json={**ACCEPT, "note": "rõ"}, headers=ANALYST).json()["features"]
    decided = made["properties"]["decided"]
    comment = {"action": "comment", "changes": {FOUND.change_id: 2}, "note": "xem lại?"}
    client.put(f"{STEP[:-1]}0", json=comment, headers=by(Role.ADMIN))
    assert read_properties() == ("analyst", "xem lại?", "admin", "admin")
    undo = {"action": "undo", "undoes": f"{STEP[:-1]}0".rpartition("/")[2]}
    client.put(f"{STEP[:-1]}1", json=undo, headers=by(Role.ADMIN))
    assert read_properties() == ("analyst", "rõ", "analyst", "admin")
    lines = client.get(f"/api/changes/{FOUND.change_id}", headers=ANALYST).json()["features"]
    assert [one["properties"]["decided"] for one in lines] == [None, decided, decided, decided]
    assert [one["properties"]["author"] for one in lines] == ["Lan", "analyst", "admin", "admin"]


def test_changes_are_told_as_they_stood_at_an_earlier_time(client: httpx.Client) -> None:
    client.put(STEP, json=ACCEPT, headers=ANALYST)
    assert listed(client, VIEWER, "event=e1&until=2124-01-01T00:00") == {FOUND.change_id: "accepted"}
    assert listed(client, VIEWER, "event=e1&until=1970-01-01T08:00") == {}
    assert listed(client, ANALYST, "event=e1&until=1970-01-01T08:00")[FOUND.change_id] == "proposed"
    assert client.get("/api/changes?event=e1&until=9999-01-01", headers=VIEWER).status_code == 422


@pytest.mark.parametrize(
    "wrong",
    [
        {"action": "bomb"},
        {"changes": {}},
        {"changes": {FOUND.change_id: "x"}},
        {"outlines": [OUTLINE]},
        {"action": "redraw", "outlines": [[[[[LON]] * 3]]]},
    ],
)
def test_what_cannot_be_is_refused(client: httpx.Client, wrong: dict[str, Any]) -> None:
    answer = client.put(STEP, json={**ACCEPT, **wrong}, headers=ANALYST)
    assert answer.status_code == 422
    assert answer.json()["message"]
    assert listed(client, VIEWER) == {}


def test_a_decision_reaches_other_screens_and_the_board(client: httpx.Client) -> None:
    with client.stream("GET", "/events", headers=VIEWER, timeout=60) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("retry")
        client.put(STEP, json=DRAW, headers=ANALYST)
        assert any(line == "event: changes" for line in lines)
    rows = client.get("/api/board?event=e1", headers=VIEWER).json()["communes"]
    assert 1 in [row["changes"] for row in rows]
    assert None in [row["changes"] for row in rows]


def test_everybody_may_take_away_what_was_confirmed(client: httpx.Client) -> None:
    client.put(STEP, json=DRAW, headers=ANALYST)
    answer = client.get("/api/changes/export?event=e1&format=csv", headers=VIEWER)
    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == 'attachment; filename="changes.csv"'
    assert answer.content
    assert client.get("/api/changes/export?event=e1&format=exe", headers=VIEWER).status_code == 422


def test_ones_own_last_decision_can_be_undone_from_a_page_that_was_loaded_again(client: httpx.Client) -> None:
    path = "/api/changes/undoable?event=e1"
    client.put(STEP, json=ACCEPT, headers=ANALYST)
    step_id = STEP.rpartition("/")[2]
    assert client.get(path, headers=ANALYST).json() == {"steps": [step_id]}
    assert client.get(path, headers=by(Role.ADMIN)).json() == {"steps": []}, "it is somebody else's"
    assert client.get(path.replace("e1", "e2"), headers=ANALYST).json() == {"steps": []}
    assert client.get(path, headers=VIEWER).status_code == 403
    client.put(f"{STEP[:-1]}1", json={"action": "undo", "undoes": step_id}, headers=ANALYST)
    assert client.get(path, headers=ANALYST).json() == {"steps": []}
