from __future__ import annotations

import numpy as np
import pytest

from flycam.drill.land import CENTRE_M
from flycam.drill.world import DrillWorld, build_drill_world
from tests.drill.topview import view_pair

AROUND = (CENTRE_M[0] - 150, CENTRE_M[1] - 150, CENTRE_M[0] + 150, CENTRE_M[1] + 150)
WIDE = (CENTRE_M[0] - 220, CENTRE_M[1] - 220, CENTRE_M[0] + 220, CENTRE_M[1] + 220)


@pytest.fixture(scope="module")
def world() -> DrillWorld:
    return build_drill_world(AROUND, 1.0, seed=5)


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
