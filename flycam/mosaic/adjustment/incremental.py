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

from flycam.geometry.camera import (
    InteriorOrientation,
    compute_ray_directions,
    compute_viewing_rays,
    scale_interior,
)
from flycam.geometry.features import compute_cell_index
from flycam.geometry.pose import ExteriorOrientation, PoseSource, to_mat3
from flycam.geometry.terrain import TerrainGrid, cast_rays
from flycam.mosaic.adjustment.block import Floats
from flycam.mosaic.adjustment.window import (
    AdjustmentWindow,
    CameraStation,
    Keyframe,
    LandmarkMatches,
    Landmarks,
    LogDrift,
    LoggedTrajectory,
    WindowOptions,
    WindowSolution,
    apply_pose_error,
    compute_pose_errors,
    detect_corners,
    is_comparable,
    make_trajectory,
    predict_error,
    select_keyframes,
    solve_window,
    to_pose_row,
)

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


Bytes = NDArray[np.uint8]

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
_MIN_OBSERVATIONS, _MIN_CELLS, _CELLS = 15, 5, 4
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
    cells = np.unique(compute_cell_index(found.uv_px, size, _CELLS))
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
