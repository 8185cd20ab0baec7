"""Cameras: against OpenCV, against themselves, and at the edge of what the lens model can say."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.geometry.camera import (
    InteriorOrientation,
    LensModel,
    compute_image_rays,
    compute_valid_radius,
    distort,
    project,
    scale_interior,
    undistort,
)
from tests.geometry.scenes import camera, hills, pose


def fisheye(**changes):
    values = {
        "model": LensModel.FISHEYE,
        "image_size_px": (1600, 1200),
        "focal_length_px": (700.0, 705.0),
        "principal_point_px": (801.0, 597.0),
        "distortion": (0.02, -0.01, 0.003, -0.0005),
        "calibration_id": "test",
    }
    return InteriorOrientation(**(values | changes))


CAMERAS = {"pinhole": camera(brown=False), "brown": camera(), "fisheye": fisheye()}


def image_points(interior, n=400, seed=0):
    w, h = interior.image_size_px
    return np.random.default_rng(seed).uniform(0, [w - 1, h - 1], (n, 2))


@pytest.mark.parametrize("name", CAMERAS)
def test_rays_project_back_to_their_pixels(name):
    interior, exterior = CAMERAS[name], pose(hills(), yaw_deg=40, pitch_deg=-60, roll_deg=5)
    uv = image_points(interior)
    rays = compute_image_rays(interior, exterior, uv)
    np.testing.assert_allclose(np.linalg.norm(rays, axis=1), 1.0)
    again, depth = project(interior, exterior, np.array(exterior.projection_centre_m) + 321.0 * rays)
    assert (depth > 0).all()
    np.testing.assert_allclose(again, uv, atol=1e-6)


@pytest.mark.parametrize("name", ["brown", "fisheye"])
def test_distortion_is_opencv_s(name):
    interior = CAMERAS[name]
    xyz = np.column_stack([np.random.default_rng(1).uniform(-0.6, 0.6, (200, 2)), np.ones(200)])
    (fx, fy), (cx, cy) = interior.focal_length_px, interior.principal_point_px
    K, d = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), np.array(interior.distortion)
    if name == "brown":
        expected = cv2.projectPoints(xyz, np.zeros(3), np.zeros(3), K, d)[0][:, 0]
    else:
        expected = cv2.fisheye.projectPoints(xyz[:, None], np.zeros(3), np.zeros(3), K, d)[0][:, 0]
    u, v = distort(interior, xyz[:, 0], xyz[:, 1])
    np.testing.assert_allclose(np.stack([u, v], -1), expected, atol=1e-8)


@given(
    st.floats(-0.15, 0.15), st.floats(-0.05, 0.05), st.floats(-0.002, 0.002), st.floats(-0.002, 0.002),
    st.floats(-0.6, 0.6), st.floats(-0.4, 0.4),
)  # fmt: skip
def test_undistort_inverts_distort(k1, k2, p1, p2, x, y):
    interior = replace(camera(), distortion=(k1, k2, p1, p2, 0.0))
    if np.hypot(x, y) > 0.95 * compute_valid_radius(interior):
        return
    u, v = distort(interior, np.array([x]), np.array([y]))
    xy = undistort(interior, u, v)
    np.testing.assert_allclose(np.ravel(xy), [x, y], atol=1e-7)


def test_beyond_the_monotone_radius_there_is_no_pixel():
    interior = replace(camera(), distortion=(-0.3, 0.0, 0.0, 0.0, 0.0))
    limit = compute_valid_radius(interior)
    assert limit == pytest.approx(np.sqrt(1 / 0.9))
    exterior = pose(hills(), yaw_deg=0.0, scale=1.0)
    c = np.array(exterior.projection_centre_m)
    points = c + np.array([[100 * limit * 0.99, 0, -100], [100 * limit * 1.01, 0, -100]])
    uv, depth = project(interior, exterior, points)
    assert np.isfinite(uv[0]).all()
    assert np.isnan(uv[1]).all()
    np.testing.assert_allclose(depth, 100.0)
    # the image point that no direction gives
    u, v = distort(interior, np.array([limit]), np.array([0.0]))
    assert np.isnan(undistort(interior, u + 5.0, v)).all()


def test_scaled_keeps_the_corners():
    interior = camera(brown=False)
    half = scale_interior(interior, (960, 540))
    x, y = np.array([0.31]), np.array([-0.2])
    u, v = distort(interior, x, y)
    np.testing.assert_allclose(distort(half, x, y), [(u + 0.5) / 2 - 0.5, (v + 0.5) / 2 - 0.5])
