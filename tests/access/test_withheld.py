"""No door gives ground of a restricted area to those from whom it is withheld.

Every address of the application is asked with every object of the house that fits its parameters; a new
address whose parameters are not known here fails the test until it is told what to ask with.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import httpx
import numpy as np
import pytest
import shapely
from PIL import Image

from flycam.access.accounts import add_user
from flycam.access.policy import UNRESTRICTED
from flycam.access.restrictions import (
    add_restricted_area,
)
from flycam.catalog.access import RestrictedArea, hash_token
from flycam.geometry.grid import (
    TileId,
    compute_pixel_centres,
    find_range_for_bounds,
    lonlat_to_mercator,
    make_tile_range,
    mercator_to_lonlat,
)
from flycam.http.guards import Services
from flycam.model.access import Role
from flycam.model.records import AuditEntry
from flycam.sync.reference_feed import ITEM_NAME_DIGITS, build_feed
from tests.serve.running import running
from tests.serve.secret import BARRACKS, MARK, TOKENS, Secret, make_secret, shows_secret
from tests.serve.world import BASE_ZOOM, DRILL, LAT, LON, MIN_ZOOM, REAL

Case = dict[str, object]
_ENDLESS = {"/events"}


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Secret:
    """The house with the barracks withheld from all but administrators."""
    root = tmp_path_factory.mktemp("secret")
    house = make_secret(root)
    restrict(house, root)
    return house


def restrict_ground(house: Secret, ground: shapely.Polygon) -> None:
    area = RestrictedArea(
        area_id="area-far",
        name="Kho",
        roles=frozenset({Role.ADMIN}),
        sha256="0" * 64,
        added_ns=1,
        wkb=shapely.to_wkb(ground),
        bounds_lonlat_deg=ground.bounds,
    )
    entry = AuditEntry(who="x", what="restricted add", subject=area.area_id, detail="", at_ns=1)
    house.workspace.catalog.restrictions.put(area, entry)


def restrict(house: Secret, root: Path, roles: str = "admin", name: str = "Doanh trại") -> None:
    path = root / "barracks.geojson"
    feature = {"type": "Feature", "properties": {}, "geometry": json.loads(shapely.to_geojson(BARRACKS))}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}), encoding="utf-8")
    add_restricted_area(house.workspace, path, roles, name, "Quản trị")


@pytest.fixture(scope="module")
def at(secret: Secret) -> Iterator[str]:
    with running(Services(workspace=secret.workspace)) as url:
        yield url


def by(role: Role) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS[role]}"}


def tiles() -> list[TileId]:
    """Those that hold some of the barracks, of every zoom."""
    bounds = shapely.transform(BARRACKS, lonlat_to_mercator).bounds
    return [tile for zoom in (MIN_ZOOM, 16, BASE_ZOOM) for tile in find_range_for_bounds(zoom, bounds)]


def known(secret: Secret) -> dict[str, list[object]]:
    """What each parameter can be asked with."""
    world, catalog = secret.world, secret.workspace.catalog
    flights = [world.before, world.after, world.drill]
    mosaics = [f"{one}-colour" for one in (world.before, world.after)]
    photos = [
        frame.header.provenance.source_sha256
        for one in (world.before, world.after)
        for frame in catalog.frames.list_for_flight(one)
    ]
    names: dict[str, list[object]] = {
        "mosaic_id": [*mosaics],
        "collection_id": ["flights", "marks", secret.offering.layer, *mosaics],
        "ref": [*flights],
        "flight_id": [*flights],
        "flight": [*flights],
        "sha256": [*photos, secret.piece.sha256],
        "photo": [*photos],
        "mark_id": [MARK],
        "commune": ["99000", "99001"],
        "revision": [None, 0, 1, 2],
        "layer": [None, "colour", "error", "age", "gsd", "surface"],
        "q": ["cot"],
        "layer_id": [secret.offering.layer],
        "event_id": [REAL, DRILL],
        "event": [REAL],
        "item_id": [f"{mosaics[1]}-r2"],
        "feature_id": [world.after, MARK],
        "lon": [BARRACKS.centroid.x],
        "lat": [BARRACKS.centroid.y],
        "matrix_set": ["WebMercatorQuad"],
        "tileMatrixSetId": ["WebMercatorQuad"],
        "kind": ["html", "pdf"],
        "of": [one.sha256[:ITEM_NAME_DIGITS] for one in build_feed(secret.workspace, UNRESTRICTED).items],
        "west": [LON],
        "south": [LAT],
        "east": [LON + 0.01],
        "north": [LAT + 0.01],
    }
    for unknown in ("change_id", "settlement_id", "pack_id", "upload_id", "step_id", "number"):
        names[unknown] = ["0"]
    return names


_TILE = {"z": "z", "x": "x", "y": "y", "tileMatrix": "z", "tileCol": "x", "tileRow": "y"}
_ASKED_TOO = {"revision", "layer", "kind"}
"""Parameters of a query that need not be given, and choose what is shown."""


def questions(schema: dict[str, Any], secret: Secret) -> Iterator[str]:
    """Every address of every GET with everything that fits."""
    can_be = known(secret)
    for path, methods in sorted(schema["paths"].items()):
        if "get" not in methods or path in _ENDLESS:
            continue
        parameters = methods["get"].get("parameters", ())
        parts = [one["name"] for one in parameters if one["in"] == "path"]
        asked = [
            one["name"]
            for one in parameters
            if one["in"] == "query" and (one.get("required") or one["name"] in _ASKED_TOO)
        ]
        plain = [one for one in [*parts, *asked] if one not in _TILE]
        strange = set(plain) - set(can_be)
        assert not strange, f"{path}: say in `known` what {sorted(strange)} can be asked with"
        for tile in tiles() if set(parts) & set(_TILE) else [None]:
            for values in product(*(can_be[one] for one in plain)):
                yield _address(path, parts, {**dict(zip(plain, values, strict=True)), **_of(tile)})
    yield from _tiles(secret)


def _of(tile: TileId | None) -> Case:
    return {} if tile is None else {name: getattr(tile, axis) for name, axis in _TILE.items()}


def _address(path: str, parts: list[str], case: Case) -> str:
    for name in parts:
        path = path.replace(f"{{{name}}}", quote(str(case[name]), safe=""))
    query = [f"{n}={v}" for n, v in case.items() if n not in parts and n not in _TILE and v is not None]
    return f"{path}?{'&'.join(query)}"


def _tiles(secret: Secret) -> Iterator[str]:
    """Addresses that the description does not hold: `/tiles`, and WMTS by key and value."""
    for mosaic, tile in product(
        (f"{one}-colour" for one in (secret.world.before, secret.world.after)), tiles()
    ):
        for suffix, query in product(("", ".png", ".webp"), ("", "?v=99999", "?revision=0", "?revision=2")):
            yield f"/tiles/{mosaic}/{tile}{suffix}{query}"
        yield (
            f"/wmts?service=WMTS&request=GetTile&layer={mosaic}&tilematrixset=WebMercatorQuad"
            f"&tilematrix={tile.z}&tilecol={tile.x}&tilerow={tile.y}&format=image/png"
        )


@pytest.fixture(scope="module")
def addresses(at: str, secret: Secret) -> list[str]:
    return list(questions(httpx.get(f"{at}/api/openapi.json").json(), secret))


def leaks(at: str, addresses: list[str], role: Role) -> list[str]:
    """Those that show some of the barracks."""
    with httpx.Client(base_url=at, timeout=60, headers=by(role)) as client:
        return [one for one in addresses if shows_secret(client.get(one).content)]


@pytest.mark.parametrize("role", [one for one in TOKENS if one is not Role.ADMIN])
def test_no_door_shows_restricted_ground_to_whom_it_is_withheld_from(
    at: str, addresses: list[str], role: Role
) -> None:
    assert leaks(at, addresses, role) == []


def test_a_role_that_is_named_sees_it_at_every_door(at: str, addresses: list[str]) -> None:
    """Else the tests above would prove nothing."""
    found = leaks(at, addresses, Role.ADMIN)
    for door in ("/tiles/", "/ogc/", "/wmts", "/cog/", "/api/marks/", "/api/video/", "/api/airborne/"):
        assert any(one.startswith(door) for one in found), door
    photos = [one for one in found if one.startswith("/api/evidence/")]
    assert any(one.endswith("/preview?") for one in photos) and any("preview" not in one for one in photos)
    for zoom in (16, BASE_ZOOM):
        assert any(f"-colour/{zoom}/" in one for one in found)


def test_nothing_that_was_made_or_kept_for_an_administrator_is_given_to_who_asks_next(
    at: str, addresses: list[str]
) -> None:
    """By its tag, in part, to continue it, or its head alone."""
    asked = 0
    with httpx.Client(base_url=at, timeout=60) as client:
        for address in leaks(at, addresses, Role.ADMIN):
            theirs = client.get(address, headers=by(Role.ADMIN))
            tag = theirs.headers.get("etag", '"none"')
            for method, headers in (
                ("GET", {"If-None-Match": tag}),
                ("GET", {"If-None-Match": "*"}),
                ("GET", {"Range": "bytes=0-"}),
                ("GET", {"Range": "bytes=-900", "If-Range": tag}),
                ("HEAD", {}),
            ):
                mine = client.request(method, address, headers=by(Role.VIEWER) | headers)
                assert mine.status_code not in (206, 304, 416), (address, headers)
                assert not shows_secret(mine.content), (address, headers)
                assert mine.headers.get("etag") != tag, (address, headers)
                asked += 1
    assert asked > 100


def test_a_clip_is_withheld_by_the_boundaries_that_cut_it(secret: Secret) -> None:
    """The leak: the commune as it is today was looked at, and its clip is of the day of the flight."""
    boundaries = secret.workspace.catalog.boundaries
    then = boundaries.commune("99000")
    west, south, _, north = shapely.from_wkb(then.wkb).bounds
    small = shapely.to_wkb(shapely.box(west, south, west + 0.001, north))
    path = f"/cog/{secret.offering.mosaic}/2/99000.tif"
    boundaries.put_communes([replace(then, valid_from=date(2025, 7, 1), wkb=small)])
    with running(Services(workspace=secret.workspace)) as url, httpx.Client(base_url=url, timeout=60) as one:
        assert shows_secret(one.get(path, headers=by(Role.ADMIN)).content)
        assert one.get(path, headers=by(Role.VIEWER)).status_code == 403
        items = one.get(f"/stac/collections/{REAL}/items", headers=by(Role.VIEWER)).text
    assert path not in items and "/tiles/" in items


@pytest.fixture
def viewer(at: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=at, timeout=60, headers=by(Role.VIEWER)) as one:
        yield one


def base_tile() -> TileId:
    """A tile of the base zoom with the barracks' middle."""
    middle = shapely.transform(BARRACKS.centroid, lonlat_to_mercator)
    (tile,) = find_range_for_bounds(BASE_ZOOM, (middle.x, middle.y, middle.x, middle.y))
    return tile


