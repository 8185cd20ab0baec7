"""A block beside a reference map: the shift is found in another light, and poor evidence is not used."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from flycam.errors import InputUnusable
from flycam.geodata.raster import ReferenceRaster, write_geotiff
from flycam.model.frame import OrthoPatch
from flycam.mosaic.finish.control import match_reference, open_reference
from tests.mosaic.finish.test_ground_control import EAST, NORTH, frames, terrain

SHIFT = (1.3, -0.9)
GSD_M, SIZE = 0.3, 900


def ground(seed):
    random = np.random.default_rng(seed)
    picture = np.zeros((SIZE, SIZE), np.float32)
    for sigma, weight in ((1.2, 40.0), (3.0, 60.0), (9.0, 60.0)):
        layer = cv2.GaussianBlur(random.normal(size=(SIZE, SIZE)).astype(np.float32), (0, 0), sigma)
        picture += weight * np.sign(layer) * np.sqrt(np.abs(layer) / np.abs(layer).max())
    return picture


def picture(path, values, east=0.0, north=0.0):
    bands = np.repeat(np.clip(values + 128.0, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    half = SIZE * GSD_M / 2
    corner = (GSD_M, 0.0, EAST + 30.0 - half + east, 0.0, -GSD_M, NORTH + half + north)
    write_geotiff(path, bands, corner, "EPSG:32648")
    return path


def patches_of(source):
    """Frames' patches as the block would make them with poses that are off by -SHIFT."""

    def patch(_index, tiles):
        warped = source.warp_to_tiles(tiles)
        quality = np.where(warped.valid, 1000, 0).astype(np.uint16)
        return OrthoPatch(
            tiles=tiles, rgb=warped.rgb, quality=quality, frame_id="f", exterior_version=0, dem_id="d"
        )

    return patch


def tie(tmp_path, reference_values, **options):
    ours = ReferenceRaster(picture(tmp_path / "ours.tif", ground(1)))
    theirs = ReferenceRaster(picture(tmp_path / "map.tif", reference_values, *SHIFT))
    return match_reference(theirs, frames(), patches_of(ours), terrain(), reach_m=5.0, **options)


def test_the_shift_is_found_in_another_light_and_over_changes(tmp_path):
    other = -0.6 * ground(1) + np.random.default_rng(5).normal(0, 6, (SIZE, SIZE)).astype(np.float32)
    other[:, SIZE // 2 + 40 :] = ground(9)[:, SIZE // 2 + 40 :]
    found = tie(tmp_path, other)
    assert found.agreed >= 12
    assert found.shift_m == pytest.approx(SHIFT, abs=0.06)
    assert found.control
    moved = np.array([point.position_m[:2] for point in found.control])
    assert np.isfinite(moved).all()
    assert found.why.values["agreed"] == found.agreed


def test_another_place_is_not_used(tmp_path):
    found = tie(tmp_path, ground(2))
    assert not found.control
    assert "not used" in str(found.why)


def test_a_map_of_elsewhere_is_refused(tmp_path):
    path = picture(tmp_path / "far.tif", ground(1), 20_000.0, 0.0)
    with pytest.raises(InputUnusable, match=r"far\.tif.*not cover"):
        open_reference(path, np.array([[EAST, NORTH]]), "EPSG:32648")
    assert open_reference(picture(tmp_path / "here.tif", ground(1)), np.array([[EAST, NORTH]]), "EPSG:32648")
