from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.drill.land import (
    compute_lattice_span,
    generate_smooth_noise,
    interpolate_spline,
)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.5, 300.0), st.integers(0, 40), st.integers(0, 40))
def test_a_place_has_one_number_in_every_window(seed: int, wavelength: float, row: int, col: int) -> None:
    east, north = 479_000.0 + np.arange(60) * 0.7, 2_421_000.0 - np.arange(60) * 0.7
    whole = generate_smooth_noise(east, north, wavelength, seed, "x")
    part = generate_smooth_noise(east[col : col + 20], north[row : row + 20], wavelength, seed, "x")
    np.testing.assert_allclose(part, whole[row : row + 20, col : col + 20], atol=2e-4)


@settings(max_examples=20, deadline=None)
@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(-50, 50))
def test_a_spline_through_a_plane_is_the_plane(a: float, b: float, c: float) -> None:
    step = 2.0
    east, north = np.linspace(10.0, 40.0, 37), np.linspace(-20.0, 5.0, 23)
    (first_e, count_e), (first_n, count_n) = (
        compute_lattice_span(east, step),
        compute_lattice_span(north, step),
    )
    nodes_e, nodes_n = (first_e + np.arange(count_e)) * step, (first_n + np.arange(count_n)) * step
    lattice = (a * nodes_e[None] + b * nodes_n[:, None] + c).astype(np.float32)
    expected = a * east[None] + b * north[:, None] + c
    np.testing.assert_allclose(
        interpolate_spline(lattice, (first_n, first_e), step, east, north), expected, atol=1e-3
    )
