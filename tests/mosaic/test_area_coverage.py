from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import shapely

from flycam.geodata.crs import to_lonlat, to_work
from flycam.mosaic.coverage import measure_area_coverage
from flycam.storage.stores import MemoryStore
from tests.mosaic.tiles.ground import LAT, LON, MOSAIC, WORK_CRS, written

MIDDLE = to_work(np.array([[LON, LAT]]), WORK_CRS)[0]


def square(east: float, north: float, width: float, height: float) -> shapely.Polygon:
    """A rectangle of the work CRS from its south-west corner (metres from the middle), as WGS 84."""
    corner = MIDDLE + np.array([east, north])
    ring = corner + np.array([[0, 0], [width, 0], [width, height], [0, height]])
    return shapely.Polygon(to_lonlat(ring, WORK_CRS))


def lens_m2(radius: float, distance: float) -> float:
    """Overlap of two discs of one radius."""
    half = math.acos(distance / 2 / radius)
    return 2 * radius**2 * half - distance / 2 * math.sqrt(4 * radius**2 - distance**2)


def test_covered_ground_is_the_area_in_the_work_crs(tmp_path: Path) -> None:
    store = MemoryStore()
    catalog = written(store, tmp_path)
    areas = {
        "all": square(-100, -100, 400, 200),
        "west": square(-100, -100, 100, 200),
        "inside": square(-20, -20, 40, 40),
        "none": square(-100, 500, 50, 50),
    }
    found = measure_area_coverage(store, catalog.tiles, MOSAIC, areas, WORK_CRS)
    assert set(found) == {"all", "west", "inside"}
    discs = 3 * math.pi * 60**2 - 2 * lens_m2(60, 70)
    assert found["all"].covered_m2 == pytest.approx(discs, rel=2e-3)
    assert found["west"].covered_m2 == pytest.approx(math.pi * 60**2 / 2, rel=5e-3)
    assert found["inside"].covered_m2 == pytest.approx(1600, rel=2e-2)  # 73 pixels wide
    assert found["all"].frames == {"f0", "f1", "f2"}
    assert found["inside"].frames == {"f0"}
