"""A turned camera sees through the turned picture what the camera saw through the picture as it was read."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flycam.geometry.camera import InteriorOrientation, LensModel, project, rotate_exterior, rotate_interior
from flycam.geometry.pose import ExteriorOrientation, PoseSource, rotation_from_gimbal, to_mat3

LENSES = {
    LensModel.PINHOLE: (),
    LensModel.BROWN: (-0.08, 0.02, 0.004, -0.007, 0.001),
    LensModel.FISHEYE: (0.02, -0.003, 0.001, 0.0),
}


def camera(model=LensModel.BROWN, readout_s=None):
    return InteriorOrientation(
        model=model,
        image_size_px=(4000, 2250),
        focal_length_px=(2900.0, 2950.0),
        principal_point_px=(2040.0, 1090.0),
        distortion=LENSES[model],
        readout_s=readout_s,
        calibration_id="test",
    )


def pose(yaw=0.4, pitch=-1.3):
    return ExteriorOrientation(
        projection_centre_m=(500.0, 800.0, 420.0),
        rotation=to_mat3(rotation_from_gimbal(yaw, pitch, 0.02)),
        work_crs="EPSG:32648",
        vertical_datum="EGM2008",
        grid_scale=0.9996,
        sigma_position_m=(1.0, 1.0, 2.0),
        sigma_attitude_rad=(0.01, 0.02, 0.03),
        source=PoseSource.GNSS,
    )


def rotated(uv, size_px, quarters):
    """Where np.rot90(picture, -quarters), a turn clockwise, takes image points."""
    for _ in range(quarters):
        uv, size_px = np.stack([size_px[1] - 1 - uv[:, 1], uv[:, 0]], axis=-1), size_px[::-1]
    return uv


@given(
    model=st.sampled_from(list(LensModel)),
    quarters=st.integers(0, 3),
    yaw=st.floats(-3.0, 3.0),
    pitch=st.floats(-1.57, -0.8),
)
def test_the_same_ground_at_the_turned_pixel(model, quarters, yaw, pitch):
    interior, exterior = camera(model), pose(yaw, pitch)
    east, north = np.meshgrid(np.linspace(420.0, 580.0, 9), np.linspace(720.0, 880.0, 9))
    ground = np.stack([east.ravel(), north.ravel(), np.full(81, 300.0)], axis=-1)
    as_read, depth = project(interior, exterior, ground)
    turned, turned_depth = project(
        rotate_interior(interior, quarters), rotate_exterior(exterior, quarters), ground
    )
    np.testing.assert_allclose(turned, rotated(as_read, interior.image_size_px, quarters), atol=1e-6)
    np.testing.assert_allclose(turned_depth, depth, rtol=1e-12)


def test_the_rows_of_a_picture_upside_down_were_read_from_the_last():
    assert rotate_interior(camera(readout_s=0.03), 2).readout_s == -0.03
    assert rotate_interior(camera(readout_s=0.03), 1).readout_s is None
    assert rotate_interior(camera(readout_s=0.0), 1).readout_s == 0.0
