"""Masks on photos of a rehearsal flight: who sees what of it, photo by photo and tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import httpx
import numpy as np
import pytest

from flycam.drill.photo_drill import DrillReport
from flycam.geodata.crs import to_lonlat
from flycam.geometry.camera import project
from flycam.geometry.footprint import project_polygon_to_ground
from flycam.geometry.grid import find_tile_at, lonlat_to_mercator
from flycam.http.guards import Services
from flycam.model.access import Role
from flycam.model.records import FrameRecord
from flycam.mosaic.terrain import load_recorded_terrain
from flycam.serve.pixels import FILL_GREY
from flycam.workspace import Workspace
from tests.finished_house import ingested
from tests.serve.running import running
from tests.serve.world import add_account

MASK = "mask-0000000a"
Ask = Callable[..., httpx.Response]


@dataclass(frozen=True)
class House:
    workspace: Workspace
    photos: list[FrameRecord]
    ask: Ask


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, drill: DrillReport) -> Iterator[House]:
    """A flight's house; `ask(role, method, path)` of its server."""
    workspace = ingested(tmp_path_factory.mktemp("redactions") / "house", drill)
    for role in (Role.VIEWER, Role.OPERATOR, Role.ANALYST, Role.ADMIN):
        add_account(workspace, role.value, role, role.value)
    (flight,) = workspace.catalog.flights.flights()
    photos = [one for one in workspace.catalog.frames.list_for_flight(flight.flight_id) if one.exterior]
    with running(Services(workspace=workspace)) as url, httpx.Client(base_url=url, timeout=60) as client:

        def ask(role: Role, method: str, path: str, **more: object) -> httpx.Response:
            return client.request(method, path, headers={"Authorization": f"Bearer {role.value}"}, **more)  # type: ignore[arg-type]

        yield House(workspace, photos, ask)


def sha_of(photo: FrameRecord) -> str:
    return photo.header.provenance.source_sha256


def seen_by(photo: FrameRecord, points_m: np.ndarray) -> np.ndarray:
    """Where ground points N×3 lie in a photo, N×2 pixels."""
    assert photo.exterior is not None
    return project(photo.header.interior, photo.exterior, points_m)[0]


