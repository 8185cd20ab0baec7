"""Who asks is looked at before what is sent is read, and what is sent is bounded."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.routing import APIRoute

from flycam.http.guards import GUARDS, GuardedRoute, Services
from flycam.http.protocol import MAX_BODY_BYTES, MAX_LARGE_BYTES, MAX_SIGN_IN_BYTES
from flycam.model.access import Role
from flycam.serve import app
from tests.serve.running import running
from tests.serve.world import add_account, make_workspace
from tests.waiting import ENOUGH_S, until

TOKENS = {Role.VIEWER: "Hoa-token", Role.ANALYST: "Lan-token"}
ROUTES = [one for room in app._ROUTERS for one in room.routes if isinstance(one, APIRoute)]
WITH_JSON = [one for one in ROUTES if one.body_field is not None]


def name_of(route: APIRoute) -> str:
    return f"{min(route.methods)} {route.path}"


def guards_of(route: APIRoute) -> list[object]:
    return [one.call for one in route.dependant.dependencies if one.call in GUARDS]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("routing")
    workspace = make_workspace(folder / "data")
    for role, token in TOKENS.items():
        add_account(workspace, token.partition("-")[0], role, token)
    with running(Services(workspace=workspace)) as address:
        yield address


def announced(url: str, request: str, size: int, *headers: str) -> bytes:
    """The status line where a body is announced and never sent."""
    host, port = url.removeprefix("http://").split(":")
    lines = (request, "Host: x", "Content-Type: application/json", f"Content-Length: {size}", *headers)
    with socket.create_connection((host, int(port)), timeout=ENOUGH_S) as line:
        line.sendall(("\r\n".join(f"{one}" for one in lines) + "\r\n\r\n").encode())
        return line.recv(4096).split(b"\r\n")[0]


@pytest.mark.parametrize("route", WITH_JSON, ids=name_of)
def test_every_json_body_is_read_behind_the_guards(route: APIRoute) -> None:
    assert isinstance(route, GuardedRoute)
    bound = (route.openapi_extra or {}).get("x-max-bytes", MAX_BODY_BYTES)
    assert bound <= (MAX_LARGE_BYTES if guards_of(route) else MAX_SIGN_IN_BYTES)


@pytest.mark.parametrize(
    "route",
    [one for one in WITH_JSON if guards_of(one)],
    ids=name_of,
)
def test_who_is_nobody_sends_no_body(url: str, route: APIRoute) -> None:
    path = route.path.replace("{", "").replace("}", "")
    assert b" 401 " in announced(url, f"{min(route.methods)} {path} HTTP/1.1", 1000)


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.BOX])
def test_who_is_shut_out_while_sending_is_not_taken_in(tmp_path: Path, role: Role) -> None:
    """Its last byte comes after its token was revoked."""
    workspace = make_workspace(tmp_path / "data")
    add_account(workspace, "Minh", role, "Minh-token")
    add_account(workspace, "Quản trị", Role.ADMIN, "admin-token")
    body = b"no step, no heads"
    head = "POST /api/uploads/0/heads HTTP/1.1\r\nContent-Type: application/vnd.flycam.heads"
    if role is Role.BOX:
        head = f"PUT /api/sync/steps/{hashlib.sha256(body).hexdigest()} HTTP/1.1\r\nUpload-Offset: 0"
        head += f"\r\nUpload-Length: {len(body)}"
    who = {"Authorization": "Bearer Minh-token"}
    with running(
        Services(workspace=workspace, sync_dir=tmp_path / "sync", uploads_dir=tmp_path / "up")
    ) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=ENOUGH_S) as line:
            head += f"\r\nHost: x\r\nAuthorization: Bearer Minh-token\r\nContent-Length: {len(body)}\r\n\r\n"
            line.sendall(head.encode() + body[:-1])
            until(lambda: httpx.get(f"{url}/api/session", headers=who).status_code in (200, 403))
            workspace.catalog.accounts.remove("Minh", "test", workspace.clock_ns())
            until(lambda: httpx.get(f"{url}/api/session", headers=who).status_code == 401)
            line.sendall(body[-1:])
            assert b" 401 " in line.recv(4096).split(b"\r\n")[0]


@pytest.mark.parametrize("path", ["/api/login", "/api/arrival", "/api/setup"])
def test_signing_in_takes_a_few_kilobytes(url: str, path: str) -> None:
    body = b'{"token": "' + b"x" * MAX_SIGN_IN_BYTES + b'"}'
    kind = {"Content-Type": "application/json"}
    assert httpx.post(f"{url}{path}", content=body, headers=kind).status_code == 413
    assert httpx.post(f"{url}{path}", content=iter([body]), headers=kind).status_code == 413
    assert b" 413 " in announced(url, f"POST {path} HTTP/1.1", 10**12)


@pytest.mark.parametrize("body", [b"[" * 200_000, b"[" + b"[]," * 80_000 + b"0]", b"9" * 200_000, b"{"])
def test_json_that_costs_more_than_it_says_is_refused(url: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKENS[Role.ANALYST]}"}
    said = httpx.put(f"{url}/api/changes/steps/0", content=body, headers=headers, timeout=ENOUGH_S)
    assert said.status_code in (400, 422)
    assert json.loads(said.content)["error"] in ("Http", "BadRequest")
