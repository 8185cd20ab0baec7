from __future__ import annotations

import numpy as np
import pytest

from flycam.drill.land import CENTRE_M, Valley, build_valley_fields
from flycam.drill.world import with_scars

AROUND = (CENTRE_M[0] - 400, CENTRE_M[1] - 400, CENTRE_M[0] + 400, CENTRE_M[1] + 400)


@pytest.mark.parametrize("seed", [1, 7])
def test_a_storm_is_the_same_in_another_window(seed: int) -> None:
    """A film and the photos of one seed are laid on one map; slides are numbered by their window."""
    valley = Valley(seed=seed)
    shifted = (AROUND[0] + 150, AROUND[1] - 90, AROUND[2] + 260, AROUND[3] - 130)
    here, other = with_scars(build_valley_fields(valley, AROUND)), build_valley_fields(valley, shifted)
    alone, told = with_scars(other), with_scars(other, AROUND)
    east, north = (np.arange(a + 1, b, 2.0) for a, b in ((shifted[0], AROUND[2]), (AROUND[1], shifted[3])))
    for name in ("scar", "moved"):
        assert np.array_equal(told.interpolate(name, east, north), here.interpolate(name, east, north))
    assert not np.array_equal(alone.interpolate("moved", east, north), here.interpolate("moved", east, north))
    if seed == 7:
        beyond = other.node_coordinates[0] > AROUND[2] + 20
        assert (told.values["scar"][:, beyond] > 0).any(), "and slopes fail beyond it"
