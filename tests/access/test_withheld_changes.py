"""What was found on a flight that is withheld, or lies on ground that is, is neither told nor decided on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import shapely

from flycam.access.accounts import add_user
from flycam.access.policy import AccessPolicy, load_access_policy
from flycam.access.restrictions import set_flight_classification
from flycam.catalog.access import hash_token
from flycam.http.guards import Services
from flycam.model.access import Account, Role
from flycam.model.board import ChangeAction, ChangeStatus
from flycam.model.flight import Classification
from flycam.reports.briefing.contents import gather_contents
from flycam.storage.files import decompress_bounded
from flycam.sync.reference_feed import ReferenceKind, build_feed
from flycam.workspace import Workspace
from tests.change.impacted import changed, impacted_house, square
from tests.serve.running import running
from tests.serve.world import REAL, World, make_world

ON_OPEN, ON_WITHHELD, ON_PICTURE = (f"change-0000000{number}" for number in (1, 2, 3))
SCOPED = {"Authorization": "Bearer of-one-commune"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Confirmed changes found on an open flight, on one that is for analysts only, and on a picture."""
    made = make_world(tmp_path_factory.mktemp("withheld"))
    workspace = made.workspace
    shown = {
        one: f"{workspace.catalog.tiles.mosaics(one)[0].mosaic_id}@0" for one in (made.before, made.after)
    }
    accepted: dict[str, Any] = {"event_id": REAL, "status": ChangeStatus.ACCEPTED}
    before, after = shown[made.before], shown[made.after]
    workspace.catalog.changes.append(
        [
            changed(ON_OPEN, square(0, 0, 50), before_shown="2019.tif", after_shown=before, **accepted),
            changed(ON_WITHHELD, square(0, 0, 60), before_shown=before, after_shown=after, **accepted),
            changed(ON_PICTURE, square(0, 0, 70), before_shown="2019.tif", after_shown="x@1.tif", **accepted),
        ]
    )
    set_flight_classification(workspace, made.after, Classification.RESTRICTED, "Quản trị")
    return made


OPEN_TO_ALL = {ON_OPEN, ON_PICTURE}


def seen_by(workspace: Workspace, role: Role) -> AccessPolicy:
    return load_access_policy(workspace.catalog, Account(name="x", role=role, token_hash="x", created_ns=0))


def test_a_pack_for_a_viewer_is_without_it(world: World) -> None:
    scene = gather_contents(world.workspace, [world.before], seen_by(world.workspace, Role.VIEWER))
    assert {one.impact.line.change_id for one in scene.changes} == OPEN_TO_ALL


def test_a_box_is_given_nothing_of_it(world: World) -> None:
    commons = build_feed(world.workspace, seen_by(world.workspace, Role.BOX))
    given = [commons.payloads[one.sha256] for one in commons.items if one.kind is ReferenceKind.CHANGES]
    lines = [line for data in given for line in json.loads(decompress_bounded(data, 1 << 20))["lines"]]
    assert {line["change_id"] for line in lines} == OPEN_TO_ALL


# -- an analyst of one commune ----------------------------------------------------------------

HOME = "Nậm Lúc"
"""Lies south of 0.0008 degrees under the slide's corner, some 89 m."""


@pytest.fixture
def scoped(tmp_path: Path) -> Iterator[tuple[Workspace, httpx.Client]]:
    """A house with an analyst of one commune."""
    workspace = impacted_house(tmp_path)
    account, _ = add_user(workspace, "Xã", "analyst", HOME)
    workspace.catalog.accounts.put(replace(account, token_hash=hash_token("of-one-commune")))
    with running(Services(workspace=workspace)) as url, httpx.Client(base_url=url, timeout=60) as one:
        yield workspace, one


def rings(west_m: float, south_m: float, size_m: float) -> Any:
    return json.loads(shapely.to_geojson(square(west_m, south_m, size_m)))["coordinates"]


def test_an_outline_beyond_the_commune_is_refused_before_it_stands(
    scoped: tuple[Workspace, httpx.Client],
) -> None:
    workspace, client = scoped

    def step(number: int, **asked: Any) -> httpx.Response:
        return client.put(f"/api/changes/steps/step-d0{number:06}", json=asked, headers=SCOPED)

    draw = {"action": "draw", "event_id": "e1", "kind": "landslide"}
    drawn = step(1, **draw, outlines=[rings(0, -300, 50)])
    assert drawn.status_code == 200, drawn.text
    change_id = drawn.json()["features"][0]["id"]
    before = workspace.catalog.changes.current("e1")
    seen = {"changes": {change_id: 1}}
    refused = [
        step(2, **draw, outlines=[rings(0, 300, 50)]),
        step(3, action="redraw", **seen, outlines=[rings(0, 300, 50)]),
    ]
    for answer in refused:
        assert answer.status_code == 403, answer.text
        assert "địa bàn" in answer.json()["message"]
    assert workspace.catalog.changes.current("e1") == before
    over = step(5, action="redraw", **seen, outlines=[rings(0, -150, 120)])
    assert over.status_code == 200, "across the border is half its own"

    def undoable() -> list[str]:
        steps: list[str] = client.get("/api/changes/undoable?event=e1", headers=SCOPED).json()["steps"]
        return steps

    assert undoable() == ["step-d0000005"]
    undone = step(7, action="undo", undoes="step-d0000005")
    assert undone.status_code == 200, "what could be drawn can be taken back"
    (line,) = workspace.catalog.changes.step("step-d0000007")
    said = {"action": ChangeAction.ACCEPT, "step_id": "step-later", "author": line.author}
    workspace.catalog.changes.append(
        [changed("change-0000000c", square(0, 300, 50), at_ns=line.at_ns + 1, **said)]
    )
    assert undoable() == [], "it lies where they may not see any more"
