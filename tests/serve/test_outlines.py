"""Outlines of what was imaged."""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
import pytest
import shapely

from flycam.geodata.crs import WGS84, make_point_transform
from flycam.geometry.grid import compute_ground_pixel_m, get_tile_bounds, mercator_to_lonlat
from flycam.http.guards import Services
from flycam.model.records import FrameStatus
from flycam.mosaic.tiles.codec import decode_mask
from tests.serve.finished import finish_by_hand
from tests.serve.running import running
from tests.serve.test_coverage_gaps import CRS
from tests.serve.world import DRILL, LAT, REAL, World, make_world


def metric(wkb: bytes | None) -> shapely.Geometry:
    assert wkb is not None
    return shapely.transform(shapely.from_wkb(wkb), make_point_transform(WGS84, CRS))


def test_simplified_outline_stays_close_to_the_footprints(client: httpx.Client, world: World) -> None:
    collection = client.get("/api/outlines", params={"event": DRILL}).json()
    (feature,) = collection["features"]
    mosaic = world.mosaic_of(world.drill)
    assert feature["properties"] == {
        "flight_id": world.drill,
        "mosaic_id": mosaic.mosaic_id,
        "layer": "colour",
        "revision": 0,
        "on_show": True,
    }
    used = world.workspace.catalog.frames.list_for_flight(world.drill, FrameStatus.USED)
    exact = shapely.union_all(shapely.from_wkb([frame.footprint_wkb for frame in used]))
    drawn = shapely.geometry.shape(feature["geometry"])
    assert drawn.symmetric_difference(exact).area < 0.02 * exact.area
    assert len(client.get("/api/outlines").json()["features"]) == 3
    assert client.get("/api/outlines", params={"event": "none"}).status_code == 404


def test_a_finished_revision_is_outlined_where_its_pixels_lie(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    number = finish_by_hand(world.workspace, world.after, columns=4)
    with running(Services(workspace=world.workspace)) as url:
        features = httpx.get(f"{url}/api/outlines", params={"event": REAL}).json()["features"]
        item = httpx.get(f"{url}/stac/collections/{REAL}/items/{world.after}-colour-r{number}").json()
    drawn = {
        one["properties"]["revision"]: (one["properties"]["on_show"], shapely.geometry.shape(one["geometry"]))
        for one in features
        if one["properties"]["flight_id"] == world.after
    }
    assert set(drawn) == {0, number}
    (live_shown, live), (final_shown, final) = drawn[0], drawn[number]
    assert (live_shown, final_shown) == (False, True)
    pixels, east_deg = pixels_of(world, number)
    assert metric(shapely.to_wkb(final)).area == pytest.approx(pixels, rel=0.01)
    assert final.bounds[2] == pytest.approx(east_deg, abs=1e-5)
    assert live.bounds[2] - final.bounds[2] > 0.3 * (live.bounds[2] - live.bounds[0])
    assert shapely.geometry.shape(item["geometry"]).equals_exact(final, 1e-9)


def pixels_of(world: World, number: int) -> tuple[float, float]:
    """(ground of a revision's pixels in square metres, longitude of the eastern edge of its tiles)."""
    mosaic = world.mosaic_of(world.after)
    heads = world.workspace.catalog.tiles.heads(mosaic.mosaic_id, number, z=mosaic.base_zoom)
    store = world.workspace.store
    count = sum(int(decode_mask(store.get(head.key), head.tile_id).sum()) for head in heads)
    east = max(get_tile_bounds(head.tile_id)[2] for head in heads)
    edge = float(mercator_to_lonlat(np.array([[east, 0.0]]))[0, 0])
    return count * compute_ground_pixel_m(mosaic.base_zoom, LAT) ** 2, edge
