"""Projection of ground points into frames, with occlusion and pixel quality.

The points lie on the tile grid; all frames are over one terrain.

All arithmetic is element by element: no result depends on what else is computed with it. So the points of
several frames can be projected together (`FrameBatch`): with the few thousand nodes of one frame much of
the time goes into calling numpy, not into its arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.camera import (
    InteriorOrientation,
    Scalars,
    compute_image_rays,
    compute_valid_radius,
    correct_rolling_shutter,
    distort,
    is_rolling,
    transform_to_camera,
)
from flycam.geometry.footprint import compute_mapping_range_m
from flycam.geometry.grid import PlanarMap
from flycam.geometry.pose import ExteriorOrientation
from flycam.geometry.terrain import (
    TerrainGrid,
    compute_cell_slopes,
    get_max_slope,
    get_min_height,
    interpolate_heights_en,
)

# -- Occlusion of ground by nearer ground ----------------------------------------------------------
#
# A scan outwards from the camera keeps, for every azimuth, the steepest elevation met so far (its horizon). A
# point is hidden if the horizon in front of it is above it. One scan serves every point of the frame, and
# costs a few thousand heights instead of a march along every line of sight.
#
# Source of the idea: Franklin and Ray, Higher isn't necessarily better: visibility algorithms, 1994 (R2);
# here on a polar grid with a cumulative maximum.


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
        for step in (-1, 0, 1):
            np.maximum.at(table, (ring, (sector + step) % _SECTORS), fall)
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
        """Return the height of ground points above the line of sight to them, metres.

        Points of equal shapes S, on the terrain. The line of sight passes over the ground in front of the
        point. Returns S: >= 0 visible, < 0 hidden. Holes in the terrain hide nothing.
        """
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


# -- Pixel quality, which decides between frames ---------------------------------------------------
#
# A pure function of frame, pose, terrain and optics: never of load, order, or the mosaic.


MAX_QUALITY = 65535
BORDER_SHARE = 0.08
BORDER_FLOOR = 0.05
REFERENCE_GSD_M = 0.25


def compute_pixel_quality(
    interior: InteriorOrientation,
    u: Floats,
    v: Floats,
    off_nadir_cosine: Floats,
    ground_sample_m: Floats,
) -> NDArray[np.uint16]:
    """Return the quality 1..65535 of ground points at image points (u, v).

    u, v and the following are of equal shapes S.
    off_nadir_cosine  cosine of the angle between the line of sight and the plumb line (1 = nadir)
    ground_sample_m   side of a source pixel at the distance of the point, across the line of sight

        quality = 1 + round(65534 · N · G · B(u, width) · B(v, height))
        N = max(off_nadir_cosine, 0)²            an error dz of the terrain moves a pixel by dz · tan
        G = 0.25 m / (0.25 m + ground_sample_m)
        B = 0.05 + 0.95 · smoothstep(distance to the border / 8 % of the side)

    Continuous with continuous first derivative in all arguments; NaN gives 1.
    """
    width, height = interior.image_size_px
    score = np.square(np.maximum(off_nadir_cosine, 0.0))
    score *= _border(u, width)
    score *= _border(v, height)
    score *= REFERENCE_GSD_M / (REFERENCE_GSD_M + ground_sample_m)
    score *= MAX_QUALITY - 1.0
    # 1, and a half so that the cast below rounds
    score += 1.5
    quality: NDArray[np.uint16] = np.fmax(score, 1.0).astype(np.uint16)
    return quality


def _border(position: Floats, side: int) -> Floats:
    """Return the taper over the outer 8 %: BORDER_FLOOR at the edge, 1 inside."""
    x = (0.5 * side - np.abs(position - 0.5 * (side - 1.0))) * (1.0 / (BORDER_SHARE * side))
    x = np.minimum(np.maximum(x, 0.0), 1.0)
    taper: Floats = x * x * (3.0 - 2.0 * x) * (1.0 - BORDER_FLOOR) + BORDER_FLOOR
    return taper


# -- Projection of ground points into frames over one terrain --------------------------------------

Indices = NDArray[np.int64]

# Ground this far outside the image gets a visibility too, so that cells across the border have four values.
_BESIDE_PX = 64.0
# Lines of sight flatter than the corners' by this much (outside the image) are tested too; those flatter
# than the second always go to the horizon scan.
_FLATTER = 0.1
_FLATTEST = 0.2


class FrameView:
    """One frame over one terrain, with the slopes that could hide ground from it.

    to_work  maps EPSG:3857 to the work CRS of pose and terrain
    """

    def __init__(
        self,
        interior: InteriorOrientation,
        exterior: ExteriorOrientation,
        terrain: TerrainGrid,
        to_work: PlanarMap,
    ) -> None:
        self.interior, self.exterior = interior, exterior
        self.terrain, self.to_work = terrain, to_work
        self.reach_m = compute_mapping_range_m(interior, exterior, terrain)
        self._horizon: HorizonScan | None = None
        self._slopes: SteepSlopes | None = None

    @property
    def horizon(self) -> HorizonScan:
        """Horizon scan of the frame.

        Made when first needed; over gentle ground it never is.
        """
        if self._horizon is None:
            forward, down = self.exterior.rotation[2], self.exterior.rotation[1]
            oblique = np.hypot(forward[0], forward[1]) > 0.1
            heading = (forward[0], forward[1]) if oblique else (-down[0], -down[1])
            centre = self.exterior.projection_centre_m
            self._horizon = HorizonScan(self.terrain, centre, self._corner_distance(), heading)
        return self._horizon

    @property
    def slopes(self) -> SteepSlopes:
        """Slopes that could hide ground from the frame."""
        if self._slopes is None:
            level = np.hypot(self._corner_rays[:, 0], self._corner_rays[:, 1])
            with np.errstate(divide="ignore"):
                flattest = float(np.fmin.reduce(-self._corner_rays[:, 2] / level))
            sight = max(flattest - _FLATTER, _FLATTEST)
            centre = self.exterior.projection_centre_m
            self._slopes = SteepSlopes(self.terrain, centre, self._corner_distance(), sight)
        return self._slopes

    @cached_property
    def _corner_rays(self) -> Floats:
        width, height = self.interior.image_size_px
        corners = np.array([[0.0, 0.0], [width - 1.0, 0.0], [0.0, height - 1.0], [width - 1.0, height - 1.0]])
        return compute_image_rays(self.interior, self.exterior, corners)

    def _corner_distance(self) -> float:
        """Return the largest horizontal distance at which the corners see ground, metres.

        On the lowest ground, and at most the range. It sets the azimuth step of the horizon scan, and depends
        on the frame alone.
        """
        rays = self._corner_rays
        drop = self.exterior.projection_centre_m[2] - get_min_height(self.terrain)
        level = np.hypot(rays[:, 0], rays[:, 1])
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = np.where(rays[:, 2] < 0.0, drop * level / -rays[:, 2], np.inf)
        return float(np.fmin(distance, self.reach_m).max())

    def margin(self, east: Floats, north: Floats, height: Floats) -> Floats:
        """Return visibility margins of points on the terrain (equal shapes N).

        0 where no slope can hide them.
        """
        margin = np.zeros(east.shape)
        unsure = ~self.slopes.is_surely_visible(east, north, height)
        if unsure.any():
            margin[unsure] = self.horizon.margin(east[unsure], north[unsure], height[unsure])
        return margin


@dataclass(frozen=True, slots=True)
class _Poses:
    """Poses for `transform_to_camera`, and their ranges.

    Numbers of one frame, or arrays T×1×1 of the frames that view T places.
    """

    projection_centre_m: tuple[Scalars, Scalars, Scalars]
    rotation: tuple[tuple[Scalars, Scalars, Scalars], ...]
    grid_scale: Scalars
    reach_m: Scalars


class FrameBatch:
    """Frames that are projected together.

    They have the same lens, terrain and map, and no rolling shutter. A single frame may be anything.
    Places are ordered frame by frame.
    """

    def __init__(self, views: Sequence[FrameView]) -> None:
        """Raise ValueError for frames that differ (see `group_compatible_views`)."""
        if len(views) > 1 and len(list(group_compatible_views(views))) > 1:
            raise ValueError("only frames of one lens over one terrain can be looked from together")
        self._views = views
        first = views[0]
        self.interior, self.terrain, self._to_work = first.interior, first.terrain, first.to_work
        self._exterior = first.exterior
        self._table = np.array([_numbers_of(view) for view in views])
        self._mean_focal = 0.5 * sum(first.interior.focal_length_px)

    def project(self, x: Floats, y: Floats, frame: Indices) -> GroundObservations:
        """Project ground points into the frame that views each place.

        x, y   mercator abscissae T×1×N and ordinates T×M×1
        frame  T, number of the frame that views the place
        """
        poses = self._poses(frame)
        east, north = self._to_work.mesh(x, y)
        height = interpolate_heights_en(self.terrain, east, north)
        place = transform_to_camera(poses, east, north, height)
        if len(self._views) == 1:
            place = correct_rolling_shutter(self.interior, self._exterior, *place)
        xc, yc, depth = place
        distance2 = xc * xc + yc * yc + depth * depth
        seen = (depth > 0.0) & (distance2 <= poses.reach_m * poses.reach_m)
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = 1.0 / depth
            xn, yn = xc * inverse, yc * inverse
            limit = compute_valid_radius(self.interior)
            if np.isfinite(limit):
                seen &= xn * xn + yn * yn <= limit * limit
            if not seen.all():
                xn = np.where(seen, xn, np.nan)
            u, v = distort(self.interior, xn, yn)
        return GroundObservations(frame, east, north, height, distance2, u, v)

    def quality(self, observations: GroundObservations) -> NDArray[np.uint16]:
        """Return the quality 1..65535 of the observations (see `compute_pixel_quality`)."""
        poses = self._poses(observations.frame)
        distance = np.sqrt(observations.distance2)
        drop = (poses.projection_centre_m[2] - observations.height) * poses.grid_scale
        with np.errstate(invalid="ignore"):
            return compute_pixel_quality(
                self.interior,
                observations.u,
                observations.v,
                drop / distance,
                distance * (1.0 / self._mean_focal),
            )

    def margin(self, observations: GroundObservations) -> Floats:
        """Return visibility margins.

        0 where no slope can hide the point, and far outside the image.
        """
        width, height = self.interior.image_size_px
        near_image = (
            (observations.u > -_BESIDE_PX)
            & (observations.u < width + _BESIDE_PX)
            & (observations.v > -_BESIDE_PX)
            & (observations.v < height + _BESIDE_PX)
        )
        margin = np.zeros(observations.u.shape)
        starts = np.flatnonzero(np.diff(observations.frame, prepend=-1)).tolist()
        for first, stop in pairwise([*starts, len(observations.frame)]):
            here = near_image[first:stop]
            if here.any():
                points = (
                    one[first:stop][here]
                    for one in (observations.east, observations.north, observations.height)
                )
                margin[first:stop][here] = self._views[observations.frame[first]].margin(*points)
        return margin

    def _poses(self, frame: Indices) -> _Poses:
        """Return the poses of the frames that view T places.

        Of a single frame, its plain numbers.
        """
        values = self._table[frame].T[..., None, None] if len(self._views) > 1 else self._table[0]
        east, north, up, *turns, scale, reach = values
        rows = tuple((turns[k], turns[k + 1], turns[k + 2]) for k in (0, 3, 6))
        return _Poses((east, north, up), rows, scale, reach)


def group_compatible_views(views: Sequence[FrameView]) -> Iterator[list[FrameView]]:
    """Yield runs of frames, in their order, that can form a `FrameBatch`."""
    for _, run in groupby(enumerate(views), lambda one: _kind(*one)):
        yield [view for _, view in run]


def _kind(number: int, view: FrameView) -> tuple[object, ...]:
    """Return the key that frames of one `FrameBatch` have in common."""
    alone = number if is_rolling(view.interior, view.exterior) else None
    return view.interior, id(view.terrain), id(view.to_work), alone


def _numbers_of(view: FrameView) -> tuple[float, ...]:
    exterior = view.exterior
    turns = (number for row in exterior.rotation for number in row)
    return (*exterior.projection_centre_m, *turns, exterior.grid_scale, view.reach_m)


@dataclass(frozen=True, slots=True)
class GroundObservations:
    """Ground points T×M×N and their image coordinates in frames.

    Each of the T places is viewed by one frame. Work CRS metres, squared distances in true metres, image
    coordinates (NaN: not seen).
    """

    frame: Indices
    east: Floats
    north: Floats
    height: Floats
    distance2: Floats
    u: Floats
    v: Floats

    def take(self, tiles: Indices) -> GroundObservations:
        """Return the observations of some of the tiles."""
        return GroundObservations(
            self.frame[tiles],
            self.east[tiles],
            self.north[tiles],
            self.height[tiles],
            self.distance2[tiles],
            self.u[tiles],
            self.v[tiles],
        )
