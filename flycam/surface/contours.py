"""Contour lines of a height grid: marching squares with all cells at once, then lines by pointer jumping.

Cells are cut into segments between the edges that a level crosses (Lorensen and Cline, Marching cubes,
SIGGRAPH 1987, in two dimensions; a saddle is decided by the mean of its four posts). Every crossed edge
belongs to at most two segments, so segments join into chains; each chain finds its end by doubling how far
it looks (Wyllie 1979), without walking from point to point.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.terrain import TerrainGrid

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

# Edges of a cell: 0 north, 1 east, 2 south, 3 west. For every pattern of posts above the level (bit 0 NW,
# 1 NE, 2 SE, 3 SW) up to two segments, each from edge to edge with the higher ground on its right.
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
# The same saddles where the middle is above the level: the two high corners are joined.
_JOINED = {5: ((_NORTH, _EAST), (_SOUTH, _WEST)), 10: ((_EAST, _SOUTH), (_WEST, _NORTH))}


@dataclass(frozen=True, kw_only=True, slots=True)
class ContourLine:
    """One line at one height: points K×2 (east, north) of the work CRS; a closed line repeats its first."""

    height_m: float
    points_m: Floats
    closed: bool


def contour_lines(terrain: TerrainGrid, interval_m: float, least_points: int = 2) -> list[ContourLine]:
    """Contour lines at all multiples of an interval, rising; unknown posts end a line.

    Lines of fewer than `least_points` points are left out. Along a line the higher ground is on its right.
    A post exactly at a level counts as above it. Raises ValueError where the interval is not positive.
    """
    if not interval_m > 0.0:
        raise ValueError(f"the contour interval must be positive, it is {interval_m}")
    heights = terrain.heights_m.astype(np.float64)
    if not np.isfinite(heights).any():
        return []
    first = int(np.ceil(np.nanmin(heights) / interval_m))
    last = int(np.floor(np.nanmax(heights) / interval_m))
    lines: list[ContourLine] = []
    for number in range(first, last + 1):
        level = number * interval_m
        for points, closed in _level_lines(heights, level):
            if len(points) >= least_points:
                placed = _placed(terrain, points)
                lines.append(ContourLine(height_m=level, points_m=placed, closed=closed))
    return lines


def _placed(terrain: TerrainGrid, points: Floats) -> Floats:
    """(row, column) among the posts to (east, north)."""
    (east, north), (step_e, step_s) = terrain.origin_m, terrain.post_spacing_m
    return np.stack([east + points[:, 1] * step_e, north - points[:, 0] * step_s], axis=-1)


def _level_lines(heights: Floats, level: float) -> list[tuple[Floats, bool]]:
    """Lines of one level as (row, column) points, and whether each is closed."""
    start, end = _segments(heights, level)
    if not start.size:
        return []
    edges, inverse = np.unique(np.concatenate([start, end]), return_inverse=True)
    places = _crossings(heights, level, edges)
    start_at, end_at = places[inverse[: start.size]], places[inverse[start.size :]]
    return [
        (np.concatenate([start_at[chain], end_at[chain[-1:]]]), bool(end[chain[-1]] == start[chain[0]]))
        for chain in _chained(start, end)
    ]


def _segments(heights: Floats, level: float) -> tuple[Indices, Indices]:
    """Edge numbers where each segment starts and ends.

    An edge is numbered 2 * post + 0 (from the post east) or + 1 (from the post south).
    """
    columns = heights.shape[1]
    above = heights >= level
    with np.errstate(invalid="ignore"):
        total = heights[:-1, :-1] + heights[:-1, 1:] + heights[1:, 1:] + heights[1:, :-1]
    pattern = (
        above[:-1, :-1].astype(np.int64)
        + 2 * above[:-1, 1:].astype(np.int64)
        + 4 * above[1:, 1:].astype(np.int64)
        + 8 * above[1:, :-1].astype(np.int64)
    )
    rows, cols = np.nonzero(np.isfinite(total) & (pattern > 0) & (pattern < 15))
    kind = pattern[rows, cols]
    segments = _SEGMENTS[kind]
    for saddle, joined in _JOINED.items():
        high = (kind == saddle) & (total[rows, cols] >= 4.0 * level)
        segments[high] = joined
    post = rows * columns + cols
    edge = np.stack([2 * post, 2 * (post + 1) + 1, 2 * (post + columns), 2 * post + 1], axis=-1)
    cell, which = np.nonzero(segments[:, :, 0] != _NONE)
    ends = segments[cell, which]
    return edge[cell, ends[:, 0]], edge[cell, ends[:, 1]]


def _crossings(heights: Floats, level: float, edges: Indices) -> Floats:
    """(row, column) where the level crosses each edge."""
    columns = heights.shape[1]
    post, south = edges // 2, edges % 2
    row, col = post // columns, post % columns
    here, there = heights[row, col], heights[row + south, col + 1 - south]
    share = (level - here) / (there - here)
    return np.stack([row + share * south, col + share * (1 - south)], axis=-1)


def _chained(start: Indices, end: Indices) -> list[Indices]:
    """Segments in the order of their lines: a list of index arrays.

    Each segment's next is the one that starts where it ends. Every chain is numbered by its head (a closed
    one by its lowest segment), and the distance to the head is found by doubling.
    """
    count = start.size
    by_start = np.argsort(start, kind="stable")
    at = np.minimum(np.searchsorted(start[by_start], end), count - 1)
    follows = start[by_start[at]] == end
    before = np.full(count, -1, np.int64)
    before[by_start[at[follows]]] = np.flatnonzero(follows)
    number = np.arange(count)
    # a closed chain is cut before its lowest segment
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
