"""Data model of a block adjustment: inputs, options, unknowns and results.

All are arrays: there is never a Python object per point. All coordinates are (east, north, height) metres in
the block's work CRS and vertical datum; image points are (u, v) = (column, row) pixels of the frame's
full-size image, pixel centres at integers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.camera import InteriorOrientation, compute_row_times, is_rolling
from flycam.geometry.pose import ExteriorOrientation, Vec3, rotation_from_angle_axis
from flycam.geometry.projection import LENS_UNKNOWNS, to_lens_vector
from flycam.geometry.terrain import TerrainGrid
from flycam.messages import Message

Floats = NDArray[np.float64]
Indices = NDArray[np.int32]


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockFrame:
    """One frame of the block before the adjustment.

    camera        frames with the same key share one interior orientation (calibration id, size, maker)
    strip         number of the straight leg it was flown in: a gimbal's yaw offset is constant on a leg
    exterior      the prior, with its sigmas; its motion, if any, is that of a rolling shutter: the velocity
                  is kept, the rate of rotation is adjusted, and absorbs the velocity's error
    """

    frame_id: str
    source_name: str
    camera: str
    strip: int
    captured_ns: int
    interior: InteriorOrientation
    exterior: ExteriorOrientation


@dataclass(frozen=True, kw_only=True, slots=True)
class Ties:
    """Observations of tie points, sorted by (track, frame).

    A track has at most one observation in a frame.

    frame     N int32, index into Block.frames
    track     N int32, 0 … tracks-1, each at least twice
    uv_px     N×2 float64
    sigma_px  N float64, of one coordinate
    """

    frame: Indices
    track: Indices
    uv_px: Floats
    sigma_px: Floats

    @property
    def tracks(self) -> int:
        """Number of tracks."""
        return int(self.track[-1]) + 1 if self.track.size else 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlPoint:
    """Ground point of known position, seen in frames.

    A GCP, or a place found again in a reference map.

    sigma_m   (east, north, height); inf where a coordinate is not known
    frames    indices into Block.frames
    uv_px     len(frames)×2, its image points in them
    check     held out of the adjustment and reported
    """

    name: str
    position_m: Vec3
    sigma_m: Vec3
    frames: tuple[int, ...]
    uv_px: Floats
    sigma_px: float
    check: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class TerrainPrior:
    """Terrain as an observation of every tie point's height.

    sigma_height_m      of a post, correlated errors included
    sigma_shift_m       (east, north, height) 1-sigma of the whole model's shift, which is solved for
    canopy_m            sigma of the height of ground cover above the model: one-sided, robust
    """

    terrain: TerrainGrid
    sigma_height_m: float = 3.0
    sigma_shift_m: Vec3 = (5.0, 5.0, 3.0)
    canopy_m: float = 8.0

    @classmethod
    def from_stated_sigma(
        cls, terrain: TerrainGrid, sigma_m: tuple[float, float | None] | None
    ) -> TerrainPrior:
        """Return a prior with the model's stated (vertical, horizontal) sigma.

        The default where none is stated.
        """
        usual = cls(terrain=terrain)
        if sigma_m is None:
            return usual
        up, aside = sigma_m
        plan = usual.sigma_shift_m[0] if aside is None else aside
        return replace(usual, sigma_height_m=up, sigma_shift_m=(plan, plan, up))


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """All that is known of a flight before its adjustment.

    terrain is None for a flight without a DEM.
    """

    frames: Sequence[BlockFrame]
    ties: Ties
    terrain: TerrainPrior | None = None
    control: Sequence[ControlPoint] = ()


class FrameState(StrEnum):
    """Degree to which tie points determine a frame.

    TIED      by its own tie points
    WEAK      too few, or badly spread: by them and its prior together
    CARRIED   no usable ties: its prior, corrected as its neighbours in time were
    """

    TIED = "tied"
    WEAK = "weak"
    CARRIED = "carried"


@dataclass(frozen=True, kw_only=True, slots=True)
class AdjustedFrame:
    """One frame after the adjustment.

    exterior   source ADJUSTED, version of the prior + 1, its sigmas *relative to the block* (the common shift
               removed)
    ties       number of observations that were used
    rms_px     of their residuals (one coordinate)
    cells_pct  share of an 8×8 grid over the image that holds a tie, 0-100
    """

    frame_id: str
    state: FrameState
    exterior: ExteriorOrientation
    ties: int
    rms_px: float
    cells_pct: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Accuracy:
    """Measured accuracy of an adjustment, as a report prints it.

    reprojection_px   RMS of one coordinate over the tracks used
    held_out_px       the same over tracks held out of the adjustment (NaN if none)
    shift_m           common shift of the block found against its priors (east, north, height)
    shift_sigma_m     remaining 1-sigma of the absolute position: of the ground shown (east, north), and
                      of the projection centres' height
    check_m           RMS (east, north, height) at check points, NaN without
    sigma0            square root of the robust chi-square per degree of freedom
    """

    reprojection_px: float
    held_out_px: float
    tracks: int
    observations: int
    shift_m: Vec3
    shift_sigma_m: Vec3
    check_m: Vec3
    sigma0: float
    iterations: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Adjustment:
    """The adjusted block.

    accepted      False where the adjustment failed the acceptance test: `frames` and `interiors` are then
                  the priors, and `reason` states why
    interiors     by camera key
    points_m      tracks×3, NaN where a track was rejected
    point_sigma_m tracks×3
    residual_px   N×2, of every observation in `Block.ties` (held-out ones included); NaN where rejected
    used          N bool, the observations that took part
    notes         sentences for the report: differences from the metadata
    frame_covariance    n×6×6 of (east, north, up) m and rotations about the camera's axes (rad) of each
                        frame, relative to the common shift of the ground that the block shows; None
                        where the priors were kept
    control_residual_m  control points×3, triangulated minus given position (NaN where it cannot be
                        triangulated); None where the priors were kept
    """

    accepted: bool
    reason: Message | None
    frames: Sequence[AdjustedFrame]
    interiors: Mapping[str, InteriorOrientation]
    accuracy: Accuracy
    points_m: Floats
    point_sigma_m: Floats
    residual_px: Floats
    used: NDArray[np.bool_]
    notes: tuple[Message, ...] = ()
    frame_covariance: Floats | None = None
    control_residual_m: Floats | None = None


# -- Options of an adjustment, and prior sigmas that frames do not state ---------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class AdjustOptions:
    """Options of `adjust_block`; the defaults suit a consumer drone.

    held_out_share        share of tracks that take no part and are triangulated with the final poses. The
                          acceptance test needs some: below 0.02 it is 0.02
    self_calibration      estimate the interior orientation within its prior
    max_iterations        of all stages together
    outlier_sigmas        residuals beyond this many (robustly estimated) sigmas are rejected at the end
    noise_share           a frame's sigma_position_m and sigma_attitude_rad are of one exposure alone. This
                          share of them is noise that is new in every frame; the rest, sqrt(1 - share²), is a
                          GNSS bias common to the flight, and a yaw offset common to a strip. With 0.5 a
                          position of ±1.5 m is a bias of ±1.3 m and noise of ±0.75 m. A height's noise is
                          at most twice the horizontal one: the rest of its sigma is of its zero. The noise is
                          estimated anew from the block itself; the bias cannot be
    estimate_noise        do so (variance components); False takes the sigmas as they are
    session_gap_s         a longer pause between frames is a landing: the GNSS bias starts anew
    turn_sigma_radps      of a camera's rotation rate during readout: 0.3° a second of a gimbal's; gusts look
                          the same from straight above (0.6 m/s over 120 m)
    boresight_sigma_rad   of the camera against the gimbal's zero, per axis
    focal_floor_rel       least relative sigma of a focal length, whatever its metadata state
    dem_correlation_m     errors of the DEM are alike within this distance: all tie points within a square of
                          this side count as one observation of its height
    dem_length_m          distance at which the correlation of those errors has fallen to 1/e; the errors that
                          squares share are in the covariance (`SharedTerrainErrors`)
    min_parallax_deg      tracks whose rays meet at less are left out: they determine no point
    min_ties_tied         a frame with fewer used ties, or ties in fewer than min_cells of its 8×8 grid, is
    min_cells             WEAK
    """

    held_out_share: float = 0.05
    self_calibration: bool = True
    max_iterations: int = 60
    outlier_sigmas: float = 4.0
    noise_share: float = 0.5
    estimate_noise: bool = True
    session_gap_s: float = 300.0
    turn_sigma_radps: float = 0.005
    boresight_sigma_rad: float = 0.009
    focal_floor_rel: float = 0.002
    dem_correlation_m: float = 100.0
    dem_length_m: float = 200.0
    min_parallax_deg: float = 1.5
    min_ties_tied: int = 20
    min_cells: int = 7


# -- Unknowns of a block: six a frame (nine with rolling shutters), three a point ------------------
#
# Besides them a border that all frames share, in this order: GNSS bias (3 a session), boresight (3 a camera),
# yaw offset (1 a strip), lens (9 a camera), shift of the DEM (3). Points depend on the last two only.


POSE_UNKNOWNS, ROLLING_UNKNOWNS = 6, 9


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Positions of the groups of border unknowns."""

    sessions: int
    cameras: int
    strips: int

    @property
    def bias(self) -> slice:
        """GNSS biases, 3 a session."""
        return slice(0, 3 * self.sessions)

    @property
    def boresight(self) -> slice:
        """Boresight angles, 3 a camera."""
        start = self.bias.stop
        return slice(start, start + 3 * self.cameras)

    @property
    def yaw(self) -> slice:
        """Yaw offsets, 1 a strip."""
        start = self.boresight.stop
        return slice(start, start + self.strips)

    @property
    def lens(self) -> slice:
        """Lens vectors, 9 a camera."""
        start = self.yaw.stop
        return slice(start, start + LENS_UNKNOWNS * self.cameras)

    @property
    def dem(self) -> slice:
        """Shift of the DEM."""
        start = self.lens.stop
        return slice(start, start + 3)

    @property
    def seen(self) -> slice:
        """Part of the border that observations of points depend on: lens and DEM."""
        return slice(self.lens.start, self.size)

    @property
    def size(self) -> int:
        """Number of border unknowns."""
        return int(self.dem.stop)