def within(tile: TileId) -> np.ndarray:
    """256×256, where centres of pixels lie in the barracks."""
    rows, columns = np.mgrid[0:256, 0:256]
    centres = compute_pixel_centres(make_tile_range(tile), rows, columns)
    ground = shapely.transform(BARRACKS, lonlat_to_mercator)
    return shapely.contains_xy(ground, centres[..., 0], centres[..., 1])


@pytest.mark.parametrize(
    "query", ["", "?revision=0", "?layer=error", "?layer=age", "?layer=gsd", "?layer=surface"]
)
def test_withheld_pixels_are_transparent_and_their_neighbours_are_not(
    viewer: httpx.Client, secret: Secret, query: str
) -> None:
    tile = base_tile()
    path = f"/tiles/{secret.offering.mosaic}/{tile}.png{query}"
    mine, theirs = (
        cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)
        for answer in (viewer.get(path), viewer.get(path, headers=by(Role.ADMIN)))
    )
    inside = within(tile)
    assert inside.sum() > 1000
    assert (mine[inside] == 0).all(), "no colour under the alpha either"
    flown = theirs[..., 3] > 0 if theirs.shape[2] == 4 else np.ones((256, 256), bool)
    beside = ~cv2.dilate(inside.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool) & flown
    assert beside.sum() > 1000 and (mine[..., 3][beside] > 0).all()


