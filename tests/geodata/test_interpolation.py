"""Interpolation between posts."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.geodata.geoid import interpolate_bilinear, interpolate_cubic

positions = st.tuples(st.floats(0, 6), st.floats(0, 8))


@settings(max_examples=80)
@given(positions, st.floats(-2, 2), st.floats(-2, 2), st.floats(-5, 5))
def test_both_kernels_reproduce_a_plane_inside(
    at: tuple[float, float], east: float, south: float, level: float
) -> None:
    r, c = np.mgrid[0:9, 0:11].astype(float)
    values = level + south * r + east * c
    row, col = np.array([at[0] + 1]), np.array([at[1] + 1])
    wanted = level + south * row + east * col
    assert np.allclose(interpolate_bilinear(values, row, col), wanted, atol=1e-9)
    assert np.allclose(interpolate_cubic(values, row, col), wanted, atol=1e-9)


def test_a_hole_hides_only_what_needs_it() -> None:
    values = np.arange(25.0).reshape(5, 5)
    values[2, 2] = np.nan
    row, col = np.array([1.0, 1.5, 2.0, 3.2, 0.5, 3.0]), np.array([1.0, 1.5, 2.0, 3.9, 0.5, 2.0])
    for kernel in (interpolate_bilinear, interpolate_cubic):
        out = kernel(values, row, col)
        assert np.isnan(out).tolist() == [False, True, True, False, False, False]


def test_a_wrapped_grid_joins_its_ends() -> None:
    circle = np.sin(np.radians(np.arange(0.0, 361.0, 10.0)))
    values = np.tile(circle, (5, 1))
    col = np.array([0.0001, 35.9999])
    out = interpolate_cubic(values, np.array([2.0, 2.0]), col, wraps=True)
    assert np.allclose(out, np.sin(np.radians(col * 10)), atol=1e-5)
