"""Every address that writes, called by everybody who must not: those whose role is too low, those whose role
would do on an object that is not theirs (of another commune, withheld, restricted, another person's), those
whose token is for something else, and browsers that a page of another site sends.

The addresses are those of the application itself: one that is new fails the test until it is told here who
may call it, how, and on what it must not be called.
"""

from __future__ import annotations

import base64
import io
import json
import re
import sqlite3
import struct
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest
import shapely
from fastapi.routing import APIRoute
from PIL import Image

from flycam.access.accounts import add_user, invite_guest, make_sign_in_code, make_token
from flycam.access.restrictions import set_flight_classification
from flycam.board import routes
from flycam.board.marks import write_mark
from flycam.catalog.access import RestrictedArea, hash_token
from flycam.http.guards import COOKIE, GUEST_COOKIE, Services
from flycam.model.access import ACCOUNT_ROLES, RedactionReason, RetainedKind, Role, Scope
from flycam.model.board import LayerKind
from flycam.model.flight import Classification
from flycam.model.records import CommuneRecord, FrameStatus
from flycam.mosaic.redaction import RedactionRequest, add_redaction
from flycam.operations.retention import place_hold
from flycam.serve.app import _ROUTERS
from flycam.workspace import Workspace
from tests.change.impacted import add_things, changed, square
from tests.serve.running import running
from tests.serve.world import LAT, LON, REAL, World, add_account, make_workspace, make_world, rescue_asked

FAR = "Yên Bình"
"""A commune without a flight; some accounts are for it alone."""
STRANGER = "stranger"
MARK, MASK, HOLD = "mark-0000abcd", "mask-0000abcd", "hold-0000abcd"
OPEN_CHANGE, CHANGE_OF_AFTER, CHANGE_IN_AREA = (f"change-0000000{n}" for n in (1, 2, 3))
SCREEN = "abcdef0123456789"
SHA = "0" * 64
_WRITES = {"POST", "PUT", "PATCH", "DELETE"}
_REFUSED = {401, 403, 404, 409}
_NO_MORE_THAN_THEY = "khách không được xem nhiều hơn"
CARD = {"files": [{"path": "a.jpg", "size": 9, "modified_ms": 1}]}
TUS = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}


@dataclass(frozen=True)
class Ask:
    """A request: the rest of its path under the address, and what goes with it."""

    values: dict[str, str] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class House:
    """What asks the server, what lets each caller in, and what is in the house; `ids` are told by what was
    made, `state` is what was on record when the last test ended."""

    client: httpx.Client
    root: Path
    world: World
    headers: dict[str, dict[str, str]]
    ids: dict[str, str]
    state: dict[str, object] = field(default_factory=dict)

    @property
    def workspace(self) -> Workspace:
        return self.world.workspace

    def photo(self, flight_id: str) -> str:
        frames = self.workspace.catalog.frames.list_for_flight(flight_id, FrameStatus.USED)
        return frames[0].header.provenance.source_sha256


Asked = Callable[[House], Ask]


@dataclass(frozen=True)
class Write:
    """Who may call an address.

    least    the lowest role; None: whoever stands at the door, for it is the door
    roles    those alone, where the order of roles does not tell
    ask      what is right, on an object that an administrator reaches
    not_for  callers whose role would do, each with what is not theirs
    """

    least: Role | None
    ask: Asked
    not_for: tuple[tuple[str, Asked], ...] = ()
    roles: frozenset[Role] = frozenset()

    def may(self, role: Role) -> bool:
        order = list(Role)
        if self.roles:
            return role in self.roles
        return self.least is None or order.index(role) >= order.index(self.least)


def sending(body: object = None, **values: str) -> Asked:
    return lambda house: Ask(values, {} if body is None else {"json": body})


def mark(based_on: int) -> dict[str, object]:
    return {"based_on": based_on, "event_id": REAL, "kind": "rescue", "places": [[LON, LAT]], "note": "!"}


def photo_of_mark(_house: House) -> Ask:
    picture = io.BytesIO()
    Image.new("RGB", (64, 48), (9, 9, 9)).save(picture, "JPEG")
    return Ask({"mark_id": MARK}, {"params": {"based_on": 1}, "content": picture.getvalue()})


