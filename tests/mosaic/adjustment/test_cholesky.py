"""The multifrontal factor against dense linear algebra, on any graph."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import bsr_matrix, csr_matrix

from flycam.mosaic.adjustment.minimisation import BlockFactor, plan_elimination

SIZE = 6


def system(count, pairs, seed):
    """A random positive definite block matrix whose off-diagonal blocks are `pairs`, dense and sparse."""
    random = np.random.default_rng(seed)
    dense = np.zeros((count, SIZE, count, SIZE))
    each = np.arange(count)
    dense[each, :, each, :] += np.eye(SIZE) * 0.1
    for i, j in pairs:
        rows = random.normal(size=(5, 2 * SIZE))
        product = rows.T @ rows
        for a, (m, s) in enumerate(((i, slice(0, SIZE)), (j, slice(SIZE, None)))):
            for b, (n, t) in enumerate(((i, slice(0, SIZE)), (j, slice(SIZE, None)))):
                assert a in (0, 1) and b in (0, 1)
                dense[m, :, n, :] += product[s, t]
    matrix = dense.reshape(count * SIZE, count * SIZE)
    pattern = csr_matrix(np.abs(dense).sum(axis=(1, 3)) > 0.0)
    return matrix, bsr_matrix(csr_matrix(matrix), blocksize=(SIZE, SIZE)), pattern


@st.composite
def graphs(draw):
    """Count, edges and places of frames: chains, grids, separate parts and anything between."""
    count = draw(st.integers(1, 60))
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    places = random.uniform(size=(count, 2)) * draw(st.sampled_from([[1.0, 1.0], [1.0, 0.0], [5.0, 1.0]]))
    reach = draw(st.floats(0.0, 0.5))
    distance = np.linalg.norm(places[:, None] - places[None], axis=-1)
    i, j = np.nonzero(np.triu(distance < reach, 1))
    return count, list(zip(i.tolist(), j.tolist(), strict=True)), places


@given(graphs(), st.integers(0, 99))
def test_solution_and_selected_inverse(graph, seed):
    count, pairs, places = graph
    dense, sparse, pattern = system(count, pairs, seed)
    factor = BlockFactor(sparse, plan_elimination(pattern, places))
    right = np.random.default_rng(seed).normal(size=(count * SIZE, 2))
    np.testing.assert_allclose(dense @ factor.solve(right), right, atol=1e-8)
    np.testing.assert_allclose(factor.solve(right[:, 0]), factor.solve(right)[:, 0], atol=1e-12)
    rows = np.array([*range(count), *(i for i, _ in pairs), *(j for _, j in pairs)])
    cols = np.array([*range(count), *(j for _, j in pairs), *(i for i, _ in pairs)])
    inverse = np.linalg.inv(dense).reshape(count, SIZE, count, SIZE)
    np.testing.assert_allclose(factor.inverse(rows, cols), inverse[rows, :, cols, :], atol=1e-8)


def test_every_frame_is_eliminated_once_and_the_factor_of_a_long_block_stays_sparse():
    count = 900
    places = np.stack(np.meshgrid(np.arange(30.0), np.arange(30.0)), -1).reshape(-1, 2)
    distance = np.abs(places[:, None] - places[None]).max(-1)
    plan = plan_elimination(csr_matrix(distance < 1.5), places)
    np.testing.assert_array_equal(np.sort(np.concatenate([f.pivots for f in plan])), np.arange(count))
    stored = sum(len(f.pivots) * (len(f.pivots) + len(f.boundary)) for f in plan)
    assert stored < 0.08 * count**2
    assert all(f.parent > k or f.parent == -1 for k, f in enumerate(plan))
