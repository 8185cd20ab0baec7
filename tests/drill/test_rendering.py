"""The truth is exact: what a pixel shows lies where the truth says, by another road than the renderer's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flycam.drill.photo_drill import Drill, make_drill
from flycam.drill.rendering import Weather
from flycam.geometry.camera import project
from tests.drill.conftest import SMALL


@pytest.mark.parametrize("number", [0, 4])
def test_true_ground_projects_back_to_its_pixel(before: Drill, number: int) -> None:
    points = before.coordinates(number)
    uv, depth = project(before.camera, before.exposures[number].exterior, points.reshape(-1, 3))
    rows, cols = points.shape[:2]
    u, v = np.meshgrid(np.arange(cols), np.arange(rows))
    assert np.isfinite(points).all()
    assert (depth > 50).all()
    assert np.abs(uv - np.stack([u.ravel(), v.ravel()], -1)).max() < 1e-3


def test_the_photo_shows_the_true_orthophoto(before: Drill) -> None:
    """A clear-sky photo of level, uniform ground agrees with the orthophoto at the true coordinates."""
    still = replace(before.renderer, weather=Weather(haze_per_m=0.0, clouds=0.0, drift=0.0))
    photo = still.photo(before.exposures[2]).astype(float)
    points = before.coordinates(2)
    world = before.renderer.world
    col, row = (np.rint(x).astype(int) for x in world.window.to_cells(points[..., 0], points[..., 1]))
    ortho = world.rgb[row, col].astype(float)
    for channel in range(3):
        middle = np.s_[30:-30, 30:-30]
        correlation = np.corrcoef(photo[middle][..., channel].ravel(), ortho[middle][..., channel].ravel())[
            0, 1
        ]
        assert correlation > 0.93
    shifted = np.roll(ortho, 2, axis=1)  # the test can fail: two pixels beside the truth agree worse
    assert np.abs(photo - 1.08 * shifted).mean() > 1.5 * np.abs(photo - 1.08 * ortho).mean()


def test_a_rolling_shutter_renders_each_row_from_where_the_aircraft_then_was() -> None:
    """Against the geometry room's own projection, which knows rows in another way: every pixel's true ground
    falls on that pixel, and without the motion it does not."""
    drill = make_drill(seed=3, noise=0.0, readout_ms=120.0, speed_mps=15.0, **SMALL)
    height, width = 240, 320
    u, v = np.meshgrid(np.arange(width, dtype=float), np.arange(height, dtype=float))
    for number in (0, 4):
        exterior = drill.exposures[number].exterior
        assert exterior.motion is not None
        speed = np.linalg.norm(exterior.motion.velocity_mps[:2])
        assert 12.0 < speed < 18.0
        ground = drill.coordinates(number).reshape(-1, 3)
        uv, _ = project(drill.camera, exterior, ground)
        still, _ = project(drill.camera, replace(exterior, motion=None), ground)
        there = np.stack([u.ravel(), v.ravel()], -1)
        known = np.isfinite(ground[:, 0])
        assert known.mean() > 0.99
        off, moved = (np.linalg.norm(one - there, axis=1)[known] for one in (uv, still))
        assert np.quantile(off, 0.999) < 0.02
        assert moved.max() > 1.0
