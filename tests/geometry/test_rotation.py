"""Every notation against the others, and against where the camera must look."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.geometry import pose

angle = st.floats(-3.1, 3.1)
steep = st.floats(-1.5, 1.5)


def axes(r):
    """World directions of the camera's right, down and forward."""
    return r[0], r[1], r[2]


def test_level_gimbal_looks_along_its_yaw_with_the_sky_up():
    right, down, forward = axes(pose.rotation_from_gimbal(np.radians(90.0), 0.0, 0.0))
    np.testing.assert_allclose(forward, (1, 0, 0), atol=1e-12)  # east
    np.testing.assert_allclose(right, (0, -1, 0), atol=1e-12)  # south
    np.testing.assert_allclose(down, (0, 0, -1), atol=1e-12)


def test_belly_camera_looks_forward_when_the_nose_is_up_and_left_when_the_right_wing_is_down():
    _, _, nose_up = axes(pose.rotation_from_body(0.0, np.radians(10.0), 0.0))
    assert nose_up[1] > 0.1
    _, _, right_wing_down = axes(pose.rotation_from_body(0.0, 0.0, np.radians(10.0)))
    assert right_wing_down[0] < -0.1


@given(angle, steep, angle)
def test_gimbal_round_trip(yaw, pitch, roll):
    r = pose.rotation_from_gimbal(yaw + 0.01, pitch, roll, 0.01)
    np.testing.assert_allclose(pose.gimbal_from_rotation(r), [yaw, pitch, roll], atol=1e-8)


@given(angle, steep, angle)
def test_belly_camera_looks_where_the_gimbal_has_its_lower_edge(yaw, pitch, roll):
    right, down, forward = axes(pose.rotation_from_gimbal(yaw, pitch, roll, -0.02))
    belly = pose.rotation_from_body(yaw, pitch, roll, -0.02)
    np.testing.assert_allclose(axes(belly), (right, -forward, down), atol=1e-12)


@given(angle, steep, angle)
def test_opk_round_trip(omega, phi, kappa):
    r = pose.rotation_from_opk(omega, phi, kappa)
    np.testing.assert_allclose(pose.opk_from_rotation(r), [omega, phi, kappa], atol=1e-8)


@given(angle, st.sampled_from([-np.pi / 2, np.pi / 2]), angle)
def test_gimbal_lock_keeps_the_rotation(yaw, pitch, roll):
    r = pose.rotation_from_gimbal(yaw, pitch, roll)
    yaw2, pitch2, roll2 = pose.gimbal_from_rotation(r)
    assert roll2 == 0.0
    np.testing.assert_allclose(pose.rotation_from_gimbal(yaw2, pitch2, roll2), r, atol=1e-7)


@given(st.tuples(angle, angle, angle).map(np.array))
def test_angle_axis_is_opencv_s_rodrigues_and_comes_back(vector):
    r = pose.rotation_from_angle_axis(vector)
    np.testing.assert_allclose(r, cv2.Rodrigues(vector)[0], atol=1e-9)
    np.testing.assert_allclose(pose.rotation_from_angle_axis(pose.angle_axis_from_rotation(r)), r, atol=1e-9)


@pytest.mark.parametrize("vector", [(0, 0, 0), (1e-9, 0, 0), (np.pi, 0, 0), (0, 0, -np.pi), (2, 2, 1)])
def test_angle_axis_at_the_awkward_angles(vector):
    r = pose.rotation_from_angle_axis(vector)
    np.testing.assert_allclose(pose.rotation_from_angle_axis(pose.angle_axis_from_rotation(r)), r, atol=1e-9)
