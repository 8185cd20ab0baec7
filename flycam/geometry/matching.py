"""Descriptor matching among candidates that geometry allows.

A match is the best of its candidates from both sides, clearly better than the second best *of the
candidates*: a paddy that repeats over the whole valley does not repeat within the search radius.

Sources: Lowe, IJCV 60(2), 2004 (ratio test).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.features import DESCRIPTOR_NORM

Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]
Indices = NDArray[np.int64]

# 2 MB of descriptors at a time stay in the processor's cache.
_CHUNK = 1 << 12
_NORM2 = DESCRIPTOR_NORM * DESCRIPTOR_NORM


def find_close_pairs(points_a: Floats, points_b: Floats, radius: float) -> tuple[Indices, Indices]:
    """Return index pairs (i, j) that differ by at most radius in each coordinate.

    Points N×D; NaN has no neighbours. Sorted by i then j.
    """
    here = np.flatnonzero(np.isfinite(points_a).all(axis=1))
    there = np.flatnonzero(np.isfinite(points_b).all(axis=1))
    if here.size == 0 or there.size == 0:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    from scipy.spatial import cKDTree  # noqa: PLC0415  ingest matches without it, and starts sooner

    close = cKDTree(points_a[here]).sparse_distance_matrix(
        cKDTree(points_b[there]), radius, p=np.inf, output_type="ndarray"
    )
    i, j = here[close["i"]], there[close["j"]]
    order = np.lexsort((j, i))
    return i[order], j[order]


def match_mutual_best(
    descriptor_a: Bytes, descriptor_b: Bytes, i: Indices, j: Indices, *, ratio: float, min_similarity: float
) -> tuple[Indices, Indices, Floats]:
    """Return mutually best, distinct and similar matches among pairs (i, j).

    ratio           largest distance of a match over that of the second best candidate of either side
    min_similarity  least cosine of the two descriptors

    Returns (i, j, cosine) of the matches, sorted by i. Exact in any order of the sums.
    """
    if i.size == 0:
        return i, j, np.empty(0)
    cosine = _cosines(descriptor_a, descriptor_b, i, j)
    distance2 = np.maximum(2.0 - 2.0 * cosine, 1e-9)
    clear = (
        _clearly_best(i, distance2, ratio) & _clearly_best(j, distance2, ratio) & (cosine >= min_similarity)
    )
    order = np.argsort(i[clear], kind="stable")
    return i[clear][order], j[clear][order], cosine[clear][order]


def match_all_mutual_best(
    descriptor_a: Bytes, descriptor_b: Bytes, *, ratio: float
) -> tuple[Indices, Indices]:
    """Return matches (i, j) among all pairs, sorted by i.

    Mutually best, and clearly better than the second best.
    """
    if min(len(descriptor_a), len(descriptor_b)) < 2:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    dot = descriptor_a.astype(np.float32) @ descriptor_b.astype(np.float32).T
    best = dot.argmax(axis=1)
    i = np.arange(len(best))
    value = dot[i, best]
    dot[i, best] = -1.0
    second = dot.max(axis=1)
    dot[i, best] = value
    distance2 = np.maximum(2.0 - 2.0 * value.astype(np.float64) / _NORM2, 0.0)
    clear = np.flatnonzero(distance2 <= ratio * ratio * (2.0 - 2.0 * second.astype(np.float64) / _NORM2))
    mutual = dot[:, best[clear]].argmax(axis=0) == clear
    i = clear[mutual]
    return i, best[i]


def _cosines(a: Bytes, b: Bytes, i: Indices, j: Indices) -> Floats:
    result = np.empty(i.size)
    fa, fb = a.astype(np.float32), b.astype(np.float32)
    na = np.sqrt(np.maximum(np.einsum("nk,nk->n", fa, fa), 1.0).astype(np.float64))
    nb = np.sqrt(np.maximum(np.einsum("nk,nk->n", fb, fb), 1.0).astype(np.float64))
    for start in range(0, i.size, _CHUNK):
        ii, jj = i[start : start + _CHUNK], j[start : start + _CHUNK]
        dot = np.einsum("nk,nk->n", fa[ii], fb[jj]).astype(np.float64)
        result[start : start + _CHUNK] = dot / (na[ii] * nb[jj])
    return result


def _clearly_best(group: Indices, distance2: Floats, ratio: float) -> NDArray[np.bool_]:
    """Return True for the nearest candidate of its group if it passes the ratio test."""
    order = np.lexsort((distance2, group))
    g, d = group[order], distance2[order]
    first = np.diff(g, prepend=g[:1] - 1) != 0
    second = np.append(d[1:], np.inf)
    alone = np.append(g[1:] != g[:-1], True)
    second = np.where(alone, np.inf, second)
    result = np.zeros(group.size, dtype=bool)
    result[order] = first & (d <= ratio * ratio * second)
    return result
