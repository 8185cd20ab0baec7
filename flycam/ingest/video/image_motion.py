"""Motion between video frames, measured in the images and predicted from a flight log.

Measured: corners tracked from one reduced frame to the next, and the homography that fits most of them
(RANSAC): a similarity would be biased where the camera looks obliquely. Predicted: a ground point under the
centre of the first frame, and one beside it, projected into the second. Both are the shift of the frame's
centre (pixels of the full frame per second) and the turn (radians per second) of the line to a point beside
it.

Sources: Lucas and Kanade 1981, pyramids after Bouguet 2000; Fischler and Bolles 1981.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.geometry.interior import InteriorOrientation

Floats = NDArray[np.float64]
Grey = NDArray[np.uint8]

WIDTH_PX = 480
_MAX_CORNERS, _MIN_CORNERS = 220, 25
_CORNER_QUALITY, _CORNER_APART_PX = 0.01, 9
_WITHIN_PX = 1.0
_MIN_SHARE = 0.4
# Tolerance at the ends of a log that covers exactly its video: clocks are not known better.
_BEYOND_S = 0.02
_FLOW_STEP_S = 0.05
# Distance of the second point from the centre, as a share of the frame's width.
_BESIDE_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class ImageMotion:
    """Motion between two frames.

    Their times in seconds, shift of the centre (u, v) px/s and turn rad/s.
    """

    first_s: float
    second_s: float
    rate: tuple[float, float, float]


class ImageMotionEstimator:
    """Estimator of the motion between successive frames, fed in order of time.

    min_interval_s  frames closer in time than this to the last one measured are skipped
    """

    def __init__(self, min_interval_s: float = 0.1) -> None:
        self._least_s = min_interval_s
        self._grey: Grey | None = None
        self._time_s = -np.inf

    def add(self, time_s: float, pixels: NDArray[np.uint8]) -> ImageMotion | None:
        """Return the motion since the frame measured last.

        None for the first frame, and where nothing can be tracked.

        pixels  H×W×3 uint8
        """
        if time_s - self._time_s < self._least_s - 1e-6:
            return None
        grey, scale = convert_to_grey(pixels)
        before, then_s = self._grey, self._time_s
        self._grey, self._time_s = grey, time_s
        if before is None or before.shape != grey.shape:
            return None
        rate = estimate_centre_motion(before, grey)
        if rate is None:
            return None
        u, v, turn = rate
        elapsed = time_s - then_s
        return ImageMotion(then_s, time_s, (u / scale / elapsed, v / scale / elapsed, turn / elapsed))


def convert_to_grey(pixels: NDArray[np.uint8]) -> tuple[Grey, float]:
    """Return a frame H×W×3 in grey, at most WIDTH_PX wide, and its scale factor."""
    height, width = pixels.shape[:2]
    scale = min(1.0, WIDTH_PX / width)
    size = (round(width * scale), round(height * scale))
    # before the resize: one plane is reduced faster than three
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA) if scale < 1.0 else grey
    return np.asarray(small, np.uint8), scale


def estimate_centre_motion(first: Grey, second: Grey) -> tuple[float, float, float] | None:
    """Estimate shift of the centre (u, v) in pixels and turn in radians, or None."""
    corners = cv2.goodFeaturesToTrack(first, _MAX_CORNERS, _CORNER_QUALITY, _CORNER_APART_PX)
    if corners is None or len(corners) < _MIN_CORNERS:
        return None
    followed, there, _ = cv2.calcOpticalFlowPyrLK(first, second, corners, np.empty_like(corners))
    kept = there.ravel() == 1
    if kept.sum() < _MIN_CORNERS:
        return None
    matrix, inliers = cv2.findHomography(corners[kept, 0], followed[kept, 0], cv2.RANSAC, _WITHIN_PX)
    if matrix is None or inliers.mean() < _MIN_SHARE:
        return None
    height, width = first.shape
    middle = np.array([(width - 1) / 2.0, (height - 1) / 2.0])
    points = np.stack([middle, middle + np.array([_BESIDE_SHARE * width, 0.0])])
    shift, beside = cv2.perspectiveTransform(points[:, None], matrix)[:, 0] - points
    turn = np.arctan2(beside[1] - shift[1], _BESIDE_SHARE * width + beside[0] - shift[0])
    return float(shift[0]), float(shift[1]), float(turn)


@dataclass(frozen=True, kw_only=True, slots=True)
class LoggedPoses:
    """Logged poses at N moments, for predicting image motion.

    time_s     N rising; centre_m N×3 (any level grid, heights up); rotation N×3×3 (world to camera)
    above_m    N, height above the ground below
    max_gap_s  longest gap across which a pose is interpolated
    """

    time_s: Floats
    centre_m: Floats
    rotation: Floats
    above_m: Floats
    max_gap_s: float

    def extended_with(self, later: LoggedPoses) -> LoggedPoses:
        """Return these poses followed by later ones."""
        return LoggedPoses(
            time_s=np.concatenate([self.time_s, later.time_s]),
            centre_m=np.concatenate([self.centre_m, later.centre_m]),
            rotation=np.concatenate([self.rotation, later.rotation]),
            above_m=np.concatenate([self.above_m, later.above_m]),
            max_gap_s=self.max_gap_s,
        )

    def interpolate(self, time_s: Floats) -> tuple[Floats, Floats, Floats]:
        """Interpolate centres M×3, rotations M×3×3 and heights above ground M at M times.

        NaN where the log is silent. Rotations are interpolated entry by entry: between samples a tenth of a
        second apart that is exact to the square of the turn over eight.
        """
        if len(self.time_s) < 2:
            unknown = np.full((len(time_s), 13), np.nan)
            return unknown[:, :3], unknown[:, 3:12].reshape(-1, 3, 3), unknown[:, 12]
        inside = np.clip(time_s, self.time_s[0], self.time_s[-1])
        time_s = np.where(np.abs(inside - time_s) <= _BEYOND_S, inside, time_s)
        # only the rows needed: a log of an hour has a hundred thousand, and this runs for every frame
        right = np.clip(np.searchsorted(self.time_s, time_s), 1, len(self.time_s) - 1)
        left = right - 1
        step = self.time_s[right] - self.time_s[left]
        share = (time_s - self.time_s[left]) / step
        share[~((share >= 0.0) & (share <= 1.0)) | (step > self.max_gap_s)] = np.nan

        def between(values: Floats) -> Floats:
            first = values[left]
            found: Floats = first + share.reshape(-1, *[1] * (values.ndim - 1)) * (values[right] - first)
            return found

        return between(self.centre_m), between(self.rotation), between(self.above_m)


def predict_rates(
    poses: LoggedPoses, interior: InteriorOrientation, first_s: Floats, second_s: Floats
) -> Floats:
    """Predict the motions between M pairs of moments from logged poses.

    M×3 as `ImageMotion.rate`, NaN where the log is silent. The ground is taken as level at the height below
    the first moment, the lens as free of distortion.
    """
    centre, rotation, above = poses.interpolate(first_s)
    later_centre, later_rotation, _ = poses.interpolate(second_s)
    (width, height), (fx, fy), (cx, cy) = (
        interior.image_size_px,
        interior.focal_length_px,
        interior.principal_point_px,
    )
    middle = np.array([(width - 1) / 2.0, (height - 1) / 2.0])
    rates = np.full((len(first_s), 3), np.nan)
    seen = []
    for point in (middle, middle + np.array([_BESIDE_SHARE * width, 0.0])):
        ray = np.array([(point[0] - cx) / fx, (point[1] - cy) / fy, 1.0])
        world = np.einsum("nji,j->ni", rotation, ray)
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = np.where(world[:, 2] < 0.0, above / -world[:, 2], np.nan)
            ground = centre + reach[:, None] * world
            x, y, z = np.einsum("nij,nj->ni", later_rotation, ground - later_centre).T
            seen.append(np.stack([fx * x / z + cx, fy * y / z + cy], axis=1) - point)
    elapsed = second_s - first_s
    rates[:, :2] = seen[0] / elapsed[:, None]
    beside = seen[1] - seen[0]
    turn = np.arctan2(beside[:, 1], _BESIDE_SHARE * width + beside[:, 0])
    rates[:, 2] = turn / elapsed
    return rates


def predict_flow(
    poses: LoggedPoses, interior: InteriorOrientation, lag_s: float
) -> tuple[Floats, Floats, Floats]:
    """Predict image motion of a camera that follows its logged angles `lag_s` late.

    Returns beginnings and ends (M, the log's seconds) of short intervals, and M×5 rates: the shift of the
    frame's centre (u, v) px/s due to translation, that due to the camera's rotation, and its turn rad/s. NaN
    where the log is silent.

    Between samples the track is smooth (cubic Hermite, tangents of the parabola through three samples), so
    that a log of one sample a second still shows its turns.
    """
    time_s = np.arange(poses.time_s[0], poses.time_s[-1], _FLOW_STEP_S)
    values = np.column_stack([poses.centre_m, poses.above_m])
    track = _smooth(poses.time_s, values, time_s, poses.max_gap_s)
    turned = _smooth(poses.time_s, poses.rotation.reshape(-1, 9), time_s - lag_s, poses.max_gap_s)
    smooth = LoggedPoses(
        time_s=time_s,
        centre_m=track[:, :3],
        rotation=turned.reshape(-1, 3, 3),
        above_m=track[:, 3],
        max_gap_s=poses.max_gap_s,
    )
    still = replace(smooth, centre_m=np.zeros_like(smooth.centre_m))
    first, second = time_s[:-1], time_s[1:]
    rates, swung = (predict_rates(one, interior, first, second) for one in (smooth, still))
    # an unknown centre must not count as one that stands still
    swung = np.where(np.isfinite(rates), swung, np.nan)
    return first, second, np.column_stack([rates[:, :2] - swung[:, :2], swung[:, :2], rates[:, 2]])


def _smooth(time_s: Floats, values: Floats, at_s: Floats, max_gap_s: float) -> Floats:
    """Interpolate values N×K at rising times N to M times: M×K.

    NaN beyond the ends and across gaps.
    """
    step = np.diff(time_s)[:, None]
    slope = np.diff(values, axis=0) / step
    inner = (slope[:-1] * step[1:] + slope[1:] * step[:-1]) / (step[1:] + step[:-1])
    tangent = np.concatenate([slope[:1], inner, slope[-1:]])
    left = np.clip(np.searchsorted(time_s, at_s, side="right") - 1, 0, len(step) - 1)
    long, share = step[left], (at_s - time_s[left])[:, None] / step[left]
    rest = 1.0 - share
    found = (
        values[left] * (1.0 + 2.0 * share) * rest**2
        + values[left + 1] * share**2 * (3.0 - 2.0 * share)
        + long * share * rest * (tangent[left] * rest - tangent[left + 1] * share)
    )
    silent = (share < 0.0) | (share > 1.0) | (long > max_gap_s)
    return np.where(silent, np.nan, found)
