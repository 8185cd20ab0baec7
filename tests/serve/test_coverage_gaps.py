"""Holes between footprints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import shapely

from flycam.geodata.crs import WGS84, make_point_transform
from flycam.model.records import FrameRecord
from flycam.serve.flight_routes import find_coverage_gaps
from tests.serve.world import World

CRS = "EPSG:32648"
EAST, NORTH = 272000.0, 2423000.0


def frames_over(world: World, boxes: Sequence[tuple[float, float, float, float]]) -> list[FrameRecord]:
    """Frame records whose footprints are these metric boxes."""
    like = world.workspace.catalog.frames.list_for_flight(world.after)[0]
    shapes = [shapely.box(EAST + w, NORTH + s, EAST + e, NORTH + n) for w, s, e, n in boxes]
    lonlat = [shapely.transform(shape, make_point_transform(CRS, WGS84)) for shape in shapes]
    return [replace(like, footprint_wkb=shapely.to_wkb(shape)) for shape in lonlat]


RING = [(0, 0, 300, 100), (0, 200, 300, 300), (0, 0, 100, 300), (200, 0, 300, 300)]


def test_an_enclosed_hole_is_found_with_its_area(world: World) -> None:
    (hole,) = find_coverage_gaps(frames_over(world, RING), CRS)
    assert hole.area_m2 == pytest.approx(100 * 100, rel=1e-3)
    metric = shapely.transform(shapely.from_wkb(hole.wkb), make_point_transform(WGS84, CRS))
    assert np.hypot(metric.centroid.x - EAST - 150, metric.centroid.y - NORTH - 150) < 0.5


def test_ground_open_to_the_outside_is_the_edge_not_a_hole(world: World) -> None:
    assert find_coverage_gaps(frames_over(world, RING[:3]), CRS) == []
