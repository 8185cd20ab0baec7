"""Retention over HTTP: administrators see what is due and confirm that very list; then it is gone."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from flycam.http.guards import Services
from flycam.model.access import RetainedKind, Role
from flycam.model.records import FrameStatus
from flycam.operations.retention import set_retention_term
from flycam.storage import keys
from tests.serve.running import running
from tests.serve.test_pixels import some_pixels
from tests.serve.world import REAL, World, add_account, make_workspace, make_world, ns

NOW_NS = ns("2024-12-01 03:00")
HOLD = "/api/retention/holds/hold-0000000a"
Ask = Callable[..., httpx.Response]


def copied(made: tuple[World, Path], to: Path) -> World:
    """A world again, three months after the storm."""
    world, root = made
    shutil.copytree(root, to)
    return replace(world, workspace=replace(make_workspace(to), clock_ns=lambda: NOW_NS))


@dataclass(frozen=True)
class Node:
    """ask: (role, method, path, …) of the server."""

    world: World
    ask: Ask

    def photos(self, flight_id: str) -> list[str]:
        frames = self.world.workspace.catalog.frames.list_for_flight(flight_id, FrameStatus.USED)
        return [one.header.provenance.source_sha256 for one in frames]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Path]:
    """A world to be copied, and its folder."""
    root = tmp_path_factory.mktemp("retention") / "world"
    return make_world(root), root


@pytest.fixture
def node(made: tuple[World, Path], tmp_path: Path) -> Iterator[Node]:
    world = copied(made, tmp_path / "house")
    for role in (Role.VIEWER, Role.OPERATOR, Role.ANALYST, Role.ADMIN):
        add_account(world.workspace, role.value, role, role.value)
    with (
        running(Services(workspace=world.workspace)) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):

        def ask(role: Role, method: str, path: str, **more: object) -> httpx.Response:
            headers = {"Authorization": f"Bearer {role.value}"}
            return client.request(method, path, headers=headers, **more)  # type: ignore[arg-type]

        yield Node(world, ask)


def test_what_is_due_is_seen_confirmed_and_gone(node: Node) -> None:
    ask, world = node.ask, node.world
    listing = ask(Role.ADMIN, "GET", "/api/retention").json()
    assert listing["terms"] == listing["holds"] == listing["due"]["groups"] == []
    term = {"kind": "photo", "days": 60}
    terms = ask(Role.ADMIN, "PUT", "/api/retention/terms", json=term).json()
    assert [(one["kind"], one["days"], one["event"], one["by"]) for one in terms] == [
        ("photo", 60, None, "admin")
    ]
    due = ask(Role.ADMIN, "GET", "/api/retention").json()["due"]
    assert (due["originals"], due["begun"]) == (12, 0)
    assert {one["flight"] for one in due["groups"]} == {
        "Thung lũng Nậm Lúc – trước bão",
        "Thung lũng Nậm Lúc – sau bão",
    }, "the drill's 60 days are not over"
    held = ask(Role.ADMIN, "PUT", HOLD, json={"subject": world.before, "reason": "vụ án"})
    assert held.status_code == 200 and held.json()["name"] == "Thung lũng Nậm Lúc – trước bão"
    stale = ask(Role.ADMIN, "PUT", "/api/retention/confirmed", json={"digest": due["digest"]})
    assert stale.status_code == 409
    now = ask(Role.ADMIN, "GET", "/api/retention").json()
    assert [one["hold_id"] for one in now["holds"]] == ["hold-0000000a"]
    done = ask(Role.ADMIN, "PUT", "/api/retention/confirmed", json={"digest": now["due"]["digest"]}).json()
    assert (done["confirmed"], done["let_go"], done["waiting"]) == (6, 6, []) and done["bytes"] > 0
    for sha256 in node.photos(world.after):
        assert not world.workspace.store.exists(keys.format_original_key(sha256))
        for door in (f"/api/evidence/{sha256}", f"/api/evidence/{sha256}/preview"):
            gone = ask(Role.OPERATOR, "GET", door, params={"lang": "vi"})
            assert gone.status_code == 410
            assert "01/12/2024" in gone.json()["message"] and "admin (test-box)" in gone.json()["message"]
    for sha256 in node.photos(world.before):
        assert ask(Role.OPERATOR, "GET", f"/api/evidence/{sha256}").status_code == 200
    released = ask(Role.ADMIN, "DELETE", HOLD, params={"reason": "xong"}).json()
    assert (released["step"], released["reason"]) == ("released", "xong")
    assert ask(Role.ADMIN, "DELETE", HOLD, params={"reason": "xong"}).status_code == 404


def test_a_pixels_card_says_that_its_photo_was_let_go_and_the_map_stays(node: Node) -> None:
    world = node.world
    lon, lat, _ = next(one for one in some_pixels(world, world.after) if one[2])
    query: dict[str, str | float] = {"flight": world.after, "lon": lon, "lat": lat}
    before = node.ask(Role.VIEWER, "GET", "/api/pixel", params=query).json()
    assert before["let_go"] is None
    set_retention_term(world.workspace, RetainedKind.PHOTO, 60, "Lan", REAL)
    digest = node.ask(Role.ADMIN, "GET", "/api/retention").json()["due"]["digest"]
    node.ask(Role.ADMIN, "PUT", "/api/retention/confirmed", json={"digest": digest})
    after = node.ask(Role.VIEWER, "GET", "/api/pixel", params=query).json()
    assert after["let_go"] == {"at": "2024-12-01T03:00:00.000Z", "by": "admin", "box": "test-box"}
    assert {**after, "let_go": None} == before, "all else of its record stays"
    heads = world.workspace.catalog.tiles.heads(f"{world.after}-colour", 0)
    assert heads and all(world.workspace.store.exists(head.key) for head in heads)


def test_an_event_goes_back_to_the_houses_term(node: Node) -> None:
    ask = node.ask
    own = {"kind": "photo", "days": None, "event": REAL}
    (term,) = ask(Role.ADMIN, "PUT", "/api/retention/terms", json=own).json()
    assert (term["event_id"], term["event"], term["days"]) == (REAL, "Bão số 3 (Yagi)", None)
    assert ask(Role.ADMIN, "PUT", "/api/retention/terms", json={**own, "as_house": True}).json() == []
    for bad in ({"kind": "boredom", "days": 1}, {"kind": "photo", "days": 0}, {"kind": "photo"}):
        assert ask(Role.ADMIN, "PUT", "/api/retention/terms", json=bad).status_code == 422


def test_who_came_in_without_an_account_confirms_nothing(made: tuple[World, Path], tmp_path: Path) -> None:
    world = copied(made, tmp_path / "house")
    set_retention_term(world.workspace, RetainedKind.PHOTO, 1, "Lan")
    with (
        running(Services(workspace=world.workspace)) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        due = client.get("/api/retention").json()["due"]
        assert due["originals"] == 18
        said = client.put("/api/retention/confirmed", json={"digest": due["digest"]})
        assert said.status_code == 403
        assert client.get("/api/retention").json()["due"] == due
