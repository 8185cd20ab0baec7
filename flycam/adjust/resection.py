"""Resection of photos without ties at their recorded pose, on neighbours' ground.

A wrong heading in a table, a jump of the receiver's position, a stuck gimbal: the image shows the same as
its neighbours, only elsewhere than matching searches. Its features are compared with all of theirs, at all
rotations; common features are on ground that the neighbours' poses give, and that gives the photo's own
pose. Pair matching then verifies it, as any other photo.

Sources: Gao et al., PAMI 25(8), 2003 (pose from three points, in RANSAC); Kraus, Photogrammetry, 2007, 4.2
(resection).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.adjust.match_views import MatchView, compute_north_deg, compute_unit_rays, make_match_view
from flycam.geometry.exterior import ExteriorOrientation
from flycam.geometry.features import Features, find_features, rotate_descriptors
from flycam.geometry.matching import match_all_mutual_best
from flycam.geometry.rotation import to_mat3
from flycam.geometry.terrain import TerrainGrid

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]

_SEARCHED = 2000
_WITHIN_QUARTER = 4
"""Rotations tried within a quarter turn: upright descriptors tolerate half such a step, 11°."""
_MIN_POINTS = 20
_MIN_SHARE = 0.25
_REACH_SIGMAS, _MIN_REACH = 3.0, 0.02
"""Tolerance of the neighbours' ground: sigmas of their poses, and at least this share of flying height."""
_ROUNDS = 2000


def resect_view(
    view: MatchView, around: Sequence[MatchView], pixels: Bytes, terrain: TerrainGrid
) -> MatchView | None:
    """Return the view with the pose that surrounding photos give, or None.

    pixels  the photo, H×W×3 uint8 RGB
    """
    uv, ground = max(
        (_common(one, around) for one in _at_turns(view, pixels)), key=lambda found: len(found[0])
    )
    exterior = _resection(view, around, uv, ground)
    if exterior is None:
        return None
    frame = replace(view.frame, exterior=exterior)
    features = find_features(pixels, max_features=len(view.features), up_deg=compute_north_deg(frame))
    return make_match_view(frame, features, terrain)


def compute_corrections(recorded: ExteriorOrientation, found: ExteriorOrientation) -> tuple[float, float]:
    """Return the distance (metres) and rotation (radians) between two poses."""
    moved = np.subtract(found.projection_centre_m, recorded.projection_centre_m)
    turn = np.asarray(found.rotation) @ np.asarray(recorded.rotation).T
    return float(np.linalg.norm(moved)), float(np.arccos(np.clip((np.trace(turn) - 1.0) / 2.0, -1.0, 1.0)))


def _at_turns(view: MatchView, pixels: Bytes) -> list[Features]:
    """Return the strongest features with descriptors at every rotation.

    First as they are.
    """
    up_deg = compute_north_deg(view.frame) or 0.0
    steps = [up_deg + 90.0 * k / _WITHIN_QUARTER for k in range(1, _WITHIN_QUARTER)]
    found = [view.features, *(find_features(pixels, max_features=_SEARCHED, up_deg=at) for at in steps)]
    return [
        Features(
            uv_px=one.uv_px[:_SEARCHED],
            size_px=one.size_px[:_SEARCHED],
            descriptor=rotate_descriptors(one.descriptor[:_SEARCHED], quarters),
        )
        for quarters in range(4)
        for one in found
    ]


def _common(features: Features, around: Sequence[MatchView]) -> tuple[Floats, Floats]:
    """Return pixels N×2 that surrounding photos show too, and their ground N×3.

    The ground is metric.
    """
    uv, ground = [np.empty((0, 2))], [np.empty((0, 3))]
    for other in around:
        i, j = match_all_mutual_best(features.descriptor, other.features.descriptor[:_SEARCHED], ratio=0.8)
        known = np.isfinite(other.ground[j]).all(axis=1)
        uv.append(features.uv_px[i[known]])
        ground.append(other.ground[j[known]])
    return np.concatenate(uv), np.concatenate(ground)


def _resection(
    view: MatchView, around: Sequence[MatchView], uv: Floats, ground: Floats
) -> ExteriorOrientation | None:
    """Estimate the pose that shows ground N×3 (metric) at pixels N×2.

    Its sigmas are from the neighbours' poses and the misfit; None where fewer than 20 and a quarter of the
    points agree on a pose above the ground.
    """
    rays = compute_unit_rays(view.frame, uv)
    ahead = rays[:, 2] > 0.1
    rays, ground = rays[ahead], ground[ahead]
    if len(rays) < _MIN_POINTS:
        return None
    height_m = float(np.median([one.height_m for one in around]))
    sigma_m = float(np.median([one.ground_sigma_m for one in around]))
    reach = max(_REACH_SIGMAS * sigma_m / height_m, _MIN_REACH)
    origin, seen = ground.mean(axis=0), rays[:, :2] / rays[:, 2:]
    found, turn, shift, agree = cv2.solvePnPRansac(
        ground - origin, seen, np.eye(3), None, iterationsCount=_ROUNDS, reprojectionError=reach,
        confidence=0.999, flags=cv2.SOLVEPNP_AP3P,
    )  # fmt: skip
    if not found or agree is None or len(agree) < max(_MIN_POINTS, _MIN_SHARE * len(rays)):
        return None
    rows = agree.reshape(-1)
    turn, shift = cv2.solvePnPRefineLM((ground - origin)[rows], seen[rows], np.eye(3), None, turn, shift)
    rotation = cv2.Rodrigues(turn)[0]
    centre = origin - rotation.T @ shift.reshape(3)
    if centre[2] <= np.median(ground[rows, 2]):
        return None
    shown = cv2.projectPoints((ground - origin)[rows], turn, shift, np.eye(3), None)[0].reshape(-1, 2)
    misfit = float(np.sqrt(np.square(shown - seen[rows]).sum(axis=1).mean()))
    before = view.frame.exterior
    position = np.median([one.frame.exterior.sigma_position_m for one in around], axis=0)
    east, north, up = (float(one) for one in np.hypot(position, misfit * height_m))
    x, y, z = (float(one) for one in np.hypot(before.sigma_attitude_rad, misfit))
    return replace(
        before,
        projection_centre_m=(float(centre[0]), float(centre[1]), float(centre[2]) / before.grid_scale),
        rotation=to_mat3(rotation),
        sigma_position_m=(east, north, up),
        sigma_attitude_rad=(x, y, z),
    )
