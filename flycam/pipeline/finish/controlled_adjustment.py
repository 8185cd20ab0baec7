"""Absolute control of a block: ground control points, and a reference map.

The block is adjusted with the control points, compared with the reference under the resulting poses, and
adjusted again with control from the reference. Without either, the block keeps its GNSS position. A block
tied to a reference is no more accurate than that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.adjust import block as nouns
from flycam.adjust.block import Accuracy, Adjustment, BlockFrame, ControlPoint, FrameState
from flycam.adjust.bundle_adjustment import AdjustOptions
from flycam.frame.flight import is_flat_datum
from flycam.frame.tile import OrthoPatch
from flycam.geodata.crs import estimate_accuracy_m, to_lonlat
from flycam.geometry.grid import TileRange, compute_ground_pixel_m
from flycam.ingest.poses.crs_accuracy import format_crs_accuracy
from flycam.pipeline.finish.control_evaluation import (
    describe_reference_shift,
    describe_refused_reference,
    restrict_to_tied,
    select_tied_points,
    validate_control,
)
from flycam.pipeline.finish.ground_control import ResolvedControl, resolve_ground_control
from flycam.pipeline.finish.reference_tie import ReferenceTie, match_reference, open_reference
from flycam.pipeline.finish.stages import FinishRun, run_adjustment
from flycam.pipeline.orthorectification.rectification import orthorectify_frame

_REFERENCE_KINDS = (ReferenceTie, ControlPoint)
_SHIFT_SIGMAS = 4.0
# Offset between two maps without control beyond our own sigma.
_MAP_OFF_M = 6.0
_MAX_REACH_M = 25.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlledAdjustment:
    """An adjustment with its absolute control.

    notes: sentences for the report; doubts: those of them to be looked into; reference None: none given.
    """

    adjustment: Adjustment
    notes: Sequence[str]
    points: int
    reference: ReferenceTie | None
    doubts: Sequence[str] = ()

    @property
    def stats(self) -> dict[str, Any]:
        """JSON values for the revision's record."""
        tie = self.reference
        return {
            "said": list(self.notes),
            "doubts": list(self.doubts),
            "points": self.points if self.adjustment.accepted else 0,
            "reference": None
            if tie is None
            else {
                "used": bool(tie.control),
                "why": tie.why,
                "windows": {"tried": tie.tried, "found": tie.found, "agreed": tie.agreed},
                "shift_m": list(tie.shift_m) if tie.control else None,
                "spread_m": tie.spread_m if tie.control else None,
            },
        }


def check_control(frames: Sequence[BlockFrame], reference: Path | None, gcp: Path | None) -> None:
    """Reject unusable control of these frames early, before hours of work.

    Raises what `open_reference` and `resolve_ground_control` raise.
    """
    if reference is not None:
        open_reference(reference, _centres(frames), frames[0].exterior.work_crs)
    if gcp is not None:
        resolve_ground_control(gcp, frames, None)


def adjust_with_control(
    run: FinishRun,
    ties: nouns.Ties,
    options: AdjustOptions,
    reference: Path | None,
    gcp: Path | None,
    reference_sigma_m: float | None = None,
) -> ControlledAdjustment:
    """Adjust the block of a run with its control; see the module's recipe."""
    terrain = None if is_flat_datum(run.terrain.vertical_datum) else run.terrain
    settled = (
        ResolvedControl(points=(), notes=())
        if gcp is None
        else resolve_ground_control(gcp, run.frames, terrain)
    )
    if gcp is not None:
        counts = np.bincount(ties.frame, minlength=len(run.frames))
        settled = restrict_to_tied(gcp.name, settled, run.frames, (counts > 0).tolist())
    adjustment = run_adjustment(run, ties, options, settled.points)
    if gcp is not None and adjustment.accepted and settled.points:
        if (held := restrict_to_tied(gcp.name, settled, run.frames, _tied(adjustment))) is not settled:
            settled, adjustment = held, run_adjustment(run, ties, options, held.points, name="adjust-tied")
        settled = validate_control(gcp.name, settled, run.frames, adjustment, run.flight.gsd_m)
        if not settled.points:
            adjustment = run_adjustment(run, ties, options, (), name="adjust-free")
        elif adjustment.accepted:
            adjustment = widen_shift(adjustment, settled.crs_sigma_m)
    doubts = list(settled.doubts)
    tie = None
    if reference is not None:
        tie, crs_sigma_m = _compare(run, adjustment, reference)
        if crs_sigma_m and tie.control:
            doubts.append(str(format_crs_accuracy(reference.name, crs_sigma_m)))
        far = (
            describe_reference_shift(reference.name, tie.shift_m, adjustment.accuracy) if tie.control else ""
        )
        if tie.control:
            control = (*settled.points, *select_tied_points(tie.control, _tied(adjustment)))
            again = run_adjustment(run, ties, options, control, name="adjust-reference")
            if again.accepted:
                hung = apply_reference_accuracy(again, tie.shift_m, adjustment.accuracy, reference_sigma_m)
                adjustment = widen_shift(hung, crs_sigma_m)
            else:
                tie, far = replace(tie, control=(), why=describe_refused_reference(reference.name, tie)), ""
        if doubt := far if tie.control else tie.why:
            doubts.append(doubt)
    said = (*settled.notes, *([] if tie is None else [tie.why]))
    said = (*said, *(one for one in doubts if one not in said))
    return ControlledAdjustment(
        adjustment=adjustment, notes=said, points=len(settled.points), reference=tie, doubts=tuple(doubts)
    )


