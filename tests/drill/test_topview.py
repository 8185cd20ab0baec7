from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flycam.drill.land import CENTRE_M, LandCover
from flycam.drill.world import DrillWorld, build_drill_world
from tests.drill.topview import Air, drawn_air, photographed, view_pair

AROUND = (CENTRE_M[0] - 150, CENTRE_M[1] - 150, CENTRE_M[0] + 150, CENTRE_M[1] + 150)
WIDE = (CENTRE_M[0] - 220, CENTRE_M[1] - 220, CENTRE_M[0] + 220, CENTRE_M[1] + 220)


@pytest.fixture(scope="module")
def world() -> DrillWorld:
    return build_drill_world(AROUND, 1.0, seed=5)


def test_clear_air_shows_the_orthophoto(world: DrillWorld) -> None:
    view = photographed(world, Air(), 5)
    # sRGB through 4,096 steps of linear light
    assert np.abs(view.rgb.astype(int) - world.rgb).max() <= 3
    assert view.seen.all() and not view.clouded.any() and not view.glinting.any()


def test_haze_lifts_the_dark_and_shadows_of_clouds_darken_where_they_are_said(world: DrillWorld) -> None:
    clear = photographed(world, Air(), 5).rgb.astype(float)
    hazy = photographed(world, Air(haze=0.3), 5).rgb.astype(float)
    assert np.percentile(hazy, 5) > np.percentile(clear, 5) + 10
    assert hazy.std() < clear.std()
    cloudy = photographed(world, Air(clouds=0.7), 6)
    assert cloudy.clouded.any()
    ratio = cloudy.rgb.astype(float).mean(-1) / np.maximum(clear.mean(-1), 1.0)
    assert ratio[cloudy.clouded].mean() < 0.85
    assert ratio[~cloudy.clouded].mean() > 0.9


def test_the_sun_glints_on_water_only(world: DrillWorld) -> None:
    view = photographed(world, Air(glint=0.7), 5)
    assert view.glinting.any()
    assert (world.cover[view.glinting] == LandCover.WATER).all()


def test_what_a_registration_left_moves_the_picture_by_as_much(world: DrillWorld) -> None:
    still, moved = photographed(world, Air(), 5).rgb, photographed(world, Air(shift_px=0.5), 5).rgb
    assert (still != moved).mean() > 0.5
    assert np.abs(still.astype(int) - moved).mean() < 15


def test_trees_lean_and_bare_ground_does_not(world: DrillWorld) -> None:
    still, leaning = photographed(world, Air(), 5).rgb, photographed(world, Air(lean=0.3), 5).rgb
    differs = np.abs(still.astype(int) - leaning).max(-1) > 3
    tall = world.surface_m - world.ground_m > 6.0
    assert differs[tall].mean() > 0.4
    assert differs[world.cover == LandCover.PADDY].mean() < 0.1


def test_holes_are_not_seen(world: DrillWorld) -> None:
    view = photographed(world, Air(holes=0.3), 5)
    assert 0.5 < view.seen.mean() < 1.0
    assert not view.rgb[~view.seen].any()


def test_a_pair_is_on_one_grid_with_its_truth_and_the_same_every_time() -> None:
    pairs = [view_pair(WIDE, 1.0, seed=8) for _ in range(2)]
    one = pairs[0]
    for shape in (one.after.rgb.shape[:2], one.heights_m.shape, one.change.shape, one.confuser.shape):
        assert shape == one.window.shape
    assert set(np.unique(one.change)) == {0, 1, 2}
    assert one.confuser.any()
    assert np.isfinite(one.heights_m).all()
    assert one.before.rgb.tobytes() == pairs[1].before.rgb.tobytes()
    assert one.after.rgb.tobytes() == pairs[1].after.rgb.tobytes()
    calm = view_pair(WIDE, 1.0, seed=8, storm=False)
    assert not calm.change.any()
    assert calm.before.rgb.tobytes() == one.before.rgb.tobytes()


def test_the_first_flight_is_the_one_registered_to() -> None:
    assert drawn_air(4, first=True).shift_px == 0.0 < drawn_air(4, first=False).shift_px
    assert replace(drawn_air(4, first=True)) == drawn_air(4, first=True)
