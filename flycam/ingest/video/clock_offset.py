"""Clock offset between a video and its flight log, from image motion.

Image motion is measured and compared with the logged track; turns alone reveal the log of another flight.

A gimbal follows the angles in its log with a lag that no log states. Turns of the image therefore show the
clock offset less that lag; the offset itself shows in the flight path as the camera sees it: in a turn that
is not yet flown, or already flown, the ground moves obliquely. Both are estimated together, the lag as a
nuisance parameter: every offset within reach is tried with a usual lag, then offsets and lags around the
likeliest.

At each offset the logged motion is compared with the measured one, both on one time lattice and within one
frequency band: motion too fast for the log's sampling rate, or so slow that relief and sensor drift cause it,
carries no information. The camera's heading between samples is the log's, corrected by the measured turns.
The gains of translation (height above ground) and of turns about level axes (focal length) are left free, and
so are a small heading error and a small lean of the camera, which in a turn move the image as a wrong lag
does. The residuals give each pair of offset and lag its likelihood, with as many independent motions as the
residuals' correlation leaves; the weighted spread of all offsets is the sigma. On a straight line at constant
speed every offset is equally likely, and the sigma shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.geometry.camera import InteriorOrientation

# -- Motion between video frames, measured and predicted -------------------------------------------
#
# Measured: corners tracked from one reduced frame to the next, and the homography that fits most of them
# (RANSAC): a similarity would be biased where the camera looks obliquely. Predicted: a ground point under the
# centre of the first frame, and one beside it, projected into the second. Both are the shift of the frame's
# centre (pixels of the full frame per second) and the turn (radians per second) of the line to a point beside
# it.
#
# Sources: Lucas and Kanade 1981, pyramids after Bouguet 2000; Fischler and Bolles 1981.


Floats = NDArray[np.float64]
Grey = NDArray[np.uint8]

WIDTH_PX = 480
_MAX_CORNERS, _MIN_CORNERS = 220, 25
_CORNER_QUALITY, _CORNER_APART_PX = 0.01, 9
_WITHIN_PX = 1.0
_MIN_INLIER_SHARE = 0.4
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
    tracked = there.ravel() == 1
    if tracked.sum() < _MIN_CORNERS:
        return None
    matrix, inliers = cv2.findHomography(corners[tracked, 0], followed[tracked, 0], cv2.RANSAC, _WITHIN_PX)
    if matrix is None or inliers.mean() < _MIN_INLIER_SHARE:
        return None
    height, width = first.shape
    middle = np.array([(width - 1) / 2.0, (height - 1) / 2.0])
    points = np.stack([middle, middle + np.array([_BESIDE_SHARE * width, 0.0])])
    shift, side_shift = cv2.perspectiveTransform(points[:, None], matrix)[:, 0] - points
    turn = np.arctan2(side_shift[1] - shift[1], _BESIDE_SHARE * width + side_shift[0] - shift[0])
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
    side_shift = seen[1] - seen[0]
    turn = np.arctan2(side_shift[:, 1], _BESIDE_SHARE * width + side_shift[:, 0])
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


# -- Clock offset with its sigma, by the likelihood of motion residuals ----------------------------

Shifts = NDArray[np.complex128]
Series = NDArray[Any]  # floats, or shifts as u + iv
Seconds = TypeVar("Seconds", float, Floats)

REACH_S = 5.0
KNOWN_SIGMA_S = 0.2
"""Largest sigma with which a clock offset can be used to orthorectify frames."""

_COARSE_S, _NEAR_S, _FINE_S = 0.1, 0.05, 0.01
_NEAR_REACH_S, _FINE_REACH_S = 0.3, 0.06
_LAGS_S, _USUAL_LAG = np.arange(-0.1, 0.501, 0.05), 6
# Prior share of logs with the gimbal's measured angles, without lag; the others hold commanded angles.
_MEASURED = 0.5
_LAG_CHANCE = np.where(np.abs(_LAGS_S) < 1e-9, _MEASURED, (1.0 - _MEASURED) / (len(_LAGS_S) - 1))
_STEP_S = 0.1
# Fast end of the band: sigma of a Gaussian, in seconds and in log steps.
_MIN_SIGMAS_S, _LOG_STEPS = 0.25, 0.5
_SLOW_S = 2.5
_MIN_MOTIONS = 30
_MIN_SHARE, _MIN_WEIGHT = 0.6, 0.5
_MAX_GAIN = 1.3
# 1-sigma of a gimbal's heading and tilt.
_HEADING_RAD, _LEAN_RAD = np.radians(1.5), np.radians(0.5)
_OUTLIER, _NEIGHBOURS = 6.0, 5
# Above this sigma the separation of offset and lag rests on the assumed lags, not on the images.
_SEPARABLE_S = 0.1
# Exposure and readout time of a frame, and the rounding of log times.
_MIN_SIGMA_S = 0.005
_MAX_DRIFT, _DRIFTS = 1e-3, 41
_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """Clock offset of a video against its log, with drift and sigmas.

    offset_s              telemetry stamp minus video time at `at_s` (video time)
    drift                 change of the offset, seconds per second
    sigma_s, drift_sigma  1-sigma; where sigma_s exceeds KNOWN_SIGMA_S the offset is not known
    motions               number of measured motions on which it rests
    """

    offset_s: float
    sigma_s: float
    at_s: float = 0.0
    drift: float = 0.0
    drift_sigma: float = float("inf")
    motions: int = 0

    @property
    def is_known(self) -> bool:
        return self.sigma_s <= KNOWN_SIGMA_S

    def to_log_s(self, video_s: Seconds) -> Seconds:
        """Convert video times to the log's clock."""
        return video_s + self.offset_s + self.drift * (video_s - self.at_s)