@dataclass(frozen=True, kw_only=True, slots=True)
class Unknowns:
    """Values of all unknowns; metres are relative to the problem's origin.

    centre n×3; rotation n×3×3; turn n×3 rad/s during readout (an unknown only of a block with rolling
    shutters); bias sessions×3 (measured minus true); boresight cameras×3 and yaw (strips) in radians; lens
    cameras×9; dem 3 (shift east, north, up that corrects the DEM); point P×3.
    """

    centre: Floats
    rotation: Floats
    turn: Floats
    bias: Floats
    boresight: Floats
    yaw: Floats
    lens: Floats
    dem: Floats
    point: Floats

    @property
    def layout(self) -> Layout:
        """Positions of the border's groups."""
        return Layout(sessions=len(self.bias), cameras=len(self.lens), strips=len(self.yaw))

    def stepped(self, frames: Floats, border: Floats, points: Floats) -> Unknowns:
        """Return the unknowns after a step.

        frames n×6 (centre, rotation about the camera's axes) or n×9 (and rotation rate), border, points P×3.
        """
        at = self.layout
        return replace(
            self,
            centre=self.centre + frames[:, :3],
            rotation=rotation_from_angle_axis(frames[:, 3:6]) @ self.rotation,
            turn=self.turn + frames[:, 6:] if frames.shape[1] > POSE_UNKNOWNS else self.turn,
            bias=self.bias + border[at.bias].reshape(-1, 3),
            boresight=self.boresight + border[at.boresight].reshape(-1, 3),
            yaw=self.yaw + border[at.yaw],
            lens=self.lens + border[at.lens].reshape(-1, LENS_UNKNOWNS),
            dem=self.dem + border[at.dem],
            point=self.point + points,
        )


