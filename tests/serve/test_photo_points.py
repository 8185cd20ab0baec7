"""Where a place lies in a photo, against the projection drawn out by hand; and what is seen from the side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from flycam.catalog.tables import frames as frame_table
from flycam.geodata.crs import to_lonlat
from flycam.geometry.pose import ExteriorOrientation
from flycam.geometry.terrain import make_flat_terrain
from flycam.http.guards import Services
from flycam.model.records import FrameRecord
from flycam.mosaic.terrain_codec import assign_content_id, encode_terrain
from flycam.serve.pixels import compute_pitch_deg, find_newest_oblique
from flycam.storage import keys
from tests.serve.finished import finish_by_hand
from tests.serve.running import running
from tests.serve.world import World, make_world

GROUND_M = 100.0
PLANE = assign_content_id(make_flat_terrain(GROUND_M, "EPSG:32648", "EGM96", (465e3, 2410e3, 495e3, 2440e3)))


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Its photos lie on a plane that is on record."""
    made = make_world(tmp_path)
    made.workspace.store.put(keys.format_terrain_key(PLANE.dem_id), encode_terrain(PLANE))
    with made.workspace.catalog.frames._database.write() as connection:
        mine = frame_table.c.exterior.is_not(None)
        connection.execute(frame_table.update().where(mine).values(dem_id=PLANE.dem_id))
    return made


@pytest.fixture
def client(world: World) -> Iterator[httpx.Client]:
    with running(Services(workspace=world.workspace)) as url, httpx.Client(base_url=url, timeout=60) as one:
        yield one


def a_frame(world: World) -> tuple[FrameRecord, ExteriorOrientation]:
    frame = world.workspace.catalog.frames.list_for_flight(world.after)[2]
    assert frame.exterior is not None
    return frame, frame.exterior


def beside(pose: ExteriorOrientation, east_m: float, north_m: float) -> tuple[float, float]:
    """Longitude and latitude of a place so far from below a camera."""
    x, y, _ = pose.projection_centre_m
    lon, lat = to_lonlat(np.array([[x + east_m, y + north_m]]), pose.work_crs)[0]
    return float(lon), float(lat)


def tilted(pose: ExteriorOrientation, pitch: float) -> ExteriorOrientation:
    """Looking north, so far below the horizon."""
    down, level = np.sin(np.radians(-pitch)), np.cos(np.radians(-pitch))
    return replace(pose, rotation=((1.0, 0.0, 0.0), (0.0, -down, -level), (0.0, level, -down)))


def test_the_spot_is_where_the_camera_saw_the_place(client: httpx.Client, world: World) -> None:
    """A camera straight down, 520 m above the plane, 500 px of focal length: x grows east, y south."""
    frame, pose = a_frame(world)
    east_m, north_m = 20.8, 52.0
    lon, lat = beside(pose, east_m, north_m)
    for revision in (0, 1):
        if revision:
            number = finish_by_hand(world.workspace, world.after)
            record = world.workspace.catalog.revisions.get(world.mosaic_of(world.after).mosaic_id, number)
            world.workspace.catalog.revisions.publish(replace(record, dem_id=PLANE.dem_id))
        asked = {"flight": world.after, "lon": lon, "lat": lat, "revision": revision}
        said = client.get("/api/pixel", params=asked).json()
        own = world.workspace.catalog.frames.get(said["frame_id"]).exterior
        assert own is not None
        x, y, _ = pose.projection_centre_m
        ce, cn, ch = own.projection_centre_m
        scale = 500.0 / ((ch - GROUND_M) * own.grid_scale)
        expected = (320.0 + (x + east_m - ce) * scale, 240.0 - (y + north_m - cn) * scale)
        spot = said["spot"]
        assert (spot["width"], spot["height"]) == frame.header.interior.image_size_px
        assert (spot["x"], spot["y"]) == pytest.approx(expected, abs=0.2)


def test_of_several_from_the_side_the_newest_that_shows_the_place_is_taken(world: World) -> None:
    frame, pose = a_frame(world)
    place = beside(pose, 0.0, 0.0)

    def shot(pitch: float, at_ns: int, footprint: bytes | None = frame.footprint_wkb) -> FrameRecord:
        header = replace(frame.header, captured_ns=at_ns)
        return replace(frame, header=header, exterior=tilted(pose, pitch), footprint_wkb=footprint)

    older, newer = shot(-59.0, 1), shot(-10.0, 2)
    assert find_newest_oblique([newer, older, shot(-61.0, 3), shot(-20.0, 4, None)], place) == newer
    assert find_newest_oblique([older], beside(pose, 5000.0, 0.0)) is None
    assert compute_pitch_deg(older.exterior or pose) == pytest.approx(-59.0)
    assert compute_pitch_deg(pose) == pytest.approx(-90.0)
