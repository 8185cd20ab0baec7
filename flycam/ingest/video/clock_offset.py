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
from scipy.fft import fft, ifft, next_fast_len

from flycam.geometry.camera import InteriorOrientation, compute_ray_directions

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
Shifts = NDArray[np.complex128]  # u + iv
Series = NDArray[Any]  # floats or shifts

WIDTH_PX = 480
_MAX_CORNERS, _MIN_CORNERS = 220, 25
_CORNER_QUALITY, _CORNER_APART_PX = 0.01, 9
_WITHIN_PX = 1.0
# Frames closer in time than this to the last one measured are skipped.
_MIN_INTERVAL_S = 0.1
_MIN_INLIER_SHARE = 0.4
# Tolerance at the ends of a log that covers exactly its video: clocks are not known better.
_BEYOND_S = 0.02
# Distance of the second point from the centre, as a share of the frame's width.
_BESIDE_SHARE = 0.25
_SPIN_STEPS, _TUKEY = 12, 4.0


@dataclass(frozen=True, slots=True)
class ImageMotion:
    """Motion between two frames.

    Their times in seconds, shift of the centre (u, v) px/s and turn rad/s. spin: rotation of the camera about
    its axes (x, y, z), rad/s, None: not measured.
    """

    first_s: float
    second_s: float
    rate: tuple[float, float, float]
    spin: tuple[float, float, float] | None = None


class ImageMotionEstimator:
    """Estimator of the motion between successive frames, fed in order of time.

    interior  of the frames, None: unknown, and the camera's rotation is not measured
    """

    def __init__(self, interior: InteriorOrientation | None = None) -> None:
        self._interior = interior
        self._grey: Grey | None = None
        self._time_s = -np.inf

    def add(self, time_s: float, pixels: NDArray[np.uint8]) -> ImageMotion | None:
        """Return the motion since the frame measured last.

        None for the first frame, for skipped ones, and where nothing can be tracked.

        pixels  H×W×3 uint8
        """
        elapsed = time_s - self._time_s
        if elapsed < _MIN_INTERVAL_S - 1e-6:
            return None
        grey, scale = convert_to_grey(pixels)
        before, then_s = self._grey, self._time_s
        self._grey, self._time_s = grey, time_s
        if before is None or before.shape != grey.shape:
            return None
        tracks = _track(before, grey)
        if tracks is None:
            return None
        homography, *points = tracks
        u, v, turn = _compute_centre_motion(homography, grey)
        spin = None
        if self._interior is not None:
            earlier, later = ((one + 0.5) / scale - 0.5 for one in points)
            x, y, z = (_estimate_spin(earlier, later, self._interior) / elapsed).tolist()
            spin = (x, y, z)
        rate = (u / scale / elapsed, v / scale / elapsed, turn / elapsed)
        return ImageMotion(then_s, time_s, rate, spin)


def convert_to_grey(pixels: NDArray[np.uint8]) -> tuple[Grey, float]:
    """Return a frame H×W×3 in grey, at most WIDTH_PX wide, and its scale factor."""
    height, width = pixels.shape[:2]
    scale = min(1.0, WIDTH_PX / width)
    size = (round(width * scale), round(height * scale))
    # before the resize: one plane is reduced faster than three
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA) if scale < 1.0 else grey
    return np.asarray(small, np.uint8), scale


def _track(first: Grey, second: Grey) -> tuple[Floats, Floats, Floats] | None:
    """Return the homography 3×3 that fits most corners, and where these are in both frames, N×2."""
    corners = cv2.goodFeaturesToTrack(first, _MAX_CORNERS, _CORNER_QUALITY, _CORNER_APART_PX)
    if corners is None or len(corners) < _MIN_CORNERS:
        return None
    followed, there, _ = cv2.calcOpticalFlowPyrLK(first, second, corners, np.empty_like(corners))
    tracked = there.ravel() == 1
    if tracked.sum() < _MIN_CORNERS:
        return None
    before, after = (one[tracked, 0].astype(np.float64) for one in (corners, followed))
    matrix, inliers = cv2.findHomography(before, after, cv2.RANSAC, _WITHIN_PX)
    if matrix is None or inliers.mean() < _MIN_INLIER_SHARE:
        return None
    fits = inliers.ravel() == 1
    return np.asarray(matrix, np.float64), before[fits], after[fits]


