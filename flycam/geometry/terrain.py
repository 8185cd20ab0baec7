"""Terrain grid: interpolation, ray casting, and relief displacement.

Terrain is a regular grid of posts, bilinear between them; NaN where not known.

A *cell* is the square between four posts. It is known only if its four posts are; the surface over it is
the bilinear patch h = a + b s + c q + d s q, so the intersection with a ray is the root of a quadratic:
exact.

Source of the ray casting: Tevs, Ihrke and Seidel, Maximum Mipmaps for Fast, Accurate, and Scalable
Dynamic Height Field Rendering, I3D 2008; here with all rays advancing together.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

# A ray that enters a cell less than this below its surface hit it at the edge (rounding), not from below.
_EDGE_TOLERANCE_M = 1e-3
# Distance beyond an edge at which a ray's next cell is determined, in cells.
_NUDGE_CELLS = 1e-7


@dataclass(frozen=True, kw_only=True, slots=True)
class TerrainGrid:
    """Heights of ground posts in a work CRS.

    heights_m       rows×columns float32 (at least 2×2), row 0 northernmost, NaN unknown
    origin_m        (east, north) of the post at row 0, column 0
    post_spacing_m  (east step, south step), both positive: post (r, c) is at
                    (origin_e + c * step_e, origin_n - r * step_s)
    vertical_datum  "EGM96", "EGM2008", "ELLIPSOID" or "LOCAL"
    dem_id          content-derived id of the DEM it was cut from; "flat:<height>" for a plane
    """

    heights_m: NDArray[np.float32]
    origin_m: tuple[float, float]
    post_spacing_m: tuple[float, float]
    work_crs: str
    vertical_datum: str
    dem_id: str
    _pyramid: list[NDArray[np.float32]] = field(default_factory=list, init=False, repr=False, compare=False)
    _steepest: list[float] = field(default_factory=list, init=False, repr=False, compare=False)
    _rises: list[NDArray[np.float32]] = field(default_factory=list, init=False, repr=False, compare=False)
    _lowest: list[float] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def bounds_m(self) -> tuple[float, float, float, float]:
        """(west, south, east, north) of the outermost posts."""
        rows, cols = self.heights_m.shape
        (east, north), (step_e, step_s) = self.origin_m, self.post_spacing_m
        return east, north - (rows - 1) * step_s, east + (cols - 1) * step_e, north


def make_flat_terrain(
    height_m: float, work_crs: str, vertical_datum: str, bounds_m: tuple[float, float, float, float]
) -> TerrainGrid:
    """Return a plane at one height, for flights without a DEM.

    bounds_m  (west, south, east, north) of the work CRS
    """
    west, south, east, north = bounds_m
    return TerrainGrid(
        heights_m=np.full((2, 2), height_m, dtype=np.float32),
        origin_m=(west, north),
        post_spacing_m=(east - west, north - south),
        work_crs=work_crs,
        vertical_datum=vertical_datum,
        dem_id=f"flat:{height_m:g}",
    )


def interpolate_heights(terrain: TerrainGrid, xy_m: Floats) -> Floats:
    """Interpolate heights bilinearly at points N×2 of the work CRS.

    NaN outside the posts or in a cell that is not known.
    """
    xy = np.asarray(xy_m, dtype=np.float64)
    return interpolate_heights_en(terrain, xy[..., 0], xy[..., 1])


def find_nearest_posts(
    terrain: TerrainGrid, east: Floats, north: Floats
) -> tuple[Indices, NDArray[np.bool_]]:
    """Return the post nearest to each place, and True where the place is on the grid.

    east, north  metres of the work CRS, two arrays of one shape

    Posts are counted row by row; outside the grid the post is 0. Both results have the arrays' shape.
    """
    rows, cols = terrain.heights_m.shape
    col = np.rint((east - terrain.origin_m[0]) / terrain.post_spacing_m[0])
    row = np.rint((terrain.origin_m[1] - north) / terrain.post_spacing_m[1])
    inside = (col >= 0) & (col < cols) & (row >= 0) & (row < rows)
    return np.where(inside, row * cols + col, 0).astype(np.int64), inside


def interpolate_heights_en(terrain: TerrainGrid, east: Floats, north: Floats) -> Floats:
    """Interpolate heights at coordinates in two arrays of any equal shape.

    As `interpolate_heights`, without copies of the points.
    """
    heights = terrain.heights_m
    rows, cols = heights.shape
    col = (east - terrain.origin_m[0]) * (1.0 / terrain.post_spacing_m[0])
    row = (terrain.origin_m[1] - north) * (1.0 / terrain.post_spacing_m[1])
    # extremes are faster than a mask; with a NaN among them the comparisons are False
    all_inside = bool(
        col.min(initial=0.0) >= 0.0
        and row.min(initial=0.0) >= 0.0
        and col.max(initial=0.0) <= cols - 1.0
        and row.max(initial=0.0) <= rows - 1.0
    )
    if not all_inside:
        inside = (col >= 0.0) & (col <= cols - 1.0) & (row >= 0.0) & (row <= rows - 1.0)
        col, row = np.where(inside, col, 0.0), np.where(inside, row, 0.0)
    c, r = np.minimum(np.floor(col), cols - 2.0), np.minimum(np.floor(row), rows - 2.0)
    first = (r * cols + c).astype(np.int64)
    s, q = col - c, row - r
    flat = heights.reshape(-1)
    north_west, north_east = flat.take(first), flat.take(first + 1)
    south_west, south_east = flat.take(first + cols), flat.take(first + (cols + 1))
    upper = north_west + s * (north_east - north_west)
    lower = south_west + s * (south_east - south_west)
    result: Floats = upper + q * (lower - upper)
    if not all_inside:
        result = np.where(inside, result, np.nan)
    return result


def compute_normals(terrain: TerrainGrid, xy_m: Floats) -> Floats:
    """Return unit upward surface normals N×3 (east, north, up) at points N×2.

    NaN where the height is.
    """
    xy = np.asarray(xy_m, dtype=np.float64)
    row, col, s, q = _cell_coordinates(terrain, xy[..., 0], xy[..., 1])
    _, b, c, d = _patch(terrain, row, col)
    de = (b + d * q) / terrain.post_spacing_m[0]
    dn = -(c + d * s) / terrain.post_spacing_m[1]
    normal = np.stack([-de, -dn, np.ones_like(de)], axis=-1)
    unit: Floats = normal / np.linalg.norm(normal, axis=-1, keepdims=True)
    return unit


def compute_cell_slopes(terrain: TerrainGrid) -> NDArray[np.float32]:
    """Return the rises per metre along each cell's edges, 5×(rows-1)×(columns-1).

    Smallest and largest to the east, smallest and largest to the north, steepest in any direction; NaN where
    the cell is not known. Cached. Inside a patch the rise blends between the edges, so these bound it
    everywhere on the cell, and the hypotenuse of the largest ones bounds it in every direction.
    """
    if not terrain._rises:
        h = terrain.heights_m.astype(np.float64)
        east = np.diff(h, axis=1) / terrain.post_spacing_m[0]
        north = np.diff(h, axis=0) / -terrain.post_spacing_m[1]
        (e0, e1), (n0, n1) = (east[:-1], east[1:]), (north[:, :-1], north[:, 1:])
        low_high = [np.minimum(e0, e1), np.maximum(e0, e1), np.minimum(n0, n1), np.maximum(n0, n1)]
        steepest = np.hypot(np.maximum(-low_high[0], low_high[1]), np.maximum(-low_high[2], low_high[3]))
        terrain._rises.append(np.stack([*low_high, steepest]).astype(np.float32))
    return terrain._rises[0]


def get_max_slope(terrain: TerrainGrid) -> float:
    """Return the largest rise per metre anywhere on the surface. Cached.

    Infinite if it has holes, in which nothing bounds it.
    """
    if not terrain._steepest:
        # NaN if any is
        steepest = float(compute_cell_slopes(terrain)[4].max())
        terrain._steepest.append(steepest if np.isfinite(steepest) else np.inf)
    return terrain._steepest[0]


def get_min_height(terrain: TerrainGrid) -> float:
    """Return the height of the lowest known post; NaN if none is known. Cached."""
    if not terrain._lowest:
        lowest = float(np.fmin.reduce(terrain.heights_m, axis=None))
        terrain._lowest.append(lowest)
    return terrain._lowest[0]


def cast_rays(
    terrain: TerrainGrid, origin_m: Floats, directions: Floats, max_range_m: float | Floats = float("inf")
) -> Floats:
    """Return the first intersections of N rays with the terrain, N×3.

    origin_m     (east, north, height), one for all rays or N×3
    directions   N×3 of any positive length, world axes in grid units
    max_range_m  along the ray, one or N

    NaN where there is no hit within range and within the posts. A hole stops nothing, but a ray that went
    below ground inside a hole (or beyond the posts) hit something that is not known: NaN. Exact within the
    bilinear patch; all rays advance together.
    """
    rays = _Rays(terrain, np.asarray(origin_m, dtype=np.float64), np.atleast_2d(directions), max_range_m)
    top = len(build_max_pyramid(terrain)) - 1
    level = np.full(rays.active.size, top)
    while rays.active.size:
        level = rays.advance(level, top)
    return rays.points


def build_max_pyramid(terrain: TerrainGrid) -> list[NDArray[np.float32]]:
    """Return maxima of known posts over cells (level 0), 2×2 blocks, up to one block.

    Cells with no known post are -inf: nothing there can stop a ray. Cached.
    """
    if not terrain._pyramid:
        h = np.where(np.isnan(terrain.heights_m), np.float32(-np.inf), terrain.heights_m)
        rows = np.maximum(h[:-1], h[1:])
        levels = [np.maximum(rows[:, :-1], rows[:, 1:])]
        while levels[-1].size > 1:
            below = levels[-1]
            odd = ((0, below.shape[0] % 2), (0, below.shape[1] % 2))
            even = np.pad(below, odd, constant_values=-np.inf)
            rows = np.maximum(even[0::2], even[1::2])
            levels.append(np.maximum(rows[:, 0::2], rows[:, 1::2]))
        # replaced as a whole: threads may build it concurrently, and none may see it partial or doubled
        terrain._pyramid[:] = levels
    return terrain._pyramid


class _Rays:
    """Rays in post coordinates (column, row, height), with their remaining parts."""

    def __init__(
        self, terrain: TerrainGrid, origin: Floats, directions: Floats, max_range_m: float | Floats
    ) -> None:
        self.terrain = terrain
        directions = np.asarray(directions, dtype=np.float64)
        length = np.linalg.norm(directions, axis=-1)
        step = np.array([terrain.post_spacing_m[0], -terrain.post_spacing_m[1], 1.0])
        shift = np.array([*terrain.origin_m, 0.0])
        self.unit = directions / length[:, None]
        self.origin_m = np.broadcast_to(origin, directions.shape)
        self.start = (self.origin_m - shift) / step
        self.slope = self.unit / step
        self.points = np.full(directions.shape, np.nan)
        rows, cols = terrain.heights_m.shape
        near, far = self._clip_to_posts(cols - 1.0, rows - 1.0)
        self.t = np.maximum(near, 0.0)
        self.t_end = np.minimum(far, max_range_m)
        self.active = np.flatnonzero((self.t < self.t_end) & np.isfinite(self.unit).all(axis=-1))

    def _clip_to_posts(self, last_col: float, last_row: float) -> tuple[Floats, Floats]:
        with np.errstate(divide="ignore", invalid="ignore"):
            low = (0.0 - self.start[:, :2]) / self.slope[:, :2]
            high = (np.array([last_col, last_row]) - self.start[:, :2]) / self.slope[:, :2]
        # a ray parallel to an axis (0/0, along the rim, included) is bounded by the other axis only
        still = self.slope[:, :2] == 0.0
        within = (self.start[:, :2] >= 0.0) & (self.start[:, :2] <= [last_col, last_row])
        entry = np.where(still, np.where(within, -np.inf, np.inf), np.minimum(low, high))
        leave = np.where(still, np.where(within, np.inf, -np.inf), np.maximum(low, high))
        return entry.max(axis=-1), leave.min(axis=-1)

    def advance(self, level: Indices, top: int) -> Indices:
        """Advance every active ray by a step: skip a block, descend, or intersect a cell."""
        ray = self.active
        t, slope, start = self.t[ray], self.slope[ray], self.start[ray]
        row, col, t_exit = self._block(start, t, slope, level, self.t_end[ray])
        lowest = start[:, 2] + slope[:, 2] * np.where(slope[:, 2] < 0.0, t_exit, t)
        over = lowest > self._highest(level, row, col)
        cell = ~over & (level == 0)
        finished = np.zeros(ray.size, dtype=bool)
        if cell.any():
            finished[cell] = self._meet(ray[cell], row[cell], col[cell], t[cell], t_exit[cell])
        moved = over | cell
        self.t[ray[moved]] = t_exit[moved]
        level = np.where(moved, np.minimum(level + 1, top), level - 1)
        unfinished = ~finished & (self.t[ray] < self.t_end[ray])
        self.active = ray[unfinished]
        return level[unfinished]

    def _block(
        self, start: Floats, t: Floats, slope: Floats, level: Indices, t_end: Floats
    ) -> tuple[Indices, Indices, Floats]:
        """Return each ray's block (row, column) at its level, and where the ray leaves."""
        size = np.left_shift(1, level)
        speed = np.maximum(np.abs(slope[:, 0]), np.abs(slope[:, 1]))
        ahead = t + _NUDGE_CELLS / np.maximum(speed, 1e-12)
        rows, cols = self.terrain.heights_m.shape
        exits, indices = [], []
        for axis, count in ((1, rows - 1), (0, cols - 1)):
            at = np.clip(np.floor(start[:, axis] + slope[:, axis] * ahead), 0, count - 1)
            index = at.astype(np.int64) >> level
            edge = np.where(slope[:, axis] > 0.0, (index + 1) * size, index * size)
            with np.errstate(divide="ignore", invalid="ignore"):
                out = (edge - start[:, axis]) / slope[:, axis]
            exits.append(np.where(slope[:, axis] == 0.0, np.inf, out))
            indices.append(index)
        t_exit = np.maximum(np.minimum(*exits), ahead)
        return indices[0], indices[1], np.minimum(t_exit, t_end)

    def _highest(self, level: Indices, row: Indices, col: Indices) -> Floats:
        highest = np.empty(level.size)
        for depth, blocks in enumerate(build_max_pyramid(self.terrain)):
            here = level == depth
            highest[here] = blocks[row[here], col[here]]
        return highest

    def _meet(self, ray: Indices, row: Indices, col: Indices, t: Floats, t_exit: Floats) -> NDArray[np.bool_]:
        """Intersect the patch of one cell per ray.

        Returns True for rays that are finished (hit, or below unknown ground).
        """
        a, b, c, d = _patch(self.terrain, row, col)
        slope, start = self.slope[ray], self.start[ray]
        s, q = start[:, 0] + slope[:, 0] * t - col, start[:, 1] + slope[:, 1] * t - row
        gap = start[:, 2] + slope[:, 2] * t - (a + b * s + c * q + d * s * q)
        # gap(t + x) = gap + first x + second x²
        first = slope[:, 2] - (b * slope[:, 0] + c * slope[:, 1] + d * (s * slope[:, 1] + q * slope[:, 0]))
        second = -d * slope[:, 0] * slope[:, 1]
        ahead = _first_root(second, first, gap)
        below = gap < -_EDGE_TOLERANCE_M
        ahead = np.where((gap <= 0.0) & ~below, 0.0, ahead)
        hit = (ahead <= t_exit - t) & ~below
        at = t[hit] + ahead[hit]
        self.points[ray[hit]] = self.origin_m[ray[hit]] + self.unit[ray[hit]] * at[:, None]
        done: NDArray[np.bool_] = hit | below
        return done


