"""One frame over one terrain: from any ground point of the tile grid into the picture.

All arithmetic is element by element: no result depends on what else is asked with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.camera import as_read, camera_coordinates, distort, image_rays, valid_radius
from flycam.geometry.exterior import ExteriorOrientation
from flycam.geometry.footprint import view_range
from flycam.geometry.interior import InteriorOrientation
from flycam.geometry.occlusion import HorizonScan, SteepSlopes
from flycam.geometry.planar import PlanarMap
from flycam.geometry.terrain import TerrainGrid, lowest_height, surface_heights
from flycam.geometry.viewing import pixel_quality

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

# Ground this far beside the picture gets a visibility too, so that cells across the border have four.
_BESIDE_PX = 64.0
# Lines of sight a little flatter than the corners' (beside the picture) are looked at too; flatter ones than
# this always go to the horizon scan.
_FLATTER = 0.1
_FLATTEST = 0.2


class View:
    """One frame over one terrain: looks from any ground point of the tile grid into the picture."""

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
        self.reach_m = view_range(interior, exterior, terrain) if max_range_m is None else max_range_m
        self._horizon: HorizonScan | None = None
        self._slopes: SteepSlopes | None = None
        self._mean_focal = 0.5 * (interior.focal_length_px[0] + interior.focal_length_px[1])

    @property
    def horizon(self) -> HorizonScan:
        """The horizon scan of the frame, made when first needed (over gentle ground it never is)."""
        if self._horizon is None:
            forward, down = self.exterior.rotation[2], self.exterior.rotation[1]
            oblique = np.hypot(forward[0], forward[1]) > 0.1
            heading = (forward[0], forward[1]) if oblique else (-down[0], -down[1])
            centre = self.exterior.projection_centre_m
            self._horizon = HorizonScan(self.terrain, centre, self._corner_distance(), heading)
        return self._horizon

    @property
    def slopes(self) -> SteepSlopes:
        """The slopes that could hide ground from the frame."""
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
        return image_rays(self.interior, self.exterior, corners)

    def _corner_distance(self) -> float:
        """How far from the plumb line the corners look at the lowest ground, at most the range: it sets how
        fine the horizon's azimuths are, and depends on the frame alone."""
        rays = self._corner_rays
        drop = self.exterior.projection_centre_m[2] - lowest_height(self.terrain)
        level = np.hypot(rays[:, 0], rays[:, 1])
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = np.where(rays[:, 2] < 0.0, drop * level / -rays[:, 2], np.inf)
        return float(np.fmin(distance, self.reach_m).max())

    def image_of(self, x: Floats, y: Floats) -> Looks:
        """Image points of ground at mercator abscissae and ordinates that broadcast."""
        east, north = self.to_work.mesh(x, y)
        height = surface_heights(self.terrain, east, north)
        place = camera_coordinates(self.exterior, east, north, height)
        xc, yc, depth = as_read(self.interior, self.exterior, *place)
        distance2 = xc * xc + yc * yc + depth * depth
        seen = (depth > 0.0) & (distance2 <= self.reach_m * self.reach_m)
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = 1.0 / depth
            xn, yn = xc * inverse, yc * inverse
            limit = valid_radius(self.interior)
            if np.isfinite(limit):
                seen &= xn * xn + yn * yn <= limit * limit
            if not seen.all():
                xn = np.where(seen, xn, np.nan)
            u, v = distort(self.interior, xn, yn)
        return Looks(east, north, height, distance2, u, v)

    def quality(self, looks: Looks) -> NDArray[np.uint16]:
        """Quality 1..65535 of the looks (see `viewing.pixel_quality`)."""
        distance = np.sqrt(looks.distance2)
        drop = (self.exterior.projection_centre_m[2] - looks.height) * self.exterior.grid_scale
        with np.errstate(invalid="ignore"):
            return pixel_quality(
                self.interior, looks.u, looks.v, drop / distance, distance * (1.0 / self._mean_focal)
            )

    def margin(self, looks: Looks) -> Floats:
        """Visibility margins; 0 where no slope can hide the point, and far beside the picture."""
        width, height = self.interior.image_size_px
        asked = (
            (looks.u > -_BESIDE_PX)
            & (looks.u < width + _BESIDE_PX)
            & (looks.v > -_BESIDE_PX)
            & (looks.v < height + _BESIDE_PX)
        )
        margin = np.zeros(looks.u.shape)
        if asked.any():
            points = (looks.east[asked], looks.north[asked], looks.height[asked])
            unsure = ~self.slopes.spare(*points)
            if unsure.any():
                found = np.zeros(unsure.shape)
                found[unsure] = self.horizon.margin(*(one[unsure] for one in points))
                margin[asked] = found
        return margin


@dataclass(frozen=True, slots=True)
class Looks:
    """Ground points of equal shapes and where a frame sees them: work CRS metres, squared distances in true
    metres, image coordinates (NaN: not seen)."""

    east: Floats
    north: Floats
    height: Floats
    distance2: Floats
    u: Floats
    v: Floats

    def take(self, tiles: Indices) -> Looks:
        """The looks of some of the tiles."""
        return Looks(
            self.east[tiles],
            self.north[tiles],
            self.height[tiles],
            self.distance2[tiles],
            self.u[tiles],
            self.v[tiles],
        )
