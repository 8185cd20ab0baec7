"""Outlines of what was imaged."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
import shapely

from flycam.catalog.records import FrameStatus, Withdrawal
from flycam.geodata.crs import WGS84, point_transform
from flycam.serve.imaged import Outlines, imaged_outline
from tests.serve.test_missed import CRS, RING, frames_over
from tests.serve.world import DRILL, World, make_world


def metric(wkb: bytes | None) -> shapely.Geometry:
    assert wkb is not None
    return shapely.transform(shapely.from_wkb(wkb), point_transform(WGS84, CRS))


def test_ground_inside_the_bounds_that_no_photo_saw_lies_outside_the_outline(world: World) -> None:
    bent = metric(imaged_outline(frames_over(world, [(0, 0, 300, 100), (0, 0, 100, 300)]), CRS))
    assert bent.area == pytest.approx(300 * 100 + 100 * 200, rel=5e-3)


def test_a_hole_stays_a_hole_and_a_sliver_does_not(world: World) -> None:
    ring = metric(imaged_outline(frames_over(world, RING), CRS))
    assert ring.area == pytest.approx(300 * 300 - 100 * 100, rel=5e-3)
    sliver = [(0, 0, 300, 150), (0, 150.5, 300, 300), (0, 0, 100, 300), (101, 0, 300, 300)]
    assert len(metric(imaged_outline(frames_over(world, sliver), CRS)).interiors) == 0


def test_two_separate_places_are_two_polygons(world: World) -> None:
    two = metric(imaged_outline(frames_over(world, [(0, 0, 100, 100), (500, 0, 600, 100)]), CRS))
    assert len(shapely.get_parts(two)) == 2
    assert imaged_outline([], CRS) is None


def test_simplified_outline_stays_close_to_the_footprints(client: httpx.Client, world: World) -> None:
    collection = client.get("/api/outlines", params={"event": DRILL}).json()
    (feature,) = collection["features"]
    assert feature["properties"] == {"flight_id": world.drill}
    used = world.workspace.catalog.frames.of_flight(world.drill, FrameStatus.USED)
    exact = shapely.union_all(shapely.from_wkb([frame.footprint_wkb for frame in used]))
    drawn = shapely.geometry.shape(feature["geometry"])
    assert drawn.symmetric_difference(exact).area < 0.02 * exact.area
    assert len(client.get("/api/outlines").json()["features"]) == 3
    assert client.get("/api/outlines", params={"event": "none"}).status_code == 404


def test_an_outline_is_made_again_only_when_tiles_moved(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    catalog = world.workspace.catalog
    flight = catalog.flights.flight(world.after)
    outlines = Outlines(catalog)
    first = outlines.of(flight, 1)
    used = catalog.frames.of_flight(world.after, FrameStatus.USED)
    gone = Withdrawal(
        frame_id=used[0].frame_id, flight_id=world.after, reason="r", authority="a", withdrawn_ns=1
    )
    catalog.frames.withdraw([gone])
    assert outlines.of(flight, 1) is first
    moved = outlines.of(flight, 2)
    assert metric(moved).area < metric(first).area
