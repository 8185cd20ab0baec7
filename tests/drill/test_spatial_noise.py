from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.drill.land import (
    compute_lattice_span,
    generate_smooth_noise,
    generate_white_noise,
    hash_table,
    hash_unit,
    interpolate_spline,
)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.5, 300.0), st.integers(0, 40), st.integers(0, 40))
def test_a_place_has_one_number_in_every_window(seed: int, wavelength: float, row: int, col: int) -> None:
    east, north = 479_000.0 + np.arange(60) * 0.7, 2_421_000.0 - np.arange(60) * 0.7
    whole = generate_smooth_noise(east, north, wavelength, seed, "x")
    part = generate_smooth_noise(east[col : col + 20], north[row : row + 20], wavelength, seed, "x")
    np.testing.assert_allclose(part, whole[row : row + 20, col : col + 20], atol=2e-4)


def test_wide_grids_join_their_chunks_without_a_seam() -> None:
    east = np.arange(1000) * 0.2
    whole = generate_smooth_noise(east, np.arange(5) * 0.2, 30.0, 1, "x")
    assert np.abs(np.diff(whole, axis=1)).max() < 0.2


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


def test_noise_is_centred_and_about_unit() -> None:
    values = generate_smooth_noise(np.arange(400) * 5.0, np.arange(400) * 5.0, 20.0, 5, "x")
    assert abs(values.mean()) < 0.05
    assert 0.8 < values.std() < 1.2


def test_hashes_are_even_and_differ_by_name_and_seed() -> None:
    i, j = np.meshgrid(np.arange(200), np.arange(200))
    numbers = hash_unit(i, j, 1, "a")
    counts, _ = np.histogram(numbers, 10, (0, 1))
    assert counts.min() > 3700 and counts.max() < 4300
    for other in (hash_unit(i, j, 2, "a"), hash_unit(i, j, 1, "b")):
        assert abs(np.corrcoef(numbers.ravel(), other.ravel())[0, 1]) < 0.02
    np.testing.assert_allclose(hash_table(i, j, 1, "a"), numbers, atol=1e-7)


def test_grain_belongs_to_the_cell() -> None:
    whole = generate_white_noise(-7, 2000, (40, 50), 1, "g")
    np.testing.assert_array_equal(generate_white_noise(-2, 1990, (10, 10), 1, "g"), whole[10:20, 5:15])