def test_what_one_browser_keeps_is_asked_for_anew_by_who_signs_in_next(
    viewer: httpx.Client, secret: Secret
) -> None:
    path = f"/tiles/{secret.offering.mosaic}/{base_tile()}.png?v=99999&r=2"
    theirs = viewer.get(path, headers=by(Role.ADMIN))
    assert "Cookie" in theirs.headers["vary"] and "Authorization" in theirs.headers["vary"]
    mine = viewer.get(path, headers={"If-None-Match": theirs.headers["etag"]})
    assert mine.status_code == 200 and "immutable" not in mine.headers["cache-control"]
    again = viewer.get(path, headers={"If-None-Match": mine.headers["etag"]})
    assert again.status_code == 304


def test_a_pixel_of_it_is_refused_and_one_beside_it_is_told(viewer: httpx.Client, secret: Secret) -> None:
    places = []
    for inside in (True, False):
        tile = base_tile()
        picture = viewer.get(f"/tiles/{secret.offering.mosaic}/{tile}.png", headers=by(Role.ADMIN)).content
        flown = np.asarray(Image.open(io.BytesIO(picture)).convert("RGBA"))[..., 3] > 0
        rows, columns = np.nonzero(flown & (within(tile) == inside))
        middle = compute_pixel_centres(make_tile_range(tile), rows[-1:], columns[-1:])
        places.append(mercator_to_lonlat(middle)[0].tolist())
    for (lon, lat), is_inside in zip(places, (True, False), strict=True):
        asked = {"flight": secret.world.after, "lon": lon, "lat": lat}
        assert viewer.get("/api/pixel", params=asked, headers=by(Role.ADMIN)).json()["source_sha256"]
        assert viewer.get("/api/pixel", params=asked).status_code == (403 if is_inside else 200)