def step(change_id: str, number: int) -> Asked:
    return sending({"action": "accept", "changes": {change_id: 1}}, step_id=f"step-0000000{number}")


def moving(flight: str) -> Asked:
    """Into an event that is not there."""
    return lambda house: Ask({"ref": getattr(house.world, flight, flight)}, {"json": {"event": "Lũ mới"}})


def mask_on(flight: str, mask_id: str) -> Asked:
    def asked(house: House) -> Ask:
        corners = [[100, 100], [200, 100], [200, 200]]
        photo = house.photo(getattr(house.world, flight))
        return Ask({"mask_id": mask_id}, {"json": {"photo": photo, "reason": "home", "corners": corners}})

    return asked


def pack_of(flight: str) -> Asked:
    return lambda house: Ask({}, {"json": {"flights": [getattr(house.world, flight)]}})


def by_id(name: str, key: str, **more: Any) -> Asked:
    return lambda house: Ask({name: house.ids[key]}, more)


def word(house: House) -> Ask:
    said = {"event_id": REAL, "access": "isolated", "based_on": 0}
    return Ask({"settlement_id": "Bản Lùng Phình"}, {"json": said})


def view(**more: object) -> dict[str, object]:
    return {"screen": SCREEN, "view": {"event": REAL}, "bounds": [LON, LAT, LON + 0.01, LAT + 0.01], **more}


def heads(house: House) -> Ask:
    """The first bytes of the only file, as the upload page sends them."""
    body = struct.pack(">II", 0, 4) + b"1234"
    told = {"Content-Type": "application/vnd.flycam.heads"}
    return Ask({"upload_id": house.ids["upload"]}, {"headers": told, "content": body})


def tus_file(house: House) -> Ask:
    values = {"upload_id": house.ids["upload"], "number": "0"}
    return Ask(values, {"headers": TUS, "content": b"123456789"})


def announced(house: House) -> Ask:
    """One file by a plain client of the protocol."""
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "5", "Upload-Metadata": "filename eC5qcGc="}
    return Ask({}, {"headers": headers})


def others_file(house: House) -> Ask:
    upload = base64.b64encode(house.ids["upload"].encode()).decode()
    told = f"filename YS5qcGc=,upload {upload}"
    return Ask({}, {"headers": {"Tus-Resumable": "1.0.0", "Upload-Length": "9", "Upload-Metadata": told}})


OTHERS = ("operator 2", "analyst")
"""Who may upload, but did not upload this."""
BOXES = frozenset({Role.BOX, Role.ADMIN})
TERM = {"kind": RetainedKind.PHOTO.value, "days": 900}

