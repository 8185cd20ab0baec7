"""Incremental registration of a video's frames, each against those before it.

A frame's pose is first predicted from its log, corrected by the error of the frame before. Landmarks are
searched where that pose predicts them, and the newest frames are adjusted together (`solve_window`). The
estimate improves during the flight, but orthopatches already in the mosaic do not move: so a frame is
orthorectified where it fits the poses its neighbours were *orthorectified* by, shifted as a whole by what the
estimate has moved since. The mosaic stays consistent in itself; its absolute position remains the log's.

Work is bounded by counts, not by a clock: the same images give the same poses on every machine. Where the
evidence is weak the frame is rejected, and orthorectified by its log, corrected by its neighbours' error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from flycam.geometry.camera import (
    InteriorOrientation,
    compute_ray_directions,
    compute_viewing_rays,
    scale_interior,
)
from flycam.geometry.features import compute_cell_index, select_evenly
from flycam.geometry.pose import (
    ExteriorOrientation,
    PoseSource,
    angle_axis_from_rotation,
    rotation_from_angle_axis,
    to_mat3,
)
from flycam.geometry.projection import (
    compute_rotation_derivative,
    project_with_camera_derivatives,
    to_lens_vector,
)
from flycam.geometry.templates import TEMPLATE_PX, cut_templates, match_templates
from flycam.geometry.terrain import TerrainGrid, cast_rays, compute_normals, interpolate_heights
from flycam.mosaic.adjustment.block import Floats, Indices
from flycam.mosaic.adjustment.normal_equations import cauchy, compute_ground_loss

# -- Bundle adjustment of a video's newest frames, held by earlier results -------------------------
#
# Frames of the window are linked by the model of the log's errors (`LogDrift`), tied by landmarks that
# several of them see, and constrained to the terrain by the landmarks' heights. Earlier frames, and those of
# earlier strips that see the same ground, are held at their adjusted poses, with a sigma. Landmarks are
# eliminated one by one (Schur complement); a dense system of a few dozen frames remains.
#
# Sources: Triggs et al., Bundle Adjustment - A Modern Synthesis, 2000; Sibley, Matthies and Sukhatme, Sliding
# window filter with application to planetary landing, 2010 (with held frames in place of a marginal).


# -- Registered frames of a video: logged, estimated and map pose ----------------------------------


@dataclass(slots=True)
class Keyframe:
    """One registered frame of a video.

    logged            pose by the log
    centre, rotation  as currently estimated
    map_pose          by which it is orthorectified in the mosaic
    """

    number: int
    seconds: float
    logged: ExteriorOrientation
    centre: Floats
    rotation: Floats
    map_pose: ExteriorOrientation


def is_comparable(one: ExteriorOrientation, other: ExteriorOrientation) -> bool:
    """Return True if two poses share one work CRS and vertical datum."""
    return (one.work_crs, one.vertical_datum) == (other.work_crs, other.vertical_datum)


def to_pose_row(exterior: ExteriorOrientation) -> Floats:
    """Return centre and rotation in one row of 12."""
    return np.array([*exterior.projection_centre_m, *np.ravel(exterior.rotation)])


def select_keyframes(
    frames: list[Keyframe], by: NDArray[np.int64]
) -> tuple[list[Keyframe], NDArray[np.int64]]:
    """Return the frames that `by` refers to, and `by` as indices into them."""
    meant, which = np.unique(by, return_inverse=True)
    return [frames[k] for k in meant.tolist()], which


# -- Landmarks: ground points that frames of a video showed, with their templates ------------------
#
# A template is cut when a landmark is first seen.


Bytes = NDArray[np.uint8]

REACH_PX = 9
# Least correlation of a match, and least excess over the best other place.
_MIN_LIKENESS, _MIN_MARGIN = 0.7, 0.1
_RIM_PX = 12.0
_CORNERS, _CORNER_QUALITY = 500, 0.01
# Corners are at least the image's width over this apart.
_CORNER_SPACING_PART = 40
_CELLS = 8
_MAX_SLOPE = 1.5
# Ratio of areas between which a template is comparable.
_MAX_STRETCH, _MIN_STRETCH = 3.0, 0.33


@dataclass(frozen=True, kw_only=True, slots=True)
class CameraStation:
    """Camera of one image.

    centre    3
    rotation  3×3 (world to camera)
    scale     of vertical differences
    """

    interior: InteriorOrientation
    centre: Floats
    rotation: Floats
    scale: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LandmarkMatches:
    """N landmarks found again in an image: ascending numbers, and image points N×2."""

    landmark: Indices
    uv_px: Floats


class Landmarks:
    """All landmarks that remembered frames see, with their observations.

    Frames are numbered by the caller, ascending.

    point                  Q×3
    frame, landmark, uv_px N, N, N×2: observations
    """

    def __init__(self) -> None:
        self.point = np.empty((0, 3))
        self._template: Bytes = np.empty((0, TEMPLATE_PX, TEMPLATE_PX), dtype=np.uint8)
        self._jacobian = np.empty((0, 2, 2))
        self.frame = np.empty(0, dtype=np.int32)
        self.landmark = np.empty(0, dtype=np.int32)
        self.uv_px = np.empty((0, 2))

    def __len__(self) -> int:
        return len(self.point)

    def find(
        self, grey: Bytes, spot: CameraStation, terrain: TerrainGrid, recent: int, max_count: int
    ) -> LandmarkMatches:
        """Find landmarks in an image, of up to `max_count` searched.

        Half of them were last seen by frames numbered `recent` or higher, half only by earlier frames.
        """
        uv, jacobian = _seen(spot, terrain, self.point)
        width, height = spot.interior.image_size_px
        last = np.full(len(self), -1)
        np.maximum.at(last, self.landmark, self.frame)
        affine = jacobian @ _inverse(self._jacobian)
        with np.errstate(invalid="ignore"):
            inside = ((uv > _RIM_PX) & (uv < np.array([width, height]) - 1.0 - _RIM_PX)).all(axis=1)
            stretch = np.abs(_determinant(affine))
            inside &= (stretch < _MAX_STRETCH) & (stretch > _MIN_STRETCH)
        parts = []
        for group in (inside & (last >= recent), inside & (last < recent)):
            rows = np.flatnonzero(group)
            # the newest first: their templates are most similar
            parts.append(
                rows[select_evenly(uv[rows], last[rows] * 1.0, (width, height), _CELLS, max_count // 2)]
            )
        rows = np.sort(np.concatenate(parts))
        sought = match_templates(grey, uv[rows], affine[rows], self._template[rows], REACH_PX)
        good = (sought.correlation >= _MIN_LIKENESS) & (sought.margin >= _MIN_MARGIN)
        return LandmarkMatches(landmark=rows[good].astype(np.int32), uv_px=sought.uv_px[good])

    def add_observations(self, frame: int, found: LandmarkMatches) -> None:
        """Add observations of a frame."""
        self.frame = np.concatenate([self.frame, np.full(len(found.landmark), frame, dtype=np.int32)])
        self.landmark = np.concatenate([self.landmark, found.landmark])
        self.uv_px = np.concatenate([self.uv_px, found.uv_px])

    def add(
        self, frame: int, grey: Bytes, spot: CameraStation, terrain: TerrainGrid, uv: Floats, point: Floats
    ) -> None:
        """Add new landmarks of a frame, seen at uv N×2, at estimated positions N×3."""
        _, jacobian = _seen(spot, terrain, point)
        with np.errstate(invalid="ignore"):
            good = np.isfinite(jacobian).all(axis=(1, 2)) & (np.abs(_determinant(jacobian)) > 1e-9)
        # templates are centred on whole pixels, so matches refer to that pixel's centre
        at = np.rint(uv[good])
        numbers = np.arange(len(self), len(self) + len(at), dtype=np.int32)
        self.point = np.concatenate([self.point, point[good]])
        self._template = np.concatenate([self._template, cut_templates(grey, at)])
        self._jacobian = np.concatenate([self._jacobian, jacobian[good]])
        self.add_observations(frame, LandmarkMatches(landmark=numbers, uv_px=at))

    def within_bounds(
        self, bounds_m: tuple[float, float, float, float], seen_from: Floats, ray_rad: float
    ) -> tuple[Floats, Floats]:
        """Return landmarks in (west, south, east, north) that were seen from two places.

        Points N×3, and the sigmas of their heights, N metres: ray_rad · √2 · height² / base, the base
        horizontal and the widest.

        seen_from  centre of the frame of each observation, as many × 3
        ray_rad    sigma of a ray
        """
        west, south, east, north = bounds_m
        low, high = np.full(self.point.shape, np.inf), np.full(self.point.shape, -np.inf)
        np.minimum.at(low, self.landmark, seen_from)
        np.maximum.at(high, self.landmark, seen_from)
        x, y, z = self.point.T
        rows = np.flatnonzero((x > west) & (x < east) & (y > south) & (y < north))
        base = np.hypot(*(high - low)[rows, :2].T)
        rows, base = rows[base > 0.0], base[base > 0.0]
        sigma: Floats = ray_rad * np.sqrt(2.0) * np.square(high[rows, 2] - z[rows]) / base
        return self.point[rows], sigma

    def forget(self, before: int) -> None:
        """Forget frames with lower numbers, and landmarks that no other frame sees."""
        self._keep(self.frame >= before)

    def forget_newest(self, frame: int) -> None:
        """Forget this frame and later ones, and landmarks that no other frame sees."""
        self._keep(self.frame < frame)

    def _keep(self, kept: NDArray[np.bool_]) -> None:
        """Keep these observations, and the landmarks that they see."""
        if kept.all():
            return
        still = np.unique(self.landmark[kept])
        self.point, self._template = self.point[still], self._template[still]
        self._jacobian = self._jacobian[still]
        self.frame, self.uv_px = self.frame[kept], self.uv_px[kept]
        self.landmark = np.searchsorted(still, self.landmark[kept]).astype(np.int32)


def detect_corners(grey: Bytes, taken_px: Floats, max_count: int) -> Floats:
    """Detect up to `max_count` corners of an image, N×2 (whole pixels).

    Spread evenly, and away from places already taken.
    """
    height, width = grey.shape
    spacing_px = max(width // _CORNER_SPACING_PART, TEMPLATE_PX // 2)
    mask = np.zeros_like(grey)
    rim = int(_RIM_PX)
    mask[rim:-rim, rim:-rim] = 255
    for column, row in np.rint(taken_px).astype(int).tolist():
        cv2.circle(mask, (column, row), spacing_px, 0, -1)
    found = cv2.goodFeaturesToTrack(grey, _CORNERS, _CORNER_QUALITY, spacing_px, mask=mask)
    if found is None:
        return np.empty((0, 2))
    uv = np.rint(found[:, 0]).astype(np.float64)
    # cells that already hold landmarks come last
    load = np.bincount(compute_cell_index(taken_px, (width, height), _CELLS), minlength=_CELLS**2)
    cell = compute_cell_index(uv, (width, height), _CELLS)
    order = np.lexsort((np.arange(len(uv)), load[cell]))
    uv = uv[order]
    chosen = select_evenly(uv, -np.arange(len(uv), dtype=np.float64), (width, height), _CELLS, max_count)
    return uv[chosen]


def _determinant(two: Floats) -> Floats:
    """Return the determinants of N×2×2.

    Written out: for some thousands a general solver takes a tenth of an image's time.
    """
    determinant: Floats = two[:, 0, 0] * two[:, 1, 1] - two[:, 0, 1] * two[:, 1, 0]
    return determinant


def _inverse(two: Floats) -> Floats:
    """Return the inverses of N×2×2; `add` admits no singular ones."""
    adjugate = np.empty_like(two)
    adjugate[:, 0, 0], adjugate[:, 1, 1] = two[:, 1, 1], two[:, 0, 0]
    adjugate[:, 0, 1], adjugate[:, 1, 0] = -two[:, 0, 1], -two[:, 1, 0]
    inverse: Floats = adjugate / _determinant(two)[:, None, None]
    return inverse


def _seen(spot: CameraStation, terrain: TerrainGrid, point: Floats) -> tuple[Floats, Floats]:
    """Project landmarks N×3 into an image, with derivatives over the ground.

    Image points N×2, and pixels a metre N×2×2 by a step (east, north, along the slope); NaN where they
    are not in front of the camera.
    """
    offset = point - spot.centre
    offset[:, 2] *= spot.scale
    uv, by_camera = project_with_camera_derivatives(
        spot.interior, to_lens_vector(spot.interior), offset @ spot.rotation.T
    )
    stretched = spot.rotation.copy()
    stretched[:, 2] *= spot.scale
    by_point = by_camera @ stretched
    normal = compute_normals(terrain, point[:, :2])
    with np.errstate(invalid="ignore"):
        rise = np.nan_to_num(-normal[:, :2] / normal[:, 2:])
    rise = np.clip(rise, -_MAX_SLOPE, _MAX_SLOPE)
    return uv, by_point[:, :, :2] + by_point[:, :, 2:] * rise[:, None, :]


# -- Drift of a log's pose errors: a slow random walk with few jumps -------------------------------
#
# A receiver's fix and a gimbal's angles have errors that neighbours in time share: filters smooth them, bias
# and drift change over a minute, not over a second. So the error e (position in metres, rotation about the
# camera's axes in radians) of a frame is modelled as that of the frame before, faded a little, and a step:
#
#     e_k = exp(-t/T) A e_(k-1) + step,   variance of the step = min(rate² t, sigma²) + noise²
#
# with t the seconds between them and A the rotation between their camera axes; the first is constrained by
# the log's own sigmas. Source: Gelb, Applied Optimal Estimation, 1974, 3.8 (exponentially correlated noise).


@dataclass(frozen=True, kw_only=True, slots=True)
class LogDrift:
    """Rates at which a log's errors change: 1-sigma after a second, of a random walk.

    position_noise_m, attitude_noise_rad  of single frames: time stamps that are some milliseconds late
    turning_s                             the attitude error of a rotating camera is its rate times this
    """

    position_rate_m: float = 0.1
    position_noise_m: float = 0.1
    position_fades_s: float = 40.0
    attitude_rate_rad: float = 0.0035
    attitude_noise_rad: float = 0.0009
    attitude_fades_s: float = 15.0
    turning_s: float = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class LoggedTrajectory:
    """Poses of n frames in order of time, from a log.

    seconds n; centre n×3; rotation n×3×3; sigma n×6 of (east, north, up) metres and rotations (rad)
    """

    seconds: Floats
    centre: Floats
    rotation: Floats
    sigma: Floats

    def __len__(self) -> int:
        return len(self.seconds)


def make_trajectory(seconds: Floats, poses: list[ExteriorOrientation]) -> LoggedTrajectory:
    """Make arrays of the log's poses."""
    return LoggedTrajectory(
        seconds=np.asarray(seconds, dtype=np.float64),
        centre=np.array([p.projection_centre_m for p in poses], dtype=np.float64).reshape(-1, 3),
        rotation=np.array([p.rotation for p in poses], dtype=np.float64).reshape(-1, 3, 3),
        sigma=np.array([(*p.sigma_position_m, *p.sigma_attitude_rad) for p in poses]).reshape(-1, 6),
    )


