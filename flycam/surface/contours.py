"""Contour lines of a height grid: marching squares, joined by pointer jumping.

All cells are cut at once into segments between the edges that a level crosses (Lorensen and Cline, Marching
cubes, SIGGRAPH 1987, in two dimensions; a saddle is decided by the mean of its four posts). Every crossed
edge belongs to at most two segments, so segments join into chains; each chain finds its end by repeated
doubling (Wyllie 1979), without walking from point to point.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.terrain import TerrainGrid

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

_CELLS_AT_ONCE = 2_000_000

# Edges of a cell: 0 north, 1 east, 2 south, 3 west. For every pattern of posts above the level (bit 0 NW,
# 1 NE, 2 SE, 3 SW): up to two segments, each from edge to edge with the higher ground on its right.
_NORTH, _EAST, _SOUTH, _WEST, _NONE = 0, 1, 2, 3, -1
_SEGMENTS = np.full((16, 2, 2), _NONE, np.int64)
for _pattern, _edges in {
    1: ((_NORTH, _WEST),),
    2: ((_EAST, _NORTH),),
    3: ((_EAST, _WEST),),
    4: ((_SOUTH, _EAST),),
    5: ((_NORTH, _WEST), (_SOUTH, _EAST)),
    6: ((_SOUTH, _NORTH),),
    7: ((_SOUTH, _WEST),),
    8: ((_WEST, _SOUTH),),
    9: ((_NORTH, _SOUTH),),
    10: ((_EAST, _NORTH), (_WEST, _SOUTH)),
    11: ((_EAST, _SOUTH),),
    12: ((_WEST, _EAST),),
    13: ((_NORTH, _EAST),),
    14: ((_WEST, _NORTH),),
}.items():
    _SEGMENTS[_pattern, : len(_edges)] = _edges
# The same saddles where the centre is above the level: the two high corners are joined.
_JOINED = {5: ((_NORTH, _EAST), (_SOUTH, _WEST)), 10: ((_EAST, _SOUTH), (_WEST, _NORTH))}


@dataclass(frozen=True, kw_only=True, slots=True)
class ContourLine:
    """Line at one height: points K×2 (east, north) of the work CRS.

    A closed line repeats its first point.
    """

    height_m: float
    points_m: Floats
    closed: bool

    def split(self, is_own: NDArray[np.bool_]) -> list[tuple[ContourLine, bool]]:
        """Split into pieces along which `is_own` (K, of every point) is the same.

        Neighbouring pieces share the point between.
        """
        changes = np.flatnonzero(is_own[1:] != is_own[:-1]) + 1
        if not changes.size:
            return [(self, bool(is_own[0]))]
        starts, stops = [0, *changes.tolist()], [*(changes + 1).tolist(), len(self.points_m)]
        return [
            (replace(self, points_m=self.points_m[i:j], closed=False), bool(is_own[i]))
            for i, j in zip(starts, stops, strict=True)
            if j - i > 1
        ]


def trace_contour_lines(terrain: TerrainGrid, interval_m: float, min_points: int = 2) -> list[ContourLine]:
    """Trace contour lines at all multiples of an interval, in ascending order.

    Unknown posts end a line. Lines of fewer than `min_points` points are left out. Along a line the higher
    ground is on its right. A post exactly at a level counts as above it. Raises ValueError where the
    interval is not positive.
    """
    if not interval_m > 0.0:
        raise ValueError(f"the contour interval must be positive, it is {interval_m}")
    heights = terrain.heights_m.astype(np.float64)
    cells = _Cells.of(heights, interval_m)
    lines: list[ContourLine] = []
    for first, last in cells.bands():
        for number, points, closed in _band_lines(heights, interval_m, *cells.crossed(first, last)):
            if len(points) >= min_points:
                placed = _placed(terrain, points)
                lines.append(ContourLine(height_m=number * interval_m, points_m=placed, closed=closed))
    return lines


@dataclass(frozen=True, slots=True)
class _Cells:
    """Known cells that a level crosses.

    Their north-west posts (flat), and the first and last such level.
    """

    post: Indices
    low: Indices
    high: Indices

    @classmethod
    def of(cls, heights: Floats, interval_m: float) -> _Cells:
        corners = (heights[:-1, :-1], heights[:-1, 1:], heights[1:, 1:], heights[1:, :-1])
        lowest, highest = (
            op(op(corners[0], corners[1]), op(corners[2], corners[3])) for op in (np.minimum, np.maximum)
        )
        # a post at a level counts as above it, so a level L crosses where lowest < L <= highest
        low, high = np.floor(lowest / interval_m) + 1.0, np.floor(highest / interval_m)
        row, col = np.nonzero(high >= low)
        low, high = low[row, col], high[row, col]
        return cls(row * heights.shape[1] + col, low.astype(np.int64), high.astype(np.int64))

    def bands(self) -> list[tuple[int, int]]:
        """Group levels (first, last) into bands of a bounded number of crossed cells.

        One level at least.
        """
        if not self.post.size:
            return []
        bottom, top = int(self.low.min()), int(self.high.max())
        changes = np.bincount(self.low - bottom, minlength=top - bottom + 2)
        changes -= np.bincount(self.high + 1 - bottom, minlength=top - bottom + 2)
        band = np.cumsum(np.cumsum(changes)[:-1]) // _CELLS_AT_ONCE
        starts = np.concatenate([[0], np.flatnonzero(np.diff(band)) + 1, [band.size]])
        return [(bottom + int(i), bottom + int(j) - 1) for i, j in pairwise(starts)]

    def crossed(self, first: int, last: int) -> tuple[Indices, Indices]:
        """Return posts and levels of all crossings of a band, one each."""
        low, high = np.maximum(self.low, first), np.minimum(self.high, last)
        count = np.maximum(high - low + 1, 0)
        post = np.repeat(self.post, count)
        within = np.arange(post.size) - np.repeat(np.cumsum(count) - count, count)
        return post, np.repeat(low, count) + within


def _placed(terrain: TerrainGrid, points: Floats) -> Floats:
    """Convert (row, column) among the posts to (east, north)."""
    (east, north), (step_e, step_s) = terrain.origin_m, terrain.post_spacing_m
    return np.stack([east + points[:, 1] * step_e, north - points[:, 0] * step_s], axis=-1)


def _band_lines(
    heights: Floats, interval_m: float, post: Indices, level: Indices
) -> list[tuple[int, Floats, bool]]:
    """Return the lines of a band's crossings.

    Of each the number of the level, (row, column) points, and True if it is closed.
    """
    start, end, of_segment = _segments(heights, interval_m, post, level)
    bottom = int(level.min())
    levels = int(level.max()) - bottom + 1
    # unique number of an edge at a level
    start_key, end_key = (edge * levels + (of_segment - bottom) for edge in (start, end))
    at_m: Floats = of_segment.astype(np.float64) * interval_m
    start_at, end_at = (_crossings(heights, at_m, edge) for edge in (start, end))
    found = [
        (
            int(of_segment[chain[0]]),
            np.concatenate([start_at[chain], end_at[chain[-1:]]]),
            bool(end_key[chain[-1]] == start_key[chain[0]]),
        )
        for chain in _chained(start_key, end_key)
    ]
    return sorted(found, key=lambda line: line[0])


def _segments(
    heights: Floats, interval_m: float, post: Indices, level: Indices
) -> tuple[Indices, Indices, Indices]:
    """Return the edge numbers where each segment starts and ends, and its level.

    An edge is numbered 2 * post + 0 (from the post east) or + 1 (from the post south).
    """
    columns = heights.shape[1]
    flat = heights.reshape(-1)
    corners = [flat[post + step] for step in (0, 1, columns + 1, columns)]
    height = level * interval_m
    kind = np.zeros(post.size, np.int64)
    for bit, corner in enumerate(corners):
        kind += (corner >= height).astype(np.int64) << bit
    segments = _SEGMENTS[kind]
    total = corners[0] + corners[1] + corners[2] + corners[3]
    for saddle, joined in _JOINED.items():
        segments[(kind == saddle) & (total >= 4.0 * height)] = joined
    edge = np.stack([2 * post, 2 * (post + 1) + 1, 2 * (post + columns), 2 * post + 1], axis=-1)
    cell, which = np.nonzero(segments[:, :, 0] != _NONE)
    ends = segments[cell, which]
    return edge[cell, ends[:, 0]], edge[cell, ends[:, 1]], level[cell]


def _crossings(heights: Floats, height_m: Floats, edges: Indices) -> Floats:
    """Return the (row, column) where a height crosses each edge."""
    columns = heights.shape[1]
    flat = heights.reshape(-1)
    post, south = edges // 2, edges % 2
    here, there = flat[post], flat[post + np.where(south == 1, columns, 1)]
    share = (height_m - here) / (there - here)
    return np.stack([post // columns + share * south, post % columns + share * (1 - south)], axis=-1)


def _chained(start: Indices, end: Indices) -> list[Indices]:
    """Return the segments in the order of their lines: a list of index arrays.

    Each segment's successor is the one that starts where it ends. Every chain is numbered by its head (a
    closed one by its lowest segment), and the distance to the head is found by doubling.
    """
    count = start.size
    by_start = np.argsort(start, kind="stable")
    at = np.minimum(np.searchsorted(start[by_start], end), count - 1)
    follows = start[by_start[at]] == end
    before = np.full(count, -1, np.int64)
    before[by_start[at[follows]]] = np.flatnonzero(follows)
    number = np.arange(count)
    # a closed chain is cut in front of its lowest segment
    lowest, jump = number.copy(), np.where(before < 0, number, before)
    for _ in range(int(count).bit_length()):
        lowest, jump = np.minimum(lowest, lowest[jump]), jump[jump]
    closed = before[jump] >= 0
    before[closed & (lowest == number)] = -1
    steps, head = (before >= 0).astype(np.int64), np.where(before < 0, number, before)
    for _ in range(int(count).bit_length()):
        steps, head = steps + steps[head], head[head]
    order = np.lexsort((steps, head))
    return np.split(order, np.flatnonzero(np.diff(head[order])) + 1)
