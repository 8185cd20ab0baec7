"""Every address that reads one thing, asked by everybody from whom that thing is withheld: those without a
key, those whose role is too low, those of another commune. And every list: what is withheld stands in none.

The addresses are those of the application itself: one that is new fails the test until it is said here which
things its parameters name. Pixels of ground that is restricted inside of what is shown: test_withheld.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import product
from urllib.parse import quote

import httpx
import numpy as np
import pytest
import shapely
from fastapi.routing import APIRoute
from PIL import Image

from flycam.access.accounts import add_user, invite_guest
from flycam.access.restrictions import set_flight_classification, set_layer_classification
from flycam.catalog.access import hash_token
from flycam.http.guards import GUEST_COOKIE, Services
from flycam.model.access import Role
from flycam.model.board import LayerKind
from flycam.model.flight import Classification
from flycam.model.records import CommuneRecord
from flycam.serve.app import _ROUTERS
from tests.change.impacted import add_things, changed, square
from tests.serve.running import running
from tests.serve.secret import TOKENS, WORD, Secret, make_secret
from tests.serve.world import LAT, LON, REAL
from tests.waiting import until

FAR = "Yên Bình"
"""A commune without a flight; some accounts are for it alone."""
STRANGER, GUEST = "stranger", "guest"
HIDDEN, HIDDEN_LAYER = "Tối mật", "Kín"
"""In every name that somebody gave to what is withheld; a layer's own is none to an analyst elsewhere."""
CHANGES = {"open": "change-0000000a", "restricted": "change-0000000b"}
CARD = {"files": [{"path": f"{HIDDEN}.jpg", "size": 9, "modified_ms": 1}]}
_PACKS = """
import pathlib, sys
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
out.mkdir()
(out / "index.html").write_text("pack", encoding="utf-8")
"""
TUS = {"Tus-Resumable": "1.0.0"}
_REFUSED = {401, 403, 404}
_ENDLESS = {"/events"}

RESTRICTED, INTERNAL, OPEN, OWN = "restricted", "internal", "open", "own"
FAR_ONES = ("far viewer", "far operator", "far analyst")
BARRED: Mapping[str, tuple[str, ...]] = {
    RESTRICTED: (STRANGER, GUEST, "box", "viewer", "operator", *FAR_ONES),
    INTERNAL: (STRANGER, GUEST, "box", *FAR_ONES),
    OPEN: (STRANGER, "box", *FAR_ONES),
    OWN: (STRANGER, GUEST, "box", "viewer", "far viewer", "operator 2"),
}
"""Who is kept from what: a flight for analysts and all that shows it, one that no guest sees, one that all of
the province see, and what is its maker's own (an upload)."""


@dataclass(frozen=True)
class House:
    """The server, what lets each caller in, and `things`: kind of withholding → parameter → ids."""

    url: str
    secret: Secret
    headers: dict[str, dict[str, str]]
    things: dict[str, dict[str, list[str]]]


_NO_THINGS = """
code secret event event_id page state error z x y tileMatrix tileRow tileCol matrix row column matrix_set
_matrix_set tileMatrixSetId q limit bounds on until tolerance_m made_up lon lat west south east north layer
kind language form format status distance last_s removed vn2000 version reach at most knows also of number
revision collections intersects lang drill
"""
_THINGS = """
ref flight flight_id mosaic_id collection_id item_id ids feature_id sha256 photo mark_id change_id change
settlement_id layer_id upload_id pack_id commune
"""
NOT_A_THING, THINGS = set(_NO_THINGS.split()), set(_THINGS.split())
"""Parameters that name no thing of the house that could be withheld as a whole (an event is no secret), and
those that do."""
NEVER = {"/guest/{secret}", "/openid/begin", "/openid/callback", "/login/{code}"}
"""Doors: they name who comes in, and tell of nothing."""


def reads() -> list[tuple[str, str, frozenset[str]]]:
    """(method, path, parameters) of every address of the application that reads."""
    found = []
    for room in _ROUTERS:
        for route in room.routes:
            assert isinstance(route, APIRoute), route
            dependant = route.dependant
            names = {one.alias for one in (*dependant.path_params, *dependant.query_params)}
            found += [(method, route.path, frozenset(names)) for method in route.methods & {"GET", "HEAD"}]
    return sorted(found)


