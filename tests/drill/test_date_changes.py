from __future__ import annotations

import cv2
import numpy as np
import pytest

from flycam.drill.appearance import (
    Confuser,
    DateChanges,
    Sun,
)
from flycam.drill.land import CENTRE_M, LandCover
from flycam.drill.world import DrillWorld, build_drill_world

AROUND = (CENTRE_M[0] - 220, CENTRE_M[1] - 220, CENTRE_M[0] + 220, CENTRE_M[1] + 220)
SUN = Sun(azimuth_rad=3.5, elevation_rad=0.8)


def after(**options: object) -> DrillWorld:
    between = DateChanges(seed=12, sun=SUN, **options)  # type: ignore[arg-type]
    return build_drill_world(AROUND, 1.0, seed=12, after=True, between=between)


@pytest.fixture(scope="module")
def before() -> DrillWorld:
    return build_drill_world(AROUND, 1.0, seed=12)


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
