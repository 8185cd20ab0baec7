"""The terrain that changes are judged on: given, flown on, registered, or none, which is said."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flycam.change.comparison import compare_sources
from flycam.change.comparison_grid import load_comparison_terrain
from flycam.errors import TerrainMissing
from flycam.geodata.crs import transform_points
from flycam.geodata.raster import write_geotiff
from flycam.geometry.terrain import TerrainGrid, interpolate_heights_on_grid
from flycam.mosaic.raster import OutputGrid
from flycam.mosaic.terrain import register_dem
from tests.change.compared import CRS, NORTH, WEST, Finder, Found, picture, square
from tests.change.ground import ground, other_light

GRID = OutputGrid(west=WEST, north=NORTH, step_x=0.5, step_y=0.5, rows=300, cols=400)
BESIDE_CRS = "EPSG:32649"  # the next zone east of CRS


@dataclass(frozen=True)
class SideOn:
    """A side of a comparison, as far as its terrain goes."""

    ground: TerrainGrid | None = None

    def terrain(self) -> TerrainGrid | None:
        return self.ground


def sides_on(*grounds: TerrainGrid | None) -> Any:
    return tuple(SideOn(one) for one in grounds)


@pytest.fixture
def workspace(make_house):
    return make_house().workspace


def _dem(path: Path, rise: float, *, west: float = WEST) -> Path:
    """Ground that rises to the east by so many metres a metre, 100 m around the pictures."""
    heights = np.tile(np.arange(51, dtype=np.float32) * np.float32(10.0 * rise), (51, 1))
    write_geotiff(path, heights, (10.0, 0.0, west - 105.0, 0.0, -10.0, NORTH + 105.0), CRS, nodata=-9999.0)
    return path


def _plane(crs: str, corner: tuple[float, float], rise: float) -> TerrainGrid:
    """Of 81×81 posts 10 m apart around a corner, rising to the east."""
    return TerrainGrid(
        heights_m=np.tile(np.arange(81, dtype=np.float32) * np.float32(10.0 * rise), (81, 1)),
        origin_m=(corner[0] - 200.0, corner[1] + 200.0),
        post_spacing_m=(10.0, 10.0),
        work_crs=crs,
        vertical_datum="EGM2008",
        dem_id="plane",
    )


def _rise(terrain: TerrainGrid | None) -> float:
    """To the east, of what lies under the grid."""
    assert terrain is not None and terrain.work_crs == CRS
    heights = interpolate_heights_on_grid(terrain, *GRID.centres(0, 0, (GRID.rows, GRID.cols)))
    assert np.isfinite(heights).all()
    return float(np.diff(heights, axis=1).mean() / GRID.step_x)


def test_pictures_are_judged_on_what_is_registered(workspace, tmp_path):
    before = ground(1, 720)
    files = (
        str(picture(tmp_path / "b.tif", before)),
        str(picture(tmp_path / "a.tif", other_light(before))),
    )
    within = Finder([Found(square((400.0, 400.0), 40.0), mean_slope_deg=25.0)])
    register_dem(workspace, _dem(tmp_path / "dem.tif", 0.5), "EGM96")
    done = compare_sources(workspace, *files, tmp_path / "c.gpkg", within)
    heights = within.pairs[0].heights_m
    assert np.isfinite(heights).all()
    assert np.diff(heights, axis=1).mean() / done.gsd_m == pytest.approx(0.5, rel=0.01)
    assert done.changes[0].slope_deg == 25.0


def test_the_file_given_comes_first_and_what_was_flown_on_before_what_is_registered(workspace, tmp_path):
    register_dem(workspace, _dem(tmp_path / "registered.tif", 0.1), "EGM96")
    flown_on, given = _plane(CRS, (WEST, NORTH), 0.3), _dem(tmp_path / "given.tif", 0.7)
    for sides, dem, rise in (
        (sides_on(None, None), None, 0.1),
        (sides_on(None, flown_on), None, 0.3),
        (sides_on(flown_on, None), None, 0.3),
        (sides_on(None, flown_on), given, 0.7),
    ):
        assert _rise(load_comparison_terrain(workspace, sides, dem, GRID, CRS)) == pytest.approx(
            rise, rel=0.01
        )


def test_a_file_given_that_lies_elsewhere_is_refused(workspace, tmp_path):
    register_dem(workspace, _dem(tmp_path / "registered.tif", 0.1), "EGM96")
    with pytest.raises(TerrainMissing):
        far = _dem(tmp_path / "far.tif", 0.7, west=WEST + 5000.0)
        load_comparison_terrain(workspace, sides_on(None, None), far, GRID, CRS)


def test_what_was_flown_on_in_the_next_zone_is_laid_into_this_one(workspace):
    """Its grid is turned by 2.3° against this one's: the ground still rises as steeply."""
    corner = transform_points(np.array([(WEST, NORTH)]), CRS, BESIDE_CRS)[0]
    flown_on = _plane(BESIDE_CRS, (float(corner[0]), float(corner[1])), 0.4)
    terrain = load_comparison_terrain(workspace, sides_on(None, flown_on), None, GRID, CRS)
    assert _rise(terrain) == pytest.approx(0.4, rel=0.02)
    x, y = WEST + 50.0, NORTH - 70.0
    there = transform_points(np.array([(x, y)]), CRS, BESIDE_CRS)[0]
    expected = 0.4 * (there[0] - flown_on.origin_m[0])
    assert interpolate_heights_on_grid(terrain, np.array([x]), np.array([y])) == pytest.approx(
        expected, abs=0.05
    )
