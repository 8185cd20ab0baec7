from __future__ import annotations

import numpy as np
import pytest

from flycam.drill.land import CENTRE_M, LandCover
from flycam.drill.photo_drill import Drill
from flycam.drill.world import build_drill_world

AROUND = (CENTRE_M[0] - 150, CENTRE_M[1] - 150, CENTRE_M[0] + 150, CENTRE_M[1] + 150)


def test_trees_and_houses_stand_above_the_ground(before: Drill) -> None:
    world = before.renderer.world
    above = world.surface_m - world.ground_m
    assert above.min() > -1e-3
    assert 4 < np.median(above[world.cover == LandCover.CROWN]) < 14
    assert 2.5 < np.median(above[world.cover == LandCover.ROOF]) < 9
    assert 0.05 < (above > 0.02).mean() < 0.8
    bare = ~np.isin(world.cover, (LandCover.CROWN, LandCover.ROOF))
    assert above[bare].max() < 0.02


def test_every_kind_of_land_is_there(before: Drill, after: Drill) -> None:
    kinds = set(np.unique(before.renderer.world.cover)) | set(np.unique(after.renderer.world.cover))
    assert kinds >= {
        LandCover.PADDY,
        LandCover.TERRACE,
        LandCover.PLOUGHED,
        LandCover.ROAD,
        LandCover.TRACK,
        LandCover.WATER,
        LandCover.ROOF,
        LandCover.CROWN,
        LandCover.SCAR,
        LandCover.FLOOD,
        LandCover.YARD,
    }


def test_the_storm_changes_only_what_it_changed(before: Drill, after: Drill) -> None:
    old, new = before.renderer.world, after.renderer.world
    assert old.window == new.window
    assert not old.change.any()
    still = (new.change == 0) & (old.cover != LandCover.WATER)
    # a crown over the river hides that it was water: a cell or two
    assert (old.ground_m != new.ground_m)[still].mean() < 1e-4
    assert 0.01 < (new.change == 1).mean() < 0.25
    assert 0.05 < (new.change == 2).mean() < 0.5


def test_water_is_level_across_the_valley_and_above_the_old_river(before: Drill, after: Drill) -> None:
    old, new = before.renderer.world, after.renderer.world
    flooded = (new.cover == LandCover.FLOOD) & (new.change == 2)
    assert (new.ground_m[flooded] >= old.ground_m[flooded] - 3.0).all()
    river = old.cover == LandCover.WATER
    rise = (
        new.ground_m[river & (new.cover == LandCover.FLOOD)]
        - old.ground_m[river & (new.cover == LandCover.FLOOD)]
    )
    np.testing.assert_allclose(rise, 3.4, atol=0.05)


def test_the_same_arguments_are_the_same_bytes_and_another_seed_is_not() -> None:
    worlds = [build_drill_world(AROUND, 1.0, seed=s) for s in (5, 5, 6)]
    assert worlds[0].rgb.tobytes() == worlds[1].rgb.tobytes()
    assert worlds[0].surface_m.tobytes() == worlds[1].surface_m.tobytes()
    assert worlds[0].rgb.tobytes() != worlds[2].rgb.tobytes()


def test_the_same_place_is_the_same_in_another_window() -> None:
    whole = build_drill_world(AROUND, 1.0, seed=5)
    west, south, east, north = AROUND
    part = build_drill_world((west + 60, south + 60, east - 60, north - 60), 1.0, seed=5)
    col = part.window.west_cell - whole.window.west_cell
    row = whole.window.north_cell - part.window.north_cell
    inner = (slice(30, -30), slice(30, -30))  # objects at a window's border are cut off
    rows, cols = part.window.shape
    same = whole.ground_m[row : row + rows, col : col + cols][inner]
    difference = np.abs(part.ground_m[inner] - same)
    assert np.percentile(difference, 99) < 0.01


@pytest.mark.parametrize("kind", [LandCover.ROAD, LandCover.WATER])
def test_the_picture_shows_what_is_there(before: Drill, kind: LandCover) -> None:
    world = before.renderer.world
    colours = world.rgb[world.cover == kind].astype(float)
    others = world.rgb[world.cover == LandCover.CROWN].astype(float)
    grey = np.ptp(np.median(colours, 0))
    assert grey < 40
    assert np.median(others[:, 1]) > np.median(others[:, 0]) and np.median(others[:, 1]) > np.median(
        others[:, 2]
    )