def make_unknown_offset(around_s: float = 0.0, reach_s: float = REACH_S) -> ClockOffset:
    """Return an unknown offset, uniform within `reach_s` of `around_s`."""
    return ClockOffset(around_s, float(reach_s / np.sqrt(3.0)))


def estimate_offset(
    motions: Sequence[ImageMotion],
    poses: LoggedPoses,
    interior: InteriorOrientation,
    prior: ClockOffset | None = None,
    reach_s: float = REACH_S,
) -> ClockOffset:
    """Estimate the offset within `reach_s` of a prior, with its sigma and drift.

    Returns the prior itself where the motions determine less.

    motions  in order of time, video time; poses in the log's time
    prior    None: within reach of 0
    """
    prior = prior or make_unknown_offset(reach_s=reach_s)
    if len(motions) < _MIN_MOTIONS or len(poses.time_s) < 2:
        return prior
    around_s = prior.offset_s
    fit = _Fit(motions, poses, interior)
    coarse = around_s + np.arange(-reach_s, reach_s + _COARSE_S / 2.0, _COARSE_S)
    best = fit.most_likely(coarse, _USUAL_LAG)
    if best is None:
        return prior
    # Turns show offset minus lag: that difference is sharp, so it is searched for finely.
    turned = best - _LAGS_S[_USUAL_LAG]
    turned, lag = fit.nearest(turned + np.arange(-_NEAR_REACH_S, _NEAR_REACH_S + 1e-9, _NEAR_S))
    fit.weigh(turned + _LAGS_S[lag], lag)
    turned, lag = fit.nearest(turned + np.arange(-_FINE_REACH_S, _FINE_REACH_S + 1e-9, _FINE_S))
    fit.weigh(turned + _LAGS_S[lag], lag)
    fine = turned + np.arange(-_FINE_REACH_S, _FINE_REACH_S + 1e-9, _FINE_S)
    near = [(fine + _LAGS_S[k], fit.log_likelihood(fine + _LAGS_S[k], k)) for k in range(len(_LAGS_S))]
    far = coarse[np.abs(coarse - best) > _NEAR_REACH_S]
    widths = np.repeat(_FINE_S * _LAG_CHANCE, len(fine))
    offset, sigma = _mean_and_spread(
        np.concatenate([*(one for one, _ in near), far]),
        np.concatenate([*(one for _, one in near), fit.log_likelihood(far, _USUAL_LAG)]),
        np.concatenate([widths, np.full(len(far), _COARSE_S)]),
    )
    if sigma > _SEPARABLE_S:
        sigma *= 2.0
    if sigma >= prior.sigma_s:
        return prior
    found = ClockOffset(offset, max(sigma, _MIN_SIGMA_S), fit.middle_s, motions=len(motions))
    return _with_drift(found, fit, lag) if found.is_known else found


