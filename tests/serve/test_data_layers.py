"""Finished revisions on the map: which one is shown, what is known about its pixels, and what never is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

from flycam.geometry.grid import TileId, compute_pixel_centres, make_tile_range, mercator_to_lonlat
from flycam.http.guards import Services
from flycam.mosaic.finish.finished_tiles import estimate_live_error_m
from flycam.mosaic.tiles.codec import read_tile
from flycam.serve.tiles import LEGENDS, DataLayer
from tests.serve.finished import ERRORS_M, finish_by_hand
from tests.serve.running import running
from tests.serve.world import BASE_ZOOM, World, make_world, ns


@pytest.fixture
def house(tmp_path: Path) -> World:
    world = make_world(tmp_path)
    clock = lambda: ns("2024-09-10 20:15")  # noqa: E731  17 hours after the flight
    return replace(world, workspace=replace(world.workspace, clock_ns=clock))


@pytest.fixture
def here(house: World) -> Iterator[httpx.Client]:
    with (
        running(Services(workspace=house.workspace, follow_s=0.05)) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        yield client


def colours(response: httpx.Response) -> np.ndarray:
    """RGBA of an answer that is a picture."""
    assert response.status_code == 200, response.text
    decoded = cv2.imdecode(np.frombuffer(response.content, np.uint8), cv2.IMREAD_UNCHANGED)
    return cv2.cvtColor(decoded, cv2.COLOR_BGRA2RGBA if decoded.shape[2] == 4 else cv2.COLOR_BGR2RGBA)


def a_tile(world: World) -> TileId:
    """A base tile of the flight after the storm that is full of data."""
    mosaic_id = f"{world.after}-colour"
    heads = world.workspace.catalog.tiles.heads(mosaic_id, 0, z=BASE_ZOOM)
    return next(h.tile_id for h in heads if (read_tile(world.workspace.store, h).quality > 0).all())


def rgb_of(layer: DataLayer, number: int) -> list[int]:
    return list(bytes.fromhex(LEGENDS[layer].classes[number].colour[1:]))


def test_the_map_chooses_between_live_and_final(house: World, here: httpx.Client) -> None:
    path = f"/tiles/{house.after}-colour/{a_tile(house)}.png"
    answer = here.get(path)
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    live = colours(answer)
    finish_by_hand(house.workspace, house.after)
    final = colours(here.get(path, params={"revision": 1}))
    assert np.array_equal(final[..., :3], live[..., :3] >> 1)
    assert np.array_equal(colours(here.get(path, params={"revision": 0})), live)
    shown = here.get(f"/api/flights/{house.after}").json()["mosaics"][0]
    assert shown["revision"] == 1
    (one,) = shown["revisions"]
    assert (one["revision"], one["state"], one["has_surface"]) == (1, "published", True)
    assert one["stats"]["tie_points"] == 4321


def test_the_error_layer_has_the_class_of_every_pixel(house: World, here: httpx.Client) -> None:
    finish_by_hand(house.workspace, house.after)
    asked = {"layer": "error"}
    answer = here.get(f"/tiles/{house.after}-colour/{a_tile(house)}", params=asked)
    picture = colours(answer)
    bounds = [0.1, 0.25, 0.5, 1.0, 2.0, 5.0]
    for column in range(0, 256, 5):
        number = sum(ERRORS_M[column] > bound + 0.0005 for bound in bounds)
        assert picture[100, column, :3].tolist() == rgb_of(DataLayer.ERROR, number), ERRORS_M[column]
    again = here.get(answer.request.url, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


def test_live_tiles_have_the_error_of_the_frame_behind_each_pixel(house: World, here: httpx.Client) -> None:
    tile_id, catalog = a_tile(house), house.workspace.catalog
    picture = colours(here.get(f"/tiles/{house.after}-colour/{tile_id}", params={"layer": "error"}))
    head = catalog.tiles.head(f"{house.after}-colour", 0, tile_id)
    assert head is not None
    tile = read_tile(house.workspace.store, head)
    error = estimate_live_error_m(catalog.frames.get(tile.frames[tile.source[9, 9] - 1]), tile_id)
    assert error is not None
    number = sum(error[9, 9] > bound for bound in (0.1, 0.25, 0.5, 1.0, 2.0, 5.0))
    assert picture[9, 9, :3].tolist() == rgb_of(DataLayer.ERROR, number)


def test_a_pixel_of_a_final_says_how_far_off_it_may_be(house: World, here: httpx.Client) -> None:
    finish_by_hand(house.workspace, house.after)
    tile_id, column = a_tile(house), 200
    at = compute_pixel_centres(make_tile_range(tile_id), np.array([50]), np.array([column]))
    lon, lat = mercator_to_lonlat(at)[0]
    params = {"flight": house.after, "lon": lon, "lat": lat}
    said = here.get("/api/pixel", params=params).json()
    assert said["revision"] == 1
    assert said["sigma_m"] == pytest.approx(ERRORS_M[column], abs=0.001)
    assert said["finished"]["shift_sigma_m"] == [0.8, 0.8, 1.2]
    assert (said["finished"]["pose_state"], said["finished"]["ties"]) == ("tied", 321)
    assert said["source_name"].startswith("DJI_")
    live = here.get("/api/pixel", params={**params, "revision": 0}).json()
    assert (live["revision"], live["finished"]) == (0, None)
    assert live["sigma_m"] != pytest.approx(said["sigma_m"])


def test_a_revision_being_written_is_not_there(house: World, here: httpx.Client) -> None:
    finish_by_hand(house.workspace, house.after, publish=False)
    path = f"/tiles/{house.after}-colour/{a_tile(house)}"
    for params in ({"revision": 1}, {"revision": 1, "layer": "error"}, {"revision": 2}):
        assert here.get(path, params=params).status_code == 404
    lon, lat = 104.8, 21.9
    asked = {"flight": house.after, "lon": lon, "lat": lat, "revision": 1}
    assert here.get("/api/pixel", params=asked).status_code == 404
    for wrong in ({"layer": "gold"}, {"revision": "one"}, {"revision": "-1"}):
        assert here.get(path, params=wrong).status_code == 404


def test_a_revision_that_holds_a_withdrawn_frame_is_never_served_again(
    house: World, here: httpx.Client
) -> None:
    finish_by_hand(house.workspace, house.after)
    tile_id = a_tile(house)
    path = f"/tiles/{house.after}-colour/{tile_id}.png"
    final = colours(here.get(path, params={"revision": 1}))
    frame = house.workspace.catalog.frames.list_for_flight(house.after)[0]
    house.workspace.catalog.revisions.retire_holding([frame.frame_id], "nhà dân (UBND tỉnh)")
    assert here.get(path, params={"revision": 1}).status_code == 404
    assert here.get(path, params={"revision": 1, "layer": "surface"}).status_code == 404
    shown = here.get(f"/api/flights/{house.after}").json()["mosaics"][0]
    assert shown["revision"] == 0
    assert [one["state"] for one in shown["revisions"]] == ["retired"]
    for _ in range(3):
        live = colours(here.get(path, params={"revision": 0}))
        assert not np.array_equal(live, final)
