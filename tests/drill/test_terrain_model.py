from __future__ import annotations

import numpy as np

from flycam.drill.land import Valley
from flycam.drill.photo_drill import Drill


def test_posts_follow_the_ground_and_know_no_trees(before: Drill) -> None:
    world = before.renderer.world
    posts, heights = before.dem
    east, north = np.meshgrid(posts.eastings, posts.northings)
    col, row = (np.rint(x).astype(int) for x in world.window.to_cells(east, north))
    inside = (col > 5) & (row > 5) & (col < world.window.shape[1] - 5) & (row < world.window.shape[0] - 5)
    difference = heights[inside] - world.ground_m[row[inside], col[inside]]
    assert abs(np.median(difference)) < 0.2
    assert np.percentile(np.abs(difference), 90) < 1.5
    canopy = heights[inside] - world.surface_m[row[inside], col[inside]]
    assert np.percentile(canopy, 4) < -5


VALLEY, BOUNDS = Valley(seed=4), (479_000.0, 2_421_500.0, 479_800.0, 2_422_200.0)
