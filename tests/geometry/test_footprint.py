"""Footprints over a plane in closed form, over hills by the rays themselves, and what must be refused."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.errors import HorizonInView
from flycam.geometry.camera import LensModel, project
from flycam.geometry.footprint import (
    RANGE_PER_NEAREST,
    compute_footprint,
    compute_footprints,
    compute_mapping_range_m,
    is_looking_up,
    outline_view_beyond,
    project_image_grid,
)
from flycam.geometry.terrain import interpolate_heights, make_flat_terrain
from tests.geometry.scenes import CENTRE, WORK_CRS, camera, hills, pose

PLAIN = camera(width=1000, height=600, focal=1000.0, brown=False)


def plane(half=5000.0, height=100.0):
    e, n = CENTRE
    return make_flat_terrain(height, WORK_CRS, "LOCAL", (e - half, n - half, e + half, n + half))


def area(polygon):
    x, y = (polygon - polygon.mean(axis=0)).T
    return 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))


def test_nadir_over_a_plane_is_a_rectangle_of_known_size():
    made = compute_footprint(PLAIN, pose(plane(), agl_m=200.0, yaw_deg=0.0, scale=1.0), plane())
    assert area(made.polygon_m) == pytest.approx(200.0 * 120.0, rel=1e-6)
    assert made.gsd_m == pytest.approx(0.2, rel=1e-2)
    assert made.height_above_ground_m == pytest.approx(200.0)


@given(st.floats(-180, 180), st.floats(-90, -50), st.integers(0, 20))
@settings(max_examples=20, deadline=None)
def test_the_polygon_projects_onto_the_image_border(yaw, pitch, seed):
    terrain = hills(seed=seed, size=140)
    interior = camera()
    exterior = pose(terrain, agl_m=120.0, yaw_deg=yaw, pitch_deg=pitch)
    made = compute_footprint(interior, exterior, terrain)
    points = np.column_stack([made.polygon_m, interpolate_heights(terrain, made.polygon_m)])
    uv, _ = project(interior, exterior, points)
    known = np.isfinite(uv[:, 0])
    u, v = uv[known].T
    border = np.minimum.reduce([abs(u + 0.5), abs(u - 1919.5), abs(v + 0.5), abs(v - 1079.5)])
    assert known.mean() > 0.8
    assert border.max() < 0.01


@given(st.floats(-90.0, 60.0), st.floats(-180.0, 180.0))
@settings(max_examples=60)
def test_who_looks_up_sees_no_plane(pitch, roll):
    terrain = plane()
    exterior = pose(terrain, pitch_deg=pitch, roll_deg=roll)
    if is_looking_up(camera(), exterior):
        with pytest.raises(HorizonInView):
            compute_footprint(camera(), exterior, terrain)
    assert not is_looking_up(camera(), pose(terrain, pitch_deg=-90.0))
    assert is_looking_up(camera(), pose(terrain, pitch_deg=4.0))


def test_a_low_view_ends_where_its_tilt_is_not_known_well_enough_to_tell_ground_from_sky():
    low = replace(pose(plane(), agl_m=2.5), sigma_attitude_rad=(0.05, 0.05, 0.05))
    assert compute_mapping_range_m(PLAIN, low, plane()) == pytest.approx(25.0)
    assert compute_mapping_range_m(
        PLAIN, replace(low, sigma_attitude_rad=(0.01, 0.01, 0.01)), plane()
    ) == pytest.approx(125.0)
    assert compute_mapping_range_m(PLAIN, replace(low, sigma_attitude_rad=(0.0, 0.0, 0.0)), plane()) == 500.0


@given(st.floats(-89.0, -20.0), st.floats(150.0, 400.0), st.floats(0.0, 360.0))
def test_no_pixel_covers_more_than_four_times_the_ground_of_the_best(pitch, agl, yaw):
    exterior = pose(plane(), agl_m=agl, yaw_deg=yaw, pitch_deg=pitch, scale=1.0)
    reach = compute_mapping_range_m(PLAIN, exterior, plane())
    made = compute_footprint(PLAIN, exterior, plane())
    ground = np.column_stack([made.polygon_m, np.full(len(made.polygon_m), 100.0)])
    distance = np.linalg.norm(ground - exterior.projection_centre_m, axis=1)
    assert np.linalg.norm(made.polygon_m - CENTRE, axis=1).max() <= reach * 1.001
    nearest = max(agl, distance.min()) if pitch < -73.0 else distance.min()
    assert reach <= max(RANGE_PER_NEAREST * nearest * 1.001, 500.0)
    # nadir views and those that hold the plumb line lose nothing
    if pitch < -75.0:
        assert distance.max() < reach * 0.999


def test_many_frames_at_once_are_what_each_is_alone():
    terrain = hills(relief_m=250.0)
    poses = [pose(terrain, agl_m=120.0, yaw_deg=40.0 * k, pitch_deg=-90.0 + 8.0 * k) for k in range(8)]
    poses.append(pose(terrain, pitch_deg=10.0))
    together = compute_footprints([(PLAIN, one) for one in poses], terrain)
    assert isinstance(together[-1], HorizonInView)
    for one, made in zip(poses[:-1], together, strict=False):
        alone = compute_footprint(PLAIN, one, terrain)
        np.testing.assert_array_equal(made.polygon_m, alone.polygon_m)
        assert (made.bounds_m, made.gsd_m) == (alone.bounds_m, alone.gsd_m)


def is_within(points: np.ndarray, corners: np.ndarray, margin_m: float) -> np.ndarray:
    """Which points lie in a polygon or this near to it."""
    ring = np.round(corners - CENTRE, 3).astype(np.float32)
    return np.array(
        [cv2.pointPolygonTest(ring, tuple(map(float, at - CENTRE)), True) >= -margin_m for at in points]
    )


@given(st.floats(-75.0, -16.0), st.floats(60.0, 400.0), st.floats(0.0, 360.0), st.integers(1, 8))
@settings(max_examples=60)
def test_all_ground_that_a_pixel_meets_lies_in_the_footprint_or_beyond_it(pitch, agl, yaw, seed):
    """Found by the terrain, where the outline was made without: on a plane, and over hills."""
    for terrain in (plane(), hills(seed=seed, post_m=40.0)):
        exterior = pose(terrain, agl_m=agl, yaw_deg=yaw, pitch_deg=pitch)
        try:
            made = compute_footprint(PLAIN, exterior, terrain)
        except HorizonInView:
            continue
        beyond = outline_view_beyond(PLAIN, exterior, made.polygon_m)
        met = project_image_grid(PLAIN, exterior, terrain).reshape(-1, 3)
        met = met[np.isfinite(met[:, 0]), :2]
        seen = is_within(met, made.polygon_m, 30.0)
        if len(beyond):
            seen |= is_within(met, beyond, 0.0)
        # between two rays of the border a gap in the hills may show what neither meets
        assert seen.mean() > (0.999 if terrain.heights_m.size > 4 else 0.99999)


@given(st.floats(-90.0, -60.0), st.floats(0.0, 360.0))
def test_of_a_photo_that_looks_steeply_down_there_is_nothing_beyond(pitch, yaw):
    exterior = pose(plane(), agl_m=120.0, yaw_deg=yaw, pitch_deg=pitch)
    exterior = replace(exterior, sigma_attitude_rad=(0.02, 0.02, 0.5))
    made = compute_footprint(PLAIN, exterior, plane())
    assert len(outline_view_beyond(PLAIN, exterior, made.polygon_m)) == 0


@pytest.mark.parametrize(("pitch", "reach_m"), [(-20.0, 2000.0), (-25.0, 1520.0)])
def test_the_view_beyond_ends_at_ten_times_the_height_or_where_the_flattest_ray_meets_ground(pitch, reach_m):
    """That to an upper corner dips by 7.6 degrees, of a camera that is pitched 25 down."""
    exterior = replace(
        pose(plane(), agl_m=200.0, yaw_deg=0.0, pitch_deg=pitch), sigma_attitude_rad=(0.0,) * 3
    )
    made = compute_footprint(PLAIN, exterior, plane())
    beyond = outline_view_beyond(PLAIN, exterior, made.polygon_m) - exterior.projection_centre_m[:2]
    assert np.linalg.norm(made.polygon_m - exterior.projection_centre_m[:2], axis=1).max() < 1600.0
    assert np.linalg.norm(beyond, axis=1).max() == pytest.approx(reach_m, rel=0.03)
    side = np.degrees(np.abs(np.arctan2(beyond[1:, 0], beyond[1:, 1])).max())
    # 26.6 degrees in the middle row, 30 in the lowest, which looks too steeply to see beyond
    assert 26.0 < side < 34.0


def test_a_camera_that_sees_the_horizon_all_around_shows_a_circle():
    around = replace(
        PLAIN,
        model=LensModel.FISHEYE,
        image_size_px=(1000, 1000),
        focal_length_px=(300.0, 300.0),
        principal_point_px=(499.5, 499.5),
        distortion=(),
    )
    exterior = pose(plane(), agl_m=100.0, pitch_deg=-90.0)
    beyond = outline_view_beyond(around, exterior, np.array([[CENTRE[0] + 400.0, CENTRE[1]]]))
    away = np.linalg.norm(beyond - exterior.projection_centre_m[:2], axis=1)
    assert away.min() > 999.0 and away.max() < 1100.0 and len(beyond) > 100