def compute_pose_errors(logged: LoggedTrajectory, centre: Floats, rotation: Floats) -> Floats:
    """Return the errors of logged poses, n×6: metres, and the rotation to true (rad)."""
    turn = angle_axis_from_rotation(rotation @ logged.rotation.transpose(0, 2, 1))
    return np.concatenate([centre - logged.centre, turn], axis=1)


def apply_pose_error(centre: Floats, rotation: Floats, error: Floats) -> tuple[Floats, Floats]:
    """Return the pose (3, 3×3) that corrects a logged pose by an error of 6 numbers."""
    return centre + error[:3], rotation_from_angle_axis(error[3:]) @ rotation


def compute_transitions(logged: LoggedTrajectory, drift: LogDrift) -> tuple[Floats, Floats]:
    """Return the drift model between consecutive frames.

    Transitions (n-1)×6×6 and variances (n-1)×6.
    """
    elapsed = np.diff(logged.seconds)
    across = logged.rotation[1:] @ logged.rotation[:-1].transpose(0, 2, 1)
    transition = np.zeros((len(elapsed), 6, 6))
    axes = np.arange(3)
    transition[:, axes, axes] = np.exp(-elapsed / drift.position_fades_s)[:, None]
    transition[:, 3:, 3:] = across * np.exp(-elapsed / drift.attitude_fades_s)[:, None, None]
    turned = np.linalg.norm(angle_axis_from_rotation(across), axis=1)
    turning = drift.turning_s * turned / np.maximum(elapsed, 1e-3)
    walk = np.concatenate(
        [
            np.repeat((drift.position_rate_m**2 * elapsed)[:, None], 3, axis=1),
            np.repeat((drift.attitude_rate_rad**2 * elapsed)[:, None], 3, axis=1),
        ],
        axis=1,
    )
    variance = np.minimum(walk, np.square(logged.sigma[1:]))
    variance[:, :3] += drift.position_noise_m**2
    variance[:, 3:] += drift.attitude_noise_rad**2 + np.square(turning)[:, None]
    return transition, variance


