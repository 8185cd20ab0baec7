"""Footprints of frames, their GSD and overlap, and monoplotting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.errors import FrameRejected, HorizonInView, OutsideTerrain
from flycam.geometry.camera import (
    InteriorOrientation,
    compute_image_rays,
    compute_valid_radius,
    compute_viewing_rays,
    distort,
    is_in_image,
)
from flycam.geometry.expected_error import UNKNOWN_ERROR_M, compute_expected_error
from flycam.geometry.pose import ExteriorOrientation
from flycam.geometry.terrain import (
    TerrainGrid,
    build_max_pyramid,
    cast_rays,
    compute_normals,
    get_min_height,
    interpolate_heights,
)
from flycam.messages import _

Floats = NDArray[np.float64]

# A frame with more sky than this is an image of the horizon, not of the ground.
MAX_HORIZON_FRACTION = 0.5
# Beyond this multiple of the height above the lowest ground, haze dominates a pixel; beyond that multiple
# of the distance to the nearest ground, its GSD is that many times the frame's best (decision 0013).
RANGE_PER_HEIGHT = 10.0
RANGE_PER_NEAREST = 4.0
MIN_RANGE_M = 500.0
# Rays less than this many sigmas of the tilt below the horizon might be sky.
SIGMAS_BELOW = 2.0
_BEYOND_SAMPLES = 32
# the edge of what is seen lies between two samples
_BEYOND_WIDENED_RAD = 0.05
_ABSOLUTE_MIN_RANGE_M = 10.0
_FRAMES_AT_ONCE = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Footprint:
    """Ground that one frame sees.

    polygon_m              K×2 work CRS, in the order of the image border, not closed; intersections of the
                           border's rays with the terrain
    bounds_m               (west, south, east, north) of all rays cast, inner ones included: in broken
                           terrain the ground seen may reach beyond the border's polygon
    gsd_m                  side of a source pixel on the ground at the image centre (or the nearest point
                           to it that has ground), across the line of sight
    height_above_ground_m  of the projection centre, over the ground below it (over the nearest ground seen
                           where the ground below is not known)

    Where rays were cut at the range, or continued on a plane beyond the known terrain, it is an estimate.
    """

    polygon_m: Floats
    bounds_m: tuple[float, float, float, float]
    gsd_m: float
    height_above_ground_m: float


def compute_mapping_range_m(
    interior: InteriorOrientation, exterior: ExteriorOrientation, terrain: TerrainGrid
) -> float:
    """Return the range up to which ground is mapped by default, metres.

    10 × the height above the lowest ground, but no farther than where a pixel covers 4 × the ground (in each
    direction) of the frame's best one: 4 × the distance along its steepest ray to the lowest ground. 500 at
    least, unless that is flatter than twice the sigma of the tilt, where sky might be taken for ground. A
    frame that contains its nadir point is never cut by the second rule: 4 × the height is 76° off nadir.
    Decision 0013.
    """
    height = exterior.projection_centre_m[2] - get_min_height(terrain)
    if not np.isfinite(height):
        return MIN_RANGE_M
    nearest = height / max(_steepest(interior, exterior), 1.0 / RANGE_PER_HEIGHT)
    sigma = max(exterior.sigma_attitude_rad[:2])
    surely_below = height / (SIGMAS_BELOW * sigma) if sigma > 0.0 else np.inf
    least = min(MIN_RANGE_M, max(surely_below, _ABSOLUTE_MIN_RANGE_M))
    return max(min(RANGE_PER_HEIGHT * height, RANGE_PER_NEAREST * nearest), least)


def compute_search_range_m(exterior: ExteriorOrientation, terrain: TerrainGrid) -> float:
    """Return the range within which ground is distinguished from sky, metres.

    10 × the height, 500 at least.
    """
    height = exterior.projection_centre_m[2] - get_min_height(terrain)
    return max(RANGE_PER_HEIGHT * height, MIN_RANGE_M) if np.isfinite(height) else MIN_RANGE_M


@lru_cache(maxsize=64)
def _steepest(interior: InteriorOrientation, exterior: ExteriorOrientation) -> float:
    """Return the sine of the steepest ray's angle below the horizon.

    1 if the image contains the nadir.
    """
    # plumb line in camera axes
    x, y, z = (-row[2] for row in exterior.rotation)
    if z > 0.0 and np.hypot(x, y) <= z * compute_valid_radius(interior):
        u, v = distort(interior, np.array([x / z]), np.array([y / z]))
        if is_in_image(interior, u, v).all():
            return 1.0
    rays = compute_image_rays(interior, exterior, _border_points(interior, 16))
    return float(np.fmax.reduce(-rays[:, 2], initial=0.0))


def compute_footprint(
    interior: InteriorOrientation,
    exterior: ExteriorOrientation,
    terrain: TerrainGrid,
    max_range_m: float | None = None,
    samples_per_edge: int = 16,
) -> Footprint:
    """Compute the footprint of a frame on the terrain.

    Casts the image's border and a coarse inner grid. Rays are cut at `max_range_m` (default
    `compute_mapping_range_m`). Raises HorizonInView when half of the image or more sees no ground within
    `compute_search_range_m` (or max_range_m), OutsideTerrain when no ray meets known terrain.
    """
    found = compute_footprints([(interior, exterior)], terrain, max_range_m, samples_per_edge)[0]
    if isinstance(found, FrameRejected):
        raise found
    return found


def compute_footprints(
    frames: Sequence[tuple[InteriorOrientation, ExteriorOrientation]],
    terrain: TerrainGrid,
    max_range_m: float | None = None,
    samples_per_edge: int = 16,
) -> list[Footprint | FrameRejected]:
    """Return `compute_footprint` of every frame, or the error that it would raise.

    The rays of all frames advance together.
    """
    found: list[Footprint | FrameRejected] = []
    for first in range(0, len(frames), _FRAMES_AT_ONCE):
        looks = [
            _FootprintRays(*frame, terrain, max_range_m, samples_per_edge)
            for frame in frames[first:][:_FRAMES_AT_ONCE]
        ]
        origins = np.concatenate([look.origins for look in looks])
        ranges = np.concatenate([np.full(len(look.rays), look.sight_m) for look in looks])
        points = cast_rays(terrain, origins, np.concatenate([look.rays for look in looks]), ranges)
        ends = np.cumsum([len(look.rays) for look in looks])
        found += [look.footprint(some) for look, some in zip(looks, np.split(points, ends[:-1]), strict=True)]
    return found


def make_unknown_ground_error() -> OutsideTerrain:
    """Return the rejection of a frame that shows no ground of the terrain."""
    return OutsideTerrain(
        _("the frame looks at ground that the terrain does not know; register a DEM that covers the flight")
    )


def outline_view_beyond(
    interior: InteriorOrientation, exterior: ExteriorOrientation, footprint_m: Floats
) -> Floats:
    """Outline where a frame may show ground beyond its footprint, without terrain.

    Returns the corners K×2 (work CRS) of a sector around the camera, as far as `compute_search_range_m`, or
    as the flattest ray is above the lowest ground; 0×2 where the footprint is all that is seen.

    footprint_m  N×2, as it is cut by `compute_mapping_range_m`

    That rule is turned round, in which the height over the lowest ground cancels. With s the sine of the
    steepest ray's dip, rays of a sine of s / 4 and more meet the lowest ground within the mapping range,
    4 × height / s. Where flatter ones were cut there, the farthest corner of the footprint tells that range,
    and so the height; where none was, nothing is seen beyond. A height from the GSD would be that over the
    ground in the middle of the image: a slope opposite may be as high as the camera.
    """
    share = _steepest(interior, exterior) / RANGE_PER_NEAREST
    uv = np.concatenate([_border_points(interior, _BEYOND_SAMPLES), _inner_points(interior)])
    rays = compute_image_rays(interior, exterior, uv)
    # how far the sine of each ray's dip changes by the sigmas about the camera's axes
    level, rotation = rays[:, 1::-1] * (1.0, -1.0), np.asarray(exterior.rotation)
    sigma = np.linalg.norm(level @ rotation[:, :2].T * exterior.sigma_attitude_rad, axis=1)
    sine = -rays[:, 2] - SIGMAS_BELOW * sigma
    flat = rays[sine < share]
    if not len(flat):
        return np.empty((0, 2))
    centre = np.asarray(exterior.projection_centre_m[:2])
    farthest_m = float(np.linalg.norm(footprint_m - centre, axis=1).max())
    # of the ray that ends there: the flattest, where none is cut
    dip = np.arcsin(max(share, 1.0 / RANGE_PER_HEIGHT, float(np.nanmin(-rays[:, 2]))))
    height_m = farthest_m * np.tan(dip)
    lowest_m = height_m / max(float(np.nanmin(sine)), 1e-9)
    reach_m = min(max(RANGE_PER_HEIGHT * height_m, MIN_RANGE_M), lowest_m)
    azimuth = np.sort(np.arctan2(flat[:, 0], flat[:, 1]))
    gaps = np.diff(azimuth, append=azimuth[0] + 2.0 * np.pi)
    widest = int(np.argmax(gaps))
    wider = SIGMAS_BELOW * max(exterior.sigma_attitude_rad) + _BEYOND_WIDENED_RAD
    span = 2.0 * np.pi - gaps[widest] + 2.0 * wider
    is_all_around = bool(span >= 2.0 * np.pi)
    share_of_arc = np.linspace(0.0, 1.0, 4 * _BEYOND_SAMPLES)
    angles = azimuth[widest] + gaps[widest] - wider + min(span, 2.0 * np.pi) * share_of_arc
    # the chords of the arc are not nearer than the reach
    radius_m = reach_m / np.cos(0.5 * (angles[1] - angles[0]))
    arc: Floats = centre + radius_m * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    return arc[:-1] if is_all_around else np.concatenate([centre[None], arc])


class _FootprintRays:
    """Rays of one frame: those of the border, then inner ones."""

    def __init__(
        self,
        interior: InteriorOrientation,
        exterior: ExteriorOrientation,
        terrain: TerrainGrid,
        max_range_m: float | None,
        samples_per_edge: int,
    ) -> None:
        self.interior, self.exterior, self.terrain = interior, exterior, terrain
        self.reach_m = (
            compute_mapping_range_m(interior, exterior, terrain) if max_range_m is None else max_range_m
        )
        self.sight_m = compute_search_range_m(exterior, terrain) if max_range_m is None else max_range_m
        border = _border_points(interior, samples_per_edge)
        self.border = len(border)
        self.uv = np.concatenate([border, _inner_points(interior)])
        self.origins, self.rays = compute_viewing_rays(interior, exterior, self.uv)
        self.centre = np.asarray(exterior.projection_centre_m)

    def footprint(self, points: Floats) -> Footprint | FrameRejected:
        """Build the footprint from the rays' ground points (NaN where a ray meets none)."""
        met = np.isfinite(points[:, 0])
        ground = _ground_height(self.terrain, self.centre, points, met)
        sky = _on_plane(self.centre, self.rays, ground, self.sight_m)[1]
        horizon = float(np.mean(sky[self.border :] & ~met[self.border :]))
        if horizon >= MAX_HORIZON_FRACTION:
            return HorizonInView(
                _(
                    "{horizon:.0%} of the frame looks at or above the horizon; point the "
                    "camera further down (gimbal pitch below -30°)",
                    horizon=horizon,
                )
            )
        if not met.any():
            return make_unknown_ground_error()
        # False where no ground was met
        near = np.linalg.norm(points - self.centre, axis=1) <= self.reach_m
        plane = _on_plane(self.centre, self.rays, ground, self.reach_m)[0]
        seen = np.where(met[:, None], points, plane)
        seen = np.where((near | ~met)[:, None], seen, self.centre + self.rays * self.reach_m)
        at_border, seen = seen[: self.border, :2], seen[np.isfinite(seen[:, 0])]
        west_south, east_north = seen[:, :2].min(axis=0), seen[:, :2].max(axis=0)
        return Footprint(
            polygon_m=at_border[np.isfinite(at_border[:, 0])],
            bounds_m=(float(west_south[0]), float(west_south[1]), float(east_north[0]), float(east_north[1])),
            gsd_m=_central_gsd(self.interior, self.exterior, self.uv[met], points[met]),
            height_above_ground_m=float(self.centre[2] - ground),
        )


