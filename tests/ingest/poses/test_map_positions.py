from __future__ import annotations

import cv2
import numpy as np
import pytest
import rasterio
from affine import Affine

from flycam.errors import InputUnusable
from flycam.geodata.crs import to_work
from flycam.ingest.poses.block_positions import is_map_file, with_map_positions
from flycam.ingest.preflight.flight_table import wrap_degrees
from tests.ingest.photos.made_flights import photo
from tests.ingest.preflight.painted_plain import GSD_M, LENS, SIZE, Flight, painted_plain

CRS = "EPSG:32648"
ORIGIN_M = np.array([479_000.0, 2_421_000.0])
COARSER = 1.5


@pytest.fixture(scope="module")
def flight():
    return Flight(painted_plain())


@pytest.fixture(scope="module")
def photos():
    return [photo(f"{row}.png", image_size_px=SIZE) for row in range(6)]


def drawn(tmp_path, ground, crs=CRS):
    """The painted plain about the flight as a map of another scale and tone."""
    cut = cv2.resize(
        ground[:900, 250:1150], None, fx=1 / COARSER, fy=1 / COARSER, interpolation=cv2.INTER_AREA
    )
    dull = (200.0 - 0.5 * (255.0 - cut)).astype(np.uint8)
    west, north = ORIGIN_M + np.array([250.0 - 500.5, 500.5]) * GSD_M
    transform = Affine(COARSER * GSD_M, 0.0, west, 0.0, -COARSER * GSD_M, north)
    path = tmp_path / "map.tif"
    height, width = dull.shape
    profile = {"driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": "uint8", "crs": crs}
    with rasterio.open(path, "w", transform=transform, **profile) as file:
        file.write(dull, 1)
    return path


def test_photos_without_a_position_are_placed_by_a_map_of_their_ground(tmp_path, flight, photos):
    path = drawn(tmp_path, flight.ground)
    assert is_map_file(path)
    placed, (finding,) = with_map_positions(photos, path, LENS, flight.grey)
    xy = to_work(np.array([(p.lon_deg, p.lat_deg) for p in placed]), CRS)
    np.testing.assert_allclose(xy, ORIGIN_M + flight.true_xy, atol=2.0)
    off = wrap_degrees(np.array([p.direction_deg for p in placed]) - 45.0)
    assert np.abs(off).max() < 3.0
    assert finding.code == "placed_by_map" and "6 of 6" in str(finding.sentence)


def test_a_photo_that_has_a_position_keeps_it_and_one_alone_is_found(tmp_path, flight, photos):
    own = [photo("0.png", image_size_px=SIZE, lon_deg=104.8, lat_deg=21.9), photos[3]]
    placed, _ = with_map_positions(own, drawn(tmp_path, flight.ground), LENS, flight.grey)
    assert placed[0] == own[0]
    (xy,) = to_work(np.array([(placed[1].lon_deg, placed[1].lat_deg)]), CRS)
    np.testing.assert_allclose(xy, ORIGIN_M + flight.true_xy[3], atol=2.0)


def test_a_map_of_another_place_is_refused_by_its_name(tmp_path, flight, photos):
    with pytest.raises(InputUnusable, match=r"map\.tif"):
        with_map_positions(photos, drawn(tmp_path, flight.ground[::-1]), LENS, flight.grey)
