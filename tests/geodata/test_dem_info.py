"""What a terrain file says of itself, and every way in which it can be unusable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from flycam.errors import DatumUnknown, SourceUnreadable
from flycam.geodata.dem import is_in_feet, load_terrain, read_dem_info
from tests.geodata.dem_files import EAST, NORTH, ground, write_dem

UTM = "EPSG:32648"
BOUNDS = (EAST + 95.0, NORTH - 305.0, EAST + 305.0, NORTH - 95.0)


def test_the_id_follows_the_bytes_and_the_datum_not_the_name(tmp_path: Path) -> None:
    path = write_dem(tmp_path / "a.tif", ground(40, 40))
    copy = tmp_path / "b.tif"
    copy.write_bytes(path.read_bytes())
    other = write_dem(tmp_path / "c.tif", ground(40, 40) + 1)
    one = read_dem_info(path, "EGM96").dem_id
    assert one == read_dem_info(copy, "EGM96").dem_id
    assert one != read_dem_info(path, "EGM2008").dem_id
    assert one != read_dem_info(other, "EGM96").dem_id


@pytest.mark.parametrize(
    ("name", "crs", "tags", "datum", "source"),
    [
        ("x.tif", "EPSG:32648+3855", {}, "EGM2008", "vertical CRS"),
        ("x.tif", "EPSG:4979", {}, "ELLIPSOID", "vertical CRS"),
        ("x.tif", UTM, {"VERTICAL_DATUM": "EGM96"}, "EGM96", "tag VERTICAL_DATUM"),
        ("Copernicus_DSM_COG_10_N21_00_E104_00_DEM.tif", UTM, {}, "EGM2008", "product name"),
        ("N21E104_FABDEM_V1-2.tif", UTM, {}, "EGM2008", "product name"),
        ("ALPSMLC30_N021E104_DSM.tif", UTM, {}, "EGM96", "product name"),
    ],
)
def test_the_datum_is_found_where_the_file_states_it(
    tmp_path: Path, name: str, crs: str, tags: dict[str, str], datum: str, source: str
) -> None:
    place = {"first_post": (104.0, 21.0), "step": 1e-4} if crs == "EPSG:4979" else {}
    info = read_dem_info(write_dem(tmp_path / name, ground(20, 20), crs=crs, tags=tags, **place))
    assert (info.datum, info.datum_source) == (datum, source)


def test_a_datum_that_nobody_states_is_asked_for(tmp_path: Path) -> None:
    path = write_dem(tmp_path / "plain.tif", ground(20, 20))
    with pytest.raises(DatumUnknown, match=r"^plain\.tif: .*--datum EGM96"):
        read_dem_info(path)
    with pytest.raises(DatumUnknown, match="'MSL' is not known"):
        read_dem_info(path, "MSL")


def test_the_operator_beats_the_file_and_is_told(tmp_path: Path) -> None:
    path = write_dem(tmp_path / "x.tif", ground(20, 20), crs="EPSG:32648+3855")
    info = read_dem_info(path, "EGM96")
    assert info.datum == "EGM96"
    (warning,) = info.warnings
    assert {"EGM2008", "EGM96"} <= set(map(str, warning.values.values()))


@pytest.mark.parametrize(
    ("unit", "crs", "factor"),
    [
        ("ft", UTM, 0.3048),
        ("US survey foot", UTM, 1200 / 3937),
        (None, "EPSG:32648+8228", 0.3048),
    ],
)
def test_feet_that_the_file_states_become_metres(
    tmp_path: Path, unit: str | None, crs: str, factor: float
) -> None:
    metres = ground(60, 60)
    path = write_dem(tmp_path / "feet.tif", (metres / factor).astype(np.float32), unit=unit, crs=crs)
    info = read_dem_info(path, "EGM96")
    assert any("converted to metres" in w and w.startswith("feet.tif") for w in map(str, info.warnings))
    terrain = load_terrain([info], UTM, BOUNDS)
    assert np.abs(terrain.heights_m - metres[9:32, 9:32]).max() < 1e-3
    assert info.height_range_m[1] == pytest.approx(float(metres.max()), abs=1e-3)


def test_feet_that_nobody_states_show_against_other_heights() -> None:
    rng = np.random.default_rng(0)
    true = rng.uniform(150, 900, 40)
    noisy = true + rng.normal(0, 8, 40)
    assert is_in_feet(true / 0.3048, noisy)
    assert not is_in_feet(true, noisy)
    assert not is_in_feet(np.array([30.0]), np.array([9.1]))
    assert not is_in_feet(np.array([np.nan]), np.array([500.0]))


def test_heights_no_mountain_has_are_unknown_and_said(tmp_path: Path) -> None:
    heights = ground(20, 20)
    heights[3, 3:6] = -32768.0
    heights[4, 4] = 3.4e38
    info = read_dem_info(write_dem(tmp_path / "x.tif", heights), "EGM96")
    assert info.hole_fraction == pytest.approx(4 / 400)
    assert 4 in info.warnings[0].values.values()
    assert info.height_range_m[0] > 290


def _picture(path: Path) -> None:
    with rasterio.open(
        path, "w", driver="GTiff", height=8, width=8, count=3, dtype="uint8", crs=UTM,
        transform=rasterio.transform.from_origin(EAST, NORTH, 1, 1),
    ) as target:  # fmt: skip
        target.write(np.zeros((3, 8, 8), np.uint8))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: p.write_bytes(b""), "raster"),
        (lambda p: p.write_text("these are not heights"), "raster"),
        (_picture, "picture"),
        (lambda p: None, "no such file"),
        (lambda p: p.mkdir(), "raster"),
    ],
)
def test_what_is_no_terrain(tmp_path: Path, make: object, words: str) -> None:
    path = tmp_path / "bad.tif"
    make(path)  # type: ignore[operator]
    with pytest.raises(SourceUnreadable, match=rf"bad\.tif: .*{words}"):
        read_dem_info(path, "EGM96")
