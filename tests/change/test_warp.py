"""Where a warp says that things are: the same by points and by whole windows, at every level."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flycam.change.warp import Warp, WarpLattice


def _warp(seed: int, shape=(200, 310), step=37.0) -> Warp:
    chance = np.random.default_rng(seed)
    lattice = WarpLattice.from_shape(shape, step)
    affine = np.column_stack([chance.normal(0, 0.01, (2, 2)), chance.normal(0, 20.0, 2)])
    return Warp(affine=affine, lattice=lattice, nodes=chance.normal(0, 2.0, (lattice.rows, lattice.cols, 2)))


@given(
    st.integers(0, 50), st.integers(-40, 150), st.integers(-40, 200), st.sampled_from([1, 2, 4]), st.data()
)
def test_positions_of_a_window_are_those_of_its_points(seed, row, col, factor, data):
    warp = _warp(seed)
    shape = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    x, y = warp.positions(row, col, shape, factor)
    rows, cols = np.mgrid[row : row + shape[0], col : col + shape[1]]
    at = (np.stack([cols.ravel(), rows.ravel()], -1) + 0.5) * factor - 0.5
    there = (at + warp.displacement(at) + 0.5) / factor - 0.5
    assert np.allclose(np.stack([x.ravel(), y.ravel()], -1), there, atol=2e-3)


@given(st.integers(1, 500), st.integers(1, 500), st.floats(5.0, 120.0))
def test_every_pixel_lies_between_four_nodes(rows, cols, step):
    lattice = WarpLattice.from_shape((rows, cols), step)
    assert lattice.rows >= 2 and lattice.cols >= 2
    assert (lattice.rows - 1) * step >= rows - 1 and (lattice.cols - 1) * step >= cols - 1