def predict_error(logged: LoggedTrajectory, error: Floats, drift: LogDrift) -> Floats:
    """Return the expected error of the last of two frames, given the first's (6).

    A frame without evidence of its own is corrected by it.
    """
    transition, _ = compute_transitions(logged, drift)
    expected: Floats = transition[0] @ error
    return expected


# -- Adjustment of a window of frames --------------------------------------------------------------


_IMAGE_BEND, _HEIGHT_BEND = 3.0, 1.5
# Weight, 1/m², that keeps an otherwise undetermined landmark in place.
_LOOSE = 1e-6
_MAX_STEP_M = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowOptions:
    """Sigmas of a window adjustment.

    held_m, held_rad  sigma of frames that were adjusted before
    image_px          sigma of an observation
    height_m          sigma of the terrain, common within squares of square_m: all landmarks in one count once
    plane_m           the same of a plane that was assumed for lack of terrain
    rounds            linearisations
    """

    held_m: float = 0.3
    held_rad: float = 0.0018
    image_px: float = 0.5
    height_m: float = 2.0
    plane_m: float = 15.0
    square_m: float = 50.0
    rounds: int = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class AdjustmentWindow:
    """Input of a window adjustment.

    n frames in order of time, Q landmarks, N observations sorted by landmark.

    logged           the log's poses
    centre, rotation  n×3 and n×3×3, current estimates
    held             n bool, adjusted before
    frame, landmark  N indices
    uv_px            N×2 in images of the interior's size
    point            Q×3
    """

    interior: InteriorOrientation
    scale: float
    terrain: TerrainGrid
    logged: LoggedTrajectory
    centre: Floats
    rotation: Floats
    held: NDArray[np.bool_]
    frame: Indices
    landmark: Indices
    uv_px: Floats
    point: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowSolution:
    """Adjusted poses and landmarks.

    centre n×3, rotation n×3×3, point Q×3; miss_px N, residual of each observation (inf where the landmark
    is not in front of the camera).
    """

    centre: Floats
    rotation: Floats
    point: Floats
    miss_px: Floats


