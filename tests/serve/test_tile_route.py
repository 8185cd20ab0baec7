"""The tile route: right pixels, honest caching, the log decides what is current."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

from flycam.geometry.grid import TileId, compute_pixel_centres, make_tile_range
from flycam.http.guards import Services
from flycam.model.access import Role
from flycam.model.flight import Layer
from flycam.model.frame import OrthoPatch
from flycam.model.records import MosaicInfo
from flycam.mosaic.tiles.writer import MosaicWriter
from flycam.workspace import Workspace
from tests.serve.running import running
from tests.serve.world import BASE_ZOOM, World, add_account, colour_at, make_workspace
from tests.unreliable_stores import FaultyStore

TILE = TileId(z=18, x=207400, y=115000)


def picture(response: httpx.Response) -> np.ndarray:
    """RGBA of a tile answer."""
    decoded = cv2.imdecode(np.frombuffer(response.content, np.uint8), cv2.IMREAD_UNCHANGED)
    return cv2.cvtColor(decoded, cv2.COLOR_BGRA2RGBA if decoded.shape[2] == 4 else cv2.COLOR_BGR2RGBA)


def write(workspace: Workspace, value: int, quality: int, mosaic_id: str = "m", half: bool = False) -> int:
    """Merge one grey tile through the real writer; the seq of its log line."""
    mosaic = MosaicInfo(mosaic_id=mosaic_id, flight_id="f", layer=Layer.COLOUR, base_zoom=18, min_zoom=17)
    workspace.catalog.tiles.put_mosaic(mosaic)
    weight = np.full((256, 256), quality, np.uint16)
    if half:
        weight[:, 128:] = 0
    patch = OrthoPatch(
        tiles=make_tile_range(TILE),
        rgb=np.where(weight[..., None] > 0, np.uint8(value), np.uint8(0)) * np.ones(3, np.uint8),
        quality=weight,
        frame_id=f"{value:032x}",
        exterior_version=0,
        dem_id="dem",
    )
    with MosaicWriter(
        workspace.store, workspace.catalog.tiles, mosaic, origin="box", clock_ns=workspace.clock_ns
    ) as writer:
        writer.add(patch)
    head = workspace.catalog.tiles.head(mosaic_id, 0, TILE)
    assert head is not None
    return head.seq


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path)


def test_a_tile_shows_the_ground_that_was_flown(client: httpx.Client, world: World) -> None:
    mosaic = world.mosaic_of(world.after)
    heads = world.workspace.catalog.tiles.heads(mosaic.mosaic_id, 0, z=BASE_ZOOM)
    checked = 0
    for head in heads:
        response = client.get(f"/tiles/{mosaic.mosaic_id}/{head.tile_id}")
        rgba = picture(response)
        seen = rgba[..., 3] > 0
        rows, cols = np.mgrid[0:256, 0:256]
        truth = colour_at(compute_pixel_centres(make_tile_range(head.tile_id), rows, cols), storm=True)
        difference = np.abs(rgba[..., :3].astype(int) - truth)[seen]
        assert difference.mean() < 12, head.tile_id
        checked += int(seen.sum())
    assert checked > 20 * 256 * 256


def test_same_tile_is_answered_304_and_the_etag_is_its_content(client: httpx.Client, world: World) -> None:
    mosaic = world.mosaic_of(world.after)
    head = world.workspace.catalog.tiles.heads(mosaic.mosaic_id, 0, z=BASE_ZOOM)[0]
    path = f"/tiles/{mosaic.mosaic_id}/{head.tile_id}"
    first = client.get(path)
    assert head.content_hash in first.headers["etag"]
    again = client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_only_a_known_version_may_be_kept_for_ever(workspace: Workspace) -> None:
    seq = write(workspace, 100, 10)
    with running(Services(workspace=workspace, follow_s=0.05)) as url, httpx.Client(base_url=url) as client:
        path = f"/tiles/m/{TILE}"
        assert "immutable" not in client.get(path).headers["cache-control"]
        assert "immutable" in client.get(f"{path}?v={seq}").headers["cache-control"]
        assert "immutable" not in client.get(f"{path}?v={seq - 1}").headers["cache-control"]
        assert "immutable" not in client.get(f"{path}?v=999999").headers["cache-control"]


def test_under_an_account_no_tile_is_kept_longer_than_a_minute(workspace: Workspace) -> None:
    seq = write(workspace, 100, 10)
    add_account(workspace, "Lan", Role.VIEWER, "secret")
    headers = {"Authorization": "Bearer secret"}
    with (
        running(Services(workspace=workspace, follow_s=0.05)) as url,
        httpx.Client(base_url=url, headers=headers) as client,
    ):
        settled = f"/tiles/m/{TILE}?v={seq}&r=0&w=rules"
        first = client.get(settled)
        assert first.headers["cache-control"] == "private, max-age=60, must-revalidate"
        again = client.get(settled, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.headers["cache-control"]) == (304, first.headers["cache-control"])
        assert client.get(f"/tiles/m/{TILE}?v={seq - 1}").headers["cache-control"] == "private, no-cache"


def test_a_version_from_the_log_is_never_answered_with_an_older_tile(workspace: Workspace) -> None:
    first = write(workspace, 100, 10)
    services = Services(workspace=workspace, follow_s=3600)
    with running(services) as url, httpx.Client(base_url=url) as client:
        assert picture(client.get(f"/tiles/m/{TILE}?v={first}"))[5, 5, 0] == pytest.approx(100, abs=2)
        second = write(workspace, 200, 20)
        # the server looks at the log once an hour here, yet must not pin the old tile under the new version
        answer = client.get(f"/tiles/m/{TILE}?v={second}")
        assert picture(answer)[5, 5, 0] == pytest.approx(200, abs=2)
        assert "immutable" in answer.headers["cache-control"]


def test_a_picture_begun_before_a_line_is_not_kept_for_ever_under_it(workspace: Workspace) -> None:
    """One reader waits for the store; the log goes on; another asks for what is new, and does not get the
    old picture that is still under way, nor anybody that one for ever."""
    first = write(workspace, 100, 10)
    head = workspace.catalog.tiles.head("m", 0, TILE)
    assert head is not None
    waits, goes_on = threading.Event(), threading.Event()

    def held_up(operation: str, key: str) -> None:
        if key == head.key:
            waits.set()
            assert goes_on.wait(60)

    slow = replace(workspace, store=FaultyStore(workspace.store, held_up))
    with (
        running(Services(workspace=slow, follow_s=3600)) as url,
        httpx.Client(base_url=url, timeout=90) as client,
        ThreadPoolExecutor() as pool,
    ):
        try:
            early = [
                pool.submit(client.get, f"/tiles/m/{TILE}?v={one}&r=0") for one in (first, first + 100_000)
            ]
            assert waits.wait(60)
            second = write(workspace, 200, 20)
            late = pool.submit(client.get, f"/tiles/m/{TILE}?v={second}&r=0").result(30)
        finally:
            goes_on.set()
        assert picture(late)[5, 5, 0] == pytest.approx(200, abs=2)
        assert "immutable" in late.headers["cache-control"]
        assert [picture(one.result())[5, 5, 0] // 10 for one in early] == [10, 10]
        assert ["immutable" in one.result().headers["cache-control"] for one in early] == [True, False]
        assert picture(client.get(f"/tiles/m/{TILE}"))[5, 5, 0] == pytest.approx(200, abs=2)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/tiles/no-such-mosaic/18/1/1", 404),
        ("/tiles/{m}/3/8/0", 404),
        ("/tiles/{m}/99/0/0", 404),
        ("/tiles/{m}/18/1/1.exe", 404),
        ("/tiles/{m}/18/-1/1", 404),
        ("/tiles/../18/1/1", 404),
        ("/tiles/{m}/18", 404),
    ],
)
def test_a_wrong_address_is_said_in_words(client: httpx.Client, world: World, path: str, status: int) -> None:
    response = client.get(path.format(m=world.mosaic_of(world.after).mosaic_id), params={"lang": "vi"})
    assert response.status_code == status
    assert response.json()["message"]


def test_a_lost_object_is_an_error_not_an_empty_tile(workspace: Workspace) -> None:
    write(workspace, 100, 10)
    head = workspace.catalog.tiles.head("m", 0, TILE)
    assert head is not None
    workspace.store.delete(head.key)
    with running(Services(workspace=workspace)) as url, httpx.Client(base_url=url) as client:
        response = client.get(f"/tiles/m/{TILE}")
    assert response.status_code == 503
    assert response.json()["error"] == "ObjectMissing"


def test_a_damaged_object_is_an_error_not_a_picture(workspace: Workspace) -> None:
    write(workspace, 100, 10)
    head = workspace.catalog.tiles.head("m", 0, TILE)
    assert head is not None
    data = bytearray(workspace.store.get(head.key))
    data[len(data) // 2] ^= 0xFF
    workspace.store.delete(head.key)
    workspace.store.put(head.key, bytes(data))
    with running(Services(workspace=workspace)) as url, httpx.Client(base_url=url) as client:
        assert client.get(f"/tiles/m/{TILE}").json()["error"] == "TileCorrupt"