def test_no_parameter_of_an_address_that_reads_is_unknown_here() -> None:
    strange = {one for _, _, names in reads() for one in names} - THINGS - NOT_A_THING
    assert not strange, f"say whether these name a thing that may be withheld: {strange}"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    root = tmp_path_factory.mktemp("reads")
    secret = make_secret(root)
    world, workspace = secret.world, secret.workspace
    catalog = workspace.catalog
    headers = {STRANGER: {}, **{role.value: _by(token) for role, token in TOKENS.items()}}
    outline = shapely.box(LON + 0.3, LAT + 0.3, LON + 0.32, LAT + 0.32)
    far = CommuneRecord(
        code="99900", name=FAR, valid_from=date(2024, 7, 1), wkb=shapely.to_wkb(outline), area_m2=4e6
    )
    catalog.boundaries.put_communes([far])
    for role in (Role.VIEWER, Role.OPERATOR, Role.ANALYST):
        account, _ = add_user(workspace, f"far {role.value}", role.value, FAR)
        catalog.accounts.put(replace(account, token_hash=hash_token(account.name)))
        headers[account.name] = _by(account.name)
    account, _ = add_user(workspace, "operator 2", "operator")
    catalog.accounts.put(replace(account, token_hash=hash_token(account.name)))
    headers["operator 2"] = _by(account.name)
    _, key = invite_guest(workspace, 6.0, None, "người operator")
    headers[GUEST] = {"Cookie": f"{GUEST_COOKIE}={key}"}
    catalog.flights.put_flight(replace(catalog.flights.flight(world.after), name=f"Sau bão {HIDDEN}"))
    set_flight_classification(workspace, world.after, Classification.RESTRICTED, "Quản trị")
    set_flight_classification(workspace, world.drill, Classification.INTERNAL, "Quản trị")
    masts = [(f"YBI {HIDDEN}", shapely.Point(LON + 0.001, LAT - 0.001))]
    layer = add_things(workspace, root / "masts", f"masts {HIDDEN_LAYER}", LayerKind.MAST, masts)
    set_layer_classification(workspace, layer.layer_id, Classification.RESTRICTED, "Quản trị")
    shown = {OPEN: f"{world.before}-colour@0", RESTRICTED: f"{world.after}-colour@2"}
    for number, (kind, change_id) in enumerate(CHANGES.items()):
        one = changed(change_id, square(0, 0, 50 + number), event_id=REAL, after_shown=shown[kind])
        catalog.changes.append([one])
    services = Services(
        workspace=workspace,
        uploads_dir=root / "uploads",
        packs_dir=root / "packs",
        sync_dir=root / "sync",
        pack_command=(sys.executable, "-c", _PACKS),
    )
    with running(services) as url:
        yield House(url, secret, headers, _things(secret, url, headers, layer.layer_id))


