from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.drill.land import (
    generate_smooth_noise,
)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.5, 300.0), st.integers(0, 40), st.integers(0, 40))
def test_a_place_has_one_number_in_every_window(seed: int, wavelength: float, row: int, col: int) -> None:
    east, north = 479_000.0 + np.arange(60) * 0.7, 2_421_000.0 - np.arange(60) * 0.7
    whole = generate_smooth_noise(east, north, wavelength, seed, "x")
    part = generate_smooth_noise(east[col : col + 20], north[row : row + 20], wavelength, seed, "x")
    np.testing.assert_allclose(part, whole[row : row + 20, col : col + 20], atol=2e-4)
