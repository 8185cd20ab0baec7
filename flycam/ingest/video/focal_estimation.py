"""Focal length of a video with an unknown camera, from image motion against track and terrain.

The image of a level camera moves by focal length × (speed / height + turn): the prediction for a camera of
known focal length, times the ratio of the two. That ratio is estimated in intervals of a few seconds; their
spread gives its uncertainty, to which the uncertainty of the height above ground is added, because it scales
the ratio in all intervals alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flycam.geodata.crs import to_lonlat
from flycam.geometry.interior import InteriorOrientation, LensModel
from flycam.ingest.preflight.diagnosis import TerrainAt
from flycam.ingest.video.clock_offset import ClockOffset
from flycam.ingest.video.image_motion import ImageMotion, LoggedPoses, predict_rates

Floats = NDArray[np.float64]

CALIBRATION_ID = "estimated:motion"
MAX_SIGMA = 0.08
"""Largest relative sigma of a focal length with which frames can be orthorectified."""

# Narrower than video cameras are, because the clock search allows gains only slightly above one.
_GUESS_DEG = 35.0
_STRETCHES, _MIN_STRETCHES = 12, 4
_MIN_MOTIONS = 6  # per interval
_MIN_EXPLAINED, _MIN_POWER = 0.6, 0.02
_OUTLIER = 4.0
_MIN_FIELD_OF_VIEW_DEG, _MAX_FIELD_OF_VIEW_DEG = 8.0, 140.0
_DISTORTION_SIGMA = 0.01  # the lens is modelled without distortion
# Assumed height of trees and houses, which are seen instead of the ground.
_CROWNS_M = 4.0
# Sample positions across a usual view, as shares of the height above ground.
_VIEW = (-0.3, 0.0, 0.3)


@dataclass(frozen=True, slots=True)
class FocalEstimate:
    """Estimated focal length.

    focal_px, its relative 1-sigma, and the share of the image motion that the log explains with it.
    """

    focal_px: float
    sigma_rel: float
    explained: float

    def hfov_deg(self, width_px: int) -> float:
        """Return the horizontal field of view, degrees."""
        return float(np.degrees(2.0 * np.arctan(width_px / (2.0 * self.focal_px))))


def make_pinhole(size_px: tuple[int, int], focal_px: float, sigma_rel: float = 0.0) -> InteriorOrientation:
    """Return a camera without distortion for frames of a size (width, height)."""
    width, height = size_px
    return InteriorOrientation(
        model=LensModel.PINHOLE,
        image_size_px=size_px,
        focal_length_px=(focal_px, focal_px),
        principal_point_px=((width - 1) / 2.0, (height - 1) / 2.0),
        calibration_id=CALIBRATION_ID,
        sigma_focal_rel=sigma_rel,
    )


def guess_pinhole(size_px: tuple[int, int]) -> InteriorOrientation:
    """Return a provisional camera for the clock search and for measuring ratios."""
    return make_pinhole(size_px, size_px[0] / (2.0 * np.tan(np.radians(_GUESS_DEG) / 2.0)))


def with_view_heights(poses: LoggedPoses, work_crs: str, terrain_at: TerrainAt) -> LoggedPoses:
    """Return the poses with heights above the ground in view, not the ground below.

    Image motion is the mean over the view, and ground at half the distance moves twice as fast.
    """
    places = poses.centre_m[:, :2]
    nearness = []
    for east in _VIEW:
        for north in _VIEW:
            there = places + np.array([east, north]) * poses.above_m[:, None]
            ground, _ = terrain_at(to_lonlat(there, work_crs))
            nearness.append(1.0 / (poses.centre_m[:, 2] - ground))
    above = 1.0 / np.mean(nearness, axis=0)
    return replace(poses, above_m=np.where(np.isfinite(above) & (above > 0.0), above, poses.above_m))


def estimate_focal_length(
    motions: Sequence[ImageMotion],
    poses: LoggedPoses,
    size_px: tuple[int, int],
    clock: ClockOffset,
    sigma_height_m: float,
) -> FocalEstimate | None:
    """Estimate the focal length of frames of a size (width, height).

    None where the motion does not determine it.

    motions         in order of time, video time; poses in the log's time, `clock` between them
    sigma_height_m  of the poses' heights above ground
    """
    guess = guess_pinhole(size_px)
    first, second = (np.array([getattr(m, name) for m in motions]) for name in ("first_s", "second_s"))
    told = predict_rates(poses, guess, clock.to_log_s(first), clock.to_log_s(second))[:, :2]
    seen = np.array([m.rate for m in motions]).reshape(-1, 3)[:, :2]
    known = np.isfinite(told).all(axis=1) & np.isfinite(seen).all(axis=1)
    seen, told, first = seen[known], told[known], first[known]
    if len(seen) < _MIN_MOTIONS * _MIN_STRETCHES:
        return None
    ratios, weights = _ratios(seen, told, first)
    if len(ratios) < _MIN_STRETCHES:
        return None
    middle = float(np.median(ratios))
    spread = 1.4826 * float(np.median(np.abs(ratios - middle)))
    kept = np.abs(ratios - middle) <= _OUTLIER * max(spread, 1e-6)
    ratio = float(np.average(ratios[kept], weights=weights[kept]))
    explained = 1.0 - float(((seen - ratio * told) ** 2).sum() / (seen**2).sum())
    if ratio <= 0.0 or explained < _MIN_EXPLAINED:
        return None
    above = float(np.nanmedian(poses.above_m))
    apart = float(ratios[kept].std(ddof=1)) / ratio / np.sqrt(kept.sum())
    height = float(np.hypot(sigma_height_m, _CROWNS_M)) / above
    sigma = float(np.sqrt(apart**2 + height**2 + _DISTORTION_SIGMA**2))
    found = FocalEstimate(float(ratio * guess.focal_length_px[0]), sigma, explained)
    return found if _MIN_FIELD_OF_VIEW_DEG < found.hfov_deg(size_px[0]) < _MAX_FIELD_OF_VIEW_DEG else None


def _ratios(seen: Floats, logged: Floats, at_s: Floats) -> tuple[Floats, Floats]:
    """Return measured over logged motion of each interval, with weights.

    Least squares; a weight is the power of the logged motion.
    """
    edges = np.linspace(at_s[0], at_s[-1] + 1e-6, _STRETCHES + 1)
    stretch = np.searchsorted(edges, at_s, side="right") - 1
    both = np.bincount(stretch, (seen * logged).sum(axis=1), _STRETCHES)
    power = np.bincount(stretch, (logged**2).sum(axis=1), _STRETCHES)
    enough = np.bincount(stretch, minlength=_STRETCHES) >= _MIN_MOTIONS
    used = enough & (power > _MIN_POWER * power.max())  # a hover carries no information
    weights: Floats = power[used].astype(np.float64)
    return both[used] / weights, weights
