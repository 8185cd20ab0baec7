"""Occlusion: ground hidden behind nearer ground, seen from one point.

A scan outwards from the camera keeps, for every azimuth, the steepest elevation met so far (its horizon).
A point is hidden if the horizon in front of it is above it. One scan serves every point of the frame, and
costs a few thousand heights instead of a march along every line of sight.

Source of the idea: Franklin and Ray, Higher isn't necessarily better: visibility algorithms, 1994 (R2);
here on a polar grid with a cumulative maximum.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.terrain import TerrainGrid, compute_cell_slopes, get_max_slope, interpolate_heights_en

Floats = NDArray[np.float64]

_SAMPLES_PER_POST = 4.0
_MAX_RINGS = 4000
_MAX_AZIMUTHS = 20000
# Ground this close in front of a point, in posts, is its own bilinear neighbourhood: it does not hide it.
_NEIGHBOURHOOD_POSTS = 0.1
# Slack for the interpolation between azimuths and rings, in posts of height.
_SLACK_POSTS = 0.01
# Tangent of a horizon where nothing is in front.
_OPEN = -1.0e6
# Each falling cell is sampled at 5×5 places: no point of it is farther than this from one (in posts).
_PLACES = 5
_BETWEEN_POSTS = 0.18
# From _NEAR_RINGS posts on, that distance is less than a sector.
_SECTORS = 64
_NEAR_RINGS = 2


def compute_visibility_margin(terrain: TerrainGrid, centre_m: Floats, points_m: Floats) -> Floats:
    """Return the height of ground points above the line of sight to them, metres.

    centre_m (east, north, height); points_m N×3 on the terrain. The line of sight passes over the ground in
    front of the point. Returns N: >= 0 visible, < 0 hidden. Holes in the terrain hide nothing.
    """
    points = np.asarray(points_m, dtype=np.float64)
    centre = np.asarray(centre_m, dtype=np.float64)
    reach = float(np.hypot(points[..., 0] - centre[0], points[..., 1] - centre[1]).max(initial=0.0))
    scan = HorizonScan(terrain, (centre[0], centre[1], centre[2]), reach)
    return scan.margin(points[..., 0], points[..., 1], points[..., 2])


class SteepSlopes:
    """Slopes that fall away from a camera steeply enough to hide ground.

    Ground above a line of sight has to fall back to its foot, so somewhere on the way it falls as steeply as
    the line does. Where no cell on the way can (its edges bound the fall), the point is proved not hidden.
    """

    def __init__(
        self, terrain: TerrainGrid, centre_m: tuple[float, float, float], reach_m: float, sight: float
    ) -> None:
        """Collect cells within reach that fall at least as steeply as `sight`.

        sight  drop per metre
        """
        self._terrain = terrain
        self._centre = centre_m
        self._sight = sight
        self._reach_m = reach_m
        self._ring_m = max(terrain.post_spacing_m)

    def is_surely_visible(self, east: Floats, north: Floats, height: Floats) -> NDArray[np.bool_]:
        """Return True for points that cannot be hidden; False proves nothing.

        Points of equal shapes S, on the terrain.
        """
        de, dn = east - self._centre[0], north - self._centre[1]
        distance = np.hypot(de, dn)
        with np.errstate(divide="ignore", invalid="ignore"):
            sight = (self._centre[2] - height) / distance
        free: NDArray[np.bool_] = sight > get_max_slope(self._terrain)
        if free.all():
            return free
        # directions are expensive: computed only for the undecided points
        unsure = ~free
        sight, distance = sight[unsure], distance[unsure]
        near = (sight > self._sight) & (distance <= self._reach_m)
        if self._steepest is not None:
            doubted = near & (sight <= self._steepest.max())
            if doubted.any():
                rings = distance[doubted] * (1.0 / self._ring_m)
                ring = np.minimum(rings, len(self._steepest) - 1.0).astype(np.int64)
                sector = _sector(de[unsure][doubted], dn[unsure][doubted])
                near[doubted] = sight[doubted] > self._steepest[ring, sector]
        free[unsure] = near
        return free

    @cached_property
    def _steepest(self) -> Floats | None:
        """Table of the steepest falls.

        Made when a line of sight is flatter than the steepest slope of the whole terrain.
        """
        return self._table(*_falling_cells(self._terrain, self._centre, self._reach_m, self._sight))

    def _table(self, east: Floats, north: Floats, fall: Floats) -> Floats | None:
        """Return the steepest fall up to each distance (rings) and direction (sectors).

        A cell counts a quarter of a post nearer than its places and in the sectors beside them, which covers
        the ground between places; near the camera it counts in every direction.
        """
        if not fall.size:
            return None
        ring = np.maximum(np.hypot(east, north) * (1.0 / self._ring_m) - 0.25, 0.0).astype(np.int64)
        table = np.zeros((int(ring.max()) + 1, _SECTORS))
        sector = _sector(east, north)
        for beside in (-1, 0, 1):
            np.maximum.at(table, (ring, (sector + beside) % _SECTORS), fall)
        table[:_NEAR_RINGS] = table[:_NEAR_RINGS].max(axis=1, keepdims=True)
        return np.maximum.accumulate(table, axis=0)


def _sector(de: Floats, dn: Floats) -> NDArray[np.int64]:
    turns = np.arctan2(dn, de) * (_SECTORS / (2.0 * np.pi))
    return np.floor(turns).astype(np.int64) % _SECTORS


def _falling_cells(
    terrain: TerrainGrid, centre_m: tuple[float, float, float], reach_m: float, sight: float
) -> tuple[Floats, Floats, Floats]:
    """Return places on cells within reach, and the steepest fall of the cell there.

    Places are east and north of the camera, 5×5 on each cell. The fall is away from the camera, at least
    `sight`.
    """
    rises = compute_cell_slopes(terrain)
    (step_e, step_s), (rows, cols) = terrain.post_spacing_m, rises.shape[1:]
    west, north = terrain.origin_m[0] - centre_m[0], terrain.origin_m[1] - centre_m[1]
    first_row, last_row = (int(np.clip((north + k * reach_m) / step_s, 0, rows)) for k in (-1, 1))
    first_col, last_col = (int(np.clip((-west + k * reach_m) / step_e, 0, cols)) for k in (-1, 1))
    near = rises[:, first_row : last_row + 1, first_col : last_col + 1]
    row, col = np.nonzero(~(near[4] < sight))
    east_low, east_high, north_low, north_high, steepest = near[:, row, col, None, None].astype(np.float64)
    within = np.linspace(0.0, 1.0, _PLACES)
    x, y = np.broadcast_arrays(
        west + (first_col + col[:, None, None] + within[None, None, :]) * step_e,
        north - (first_row + row[:, None, None] + within[None, :, None]) * step_s,
    )
    distance = np.hypot(x, y)
    post = max(step_e, step_s)
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine, sine = x / distance, y / distance
        # change of direction half-way to the next place
        turn = _BETWEEN_POSTS * post / distance
        fall = -np.minimum(east_low * cosine, east_high * cosine)
        fall -= np.minimum(north_low * sine, north_high * sine)
    any_way = np.broadcast_to(steepest, x.shape)
    fall = np.where(distance < _NEAR_RINGS * post, any_way, np.minimum(fall + turn * any_way, any_way))
    # beside a hole nothing is known: it proves nothing visible
    fall[np.isnan(fall)] = np.inf
    steep = fall >= sight
    return x[steep], y[steep], fall[steep]


class HorizonScan:
    """Horizon around one camera, on a polar grid.

    The grid depends on camera, terrain and reach only. Sectors are computed when first needed; a value at a
    (ring, azimuth) has the same bits in whatever order they are computed, so that neighbouring tiles agree.
    """

    def __init__(
        self,
        terrain: TerrainGrid,
        centre_m: tuple[float, float, float],
        reach_m: float,
        heading: tuple[float, float] = (1.0, 0.0),
    ) -> None:
        """Set the azimuth 0 to `heading` (east, north); the circle is cut opposite."""
        self._terrain = terrain
        self._centre = centre_m
        post = min(terrain.post_spacing_m)
        self._ring_m = max(post / _SAMPLES_PER_POST, reach_m / _MAX_RINGS, 1e-3)
        azimuths = np.clip(np.ceil(2.0 * np.pi * reach_m / self._ring_m), 64, _MAX_AZIMUTHS)
        self._azimuth_step = 2.0 * np.pi / float(azimuths)
        length = float(np.hypot(*heading))
        self._heading = (heading[0] / length, heading[1] / length) if length > 1e-9 else (1.0, 0.0)
        self._skip_rings = _NEIGHBOURHOOD_POSTS * post / self._ring_m
        self._slack_m = _SLACK_POSTS * post
        self._extent = (0, 0, 0)
        self._tangents = np.full((1, 1), _OPEN)

    def margin(self, east: Floats, north: Floats, height: Floats) -> Floats:
        """Return margins (see `compute_visibility_margin`) of points of equal shape S."""
        de, dn = east - self._centre[0], north - self._centre[1]
        distance = np.hypot(de, dn)
        he, hn = self._heading
        azimuth = np.arctan2(he * dn - hn * de, he * de + hn * dn) / self._azimuth_step
        ring = np.maximum(distance / self._ring_m - self._skip_rings, 0.0)
        known = np.isfinite(height)
        if not known.any():
            return np.full(np.shape(height), np.nan)
        azimuth, ring = np.where(known, azimuth, azimuth[known].flat[0]), np.where(known, ring, 0.0)
        tangent = self._horizon(azimuth, ring)
        margin: Floats = height - (self._centre[2] + distance * tangent) + self._slack_m
        return margin

    def _horizon(self, azimuth: Floats, ring: Floats) -> Floats:
        """Return the tangent of the horizon's elevation in front of each ring position.

        Bilinear on the polar grid.
        """
        first, last = int(np.floor(azimuth.min())), int(np.floor(azimuth.max())) + 1
        rings = int(np.floor(ring.max())) + 2
        self._cover(first, last, rings)
        k = np.floor(azimuth)
        j = np.floor(ring)
        wk, wj = azimuth - k, ring - j
        columns = self._tangents.shape[1]
        at = j.astype(np.int64) * columns + (k.astype(np.int64) - self._extent[0])
        flat = self._tangents.reshape(-1)
        near = flat.take(at) * (1.0 - wk) + flat.take(at + 1) * wk
        far = flat.take(at + columns) * (1.0 - wk) + flat.take(at + columns + 1) * wk
        tangent: Floats = near + wj * (far - near)
        return tangent

    def _cover(self, first: int, last: int, rings: int) -> None:
        have_first, have_last, have_rings = self._extent
        if have_rings == 0:
            have_first, have_last = first, last
        elif have_first <= first and have_last >= last and have_rings >= rings:
            return
        # with a margin, so that the next tiles seldom extend it
        room = 8 + (last - first) // 16
        first, last = min(first - room, have_first), max(last + room, have_last)
        rings = max(rings + rings // 8, have_rings)
        angle = np.arange(first, last + 1) * self._azimuth_step
        distance = np.arange(1, rings + 1)[:, None] * self._ring_m
        (he, hn), (ce, cn, ch) = self._heading, self._centre
        cosine, sine = np.cos(angle), np.sin(angle)
        east = ce + distance * (he * cosine - hn * sine)
        north = cn + distance * (hn * cosine + he * sine)
        tangent = (interpolate_heights_en(self._terrain, east, north) - ch) / distance
        tangent = np.where(np.isnan(tangent), _OPEN, tangent)
        self._tangents = np.full((rings + 1, last - first + 1), _OPEN)
        np.maximum.accumulate(tangent, axis=0, out=self._tangents[1:])
        self._extent = (first, last, rings)