def _compute_centre_motion(homography: Floats, frame: Grey) -> tuple[float, float, float]:
    """Return shift (u, v) of the centre in pixels, and turn in radians."""
    height, width = frame.shape
    middle = np.array([(width - 1) / 2.0, (height - 1) / 2.0])
    points = np.stack([middle, middle + np.array([_BESIDE_SHARE * width, 0.0])])
    shift, side_shift = cv2.perspectiveTransform(points[:, None], homography)[:, 0] - points
    turn = np.arctan2(side_shift[1] - shift[1], _BESIDE_SHARE * width + side_shift[0] - shift[0])
    return float(shift[0]), float(shift[1]), float(turn)


def _estimate_spin(before: Floats, after: Floats, interior: InteriorOrientation) -> Floats:
    """Estimate the rotation of a camera (x, y, z, rad) from points N×2 in two frames.

    By the differential epipolar constraint v·(p×p') + (v·w)|p|² - (v·p)(w·p) = 0 of rays p, their motion p',
    the camera's velocity v and rotation w (Kanatani 1993), which holds over any relief, from forward and from
    sideways flight: the smaller residuals count.
    """
    (x0, y0, z0), (x1, y1, z1) = (compute_ray_directions(interior, *one.T) for one in (before, after))
    first, second = (
        np.stack([x / z, y / z, np.ones_like(z)], axis=1) for x, y, z in ((x0, y0, z0), (x1, y1, z1))
    )
    ray, moved = 0.5 * (first + second), second - first
    scale, spin = _solve_spin(ray, moved, np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]))
    nearest: Floats = spin[np.argmin(scale)]
    return nearest


def _solve_spin(ray: Floats, moved: Floats, velocity: Floats) -> tuple[Floats, Floats]:
    """Return the scale of the residuals S and the rotation S×3, by Gauss-Newton with Tukey's weights.

    ray       N×3, moved N×3 their motion
    velocity  S×3, directions of flight to begin with
    """
    crossed, square = np.cross(ray, moved), (ray**2).sum(axis=1)[:, None]
    spin, scale = np.zeros_like(velocity), np.full(len(velocity), np.inf)
    for _ in range(_SPIN_STEPS):
        beside = np.linalg.svd(velocity[:, None])[2][:, 1:]
        along = velocity[:, None]
        by_spin = square * along - (velocity @ ray.T)[..., None] * ray
        by_velocity = crossed + square * spin[:, None] - (spin @ ray.T)[..., None] * ray
        # a ray along the flight says nothing of it
        size = np.maximum(np.linalg.norm(np.cross(ray, along), axis=-1), 1e-9)
        design = np.concatenate([by_spin, by_velocity @ beside.swapaxes(1, 2)], axis=2) / size[..., None]
        residual = (by_velocity @ velocity[..., None])[..., 0] / size
        scale = 1.4826 * np.median(np.abs(residual), axis=1) + 1e-9
        weight = (1.0 - np.clip(residual / (_TUKEY * scale[:, None]), -1.0, 1.0) ** 2) ** 2
        weighted = (design * weight[..., None]).swapaxes(1, 2)
        normal = weighted @ design
        damped = normal + 1e-9 * np.trace(normal, axis1=1, axis2=2)[:, None, None] * np.eye(5)
        step = np.linalg.solve(damped, weighted @ residual[..., None])[..., 0]
        spin = spin - step[:, :3]
        velocity = velocity - (step[:, None, 3:] @ beside)[:, 0]
        velocity = velocity / np.linalg.norm(velocity, axis=1)[:, None]
    return scale, spin


