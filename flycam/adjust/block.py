"""Data model of a block adjustment: inputs and results, as arrays.

There is never a Python object per point. All coordinates are (east, north, height) metres in the block's
work CRS and vertical datum; image points are (u, v) = (column, row) pixels of the frame's full-size image,
pixel centres at integers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.exterior import ExteriorOrientation, Vec3
from flycam.geometry.interior import InteriorOrientation
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
