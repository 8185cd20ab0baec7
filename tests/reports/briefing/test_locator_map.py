"""Where in the province a pack plays: what is shown, what changed, and the ground itself are found on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import cv2
import numpy as np
import pytest
import shapely

from flycam.geometry.grid import mercator_to_lonlat
from flycam.model.board import ChangeStatus
from flycam.model.records import CommuneRecord
from flycam.reports.briefing.contents import gather_contents
from flycam.reports.briefing.maps import draw_locator
from tests.change.impacted import changed
from tests.serve.world import LAT, LON, REAL, World, make_world

AMBER, ORANGE, BLUE = (120, 205, 250), (70, 110, 235), (190, 70, 10)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """With communes around that nobody flew over."""
    made = make_world(tmp_path)
    around = [
        CommuneRecord(
            code=f"88{n:03}",
            name=f"Xã {n}",
            valid_from=date(2024, 7, 1),
            wkb=shapely.to_wkb(shapely.box(LON + x, LAT + y, LON + x + 0.02, LAT + y + 0.02)),
            area_m2=1e8,
        )
        for n, (x, y) in enumerate([(0.02, 0.02), (-0.03, 0.02), (0.02, -0.03), (-0.03, -0.03), (3.0, 0.0)])
    ]
    made.workspace.catalog.boundaries.put_communes(around)
    yield made


def located(world: World) -> np.ndarray:
    jpeg = draw_locator(world.workspace, gather_contents(world.workspace, [world.after]), None)
    assert jpeg is not None
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)


def covered(picture: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((np.abs(picture.astype(int) - colour).max(axis=2) < 24).sum())


def test_communes_that_are_shown_are_filled_and_the_ground_is_framed(world: World) -> None:
    picture = located(world)
    assert covered(picture, AMBER) > 0 and covered(picture, ORANGE) == 0
    frame = np.argwhere(np.abs(picture.astype(int) - BLUE).max(axis=2) < 40)
    middle = (frame.min(axis=0) + frame.max(axis=0)) / 2.0
    rows, cols = picture.shape[:2]
    # the flight lies in the middle of the four communes; the one 300 km off is not drawn
    assert abs(middle[0] - rows / 2.0) < 0.15 * rows and abs(middle[1] - cols / 2.0) < 0.15 * cols
    assert 0.7 < rows / cols < 1.4


def test_a_commune_with_a_confirmed_change_stands_out(world: World) -> None:
    middle = gather_contents(world.workspace, [world.after]).ground.centroid.coords[0]
    lon, lat = mercator_to_lonlat(np.array([middle]))[0]
    shape = shapely.MultiPolygon([shapely.box(lon, lat, lon + 0.0002, lat + 0.0002)])
    shown = f"{world.after}-colour@0"
    one = changed("change-00000001", shape, event_id=REAL, after_shown=shown)
    world.workspace.catalog.changes.append([one])
    assert covered(located(world), ORANGE) == 0, "nobody confirmed it"
    accepted = replace(one, change_id="change-00000002", status=ChangeStatus.ACCEPTED)
    world.workspace.catalog.changes.append([accepted])
    assert covered(located(world), ORANGE) > 0
