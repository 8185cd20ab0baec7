"""Input of matching: a frame's features, their rays, and their ground by prior."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flycam.adjust.block import BlockFrame
from flycam.geometry.camera import compute_ray_directions, compute_viewing_rays, transform_to_camera
from flycam.geometry.exterior import ExteriorOrientation
from flycam.geometry.features import Features, compute_search_scale
from flycam.geometry.rolling_shutter import is_rolling
from flycam.geometry.terrain import TerrainGrid, cast_rays

Floats = NDArray[np.float64]

# With a larger sigma of yaw, descriptors are not taken upright.
_UNSURE_YAW_RAD = 0.3


@dataclass(frozen=True, kw_only=True, slots=True)
class MatchView:
    """One frame prepared for matching.

    Metric axes as in `adjust.epipolar` (heights times grid_scale).

    centre      3
    rotation    3×3 world to camera
    rays        N×3 unit, camera axes; of a rolling shutter those at the middle row's time
    ground      N×3 metric, NaN where the terrain is not known
    focal_px    pixels a radian near the axis
    unit_px     size of a searched pixel in full-size pixels: the unit of localisation errors
    ground_sigma_m  1-sigma error of a ground point by the prior
    """

    frame: BlockFrame
    features: Features
    centre: Floats
    rotation: Floats
    rays: Floats
    ground: Floats
    focal_px: float
    unit_px: float
    ground_sigma_m: float
    height_m: float


def make_match_view(frame: BlockFrame, features: Features, terrain: TerrainGrid) -> MatchView:
    """Compute rays and ground points of a frame's features."""
    exterior = frame.exterior
    scale = exterior.grid_scale
    rotation = np.asarray(exterior.rotation)
    rays = compute_unit_rays(frame, features.uv_px)
    stood, along = compute_viewing_rays(frame.interior, exterior, features.uv_px)
    sighted = np.flatnonzero(np.isfinite(along).all(axis=1))
    ground = np.full((len(rays), 3), np.nan)
    if sighted.size:
        ground[sighted] = cast_rays(terrain, stood[sighted], along[sighted])
    if is_rolling(frame.interior, exterior):
        rays = _at_once(exterior, ground, rays)
    ground[:, 2] *= scale
    centre = np.array(exterior.projection_centre_m) * [1.0, 1.0, scale]
    seen = np.isfinite(ground[:, 2])
    height = float(centre[2] - np.median(ground[seen, 2])) if seen.any() else float("nan")
    tilt, turn = max(exterior.sigma_attitude_rad[:2]), exterior.sigma_attitude_rad[2]
    reach = np.hypot(*frame.interior.image_size_px) / 2.0 / _focal(frame) * height
    sigma = float(np.hypot(max(exterior.sigma_position_m[:2]), np.hypot(tilt * height, turn * reach / 2.0)))
    return MatchView(
        frame=frame,
        features=features,
        centre=centre,
        rotation=rotation,
        rays=rays,
        ground=ground,
        focal_px=_focal(frame),
        unit_px=compute_unit_px(frame),
        ground_sigma_m=sigma,
        height_m=height,
    )


def _at_once(exterior: ExteriorOrientation, ground: Floats, rays: Floats) -> Floats:
    """Return rays as if every row had been read with the middle one.

    Unchanged where no ground is known.
    """
    place = np.stack(transform_to_camera(exterior, *ground.T), axis=-1)
    unit = place / np.linalg.norm(place, axis=1, keepdims=True)
    return np.where(np.isfinite(unit), unit, rays)


def drop_descriptors(view: MatchView) -> MatchView:
    """Return the view without descriptors, once matched: they are most of its memory."""
    return replace(view, features=replace(view.features, descriptor=view.features.descriptor[:0].copy()))


def compute_unit_rays(frame: BlockFrame, uv: Floats) -> Floats:
    """Return unit directions N×3 in camera axes of image points N×2.

    NaN where the lens cannot produce them.
    """
    rays = np.stack(compute_ray_directions(frame.interior, uv[:, 0], uv[:, 1]), axis=-1)
    unit: Floats = rays / np.linalg.norm(rays, axis=1, keepdims=True)
    return unit


def compute_unit_px(frame: BlockFrame) -> float:
    """Return the size of a searched pixel in full-size pixels, 1 at least.

    SIFT doubles the reduced image.
    """
    return max(1.0, 0.5 / compute_search_scale(frame.interior.image_size_px))


def compute_north_deg(frame: BlockFrame) -> float | None:
    """Return the direction of grid north at the image centre, degrees.

    Clockwise from the right; None if yaw is not known.
    """
    if frame.exterior.sigma_attitude_rad[2] > _UNSURE_YAW_RAD:
        return None
    x, y, _ = (row[1] for row in frame.exterior.rotation)
    return float(np.degrees(np.arctan2(y, x)))


def _focal(frame: BlockFrame) -> float:
    return float(np.mean(frame.interior.focal_length_px))