@dataclass(frozen=True, kw_only=True, slots=True)
class LoggedPoses:
    """Logged poses at N moments, for predicting image motion.

    time_s     N rising; centre_m N×3 (any level grid, heights up); rotation N×3×3 (world to camera)
    above_m    N, height above the ground in view
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

Seconds = TypeVar("Seconds", float, Floats)

REACH_S = 5.0
KNOWN_SIGMA_S = 0.2
"""Largest sigma with which a clock offset can be used to orthorectify frames."""
MIN_ABOVE_M = 1.0
"""Least height above ground from which image motion is predicted."""

_COARSE_S, _NEAR_S, _FINE_S = 0.1, 0.02, 0.01
_NEAR_REACH_S = 0.3
# Lags of gimbals behind the angles in their logs: searched for, and tried first.
_MIN_LAG_S, _USUAL_LAG_S, _MAX_LAG_S = -0.1, 0.2, 0.6
# Share of the logs whose angles are measured, not commanded, and 1-sigma of their lag about none.
_MEASURED_SHARE, _MEASURED_SIGMA_S = 0.5, 0.02
_STEP_S = 0.1
# Fast end of the band: sigma of a Gaussian, in seconds and in log steps.
_MIN_SIGMAS_S, _LOG_STEPS = 0.25, 0.5
_SLOW_S, _KERNEL_SIGMAS = 5.0, 4.0
_MIN_MOTIONS = 30
_MIN_SHARE, _MIN_COVERED = 0.6, 0.99
# Cosine off the vertical beyond which the image tells no heading; least measured share of a logged shift.
_MIN_UPRIGHT, _MIN_RATIO = 0.2, 0.05
_MAX_GAIN = 1.3
# 1-sigma of a gimbal's tilt, and of a calibrated focal length.
_LEAN_RAD, _FOCAL_REL = np.radians(0.5), 0.01
# Tilts as logged may be noise altogether.
_TILT_REL = 1.0
# The same where images show it, by scenes without noise.
_SEEN_LEAN_RAD = 0.002
_OUTLIER, _NEIGHBOURS = 6.0, 5
_MAX_SPREADS = 4.0
# Above this sigma the separation of offset and lag rests on the assumed lags, not on the images.
_SEPARABLE_S = 0.05
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
    fit = _Fit(motions, poses, interior)
    coarse = prior.offset_s + np.arange(-reach_s, reach_s + _COARSE_S / 2.0, _COARSE_S)
    chance = fit.log_likelihood(coarse, coarse - _USUAL_LAG_S)
    if not np.isfinite(chance).any():
        return prior
    best = coarse[np.argmax(chance)]
    fit.weigh(best, best - _USUAL_LAG_S)
    # Turns show offset minus lag, the flight path the offset: each is searched for finely.
    turned = best - _USUAL_LAG_S + np.arange(-_NEAR_REACH_S, _NEAR_REACH_S + 1e-9, _FINE_S)
    pointed = turned[[np.argmax(fit.turn_likelihood(turned))]]
    near = np.arange(pointed[0] + _MIN_LAG_S, pointed[0] + _MAX_LAG_S + 1e-9, _NEAR_S)
    fit.weigh(near[np.argmax(fit.path_likelihood(near, pointed))], pointed[0])
    lag = near[:, None] - turned
    both = fit.path_likelihood(near, pointed)[:, None] + fit.turn_likelihood(turned)
    with np.errstate(divide="ignore"):
        both += np.log(_lag_density(lag))
    far = coarse[np.abs(coarse - best) > _NEAR_REACH_S]
    offset, sigma = _mean_and_spread(
        np.concatenate([np.repeat(near, len(turned)), far]),
        np.concatenate([both.ravel(), fit.log_likelihood(far, far - _USUAL_LAG_S)]),
        np.concatenate(
            [
                np.full(both.size, _NEAR_S * _FINE_S),
                np.full(len(far), _COARSE_S**2 / (_MAX_LAG_S - _MIN_LAG_S)),
            ]
        ),
    )
    if sigma > _SEPARABLE_S:
        sigma = float(np.hypot(sigma, (_MAX_LAG_S - _MIN_LAG_S) / np.sqrt(12.0)))
    if sigma >= prior.sigma_s:
        return prior
    found = ClockOffset(offset, max(sigma, _MIN_SIGMA_S), fit.middle_s, motions=len(motions))
    return _with_drift(found, fit, pointed) if found.is_known else found


def _lag_density(lag_s: Floats) -> Floats:
    """Return the prior density of lags, 1/s.

    Of measured angles about none; of commanded ones any, but a camera does not turn before it is told to.
    """
    any_lag = ((lag_s > -1e-9) & (lag_s < _MAX_LAG_S)) / _MAX_LAG_S
    none = np.exp(-0.5 * (lag_s / _MEASURED_SIGMA_S) ** 2) / (_MEASURED_SIGMA_S * np.sqrt(2.0 * np.pi))
    density: Floats = _MEASURED_SHARE * none + (1.0 - _MEASURED_SHARE) * any_lag
    return density


class _Fit:
    """Measured against logged motions, on a lattice of N times `_STEP_S` apart."""

    def __init__(
        self, motions: Sequence[ImageMotion], poses: LoggedPoses, interior: InteriorOrientation
    ) -> None:
        first, second = (np.array([getattr(m, name) for m in motions]) for name in ("first_s", "second_s"))
        rate = np.array([m.rate for m in motions])
        spin = np.array([m.spin or (np.nan,) * 3 for m in motions])
        measured = np.isfinite(spin[:, :1])
        # The shift is that of the point in the centre before: at half time it has turned by half.
        shift = (rate[:, 0] + 1j * rate[:, 1]) * np.exp(-0.5j * (second - first) * rate[:, 2])
        columns = np.column_stack([shift.real, shift.imag, rate[:, 2], np.nan_to_num(spin), measured])
        used = ~_find_outliers(rate)
        begin_s = np.arange(first[0], second[-1] - _STEP_S + 1e-6, _STEP_S)
        self._edges_s = np.append(begin_s, begin_s[-1] + _STEP_S)
        self.middle_s = float(begin_s.mean()) + _STEP_S / 2.0
        seen, self._weight = _resample(first[used], second[used], columns[used], self._edges_s)
        self._turn, self._spin, self._has_spin = seen[:, 2], seen[:, 3:6], seen[:, 6] > _MIN_COVERED
        self._shift = seen[:, 0] + 1j * seen[:, 1]
        step_s = float(np.median(np.diff(poses.time_s)))
        fast_s = max(_MIN_SIGMAS_S, _LOG_STEPS * step_s)
        self._band = _Band(len(begin_s), fast_s / _STEP_S, _SLOW_S / _STEP_S)
        (width, height), principal = interior.image_size_px, interior.principal_point_px
        self._focal = interior.focal_length_px[0]
        self._centre = np.append((np.array([width - 1, height - 1]) / 2.0 - principal) / self._focal, 1.0)
        self._focal_rel = np.hypot(_FOCAL_REL, interior.sigma_focal_rel)
        ahead = poses.rotation[:, 2] - poses.rotation[:, 1]
        heading = np.unwrap(np.arctan2(ahead[:, 0], ahead[:, 1]))
        level = _turn_to(poses.rotation, heading).reshape(-1, 9)
        self._poses, self._pointing = poses, np.column_stack([heading, level])
        self._least_correlated = 2.0 * np.sqrt(np.pi) * fast_s / _STEP_S
        self._fits = np.ones(len(begin_s), bool)
        self._scale, self._together = np.ones(2), np.full(3, self._least_correlated)

    def log_likelihood(self, offsets: Floats, turned: Floats) -> Floats:
        """Return the log-likelihood of K pairs of an offset and offset minus lag, but for a constant."""
        return self.path_likelihood(offsets, turned) + self.turn_likelihood(turned)

    def turn_likelihood(self, turned: Floats, drift: float = 0.0) -> Floats:
        """Return the log-likelihood of K differences of offset and lag by the turns of the image.

        They hold at `middle_s`, with a drift; -inf where the log does not reach.
        """
        return np.concatenate(
            [self._profile(*self._turn_residuals(some, drift), self._together[:1]) for some in _split(turned)]
        )

    def path_likelihood(self, offsets: Floats, turned: Floats, drift: float = 0.0) -> Floats:
        """Return the log-likelihood of K offsets by the flight path as the camera sees it.

        turned  offset minus lag, which says where the camera points: of each, or one for all
        """
        found = []
        for k, some in enumerate(_split(offsets)):
            pointing = turned if len(turned) == 1 else turned[k * _AT_ONCE : (k + 1) * _AT_ONCE]
            left, weight, assumed = self._path_residuals(some, pointing, drift)
            found.append(self._profile(left, weight, self._together[1:]) - assumed)
        return np.concatenate(found)

    def weigh(self, offset: float, turned: float) -> None:
        """Take scale and correlation of the residuals from those at one offset."""
        pointing = np.array([turned])
        by_turns, weight = self._turn_residuals(pointing, 0.0)
        left = [by_turns[0, 0, weight[0] > 0.0]]
        self._fits = np.ones(len(self._weight), bool)
        by_path, weight, _ = self._path_residuals(np.array([offset]), pointing, 0.0)
        spread = 1.4826 * np.median(np.abs(by_path[:, 0, weight[0] > 0.0]), axis=1)
        is_near = np.abs(by_path[:, 0]) <= _MAX_SPREADS * np.maximum(spread, 1e-9)[:, None]
        self._fits = np.logical_and.reduce(is_near)
        by_path, weight, _ = self._path_residuals(np.array([offset]), pointing, 0.0)
        left += list(by_path[:, 0, weight[0] > 0.0])
        if min(map(len, left)) < 2:
            return
        self._scale = np.maximum([one.std() for one in left[1:]], 1e-9)
        self._together = np.array([max(_correlated(one), self._least_correlated) for one in left])

    def _profile(self, left: Floats, weight: Floats, together: Floats) -> Floats:
        """Return the log-likelihood of residuals J×K×N of unknown scale; `together` count as one."""
        count = (weight > 0.0).sum(axis=1)
        power = np.maximum((left**2).sum(axis=2) / np.maximum(count, 1), 1e-18)
        found = -0.5 * (count / together[:, None] * np.log(power)).sum(axis=0)
        return np.where(count >= self._weight.sum() * _MIN_SHARE, found, -np.inf)

    def _times(self, offsets: Floats, drift: float) -> Floats:
        return self._edges_s + offsets[:, None] + drift * (self._edges_s - self.middle_s)

    def _turn_residuals(self, turned: Floats, drift: float) -> tuple[Floats, Floats]:
        """Return the turns that the log does not explain, 1×K×N, and their weights K×N."""
        told = self._point(turned, drift).turn
        weight = np.where(np.isfinite(told), self._weight, 0.0)
        turns = np.broadcast_to(self._turn, told.shape) + 1j * np.nan_to_num(told)
        turns = self._band.within(turns[None], weight)[0]
        seen, told = turns.real, turns.imag
        power = np.maximum((told**2).sum(axis=1), 1e-12)
        gain = np.clip((seen * told).sum(axis=1) / power, 0.0, _MAX_GAIN)
        return (seen - gain[:, None] * told)[None], weight

    def _path_residuals(self, offsets: Floats, turned: Floats, drift: float) -> tuple[Floats, Floats, Floats]:
        """Return what the logged path does not explain of the shift at K offsets, 2×K×N.

        Along the predicted shift as a logarithm, across it in radians; their weights K×N; and minus the
        log-likelihood of the lean and focal length assumed for it, K.
        """
        camera = self._point(turned, drift)
        times = self._times(offsets, drift)
        track = _smooth(
            self._poses.time_s,
            np.column_stack([self._poses.centre_m, self._poses.above_m]),
            times.ravel(),
            self._poses.max_gap_s,
        ).reshape(*times.shape, 4)
        east, north, up = np.moveaxis(np.diff(track[..., :3], axis=1) / _STEP_S, -1, 0)
        sin, cos = np.sin(camera.heading), np.cos(camera.heading)
        ahead = np.stack([east * cos - north * sin, east * sin + north * cos, up], axis=-1)
        x, y, z = np.moveaxis(np.einsum("knij,knj->kni", camera.level, ahead), -1, 0)
        above = 0.5 * (track[:, :-1, 3] + track[:, 1:, 3])
        depth = np.maximum(above, MIN_ABOVE_M) / camera.down
        # where the log is silent all of these are NaN
        with np.errstate(invalid="ignore"):
            flown = self._focal * (self._centre[0] * z - x + 1j * (self._centre[1] * z - y)) / depth
        is_known = np.isfinite(flown) & np.isfinite(camera.turn) & (self._weight > 0.0) & self._fits
        flown = np.where(is_known, flown, 1.0)
        weight = np.where(is_known, self._weight * np.abs(flown) ** 2, 0.0)
        weight /= np.maximum(weight.max(axis=1, keepdims=True), 1e-12)
        towards = np.conj(flown) / np.maximum(np.abs(flown) ** 2, 1e-12)
        ratio = np.where(is_known, (self._shift - camera.yawed - camera.tilted) * towards, 1.0)
        swings = [camera.yaw_rate * self._focal, camera.yawed, camera.tilted]
        lean, yawed, tilted = (np.where(is_known, one * towards, 0.0) for one in swings)
        wanted = np.log(np.maximum(np.abs(ratio), _MIN_RATIO)) + 1j * np.angle(ratio)
        root = np.sqrt(
            weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-12) * is_known.sum(axis=1)[:, None]
        )
        together = np.stack([wanted, lean, yawed, tilted])
        wanted, lean, yawed, tilted = self._band.within(together, weight) * root
        columns = [lean, 1j * lean, yawed, tilted]
        per = 1.0 / (self._scale * np.sqrt(self._together[1:]))
        design, right = (
            np.concatenate([one.real * per[0], one.imag * per[1]], axis=1)
            for one in (np.stack(columns, axis=-1), wanted)
        )
        assumed, sureness = self._estimate_lean(camera)
        normal = np.matmul(design.transpose(0, 2, 1), design) + sureness[:, None] * np.eye(len(columns))
        right = np.einsum("kij,ki->kj", design, right) + sureness * assumed
        gains = np.linalg.solve(normal, right[..., None])[..., 0]
        left = wanted - sum(gains[:, [k]] * one for k, one in enumerate(columns))
        return np.stack([left.real, left.imag]), weight, 0.5 * ((gains - assumed) ** 2 * sureness).sum(axis=1)

    def _estimate_lean(self, camera: _Camera) -> tuple[Floats, Floats]:
        """Return K lean angles (u, v, rad), errors of focal length and tilt, before the path is compared.

        K×4, and their 1/sigma². A camera that leans from its log yaws about another axis of its own, which
        its rotation shows.
        """
        known = np.isfinite(camera.turn) & self._has_spin
        both = np.where(known, [camera.leaning, camera.yaw_rate + 0j], 0.0)
        leaning, yaw = self._band.within(both, known.astype(np.float64))
        power = np.maximum((yaw.real**2).sum(axis=1), 1e-12)
        seen = (leaning * yaw.real).sum(axis=1) / power
        left = leaning - seen[:, None] * yaw.real
        count = np.maximum(known.sum(axis=1), 1)
        told = np.array([_LEAN_RAD, _LEAN_RAD, self._focal_rel, _TILT_REL]) ** -2.0
        lean, sureness = np.zeros((len(power), 4)), np.tile(told, (len(power), 1))
        for k, (angle, rest) in enumerate(((seen.real, left.real), (seen.imag, left.imag))):
            scatter = (rest**2).sum(axis=1) / count * self._least_correlated / power
            by_image = 1.0 / (scatter + _SEEN_LEAN_RAD**2)
            sureness[:, k] += np.where(known.any(axis=1), by_image, 0.0)
            lean[:, k] = angle * by_image / sureness[:, k]
        return lean, sureness

    def _point(self, turned: Floats, drift: float) -> _Camera:
        """Return how the camera points: levelled as logged, its heading as the images turn."""
        times = self._times(turned, drift)
        smooth = _smooth(self._poses.time_s, self._pointing, times.ravel(), self._poses.max_gap_s)
        told, level = smooth[:, 0].reshape(times.shape), smooth[:, 1:].reshape(*times.shape, 3, 3)
        tilted = np.einsum("knij,knlj->knil", level[:, 1:], level[:, :-1])
        tilting = np.stack(
            [tilted[..., i, j] - tilted[..., j, i] for i, j in ((1, 2), (2, 0), (0, 1))], axis=-1
        )
        tilting /= 2.0 * _STEP_S
        level = 0.5 * (level[:, 1:] + level[:, :-1])
        up = level[..., 2]
        logged_rate = -np.diff(told, axis=1) / _STEP_S
        upright = np.minimum(up[..., 2], -_MIN_UPRIGHT)
        yaw_rate = np.where(
            self._has_spin,
            np.einsum("knj,nj->kn", up, self._spin),
            -(self._turn + tilting[..., 2]) / upright,
        )
        yawing = up * yaw_rate[..., None]
        leaning = self._spin - tilting - yawing
        known_rate = np.nan_to_num(np.where(self._weight > 0.0, yaw_rate, logged_rate))
        heading = -_STEP_S * (np.cumsum(known_rate, axis=1) - 0.5 * known_rate)
        # Slowly the heading drifts as images are added up: there it is the log's.
        ahead = 0.5 * (told[:, 1:] + told[:, :-1]) - heading
        heading += self._band.slow(np.nan_to_num(ahead), np.isfinite(ahead) * 1.0)
        return _Camera(
            turn=-(tilting[..., 2] + up[..., 2] * logged_rate),
            yaw_rate=yaw_rate,
            heading=heading,
            level=level,
            down=np.maximum(-np.einsum("knj,j->kn", up, self._centre), _MIN_UPRIGHT),
            yawed=self._swing(yawing),
            tilted=self._swing(tilting),
            leaning=1j * leaning[..., 0] - leaning[..., 1],
        )

    def _swing(self, spin: Floats) -> Shifts:
        """Return the shift of the centre (u + iv, px/s) by rotations of the camera K×N×3, rad/s."""
        moved = np.cross(self._centre, spin)
        x, y = np.moveaxis(moved[..., :2] - self._centre[:2] * moved[..., 2:], -1, 0)
        return np.asarray(self._focal * (x + 1j * y), np.complex128)


def _turn_to(rotation: Floats, heading: Floats) -> Floats:
    """Return rotations N×3×3 from axes (right, ahead, up) of a heading N, in place of (east, north, up)."""
    sin, cos = np.sin(heading)[:, None], np.cos(heading)[:, None]
    east, north, up = np.moveaxis(rotation, 2, 0)
    return np.stack([cos * east - sin * north, sin * east + cos * north, up], axis=2)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Camera:
    """Attitude of the camera at K×N moments, and how it moves the image.

    turn      as logged, rad/s; yaw_rate about the upward vertical, heading clockwise, as seen (rad/s, rad)
    level     K×N×3×3, level axes (right, ahead, up) to camera; down: cosine of the centre's ray
    yawed, tilted  shift of the centre (u + iv) by yaw as seen, and by other rotation as logged, px/s
    leaning   rotation (-y, x) that is seen and not told, rad/s
    """

    turn: Floats
    yaw_rate: Floats
    heading: Floats
    level: Floats
    down: Floats
    yawed: Shifts
    tilted: Shifts
    leaning: Shifts


def _resample(first_s: Floats, second_s: Floats, rate: Floats, edges_s: Floats) -> tuple[Floats, Floats]:
    """Return mean rates M×C between M+1 edges of N intervals' rates N×C, and where all is known."""
    length = second_s - first_s
    # Between two intervals that do not join nothing is known.
    ends_s = np.stack([first_s, second_s], axis=1).ravel()
    grows = np.column_stack([rate, np.ones_like(length)]) * length[:, None]
    sums = np.cumsum(np.stack([np.zeros_like(grows), grows], axis=1).reshape(-1, grows.shape[1]), 0)
    grown = np.diff([np.interp(edges_s, ends_s, column) for column in sums.T], axis=1).T
    share = grown[:, -1] / np.diff(edges_s)
    known = share > _MIN_COVERED
    mean = grown[:, :-1] / np.maximum(grown[:, -1:], 1e-9)
    return np.where(known[:, None], mean, 0.0), known.astype(np.float64)


