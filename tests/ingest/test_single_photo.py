"""Single photos on a DEM: an orthophoto's pixels are those of the photo at their place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from flycam.drill.photo_drill import DrillReport
from flycam.errors import DatumUnknown, TerrainMissing
from flycam.geodata.dem import load_terrain, read_dem_info
from flycam.geodata.raster import EXERCISE_TAG
from flycam.geometry.camera import project
from flycam.geometry.terrain import interpolate_heights
from flycam.ingest.single_photo import Orthophoto, Orthorectifier
from flycam.media.pixels import open_pixels
from tests.geodata.rasters import read_raster

PHOTO = "DJI_0003.JPG"


@pytest.fixture(scope="module")
def orthophoto(drill: DrillReport) -> Orthophoto:
    return Orthorectifier(drill.dem).orthorectify(drill.photos / PHOTO)


def differences(orthophoto: Orthophoto, photo: Path, dem: Path, datum: str | None = None) -> np.ndarray:
    """Of grey values, between the orthophoto and the photo where collinearity projects its ground to."""
    rows, cols = np.nonzero(orthophoto.valid)
    some = np.random.default_rng(1).choice(len(rows), 4000)
    rows, cols = rows[some], cols[some]
    a, _, west, _, e, north = orthophoto.transform
    places = np.stack([west + (cols + 0.5) * a, north + (rows + 0.5) * e], axis=-1)
    west, south, east, north = orthophoto.bounds_m
    bounds = west - 100.0, south - 100.0, east + 100.0, north + 100.0
    exterior = orthophoto.exterior
    terrain = load_terrain([read_dem_info(dem, datum)], orthophoto.crs, bounds, exterior.vertical_datum)
    ground = np.column_stack([places, interpolate_heights(terrain, places)])
    uv, _ = project(orthophoto.interior, exterior, ground)
    u, v = uv.astype(np.float32).T
    grey = open_pixels(photo).astype(np.float32).mean(axis=-1)
    seen = cv2.remap(grey, u, v, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).ravel()
    return np.asarray(orthophoto.rgb[rows, cols].mean(axis=-1) - seen)


def test_each_pixel_is_that_of_the_photo_at_its_place(orthophoto: Orthophoto, drill: DrillReport) -> None:
    assert orthophoto.rgb.shape == (*orthophoto.valid.shape, 3)
    assert not orthophoto.rgb[~orthophoto.valid].any()
    assert all(orthophoto.valid[edge].any() for edge in (0, -1, np.s_[:, 0], np.s_[:, -1])), "margins are cut"
    assert orthophoto.gsd_m == pytest.approx(0.5, rel=0.2)
    assert orthophoto.exterior.vertical_datum == read_dem_info(drill.dem).datum
    assert np.median(np.abs(differences(orthophoto, drill.photos / PHOTO, drill.dem))) < 0.5
    *affine, north = orthophoto.transform
    moved = replace(orthophoto, transform=(*affine, north + 0.5))
    assert np.median(np.abs(differences(moved, drill.photos / PHOTO, drill.dem))) > 2.0, "half a metre shows"


def test_the_geotiff_holds_it_with_mask_place_and_the_mark_of_a_drill(
    orthophoto: Orthophoto, tmp_path: Path
) -> None:
    orthophoto.write_geotiff(tmp_path / "photo.tif")
    written = read_raster(tmp_path / "photo.tif")
    assert np.array_equal(written.pixels, orthophoto.rgb)
    assert np.array_equal(written.mask > 0, orthophoto.valid)
    assert (written.transform, written.crs) == (orthophoto.transform, orthophoto.crs)
    assert EXERCISE_TAG in written.tags


def test_a_stated_pose_takes_the_place_of_the_recorded_one(
    orthophoto: Orthophoto, drill: DrillReport
) -> None:
    east, north, height = orthophoto.exterior.projection_centre_m
    moved = replace(orthophoto.exterior, projection_centre_m=(east + 40.0, north, height))
    other = Orthorectifier(drill.dem).orthorectify(drill.photos / PHOTO, exterior=moved)
    assert other.exterior == moved
    assert other.bounds_m[0] - orthophoto.bounds_m[0] == pytest.approx(40.0, abs=25.0)
    with pytest.raises(TerrainMissing):
        far = replace(moved, projection_centre_m=(east + 900.0, north + 5000.0, height))
        Orthorectifier(drill.dem).orthorectify(drill.photos / PHOTO, exterior=far)
    with pytest.raises(DatumUnknown):
        local = replace(moved, vertical_datum="LOCAL")
        Orthorectifier(drill.dem).orthorectify(drill.photos / PHOTO, exterior=local)


@pytest.mark.real
def test_a_real_oblique_photo_on_a_surface_model(shared_data: Path) -> None:
    folder = shared_data / "poses" / "odm_drone_oblique"
    photo, dem = folder / "100_0005_0140.tif", folder / "dsm.tif"
    with pytest.raises(DatumUnknown):
        Orthorectifier(dem)
    made = Orthorectifier(dem, "ELLIPSOID").orthorectify(photo)
    assert (made.crs, made.exterior.vertical_datum) == ("EPSG:32651", "ELLIPSOID")
    assert np.median(np.abs(differences(made, photo, dem, "ELLIPSOID"))) < 0.5