def _first_root(a: Floats, b: Floats, c: Floats) -> Floats:
    """Return the smallest x >= 0 with a x² + b x + c = 0 where c >= 0; inf if none.

    Stable for a near 0.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        root = np.sqrt(b * b - 4.0 * a * c)
        half = -0.5 * (b + np.copysign(root, b))
        candidates = np.stack([half / a, c / half])
    candidates = np.where(candidates >= 0.0, candidates, np.inf)
    first: Floats = candidates.min(axis=0)
    return first


def _cell_coordinates(
    terrain: TerrainGrid, east: Floats, north: Floats
) -> tuple[Indices, Indices, Floats, Floats]:
    """Return the cell (row, column) and the position in it (s east, q south).

    NaN positions outside the posts.
    """
    rows, cols = terrain.heights_m.shape
    col = (east - terrain.origin_m[0]) / terrain.post_spacing_m[0]
    row = (terrain.origin_m[1] - north) / terrain.post_spacing_m[1]
    inside = (col >= 0.0) & (col <= cols - 1.0) & (row >= 0.0) & (row <= rows - 1.0)
    col, row = np.where(inside, col, 0.0), np.where(inside, row, 0.0)
    c = np.minimum(col.astype(np.int64), cols - 2)
    r = np.minimum(row.astype(np.int64), rows - 2)
    return r, c, np.where(inside, col - c, np.nan), np.where(inside, row - r, np.nan)


def _patch(terrain: TerrainGrid, row: Indices, col: Indices) -> tuple[Floats, Floats, Floats, Floats]:
    """Return coefficients a, b, c, d of the surfaces h = a + b s + c q + d s q."""
    h = terrain.heights_m
    north_west, north_east = h[row, col].astype(np.float64), h[row, col + 1].astype(np.float64)
    south_west, south_east = h[row + 1, col].astype(np.float64), h[row + 1, col + 1].astype(np.float64)
    b, c = north_east - north_west, south_west - north_west
    return north_west, b, c, south_east - south_west - b


# -- Terrain heights on the pixels of a raster -----------------------------------------------------
#
# Bilinear, axis by axis, strip by strip.

Singles = NDArray[np.float32]

_STRIP_ROWS = 512


def interpolate_heights_on_grid(terrain: TerrainGrid, east_m: Floats, north_m: Floats) -> Singles:
    """Interpolate heights where `east_m` and `north_m` cross, N×M float32.

    east_m are M columns, north_m N rows. As `interpolate_heights`, at a tenth of its cost: NaN outside
    the posts or beside one that is not known.
    """
    (west, north), (step_e, step_s) = terrain.origin_m, terrain.post_spacing_m
    rows, cols = terrain.heights_m.shape
    c0, right, off_columns = _between((np.asarray(east_m) - west) / step_e, cols)
    r0, below, beyond = _between((north - np.asarray(north_m)) / step_s, rows)
    out = np.empty((len(r0), len(c0)), np.float32)
    for top in range(0, len(r0), _STRIP_ROWS):
        strip = slice(top, top + _STRIP_ROWS)
        first, share = r0[strip], below[strip, None]
        along = terrain.heights_m[first] * (1 - share) + terrain.heights_m[first + 1] * share
        out[strip] = along[:, c0] * (1 - right) + along[:, c0 + 1] * right
    out[beyond] = np.nan
    out[:, off_columns] = np.nan
    return out


def _between(at: Floats, count: int) -> tuple[NDArray[np.int64], Singles, NDArray[np.bool_]]:
    """Return the post before each place, the next post's share, and where off posts."""
    off = (at < 0.0) | (at > count - 1.0)
    first = np.clip(np.floor(at), 0, count - 2).astype(np.int64)
    return first, (np.clip(at, 0.0, count - 1.0) - first).astype(np.float32), off


