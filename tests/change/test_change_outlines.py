"""Outlines of changes: how large, long and steep they are."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin

from flycam.change.outlines import measure_outline
from flycam.geodata.crs import WGS84, make_point_transform
from flycam.mosaic.terrain import register_dem
from flycam.workspace import Workspace
from tests.serve.world import LAT, LON, make_workspace
from tests.suites.catalog_suite import commune

CRS = "EPSG:32648"
SIDE = 0.002


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path / "house")


def _slope(folder: Path, degrees: float, unknown_from: float = np.inf) -> Path:
    """Terrain that rises to the east, its heights unknown from so many metres east of the corner."""
    (west, south), (east, north) = make_point_transform(WGS84, CRS)(
        np.array([(LON - 0.001, LAT - 0.001), (LON + 0.004, LAT + 0.004)])
    )
    rows, cols = int((north - south) / 5), int((east - west) / 5)
    east_m = np.broadcast_to(5.0 * np.arange(cols), (rows, cols))
    heights = (100 + east_m * np.tan(np.radians(degrees))).astype(np.float32)
    heights[east_m >= unknown_from] = -9999
    path = folder / "dem.tif"
    shape = {"height": rows, "width": cols, "count": 1, "dtype": "float32"}
    place = {"crs": CRS, "transform": from_origin(west, north, 5, 5), "nodata": -9999}
    with rasterio.open(path, "w", driver="GTiff", **shape, **place) as out:
        out.write(heights, 1)
    return path


SQUARE = shapely.MultiPolygon([shapely.box(LON, LAT, LON + SIDE, LAT + SIDE)])


def test_slope_is_that_of_the_registered_terrain(workspace: Workspace, tmp_path: Path) -> None:
    assert measure_outline(SQUARE, workspace, is_drill=False).slope_deg is None, "no terrain is known"
    register_dem(workspace, _slope(tmp_path, 30.0), "EGM96")
    ground = measure_outline(SQUARE, workspace, is_drill=False)
    assert ground.slope_deg == pytest.approx(30.0, abs=0.1)
    assert ground.length_m == pytest.approx(2 * 110.7, rel=0.01)


def test_a_change_beside_a_drills_commune_lies_in_the_one_that_exists(workspace: Workspace) -> None:
    """One within the drill's box, but not on its ground, lay in no commune."""
    around = commune("90001", "Bản Đôn", (LON - 0.1, LAT - 0.1, LON + 0.1, LAT + 0.1), date(2020, 1, 1))
    corners = [(LON - SIDE, LAT - SIDE), (LON + 2 * SIDE, LAT - SIDE), (LON - SIDE, LAT + 2 * SIDE)]
    made_up = replace(around, code="DT001", wkb=shapely.to_wkb(shapely.Polygon(corners)))
    workspace.catalog.boundaries.put_communes([around, made_up])

    def home(west: float, south: float) -> str:
        ground = shapely.MultiPolygon([shapely.box(west, south, west + SIDE / 10, south + SIDE / 10)])
        return measure_outline(ground, workspace, is_drill=True).commune

    assert home(LON - SIDE / 2, LAT - SIDE / 2) == "DT001"
    assert home(LON + SIDE, LAT + SIDE) == "90001"


def test_slope_is_not_told_where_most_heights_are_unknown(workspace: Workspace, tmp_path: Path) -> None:
    register_dem(workspace, _slope(tmp_path, 30.0, unknown_from=103 + 60), "EGM96")
    assert measure_outline(SQUARE, workspace, is_drill=False).slope_deg is None
    inside = shapely.MultiPolygon([shapely.box(LON, LAT, LON + 0.0004, LAT + SIDE)])
    assert measure_outline(inside, workspace, is_drill=False).slope_deg == pytest.approx(30.0, abs=0.1)