@pytest.mark.parametrize("path", ["/api/pixel", "/api/oblique"])
def test_ground_that_nobody_flew_tells_nothing_of_what_is_restricted_there(secret: Secret, path: str) -> None:
    """Else whoever asks for place after place draws the areas that `/api/restricted` keeps from them."""
    far = shapely.box(LON + 0.3, LAT + 0.3, LON + 0.31, LAT + 0.31)
    restrict_ground(secret, far)
    asked = {"flight": secret.world.after, "event": REAL, "lat": LAT + 0.305}
    with running(Services(workspace=secret.workspace)) as url:
        told = [
            httpx.get(
                f"{url}{path}", params={**asked, "lon": LON + east}, headers=by(Role.VIEWER)
            ).status_code
            for east in (0.305, 0.355)
        ]
    if told[1] != 200:
        pytest.fail(f"{told}: not understood")
    assert told[0] == told[1]


def test_a_mark_for_rescuers_stands_and_its_photo_does_not(viewer: httpx.Client) -> None:
    marks = viewer.get("/api/marks").json()["features"]
    assert MARK in {one["properties"]["mark_id"] for one in marks}
    assert viewer.get(f"/api/marks/{MARK}/photo").status_code == 403


SCOPED = {"Authorization": "Bearer of-one-commune"}


@pytest.fixture(scope="module")
def scoped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Secret, str, shapely.Geometry]]:
    """A house, its address, and the ground of the only commune that an account is for."""
    house = make_secret(tmp_path_factory.mktemp("scoped"))
    workspace = house.workspace
    (code, name) = next(iter(workspace.catalog.boundaries.names().items()))
    account, _ = add_user(workspace, "Xã", "analyst", name)
    assert account.communes == (code,)
    workspace.catalog.accounts.put(replace(account, token_hash=hash_token("of-one-commune")))
    with running(Services(workspace=workspace)) as url:
        yield house, url, shapely.from_wkb(workspace.catalog.boundaries.commune(code).wkb)


def test_an_account_of_a_commune_sees_no_pixel_beyond_it_and_those_within(
    scoped: tuple[Secret, str, shapely.Geometry],
) -> None:
    house, url, ground = scoped
    mercator = shapely.transform(ground, lonlat_to_mercator)
    heads = house.workspace.catalog.tiles.heads(house.offering.mosaic, 2)
    counted = {True: 0, False: 0}
    with httpx.Client(base_url=url, headers=SCOPED) as client:
        for tile in [one.tile_id for one in heads]:
            path = f"/tiles/{house.offering.mosaic}/{tile}.png"
            mine, theirs = (
                np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGBA"))
                for answer in (client.get(path), client.get(path, headers=by(Role.ADMIN)))
            )
            rows, columns = np.mgrid[0:256, 0:256]
            centres = compute_pixel_centres(make_tile_range(tile), rows, columns)
            inside = shapely.contains_xy(mercator, centres[..., 0], centres[..., 1])
            assert (mine[~inside] == 0).all()
            deep = cv2.erode(inside.astype(np.uint8), np.ones((7, 7), np.uint8)).astype(bool)
            assert (mine[deep][..., 3] == theirs[deep][..., 3]).all()
            counted[True] += int((deep & (theirs[..., 3] > 0)).sum())
            counted[False] += int((~inside & (theirs[..., 3] > 0)).sum())
    assert min(counted.values()) > 1000, "the flight lies within and without"
