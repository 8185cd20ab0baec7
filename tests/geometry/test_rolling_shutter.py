"""A rolling shutter: every row from its own moment, there and back; and nothing at all without one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.geometry.camera import (
    InteriorOrientation,
    LensModel,
    compute_viewing_rays,
    distort,
    project,
)
from flycam.geometry.footprint import compute_footprint
from flycam.geometry.frame_view import FrameView
from flycam.geometry.orthorectification import compute_source_coordinates, orthorectify
from flycam.geometry.pose import CameraMotion, rotation_from_angle_axis
from flycam.geometry.terrain import make_flat_terrain
from tests.geometry.scenes import CENTRE, WORK_CRS, hills, pose
from tests.geometry.test_orthorectification import SMALL, TO_WORK, ground_of, picture, tiles_of
from tests.geometry.test_post_projection import fine, waves
from tests.geometry.test_quarter_turns import LENSES

FLAT = make_flat_terrain(
    100.0, WORK_CRS, "EGM96", (CENTRE[0] - 500, CENTRE[1] - 500, CENTRE[0] + 500, CENTRE[1] + 500)
)
FAST = CameraMotion(velocity_mps=(9.0, -8.0, 1.5), turn_radps=(0.02, -0.015, 0.03))


def camera(model=LensModel.BROWN, readout_s=0.04):
    return InteriorOrientation(
        model=model,
        image_size_px=(1320, 990),
        focal_length_px=(800.0, 805.0),
        principal_point_px=(665.0, 490.0),
        distortion=LENSES[model],
        readout_s=readout_s,
        calibration_id="test",
    )


def rolling(interior, readout_s=0.04):
    return replace(interior, readout_s=readout_s)


_RATE = st.tuples(*(st.floats(-0.1, 0.1) for _ in range(3)))
_SPEED = st.tuples(st.floats(-15.0, 15.0), st.floats(-15.0, 15.0), st.floats(-3.0, 3.0))


@settings(deadline=None)
@given(
    st.sampled_from(LensModel),
    st.floats(-0.065, 0.065),
    _SPEED,
    _RATE,
    st.floats(-90.0, -50.0),
    st.floats(40.0, 200.0),
)
def test_a_point_on_an_image_point_s_line_of_sight_is_projected_onto_it(
    model, readout_s, velocity, turn, pitch, agl
):
    interior = camera(model, readout_s)
    exterior = pose(FLAT, agl_m=agl, pitch_deg=pitch)
    exterior = replace(exterior, motion=CameraMotion(velocity_mps=velocity, turn_radps=turn))
    u, v = np.meshgrid(np.linspace(0.0, 1319.0, 7), np.linspace(0.0, 989.0, 6))
    uv = np.stack([u.ravel(), v.ravel()], axis=-1)
    stood, rays = compute_viewing_rays(interior, exterior, uv)
    for distance in (0.8 * agl, 3.0 * agl):
        back, depth = project(interior, exterior, stood + distance * rays)
        assert (depth > 0.0).all()
        assert np.abs(back - uv).max() < 1e-3


@settings(deadline=None, max_examples=30)
@given(_SPEED, _RATE)
def test_every_row_is_that_of_the_camera_moved_and_turned_as_a_whole(velocity, turn):
    """The model is of first order in time: against a rigid camera, row by row, by its own formula."""
    interior, exterior = camera(), pose(FLAT, agl_m=120.0, pitch_deg=-75.0)
    exterior = replace(exterior, motion=CameraMotion(velocity_mps=velocity, turn_radps=turn))
    points = np.array((*CENTRE, 100.0)) + np.random.default_rng(1).uniform(-60, 60, (400, 3)) * (1, 1, 0.2)
    uv, _ = project(interior, exterior, points)
    t = 0.04 * ((uv[:, 1] + 0.5) / 990.0 - 0.5)
    rotation = rotation_from_angle_axis(t[:, None] * np.array(turn)) @ np.array(exterior.rotation)
    offset = points - exterior.projection_centre_m - t[:, None] * np.array(velocity)
    offset[:, 2] *= exterior.grid_scale
    x, y, z = np.moveaxis(np.einsum("nij,nj->ni", rotation, offset), -1, 0)
    exact = np.stack(distort(interior, x / z, y / z), axis=-1)
    inside = (uv > 0).all(axis=1) & (uv < (1319, 989)).all(axis=1)
    assert inside.sum() > 50
    assert np.abs(uv - exact)[inside].max() < 0.02


@pytest.mark.parametrize(
    ("readout_s", "motion"), [(0.0, FAST), (None, FAST), (0.04, None)], ids=["global", "unknown", "still"]
)
def test_without_readout_or_motion_nothing_changes_by_a_bit(readout_s, motion):
    terrain = fine(waves)
    still = pose(terrain, agl_m=100.0, pitch_deg=-70.0)
    moved, interior = replace(still, motion=motion), rolling(SMALL, readout_s)
    assert (
        compute_footprint(interior, moved, terrain).bounds_m
        == compute_footprint(SMALL, still, terrain).bounds_m
    )
    tiles, pixels = tiles_of(SMALL, still, terrain), picture(SMALL)
    for ground in (terrain, hills()):  # over posts, and on the lattice
        ours = orthorectify(pixels, FrameView(interior, moved, ground, TO_WORK), tiles)
        theirs = orthorectify(pixels, FrameView(SMALL, still, ground, TO_WORK), tiles)
        assert (ours.rgb == theirs.rgb).all() and (ours.quality == theirs.quality).all()


@pytest.mark.parametrize("terrain", [fine(waves), hills()], ids=["posts", "lattice"])
def test_every_seen_pixel_of_the_map_comes_from_the_row_that_saw_it(terrain):
    interior = rolling(SMALL, 0.06)
    still = pose(terrain, agl_m=100.0, pitch_deg=-75.0)
    exterior = replace(still, motion=FAST)
    tiles = tiles_of(interior, exterior, terrain)
    where = compute_source_coordinates(FrameView(interior, exterior, terrain, TO_WORK), tiles)
    ground = ground_of(tiles, terrain).reshape(-1, 3)
    seen = where.valid.ravel()
    found = np.stack([where.u.ravel(), where.v.ravel()], axis=-1)[seen]
    exact, flat = (project(interior, e, ground)[0][seen] for e in (exterior, still))
    off, moved = (np.linalg.norm(found - one, axis=1) for one in (exact, flat))
    assert seen.sum() > 10_000
    assert np.quantile(off, 0.99) < 0.3
    assert np.quantile(moved, 0.9) > 1.0, "else this shows nothing"