class _Fit:
    """Measured against logged motions, on a lattice of N times `_STEP_S` apart."""

    def __init__(
        self, motions: Sequence[ImageMotion], poses: LoggedPoses, interior: InteriorOrientation
    ) -> None:
        first, second = (np.array([getattr(m, name) for m in motions]) for name in ("first_s", "second_s"))
        rate = np.array([m.rate for m in motions])
        used = ~_strangers(rate)
        self._begin_s = np.arange(first[0], second[-1] - _STEP_S + 1e-6, _STEP_S)
        self.middle_s = float(self._begin_s.mean()) + _STEP_S / 2.0
        seen = _Grown(first[used], second[used], rate[used])
        self._seen, self._weight = seen.between(self._begin_s, self._begin_s + _STEP_S)
        step_s = float(np.median(np.diff(poses.time_s)))
        fast_s = max(_MIN_SIGMAS_S, _LOG_STEPS * step_s)
        self._least_correlated = 2.0 * np.sqrt(np.pi) * fast_s / _STEP_S
        self._band = _Band(len(self._begin_s), fast_s / _STEP_S, _SLOW_S / _STEP_S)
        leans_px = interior.focal_length_px[0] * _LEAN_RAD
        self._sureness = np.array([0.0, 0.0, _HEADING_RAD, leans_px, leans_px])
        self._sureness[2:] **= -2.0
        self._logged = [_Grown(*predict_flow(poses, interior, lag)) for lag in _LAGS_S]
        self._scale = np.ones(3)
        self._together = np.full(3, self._least_correlated)

    def log_likelihood(self, offsets: Floats, lag: int, drift: float = 0.0) -> Floats:
        """Return the log-likelihood of K offsets, but for a constant.

        The offsets hold at `middle_s`, with the lag of index `lag` and a drift; -inf where the log does not
        reach.
        """
        parts = [self._left(some, lag, drift) for some in _split(offsets)]
        left, known, assumed = (np.concatenate(one) for one in zip(*parts, strict=True))
        count = known.sum(axis=1)
        power = (left**2).sum(axis=1) / np.maximum(count, 1)[:, None]
        found = -0.5 * (count[:, None] / self._together * np.log(np.maximum(power, 1e-18))).sum(axis=1)
        found -= assumed
        usable = self._weight.sum() * _MIN_SHARE
        return np.where(count >= usable, found, -np.inf)

    def most_likely(self, offsets: Floats, lag: int) -> float | None:
        """Return the likeliest offset and scale the residuals by those found there.

        None where the log reaches none of the offsets.
        """
        best = None
        for _ in range(2):
            likelihood = self.log_likelihood(offsets, lag)
            if not np.isfinite(likelihood).any():
                return None
            best = float(offsets[np.argmax(likelihood)])
            self.weigh(best, lag)
        return best

    def nearest(self, turned: Floats) -> tuple[float, int]:
        """Return the likeliest pair (offset minus lag, index of the lag)."""
        likelihood = np.array([self.log_likelihood(turned + lag, k) for k, lag in enumerate(_LAGS_S)])
        lag, at = np.unravel_index(int(np.argmax(likelihood)), likelihood.shape)
        return float(turned[at]), int(lag)

    def weigh(self, offset: float, lag: int) -> None:
        """Take each component's scale and correlation from the residuals at one offset."""
        left, known, _ = self._left(np.array([offset]), lag)
        left = left[0][known[0]]
        self._scale = np.maximum(left.std(axis=0), 1e-9)
        self._together = np.array([max(_correlated(one), self._least_correlated) for one in left.T])

    def _left(
        self, offsets: Floats, lag: int, drift: float = 0.0
    ) -> tuple[Floats, NDArray[np.bool_], Floats]:
        """Return the residuals that the log does not explain at K offsets.

        K×N×3 (turn; shift u, v of the image centre); a mask of where they are known, K×N; and minus the
        log-likelihood of what was assumed, K.
        """
        shift = offsets[:, None] + drift * (self._begin_s - self.middle_s)
        logged, covered = self._logged[lag].between(self._begin_s + shift, self._begin_s + _STEP_S + shift)
        weight = np.where(covered > 0.99, self._weight, 0.0)
        flown, swung = logged[..., 0] + 1j * logged[..., 1], logged[..., 2] + 1j * logged[..., 3]
        turn = self._seen[:, 2] - logged[..., 4]
        heading = np.cumsum(turn * weight, axis=1) * _STEP_S
        band = self._band.of(weight)
        heading = band.quick(heading - 0.5 * _STEP_S * turn * weight)
        flown = flown * np.exp(1j * np.clip(heading, -1.0, 1.0))
        seen, flown, swung = (
            band.within(one) for one in (self._seen[:, 0] + 1j * self._seen[:, 1], flown, swung)
        )
        seen_turn, told_turn = (band.within(one) for one in (self._seen[:, 2], logged[..., 4]))
        shift_left, assumed = self._unexplained(seen, flown, swung, told_turn)
        power = np.maximum((told_turn**2).sum(axis=1), 1e-12)
        gain = np.clip((seen_turn * told_turn).sum(axis=1) / power, 0.0, _MAX_GAIN)
        turn_left = seen_turn - gain[:, None] * told_turn
        return np.stack([turn_left, shift_left.real, shift_left.imag], axis=-1), band.known, assumed

    def _unexplained(self, seen: Shifts, flown: Shifts, swung: Shifts, turn: Floats) -> tuple[Shifts, Floats]:
        """Return the part of shifts K×N (u + iv) that the logged motion does not explain.

        Explained are translation, swinging about level axes and a turn about an axis that leans from the
        logged one: least squares over both components, weighted by their scale. Also returns minus the
        log-likelihood of what had to be assumed for it, K.
        """
        columns = [flown, swung, 1j * flown, turn + 0j, 1j * turn]
        design, wanted = _stacked(np.stack(columns, axis=-1), self._scale), _stacked(seen, self._scale)
        normal = np.matmul(design.transpose(0, 2, 1), design) / self._least_correlated
        normal += np.diag(self._sureness)
        normal += np.eye(5) * (1e-9 * np.einsum("kii->k", normal) + 1e-12)[:, None, None]  # never singular
        right = np.einsum("kij,ki->kj", design, wanted) / self._least_correlated
        gains = np.linalg.solve(normal, right[..., None])[..., 0]
        gains[:, :2] = np.clip(gains[:, :2], 0.0, _MAX_GAIN)
        left: Shifts = seen - sum(gains[:, [k]] * one for k, one in enumerate(columns))
        return left, 0.5 * (gains**2 * self._sureness).sum(axis=1)


