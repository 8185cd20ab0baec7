"""Guest links: the map and its tiles, for a while; and which role may call which address at all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from flycam.access.accounts import invite_guest, remove_user, revoke_guest
from flycam.http.guards import Services
from flycam.model.access import ACCOUNT_ROLES, Role
from tests.serve.running import running
from tests.serve.world import DRILL, REAL, World, add_account, make_world
from tests.waiting import until

GUESTS_MAY = {
    ("get", "/api/session"),
    ("get", "/api/events"),
    ("get", "/api/flights"),
    ("get", "/api/legends"),
    ("get", "/api/outlines"),
    ("get", "/api/communes"),
    ("get", "/api/communes/extent"),
    ("get", "/api/terrain"),
    ("get", "/api/hillshade/{z}/{x}/{y}"),
    ("get", "/api/vn2000"),
    ("get", "/api/vn2000/grid"),
    ("get", "/api/meeting"),
    ("get", "/api/pixel"),
    ("get", "/tilejson/{mosaic_id}"),
    ("get", "/events"),
}
"""Everything that is not said here is refused to them, also what comes later."""
ANYBODY_MAY = {("post", "/api/login"), ("post", "/api/logout"), ("get", "/healthz"), ("options", "/files")}
ANYBODY_MAY |= {
    ("post", "/api/arrival"),
    ("get", "/api/sign-in"),
    ("get", "/authority.crt"),
    ("post", "/api/setup"),
}
_ENDLESS = {"/events"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = make_world(tmp_path_factory.mktemp("guests"))
    for role in ACCOUNT_ROLES:
        add_account(made.workspace, role.value, role, f"{role.value}-token")
    return made


@pytest.fixture(scope="module")
def at(world: World) -> Iterator[str]:
    with running(Services(workspace=world.workspace)) as url:
        yield url


def bearer(role: Role) -> dict[str, str]:
    return {"Authorization": f"Bearer {role.value}-token"}


def guest_of(world: World, event: str | None = None, hours: float = 1.0) -> dict[str, str]:
    """Headers of whoever holds a new link."""
    _, secret = invite_guest(world.workspace, hours, event, "operator")
    return {"Cookie": f"flycam_guest={secret}"}


@pytest.fixture(scope="module")
def operations(at: str) -> list[tuple[str, str]]:
    schema: dict[str, Any] = httpx.get(f"{at}/api/openapi.json").json()
    return [(method, path) for path, methods in schema["paths"].items() for method in methods]


def _call(client: httpx.Client, method: str, path: str, headers: dict[str, str]) -> int:
    address = re.sub(r"\{[^}]*\}", "1", path)
    return client.request(method, address, headers=headers).status_code


def test_a_guest_is_refused_everything_that_guests_are_not_told_to_have(
    at: str, world: World, operations: list[tuple[str, str]]
) -> None:
    guest = guest_of(world)
    with httpx.Client(base_url=at, timeout=60) as client:
        for one in operations:
            if one[1] in _ENDLESS or one in ANYBODY_MAY:
                continue
            said = _call(client, *one, guest)
            assert (said not in (401, 403)) == (one in GUESTS_MAY), (one, said)


def test_nobody_without_a_token_or_a_link_is_let_in(at: str, operations: list[tuple[str, str]]) -> None:
    with httpx.Client(base_url=at, timeout=60) as client:
        for one in operations:
            if one not in ANYBODY_MAY:
                for headers in ({}, {"Cookie": "flycam_guest=x"}, {"Authorization": "Bearer x"}):
                    assert _call(client, *one, headers) == 401, one


def test_a_link_opens_the_map_and_its_tiles_and_no_photo(at: str, world: World) -> None:
    with httpx.Client(base_url=at, timeout=60) as client:
        made = client.post("/api/guests", json={"hours": 6}, headers=bearer(Role.OPERATOR)).json()
        assert client.get(made["path"]).status_code == 200
        assert client.get("/api/session").status_code == 401, "looking at a link is not coming in"
        answer = client.post(made["path"])
        assert answer.status_code == 303
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=lax" in cookie
        assert client.get("/api/session").json()["account"]["role"] == "guest"
        flights = client.get("/api/flights").json()
        assert {one["flight_id"] for one in flights} == {world.before, world.after, world.drill}
        assert all(one["operator"] is None for one in flights)
        head = world.workspace.catalog.tiles.heads(f"{world.after}-colour", 0)[0]
        assert client.get(f"/tiles/{world.after}-colour/{head.tile_id}").status_code == 200
        photo = world.workspace.catalog.frames.list_for_flight(world.after)[0].header.provenance.source_sha256
        for path in (f"/api/evidence/{photo}", f"/api/evidence/{photo}/preview", "/api/marks", "/kml"):
            assert client.get(path).status_code == 403
        lines = world.workspace.catalog.audit.lines(limit=10_000)
        opened = [line for line in lines if line.who == made["guest_id"]]
        assert [line.what for line in opened] == ["guest link opened"]
        assert ("operator", "guest link", made["guest_id"]) in [(x.who, x.what, x.subject) for x in lines]


def test_a_guest_is_told_when_a_pixel_was_taken_and_how_far_off_it_is_and_of_no_photo(
    at: str, world: World
) -> None:
    west, south, east, north = world.workspace.catalog.flights.flight(world.after).bounds_lonlat_deg or ()
    asked = {"flight": world.after, "lon": (west + east) / 2, "lat": (south + north) / 2}
    with httpx.Client(base_url=at, timeout=60) as client:
        said = client.get("/api/pixel", params=asked, headers=guest_of(world)).json()
        theirs = client.get("/api/pixel", params=asked, headers=bearer(Role.VIEWER)).json()
        assert theirs["source_name"] and theirs["operator"] == "Tổ bay 2" and theirs["footprint"]
        for told in ("captured", "gsd_m", "sigma_m", "ground", "revision"):
            assert said[told] == theirs[told]
        hidden = ("source_name", "source_sha256", "frame_id", "operator", "camera", "footprint", "settled")
        for name in hidden:
            assert said[name] is None, name
        other = client.get("/api/pixel", params=asked, headers=guest_of(world, DRILL))
        assert other.status_code == 404, "a flight of another event"


@pytest.mark.parametrize(
    ("said", "is_ours"),
    [
        ({}, True),
        ({"Origin": "SELF"}, True),
        ({"Origin": "https://SELF-HOST"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, True),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site", "Origin": "SELF"}, False),
    ],
)
def test_a_page_of_another_site_lets_nobody_in(
    at: str, world: World, said: dict[str, str], is_ours: bool
) -> None:
    """The attack: a page posts a link of its own, and the reader works on under another's name."""
    host = at.removeprefix("http://")
    headers = {name: value.replace("SELF-HOST", host).replace("SELF", at) for name, value in said.items()}
    _, secret = invite_guest(world.workspace, 1.0, None, "operator")
    made = httpx.post(f"{at}/api/login-links", json={"name": "viewer"}, headers=bearer(Role.ADMIN)).json()
    sent = [
        httpx.post(f"{at}/guest/{secret}", headers=headers),
        httpx.post(f"{at}{made['path']}", headers=headers),
        httpx.post(f"{at}/api/login", json={"token": "viewer-token"}, headers=headers),
    ]
    assert [one.status_code for one in sent] == ([303, 303, 200] if is_ours else [403] * 3)
    assert all(bool(one.cookies) is is_ours for one in sent)
    if not is_ours:
        assert httpx.post(f"{at}{made['path']}").status_code == 303, "and the link is not spent"