def solve_window(window: AdjustmentWindow, drift: LogDrift, options: WindowOptions) -> WindowSolution:
    """Estimate poses and landmarks from links, ties and heights.

    Starts from the current estimates.
    """
    centre, rotation, point = window.centre.copy(), window.rotation.copy(), window.point.copy()
    transition, variance = compute_transitions(window.logged, drift)
    for _ in range(options.rounds):
        matrix, right = _believed(window, centre, rotation, transition, variance, options)
        sighted = _sighted(window, centre, rotation, point)
        moved, steps = _step(window, matrix, right, sighted, point, options)
        centre += moved[:, :3]
        rotation = rotation_from_angle_axis(moved[:, 3:]) @ rotation
        point += np.clip(steps, -_MAX_STEP_M, _MAX_STEP_M)
    miss = _sighted(window, centre, rotation, point).residual
    away = np.where(np.isfinite(miss).all(axis=1), np.hypot(*miss.T), np.inf)
    return WindowSolution(centre=centre, rotation=rotation, point=point, miss_px=away)


def _believed(
    window: AdjustmentWindow,
    centre: Floats,
    rotation: Floats,
    transition: Floats,
    variance: Floats,
    options: WindowOptions,
) -> tuple[Floats, Floats]:
    """Return normal matrix n×6×n×6 and gradient n×6 of the priors.

    Of links, the log's sigmas and held frames.
    """
    count = len(window.logged)
    matrix, gradient = np.zeros((count, 6, count, 6)), np.zeros((count, 6))
    error = compute_pose_errors(window.logged, centre, rotation)
    rows = np.flatnonzero(~window.held)
    before = rows - 1
    first = rows[before < 0]
    weight = 1.0 / np.square(window.logged.sigma[first])
    axes = np.arange(6)
    matrix[first[:, None], axes, first[:, None], axes] += weight
    gradient[first] += weight * error[first]
    rows, before = rows[before >= 0], before[before >= 0]
    move, weight = transition[before], 1.0 / variance[before]
    off = error[rows] - np.einsum("nij,nj->ni", move, error[before])
    weighted = weight[:, :, None] * move
    matrix[rows[:, None], axes, rows[:, None], axes] += weight
    # a loop is fast enough for a dozen links
    for k, row in enumerate(rows):
        matrix[row, :, row - 1] -= weighted[k]
        matrix[row - 1, :, row] -= weighted[k].T
        matrix[row - 1, :, row - 1] += move[k].T @ weighted[k]
    gradient[rows] += weight * off
    np.add.at(gradient, before, -np.einsum("nij,ni->nj", move, weight * off))
    held = np.flatnonzero(window.held)
    strength = 1.0 / np.square(np.repeat([options.held_m, options.held_rad], 3))
    matrix[held[:, None], axes, held[:, None], axes] += strength
    away = compute_pose_errors(
        LoggedTrajectory(
            seconds=window.logged.seconds[held],
            centre=window.centre[held],
            rotation=window.rotation[held],
            sigma=window.logged.sigma[held],
        ),
        centre[held],
        rotation[held],
    )
    gradient[held] += strength * away
    return matrix, gradient


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sighted:
    """Residuals N×2 px, and derivatives by frame N×2×6 and by landmark N×2×3.

    NaN where the landmark is not in front of the camera.
    """

    residual: Floats
    by_frame: Floats
    by_point: Floats


def _sighted(window: AdjustmentWindow, centre: Floats, rotation: Floats, point: Floats) -> _Sighted:
    offset = point[window.landmark] - centre[window.frame]
    offset[:, 2] *= window.scale
    place = np.einsum("nij,nj->ni", rotation[window.frame], offset)
    uv, by_camera = project_with_camera_derivatives(window.interior, to_lens_vector(window.interior), place)
    stretched = rotation.copy()
    stretched[:, :, 2] *= window.scale
    by_point = by_camera @ stretched[window.frame]
    by_frame = np.concatenate([-by_point, by_camera @ compute_rotation_derivative(place)], axis=-1)
    return _Sighted(residual=uv - window.uv_px, by_frame=by_frame, by_point=by_point)