class _Band:
    """Gaussians of two widths (lattice steps) over N samples, as weighted means."""

    def __init__(self, length: int, fast: float, slow: float) -> None:
        self._size = next_fast_len(length + round(_KERNEL_SIGMAS * slow))
        at = np.minimum(np.arange(self._size), self._size - np.arange(self._size))
        self._fast, self._slow = (fft(np.exp(-0.5 * (at / width) ** 2)) for width in (fast, slow))
        self._length = length

    def slow(self, values: Floats, weight: Floats) -> Floats:
        """Return the slow part of values K×N."""
        smooth: Floats = ifft(fft((values + 1j) * weight, self._size) * self._slow)[:, : self._length]
        return smooth.real / np.maximum(smooth.imag, 1e-9)

    def within(self, values: Series, weight: Floats) -> Series:
        """Return the part of values J×K×N between the two widths, about its mean."""
        spectrum = fft(np.concatenate([values * weight, weight[None]]), self._size)
        part = 0.0
        for kernel, sign in ((self._fast, 1.0), (self._slow, -1.0)):
            smooth = ifft(spectrum * kernel)[..., : self._length]
            part += sign * smooth[:-1] / np.maximum(smooth[-1].real, 1e-9)
        mean = (part * weight).sum(axis=-1) / np.maximum(weight.sum(axis=-1), 1e-9)
        found: Series = (part - mean[..., None]) * (weight > 0.0)
        return found


def _split(offsets: Floats) -> list[Floats]:
    return np.split(offsets, range(_AT_ONCE, len(offsets), _AT_ONCE))


def _find_outliers(rate: Floats) -> NDArray[np.bool_]:
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


def _with_drift(found: ClockOffset, fit: _Fit, turned: Floats) -> ClockOffset:
    """Add the drift where it is three sigmas or more."""
    drifts = np.linspace(-_MAX_DRIFT, _MAX_DRIFT, _DRIFTS)
    offset = np.array([found.offset_s])
    likelihood = np.concatenate(
        [fit.path_likelihood(offset, turned, one) + fit.turn_likelihood(turned, one) for one in drifts]
    )
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
