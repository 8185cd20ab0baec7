"""Matching among candidates: the same as looking at all pairs one by one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flycam.geometry.features import (
    DESCRIPTOR_NORM,
    find_close_pairs,
    match_mutual_best,
)


def descriptors(n, seed):
    raw = np.random.default_rng(seed).exponential(size=(n, 128))
    unit = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    return np.minimum(np.rint(unit * DESCRIPTOR_NORM), 255).astype(np.uint8)


@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.integers(0, 40))
def test_close_pairs_are_those_of_every_pair(seed, n, m):
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(size=(n, 2)), rng.uniform(size=(m, 2))
    a[rng.uniform(size=n) < 0.2] = np.nan
    i, j = find_close_pairs(a, b, 0.3)
    with np.errstate(invalid="ignore"):
        expected = np.argwhere((np.abs(a[:, None] - b[None]) <= 0.3).all(axis=2))
    assert np.array_equal(np.stack([i, j], axis=1), expected)


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 30))
def test_a_match_is_the_best_of_its_candidates_from_both_sides(seed, n, m):
    rng = np.random.default_rng(seed)
    a, b = descriptors(n, seed), descriptors(m, seed + 1)
    b[: min(n, m)] = a[: min(n, m)]
    allowed = rng.uniform(size=(n, m)) < 0.5
    i, j = np.nonzero(allowed)
    fa, fb = a.astype(float), b.astype(float)
    cosine = fa @ fb.T / np.linalg.norm(fa, axis=1)[:, None] / np.linalg.norm(fb, axis=1)
    distance = np.where(allowed, np.sqrt(np.maximum(2 - 2 * cosine, 1e-9)), np.inf)
    expected = []
    for r in range(n):
        for c in range(m):
            d = distance[r, c]
            rivals = np.concatenate([np.delete(distance[r], c), np.delete(distance[:, c], r)])
            if np.isfinite(d) and cosine[r, c] >= 0.7 and np.all(d <= 0.9 * rivals):
                expected.append((r, c))
    ours = match_mutual_best(a, b, i, j, ratio=0.9, min_similarity=0.7)
    assert list(zip(ours[0].tolist(), ours[1].tolist(), strict=True)) == expected
