"""The small adjustment of a window: what ties, links, held frames and the terrain each are worth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flycam.geometry.pose import rotation_from_angle_axis
from flycam.geometry.projection import project_camera_points, to_lens_vector
from flycam.geometry.terrain import interpolate_heights_en
from flycam.mosaic.adjustment.window import (
    AdjustmentWindow,
    LogDrift,
    WindowOptions,
    WindowSolution,
    compute_pose_errors,
    make_trajectory,
    solve_window,
)
from tests.mosaic.adjustment.flown import ORIGIN, SIZE, camera, hill, pose

FRAMES, SCALE = 6, 0.9996
BIAS = np.array([1.0, -0.8, 1.5, 0.004, -0.004, 0.008])


def scene(outliers: float = 0.0, noise_px: float = 0.1) -> tuple[AdjustmentWindow, np.ndarray, np.ndarray]:
    """A window whose log errs by a bias that drifts a little, and the true centres and rotations."""
    random, terrain = np.random.default_rng(7), hill()
    exact = [pose((ORIGIN[0], ORIGIN[1] + 18.0 * (k - 2.5), 225.0), 3.0 * k) for k in range(FRAMES)]
    seconds = 2.0 * np.arange(FRAMES)
    true = make_trajectory(seconds, exact)
    error = BIAS + 0.05 * BIAS * np.arange(FRAMES)[:, None]
    told = replace(
        true,
        centre=true.centre + error[:, :3],
        rotation=rotation_from_angle_axis(error[:, 3:]) @ true.rotation,
    )
    xy = random.uniform((-110.0, -130.0), (110.0, 130.0), (250, 2)) + ORIGIN
    point = np.column_stack([xy, interpolate_heights_en(terrain, xy[:, 0], xy[:, 1])])
    frame, landmark, uv = [], [], []
    for k in range(FRAMES):
        offset = point - true.centre[k]
        offset[:, 2] *= SCALE
        seen = project_camera_points(camera(), to_lens_vector(camera()), offset @ true.rotation[k].T)
        inside = np.flatnonzero(((seen > 0.0) & (seen < np.array(SIZE) - 1.0)).all(axis=1))
        frame.append(np.full(inside.size, k, dtype=np.int32))
        landmark.append(inside.astype(np.int32))
        uv.append(seen[inside] + random.normal(0.0, noise_px, (inside.size, 2)))
    wrong = random.random(sum(one.size for one in frame)) < outliers
    uv_px = np.concatenate(uv) + wrong[:, None] * random.uniform(-30.0, 30.0, (wrong.size, 2))
    window = AdjustmentWindow(
        interior=camera(),
        scale=SCALE,
        terrain=terrain,
        logged=told,
        centre=told.centre.copy(),
        rotation=told.rotation.copy(),
        held=np.zeros(FRAMES, dtype=bool),
        frame=np.concatenate(frame),
        landmark=np.concatenate(landmark),
        uv_px=uv_px,
        point=point + random.normal(0.0, 1.0, point.shape),
    )
    return window, true.centre, true.rotation


def settled(window: AdjustmentWindow, **options: float) -> WindowSolution:
    return solve_window(window, LogDrift(), WindowOptions(**{"rounds": 6, **options}))


def off_m(centre: np.ndarray, true: np.ndarray) -> np.ndarray:
    """How far centres are off after their common shift."""
    off = centre - true
    return np.linalg.norm(off - off.mean(axis=0), axis=1)


def turns_deg(window: AdjustmentWindow, rotation: np.ndarray, true: np.ndarray) -> np.ndarray:
    same = replace(window.logged, rotation=true)
    return np.degrees(
        np.linalg.norm(compute_pose_errors(same, window.logged.centre, rotation)[:, 3:], axis=1)
    )


@pytest.mark.parametrize("outliers", [0.0, 0.15])
def test_ties_and_terrain_mend_attitude_and_height_and_outliers_bend_nothing(outliers: float) -> None:
    window, centre, rotation = scene(outliers)
    after = settled(window)
    assert turns_deg(window, window.rotation, rotation).min() > 0.5
    assert turns_deg(window, after.rotation, rotation).max() < 0.4
    assert np.abs(after.centre - centre)[:, 2].max() < 0.7
    assert np.abs(window.centre - centre)[:, 2].min() > 1.4
    good = after.miss_px <= 2.0
    assert good.mean() == pytest.approx(1.0 - outliers, abs=0.05)


def test_frames_settled_before_hold_the_others() -> None:
    window, centre, rotation = scene()
    held = np.arange(FRAMES) < 3
    before = replace(
        window,
        centre=np.where(held[:, None], centre, window.centre),
        rotation=np.where(held[:, None, None], rotation, window.rotation),
    )
    free = settled(before)
    tied = settled(replace(before, held=held), held_m=0.02, held_rad=0.0001)
    off, usual = (np.linalg.norm(one.centre - centre, axis=1).max() for one in (tied, free))
    assert off < 0.25 and off < 0.3 * usual


def test_where_no_height_is_known_ties_alone_hold() -> None:
    window, centre, _ = scene()
    terrain = replace(window.terrain, heights_m=np.full_like(window.terrain.heights_m, np.nan))
    after = settled(replace(window, terrain=terrain))
    assert np.isfinite(after.centre).all() and np.isfinite(after.point).all()
    assert np.median(after.miss_px) < 0.3
    assert off_m(after.centre, centre).max() < 0.5
