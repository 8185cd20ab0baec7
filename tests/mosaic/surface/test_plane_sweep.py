"""The sampler of the sweep: posts fall on the pixels that projection puts them on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from flycam.geometry.camera import project, undistort
from flycam.geometry.pose import CameraMotion
from flycam.mosaic.surface.plane_sweep import SurfaceView, ViewSampler, make_match_image
from tests.mosaic.surface.scene import CAMERA, Scene, mesh, scene, slope

FAST = CameraMotion(velocity_mps=(12.0, -9.0, 1.0), turn_radps=(0.01, -0.02, 0.02))


def sampled(view: SurfaceView, dz: float) -> tuple[np.ndarray, np.ndarray]:
    """Where the sampler puts posts over a slope raised by dz, and where projection does (picture pixels)."""
    east, north = mesh(24.0, 2.0)
    base = slope(east, north)
    grey = np.zeros(view.interior.image_size_px[::-1], np.uint8)
    picture = make_match_image(grey, view.interior, grey.shape[1])
    u, v = ViewSampler.from_posts(picture, view, east, north, base).maps(dz)
    world = np.stack([east, north, base + dz], -1).reshape(-1, 3)
    uv, _ = project(view.interior, view.exterior, world)
    x, y = undistort(view.interior, uv[:, 0], uv[:, 1])
    there = np.stack([x, y], -1) * picture.focal_px + picture.centre_px
    return np.stack([u.ravel(), v.ravel()], -1), there


@pytest.mark.parametrize("motion", [None, FAST])
def test_posts_of_the_base_fall_where_projection_puts_them(motion: CameraMotion | None) -> None:
    still = scene().views[5]
    view = replace(
        still,
        interior=replace(CAMERA, readout_s=0.06),
        exterior=replace(still.exterior, motion=motion),
    )
    found, exact = sampled(view, 0.0)
    assert np.abs(found - exact).max() < 2e-3
    if motion is not None:
        plain, _ = sampled(still, 0.0)
        assert np.abs(found - plain).max() > 0.2, "else this shows nothing"


def test_pictures_read_row_by_row_agree_at_the_true_heights_as_still_ones_do() -> None:
    """An aircraft that flies there and back at 15 m/s and reads in 60 ms: one pixel either way."""
    moving = scene(bare=True, speed_mps=15.0)
    at_once = [replace(v, exterior=replace(v.exterior, motion=None)) for v in moving.views]
    still = _correlation(scene(bare=True), scene(bare=True).views)
    assert _correlation(moving, moving.views) > still - 0.005
    assert _correlation(moving, at_once) < still - 0.1, "else this shows nothing"


def _correlation(world: Scene, views: Sequence[SurfaceView]) -> float:
    """Mean over all pairs of views that share ground."""
    east, north = mesh(40.0, 1.0)
    values = []
    for view in views:
        grey = np.ascontiguousarray(world.pixels_of(view.frame_id)[..., 0])
        picture = make_match_image(grey, view.interior, grey.shape[1])
        sampler = ViewSampler.from_posts(picture, view, east, north, slope(east, north))
        values.append(np.where(sampler.sees(0.0), sampler.values(0.0), np.nan))
    found = []
    for one, two in combinations(values, 2):
        both = np.isfinite(one) & np.isfinite(two)
        if both.sum() > 200:
            found.append(np.corrcoef(one[both], two[both])[0, 1])
    assert len(found) > 30
    return float(np.mean(found))
