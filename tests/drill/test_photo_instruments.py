from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flycam.drill.flight import make_exif, make_xmp, simulate_measurements, simulate_yaw_steps
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


def test_the_file_carries_camera_clock_and_the_drills_mark(before: Drill, photo: Path) -> None:
    found = read_metadata(photo)
    assert found.is_drill
    assert "DIỄN TẬP".encode() in photo.read_bytes()
    assert "not a real event" in Image.open(photo).getexif()[0x010E]
    assert found.dewarp is not None and found.dewarped is False
    width, height = before.camera.image_size_px
    centre = (found.dewarp.cx_offset_px + (width - 1) / 2, found.dewarp.cy_offset_px + (height - 1) / 2)
    np.testing.assert_allclose(centre, before.camera.principal_point_px, atol=1e-6)
    assert found.dewarp.fx_px == pytest.approx(before.camera.focal_length_px[0], abs=1e-6)
    assert found.taken_offset == "+07:00"
    assert found.taken_text is not None and found.xmp_time_text is not None
    assert int(found.taken_text[11:13]) - int(found.xmp_time_text[11:13]) == 7


def test_noise_has_a_bias_and_a_scatter_that_scale(before: Drill) -> None:
    many = before.exposures * 40
    true = np.array([e.exterior.projection_centre_m for e in many])

    def errors(noise: float, seed: int = 1) -> np.ndarray:
        found = simulate_measurements(many, 0.0, seed, False, noise)
        place = to_work(np.array([(m.lon_deg, m.lat_deg) for m in found]), "EPSG:32648")
        return np.column_stack([place, [m.relative_m for m in found]]) - true

    one, three = errors(1.0), errors(3.0)
    np.testing.assert_allclose(three, 3.0 * one, atol=1e-5)
    np.testing.assert_allclose(one.std(0), 0.5, rtol=0.25)
    biases = np.array([errors(1.0, seed).mean(0) for seed in range(25)])
    assert 0.5 < biases.std() < 1.1
    yaw = np.array([m.yaw_deg for m in simulate_measurements(many, 0.0, 1, False, 1.0)]) - np.degrees(
        [e.gimbal_rad[0] for e in many]
    )
    assert np.std((yaw + 180) % 360 - 180) == pytest.approx(0.6, rel=0.2)


def test_a_gimbals_yaw_steps_at_turns_and_the_aircrafts_does_not(before: Drill) -> None:
    steps = simulate_yaw_steps(before.exposures, 1, False, 4.0)
    assert len(set(steps)) == 2
    stepped = simulate_measurements(before.exposures, 0.0, 1, False, 0.0, 4.0)
    for exposure, found in zip(before.exposures, stepped, strict=True):
        true = np.degrees(exposure.gimbal_rad[0])
        assert (found.yaw_deg - true + 180) % 360 - 180 == pytest.approx(steps[exposure.strip])
        assert (found.flight_yaw_deg - true + 180) % 360 - 180 == pytest.approx(0.0)