def _tied(adjustment: Adjustment) -> list[bool]:
    """Return True for each frame held by ties; for all if the block is not adjusted."""
    return [not adjustment.accepted or frame.state is not FrameState.CARRIED for frame in adjustment.frames]


def widen_shift(adjustment: Adjustment, radial_m: float) -> Adjustment:
    """Return the adjustment with a larger horizontal shift sigma (1 sigma, radial)."""
    east_m, north_m, up_m = adjustment.accuracy.shift_sigma_m
    each_m = radial_m / math.sqrt(2.0)
    sigma_m = (math.hypot(east_m, each_m), math.hypot(north_m, each_m), up_m)
    return replace(adjustment, accuracy=replace(adjustment.accuracy, shift_sigma_m=sigma_m))


def apply_reference_accuracy(
    tied: Adjustment, shift_m: tuple[float, float], own: Accuracy, reference_sigma_m: float | None
) -> Adjustment:
    """Return a block tied to a reference with its shift sigma (1-sigma, east, north).

    It combines what the tie leaves open with the reference's own error. That error is bounded by what its
    maker states (`read_reference_sigma`, radial), and by the flight's own positions: their sigma, and the
    distance by which the two differ.

    own  of the block before it was moved by `shift_m` (east, north)
    """
    by_maker_m = math.nan if reference_sigma_m is None else reference_sigma_m / math.sqrt(2.0)
    by_flight_m = np.hypot(own.shift_sigma_m[:2], shift_m)
    east_m, north_m = np.hypot(tied.accuracy.shift_sigma_m[:2], np.fmin(by_flight_m, by_maker_m))
    sigma_m = (float(east_m), float(north_m), tied.accuracy.shift_sigma_m[2])
    return replace(tied, accuracy=replace(tied.accuracy, shift_sigma_m=sigma_m))


def _compare(run: FinishRun, adjustment: Adjustment, reference: Path) -> tuple[ReferenceTie, float]:
    """Match the block under the poses just found with the reference.

    Returns the tie, and the accuracy of the reference's CRS here.
    """
    frames = [
        replace(before, exterior=after.exterior, interior=adjustment.interiors[before.camera])
        for before, after in zip(run.frames, adjustment.frames, strict=True)
    ]
    headers = [
        replace(record.header, interior=frame.interior, exterior_prior=frame.exterior)
        for record, frame in zip(run.records, frames, strict=True)
    ]
    picture = open_reference(reference, _centres(frames), frames[0].exterior.work_crs)

    def patch(number: int, tiles: TileRange) -> OrthoPatch:
        frame = frames[number]
        pixels = _thin_to_gsd(
            run.originals.pixels(frame.frame_id), run.flight.gsd_m, compute_ground_pixel_m(tiles.z, 0)
        )
        return orthorectify_frame(headers[number], frame.exterior, pixels, run.terrain, tiles)

    with run.progress.stage("reference") as progress:
        tie = run.folder.load_or_make(
            "reference",
            _REFERENCE_KINDS,
            lambda: match_reference(
                picture,
                frames,
                patch,
                run.terrain,
                reach_m=_reach_m(adjustment.accuracy),
                progress=progress,
            ),
        )
    lonlat = to_lonlat(_centres(frames)[:1], frames[0].exterior.work_crs)[0]
    return tie, estimate_accuracy_m(picture.crs, lonlat)


def _reach_m(accuracy: Accuracy) -> float:
    sigma = np.nan_to_num(float(np.hypot(*accuracy.shift_sigma_m[:2])), nan=_MAP_OFF_M)
    return float(min(_SHIFT_SIGMAS * sigma + _MAP_OFF_M, _MAX_REACH_M))


def _thin_to_gsd(pixels: NDArray[np.uint8], gsd_m: float, wanted_m: float) -> NDArray[np.uint8]:
    """Downsample by a whole factor, averaging, while it stays as fine as wanted."""
    factor = int(wanted_m / gsd_m)
    if factor < 2:
        return pixels
    size = (pixels.shape[1] // factor, pixels.shape[0] // factor)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _centres(frames: Sequence[BlockFrame]) -> NDArray[np.float64]:
    return np.array([frame.exterior.projection_centre_m[:2] for frame in frames])