def _by(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _things(
    secret: Secret, url: str, headers: Mapping[str, dict[str, str]], layer: str
) -> dict[str, dict[str, list[str]]]:
    world = secret.world
    found = {kind: _of_flight(secret, flight) for kind, flight in
             ((RESTRICTED, world.after), (INTERNAL, world.drill), (OPEN, world.before))}  # fmt: skip
    found[RESTRICTED]["sha256"].append(secret.piece.sha256)
    found[RESTRICTED] |= {"layer_id": [layer], "commune": ["99000"]}
    for kind, change_id in CHANGES.items():
        found[kind] |= {"change_id": [change_id], "change": [change_id]}
    by = headers["operator"]
    upload = httpx.post(f"{url}/api/uploads", json=CARD, headers=by).json()["upload_id"]
    found[OWN] = {"upload_id": [upload]}
    for kind, flight in ((RESTRICTED, world.after), (OPEN, world.before)):
        who = headers["admin"]
        pack = httpx.put(f"{url}/api/packs", json={"flights": [flight]}, headers=who).json()["pack_id"]
        path = f"{url}/api/packs/{pack}"
        until(
            lambda path=path, who=who: httpx.get(path, headers=who).json()["state"] == "made", within_s=600.0
        )
        found[kind]["pack_id"] = [pack]
    return found


def _of_flight(secret: Secret, flight: str) -> dict[str, list[str]]:
    frames = secret.workspace.catalog.frames.list_for_flight(flight)
    photos = sorted({one.header.provenance.source_sha256 for one in frames})
    mosaic = f"{flight}-colour"
    revisions = ("r0", "r2") if flight == secret.world.after else ("r0",)
    return {
        "ref": [flight],
        "flight": [flight],
        "flight_id": [flight],
        "mosaic_id": [mosaic],
        "collection_id": [mosaic],
        "feature_id": [flight],
        "item_id": [f"{mosaic}-{one}" for one in revisions],
        "ids": [f"{mosaic}-{one}" for one in revisions],
        "sha256": photos,
        "photo": photos,
    }


BESIDE: Mapping[str, Sequence[object]] = {
    "event": [REAL],
    "event_id": [REAL],
    "matrix_set": ["WebMercatorQuad"],
    "tileMatrixSetId": ["WebMercatorQuad"],
    "lon": [LON + 0.004],
    "lat": [LAT - 0.0015],
    "revision": ["2", "0"],
    "number": ["0"],
    "commune": ["99000"],
    "collection_id": ["flights"],
    "feature_id": ["1"],
}
"""What stands beside the id of a thing in an address."""
TILE = {"z": 17, "x": 103693, "y": 57360, "tileMatrix": 17, "tileCol": 103693, "tileRow": 57360}


def requests_for(house: House, kind: str) -> Iterator[tuple[str, str, str]]:
    """(method, path of the application, address) of every address with every thing of this kind in it."""
    of_kind = house.things[kind]
    for method, path, names in reads():
        in_path = set(re.findall(r"{(\w+)}", path))
        for thing in sorted(names & set(of_kind)):
            beside = [one for one in sorted(in_path | _needed(path)) if one != thing and one not in TILE]
            choices = [_beside(house, kind, path, thing, one) for one in beside]
            for one, values in product(of_kind[thing], list(product(*choices))):
                case = {**TILE, **dict(zip(beside, values, strict=True)), thing: one}
                address = re.sub(r"{(\w+)}", lambda m, case=case: quote(str(case[m[1]]), safe=""), path)
                query = [f"{n}={quote(str(case[n]))}" for n in (*beside, thing) if n not in in_path]
                yield method, path, f"{address}?{'&'.join(query)}" if query else address
    for mosaic in of_kind.get("mosaic_id", ()):
        yield "GET", "/tiles", f"/tiles/{mosaic}/{TILE['z']}/{TILE['x']}/{TILE['y']}"


def _beside(house: House, kind: str, path: str, thing: str, name: str) -> Sequence[object]:
    if name in ("flight_id", "mosaic_id", "sha256"):  # whose video, whose clip, which piece of it
        return house.things[kind][name][-1:]
    return BESIDE[name]


def _needed(path: str) -> set[str]:
    """Parameters of a query without which an address answers nothing."""
    return {
        "/api/pixel": {"lon", "lat"},
        "/api/changes/impact": {"event"},
    }.get(path, set())


@pytest.mark.parametrize("kind", list(BARRED))
def test_nothing_that_is_withheld_is_told_to_who_asks_for_it_by_name(house: House, kind: str) -> None:
    told = []
    for caller in BARRED[kind]:
        with httpx.Client(base_url=house.url, headers=house.headers[caller] | TUS, timeout=60) as client:
            for method, _, address in requests_for(house, kind):
                answer = client.request(method, address)
                if answer.status_code not in _REFUSED and not _is_empty(answer):
                    told.append((caller, method, address, answer.status_code, answer.text[:200]))
                assert HIDDEN not in answer.text and WORD not in answer.content, (caller, address)
    assert told == []


def _is_empty(answer: httpx.Response) -> bool:
    """A list in which nothing stands, a tile without a pixel, or a question that was not understood."""
    if answer.status_code in (400, 405, 422):
        return True
    if answer.headers.get("content-type") == "image/png":
        return not np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGBA")).any()
    if answer.status_code != 200 or "json" not in answer.headers.get("content-type", ""):
        return False
    said = answer.json()
    return said == [] or (isinstance(said, dict) and said.get("features") == [])


def test_whoever_may_is_told(house: House) -> None:
    """Else what stands above would prove nothing: each address answers an administrator of some thing."""
    answered: set[str] = set()
    asked_at: set[str] = set()
    with httpx.Client(base_url=house.url, headers=house.headers["admin"] | TUS, timeout=60) as client:
        for kind in BARRED:
            for method, path, address in requests_for(house, kind):
                asked_at.add(f"{method} {path}")
                answer = client.request(method, address)
                if answer.status_code == 200 and not _is_empty(answer):
                    answered.add(f"{method} {path}")
    unproven = sorted(asked_at - answered - UNANSWERED)
    assert len(answered) > 25 and not unproven, f"nobody is told anything at {unproven}"


UNANSWERED = {
    "GET /api/changes/impact",
    "GET /api/changes/{change_id}/registration",
    "GET /api/flights/{ref}/gaps",
    "GET /api/flights/{ref}/report",
    "GET /api/redactions",
    "GET /api/uploads/{upload_id}/look",
    "GET /ogc/collections/{collection_id}/items",
    "HEAD /api/sync/steps/{sha256}",
}
"""Of what these tell there is none in this house, so that it proves nothing of them."""


NAMED = (
    "/tilejson/{mosaic}",
    "/tilejson/{mosaic}?revision=2",
    "/tilejson/{mosaic}?revision=99",
    "/tiles/{mosaic}/17/103693/57360",
    "/ogc/collections/{mosaic}/map/tiles",
    "/wmts?service=WMTS&request=GetTile&layer={mosaic}&tilematrix=17&tilerow=57360&tilecol=103693",
    "/cog/{mosaic}/2/99000.tif",
    "/api/flights/{flight}",
    "/api/video/{flight}",
    "/api/video/{flight}/{sha256}.mp4",
)


@pytest.mark.parametrize("template", NAMED)
def test_what_is_withheld_is_told_from_what_is_not_there_by_nothing(house: House, template: str) -> None:
    hidden = {name: house.things[RESTRICTED][f"{name}_id"][0] for name in ("mosaic", "flight")}
    nothing = {"mosaic": "nobody-colour", "flight": "nobody"}
    said = []
    for ids in (hidden, nothing):
        address = template.format(**ids, sha256=house.secret.piece.sha256)
        for language in ("vi", "en"):
            asked = {**house.headers["viewer"], "Accept-Language": language}
            answer = httpx.get(f"{house.url}{address}", headers=asked, timeout=60)
            said.append(
                (answer.status_code, answer.text.replace(ids["mosaic"], "M").replace(ids["flight"], "F"))
            )
    assert said[:2] == said[2:]


def test_figures_count_what_whoever_asks_may_know_of(house: House) -> None:
    def counted(caller: str) -> dict[str, float]:
        text = httpx.get(f"{house.url}/metrics", headers=house.headers[caller], timeout=60).text
        found = re.findall(r"^flycam_(flights|packs){.*} (\S+)$", text, re.MULTILINE)
        return {name: sum(float(n) for one, n in found if one == name) for name in ("flights", "packs")}

    told = {caller: counted(caller) for caller in ("admin", "viewer", "far viewer")}
    assert told["admin"] == {"flights": 3, "packs": 2}
    assert told["viewer"] == {"flights": 2, "packs": 1}
    assert told["far viewer"] == {"flights": 0, "packs": 0}


@pytest.mark.parametrize("caller", [*BARRED[RESTRICTED], "operator 2"])
def test_no_list_tells_of_it(house: House, caller: str) -> None:
    """Every address that needs no id, and what it says with the event named."""
    hidden = [HIDDEN, *([] if caller == "far analyst" else [HIDDEN_LAYER])]
    hidden += [*house.things[RESTRICTED]["ref"], *house.things[RESTRICTED]["change_id"]]
    if caller in (GUEST, *FAR_ONES):
        hidden += house.things[INTERNAL]["ref"]
    if caller in FAR_ONES:
        hidden += [*house.things[OPEN]["ref"], *house.things[OPEN]["change_id"]]
    with httpx.Client(base_url=house.url, headers=house.headers[caller], timeout=60) as client:
        for method, path, names in reads():
            if path in _ENDLESS | NEVER or (set(re.findall(r"{(\w+)}", path)) - {"event_id"}):
                continue
            address = path.replace("{event_id}", REAL)
            for query in {"", f"?event={REAL}" if "event" in names else ""}:
                answer = client.request(method, f"{address}{query}")
                found = [one for one in hidden if one in answer.text]
                assert not found, (address, answer.status_code, found)
