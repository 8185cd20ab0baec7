"""A block as arrays: frames, cameras, observations.

Metres relative to an origin inside the block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flycam.adjust.block import Block, BlockFrame, ControlPoint, Floats, Indices
from flycam.adjust.options import AdjustOptions
from flycam.adjust.unknowns import POSE_UNKNOWNS, ROLLING_UNKNOWNS, Unknowns
from flycam.geometry.interior import InteriorOrientation
from flycam.geometry.projection import to_lens_vector
from flycam.geometry.rolling_shutter import compute_row_times, is_rolling

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
