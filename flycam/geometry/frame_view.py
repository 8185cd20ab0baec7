"""Projection of ground points on the tile grid into frames over one terrain.

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
    Scalars,
    compute_image_rays,
    compute_valid_radius,
    correct_rolling_shutter,
    distort,
    transform_to_camera,
)
from flycam.geometry.exterior import ExteriorOrientation
from flycam.geometry.footprint import compute_mapping_range_m
from flycam.geometry.interior import InteriorOrientation
from flycam.geometry.occlusion import HorizonScan, SteepSlopes
from flycam.geometry.pixel_quality import compute_pixel_quality
from flycam.geometry.planar_map import PlanarMap
from flycam.geometry.rolling_shutter import is_rolling
from flycam.geometry.terrain import TerrainGrid, get_min_height, interpolate_heights_en

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

# Ground this far outside the image gets a visibility too, so that cells across the border have four values.
_BESIDE_PX = 64.0
# Lines of sight flatter than the corners' by this much (outside the image) are tested too; those flatter
# than the second always go to the horizon scan.
_FLATTER = 0.1
_FLATTEST = 0.2


class FrameView:
    """One frame over one terrain, with the slopes that could hide ground from it."""

    def __init__(
        self,
        interior: InteriorOrientation,
        exterior: ExteriorOrientation,
        terrain: TerrainGrid,
        to_work: PlanarMap,
        max_range_m: float | None,
    ) -> None:
        self.interior, self.exterior = interior, exterior
        self.terrain, self.to_work = terrain, to_work
        self.reach_m = (
            compute_mapping_range_m(interior, exterior, terrain) if max_range_m is None else max_range_m
        )
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
        asked = (
            (observations.u > -_BESIDE_PX)
            & (observations.u < width + _BESIDE_PX)
            & (observations.v > -_BESIDE_PX)
            & (observations.v < height + _BESIDE_PX)
        )
        margin = np.zeros(observations.u.shape)
        starts = np.flatnonzero(np.diff(observations.frame, prepend=-1)).tolist()
        for first, stop in pairwise([*starts, len(observations.frame)]):
            here = asked[first:stop]
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