# -- A block as arrays: frames, cameras, observations ----------------------------------------------
#
# Metres relative to an origin inside the block.


Bools = NDArray[np.bool_]

# A strip of fewer frames has no yaw offset of its own: it could not be separated from noise.
_STRIP_FRAMES = 3
# Observations linearised at a time: bounds the memory of derivatives.
_CHUNK = 60_000
_STILL = (0.0, 0.0, 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameArrays:
    """Priors of n frames.

    centre, rotation  n×3 measured positions, n×3×3 measured attitudes
    scale             n grid scales
    sigma_position, sigma_attitude  n×3 as recorded (bias and noise together)
    camera, strip, session  n numbers, strip -1 where it has no offset of its own
    seconds           n since the first
    velocity, turn    n×3 (world axes) and n×3 (camera axes) during readout, zero where the shutter does not
                      roll
    rolling           True if any shutter rolls
    on_terrain        n: the height refers to the terrain
    """

    centre: Floats
    rotation: Floats
    scale: Floats
    sigma_position: Floats
    sigma_attitude: Floats
    camera: Indices
    strip: Indices
    session: Indices
    seconds: Floats
    velocity: Floats
    turn: Floats
    rolling: bool
    on_terrain: Bools

    @property
    def unknowns(self) -> int:
        """Number of unknowns of a frame.

        Its rotation rate is unknown as soon as one shutter rolls.
        """
        return ROLLING_UNKNOWNS if self.rolling else POSE_UNKNOWNS

    def __len__(self) -> int:
        return len(self.centre)


@dataclass(frozen=True, kw_only=True, slots=True)
class Observations:
    """N image observations sorted by (point, frame).

    frame, point N; uv N×2; sigma N px; after N seconds between the middle row's read-out and this one's;
    tie N: index into Block.ties, -1 for a control point.
    """

    frame: Indices
    point: Indices
    uv: Floats
    sigma: Floats
    after: Floats
    tie: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def starts(self) -> NDArray[np.int64]:
        """Index of each point's first observation."""
        return np.flatnonzero(np.diff(self.point, prepend=-1) != 0)

    def take(self, rows: NDArray[Any] | slice) -> Observations:
        """Select by a mask, increasing indices, or a slice."""
        return Observations(
            frame=self.frame[rows],
            point=self.point[rows],
            uv=self.uv[rows],
            sigma=self.sigma[rows],
            after=self.after[rows],
            tie=self.tie[rows],
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class AdjustmentProblem:
    """The constant part of a block, while its unknowns are estimated.

    origin           of the local coordinates
    cameras          interior orientation of each camera number
    keys             names of the cameras
    observations     all, of ties and control
    tracks           points 0 … tracks-1 are tie points; the control points follow
    control_m        control points' given positions, sigma 1/∞ where not known
    """

    origin: Floats
    frames: FrameArrays
    keys: Sequence[str]
    cameras: Sequence[InteriorOrientation]
    observations: Observations
    tracks: int
    control: Sequence[ControlPoint]
    control_m: Floats
    control_sigma: Floats

    @property
    def points(self) -> int:
        """Number of tie and control points together."""
        return self.tracks + len(self.control)


def build_problem(block: Block, options: AdjustOptions) -> AdjustmentProblem:
    """Build the arrays of a block of at least one frame."""
    centres = np.array([f.exterior.projection_centre_m for f in block.frames])
    origin = np.round(centres.mean(axis=0))
    keys = sorted({f.camera for f in block.frames})
    number = {key: k for k, key in enumerate(keys)}
    first = {f.camera: f.interior for f in reversed(block.frames)}
    cameras = [first[key] for key in keys]
    frames = _frame_arrays(block.frames, centres - origin, number, options)
    return AdjustmentProblem(
        origin=origin,
        frames=frames,
        keys=keys,
        cameras=cameras,
        observations=_observations(block, frames, cameras),
        tracks=block.ties.tracks,
        control=block.control,
        control_m=np.array([p.position_m for p in block.control]).reshape(-1, 3) - origin,
        control_sigma=np.array([p.sigma_m for p in block.control], dtype=np.float64).reshape(-1, 3),
    )


def make_starting_values(problem: AdjustmentProblem) -> Unknowns:
    """Return the priors as unknowns; points are not triangulated yet (NaN)."""
    frames = problem.frames
    return Unknowns(
        centre=frames.centre.copy(),
        rotation=frames.rotation.copy(),
        turn=frames.turn.copy(),
        bias=np.zeros((int(frames.session.max()) + 1, 3)),
        boresight=np.zeros((len(problem.cameras), 3)),
        yaw=np.zeros(int(frames.strip.max()) + 1),
        lens=np.stack([to_lens_vector(c) for c in problem.cameras]),
        dem=np.zeros(3),
        point=np.full((problem.points, 3), np.nan),
    )


def split_chunks(seen: Observations) -> list[slice]:
    """Return slices of about 60,000 observations that do not split a point."""
    total, starts = len(seen), seen.starts
    if not total:
        return []
    cuts = np.searchsorted(starts, np.arange(_CHUNK, total, _CHUNK))
    edges = np.unique(np.r_[0, starts[np.minimum(cuts, len(starts) - 1)], total])
    return [slice(a, b) for a, b in pairwise(edges.tolist())]


def _frame_arrays(
    frames: Sequence[BlockFrame], centres: Floats, number: dict[str, int], options: AdjustOptions
) -> FrameArrays:
    times = np.array([f.captured_ns for f in frames], dtype=np.int64)
    camera = np.array([number[f.camera] for f in frames], dtype=np.int32)
    motions = [f.exterior.motion if is_rolling(f.interior, f.exterior) else None for f in frames]
    return FrameArrays(
        centre=centres,
        rotation=np.array([f.exterior.rotation for f in frames]),
        scale=np.array([f.exterior.grid_scale for f in frames]),
        sigma_position=np.array([f.exterior.sigma_position_m for f in frames]),
        sigma_attitude=np.array([f.exterior.sigma_attitude_rad for f in frames]),
        camera=camera,
        strip=_strips(np.array([f.strip for f in frames])),
        session=_sessions(times, options.session_gap_s),
        seconds=(times - times.min()) * 1e-9,
        velocity=np.array([m.velocity_mps if m else _STILL for m in motions]),
        turn=np.array([m.turn_radps if m else _STILL for m in motions]),
        rolling=any(motions),
        on_terrain=np.array([f.exterior.height_on_terrain for f in frames], dtype=bool),
    )


def _strips(strip: NDArray[np.int64]) -> Indices:
    """Number strips from 0 in their own order; -1 for the short ones."""
    _, number, count = np.unique(strip, return_inverse=True, return_counts=True)
    long = count >= _STRIP_FRAMES
    renumbered = np.where(long, np.cumsum(long) - 1, -1)
    return renumbered[number].astype(np.int32)


def _sessions(times_ns: NDArray[np.int64], gap_s: float) -> Indices:
    """Number sessions 0, 1, … in time.

    A new one starts after each pause longer than `gap_s`.
    """
    order = np.argsort(times_ns, kind="stable")
    session = np.empty(len(times_ns), dtype=np.int32)
    session[order] = np.r_[0, np.cumsum(np.diff(times_ns[order]) > gap_s * 1e9)]
    return session


def _observations(
    block: Block,
    frames: FrameArrays,
    cameras: Sequence[InteriorOrientation],
) -> Observations:
    ties = block.ties
    used = [(k, p) for k, p in enumerate(block.control) if p.frames]
    counts = [len(p.frames) for _, p in used]
    frame = np.concatenate([ties.frame, *(np.asarray(p.frames, np.int32) for _, p in used)]).astype(np.int32)
    point = np.concatenate([ties.track, np.repeat([ties.tracks + k for k, _ in used], counts)]).astype(
        np.int32
    )
    uv = np.concatenate([ties.uv_px, *(np.asarray(p.uv_px).reshape(-1, 2) for _, p in used)])
    sigma = np.concatenate([ties.sigma_px, np.repeat([p.sigma_px for _, p in used], counts)])
    tie = np.concatenate([np.arange(len(ties.frame)), np.full(sum(counts), -1)]).astype(np.int64)
    after = np.zeros(len(frame))
    moving = np.array([f.exterior.motion is not None for f in block.frames])[frame]
    for number, interior in enumerate(cameras):
        rows = moving & (frames.camera[frame] == number)
        after[rows] = compute_row_times(interior, uv[rows, 1])
    return Observations(
        frame=frame,
        point=point,
        uv=uv.astype(np.float64),
        sigma=sigma.astype(np.float64),
        after=after,
        tie=tie,
    ).take(np.lexsort((frame, point)))