def test_a_link_of_one_event_shows_that_event_alone(at: str, world: World) -> None:
    guest = guest_of(world, REAL)
    with httpx.Client(base_url=at, timeout=60, headers=guest) as client:
        assert [one["event_id"] for one in client.get("/api/events").json()] == [REAL]
        assert {one["flight_id"] for one in client.get("/api/flights").json()} == {world.before, world.after}
        assert client.get(f"/api/flights?event={DRILL}").json() == []
        head = world.workspace.catalog.tiles.heads(f"{world.drill}-colour", 0)[0]
        assert client.get(f"/tiles/{world.drill}-colour/{head.tile_id}").status_code == 404
        assert client.get(f"/tilejson/{world.drill}-colour").status_code == 404


def test_a_link_that_expired_or_was_revoked_opens_nothing(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    add_account(world.workspace, "operator", Role.OPERATOR, "operator-token")
    now_ns = world.workspace.clock_ns()
    clocked = replace(world.workspace, clock_ns=lambda: now_ns)
    guest, secret = invite_guest(clocked, 1.0, None, "operator")
    cookie = {"Cookie": f"flycam_guest={secret}"}
    with running(Services(workspace=clocked)) as url, httpx.Client(base_url=url, timeout=60) as client:
        assert client.get("/api/flights", headers=cookie).status_code == 200
    now_ns += 3600 * 10**9
    with running(Services(workspace=clocked)) as url, httpx.Client(base_url=url, timeout=60) as client:
        assert client.get("/api/flights", headers=cookie).status_code == 401
        assert client.post(f"/guest/{secret}").status_code == 401
        assert client.get("/api/guests", headers=bearer(Role.OPERATOR)).json() == []
        made = client.post("/api/guests", json={"hours": 1}, headers=bearer(Role.OPERATOR)).json()
        (listed,) = client.get("/api/guests", headers=bearer(Role.OPERATOR)).json()
        assert listed["guest_id"] == made["guest_id"] and "path" not in listed
        gone = client.delete(f"/api/guests/{made['guest_id']}", headers=bearer(Role.OPERATOR))
        assert gone.json()["revoked"] is True
        assert client.post(made["path"]).status_code == 401
    revoke_guest(world.workspace, guest.guest_id, "operator")
    assert all(one.revoked_ns is not None for one in world.workspace.catalog.guests.all())


def test_the_secret_is_kept_nowhere_and_opens_no_account(at: str, world: World, tmp_path: Path) -> None:
    guest, secret = invite_guest(world.workspace, 1.0, None, "operator")
    place = Path(world.workspace.catalog.place)
    kept = b"".join(path.read_bytes() for path in place.parent.glob(f"{place.name}*") if path.is_file())
    assert guest.secret_hash.encode() in kept and secret.encode() not in kept
    with httpx.Client(base_url=at, timeout=60) as client:
        assert client.get("/api/flights", headers={"Authorization": f"Bearer {secret}"}).status_code == 401
        assert client.post("/api/login", json={"token": secret}).status_code == 401


def test_all_ways_in_of_an_account_that_is_taken_away_end(at: str, world: World) -> None:
    workspace = world.workspace
    add_account(workspace, "Hoa", Role.OPERATOR, "hoa-token")
    by = {"Authorization": "Bearer hoa-token"}
    link = httpx.post(f"{at}/api/login-links", json={"name": "Hoa"}, headers=bearer(Role.ADMIN)).json()
    with httpx.Client(base_url=at, timeout=90) as page, httpx.Client(base_url=at, timeout=90) as guest:
        assert page.post("/api/login", json={"token": "hoa-token"}).status_code == 200
        made = page.post("/api/guests", json={"hours": 1}, headers=by).json()
        assert guest.post(made["path"]).status_code == 303
        ways = [(page, {}), (page, by), (guest, {})]
        assert [way.get("/api/flights", headers=with_).status_code for way, with_ in ways] == [200] * 3
        remove_user(workspace, "Hoa")
        # the door may still know the token for a moment: what it makes by then ends as well
        assert page.post("/api/guests", json={"hours": 1}, headers=by).status_code == 401
        now_ns = workspace.clock_ns()
        assert not [
            one for one in workspace.catalog.guests.all() if one.made_by == "Hoa" and one.is_valid(now_ns)
        ]
        for way, with_ in ways:
            until(lambda way=way, with_=with_: way.get("/api/flights", headers=with_).status_code == 401)
        assert page.post(link["path"]).status_code == 401
        assert page.post("/api/login", json={"token": "hoa-token"}).status_code == 401
