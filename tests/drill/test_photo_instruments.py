from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flycam.drill.flight import make_exif, make_xmp
from flycam.drill.photo_drill import Drill
from flycam.geodata.crs import compute_convergence_and_scale, to_work
from flycam.geometry.pose import rotation_from_gimbal
from flycam.ingest.photos.photo_reader import read_metadata


@pytest.fixture
def photo(before: Drill, tmp_path: Path) -> Path:
    path = tmp_path / "DJI_0003.JPG"
    measured = before.measured[2]
    Image.new("RGB", before.camera.image_size_px).save(
        path, exif=make_exif(path.name, measured, before.camera), xmp=make_xmp(measured, before.camera)
    )
    return path


def test_without_noise_a_reader_finds_the_true_pose(before: Drill, photo: Path) -> None:
    found = read_metadata(photo)
    true = before.exposures[2].exterior
    for lon, lat in ((found.lon_deg, found.lat_deg), (found.xmp_lon_deg, found.xmp_lat_deg)):
        place = to_work(np.array([[lon, lat]]), true.work_crs)[0]
        np.testing.assert_allclose(place, true.projection_centre_m[:2], atol=1e-3)
    assert found.absolute_altitude_m == pytest.approx(true.projection_centre_m[2], abs=1e-3)
    assert found.relative_altitude_m is not None
    height = found.relative_altitude_m + before.takeoff_m[2]
    assert height == pytest.approx(true.projection_centre_m[2], abs=1e-3)
    gimbal = np.radians([found.gimbal.yaw_deg, found.gimbal.pitch_deg, found.gimbal.roll_deg])
    convergence, _ = compute_convergence_and_scale(true.work_crs, found.lon_deg, found.lat_deg)
    np.testing.assert_allclose(rotation_from_gimbal(*gimbal, convergence), true.rotation, atol=1e-6)
