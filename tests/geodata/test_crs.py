"""Coordinate reference systems: zones, convergence, VN-2000 by its named transformation."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS

from flycam.errors import CrsMissing
from flycam.geodata import crs

LAO_CAI = np.array([[103.97, 22.48]])

lons = st.floats(-179.9, 179.9)
lats = st.floats(-79.9, 83.9)


@given(lons, lats)
def test_the_work_zone_holds_the_place_within_three_degrees(lon: float, lat: float) -> None:
    text = crs.choose_work_crs(lon, lat)
    zone = int(text[-2:])
    assert abs(lon - (zone * 6 - 183)) <= 3.0 + 1e-9
    assert text[5:8] == ("326" if lat >= 0 else "327")


@given(lons, lats)
def test_to_work_and_back_is_identity(lon: float, lat: float) -> None:
    zone = crs.choose_work_crs(lon, lat)
    back = crs.to_lonlat(crs.to_work(np.array([[lon, lat]]), zone), zone)
    assert np.abs(back - [lon, lat]).max() < 1e-8


def test_mercator_to_work_is_exact_to_a_millimetre() -> None:
    bounds = (11_570_000.0, 2_560_000.0, 11_590_000.0, 2_580_000.0)
    to_work = crs.fit_mercator_to_work("EPSG:32648", bounds)
    points = np.random.default_rng(3).uniform(bounds[:2], bounds[2:], (500, 2))
    exact = crs.transform_points(points, crs.WEB_MERCATOR, "EPSG:32648")
    assert np.abs(to_work(points) - exact).max() < 1e-3
    assert to_work is crs.fit_mercator_to_work("EPSG:32648", bounds)


def _helmert(lonlat: np.ndarray, parameters: tuple[float, ...]) -> np.ndarray:
    """VN-2000 geographic from WGS 84 by the inverse seven-parameter coordinate frame rotation (height 0)."""
    a, f = 6378137.0, 1 / 298.257223563
    e2 = f * (2 - f)
    lon, lat = np.radians(lonlat).T
    n = a / np.sqrt(1 - e2 * np.sin(lat) ** 2)
    xyz = np.stack([n * np.cos(lat) * np.cos(lon), n * np.cos(lat) * np.sin(lon), n * (1 - e2) * np.sin(lat)])
    dx, dy, dz, rx, ry, rz, ppm = parameters
    rx, ry, rz = (math.radians(r / 3600) for r in (rx, ry, rz))
    rotation = np.array([[1, rz, -ry], [-rz, 1, rx], [ry, -rx, 1]])
    x, y, z = np.linalg.solve(rotation * (1 + ppm * 1e-6), xyz - np.array([[dx], [dy], [dz]]))
    p = np.hypot(x, y)
    lat = np.arctan2(z, p * (1 - e2))
    for _ in range(8):
        n = a / np.sqrt(1 - e2 * np.sin(lat) ** 2)
        lat = np.arctan2(z + e2 * n * np.sin(lat), p)
    return np.degrees(np.stack([np.arctan2(y, x), lat], axis=-1))


def test_vn2000_uses_the_parameters_of_decision_05_2007() -> None:
    official = (-191.90441429, -39.30318279, -111.45032835, -0.00928836, 0.01975479, -0.00427372, 0.252906278)
    mine = crs.transform_points(LAO_CAI, crs.WGS84, "EPSG:4756")
    assert np.abs(mine - _helmert(LAO_CAI, official)).max() * 111_320 < 0.001


def test_describe_says_unit_datum_and_transformation() -> None:
    tm3 = crs.describe_crs("EPSG:9208")
    assert crs.VN2000_OPERATION in tm3.transformation
    assert (tm3.unit_m, tm3.vertical_datum) == (1.0, None)
    assert crs.describe_crs("EPSG:4326+5773").vertical_datum == "EGM96"
    assert crs.describe_crs("EPSG:32648+3855").vertical_datum == "EGM2008"
    assert crs.describe_crs("EPSG:4979").vertical_datum == "ELLIPSOID"
    assert crs.describe_crs("EPSG:2263").unit_m == pytest.approx(1200 / 3937)


@pytest.mark.parametrize(
    "text",
    [
        "+proj=utm +zone=48 +ellps=WGS84 +nadgrids=/a/b +units=m",
        "+proj=utm +zone=48 +ellps=WGS84 nadgrids = @null,/a/b",
        "+proj=longlat +ellps=WGS84 +geoidgrids=a.gtx",
        "+init=/a/b:c",
        'GEOGCS["a",DATUM["b",SPHEROID["c",6378137,298.25],EXTENSION["PROJ4_GRIDS","/a"]],PRIMEM["d",0],'
        'UNIT["degree",0.0174532925199433]]',
        '{"type": "GeographicCRS", "name": "a"}',
        *(
            CRS.from_user_input(f"+proj=utm +zone=48 +ellps=WGS84 +{name}=/a/b +type=crs").to_wkt(kind)
            for name in ("nadgrids", "geoidgrids")
            for kind in ("WKT2_2019", "WKT1_GDAL")
        ),
    ],
)
def test_a_crs_that_names_a_file_is_refused(text: str) -> None:
    with pytest.raises(CrsMissing):
        crs.parse_crs(text)


def test_no_grid_is_fetched() -> None:
    asked = (
        "import os, flycam.geodata.crs, flycam.geodata.raster_source, pyproj.network; "
        "print(pyproj.network.is_network_enabled(), os.environ['PROJ_NETWORK'])"
    )
    env = {**os.environ, "PROJ_NETWORK": "ON"}
    done = subprocess.run([sys.executable, "-c", asked], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "OFF"]


@pytest.mark.parametrize(
    ("code", "place", "accuracy_m"),
    [
        ("EPSG:27700", (-2.0, 52.0), 2.0),
        ("EPSG:26915", (-93.0, 32.0), 4.0),
        ("EPSG:3148", (105.0, 21.0), 44.0),
        ("EPSG:9208", (104.75, 22.0), 0.0),
        ("EPSG:25832", (9.0, 50.0), 0.0),
        ("EPSG:32648", (105.0, 22.0), 0.0),
        ("EPSG:4326", (105.0, 22.0), 0.0),
    ],
)
def test_a_transformation_that_is_good_to_metres_only_is_known(code, place, accuracy_m) -> None:
    assert crs.estimate_accuracy_m(code, np.array(place)) == accuracy_m