class _Grown:
    """Cumulative rates of N time intervals, for mean rates between any two times."""

    def __init__(self, first_s: Floats, second_s: Floats, rate: Floats) -> None:
        known: NDArray[np.bool_] = np.asarray(np.isfinite(rate).all(axis=1))
        length = second_s - first_s
        # Between two intervals that do not join nothing is known.
        self._edges_s = np.stack([first_s, second_s], axis=1).ravel()
        grows = np.column_stack([np.where(known[:, None], rate, 0.0), known]) * length[:, None]
        self._sums = np.cumsum(np.stack([np.zeros_like(grows), grows], axis=1).reshape(-1, grows.shape[1]), 0)

    def between(self, first_s: Floats, second_s: Floats) -> tuple[Floats, Floats]:
        """Return mean rates between times (any shape, one more axis) and the known share."""
        grown = np.stack(
            [
                np.interp(second_s, self._edges_s, column) - np.interp(first_s, self._edges_s, column)
                for column in self._sums.T
            ],
            axis=-1,
        )
        known = grown[..., -1]
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = np.where(known[..., None] > 1e-9, grown[..., :-1] / known[..., None], 0.0)
        return rate, np.clip(known / (second_s - first_s), 0.0, 1.0)


class _Band:
    """Gaussians of two widths (lattice steps) over N samples, as weighted means."""

    def __init__(self, length: int, fast: float, slow: float) -> None:
        self._size = 1 << int(np.ceil(np.log2(2 * length)))
        at = np.minimum(np.arange(self._size), self._size - np.arange(self._size))
        self._fast, self._slow = (np.fft.fft(np.exp(-0.5 * (at / width) ** 2)) for width in (fast, slow))
        self._full = float(np.exp(-0.5 * (at / fast) ** 2).sum())
        self._length = length
        self._weight = self._of_fast = self._of_slow = np.empty(0)
        self.known = np.empty(0, dtype=bool)

    def of(self, weight: Floats) -> _Band:
        """Set the weights K×N of the values, and return self."""
        self._weight = weight
        self._of_fast, self._of_slow = (
            np.maximum(self._smooth(weight, kernel).real, 1e-9) for kernel in (self._fast, self._slow)
        )
        self.known = self._of_fast > _MIN_WEIGHT * self._full
        return self

    def quick(self, values: Floats) -> Floats:
        """Return values K×N minus their slow part."""
        slow = self._smooth(values * self._weight, self._slow).real
        found: Floats = values - slow / self._of_slow
        return found

    def within(self, values: Series) -> Series:
        """Return the part of values (K×N or N) between the two widths, about its mean.

        0 where it is not known.
        """
        weighed = values * self._weight
        part: Series = self._smooth(weighed, self._fast) / self._of_fast
        part -= self._smooth(weighed, self._slow) / self._of_slow
        if not np.iscomplexobj(values):
            part = part.real
        count = np.maximum(self.known.sum(axis=1), 1)
        mean = (part * self.known).sum(axis=1) / count
        found: Series = (part - mean[:, None]) * self.known
        return found

    def _smooth(self, values: Series, kernel: Shifts) -> Shifts:
        spectrum = np.fft.fft(values, self._size, axis=-1) * kernel
        found: Shifts = np.fft.ifft(spectrum, axis=-1)[..., : self._length]
        return found


