"""The places of a meeting are on the server: every presenter has the same list, and none undoes another's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from flycam.access.accounts import add_user
from flycam.catalog.access import hash_token
from flycam.http.guards import Services
from flycam.model.access import Role
from tests.serve.running import running
from tests.serve.world import REAL, World, add_account, make_world

ADDRESS = f"/api/meeting/places?event={REAL}"
BRIDGE = {"name": "Cầu sập", "view": {"map": "17/21.9/104.8"}, "bounds": [104.8, 21.9, 104.81, 21.91]}
SCHOOL = {"name": "Trường học", "view": {"rev": "1"}, "bounds": [104.5, 21.5, 104.51, 21.52]}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = make_world(tmp_path_factory.mktemp("world"))
    for name, role in (("Lan", Role.OPERATOR), ("Minh", Role.ANALYST), ("Hoa", Role.VIEWER)):
        add_account(made.workspace, name, role, f"{name}-token")
    return made


@pytest.fixture(scope="module")
def url(world: World) -> Iterator[str]:
    with running(Services(workspace=world.workspace, follow_s=3600.0)) as address:
        yield address


def put(url: str, who: str, based_on: int, *places: dict, event: str = REAL) -> httpx.Response:
    return httpx.put(
        f"{url}/api/meeting/places?event={event}",
        json={"based_on": based_on, "places": list(places)},
        headers={"Authorization": f"Bearer {who}-token"},
    )


def seen(url: str, who: str) -> dict:
    return httpx.get(f"{url}{ADDRESS}", headers={"Authorization": f"Bearer {who}-token"}).json()


def test_a_list_grows_by_whoever_may_present_and_everybody_sees_it(url: str, world: World) -> None:
    assert seen(url, "Hoa") == {"version": 0, "places": [], "author": None, "time": None}
    first = put(url, "Lan", 0, BRIDGE)
    assert first.status_code == 200
    assert (first.json()["version"], first.json()["author"]) == (1, "Lan")
    assert put(url, "Lan", 0, BRIDGE).json() == first.json(), "the same sent twice is written once"
    refused = put(url, "Minh", 0, SCHOOL)
    assert refused.status_code == 409
    second = put(url, "Minh", 1, SCHOOL, BRIDGE).json()
    assert seen(url, "Hoa") == second
    assert put(url, "Lan", 2, SCHOOL, BRIDGE).json() == second, "what is so already is not written anew"
    assert [one["name"] for one in second["places"]] == ["Trường học", "Cầu sập"]
    lines = [(one.who, one.detail) for one in world.workspace.catalog.audit.lines() if one.what == "places"]
    assert lines == [("Lan", "version 1: 1 places"), ("Minh", "version 2: 2 places")]


@pytest.mark.parametrize(
    ("place", "status"),
    [
        ({**BRIDGE, "name": " \u202e "}, 422),
        ({**BRIDGE, "name": "\u3164"}, 422),
        ({**BRIDGE, "bounds": [104.81, 21.9, 104.8, 21.91]}, 422),
        ({**BRIDGE, "view": {"<script>": "x"}}, 422),
    ],
)
def test_what_is_no_place_is_refused(url: str, place: dict, status: int) -> None:
    answer = put(url, "Lan", seen(url, "Lan")["version"], place)
    assert answer.status_code == status, answer.text
    assert answer.json()["message"]


def test_who_is_there_for_communes_sees_their_places_and_takes_no_other_off_the_list(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    add_account(world.workspace, "Lan", Role.OPERATOR, "Lan-token")
    account, _ = add_user(world.workspace, "xa", "operator", "Mường Đăng")
    world.workspace.catalog.accounts.put(replace(account, token_hash=hash_token("xa-token")))
    with running(Services(workspace=world.workspace)) as url:
        assert put(url, "Lan", 0, SCHOOL, BRIDGE).status_code == 200
        assert [one["name"] for one in seen(url, "xa")["places"]] == ["Cầu sập"]
        mine = {**BRIDGE, "name": "Cầu treo"}
        said = put(url, "xa", 1, mine)
        assert [one["name"] for one in said.json()["places"]] == ["Cầu treo"], "nor in the answer"
        assert [one["name"] for one in seen(url, "Lan")["places"]] == ["Cầu treo", "Trường học"]
        assert put(url, "xa", 2, mine).json() == said.json(), "the same again is no change"