def _step(
    window: AdjustmentWindow,
    matrix: Floats,
    gradient: Floats,
    sighted: _Sighted,
    point: Floats,
    options: WindowOptions,
) -> tuple[Floats, Floats]:
    """Return the changes of frames n×6 and landmarks Q×3."""
    count, points = len(window.logged), len(point)
    seen = np.asarray(np.isfinite(sighted.residual).all(axis=1), dtype=bool)
    residual = np.where(seen[:, None], sighted.residual, 0.0)
    squared = np.square(residual).sum(axis=1) / options.image_px**2
    weight = np.where(seen, cauchy(squared, _IMAGE_BEND).weight, 0.0) / options.image_px**2
    by_frame = np.where(seen[:, None, None], sighted.by_frame, 0.0)
    by_point = np.where(seen[:, None, None], sighted.by_point, 0.0)
    turned, across = (
        by_frame.transpose(0, 2, 1) * weight[:, None, None],
        by_point.transpose(0, 2, 1) * weight[:, None, None],
    )
    of_frame, of_point = _collect(window.frame, count), _collect(window.landmark, points)
    own = (of_frame @ (turned @ by_frame).reshape(-1, 36)).reshape(-1, 6, 6)
    each = np.arange(count)
    matrix[each, :, each] += own
    gradient = gradient + of_frame @ np.einsum("nij,nj->ni", turned, residual)
    blocks = (of_point @ (across @ by_point).reshape(-1, 9)).reshape(-1, 3, 3)
    pull = of_point @ np.einsum("nij,nj->ni", across, residual)
    _add_heights(window, point, blocks, pull, options)
    inverse = np.linalg.inv(blocks)
    # a frame sees a landmark at most once, so the blocks need no sum
    blockwise = np.zeros((points, count, 6, 3))
    blockwise[window.landmark, window.frame] = turned @ by_point
    cross = blockwise.reshape(points, 6 * count, 3)
    flat = np.ascontiguousarray(cross.transpose(1, 0, 2)).reshape(6 * count, -1)
    reduced = np.ascontiguousarray((cross @ inverse).transpose(1, 0, 2)).reshape(6 * count, -1)
    system = matrix.reshape(6 * count, 6 * count) - reduced @ flat.T
    right = gradient.reshape(-1) - reduced @ pull.reshape(-1)
    frames = -np.linalg.solve(system, right)
    landmarks = -np.einsum("qij,qj->qi", inverse, pull + (frames @ flat).reshape(-1, 3))
    return frames.reshape(-1, 6), landmarks


def _add_heights(
    window: AdjustmentWindow, point: Floats, blocks: Floats, pull: Floats, options: WindowOptions
) -> None:
    """Add the terrain under every landmark.

    Landmarks high above it may be trees and get little weight.
    """
    sigma_m = options.plane_m if window.terrain.dem_id.startswith("flat:") else options.height_m
    above = point[:, 2] - interpolate_heights(window.terrain, point[:, :2])
    normal = compute_normals(window.terrain, point[:, :2])
    known = np.isfinite(above) & np.isfinite(normal).all(axis=1)
    above = np.where(known, above, 0.0)
    slope = np.where(known[:, None], normal / np.where(known, normal[:, 2], 1.0)[:, None], 0.0)
    square = np.floor(point[:, :2] / options.square_m).astype(np.int64)
    _, number, among = np.unique(square, axis=0, return_inverse=True, return_counts=True)
    weight = compute_ground_loss(above / sigma_m, _HEIGHT_BEND, covered=True).weight
    weight = np.where(known, weight / sigma_m**2 / among[number.reshape(-1)], 0.0)
    blocks += weight[:, None, None] * slope[:, :, None] * slope[:, None, :] + _LOOSE * np.eye(3)
    pull += slope * (weight * above)[:, None]


def _collect(group: Indices, groups: int) -> csr_matrix:
    """Return the groups×N matrix that sums rows of one group."""
    each = np.arange(len(group))
    return csr_matrix((np.ones(len(group)), (group, each)), shape=(groups, len(group)))


# -- Incremental registration of a video's frames, each against those before it --------------------


# -- Result of registering a frame as it arrives ---------------------------------------------------


class RegistrationFailure(StrEnum):
    """Reason for not registering a frame.

    FIRST    no recorded landmark shows its ground yet
    FEW      too few landmarks were found again, or in one corner
    UNCLEAR  they agree on no pose
    FAR      they agree on a pose that the log's sigmas exclude
    WORSE    the steps to the mosaic would be larger than by the log's pose
    """

    FIRST = "first"
    FEW = "few"
    UNCLEAR = "unclear"
    FAR = "far"
    WORSE = "worse"


@dataclass(frozen=True, kw_only=True, slots=True)
class RegistrationResult:
    """A frame's pose for the mosaic.

    pose     source REGISTERED where evidence or neighbours corrected it, else the log's own
    failure  None: registered by its own evidence
    seam_m   (by the log's pose, by this one): median step on the ground between this frame and those in the
             mosaic at the landmarks they share; NaN where there are none
    """

    pose: ExteriorOrientation
    failure: RegistrationFailure | None
    seam_m: tuple[float, float] = (float("nan"), float("nan"))


# -- Registration of frames in time order ----------------------------------------------------------


WIDTH_PX = 960
"""Landmarks are searched in images no wider than this."""