def _stacked(shift: Shifts, scale: Floats) -> Floats:
    """Return complex K×N… as real K×2N…, each component over its residual scale."""
    return np.concatenate([shift.real / scale[1], shift.imag / scale[2]], axis=1)


def _split(offsets: Floats) -> list[Floats]:
    return np.split(offsets, range(_AT_ONCE, len(offsets), _AT_ONCE))


def _strangers(rate: Floats) -> NDArray[np.bool_]:
    """Return which of N motions are outliers among their neighbours (Hampel 1974).

    Only isolated ones: in a turn the whole neighbourhood stands out, and that is the signal.
    """
    padded = np.pad(rate, ((_NEIGHBOURS, _NEIGHBOURS), (0, 0)), mode="edge")
    window = np.lib.stride_tricks.sliding_window_view(padded, 2 * _NEIGHBOURS + 1, axis=0)
    deviation = np.abs(rate - np.median(window, axis=-1))
    spread = 1.4826 * np.median(deviation, axis=0)
    off = (deviation > _OUTLIER * np.maximum(spread, 1e-6)).any(axis=1)
    found: NDArray[np.bool_] = off & ~np.roll(off, 1) & ~np.roll(off, -1)
    return found


def _with_drift(found: ClockOffset, fit: _Fit, lag: int) -> ClockOffset:
    """Add the drift where it is three sigmas or more."""
    drifts = np.linspace(-_MAX_DRIFT, _MAX_DRIFT, _DRIFTS)
    offset = np.array([found.offset_s])
    likelihood = np.array([fit.log_likelihood(offset, lag, drift)[0] for drift in drifts])
    drift, sigma = _mean_and_spread(drifts, likelihood, np.ones(_DRIFTS))
    sigma = max(sigma, float(drifts[1] - drifts[0]))
    return replace(found, drift=drift if abs(drift) > 3.0 * sigma else 0.0, drift_sigma=sigma)


def _mean_and_spread(values: Floats, log_likelihood: Floats, widths: Floats) -> tuple[float, float]:
    """Return mean and standard deviation, weighted by likelihood times width."""
    chance = widths * np.exp(log_likelihood - log_likelihood.max())
    chance /= chance.sum()
    mean = float(chance @ values)
    return mean, float(np.sqrt(chance @ (values - mean) ** 2))


def _correlated(values: Floats) -> float:
    """Return the integrated autocorrelation of a series, at least 1 (Sokal 1997).

    It is the number of neighbours that count as one independent sample.
    """
    centred = values - values.mean()
    length = len(centred)
    spectrum = np.fft.rfft(centred, 2 * length)
    correlation = np.fft.irfft(spectrum * spectrum.conj())[:length]
    if correlation[0] <= 0.0:
        return float(length)
    correlation /= correlation[0]
    end = int(np.argmax(correlation < 0.0)) or length
    return float(max(1.0, 2.0 * correlation[:end].sum() - 1.0))


# -- Turns of a video and of its log, compared to detect another flight's log ----------------------
#
# Only turns are compared: unlike shifts they need no height, no focal length and no scale. Video and log are
# cut into windows; windows in which either turns are counted, and among them those in which the two turn by
# different angles. Of all clock offsets within reach the one with the smallest difference counts, so an
# unknown or wrong clock offset is never taken for the log of another flight.


ENOUGH_TURNS = 4
"""Windows with a turn; fewer are no evidence."""

_WINDOW_S, _LAG_S, _LOG_STEP_S = 2.0, 0.25, 0.1
_MIN_TURN_RAD = np.radians(12.0)
# Share of the larger turn: a gimbal lags behind its log, and a log may have one sample a second.
_DIFFERING_SHARE = 0.6
# On simulated flights own logs are never contradicted, other flights' in 72 to 74 of 90 cases (one minute).
_MAX_DIFFERING_SHARE = 0.5
# Measured share of a window; share of all windows, and of those that turn.
_MIN_SEEN, _MIN_WINDOWS = 0.8, 0.6
_LAGS_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class TurnComparison:
    """Result of a comparison of turns.

    count      windows in which video or log turns
    differing  those of them in which they turn differently
    """

    count: int = 0
    differing: int = 0

    @property
    def is_enough(self) -> bool:
        """True if there were enough turns to draw a conclusion."""
        return self.count >= ENOUGH_TURNS

    @property
    def is_contradiction(self) -> bool:
        """True if video and log cannot belong to one flight."""
        return self.is_enough and self.differing > _MAX_DIFFERING_SHARE * self.count


