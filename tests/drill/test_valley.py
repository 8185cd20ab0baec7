from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flycam.drill.land import CENTRE_M, Bounds, Valley, build_valley_fields

AROUND: Bounds = (CENTRE_M[0] - 400, CENTRE_M[1] - 400, CENTRE_M[0] + 400, CENTRE_M[1] + 400)


@given(st.integers(0, 1000), st.floats(-2000, 2000), st.floats(-2000, 2000))
def test_valley_coordinates_have_an_inverse(seed: int, along: float, across: float) -> None:
    valley = Valley(seed=seed)
    back = valley.to_valley(*valley.to_work_crs(np.array([along]), np.array([across])))
    np.testing.assert_allclose(np.ravel(back), [along, across], atol=1e-6)


def test_the_same_seed_is_the_same_ground_in_another_window() -> None:
    whole = build_valley_fields(Valley(seed=9), AROUND)
    east, north = np.arange(CENTRE_M[0], CENTRE_M[0] + 50, 0.7), np.arange(CENTRE_M[1], CENTRE_M[1] + 40, 0.7)
    small = build_valley_fields(Valley(seed=9), (east[0], north[0], east[-1], north[-1]))
    np.testing.assert_allclose(
        small.interpolate("height", east, north), whole.interpolate("height", east, north), atol=2e-3
    )
    other = build_valley_fields(Valley(seed=10), AROUND)
    assert (
        np.abs(other.interpolate("height", east, north) - whole.interpolate("height", east, north)).max() > 5
    )