def is_looking_up(interior: InteriorOrientation, exterior: ExteriorOrientation) -> bool:
    """Return True if half of a frame looks above the horizontal.

    Then `compute_footprint` can find ground only on a slope that rises in front of it. Much cheaper.
    """
    rays = compute_image_rays(interior, exterior, _inner_points(interior))
    return bool(np.mean(rays[:, 2] >= 0.0) >= MAX_HORIZON_FRACTION)


def compute_gsd(interior: InteriorOrientation, exterior: ExteriorOrientation, points_m: Floats) -> Floats:
    """Return the side of a source pixel at ground points N×3, metres.

    True metres across the line of sight. Distance over the mean focal length: exact on the axis of a
    pinhole, within a few percent elsewhere.
    """
    offset = np.asarray(points_m, dtype=np.float64) - exterior.projection_centre_m
    offset[..., 2] *= exterior.grid_scale
    gsd: Floats = np.linalg.norm(offset, axis=-1) / np.mean(interior.focal_length_px)
    return gsd


def _border_points(interior: InteriorOrientation, samples_per_edge: int) -> Floats:
    width, height = interior.image_size_px
    k = np.arange(samples_per_edge) / samples_per_edge
    zero, one = np.zeros_like(k), np.ones_like(k)
    u = np.concatenate([k, one, 1.0 - k, zero]) * width - 0.5
    v = np.concatenate([zero, k, one, 1.0 - k]) * height - 0.5
    return np.stack([u, v], axis=-1)