def compare_turns(
    motions: Sequence[ImageMotion],
    logged: LoggedPoses,
    interior: InteriorOrientation,
    offset_s: float,
    reach_s: float,
) -> TurnComparison:
    """Compare the turns of a video with those of its log, at the best clock offset.

    N motions in order, video seconds. Of the offsets (log minus video) within `reach_s` of `offset_s` at
    which the log covers most of the video, and of its turns, the one with the smallest difference is used. No
    turns where either is silent, or there is no such offset.
    """
    begins, seen = _measured_turns(motions)
    if not len(begins) or len(logged.time_s) < 2:
        return TurnComparison()
    time_s, turned, known = _logged_turns(logged, interior)
    turned_here = np.abs(seen) >= _MIN_TURN_RAD
    best = TurnComparison()
    least = np.inf
    lags = offset_s + np.arange(-reach_s, reach_s + _LAG_S / 2.0, _LAG_S)
    for some in np.split(lags, range(_LAGS_AT_ONCE, len(lags), _LAGS_AT_ONCE)):
        first = begins[None, :] + some[:, None]
        logged_rad = _between(first, time_s, turned)
        covered = _between(first, time_s, known) > _MIN_SEEN * _WINDOW_S
        most = np.maximum(np.abs(logged_rad), np.abs(seen))
        turns = covered & (most >= _MIN_TURN_RAD)
        differing = turns & (np.abs(logged_rad - seen) > np.maximum(_MIN_TURN_RAD, _DIFFERING_SHARE * most))
        share = differing.sum(axis=1) / np.maximum(turns.sum(axis=1), 1)
        # a log that is silent where the video turns would agree with any
        for windows in (np.ones_like(turned_here), turned_here):
            share[covered[:, windows].sum(axis=1) < _MIN_WINDOWS * windows.sum()] = np.inf
        at = int(np.argmin(share))
        if share[at] < least:
            least, best = share[at], TurnComparison(int(turns[at].sum()), int(differing[at].sum()))
    return best


def _measured_turns(motions: Sequence[ImageMotion]) -> tuple[Floats, Floats]:
    """Return beginnings (video s) of the measured windows and the turn in each, rad."""
    if not motions:
        return np.empty(0), np.empty(0)
    first, second = (np.array([getattr(m, name) for m in motions]) for name in ("first_s", "second_s"))
    rate = np.array([m.rate[2] for m in motions])
    # between two motions that do not join nothing is known
    edges = np.stack([first, second], axis=1).ravel()
    turned = np.cumsum(np.stack([np.zeros_like(rate), rate * (second - first)], axis=1).ravel())
    known = np.cumsum(np.stack([np.zeros_like(rate), second - first], axis=1).ravel())
    begins = np.arange(first[0], second[-1] - _WINDOW_S + 1e-6, _WINDOW_S)
    measured = _between(begins, edges, known) > _MIN_SEEN * _WINDOW_S
    return begins[measured], _between(begins, edges, turned)[measured]


def _logged_turns(poses: LoggedPoses, interior: InteriorOrientation) -> tuple[Floats, Floats, Floats]:
    """Return log times (s), the turn up to each (rad), and its known duration (s)."""
    time_s = np.arange(poses.time_s[0], poses.time_s[-1] + _LOG_STEP_S / 2.0, _LOG_STEP_S)
    rate = predict_rates(poses, interior, time_s[:-1], time_s[1:])[:, 2]
    is_told = np.isfinite(rate)
    turned, known = (
        np.concatenate([[0.0], np.cumsum(_LOG_STEP_S * one)])
        for one in (np.where(is_told, rate, 0.0), is_told)
    )
    return time_s, turned, known


def _between(begins: Floats, time_s: Floats, grown: Floats) -> Floats:
    """Return the growth of a sum (`grown` at rising times) in each window."""
    grows: Floats = np.interp(begins + _WINDOW_S, time_s, grown) - np.interp(begins, time_s, grown)
    return grows
