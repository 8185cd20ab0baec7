"""SIFT features of a reduced image, spread evenly, and their matching.

A frame's yaw is known to a few degrees, so descriptors are taken *upright*: rotated by the direction of
north in the image instead of by the gradients around the point. They are more distinctive, and more
repeatable on canopy.

Sources: Lowe, IJCV 60(2), 2004 (SIFT); Arandjelovic and Zisserman, CVPR 2012 (RootSIFT).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]
Indices = NDArray[np.int64]

# SIFT doubles its input: half a megapixel is searched as two. An image of 1.3 megapixels has no detail
# below its own pixels, so a quarter of it is enough; smaller images are reduced less.
_MAX_SEARCHED_PX, _MIN_SEARCHED_PX = 0.5e6, 0.33e6
# Norm of a stored descriptor: dot products of two are integers below 2^24, exact in float32, so that a
# matrix product gives the same bits on any number of threads.
DESCRIPTOR_NORM = 512.0
# SIFT's contrast threshold.
_CONTRAST = 0.008
# Features nearer to the border (full-size pixels) are dropped.
_BORDER_PX = 6.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Features:
    """Features of one image.

    The strongest of every cell come first, then the second of every cell …

    uv_px       N×2 float64 (u, v) of the full-size image, pixel centres at integers
    size_px     N float32, diameter of the blob in full-size pixels
    descriptor  N×128 uint8, RootSIFT of norm DESCRIPTOR_NORM
    """

    uv_px: Floats
    size_px: NDArray[np.float32]
    descriptor: Bytes

    def __len__(self) -> int:
        return len(self.uv_px)


def make_empty_features() -> Features:
    """Return the features of an image that has none."""
    return Features(
        uv_px=np.empty((0, 2)),
        size_px=np.empty(0, dtype=np.float32),
        descriptor=np.empty((0, 128), dtype=np.uint8),
    )


def find_features(
    pixels: Bytes, *, max_features: int = 4000, cells: int = 16, up_deg: float | None = None
) -> Features:
    """Detect up to `max_features` features of an image H×W×3 (RGB) or H×W uint8.

    cells   the image is divided into cells × cells; the strongest points of each are taken in turn
    up_deg  direction of the descriptors (north, say), clockwise from the image's right; None: each by
            its own gradients (for a frame whose yaw is not known)
    """
    grey = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    scale = compute_search_scale((width, height))
    small_size = max(round(width * scale), 1), max(round(height * scale), 1)
    if min(small_size) < 32:
        return make_empty_features()
    small = grey if scale == 1.0 else cv2.resize(grey, small_size, interpolation=cv2.INTER_AREA)
    # without the precise upscale every point is a quarter of a reduced pixel too far right and down
    sift = cv2.SIFT.create(contrastThreshold=_CONTRAST, enable_precise_upscale=True)
    found = sift.detect(small)
    if not found:
        return make_empty_features()
    ratio = np.array([width / small_size[0], height / small_size[1]])
    uv = (np.array([k.pt for k in found], dtype=np.float64) + 0.5) * ratio - 0.5
    response = np.array([k.response for k in found])
    usable = _one_each(uv, response) if up_deg is not None else np.arange(len(found))
    inside = ((uv > _BORDER_PX) & (uv < np.array([width, height]) - 1.0 - _BORDER_PX)).all(axis=1)
    usable = usable[inside[usable]]
    chosen = usable[select_evenly(uv[usable], response[usable], (width, height), cells, max_features)]
    if chosen.size == 0:
        return make_empty_features()
    points = [found[i] for i in chosen]
    if up_deg is not None:
        for point in points:
            point.angle = up_deg % 360.0
    keypoints, raw = sift.compute(small, points)
    uv = (np.array([k.pt for k in keypoints], dtype=np.float64) + 0.5) * ratio - 0.5
    size = np.array([k.size for k in keypoints]) * ratio.mean()
    return Features(
        uv_px=uv, size_px=size.astype(np.float32), descriptor=compute_root_sift(np.asarray(raw, np.float32))
    )


def compute_search_scale(size_px: tuple[int, int]) -> float:
    """Return the scale (at most 1) of the image that features are detected in.

    size_px is (width, height) of the full-size image.
    """
    pixels = float(size_px[0] * size_px[1])
    searched = min(max(pixels / 4.0, _MIN_SEARCHED_PX), _MAX_SEARCHED_PX)
    return min(1.0, float(np.sqrt(searched / pixels)))


def compute_root_sift(raw: NDArray[np.float32]) -> Bytes:
    """Convert SIFT descriptors N×128 to RootSIFT, as bytes.

    Square roots of the L1-normalised descriptors.
    """
    total = np.maximum(raw.sum(axis=1, keepdims=True), 1e-6)
    rooted = np.sqrt(np.maximum(raw, 0.0) / total) * DESCRIPTOR_NORM
    stored: Bytes = np.minimum(np.rint(rooted), 255.0).astype(np.uint8)
    return stored


def rotate_descriptors(descriptor: Bytes, quarters: int) -> Bytes:
    """Rotate descriptors N×128 by `quarters` × 90° clockwise.

    OpenCV's order: 4 rows, 4 columns, 8 directions. A rotation of the patch by 90° only permutes them.
    """
    bins = descriptor.reshape(-1, 4, 4, 8)
    turned = np.roll(np.rot90(bins, quarters, axes=(1, 2)), 2 * quarters, axis=3)
    return np.ascontiguousarray(turned.reshape(-1, 128))


def select_evenly(
    uv: Floats, response: Floats, size_px: tuple[int, int], cells: int, max_points: int
) -> Indices:
    """Return indices of up to `max_points` points N×2, evenly spread.

    Points are taken from cells × cells in turn, strongest first in each.
    """
    cell = compute_cell_index(uv, size_px, cells)
    order = np.lexsort((uv[:, 1], uv[:, 0], -response, cell))
    rank = rank_in_group(cell[order])
    turn = np.lexsort((cell[order], rank))
    chosen: Indices = order[turn[:max_points]]
    return chosen


def compute_cell_index(uv: Floats, size_px: tuple[int, int], cells: int) -> Indices:
    """Return the cell number (row · cells + column) of image points N×2.

    size_px is the image's (width, height).
    """
    place = np.floor((uv + 0.5) * (cells / np.asarray(size_px, dtype=np.float64)))
    column, row = np.clip(place, 0, cells - 1).astype(np.int64).T
    number: Indices = row * cells + column
    return number


def rank_in_group(sorted_groups: Indices) -> Indices:
    """Return 0, 1, 2, … inside each run of equal numbers."""
    n = sorted_groups.size
    first = np.flatnonzero(np.diff(sorted_groups, prepend=sorted_groups[:1] - 1))
    length = np.diff(np.append(first, n))
    rank: Indices = np.arange(n) - np.repeat(first, length)
    return rank


def _one_each(uv: Floats, response: Floats) -> Indices:
    """Return one point for each place.

    SIFT repeats a point for every strong direction of its gradients.
    """
    order = np.lexsort((-response, uv[:, 1], uv[:, 0]))
    step = np.abs(np.diff(uv[order], axis=0, prepend=-10.0)).max(axis=1)
    return np.sort(order[step > 1e-6])


# -- Connected components of a graph, given by its edges -------------------------------------------


def label_components(count: int, one: ArrayLike, other: ArrayLike) -> NDArray[np.int64]:
    """Label each of `count` nodes with its component, numbered from 0 by first node.

    one, other  N each, the nodes of N edges
    """
    from scipy.sparse import coo_array  # noqa: PLC0415  slow to load, and few flights need it at their start
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415  as above

    ends = (np.asarray(one, dtype=np.intp), np.asarray(other, dtype=np.intp))
    graph = coo_array((np.ones(len(ends[0]), dtype=np.int8), ends), shape=(count, count))
    part: NDArray[np.int64] = connected_components(graph, directed=False)[1].astype(np.int64)
    return part


# -- Descriptor matching among candidates that geometry allows -------------------------------------
#
# A match is the best of its candidates from both sides, clearly better than the second best *of the
# candidates*: a paddy that repeats over the whole valley does not repeat within the search radius.
#
# Source: Lowe, IJCV 60(2), 2004 (ratio test).


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