# Newest frames that a window estimates, and most earlier ones that it holds fixed. Work is bounded by these
# counts, so that the same images give the same poses on every machine.
_ACTIVE, _HELD = 12, 12
_REMEMBERED = 240
# Most landmarks searched in a frame; with fewer matches than the second, new ones are started.
_SOUGHT, _WANTED = 320, 180
_MAX_LANDMARKS = 700
# Landmarks that an earlier frame must share to be held fixed in the window.
_SHARED = 8
# Fewer observations, or in fewer cells of a 4×4 grid, do not determine a pose.
_MIN_OBSERVATIONS, _MIN_CELLS, _COVERED_CELLS = 15, 5, 4
# Largest residual of an observation that the pose explains, and the least share of those.
_FITS_PX = 2.0
_MIN_FIT = 0.5
# A pose or shift farther from the log than this many of its sigmas is rejected.
_SIGMAS = 4.0


_NONE = LandmarkMatches(landmark=np.empty(0, dtype=np.int32), uv_px=np.empty((0, 2)))


class Registrar:
    """Registration of frames in order of time.

    Keeps the last `_REMEMBERED` of them, as poses and landmarks.
    """

    def __init__(self, interior: InteriorOrientation) -> None:
        width, height = interior.image_size_px
        share = min(1.0, WIDTH_PX / width)
        self._size = (max(round(width * share), 1), max(round(height * share), 1))
        self._interior = scale_interior(interior, self._size)
        self._wander, self._options = LogDrift(), WindowOptions()
        self._landmarks = Landmarks()
        self._frames: list[Keyframe] = []
        self._next = 0

    def add(
        self, pixels: Bytes, logged: ExteriorOrientation, seconds: float, terrain: TerrainGrid
    ) -> RegistrationResult:
        """Register an image (H×W×3 RGB) with the pose of its log.

        The frame counts as orthorectified by the pose of the result. Frames in another work CRS or vertical
        datum than the one before start anew.
        """
        if self._frames and not is_comparable(self._frames[-1].logged, logged):
            self._landmarks, self._frames = Landmarks(), []
        grey = _grey(pixels, self._size)
        frame = self._entered(logged, seconds)
        spot = self._spot(frame)
        found = _NONE
        if len(self._landmarks):
            oldest = self._frames[-_ACTIVE].number if len(self._frames) >= _ACTIVE else 0
            found = self._landmarks.find(grey, spot, terrain, oldest, _SOUGHT)
        registered, used = self._registered(frame, found, terrain)
        frame.map_pose = registered.pose
        self._frames.append(frame)
        self._next += 1
        self._landmarks.add_observations(frame.number, used)
        self._begin(frame, grey, used, terrain)
        self._forget()
        return registered

    def set_map_pose(self, pose: ExteriorOrientation) -> None:
        """Set the pose by which the newest frame was orthorectified, if not the result's.

        In another work CRS or vertical datum it cannot help to place later frames: the frame is forgotten.
        """
        if is_comparable(self._frames[-1].logged, pose):
            self._frames[-1].map_pose = pose
        else:
            self.forget_newest()

    def forget_newest(self) -> None:
        """Forget the newest frame, which is not in the mosaic.

        Landmarks that only it sees are forgotten too.
        """
        self._landmarks.forget_newest(self._frames.pop().number)

    def predict_pose(self, logged: ExteriorOrientation, seconds: float) -> ExteriorOrientation:
        """Return the map pose of an image that is not registered.

        Its log's, corrected by the error of the frame before.
        """
        if not self._frames or not is_comparable(self._frames[-1].logged, logged):
            return logged
        return self._for_the_map(self._entered(logged, seconds), _NONE)

    def within_bounds(self, bounds_m: tuple[float, float, float, float]) -> tuple[Floats, Floats]:
        """Return landmarks in (west, south, east, north), N×3, and their height sigmas.

        N metres. Only of those that remembered frames saw from two places.
        """
        if not self._frames:
            return np.empty((0, 3)), np.empty(0)
        centre = np.stack([one.centre for one in self._frames])
        by = np.searchsorted([one.number for one in self._frames], self._landmarks.frame)
        ray_rad = self._options.image_px / float(np.mean(self._interior.focal_length_px))
        return self._landmarks.within_bounds(bounds_m, centre[by], ray_rad)

    def _entered(self, logged: ExteriorOrientation, seconds: float) -> Keyframe:
        """Return a frame whose pose has the error predicted from the frame before."""
        centre = np.array(logged.projection_centre_m, dtype=np.float64)
        rotation = np.array(logged.rotation, dtype=np.float64)
        if self._frames:
            last = self._frames[-1]
            error = compute_pose_errors(
                make_trajectory(np.zeros(1), [last.logged]), last.centre[None], last.rotation[None]
            )[0]
            both = make_trajectory(np.array([last.seconds, seconds]), [last.logged, logged])
            centre, rotation = apply_pose_error(centre, rotation, predict_error(both, error, self._wander))
        return Keyframe(self._next, seconds, logged, centre, rotation, logged)

    def _registered(
        self, frame: Keyframe, found: LandmarkMatches, terrain: TerrainGrid
    ) -> tuple[RegistrationResult, LandmarkMatches]:
        """Return the frame's result, and the observations that support it.

        None of them where it is rejected.
        """
        if not self._frames:
            return RegistrationResult(pose=frame.logged, failure=RegistrationFailure.FIRST), _NONE
        if _thin(found, self._size):
            why = RegistrationFailure.FEW if len(found.landmark) else RegistrationFailure.FIRST
            return RegistrationResult(pose=self._for_the_map(frame, _NONE), failure=why), _NONE
        chosen = [*self._chosen(found), frame]
        window, numbers = self._window(chosen, found, terrain)
        settled = solve_window(window, self._wander, self._options)
        used = _borne(window, numbers, settled, found)
        refusal = self._objection(window, settled, used, found)
        if refusal is not None:
            return RegistrationResult(pose=self._for_the_map(frame, _NONE), failure=refusal), _NONE
        centre = np.stack([one.centre for one in chosen])
        rotation, point = np.stack([one.rotation for one in chosen]), self._landmarks.point[numbers]
        self._believe(chosen, numbers, settled.centre, settled.rotation, settled.point)
        pose = self._for_the_map(frame, used)
        seam = self._seam(frame.logged, used), self._seam(pose, used)
        if seam[1] > seam[0] + self._tolerated_m(frame, used):
            self._believe(chosen, numbers, centre, rotation, point)
            return RegistrationResult(
                pose=self._for_the_map(frame, _NONE), failure=RegistrationFailure.WORSE
            ), _NONE
        return RegistrationResult(pose=pose, failure=None, seam_m=seam), used

    def _objection(
        self, window: AdjustmentWindow, settled: WindowSolution, used: LandmarkMatches, found: LandmarkMatches
    ) -> RegistrationFailure | None:
        if len(used.landmark) < _MIN_FIT * len(found.landmark) or _thin(used, self._size):
            return RegistrationFailure.UNCLEAR
        return RegistrationFailure.FAR if _far(window.logged, settled) else None

    def _believe(
        self,
        frames: list[Keyframe],
        numbers: NDArray[np.int64],
        centre: Floats,
        rotation: Floats,
        point: Floats,
    ) -> None:
        for one, place, attitude in zip(frames, centre, rotation, strict=True):
            one.centre, one.rotation = place, attitude
        self._landmarks.point[numbers] = point

    def _tolerated_m(self, frame: Keyframe, used: LandmarkMatches) -> float:
        """Return the step below which there is no evidence, metres.

        The error of two observations, on the ground.
        """
        height = float(frame.centre[2] - np.median(self._landmarks.point[used.landmark, 2]))
        return _FITS_PX * max(height, 0.0) / float(np.mean(self._interior.focal_length_px))

    def _chosen(self, found: LandmarkMatches) -> list[Keyframe]:
        """Return the newest frames, and earlier ones with most landmarks in common."""
        active = self._frames[-(_ACTIVE - 1) :]
        marks = self._landmarks
        common = _among(found.landmark, len(marks))[marks.landmark]
        numbers, shared = np.unique(marks.frame[common], return_counts=True)
        old = (numbers < active[0].number) & (shared >= _SHARED)
        best = numbers[old][np.argsort(-shared[old], kind="stable")[:_HELD]]
        before = set(best.tolist()) | {active[0].number - 1}
        return [one for one in self._frames if one.number in before or one.number >= active[0].number]

    def _window(
        self, frames: list[Keyframe], found: LandmarkMatches, terrain: TerrainGrid
    ) -> tuple[AdjustmentWindow, NDArray[np.int64]]:
        """Return the window's arrays, and the numbers of its landmarks."""
        marks = self._landmarks
        numbers = np.array([one.number for one in frames])
        frame = np.concatenate([marks.frame, np.full(len(found.landmark), frames[-1].number)])
        landmark = np.concatenate([marks.landmark, found.landmark])
        uv = np.concatenate([marks.uv_px, found.uv_px])
        here = _among(numbers, self._next + 1)[frame]
        frame, landmark, uv = frame[here], landmark[here], uv[here]
        count = np.bincount(landmark, minlength=len(marks))
        newest = _among(found.landmark, len(marks))
        active = self._frames[-(_ACTIVE - 1) :][0].number
        moving = _among(landmark[frame >= active], len(marks))
        usable = np.flatnonzero((count >= 2) & moving)
        worth = count[usable] + 1000 * newest[usable]
        kept = np.sort(usable[np.argsort(-worth, kind="stable")[:_MAX_LANDMARKS]])
        in_window = _among(kept, len(marks))[landmark]
        window = AdjustmentWindow(
            interior=self._interior,
            scale=frames[-1].logged.grid_scale,
            terrain=terrain,
            logged=make_trajectory(np.array([one.seconds for one in frames]), [one.logged for one in frames]),
            centre=np.stack([one.centre for one in frames]),
            rotation=np.stack([one.rotation for one in frames]),
            held=numbers < active,
            frame=np.searchsorted(numbers, frame[in_window]).astype(np.int32),
            landmark=np.searchsorted(kept, landmark[in_window]).astype(np.int32),
            uv_px=uv[in_window],
            point=marks.point[kept],
        )
        return window, kept

    def _for_the_map(self, frame: Keyframe, used: LandmarkMatches) -> ExteriorOrientation:
        """Return the estimated pose, shifted as its neighbours in the mosaic are.

        That is their map pose against today's estimate. A shift larger than the log's sigmas allow is not
        applied: ground so far off is no neighbour of this frame.
        """
        moved = self._moved(used)
        if np.hypot(*moved) > self._allowed_m(frame):
            moved = np.zeros(2)
        east, north, height = (frame.centre + np.array([*moved, 0.0])).tolist()
        return replace(
            frame.logged,
            projection_centre_m=(east, north, height),
            rotation=to_mat3(frame.rotation),
            source=PoseSource.REGISTERED,
        )

    def _allowed_m(self, frame: Keyframe) -> float:
        """Return the horizontal error of a frame's ground by the log's sigmas, metres."""
        height = float(frame.centre[2] - self._below(self._frames[-1])[0, 2])
        sigma_m = np.hypot(*frame.logged.sigma_position_m[:2])
        sigma_rad = np.hypot(*frame.logged.sigma_attitude_rad[:2])
        return _SIGMAS * float(np.hypot(sigma_m, max(height, 0.0) * sigma_rad))

    def _moved(self, used: LandmarkMatches) -> Floats:
        """Return the median (east, north) shift of the mosaic against today's estimate."""
        by, uv, point, _ = self._shared(used)
        if not by.size:
            last = self._frames[-1]
            by, uv, point = np.array([len(self._frames) - 1]), self._middle, self._below(last)
        frames, by = select_keyframes(self._frames, by)
        map_poses = np.stack([to_pose_row(one.map_pose) for one in frames])[by]
        now = np.stack([np.r_[one.centre, one.rotation.ravel()] for one in frames])[by]
        scale = frames[0].logged.grid_scale
        off = self._met(map_poses, uv, point, scale) - self._met(now, uv, point, scale)
        moved: Floats = np.nan_to_num(np.nanmedian(off, axis=0))
        return moved

    def _seam(self, pose: ExteriorOrientation, used: LandmarkMatches) -> float:
        """Return the median step between the ground by `pose` and by earlier map poses.

        Metres, at the landmarks in `used`.
        """
        by, uv, point, own = self._shared(used)
        frames, by = select_keyframes(self._frames, by)
        map_poses = np.stack([to_pose_row(one.map_pose) for one in frames])[by]
        here = np.broadcast_to(to_pose_row(pose), map_poses.shape)
        step = self._met(map_poses, uv, point, pose.grid_scale) - self._met(here, own, point, pose.grid_scale)
        return float(np.nanmedian(np.hypot(*step.T)))

    def _shared(self, used: LandmarkMatches) -> tuple[NDArray[np.int64], Floats, Floats, Floats]:
        """Return all observations of the landmarks in `used` by remembered frames.

        Frame indices, image points, landmark positions, and image points in the newest frame.
        """
        marks = self._landmarks
        rows = np.flatnonzero(_among(used.landmark, len(marks))[marks.landmark])
        numbers = np.array([one.number for one in self._frames])
        at = np.searchsorted(used.landmark, marks.landmark[rows])
        by = np.searchsorted(numbers, marks.frame[rows])
        return by, marks.uv_px[rows], marks.point[marks.landmark[rows]], used.uv_px[at]

    def _met(self, poses: Floats, uv: Floats, point: Floats, scale: float) -> Floats:
        """Intersect rays of N poses (12 numbers) with the landmarks' levels, N×2 metres.

        uv N×2, landmarks N×3.
        """
        rays = np.stack(compute_ray_directions(self._interior, uv[:, 0], uv[:, 1]), axis=-1)
        world = np.einsum("nji,nj->ni", poses[:, 3:].reshape(-1, 3, 3), rays)
        fall = (point[:, 2] - poses[:, 2]) * scale
        met: Floats = poses[:, :2] + world[:, :2] * (fall / world[:, 2])[:, None]
        return met

    @property
    def _middle(self) -> Floats:
        return np.array([[(self._size[0] - 1) / 2.0, (self._size[1] - 1) / 2.0]])

    def _below(self, frame: Keyframe) -> Floats:
        """Return the place below a frame, 1×3, at the height of its landmarks.

        Without landmarks, 100 m below it.
        """
        marks = self._landmarks
        heights_m = marks.point[marks.landmark[marks.frame == frame.number], 2]
        height = float(np.median(heights_m)) if heights_m.size else float(frame.centre[2]) - 100.0
        return np.array([[*frame.centre[:2], height]])

    def _begin(self, frame: Keyframe, grey: Bytes, used: LandmarkMatches, terrain: TerrainGrid) -> None:
        """Start new landmarks where this frame has few."""
        wanted = _WANTED - len(used.landmark)
        if wanted <= 0:
            return
        uv = detect_corners(grey, used.uv_px, wanted)
        pose = self._posed(frame)
        origins, along = compute_viewing_rays(self._interior, pose, uv)
        sighted = np.isfinite(along).all(axis=1)
        point = np.full((len(uv), 3), np.nan)
        if sighted.any():
            point[sighted] = cast_rays(terrain, origins[sighted], along[sighted])
        known = np.isfinite(point).all(axis=1)
        self._landmarks.add(frame.number, grey, self._spot(frame), terrain, uv[known], point[known])

    def _posed(self, frame: Keyframe) -> ExteriorOrientation:
        east, north, height = frame.centre.tolist()
        return replace(
            frame.logged, projection_centre_m=(east, north, height), rotation=to_mat3(frame.rotation)
        )

    def _spot(self, frame: Keyframe) -> CameraStation:
        return CameraStation(
            interior=self._interior,
            centre=frame.centre,
            rotation=frame.rotation,
            scale=frame.logged.grid_scale,
        )

    def _forget(self) -> None:
        if len(self._frames) > _REMEMBERED:
            self._frames = self._frames[-_REMEMBERED:]
            self._landmarks.forget(self._frames[0].number)