def pixels_of(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    return cv2.imdecode(np.frombuffer(answer.content, np.uint8), flags)


def is_grey(pixels: np.ndarray) -> np.ndarray:
    return (np.abs(pixels[..., :3].astype(int) - FILL_GREY) <= 16).all(axis=-1)


def share_changed(mine: np.ndarray, theirs: np.ndarray) -> float:
    """Of a photo's pixels those that are another colour, not just pressed again."""
    return float((np.abs(mine.astype(int) - theirs.astype(int)).max(axis=-1) > 32).mean())


def test_a_home_is_covered_in_its_photo_in_others_and_on_the_map(house: House) -> None:
    photo, ask = house.photos[0], house.ask
    width, height = photo.header.interior.image_size_px
    others = {one.frame_id: one for one in house.photos[1:]}
    terrain = load_recorded_terrain(house.workspace, str(photo.dem_id))
    assert photo.exterior is not None

    def middle_of(x: float, y: float) -> np.ndarray:
        spot = np.array([[x - 4, y - 4], [x + 4, y - 4], [x + 4, y + 4], [x - 4, y + 4]])
        return project_polygon_to_ground(spot, photo.header.interior, photo.exterior, terrain)[0].mean(axis=0)

    # a home that a second photo shows too
    home, other, at = next(
        ((x, y), other, place)
        for x in np.linspace(0.2, 0.8, 7) * width
        for y in np.linspace(0.2, 0.8, 7) * height
        for other in others.values()
        for place in seen_by(other, middle_of(x, y)[None])
        if 40 < place[0] < width - 40 and 40 < place[1] < height - 40
    )
    x, y = home
    corners = [[x - 24, y - 24], [x + 24, y - 24], [x + 24, y + 24], [x - 24, y + 24]]
    drawn = {"photo": sha_of(photo), "reason": "home", "corners": corners}
    before = ask(Role.OPERATOR, "GET", f"/api/evidence/{sha_of(photo)}")
    assert ask(Role.VIEWER, "GET", f"/api/evidence/{sha_of(photo)}").status_code == 403
    assert before.content == ask(Role.ADMIN, "GET", f"/api/evidence/{sha_of(photo)}").content

    assert ask(Role.VIEWER, "PUT", f"/api/redactions/{MASK}", json=drawn).status_code == 403
    made = ask(Role.OPERATOR, "PUT", f"/api/redactions/{MASK}", json=drawn)
    assert made.status_code == 200 and made.json()["author"] == "operator"
    assert ask(Role.OPERATOR, "PUT", f"/api/redactions/{MASK}", json=drawn).json() == made.json()
    told = ask(Role.OPERATOR, "GET", f"/api/redactions?photo={sha_of(photo)}").json()
    assert told["size"] == [width, height] and told["masks"] == [made.json()]
    # a server that begins now: what the other told a moment ago holds for two seconds
    with (
        running(Services(workspace=house.workspace)) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):

        def now(role: Role, path: str) -> httpx.Response:
            return client.get(path, headers={"Authorization": f"Bearer {role.value}"})

        inside = np.s_[int(y) - 12 : int(y) + 12, int(x) - 12 : int(x) + 12]
        answer = now(Role.OPERATOR, f"/api/evidence/{sha_of(photo)}")
        covered = pixels_of(answer)
        assert covered.shape[:2] == (height, width) and is_grey(covered[inside]).all()
        assert share_changed(covered, pixels_of(before)) < 0.05, "the rest of the photo is shown"
        assert b"Exif" not in answer.content and b"http://ns.adobe.com" not in answer.content
        assert answer.headers["cache-control"] == "private, no-cache"
        beside = pixels_of(now(Role.OPERATOR, f"/api/evidence/{sha_of(other)}"))
        assert is_grey(beside)[int(at[1]) - 10 : int(at[1]) + 11, int(at[0]) - 10 : int(at[0]) + 11].all()
        whole = pixels_of(now(Role.ADMIN, f"/api/evidence/{sha_of(other)}"))
        assert 0.0 < share_changed(beside, whole) < 0.7
        for role in (Role.VIEWER, Role.OPERATOR):
            small = pixels_of(now(role, f"/api/evidence/{sha_of(photo)}/preview"))
            scale = small.shape[1] / width
            assert is_grey(small[int(y * scale), int(x * scale)])
        for role in (Role.ANALYST, Role.ADMIN):
            assert now(role, f"/api/evidence/{sha_of(photo)}").content == before.content
        ground = to_lonlat(middle_of(x, y)[None, :2], photo.exterior.work_crs)
        mosaic = house.workspace.catalog.tiles.mosaics(photo.flight_id)[0]
        tile, row, column = find_tile_at(mosaic.base_zoom, tuple(lonlat_to_mercator(ground)[0]))
        path = f"/tiles/{mosaic.mosaic_id}/{tile}.png"
        mine, theirs = pixels_of(now(Role.VIEWER, path)), pixels_of(now(Role.ADMIN, path))
        assert (mine[row, column] == 0).all() and theirs[row, column].any()
        assert (mine[..., 3] > 0).any(), "a tile is not hidden for a home"
        lon, lat = ground[0]
        pixel = f"/api/pixel?flight={photo.flight_id}&lon={lon}&lat={lat}"
        assert now(Role.VIEWER, pixel).status_code == 403
        assert now(Role.ANALYST, pixel).status_code == 200
        assert now(Role.VIEWER, f"/api/flights/{photo.flight_id}/report").status_code == 403

    assert ask(Role.OPERATOR, "DELETE", f"/api/redactions/{MASK}").status_code == 403
    gone = ask(Role.ANALYST, "DELETE", f"/api/redactions/{MASK}")
    assert gone.json()["step"] == "taken_back"
    assert ask(Role.ADMIN, "DELETE", f"/api/redactions/{MASK}").json() == gone.json()
    assert ask(Role.ADMIN, "GET", f"/api/redactions?photo={sha_of(photo)}").json()["masks"] == []
    late = ask(Role.OPERATOR, "PUT", f"/api/redactions/{MASK}", json=drawn)
    assert late.status_code == 422 and "đã bị bỏ" in late.text, "who asks late is told, not pleased"
    with running(Services(workspace=house.workspace)) as url, httpx.Client(base_url=url) as client:
        headers = {"Authorization": f"Bearer {Role.OPERATOR.value}"}
        assert client.get(f"/api/evidence/{sha_of(photo)}", headers=headers).content == before.content
    said = [(line.what, line.who) for line in house.workspace.catalog.audit.lines() if "mask" in line.what]
    assert said == [("mask made", "operator"), ("mask taken back", "analyst")]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"corners": [[0, 0], [50, 50], [50, 0], [0, 50]]}, 422),
        ({"corners": [[0, 0], [1, 0], [0, 1]]}, 422),
        ({"corners": [[0, 0], [1, 0]]}, 422),
        ({"reason": "boredom"}, 422),
        ({"photo": "0" * 64}, 404),
        ({"photo": "../etc"}, 422),
    ],
)
def test_what_cannot_be_a_mask_is_refused(house: House, change: dict[str, object], status: int) -> None:
    whole = {"photo": sha_of(house.photos[0]), "reason": "home", "corners": [[0, 0], [50, 0], [50, 50]]}
    answer = house.ask(Role.OPERATOR, "PUT", "/api/redactions/mask-0000000b", json={**whole, **change})
    assert answer.status_code == status, answer.text
    assert house.ask(Role.OPERATOR, "PUT", "/api/redactions/strange", json=whole).status_code == 422
    assert house.ask(Role.ANALYST, "DELETE", "/api/redactions/mask-0000000b").status_code == 404
