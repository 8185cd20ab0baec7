"""Refined surface: heights, support by the flight, sigmas, contour lines."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.geometry.terrain import TerrainGrid, find_nearest_posts
from flycam.mosaic.surface.gap_filling import FilledHeights, pull_push
from flycam.mosaic.surface.plan import PostGrid

# -- Contour lines of a height grid: marching squares, joined by pointer jumping -------------------
#
# All cells are cut at once into segments between the edges that a level crosses (Lorensen and Cline, Marching
# cubes, SIGGRAPH 1987, in two dimensions; a saddle is decided by the mean of its four posts). Every crossed
# edge belongs to at most two segments, so segments join into chains; each chain finds its end by repeated
# doubling (Wyllie 1979), without walking from point to point.


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


# -- Refined surface: heights, support by the flight, and sigmas -----------------------------------


Singles = NDArray[np.float32]

_STRAIGHTEN_POSTS = 0.7
# Shorter lines are stones and leaves.
_MIN_LINE_POINTS = 8
_HALF = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Surface:
    """DSM where the flight shows it; elsewhere the terrain as the flight corrects it.

    terrain  heights on fine posts, blended into the terrain it was refined from; NaN where neither is known
    support  rows×cols bool: the height is the flight's own
    sigma_m  rows×cols float32, 1-sigma of the height against the flight's poses; NaN without support
    terrain_sigma_m  rows×cols float32, 1-sigma of bare ground where there is no support: of the terrain as
                     corrected by the supported ground; ground cover is not included. None: not known
    unagreed_sigma_m rows×cols float32, added where views were compared and did not agree; NaN where none
                     were. None: not known
    cover_m          RMS height of ground cover where it was compared; NaN: too little was
    laying_m         rows×cols float32, laying surface: heights to orthorectify on (`laying_surface`). None:
                     those of `terrain`
    """

    terrain: TerrainGrid
    support: NDArray[np.bool_]
    sigma_m: Singles
    terrain_sigma_m: Singles | None = None
    unagreed_sigma_m: Singles | None = None
    cover_m: float = float("nan")
    laying_m: Singles | None = None

    @property
    def supported_pct(self) -> float:
        """Share of the posts that have support, 0-100."""
        return 100.0 * float(self.support.mean())

    def rectification_terrain(self) -> TerrainGrid:
        """Return the heights to orthorectify on, with straightened roof edges.

        For `geometry.orthorectification`. A step that is off by single posts tears a roof's edge in the
        image; a Gaussian of less than a post removes the teeth. A median removes crowns too: measured
        worse.
        """
        laid = self.terrain.heights_m if self.laying_m is None else self.laying_m
        return _with_heights(self.terrain, _straightened(laid))


def extract_contours(
    surface: Surface, interval_m: float, smooth_m: float = 1.0, within: NDArray[np.bool_] | None = None
) -> list[tuple[ContourLine, bool]]:
    """Extract contour lines (`trace_contour_lines`), split by the flight's support.

    smooth_m  sigma of a Gaussian over the heights (0: none); support is then that of most posts around
    within    rows×cols: posts elsewhere are not contoured. None: all

    Each piece comes with True if it is on the flight's own heights.
    """
    terrain, own = surface.terrain, surface.support
    if smooth_m > 0.0:
        sigma = smooth_m / terrain.post_spacing_m[0]
        smooth, share = (
            cv2.GaussianBlur(np.asarray(grid, np.float32), (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
            for grid in (terrain.heights_m, own)
        )
        terrain, own = _with_heights(terrain, np.asarray(smooth, np.float32)), np.asarray(share) > _HALF
    if within is not None:
        terrain = _with_heights(terrain, np.where(within, terrain.heights_m, np.float32(np.nan)))
    lines = trace_contour_lines(terrain, interval_m, _MIN_LINE_POINTS)
    own_posts = np.asarray(own, np.bool_).reshape(-1)
    pieces: list[tuple[ContourLine, bool]] = []
    for line in lines:
        post, _ = find_nearest_posts(terrain, line.points_m[:, 0], line.points_m[:, 1])
        pieces += line.split(own_posts[post])
    return pieces


def assemble_surface(
    terrain: TerrainGrid, posts: PostGrid, ground_m: Singles, finished: FilledHeights, laying_m: Singles
) -> Surface:
    """Assemble a surface from the terrain at the posts and the heights over it.

    finished and laying_m both count from the terrain.
    """
    refined = TerrainGrid(
        heights_m=np.ascontiguousarray(ground_m + finished.dz_m, np.float32),
        origin_m=(posts.west_m, posts.north_m),
        post_spacing_m=(posts.spacing_m, posts.spacing_m),
        work_crs=terrain.work_crs,
        vertical_datum=terrain.vertical_datum,
        dem_id="",
    )
    refined = _with_heights(refined, refined.heights_m)
    return Surface(
        terrain=refined,
        support=finished.support,
        sigma_m=finished.sigma_m,
        terrain_sigma_m=finished.terrain_sigma_m,
        unagreed_sigma_m=finished.unagreed_sigma_m,
        cover_m=finished.cover_m,
        laying_m=np.asarray(ground_m + laying_m, np.float32),
    )


def _with_heights(terrain: TerrainGrid, heights_m: Singles) -> TerrainGrid:
    """Return the same posts with other heights.

    The id is derived from the heights and the position of the posts.
    """
    place = np.array([*terrain.origin_m, *terrain.post_spacing_m])
    digest = hashlib.sha256(place.tobytes() + np.ascontiguousarray(heights_m).tobytes())
    return replace(terrain, heights_m=heights_m, dem_id=f"surface:{digest.hexdigest()[:32]}")


def _straightened(heights_m: Singles) -> Singles:
    """Apply a narrow Gaussian; unknown posts stay unknown and affect no others."""
    known = np.isfinite(heights_m)
    if not known.any():
        return heights_m
    filled = heights_m if known.all() else pull_push(np.nan_to_num(heights_m), known)
    smooth = cv2.GaussianBlur(filled, (0, 0), _STRAIGHTEN_POSTS, borderType=cv2.BORDER_REPLICATE)
    return np.where(known, np.asarray(smooth, np.float32), np.float32(np.nan))
