"""Bundle adjustment of a video's newest frames, held by earlier results.

Frames of the window are linked by the model of the log's errors (`LogDrift`), tied by landmarks that several
of them see, and constrained to the terrain by the landmarks' heights. Earlier frames, and those of earlier
strips that see the same ground, are held at their adjusted poses, with a sigma. Landmarks are eliminated one
by one (Schur complement); a dense system of a few dozen frames remains.

Sources: Triggs et al., Bundle Adjustment - A Modern Synthesis, 2000; Sibley, Matthies and Sukhatme, Sliding
window filter with application to planetary landing, 2010 (with held frames in place of a marginal).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from flycam.geometry.camera import InteriorOrientation
from flycam.geometry.features import compute_cell_index, select_evenly
from flycam.geometry.pose import ExteriorOrientation, angle_axis_from_rotation, rotation_from_angle_axis
from flycam.geometry.projection import (
    compute_rotation_derivative,
    project_with_camera_derivatives,
    to_lens_vector,
)
from flycam.geometry.templates import TEMPLATE_PX, cut_templates, match_templates
from flycam.geometry.terrain import TerrainGrid, compute_normals, interpolate_heights
from flycam.mosaic.adjustment.block import Floats, Indices
from flycam.mosaic.adjustment.priors import cauchy, compute_ground_loss

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
