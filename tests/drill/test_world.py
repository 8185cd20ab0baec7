from __future__ import annotations

from flycam.drill.land import CENTRE_M, LandCover
from flycam.drill.photo_drill import Drill
from flycam.drill.world import build_drill_world

AROUND = (CENTRE_M[0] - 150, CENTRE_M[1] - 150, CENTRE_M[0] + 150, CENTRE_M[1] + 150)


def test_the_storm_changes_only_what_it_changed(before: Drill, after: Drill) -> None:
    old, new = before.renderer.world, after.renderer.world
    assert old.window == new.window
    assert not old.change.any()
    still = (new.change == 0) & (old.cover != LandCover.WATER)
    # a crown over the river hides that it was water: a cell or two
    assert (old.ground_m != new.ground_m)[still].mean() < 1e-4
    assert 0.01 < (new.change == 1).mean() < 0.25
    assert 0.05 < (new.change == 2).mean() < 0.5


def test_the_same_arguments_are_the_same_bytes_and_another_seed_is_not() -> None:
    worlds = [build_drill_world(AROUND, 1.0, seed=s) for s in (5, 5, 6)]
    assert worlds[0].rgb.tobytes() == worlds[1].rgb.tobytes()
    assert worlds[0].surface_m.tobytes() == worlds[1].surface_m.tobytes()
    assert worlds[0].rgb.tobytes() != worlds[2].rgb.tobytes()