MATRIX: dict[tuple[str, str], Write] = {
    ("POST", "/api/login"): Write(None, sending({"token": "wrong"})),
    ("POST", "/api/arrival"): Write(None, sending({"token": "wrong"})),
    ("POST", "/api/logout"): Write(None, sending()),
    ("POST", "/api/setup"): Write(None, sending({"code": "0000-0000-0000", "name": "Ai"})),
    ("POST", "/login/{code}"): Write(None, sending(code="wrong")),
    ("POST", "/guest/{secret}"): Write(None, sending(secret="wrong")),
    ("POST", "/stac/search"): Write(Role.VIEWER, sending({"limit": 1})),
    ("POST", "/api/codes"): Write(
        Role.VIEWER,
        sending({"account": None}),
        tuple((one, sending({"account": "admin"})) for one in ("viewer", "operator", "analyst", "box")),
    ),
    ("POST", "/api/tokens"): Write(
        Role.VIEWER,
        sending({"label": "QGIS", "scope": "map"}),
        tuple((one, sending({"label": "x", "account": "admin"})) for one in ("viewer", "analyst", "box")),
    ),
    ("DELETE", "/api/tokens/{token_id}"): Write(
        Role.VIEWER,
        by_id("token_id", "token"),
        tuple((one, by_id("token_id", "token")) for one in ("viewer", "operator 2", "analyst", "box")),
    ),
    ("POST", "/api/guests"): Write(
        Role.OPERATOR,
        sending({"hours": 1, "event": REAL}),
        tuple((one, sending({"hours": 1, "communes": "99000"})) for one in ("far operator", "far analyst")),
    ),
    ("DELETE", "/api/guests/{guest_id}"): Write(
        Role.OPERATOR,
        by_id("guest_id", "guest"),
        tuple((one, by_id("guest_id", "guest")) for one in ("operator 2", "analyst", "far operator")),
    ),
    ("POST", "/api/login-links"): Write(Role.ADMIN, sending({"name": "viewer"})),
    ("PUT", "/api/marks/{mark_id}"): Write(
        Role.OPERATOR,
        sending(mark(1), mark_id=MARK),
        tuple(
            (one, sending(mark(seen), mark_id=MARK))
            for one in ("far operator", "far analyst")
            for seen in (0, 1)
        ),
    ),
    ("PUT", "/api/marks/{mark_id}/photo"): Write(
        Role.OPERATOR, photo_of_mark, (("far operator", photo_of_mark), ("far analyst", photo_of_mark))
    ),
    ("PUT", "/api/meeting"): Write(
        Role.OPERATOR,
        sending(view(take=True)),
        (("far operator", sending(view())), ("operator 2", sending(view(screen="1" * 16)))),
    ),
    ("DELETE", "/api/meeting"): Write(Role.OPERATOR, lambda _: Ask({}, {"params": {"screen": SCREEN}})),
    ("PUT", "/api/meeting/places"): Write(
        Role.OPERATOR, lambda _: Ask({}, {"params": {"event": REAL}, "json": {"based_on": 0, "places": []}})
    ),
    ("PUT", "/api/flights/{ref}/event"): Write(
        Role.OPERATOR,
        moving("before"),
        (
            ("operator", moving("before")),
            ("analyst", moving("nobody")),
            ("far operator", moving("before")),
            ("far analyst", moving("after")),
        ),
    ),
    ("PUT", "/api/packs"): Write(
        Role.OPERATOR,
        pack_of("before"),
        (
            ("operator", pack_of("after")),
            ("far operator", pack_of("before")),
            ("far analyst", pack_of("after")),
        ),
    ),
    ("PUT", "/api/packs/{pack_id}/approved"): Write(
        Role.ANALYST, by_id("pack_id", "pack"), (("far analyst", by_id("pack_id", "pack")),)
    ),
    ("POST", "/api/drill"): Write(Role.ADMIN, sending()),
    ("PUT", "/api/redactions/{mask_id}"): Write(
        Role.OPERATOR,
        mask_on("before", "mask-00000001"),
        (
            ("operator", mask_on("after", "mask-00000002")),
            ("far operator", mask_on("before", "mask-00000003")),
            ("far analyst", mask_on("after", "mask-00000004")),
        ),
    ),
    ("DELETE", "/api/redactions/{mask_id}"): Write(
        Role.ANALYST, sending(mask_id=MASK), (("far analyst", sending(mask_id=MASK)),)
    ),
    ("PUT", "/api/changes/steps/{step_id}"): Write(
        Role.ANALYST,
        step(OPEN_CHANGE, 1),
        (
            ("analyst", step(CHANGE_IN_AREA, 2)),
            *(("far analyst", step(one, 3)) for one in (OPEN_CHANGE, CHANGE_OF_AFTER, CHANGE_IN_AREA)),
        ),
    ),
    ("PUT", "/api/settlements/{settlement_id}"): Write(Role.ANALYST, word, (("far analyst", word),)),
    ("PUT", "/api/retention/terms"): Write(Role.ADMIN, sending(TERM)),
    ("PUT", "/api/retention/holds/{hold_id}"): Write(
        Role.ADMIN, sending({"subject": REAL, "reason": "điều tra"}, hold_id="hold-00000001")
    ),
    ("DELETE", "/api/retention/holds/{hold_id}"): Write(
        Role.ADMIN, lambda _: Ask({"hold_id": HOLD}, {"params": {"reason": "xong"}})
    ),
    ("PUT", "/api/retention/confirmed"): Write(Role.ADMIN, sending({"digest": "0" * 24})),
    ("POST", "/api/sync"): Write(Role.BOX, sending({}), roles=BOXES),
    ("PUT", "/api/sync/steps/{sha256}"): Write(
        Role.BOX, lambda _: Ask({"sha256": SHA}, {"content": b"x"}), roles=BOXES
    ),
    ("POST", "/api/uploads"): Write(Role.OPERATOR, sending(CARD)),
    ("POST", "/api/uploads/{upload_id}/heads"): Write(
        Role.OPERATOR,
        heads,
        tuple((one, heads) for one in OTHERS),
    ),
    ("POST", "/api/uploads/{upload_id}/lay"): Write(
        Role.OPERATOR,
        by_id("upload_id", "upload"),
        tuple((one, by_id("upload_id", "upload")) for one in OTHERS),
    ),
    ("POST", "/files"): Write(Role.OPERATOR, announced, tuple((one, others_file) for one in OTHERS)),
    ("PATCH", "/files/{upload_id}/{number}"): Write(
        Role.OPERATOR, tus_file, tuple((one, tus_file) for one in OTHERS)
    ),
    ("DELETE", "/api/uploads/{upload_id}"): Write(
        Role.OPERATOR,
        by_id("upload_id", "upload"),
        tuple((one, by_id("upload_id", "upload")) for one in OTHERS),
    ),
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A storm with an open flight and one for analysts, and somebody's everything."""
    root = tmp_path_factory.mktemp("matrix")
    world = make_world(root)
    workspace, catalog = world.workspace, world.workspace.catalog
    outline = shapely.box(LON + 0.3, LAT + 0.3, LON + 0.32, LAT + 0.32)
    far = CommuneRecord(
        code="99900", name=FAR, valid_from=date(2024, 7, 1), wkb=shapely.to_wkb(outline), area_m2=4e6
    )
    catalog.boundaries.put_communes([far])
    headers: dict[str, dict[str, str]] = {STRANGER: {}}
    for role in ACCOUNT_ROLES:
        add_account(workspace, role.value, role, role.value)
        headers[role.value] = {"Authorization": f"Bearer {role.value}"}
    add_account(workspace, "operator 2", Role.OPERATOR, "operator 2")
    for role in (Role.OPERATOR, Role.ANALYST):
        account, _ = add_user(workspace, f"far {role.value}", role.value, FAR)
        catalog.accounts.put(replace(account, token_hash=hash_token(account.name)))
    for name in ("operator 2", "far operator", "far analyst"):
        headers[name] = {"Authorization": f"Bearer {name}"}
    guest, secret = invite_guest(workspace, 6.0, None, "operator")
    headers[Role.GUEST.value] = {"Cookie": f"{GUEST_COOKIE}={secret}"}
    token, _ = make_token(workspace, "operator", "điện thoại", Scope.ALL, None, "operator")
    for role in ACCOUNT_ROLES:
        for scope in SCOPES:
            _, key = make_token(workspace, role.value, scope.value, scope, None, "test")
            headers[f"{role} {scope}"] = {"Authorization": f"Bearer {key}"}
    _fill(world, root)
    services = Services(
        workspace=workspace,
        uploads_dir=root / "uploads",
        packs_dir=root / "packs",
        sync_dir=root / "sync",
        pack_command=(sys.executable, "-c", "raise SystemExit(3)"),
    )
    ids = {"guest": guest.guest_id, "token": token.token_id}
    # the meeting outlasts the trials, however slow the machine is
    with pytest.MonkeyPatch.context() as patch, running(services) as url:
        patch.setattr(routes, "PRESENTER_TIMEOUT_S", 86_400.0)
        came = httpx.post(f"{url}/api/login", json={"token": "admin"})
        headers["session"] = {"Cookie": f"{COOKIE}={came.cookies[COOKIE]}"}
        by = headers["operator"]
        ids["upload"] = httpx.post(f"{url}/api/uploads", json=CARD, headers=by).json()["upload_id"]
        asked = {"flights": [world.before]}
        ids["pack"] = httpx.put(f"{url}/api/packs", json=asked, headers=headers["admin"]).json()["pack_id"]
        assert httpx.put(f"{url}/api/meeting", json=view(), headers=by).status_code == 200
        make_sign_in_code(workspace, "viewer", "admin")
        with httpx.Client(base_url=url, timeout=60) as client:
            made = House(client, root, world, headers, ids)
            made.state.update(state_of(made))
            yield made


def _fill(world: World, root: Path) -> None:
    workspace, catalog = world.workspace, world.workspace.catalog
    asked = rescue_asked(MARK, (LON, LAT))
    write_mark(workspace, asked, "operator")
    shown = {one: f"{one}-colour@0" for one in (world.before, world.after)}
    catalog.changes.append(
        [
            changed(OPEN_CHANGE, square(0, 0, 50), event_id=REAL, after_shown=shown[world.before]),
            changed(CHANGE_OF_AFTER, square(0, 0, 60), event_id=REAL, after_shown=shown[world.after]),
            changed(CHANGE_IN_AREA, square(-5000, 0, 60), event_id=REAL, after_shown=shown[world.before]),
        ]
    )
    add_things(
        workspace, root, "Thôn", LayerKind.SETTLEMENT, [("Bản Lùng Phình", shapely.Point(LON, LAT - 0.001))]
    )
    frame = catalog.frames.list_for_flight(world.after, FrameStatus.USED)[-1]
    corners = [(100.0, 100.0), (200.0, 100.0), (200.0, 200.0)]
    mask = RedactionRequest(
        redaction_id=MASK, frame_id=frame.frame_id, reason=RedactionReason.HOME, corners=corners
    )
    add_redaction(workspace, mask, "operator")
    place_hold(workspace, HOLD, REAL, "điều tra", "admin")
    set_flight_classification(workspace, world.after, Classification.RESTRICTED, "admin")
    ground = square(-5100, -100, 300)
    catalog.restrictions.put(
        RestrictedArea(
            area_id="area-1",
            name="Doanh trại",
            roles=frozenset({Role.ADMIN}),
            sha256=SHA,
            added_ns=1,
            wkb=shapely.to_wkb(ground),
            bounds_lonlat_deg=ground.bounds,
        )
    )


def call(house: House, caller: str, address: tuple[str, str], asked: Asked) -> httpx.Response:
    method, path = address
    ask = asked(house)
    more = dict(ask.more)
    headers = {**house.headers[caller], **more.pop("headers", {})}
    return ask_server(house, method, path.format(**ask.values), headers=headers, **more)


def ask_server(house: House, method: str, path: str, **more: Any) -> httpx.Response:
    house.client.cookies.clear()  # who was asked for before is nobody now
    return house.client.request(method, path, **more)


def state_of(house: House) -> dict[str, object]:
    """All that is on record, the times tokens were used last aside, and what lies beside it; once no pack is
    under way: what becomes of one is written by the house, and by nobody who calls."""
    while any(one.is_pending for one in house.world.workspace.catalog.packs.all()):
        time.sleep(0.05)
    with sqlite3.connect(house.root / "catalog.sqlite") as connection:
        names = [row[0] for row in connection.execute("select name from sqlite_master where type = 'table'")]
        rows: dict[str, object] = {name: _rows(connection, name) for name in names}
    uploads = sorted(
        (path.relative_to(house.root).as_posix(), path.stat().st_size)
        for path in (house.root / "uploads").rglob("*")
        if path.is_file()
    )
    by = house.headers["admin"]
    return {
        **rows,
        "uploads": uploads,
        "meeting": ask_server(house, "GET", "/api/meeting", headers=by).json(),
    }


def assert_unchanged(house: House) -> None:
    before, after = dict(house.state), state_of(house)
    house.state.update(after)
    assert after == before


def _rows(connection: sqlite3.Connection, table: str) -> list[str]:
    found = connection.execute(f'select * from "{table}"')
    columns = [one[0] for one in found.description]
    return sorted(
        repr([value for name, value in zip(columns, row, strict=True) if name != "used_ns"]) for row in found
    )


def writes() -> set[tuple[str, str]]:
    """Every address of the application that is no reading."""
    found = set()
    for room in _ROUTERS:
        for route in room.routes:
            assert isinstance(route, APIRoute), route
            found |= {(method, route.path) for method in route.methods & _WRITES}
    return found


def test_no_address_that_writes_is_missing_here() -> None:
    assert writes() == set(MATRIX), "say in MATRIX who may call it, how, and on what it must not be called"


def named(case: object) -> str:
    return " ".join(case) if isinstance(case, tuple) else str(case)


GUARDED = [one for one in MATRIX if MATRIX[one].least is not None]


@pytest.mark.parametrize("address", GUARDED, ids=named)
def test_a_role_that_is_too_low_changes_nothing(house: House, address: tuple[str, str]) -> None:
    write = MATRIX[address]
    for caller in [STRANGER, *(role.value for role in Role if not write.may(role))]:
        answer = call(house, caller, address, write.ask)
        assert answer.status_code == (401 if caller == STRANGER else 403), (caller, answer.text)
        assert answer.json()["message"]
    assert_unchanged(house)


@pytest.mark.parametrize("address", [one for one in MATRIX if MATRIX[one].not_for], ids=named)
def test_what_is_not_theirs_is_not_changed_by_a_role_that_would_do(
    house: House, address: tuple[str, str]
) -> None:
    for caller, asked in MATRIX[address].not_for:
        answer = call(house, caller, address, asked)
        is_refused = answer.status_code in _REFUSED or _NO_MORE_THAN_THEY in answer.text
        assert is_refused, (caller, answer.status_code, answer.text)
    assert_unchanged(house)


SCOPES: dict[Scope, tuple[str, ...]] = {
    Scope.MAP: ("/stac/search",),
    Scope.UPLOADS: ("/api/uploads", "/files"),
    Scope.SYNC: ("/api/sync",),
}
"""What of all that writes each scope is for."""


@pytest.mark.parametrize("address", GUARDED, ids=named)
def test_a_token_for_something_else_changes_nothing_whatever_the_role(
    house: House, address: tuple[str, str]
) -> None:
    """Nor does one for this very thing where the role is too low."""
    write = MATRIX[address]
    for scope, reached in SCOPES.items():
        is_for_it = any(address[1] == one or address[1].startswith(f"{one}/") for one in reached)
        for role in ACCOUNT_ROLES:
            if not (is_for_it and write.may(role)):
                answer = call(house, f"{role} {scope}", address, write.ask)
                assert answer.status_code == 403, (scope, role, answer.text)
    assert_unchanged(house)


@pytest.mark.parametrize("address", [one for one in MATRIX if one[0] == "POST"], ids=named)
def test_a_page_of_another_site_changes_nothing_by_the_session_of_who_looks_at_it(
    house: House, address: tuple[str, str]
) -> None:
    """What a page may send without being asked whether it may: POST alone, with no header of its own, and no
    more of a content type than that of a text. The browser adds the cookie where the sites are neighbours."""
    ask = MATRIX[address].ask(house)
    body = json.dumps(ask.more["json"]) if "json" in ask.more else ask.more.get("content")
    path, query = address[1].format(**ask.values), ask.more.get("params")
    for whose, kind in product(("cross-site", "same-site", ""), ("text/plain", "")):
        headers = {"Origin": "https://evil.example", **house.headers["session"]}
        headers |= {"Sec-Fetch-Site": whose} if whose else {}
        headers |= {"Content-Type": kind} if kind else {}
        answer = ask_server(house, "POST", path, headers=headers, content=body, params=query)
        assert answer.status_code in {400, 401, 403, 412, 415, 422}, (whose, kind, answer.text)
    assert_unchanged(house)


def test_a_house_that_is_open_is_so_to_no_page_of_another_site(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    services = Services(workspace=workspace, uploads_dir=tmp_path / "uploads")
    with running(services) as url, httpx.Client(base_url=url, timeout=60) as client:
        for (method, path), write in MATRIX.items():
            for said in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}):
                address = re.sub(r"{\w+}", "x", path)
                answer = client.request(method, address, headers=said, json={"token": "x"})
                expected = {401} if write.least is not None else {403, 422}
                assert answer.status_code in expected, (method, path, said, answer.text)


@pytest.mark.parametrize("address", [one for one in MATRIX if MATRIX[one].least is None], ids=named)
def test_the_door_itself_changes_nothing_for_who_has_no_key(house: House, address: tuple[str, str]) -> None:
    answer = call(house, STRANGER, address, MATRIX[address].ask)
    assert answer.status_code < 500
    assert "set-cookie" not in answer.headers or "Max-Age=0" in answer.headers["set-cookie"]
    assert_unchanged(house)


@pytest.mark.parametrize("address", [one for one in MATRIX if MATRIX[one].not_for], ids=named)
def test_who_may_is_not_refused(house: House, address: tuple[str, str]) -> None:
    """Else what stands above would prove nothing. The last of all: here things do change."""
    answer = call(house, "admin", address, MATRIX[address].ask)
    assert answer.status_code < 500 and answer.status_code not in {401, 403, 404, 405, 422}, answer.text
