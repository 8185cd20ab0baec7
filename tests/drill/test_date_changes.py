from __future__ import annotations

import cv2
import numpy as np
import pytest

from flycam.drill.appearance import (
    TERRACES,
    Confuser,
    DateChanges,
    Sun,
    derive_later_date,
    draw_date_changes,
    normalise_field_work,
)
from flycam.drill.land import CENTRE_M, LandCover, Valley, build_valley_fields
from flycam.drill.world import SUN_AFTER, DrillWorld, build_drill_world, with_drawn_slides

AROUND = (CENTRE_M[0] - 220, CENTRE_M[1] - 220, CENTRE_M[0] + 220, CENTRE_M[1] + 220)
SUN = Sun(azimuth_rad=3.5, elevation_rad=0.8)


def after(**options: object) -> DrillWorld:
    between = DateChanges(seed=12, sun=SUN, **options)  # type: ignore[arg-type]
    return build_drill_world(AROUND, 1.0, seed=12, after=True, between=between)


@pytest.fixture(scope="module")
def before() -> DrillWorld:
    return build_drill_world(AROUND, 1.0, seed=12)


def test_a_world_before_is_the_same_whatever_comes_between(before: DrillWorld) -> None:
    again = build_drill_world(AROUND, 1.0, seed=12, between=draw_date_changes(12))
    assert again.rgb.tobytes() == before.rgb.tobytes()
    assert again.confuser is None


def test_nothing_between_is_the_same_ground(before: DrillWorld) -> None:
    calm = after(slides=False, flood_m=0.0, fields=0.0, cleared=0.0, roads=0, houses=0.0)
    assert (calm.cover == before.cover).all()
    assert calm.surface_m.tobytes() == before.surface_m.tobytes()
    assert not calm.change.any()
    assert calm.confuser is not None and not calm.confuser.any()
    assert (calm.rgb != before.rgb).any()  # the sun moved


def test_without_a_storm_nothing_failed_and_nothing_is_flooded() -> None:
    world = build_drill_world(AROUND, 1.0, seed=12, after=True, between=draw_date_changes(12, storm=False))
    assert not world.change.any()
    assert not np.isin(world.cover, (LandCover.SCAR, LandCover.FLOOD, LandCover.CUTTING)).any()
    assert world.confuser is not None
    built = (Confuser.ROAD, Confuser.CUTTING, Confuser.HOUSE)
    assert not np.isin(world.confuser, built).any()


def test_each_confuser_is_there_and_says_what_is_seen(before: DrillWorld) -> None:
    world = after(fields=0.8, cleared=0.4, roads=4, houses=0.8)
    assert world.confuser is not None
    assert set(np.unique(world.confuser)) >= set(Confuser)
    assert not (world.confuser[world.change > 0]).any()
    bare = np.isin(world.confuser, (Confuser.CUTTING, Confuser.CLEARED))
    soil = np.isin(world.cover, (LandCover.CUTTING, LandCover.PLOUGHED, LandCover.CROWN, LandCover.ROOF))
    assert soil[bare].mean() > 0.97
    other = ((world.confuser > 0) | (world.change > 0)).astype(np.uint8)
    # crowns of trees that stood on changed ground hung over its edge
    same = (cv2.dilate(other, np.ones((11, 11), np.uint8)) == 0) & (before.cover != LandCover.WATER)
    assert same.mean() > 0.1
    assert (world.cover == before.cover)[same].mean() > 0.999


def test_a_flood_is_as_deep_as_asked(before: DrillWorld) -> None:
    low, high = after(slides=False, flood_m=1.5), after(slides=False, flood_m=4.0)
    assert 1.2 * (low.change == 2).sum() < (high.change == 2).sum()
    river = (before.cover == LandCover.WATER) & (low.cover == LandCover.FLOOD)
    np.testing.assert_allclose(low.ground_m[river] - before.ground_m[river], 1.5, atol=0.05)


def test_a_plain_storm_keeps_its_light() -> None:
    plain = build_drill_world(AROUND, 1.0, seed=12, after=True)
    assert plain.sun == SUN_AFTER and plain.confuser is None


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_slides_are_of_many_sizes_and_apart(seed: int) -> None:
    wide = (CENTRE_M[0] - 500, CENTRE_M[1] - 500, CENTRE_M[0] + 500, CENTRE_M[1] + 500)
    fields = with_drawn_slides(build_valley_fields(Valley(seed=seed), wide), seed)
    count, _, stats, _ = cv2.connectedComponentsWithStats((fields.values["scar"] > 0).astype(np.uint8))
    areas = stats[1:, cv2.CC_STAT_AREA] * 4.0
    assert count > 12
    assert (areas < 600).sum() >= 3 and (areas > 2000).sum() >= 3
    assert areas.sum() < 0.15 * 1e6


def test_every_seed_draws_another_day() -> None:
    days = [draw_date_changes(seed) for seed in range(40)]
    assert len({day.sun.azimuth_rad for day in days}) == 40
    assert draw_date_changes(3) == draw_date_changes(3)
    assert all(day.storm for day in days)
    assert not any(draw_date_changes(seed, storm=False).storm for seed in range(5))


def test_terraces_confuse_under_a_name_of_their_own(before: DrillWorld) -> None:
    world = after(fields=0.8, slides=False, flood_m=0.0, roads=0, houses=0.0)
    assert world.confuser is not None
    terraced = np.isin(world.confuser, TERRACES)
    assert (before.cover[terraced] == LandCover.TERRACE).mean() > 0.97, "but for crowns over them"
    fields = np.isin(world.confuser, (Confuser.CROP, Confuser.WET_PADDY, Confuser.PLOUGHED))
    assert not (before.cover[fields] == LandCover.TERRACE).any()
    work = normalise_field_work(world.confuser)
    assert work.dtype == np.uint8 and not np.isin(work, TERRACES).any()
    assert ((work > 0) == (world.confuser > 0)).all() and (work[~terraced] == world.confuser[~terraced]).all()


def test_at_a_third_date_water_has_fallen_and_slides_have_grown() -> None:
    storm = DateChanges(seed=12, sun=SUN, fields=0.0, cleared=0.0, roads=0, houses=0.0)
    then = build_drill_world(AROUND, 1.0, seed=12, after=True, between=storm)
    third = derive_later_date(storm, days=4, flood_m=0.0, grown_m=5.0)
    now = build_drill_world(AROUND, 1.0, seed=12, after=True, between=third)
    assert (then.change == 2).any() and not (now.change == 2).any()
    slid = then.change == 1
    assert (now.change[slid] == 1).all()
    assert slid.any() and 1.1 * slid.sum() < (now.change == 1).sum() < 6.0 * slid.sum()
