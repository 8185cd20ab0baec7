"""The first administrator's set-up code, codes that let in once, and tokens: who may make and end them, what
each scope reaches, and what all of it leaves in the audit log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from flycam.access.accounts import (
    SETUP_CODE_TTL_MIN,
    make_first_administrator,
    make_setup_code,
    make_token,
)
from flycam.catalog.access import Person, hash_token
from flycam.errors import AccessDenied
from flycam.http.guards import Services
from flycam.model.access import Role, Scope
from flycam.serve.limits import MAX_FAILURES_PER_ADDRESS
from tests.serve.running import running
from tests.serve.world import add_account, make_workspace
from tests.waiting import until

PEOPLE = (Role.VIEWER, Role.OPERATOR, Role.ANALYST, Role.ADMIN)
WRONG = "0000-0000-0000"


@pytest.fixture
def services(tmp_path: Path) -> Services:
    """A house with an account of each role, whose token is called as it is."""
    workspace = make_workspace(tmp_path)
    for role in (Role.BOX, *PEOPLE):
        add_account(workspace, role.value, role, role.value)
    return Services(
        workspace=workspace, uploads_dir=tmp_path / "uploads", sync_dir=tmp_path / "arriving", follow_s=0.2
    )


@pytest.fixture
def client(services: Services) -> Iterator[httpx.Client]:
    with running(services) as url, httpx.Client(base_url=url, timeout=60) as one:
        yield one


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[tuple[Services, httpx.Client]]:
    """A house that others reach and that has no account yet."""
    services = Services(workspace=make_workspace(tmp_path), bound_to_loopback=False)
    with running(services) as url, httpx.Client(base_url=url, timeout=60) as one:
        yield services, one


def by(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def audit(services: Services) -> list[tuple[str, str]]:
    return [(one.who, one.what) for one in services.workspace.catalog.audit.lines(limit=10_000)]


# -- the first start ---------------------------------------------------------------------------------


def test_the_code_that_was_printed_makes_the_first_administrator_once(
    empty: tuple[Services, httpx.Client],
) -> None:
    services, client = empty
    code = make_setup_code(services.workspace)
    assert client.get("/api/sign-in").json() == {"openid": False, "setup": True}
    assert client.get("/api/session").status_code == 401, "nobody is let in before"
    assert client.post("/api/setup", json={"code": code, "name": "  "}).status_code == 422
    marked = client.post("/api/setup", json={"code": code, "name": "<b>Lan</b>"})
    assert marked.status_code == 422 and "không có < và >" in marked.json()["message"]
    wrong = client.post("/api/setup", json={"code": WRONG, "name": "Lan"})
    assert wrong.status_code == 403
    as_typed = code.replace("-", " ").lower().replace("0", "o").replace("1", "l")
    made = client.post("/api/setup", json={"code": as_typed, "name": " Lan "})
    assert made.json()["account"] == {"name": "Lan", "role": "admin"}
    assert client.get("/api/session").json()["account"] == {"name": "Lan", "role": "admin"}, "let in"
    client.cookies.clear()
    assert client.get("/api/session", headers=by(made.json()["token"])).status_code == 200
    again = client.post("/api/setup?lang=en", json={"code": code, "name": "Tú"})
    assert again.status_code == 403
    assert client.get("/api/sign-in").json() == {"openid": False, "setup": False}
    assert [one.name for one in services.workspace.catalog.accounts.all()] == ["Lan"]
    assert audit(services) == [("Lan", "user add"), ("Lan", "login by set-up code")]


def test_whoever_guesses_the_set_up_code_waits_right_or_not(empty: tuple[Services, httpx.Client]) -> None:
    services, client = empty
    code = make_setup_code(services.workspace)
    for _ in range(MAX_FAILURES_PER_ADDRESS):
        assert client.post("/api/setup", json={"code": WRONG, "name": "x"}).status_code == 403
    shut = client.post("/api/setup", json={"code": code, "name": "Lan"})
    assert shut.status_code == 429 and int(shut.headers["retry-after"]) > 0
    assert services.workspace.catalog.accounts.all() == []


def test_no_code_is_kept_as_it_is(empty: tuple[Services, httpx.Client], tmp_path: Path) -> None:
    workspace = empty[0].workspace
    code = make_setup_code(workspace)
    kept = b"".join(one.read_bytes() for one in tmp_path.rglob("*") if one.is_file())
    assert hash_token(code.replace("-", "")).encode() in kept
    assert code.encode() not in kept and code.replace("-", "").encode() not in kept
    assert (workspace.cache_dir / "setup.code").stat().st_mode & 0o077 == 0
    assert workspace.catalog.is_empty(), "a house that was only started may be restored into"


def test_a_set_up_code_ends_by_itself_and_with_the_file_that_keeps_it(tmp_path: Path) -> None:
    now = [time.time_ns()]
    workspace = replace(make_workspace(tmp_path), clock_ns=lambda: now[0])
    with pytest.raises(AccessDenied, match="wrong"):
        make_first_administrator(workspace, WRONG, "Lan")
    code = make_setup_code(workspace)
    now[0] += SETUP_CODE_TTL_MIN * 60 * 10**9
    with pytest.raises(AccessDenied, match="expired"):
        make_first_administrator(workspace, code, "Lan")
    code = make_setup_code(workspace)
    (workspace.cache_dir / "setup.code").write_bytes(b"")  # as a power cut leaves it
    with pytest.raises(AccessDenied, match="wrong"):
        make_first_administrator(workspace, code, "Lan")
    assert make_first_administrator(workspace, make_setup_code(workspace), "Lan")[0].role is Role.ADMIN
    with pytest.raises(AccessDenied, match="an account already"):
        make_setup_code(workspace)


# -- codes ---------------------------------------------------------------------------------------------


def test_a_code_signs_in_once(client: httpx.Client, services: Services) -> None:
    made = client.post("/api/codes", json={"account": "viewer"}, headers=by("admin")).json()
    assert made["account"] == "viewer" and made["seconds"] == 900
    assert client.post("/api/login", json={"token": made["code"].lower()}).status_code == 200
    assert client.get("/api/session").json()["account"]["name"] == "viewer"
    again = client.post("/api/login", json={"token": made["code"]})
    assert again.status_code == 403 and "đã được dùng" in again.json()["message"]
    assert audit(services) == [("admin", "sign-in code"), ("viewer", "login by code")]


# -- tokens --------------------------------------------------------------------------------------------


def test_what_a_stolen_token_let_in_is_told_and_ends_with_it(
    client: httpx.Client, services: Services
) -> None:
    """A thief has an administrator's token, and makes of it all that lasts: for others, in turn, by way of
    sessions, codes and links. The administrator then ends that one token."""
    stolen, secret = make_token(services.workspace, "admin", "máy tính bị mất", Scope.ALL, None, "test")

    def made(path: str, body: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
        answer = client.post(path, json=body, headers=headers)
        answer.raise_for_status()
        return answer.json()

    def entered(path: str, body: dict[str, Any] | None = None) -> dict[str, str]:
        """Headers of the session that a form, or a link, gives."""
        with httpx.Client(base_url=str(client.base_url)) as browser:
            answer = browser.post(path, json=body)
            assert answer.status_code in (200, 303), answer.text
            return {"Cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items())}

    thief = by(secret)
    first = made("/api/tokens", {"label": "t1", "account": "analyst"}, thief)
    second = made("/api/tokens", {"label": "t2"}, by(first["token"]))
    own = entered("/api/login", {"token": secret})
    by_code = entered("/api/login", {"token": made("/api/codes", {"account": "operator"}, own)["code"]})
    by_link = entered(made("/api/login-links", {"name": "admin"}, thief)["path"])
    linked = entered(made("/api/login-links", {"name": "viewer"}, by_link)["path"])
    third = made("/api/tokens", {"label": "t3"}, by_code)
    guest = made("/api/guests", {"hours": 1}, by_code)
    looked = entered(guest["path"])
    code = made("/api/codes", {"account": "viewer"}, thief)["code"]
    link = made("/api/login-links", {"name": "viewer"}, thief)["path"]
    honest = made("/api/tokens", {"label": "GIS"}, by("analyst"))
    inside = [by(one["token"]) for one in (first, second, third)] + [own, by_code, by_link, linked, looked]
    assert [client.get("/api/session", headers=one).status_code for one in inside] == [200] * 8

    answer = client.get("/api/tokens", headers=by("admin"))
    assert first["token"] not in answer.text, "a token is told once"
    listed = {one["token_id"]: one for one in answer.json()}
    ends = {
        "tokens": [first["token_id"], second["token_id"], third["token_id"]],
        "guests": [guest["guest_id"]],
    }
    told = listed[stolen.token_id]["ends_with_it"]
    assert {key: sorted(told[key]) for key in told} == {key: sorted(ends[key]) for key in ends}
    assert listed[first["token_id"]]["ends_with_it"]["tokens"] == [second["token_id"]]
    assert listed[second["token_id"]]["made_with"] == first["token_id"]
    assert listed[honest["token_id"]]["made_with"] not in (None, stolen.token_id)

    answer = client.delete(f"/api/tokens/{stolen.token_id}", headers=by("admin")).json()
    assert answer["ends_with_it"] == told
    until(lambda: {client.get("/api/session", headers=one).status_code for one in inside} == {401})
    assert client.post("/api/login", json={"token": code}).status_code == 403
    assert client.post(link).status_code == 401
    for one in ("admin", "analyst", "operator", "viewer", honest["token"]):
        assert client.get("/api/session", headers=by(one)).status_code == 200, one
    lines = services.workspace.catalog.audit.lines()
    made_with = f"made with {stolen.token_id}"
    said = {(one.what, one.subject) for one in lines if made_with in one.detail}
    assert said >= {
        ("token", first["token_id"]),
        ("token", third["token_id"]),
        ("sign-in code", "operator"),
        ("login-link", "viewer"),
        ("guest link", guest["guest_id"]),
        ("token revoked", first["token_id"]),
    }
    ended = [one.subject for one in lines if one.what in ("token revoked", "guest revoked")]
    assert sorted(ended) == sorted([stolen.token_id, *ends["tokens"], *ends["guests"]])


def test_a_token_that_ended_within_the_doors_memory_makes_none(
    client: httpx.Client, services: Services
) -> None:
    token, secret = make_token(services.workspace, "viewer", "mất", Scope.ALL, None, "test")
    client.get("/api/session", headers=by(secret)).raise_for_status()
    client.delete(f"/api/tokens/{token.token_id}", headers=by("admin")).raise_for_status()
    assert client.post("/api/tokens", json={"label": "x"}, headers=by(secret)).status_code == 401
    assert client.post("/api/codes", json={}, headers=by(secret)).status_code == 401
    held = services.workspace.catalog.tokens.list_valid(time.time_ns(), "viewer")
    assert [one.label for one in held] == [""]


def test_who_came_by_the_sign_in_service_makes_nothing_that_lasts_longer(
    client: httpx.Client, services: Services
) -> None:
    person = Person(issuer="https://id", subject="1", name="lan@tinh", role=Role.OPERATOR)
    services.workspace.catalog.identities.sign_in(person, time.time_ns())
    _, secret = make_token(services.workspace, "lan@tinh", "GIS", Scope.ALL, None, "admin")
    for path, body in (("/api/tokens", {"label": "x"}), ("/api/codes", {})):
        refused = client.post(path, json=body, headers=by(secret))
        assert (refused.status_code, refused.json()["error"]) == (403, "AccessDenied")
        assert client.post(path, json={**body, "account": "lan@tinh"}, headers=by("admin")).status_code == 200


# -- scopes --------------------------------------------------------------------------------------------

MAP = ("/tilejson/", "/wmts", "/ogc", "/stac", "/cog/", "/kml")
REACHED = {
    Scope.MAP: lambda method, path: (
        (method == "get" and (path.startswith(MAP) or path == "/api/session"))
        or (method == "head" and path.startswith("/cog/"))
        or (method, path) == ("post", "/stac/search")
    ),
    Scope.UPLOADS: lambda method, path: (
        path.startswith(("/api/uploads", "/files"))
        or (method == "get" and path in ("/api/session", "/api/events"))
    ),
    Scope.SYNC: lambda method, path: (
        path.startswith("/api/sync") or (method == "get" and path == "/api/session")
    ),
}
TO_ALL = (
    "/api/login",
    "/api/arrival",
    "/api/logout",
    "/api/sign-in",
    "/api/setup",
    "/healthz",
    "/authority.crt",
)
"""What asks nobody who he is."""


@pytest.mark.parametrize("scope", list(REACHED))
def test_a_scope_reaches_its_own_addresses_and_no_other(
    client: httpx.Client, services: Services, scope: Scope
) -> None:
    """Of an administrator, whom no role keeps out: every address that there is."""
    _, secret = make_token(services.workspace, "admin", "phạm vi", scope, None, "test")
    described = client.get("/api/openapi.json", headers=by("admin")).json()["paths"]
    assert len(described) > 60
    tried = 0
    for path, methods in described.items():
        for method in methods:
            if path in TO_ALL or (method, path) == ("options", "/files"):
                continue
            answer = client.request(method, path.replace("{", "").replace("}", ""), headers=by(secret))
            is_beyond = answer.status_code == 403 and (
                method == "head" or "mã này chỉ dùng để" in answer.json()["message"]
            )
            assert is_beyond != REACHED[scope](method, path), (method, path, answer.status_code, answer.text)
            tried += 1
    assert tried > 60
    assert client.get("/tiles/m/1/0/0", headers=by(secret)).status_code == (
        404 if scope is Scope.MAP else 403
    )


def test_only_a_browser_with_something_to_do_here_signs_in(client: httpx.Client, services: Services) -> None:
    for scope, status in ((Scope.MAP, 403), (Scope.SYNC, 403), (Scope.UPLOADS, 200), (Scope.ALL, 200)):
        _, secret = make_token(services.workspace, "operator", scope, scope, None, "test")
        client.cookies.clear()
        assert client.post("/api/login", json={"token": secret}).status_code == status
        if status == 200:
            assert client.get("/api/session").json()["scope"] == scope, "the session reaches no more"
    client.cookies.clear()
    _, secret = make_token(services.workspace, "operator", "điện thoại", Scope.UPLOADS, None, "test")
    client.post("/api/login", json={"token": secret}).raise_for_status()
    assert client.get("/api/uploads").status_code == 200 and client.get("/api/flights").status_code == 403
