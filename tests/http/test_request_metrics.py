"""What is seen of requests: figures by address, and a line for each that holds nothing that opens a door."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import pytest

from flycam.access.accounts import invite_guest, make_sign_in_code
from flycam.http.guards import GUEST_COOKIE, Services
from flycam.http.protocol import RequestLog
from flycam.model.access import Role
from tests.serve.running import running
from tests.serve.world import World, add_account, make_world
from tests.waiting import until

TOKEN = "a-token-that-nobody-may-read"
BY = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = make_world(tmp_path_factory.mktemp("watched"))
    add_account(made.workspace, "Lan", Role.OPERATOR, TOKEN)
    return made


def lines_of(path: Path, count: int) -> list[dict[str, object]]:
    """Once so many are written: they come behind the answers."""
    until(lambda: path.read_text(encoding="utf-8").count("\n") >= count, lambda: path.read_text("utf-8"))
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_line_tells_who_asked_for_what_and_how_it_ended(world: World, tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    log = RequestLog(str(path))
    tile = f"/tiles/{world.after}-colour/18/1/1"
    with running(Services(workspace=world.workspace, request_log=log)) as url:
        for asked in ("/api/flights?event=evt-yagi", f"/api/flights/{world.after}", tile):
            httpx.get(f"{url}{asked}", headers=BY)
        httpx.get(f"{url}/api/flights")
        httpx.get(f"{url}/no/such/page")
        httpx.post(f"{url}/api/login", json={"token": TOKEN})
        lines = lines_of(path, 6)
    log.close()
    said = [(one["method"], one["address"], one["status"], one["account"]) for one in lines]
    assert said == [
        ("GET", "/api/flights", 200, "Lan"),
        ("GET", "/api/flights/{ref}", 200, "Lan"),
        ("GET", "/tiles/{mosaic}/{z}/{x}/{y}", 200, "Lan"),
        ("GET", "/api/flights", 401, None),
        ("GET", "/{file}", 404, None),
        ("POST", "/api/login", 200, "Lan"),
    ]
    for one in lines:
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(one["time"]))
        assert isinstance(one["ms"], float) and one["ms"] > 0.0
        assert one["from"] == "127.0.0.1"
    assert lines[1]["bytes"] != 0


def test_nothing_that_opens_a_door_is_written(world: World, tmp_path: Path) -> None:
    """Wherever somebody may put it: in a header, a body, a path, a query, where it belongs and where not."""
    path = tmp_path / "requests.jsonl"
    log = RequestLog(str(path))
    workspace = world.workspace
    _, secret = invite_guest(workspace, 6.0, None, "Lan")
    code = make_sign_in_code(workspace, "Lan", "test")
    with running(Services(workspace=workspace, request_log=log)) as url:
        link = httpx.post(f"{url}/guest/{secret}")
        httpx.get(f"{url}/api/session", headers={"Cookie": f"{GUEST_COOKIE}={secret}"})
        entered = httpx.post(f"{url}/api/login", json={"token": code})
        cookie = entered.headers["set-cookie"].split("=", 1)[1].split(";")[0]
        httpx.get(f"{url}/api/session", headers={"Cookie": f"flycam={cookie}"})
        httpx.post(f"{url}/login/{TOKEN}")
        httpx.get(f"{url}/{TOKEN}?token={TOKEN}", headers=BY)
        httpx.get(f"{url}/tiles/{TOKEN}/1/0/0?token={TOKEN}", headers=BY)
        lines = lines_of(path, 7)
    log.close()
    assert link.status_code == 303 and entered.status_code == 200
    text = path.read_text(encoding="utf-8")
    for word in (TOKEN, secret, code, cookie):
        assert word not in text
    assert {"/guest/{secret}", "/login/{code}"} <= {str(one["address"]) for one in lines}