def _inner_points(interior: InteriorOrientation) -> Floats:
    width, height = interior.image_size_px
    k = (np.arange(9) + 0.5) / 9
    return np.stack(np.meshgrid(k * width - 0.5, k * height - 0.5), axis=-1).reshape(-1, 2)


def _ground_height(terrain: TerrainGrid, centre: Floats, points: Floats, met: NDArray[np.bool_]) -> float:
    below = float(interpolate_heights(terrain, centre[None, :2])[0])
    if np.isfinite(below):
        return below
    if met.any():
        nearest = np.argmin(np.linalg.norm(points[met] - centre, axis=-1))
        return float(points[met][nearest, 2])
    highest = float(build_max_pyramid(terrain)[-1].max())
    return highest if np.isfinite(highest) else 0.0


def _on_plane(centre: Floats, rays: Floats, ground: float, reach: float) -> tuple[Floats, NDArray[np.bool_]]:
    """Intersect rays with a level plane, and flag those that do not reach it.

    Intersections are cut at the range.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.where(rays[:, 2] < 0.0, (ground - centre[2]) / rays[:, 2], np.inf)
    sky = ~(distance <= reach)
    flat_reach = np.minimum(distance, reach)
    return centre + rays * flat_reach[:, None], sky


def _central_gsd(
    interior: InteriorOrientation, exterior: ExteriorOrientation, uv: Floats, points: Floats
) -> float:
    centre = (np.asarray(interior.image_size_px) - 1.0) / 2.0
    nearest = int(np.argmin(np.linalg.norm(uv - centre, axis=-1)))
    return float(compute_gsd(interior, exterior, points[nearest : nearest + 1])[0])


# -- Monoplotting: from image areas to the ground, and back ----------------------------------------
#
# Both by rays from the image to the terrain, so that hidden ground and sky are excluded. Areas of an image
# are computed on a lattice: coarse, and never too small by more than its cell.


MAX_ERROR_M = 15.0
"""Ground whose expected error (radial 1-sigma) is larger counts as not known."""
OBJECT_SIGMA_M = 3.0
"""1-sigma of the height of objects on the terrain (roofs, crowns), which displaces them in the image."""

_EDGE_SAMPLES = 16
_INNER = 24
_GRID_COLUMNS = 96


def project_polygon_to_ground(
    polygon_px: Floats, interior: InteriorOrientation, exterior: ExteriorOrientation, terrain: TerrainGrid
) -> tuple[Floats, Floats]:
    """Project a polygon's edges and inside to the ground.

    polygon_px is N×2, corners of pixels at integers. Returns M×3 ground points (work CRS) and their expected
    errors, M metres (radial 1-sigma, with OBJECT_SIGMA_M; at most UNKNOWN_ERROR_M). M may be 0.
    """
    closed = np.concatenate([polygon_px, polygon_px[:1]])
    share = np.arange(_EDGE_SAMPLES)[:, None] / _EDGE_SAMPLES
    edges = [start + share * (stop - start) for start, stop in pairwise(closed)]
    low, high = polygon_px.min(axis=0), polygon_px.max(axis=0)
    step = (np.arange(_INNER) + 0.5) / _INNER
    within = np.stack(np.meshgrid(*(low + step[:, None] * (high - low)).T), axis=-1).reshape(-1, 2)
    outline = polygon_px.astype(np.float32)
    inside = np.array([cv2.pointPolygonTest(outline, (float(x), float(y)), False) > 0 for x, y in within])
    points = _on_ground(np.concatenate([*edges, within[inside]]), interior, exterior, terrain)
    points = points[np.isfinite(points[:, 0])]
    normals = compute_normals(terrain, points[:, :2])
    error = compute_expected_error(exterior, points, normals, np.full(len(points), OBJECT_SIGMA_M))
    return points, np.minimum(np.nan_to_num(error, nan=UNKNOWN_ERROR_M), UNKNOWN_ERROR_M)


def project_image_grid(
    interior: InteriorOrientation, exterior: ExteriorOrientation, terrain: TerrainGrid
) -> Floats:
    """Project a whole image to the ground in cells of about a hundredth of its width.

    Returns the cells' corners, (rows + 1) × (columns + 1) × 3 in the work CRS; NaN where a ray meets no
    ground.
    """
    width, height = interior.image_size_px
    rows = max(round(_GRID_COLUMNS * height / width), 1)
    x, y = np.meshgrid(np.linspace(0.0, width, _GRID_COLUMNS + 1), np.linspace(0.0, height, rows + 1))
    points = _on_ground(np.stack([x, y], axis=-1).reshape(-1, 2), interior, exterior, terrain)
    return points.reshape(*x.shape, 3)


def trace_cell_rays(
    interior: InteriorOrientation, exterior: ExteriorOrientation, terrain: TerrainGrid, shape: tuple[int, int]
) -> Floats:
    """Trace the ray through the centre of each lattice cell to the search range.

    Rays start at the camera, and nothing stops them. Returns rows × columns × 2 ends × 3, work CRS; NaN
    beyond the lens.
    """
    rows, columns = shape
    width, height = interior.image_size_px
    x, y = np.meshgrid((np.arange(columns) + 0.5) / columns * width, (np.arange(rows) + 0.5) / rows * height)
    origins, rays = compute_viewing_rays(interior, exterior, np.stack([x, y], axis=-1).reshape(-1, 2) - 0.5)
    ends = origins + compute_search_range_m(exterior, terrain) * rays
    return np.stack([origins, ends], axis=1).reshape(rows, columns, 2, 3)


def _on_ground(
    px: Floats, interior: InteriorOrientation, exterior: ExteriorOrientation, terrain: TerrainGrid
) -> Floats:
    origins, rays = compute_viewing_rays(interior, exterior, px - 0.5)
    points = np.full_like(rays, np.nan)
    known = np.isfinite(rays).all(axis=1)
    if known.any():
        points[known] = cast_rays(
            terrain, origins[known], rays[known], compute_search_range_m(exterior, terrain)
        )
    return points
