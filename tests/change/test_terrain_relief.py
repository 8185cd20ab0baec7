from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.change.features import compute_relief


@settings(max_examples=20, deadline=None)
@given(st.floats(0.05, 1.4), st.floats(-np.pi, np.pi))
def test_a_plane_is_as_steep_as_it_is_and_water_runs_down_it(slope: float, azimuth: float) -> None:
    rows, cols = np.mgrid[:120, :160].astype(float)
    down = np.cos(azimuth), np.sin(azimuth)  # columns, rows
    heights = (500.0 - slope * (cols * down[0] + rows * down[1])).astype(np.float32)
    relief = compute_relief(heights, 1.0)
    inner = (slice(30, -30), slice(30, -30))
    np.testing.assert_allclose(relief.slope[inner], slope, rtol=0.06)
    np.testing.assert_allclose(relief.down_x[inner], down[0], atol=0.03)
    np.testing.assert_allclose(relief.down_y[inner], down[1], atol=0.03)
    assert relief.known.all()


def test_a_valley_floor_is_low_and_its_sides_are_above_it() -> None:
    cols = np.arange(400, dtype=float)
    heights = np.tile(100.0 + np.maximum(np.abs(cols - 200.0) - 40.0, 0.0) * 0.6, (300, 1)).astype(np.float32)
    relief = compute_relief(heights, 1.0)
    assert np.abs(relief.above_floor_m[100:200, 180:220]).max() < 1.0
    assert relief.above_floor_m[150, 300] == pytest.approx(36.0, abs=4.0)


def test_unknown_ground_says_nothing_and_spoils_no_neighbour() -> None:
    heights = np.full((100, 100), 50.0, np.float32)
    heights[:, 60:] = np.nan
    relief = compute_relief(heights, 1.0)
    assert not relief.known[:, 60:].any() and relief.known[:, :60].all()
    assert relief.slope[:, :60].max() < 0.01
    assert np.isfinite(relief.heights_m).all() and (relief.slope[:, 60:] > 0.1).all()
    nothing = compute_relief(np.full((10, 10), np.nan, np.float32), 1.0)
    assert not nothing.known.any() and np.isfinite(nothing.slope).all()