def _grey(pixels: Bytes, size: tuple[int, int]) -> Bytes:
    small = pixels
    if (pixels.shape[1], pixels.shape[0]) != size:
        small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _thin(found: LandmarkMatches, size: tuple[int, int]) -> bool:
    """Return True if observations are too few, or too clustered, to determine a pose."""
    cells = np.unique(compute_cell_index(found.uv_px, size, _COVERED_CELLS))
    return len(found.landmark) < _MIN_OBSERVATIONS or len(cells) < _MIN_CELLS


def _among(chosen: NDArray[np.integer], size: int) -> NDArray[np.bool_]:
    """Return a mask over 0 … size - 1 of the chosen numbers."""
    mask = np.zeros(size, dtype=bool)
    mask[chosen] = True
    return mask


def _borne(
    window: AdjustmentWindow, numbers: NDArray[np.int64], settled: WindowSolution, found: LandmarkMatches
) -> LandmarkMatches:
    """Return the newest frame's observations that the adjusted pose explains."""
    newest = window.frame == len(window.logged) - 1
    fits = settled.miss_px[newest] <= _FITS_PX
    at = np.searchsorted(found.landmark, numbers[window.landmark[newest]])[fits]
    return LandmarkMatches(landmark=found.landmark[at], uv_px=found.uv_px[at])


def _far(logged: LoggedTrajectory, settled: WindowSolution) -> bool:
    """Return True if the newest frame is farther from its log than its sigmas allow."""
    error = compute_pose_errors(logged, settled.centre, settled.rotation)[-1]
    return bool((np.abs(error) > _SIGMAS * logged.sigma[-1]).any())
