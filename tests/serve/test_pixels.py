"""From a pixel to its photo, and the photo byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from flycam.geodata.crs import to_lonlat, to_work
from flycam.geometry.grid import (
    TileId,
    compute_pixel_centres,
    find_tile_at,
    lonlat_to_mercator,
    make_tile_range,
    mercator_to_lonlat,
)
from flycam.http.guards import Services
from flycam.model.access import Role
from flycam.model.records import Withdrawal
from flycam.mosaic.finish.finished_tiles import estimate_live_error_m
from flycam.mosaic.tiles.codec import read_tile
from flycam.storage import keys
from tests.serve.running import running
from tests.serve.world import BASE_ZOOM, World, add_account, make_world, pixel_side_m


def some_pixels(world: World, flight: str) -> Iterator[tuple[float, float, str | None]]:
    """(lon, lat, frame id the lossless state names) of a few pixels of a flight."""
    mosaic = world.mosaic_of(flight)
    for head in world.workspace.catalog.tiles.heads(mosaic.mosaic_id, 0, z=BASE_ZOOM)[::5]:
        tile = read_tile(world.workspace.store, head)
        for row, column in ((3, 250), (128, 128), (200, 17)):
            at = compute_pixel_centres(make_tile_range(head.tile_id), np.array([row]), np.array([column]))
            lon, lat = mercator_to_lonlat(at)[0]
            source = int(tile.source[row, column])
            yield float(lon), float(lat), tile.frames[source - 1] if source else None


def test_a_pixel_names_the_photo_that_gave_it(client: httpx.Client, world: World) -> None:
    seen = set()
    for lon, lat, frame_id in some_pixels(world, world.after):
        answer = client.get("/api/pixel", params={"flight": world.after, "lon": lon, "lat": lat}).json()
        assert (answer["frame_id"] if answer else None) == frame_id
        seen.add(frame_id)
        if answer:
            assert answer["source_name"].startswith("DJI_")
            assert answer["operator"] == "Tổ bay 2"
            assert answer["captured"].startswith("2024-09-10T03:15")
            assert answer["pixel_m"] == pytest.approx(pixel_side_m(), rel=1e-3)
            assert answer["footprint"]["type"] == "Polygon"
    assert len(seen - {None}) > 2


def test_a_live_pixels_error_grows_with_attitude_and_off_nadir_with_height(world: World) -> None:
    """Against the drawn-out sum: on level ground a height off by dz moves a pixel by dz tan(off nadir)."""
    frame = world.workspace.catalog.frames.list_for_flight(world.after)[0]
    pose = frame.exterior
    assert pose is not None and frame.gsd_m is not None
    east, north, _ = pose.projection_centre_m
    below_m = frame.gsd_m * frame.header.interior.focal_length_px[0]
    lonlat = to_lonlat(np.array([[east, north]]), pose.work_crs)
    x, y = lonlat_to_mercator(lonlat)[0]
    tile, row, column = find_tile_at(BASE_ZOOM, (float(x), float(y)))
    calm = replace(pose, sigma_attitude_rad=(0.0, 0.0, 0.0))
    tall = replace(calm, sigma_position_m=(*pose.sigma_position_m[:2], 40.9))
    nadir = estimate_live_error_m(frame, tile)
    assert nadir is not None
    # 1.5 m east and north, 0.01 rad about two axes at 0.52 m x 500 px = 260 m
    assert nadir[row, column] == pytest.approx(np.sqrt(2 * 1.5**2 + 2 * 2.6**2), rel=0.02)
    away = TileId(z=BASE_ZOOM, x=tile.x + 1, y=tile.y)
    off = estimate_live_error_m(replace(frame, exterior=tall), away)
    assert off is not None
    at = compute_pixel_centres(make_tile_range(away), np.array([row]), np.array([column]))
    there = to_work(mercator_to_lonlat(at), pose.work_crs)[0]
    tan = np.hypot(*(there - (east, north))) / below_m
    assert off[row, column] == pytest.approx(np.sqrt(2 * 1.5**2 + (40.9 * tan) ** 2), rel=0.03)
    assert estimate_live_error_m(replace(frame, exterior=None), tile) is None


def a_photo(world: World, number: int = 0) -> tuple[str, bytes]:
    sha256 = world.workspace.catalog.frames.list_for_flight(world.after)[
        number
    ].header.provenance.source_sha256
    return sha256, world.workspace.store.get(keys.format_original_key(sha256))


def test_the_original_comes_back_byte_for_byte(client: httpx.Client, world: World) -> None:
    sha256, data = a_photo(world)
    response = client.get(f"/api/evidence/{sha256}")
    assert hashlib.sha256(response.content).hexdigest() == sha256
    assert response.headers["content-type"] == "image/jpeg"
    assert response.headers["content-length"] == str(len(data))


def test_opening_is_on_record_whatever_the_range_and_a_download_in_pieces_is_one_line(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    (first, data), (second, _) = a_photo(world, 0), a_photo(world, 1)
    with running(Services(workspace=world.workspace)) as url, httpx.Client(base_url=url) as client:
        but_one = client.get(f"/api/evidence/{first}", headers={"Range": "bytes=1-"})
        assert but_one.content == data[1:]
        for start in range(0, 40, 10):
            client.get(f"/api/evidence/{second}", headers={"Range": f"bytes={start}-{start + 9}"})
        client.get(f"/api/evidence/{second}", headers={"Range": f"bytes={len(data) * 9}-"})
    frames = world.workspace.catalog.frames.list_for_flight(world.after)
    opened = [line.subject for line in world.workspace.catalog.audit.lines() if line.what == "photo opened"]
    assert opened == [frames[0].frame_id, frames[1].frame_id]


@pytest.mark.parametrize("name", ["0" * 64, "xyz", "..%2f..%2fetc%2fpasswd"])
def test_only_photos_of_flights_are_handed_out(client: httpx.Client, name: str) -> None:
    assert client.get(f"/api/evidence/{name}").status_code in (404, 422)


def test_a_withdrawn_photo_is_shown_to_administrators_only_and_opening_is_on_record(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    catalog = world.workspace.catalog
    add_account(world.workspace, "Lan", Role.ANALYST, "lan")
    add_account(world.workspace, "Quản trị", Role.ADMIN, "admin")
    sha256, _ = a_photo(world)
    frame = catalog.frames.list_for_flight(world.after)[0]
    withdrawal = Withdrawal(
        frame_id=frame.frame_id, flight_id=world.after, reason="victim", authority="UBND", withdrawn_ns=1
    )
    catalog.frames.withdraw([withdrawal])
    with running(Services(workspace=world.workspace)) as url, httpx.Client(base_url=url) as client:
        for path in (f"/api/evidence/{sha256}", f"/api/evidence/{sha256}/preview"):
            assert client.get(path, headers={"Authorization": "Bearer lan"}).status_code == 403
            assert client.get(path, headers={"Authorization": "Bearer admin"}).status_code == 200
        fates = client.get(f"/api/flights/{world.after}", headers={"Authorization": "Bearer lan"}).json()[
            "frames"
        ]
        assert fates["withdrawn"] == 1
    opened = [line for line in catalog.audit.lines() if line.what == "photo opened"]
    assert [(line.who, line.subject) for line in opened] == [("Quản trị", frame.frame_id)]


@pytest.mark.parametrize("is_given", [True, False])
def test_a_photo_of_another_box_is_said_to_be_there(tmp_path: Path, is_given: bool) -> None:
    world = make_world(tmp_path)
    sha256, _ = a_photo(world)
    store = world.workspace.store
    store.delete(keys.format_original_key(sha256))
    if is_given:
        tile = TileId(z=20, x=1, y=1)
        store.put(keys.format_peer_tile_key("0" * 16, 1, f"{world.after}-colour", tile, "0" * 32), b"a tile")
    with running(Services(workspace=world.workspace)) as url, httpx.Client(base_url=url) as client:
        for path in (f"/api/evidence/{sha256}", f"/api/evidence/{sha256}/preview"):
            answer = client.get(path, headers={"Accept-Language": "vi"})
            assert answer.status_code == (404 if is_given else 503)
            assert ("máy đã bay" in answer.json()["message"]) is is_given
