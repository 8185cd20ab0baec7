"""Contour lines: on the surface, joined, with the higher ground on their right."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flycam.geometry.terrain import TerrainGrid
from flycam.mosaic.surface.surface import trace_contour_lines


def grid(heights, spacing=2.0):
    return TerrainGrid(
        heights_m=np.asarray(heights, np.float32),
        origin_m=(1000.0, 5000.0),
        post_spacing_m=(spacing, spacing),
        work_crs="EPSG:32648",
        vertical_datum="EGM96",
        dem_id="test",
    )


def cone(side=41):
    axis = np.arange(side) - side // 2
    east, north = np.meshgrid(axis, -axis)
    return 50.0 - np.hypot(east, north)


def area(points):
    east, north = points[:-1].T
    return 0.5 * np.sum(east * np.roll(north, -1) - np.roll(east, -1) * north)


def test_a_cone_gives_one_closed_circle_a_level():
    lines = trace_contour_lines(grid(cone()), 5.0)
    circles = [line for line in lines if 31.0 < line.height_m < 50.0]
    assert [line.height_m for line in circles] == [35.0, 40.0, 45.0]
    for line in circles:
        radius = np.hypot(line.points_m[:, 0] - 1040.0, line.points_m[:, 1] - 4960.0)
        np.testing.assert_allclose(radius, 2.0 * (50.0 - line.height_m), atol=0.35)
        assert line.closed
        assert area(line.points_m) < 0.0, "clockwise around a summit: higher ground on the right"


@given(
    arrays(np.float32, (7, 6), elements=st.integers(-6, 6).map(lambda n: n / 2.0)),
    st.sampled_from([0.75, 1.0, 2.0]),
)
@settings(max_examples=60, deadline=None)
def test_every_line_keeps_to_its_level_and_uses_each_crossing_once(heights, interval):
    lines = trace_contour_lines(grid(heights, spacing=1.0), interval)
    for line in lines:
        row, col = 5000.0 - line.points_m[:, 1], line.points_m[:, 0] - 1000.0
        r, c = np.floor(row).astype(int), np.floor(col).astype(int)
        south, east = row - r, col - c
        there = heights[np.minimum(r + (south > 0), 6), np.minimum(c + (east > 0), 5)]
        between = heights[r, c] + (there - heights[r, c]) * (south + east)
        np.testing.assert_allclose(between, line.height_m, atol=1e-4)
    for level in {line.height_m for line in lines}:
        # edges that the level crosses strictly between their posts
        side = np.sign(heights - level)
        crossed = (side[:, 1:] * side[:, :-1] < 0).sum() + (side[1:] * side[:-1] < 0).sum()
        own = [line.points_m[: len(line.points_m) - line.closed] for line in lines if line.height_m == level]
        assert np.isclose(np.concatenate(own) % 1.0, 0.0).all(axis=1).sum() == sum(map(len, own)) - crossed
