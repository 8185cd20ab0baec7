"""Terrain files to the terrain grid: posts kept or interpolated, tiles joined, datums, what is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from flycam.errors import DatumUnknown, TerrainMissing
from flycam.geodata.crs import to_lonlat, to_work, transform_points
from flycam.geodata.dem import load_terrain, read_dem_info, sample_heights
from flycam.geodata.geoid import interpolate_undulation_m
from flycam.geometry.terrain import TerrainGrid, interpolate_heights
from tests.geodata.dem_files import EAST, NORTH, ground, hills, write_dem

UTM = "EPSG:32648"
BOUNDS = (EAST + 95.0, NORTH - 605.0, EAST + 605.0, NORTH - 95.0)


def posts_of(terrain: TerrainGrid) -> tuple[np.ndarray, np.ndarray]:
    rows, cols = terrain.heights_m.shape
    e = terrain.origin_m[0] + terrain.post_spacing_m[0] * np.arange(cols)
    n = terrain.origin_m[1] - terrain.post_spacing_m[1] * np.arange(rows)
    e, n = np.meshgrid(e, n)
    return e, n


def test_a_tilted_plane_has_its_height_at_the_pixel_centre(tmp_path: Path) -> None:
    """The half-pixel shift: a wrong one lifts this plane by 5 m."""
    plane = ground(60, 60, surface=lambda e, n: 0.5 * (e - EAST) + 0.5 * (n - NORTH) + 1000.0)
    info = read_dem_info(write_dem(tmp_path / "dem.tif", plane), "EGM96")
    terrain = load_terrain([info], UTM, (EAST + 100, NORTH - 400, EAST + 400, NORTH - 100))
    at = np.array([[EAST + 203.7, NORTH - 255.1]])
    assert interpolate_heights(terrain, at)[0] == pytest.approx(1000.0 + 0.5 * (203.7 - 255.1), abs=1e-3)
    heights, datum = sample_heights([info], to_lonlat(at, UTM))
    assert heights[0] == pytest.approx(1000.0 + 0.5 * (203.7 - 255.1), abs=1e-3)
    assert datum == "EGM96"


def test_the_grid_does_not_depend_on_the_window(tmp_path: Path) -> None:
    """Refolding a flight later, over a smaller area, must meet the same heights."""
    lon0, lat0 = to_lonlat(np.array([[EAST - 200, NORTH + 200]]), UTM)[0]
    rough = np.random.default_rng(0).uniform(100, 200, (140, 140)).astype(np.float32)
    path = write_dem(tmp_path / "d.tif", rough, first_post=(lon0, lat0), step=1e-4, crs="EPSG:4326")
    info = read_dem_info(path, "EGM96")
    large = load_terrain([info], UTM, BOUNDS)
    small = load_terrain([info], UTM, (EAST + 211.3, NORTH - 402.0, EAST + 333.0, NORTH - 208.8))
    col = round((small.origin_m[0] - large.origin_m[0]) / small.post_spacing_m[0])
    row = round((large.origin_m[1] - small.origin_m[1]) / small.post_spacing_m[1])
    rows, cols = small.heights_m.shape
    assert np.array_equal(small.heights_m, large.heights_m[row : row + rows, col : col + cols])


def test_neighbouring_tiles_meet_without_a_seam(tmp_path: Path) -> None:
    """Tiles that only touch (as Copernicus') leave no empty line between their outer posts."""
    whole = ground(80, 80)
    west = write_dem(tmp_path / "w.tif", whole[:, :40])
    east = write_dem(tmp_path / "e.tif", whole[:, 40:], first_post=(EAST + 400.0, NORTH))
    infos = [read_dem_info(p, "EGM96") for p in (west, east)]
    one = read_dem_info(write_dem(tmp_path / "one.tif", whole), "EGM96")
    joined, single = (load_terrain(d, UTM, BOUNDS) for d in (infos, [one]))
    assert np.array_equal(joined.heights_m, single.heights_m)
    assert joined.dem_id == load_terrain(infos[::-1], UTM, BOUNDS).dem_id != infos[0].dem_id
    places = to_lonlat(np.array([[EAST + 395.0, NORTH - 300.0]]), UTM)
    assert sample_heights(infos, places)[0] == pytest.approx(sample_heights([one], places)[0])


def test_the_finest_goes_first_and_the_coarser_fills_its_hole(tmp_path: Path) -> None:
    fine = ground(80, 80)
    fine[20:31, 20:31] = np.nan
    a = read_dem_info(write_dem(tmp_path / "fine.tif", fine), "EGM96")
    far = (EAST - 300.0, NORTH + 300.0)
    coarse = ground(60, 60, first_post=far, step=30.0, surface=lambda e, n: hills(e, n) + 7.0)
    b = read_dem_info(write_dem(tmp_path / "coarse.tif", coarse, first_post=far, step=30.0), "EGM96")
    terrain = load_terrain([b, a], UTM, BOUNDS)
    e, n = posts_of(terrain)
    offset = terrain.heights_m - hills(e, n)
    filled = (e >= EAST + 200) & (e <= EAST + 300) & (n <= NORTH - 200) & (n >= NORTH - 300)
    assert terrain.post_spacing_m == (10.0, 10.0)
    assert np.abs(offset[filled] - 7.0).max() < 0.1
    assert np.abs(offset[~filled]).max() < 1e-3


def test_heights_are_brought_to_one_datum(tmp_path: Path) -> None:
    info = read_dem_info(write_dem(tmp_path / "dem.tif", ground(80, 80)), "EGM2008")
    terrain = load_terrain([info], UTM, BOUNDS, "EGM96")
    e, n = posts_of(terrain)
    lonlat = to_lonlat(np.stack([e.ravel(), n.ravel()], -1), UTM)
    shift = interpolate_undulation_m("EGM2008", lonlat) - interpolate_undulation_m("EGM96", lonlat)
    assert terrain.vertical_datum == "EGM96"
    assert np.abs(terrain.heights_m.ravel() - (hills(e, n).ravel() + shift)).max() < 1e-3
    assert np.abs(shift).min() > 0.5


def test_local_terrain_is_not_mixed_with_known_datums(tmp_path: Path) -> None:
    info = read_dem_info(write_dem(tmp_path / "dem.tif", ground(80, 80)), "LOCAL")
    assert load_terrain([info], UTM, BOUNDS).vertical_datum == "LOCAL"
    with pytest.raises(DatumUnknown, match="--datum"):
        load_terrain([info], UTM, BOUNDS, "EGM96")


def test_terrain_that_misses_the_flight_says_where_both_lie(tmp_path: Path) -> None:
    info = read_dem_info(write_dem(tmp_path / "elsewhere.tif", ground(40, 40)), "EGM96")
    with pytest.raises(TerrainMissing, match=r"^elsewhere\.tif: .*flycam dem add$"):
        load_terrain([info], UTM, (EAST + 9000, NORTH, EAST + 9500, NORTH + 500))
    with pytest.raises(TerrainMissing, match="registered"):
        load_terrain([], UTM, BOUNDS)
    with pytest.raises(TerrainMissing):
        sample_heights([info], np.array([[10.0, 50.0]]))


@pytest.mark.real
def test_srtm_summit_of_mount_washington(shared_data: Path) -> None:
    """Published height 1,916.6 m (NAVD 88, a metre from EGM96 at most); a 3" post may miss it."""
    info = read_dem_info(shared_data / "dem" / "N44W072.hgt")
    assert (info.datum, info.hole_fraction, info.crs) == ("EGM96", 0.0, "EPSG:4326")
    assert info.height_range_m == (115.0, 1908.0)
    assert info.bounds_lonlat == pytest.approx((-72.0, 44.0, -71.0, 45.0), abs=1e-9)
    summit = to_work(np.array([[-71.3033, 44.2706]]), "EPSG:32619")[0]
    box = (summit[0] - 5000, summit[1] - 5000, summit[0] + 5000, summit[1] + 5000)
    terrain = load_terrain([info], "EPSG:32619", box)
    assert not np.isnan(terrain.heights_m).any()
    at = np.unravel_index(np.argmax(terrain.heights_m), terrain.heights_m.shape)
    e, n = posts_of(terrain)
    assert 1900.0 < terrain.heights_m.max() < 1917.0
    assert np.hypot(e[at] - summit[0], n[at] - summit[1]) < 120.0


@pytest.mark.real
def test_the_dem_warped_to_utm_meets_its_own_posts(shared_data: Path) -> None:
    info = read_dem_info(shared_data / "poses" / "ngi_aerial_mountains" / "dem.tif")
    with rasterio.open(info.path) as source:
        heights, t = source.read(1), source.transform
    rows, cols = (a.ravel() for a in np.mgrid[100:400:7, 60:260:7])
    xy = np.stack([t.c + (cols + 0.5) * t.a, t.f + (rows + 0.5) * t.e], -1)
    in_utm = transform_points(xy, info.crs, "EPSG:32735")
    box = (*in_utm.min(0) - 100, *in_utm.max(0) + 100)
    terrain = load_terrain([info], "EPSG:32735", box)
    error = interpolate_heights(terrain, in_utm) - heights[rows, cols]
    assert np.median(np.abs(error)) < 0.6
    assert np.percentile(np.abs(error), 95) < 3.0
    exact, _ = sample_heights([info], to_lonlat(in_utm, "EPSG:32735"))
    assert np.abs(exact - heights[rows, cols]).max() < 0.01