# -- Relief displacement in an orthorectified image, beyond a similarity ---------------------------
#
# An image orthorectified on level ground shows what its camera saw, rotated, shifted and scaled, apart from
# the tilt of its view. Where heights vary it is sampled elsewhere: from (distance to the nadir) · (height
# above the level) / (camera's height above the place) farther out (Kraus, Photogrammetry, section 4.1).
# Shifts and uniform changes of scale leave a window intact; what remains after the best-fitting similarity
# blurs crowns and bends straight lines.
#
# Validation: windows of 64 px of two finished flights were correlated with their source photos under the
# similarity of their neighbourhood. Correlation falls with this measure (Spearman -0.74 on Toledo, where the
# bound was chosen, -0.83 on Brighton Beach); for 77 and 92 % of the windows both agree whether they are
# intact (correlation of 0.8 or more, `MAX_BEND_PX` or less).


WINDOW_PX = 64
MAX_BEND_PX = 1.0
"""Largest bend of an intact window of `WINDOW_PX` pixels; chosen on Toledo."""


def measure_bend_m(east: Floats, north: Floats, height_m: Floats, centre_m: Floats) -> Floats:
    """Return the RMS distance of windows from their best similarity with the image.

    W, metres on the ground; the windows are of an orthorectified image.

    east, north, height_m  W×N places of each window
    centre_m               W×3 projection centres of the frames that are shown there

    NaN where a height is not known, or not below the camera.
    """
    level = height_m.mean(axis=1, keepdims=True)
    drop = centre_m[:, 2:] - height_m
    raised = (height_m - level) / np.where(drop > 0.0, drop, np.nan)
    displaced = ((east - centre_m[:, :1]) + 1j * (north - centre_m[:, 1:2])) * raised
    displaced -= displaced.mean(axis=1, keepdims=True)
    place = (east - east.mean(axis=1, keepdims=True)) + 1j * (north - north.mean(axis=1, keepdims=True))
    turn = (displaced * place.conj()).sum(axis=1) / np.square(np.abs(place)).sum(axis=1)
    left: Floats = np.sqrt(np.square(np.abs(displaced - turn[:, None] * place)).mean(axis=1))
    return left
