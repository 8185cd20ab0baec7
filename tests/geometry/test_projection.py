"""The derivatives of the projection are those of the projection, whatever the lens."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flycam.geometry.camera import InteriorOrientation, LensModel, project
from flycam.geometry.pose import ExteriorOrientation, PoseSource, rotation_from_angle_axis, to_mat3
from flycam.geometry.projection import (
    LENS_UNKNOWNS,
    apply_lens_vector,
    compute_rotation_derivative,
    project_camera_points,
    project_with_derivatives,
    to_lens_vector,
)

STEPS = np.array([1e-6, 1e-6, 1e-3, 1e-3, 1e-6, 1e-6, 1e-6, 1e-6, 1e-6])

small = st.floats(-1.0, 1.0)


@st.composite
def lenses(draw):
    """An interior orientation and a lens vector moved away from it."""
    model = draw(st.sampled_from(LensModel))
    count = {LensModel.PINHOLE: 0, LensModel.BROWN: 5, LensModel.FISHEYE: 4}[model]
    terms = [0.03 * draw(small) for _ in range(count)]
    interior = InteriorOrientation(
        model=model,
        image_size_px=(1320, 990),
        focal_length_px=(800.0 + 50 * draw(small), 805.0),
        principal_point_px=(660.0 + 9 * draw(small), 494.0),
        distortion=tuple(terms),
        calibration_id="test",
    )
    moved = to_lens_vector(interior)
    moved[:4] += np.array([0.05, 0.01, 5.0, 5.0]) * [draw(small) for _ in range(4)]
    if model is not LensModel.PINHOLE:
        moved[4 : 4 + count] += 0.01 * draw(small)
    return interior, moved


points = st.lists(
    st.tuples(st.floats(-60.0, 60.0), st.floats(-45.0, 45.0), st.floats(80.0, 160.0)), min_size=1, max_size=6
).map(np.array)


@given(lenses(), points)
def test_the_moved_lens_is_the_camera_it_becomes(lens, camera_m):
    interior, moved = lens
    exterior = ExteriorOrientation(
        projection_centre_m=(0.0, 0.0, 0.0),
        rotation=to_mat3(np.eye(3)),
        work_crs="LOCAL",
        vertical_datum="LOCAL",
        sigma_position_m=(0.0,) * 3,
        sigma_attitude_rad=(0.0,) * 3,
        source=PoseSource.GNSS,
    )
    expected, _ = project(apply_lens_vector(interior, moved), exterior, camera_m)
    found = project_camera_points(interior, moved, camera_m)
    known = np.isfinite(expected)
    np.testing.assert_allclose(found[known], expected[known], atol=1e-8)
    np.testing.assert_allclose(project_with_derivatives(interior, moved, camera_m).uv, found, rtol=0, atol=0)


@given(lenses(), points)
def test_derivatives_by_the_point_and_by_the_turn(lens, camera_m):
    interior, moved = lens
    result = project_with_derivatives(interior, moved, camera_m)
    for axis in range(3):
        step = np.zeros(3)
        step[axis] = 1e-4
        slope = _slope(lambda s, d=step: project_camera_points(interior, moved, camera_m + s * d), 1e-4)
        np.testing.assert_allclose(result.by_camera[:, :, axis], slope, rtol=2e-5, atol=1e-5)
        turn = step * 1e-2

        def turned(s, d=turn):
            return project_camera_points(interior, moved, camera_m @ rotation_from_angle_axis(s * d).T)

        by_turn = result.by_camera @ compute_rotation_derivative(camera_m)
        np.testing.assert_allclose(by_turn[:, :, axis], _slope(turned, 1e-6), rtol=2e-5, atol=1e-3)


@given(lenses(), points)
def test_derivatives_by_the_lens(lens, camera_m):
    interior, moved = lens
    result = project_with_derivatives(interior, moved, camera_m)
    fisheye = interior.model is LensModel.FISHEYE
    for k in range(LENS_UNKNOWNS - (1 if fisheye else 0)):
        step = np.zeros(LENS_UNKNOWNS)
        step[k] = STEPS[k]
        slope = _slope(lambda s, d=step: project_camera_points(interior, moved + s * d, camera_m), STEPS[k])
        np.testing.assert_allclose(result.by_lens[:, :, k], slope, rtol=2e-5, atol=1e-4)


def _slope(function, step):
    return (function(1.0) - function(-1.0)) / (2.0 * step)
