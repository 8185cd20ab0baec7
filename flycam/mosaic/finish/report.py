"""Block of a layer's frames, and statistics and figures of a finished revision.

Statistics are JSON values for catalogue, API and command. Figures of the quality report have no wording and
come from the catalogue and the tiles.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np

from flycam import __version__
from flycam.catalog.tables import exterior_to_json, interior_to_json
from flycam.errors import InputUnusable
from flycam.geometry.camera import estimate_motion_px
from flycam.geometry.pose import CameraMotion, ExteriorOrientation, PoseSource, Vec3, angle_axis_from_rotation
from flycam.messages import Message, _, encode_message
from flycam.model.flight import Flight, is_flat_datum
from flycam.model.records import Coverage, FrameRecord, MosaicInfo, RevisionRecord
from flycam.mosaic.adjustment.block import Adjustment, BlockFrame, Floats
from flycam.mosaic.adjustment.observations import compute_corrections
from flycam.mosaic.adjustment.ties import TieReport
from flycam.mosaic.finish.radiometry import Radiometry
from flycam.mosaic.finish.seamline import SeamPlan
from flycam.mosaic.finish.stages import PlacedFrame, PlacementResult
from flycam.mosaic.orthorectify.rectification import get_recorded_pose
from flycam.mosaic.surface.surface import Surface
from flycam.mosaic.terrain_codec import parse_source_dem_id

# -- Block of one layer's frames for the adjustment, and its input hash ----------------------------
#
# Frames get their prior pose, motion during readout and strip, and the block its recorded terrain. The hash
# covers a revision's inputs.


# -- Camera motion during readout, from the neighbouring frames of the strip -----------------------
#
# Velocity: the slope of a straight line through the positions of a frame and its two neighbours on each side,
# which clocks with whole seconds and the noise of single fixes hardly affect. Rotation rate: from a frame's
# neighbours in time, used only where it is steady, because the shake of a gimbal between two exposures does
# not predict the milliseconds of a readout.


MIN_MOTION_PX = 0.25
"""Frames whose first and last row are displaced by less count as taken at one time: half of a tie point's
sigma, and a quarter of what can be distinguished on the map."""

# Two neighbours on each side: EXIF's whole seconds and the noise of fixes then cost a few percent of the
# velocity, a centimetre at the outermost rows (decision 0017).
_EACH_SIDE = 2
_MAX_STEP_S = 15.0
_MAX_TURN_STEP_S = 3.0
# Largest difference of two successive rotation rates, as a share of their mean.
_STEADY = 0.5


def with_motion(frames: Sequence[BlockFrame], ranges_m: Sequence[float]) -> tuple[BlockFrame, ...]:
    """Return the frames, with motion where the shutter rolls and the motion shows.

    ranges_m  distance of the ground of each frame; NaN where not known: such a frame has no motion

    Motion shows by `MIN_MOTION_PX`. A frame without readout (unknown, or a global shutter), or without
    neighbours on its strip less than 15 s away, is returned unchanged.
    """
    seconds = np.array([f.captured_ns for f in frames], dtype=np.int64)
    seconds_f = (seconds - seconds.min(initial=0)) * 1e-9 if len(frames) else np.empty(0)
    velocities = _velocities(frames, seconds_f)
    turns = _turns(frames, seconds_f)
    moving = []
    for frame, velocity, turn, range_m in zip(frames, velocities, turns, ranges_m, strict=True):
        if velocity is None or not frame.interior.readout_s:
            moving.append(frame)
            continue
        exterior = replace(frame.exterior, motion=CameraMotion(velocity_mps=velocity, turn_radps=turn))
        shows = estimate_motion_px(frame.interior, exterior, range_m) >= MIN_MOTION_PX
        moving.append(replace(frame, exterior=exterior) if shows else frame)
    return tuple(moving)


def _velocities(frames: Sequence[BlockFrame], seconds: Floats) -> list[Vec3 | None]:
    """Return the velocity (east, north, up) m/s of each frame.

    None where its strip has no neighbour within reach in time.
    """
    found: list[Vec3 | None] = [None] * len(frames)
    for run in _runs([f.strip for f in frames], seconds, _MAX_STEP_S):
        centre = np.array([frames[i].exterior.projection_centre_m for i in run])
        for place, index in enumerate(run):
            near = slice(max(place - _EACH_SIDE, 0), place + _EACH_SIDE + 1)
            t = seconds[run[near]] - seconds[run[near]].mean()
            if t @ t > 0.0:
                east, north, up = (float(v) for v in t @ (centre[near] - centre[place]) / (t @ t))
                found[index] = (east, north, up)
    return found


def _turns(frames: Sequence[BlockFrame], seconds: Floats) -> list[Vec3]:
    """Return rotation rates about the camera's axes, rad/s.

    Zero where they are not steady, or not known.
    """
    found: list[Vec3] = [(0.0, 0.0, 0.0)] * len(frames)
    cameras = {key: number for number, key in enumerate(sorted({f.camera for f in frames}))}
    for run in _runs([cameras[f.camera] for f in frames], seconds, _MAX_TURN_STEP_S):
        rotation = np.array([frames[i].exterior.rotation for i in run])
        step = np.diff(seconds[run])
        if len(run) < 3 or not (step > 0.0).all():
            continue
        rate = angle_axis_from_rotation(rotation[1:] @ rotation[:-1].transpose(0, 2, 1)) / step[:, None]
        mean = (rate[:-1] * step[:-1, None] + rate[1:] * step[1:, None]) / (step[:-1] + step[1:])[:, None]
        steady = np.linalg.norm(np.diff(rate, axis=0), axis=1) <= _STEADY * np.linalg.norm(mean, axis=1)
        for place in np.flatnonzero(steady):
            about_x, about_y, about_z = (float(w) for w in mean[place])
            found[run[place + 1]] = (about_x, about_y, about_z)
    return found


def _runs(groups: Sequence[int], seconds: Floats, longest_s: float) -> list[list[int]]:
    """Return frames of one group in order of time, split at longer steps."""
    runs: list[list[int]] = []
    last: dict[int, list[int]] = {}
    for index in sorted(range(len(groups)), key=lambda i: (seconds[i], i)):
        run = last.get(groups[index])
        if run is None or seconds[index] - seconds[run[-1]] > longest_s:
            run = last[groups[index]] = []
            runs.append(run)
        run.append(index)
    return runs


# -- Straight legs of a flight ---------------------------------------------------------------------
#
# A gimbal's yaw offset is constant on one, and steps at the turns.


_TURN_DEG = 35.0
_MIN_STEP_M = 1.5
_PAUSE_NS = 120_000_000_000


def assign_strips(
    captured_ns: Sequence[int], positions_m: Floats, cameras: Sequence[str] | None = None
) -> list[int]:
    """Assign strip numbers to N frames, from 0 in order of time.

    captured_ns  times; frames need not be sorted, and numbers are in the order given
    positions_m  N×2 or N×3, (east, north, …) of the projection centres
    cameras      key of each frame's camera; another camera flies its own strips

    A leg continues while each step's direction is within 35° of the leg's first. A frame between two legs
    belongs to the longer; a step shorter than 1.5 m has no direction. A pause of two minutes ends a leg.
    """
    keys = list(cameras) if cameras is not None else [""] * len(captured_ns)
    result, used = [0] * len(captured_ns), 0
    for key in sorted(set(keys)):
        rows = sorted((i for i, k in enumerate(keys) if k == key), key=lambda i: (captured_ns[i], i))
        legs = _legs([captured_ns[i] for i in rows], np.asarray(positions_m, dtype=np.float64)[rows, :2])
        for row, leg in zip(rows, legs, strict=True):
            result[row] = used + leg
        used += max(legs) + 1
    return result


def _legs(times: list[int], xy: Floats) -> list[int]:
    """Return the leg of each frame of one camera in order of time, numbered from 0."""
    leg_of_step: list[int] = []
    leg, first = 0, None
    for k, (east, north) in enumerate(np.diff(xy, axis=0)):
        if times[k + 1] - times[k] > _PAUSE_NS:
            leg, first = leg + 1, None
            leg_of_step.append(-1)
            continue
        if np.hypot(east, north) >= _MIN_STEP_M:
            azimuth = float(np.degrees(np.arctan2(east, north)))
            if first is not None and abs((azimuth - first + 180.0) % 360.0 - 180.0) > _TURN_DEG:
                leg, first = leg + 1, azimuth
            first = azimuth if first is None else first
        leg_of_step.append(leg)
    length = {number: leg_of_step.count(number) for number in leg_of_step}
    before, after = [-1, *leg_of_step], [*leg_of_step, -1]
    length[-1] = 0
    chosen = [b if length[b] >= length[a] else a for b, a in zip(before, after, strict=True)]
    return _renumbered(chosen)


def _renumbered(legs: list[int]) -> list[int]:
    """Renumber the runs of a partition as they occur.

    Frames between two pauses are runs of their own.
    """
    numbers, last, result = -1, object(), []
    for leg in legs:
        if leg != last or leg == -1:
            numbers, last = numbers + 1, leg
        result.append(numbers)
    return result


# -- Block frames, recorded terrain and input hash -------------------------------------------------


RECIPE_VERSION = 9
"""Incremented when the same inputs would give another result, so that older revisions are not reused."""


def build_block_frames(
    records: Sequence[FrameRecord], *, rolling_shutter: bool = True
) -> tuple[BlockFrame, ...]:
    """Build block frames in the order of `records`, posed by `derive_prior_pose`.

    Frames of one calibration, image size and camera share an interior orientation. rolling_shutter: where the
    camera's readout is known and the aircraft moved enough in it to matter, poses have the motion with which
    all later stages project their rows (decision 0017).
    """
    cameras = [_camera_of(record) for record in records]
    poses = [derive_prior_pose(record) for record in records]
    centres = np.array([pose.projection_centre_m for pose in poses], dtype=np.float64).reshape(-1, 3)
    times = [record.header.captured_ns for record in records]
    strips = assign_strips(times, centres, cameras)
    frames = tuple(
        BlockFrame(
            frame_id=record.frame_id,
            source_name=record.header.provenance.source_name,
            camera=camera,
            strip=strip,
            captured_ns=record.header.captured_ns,
            interior=record.header.interior,
            exterior=pose,
        )
        for record, camera, strip, pose in zip(records, cameras, strips, poses, strict=True)
    )
    if not rolling_shutter:
        return frames
    return with_motion(frames, [_range_m(record) for record in records])


def select_terrain(records: Sequence[FrameRecord], preferred: str | None) -> str:
    """Return the recorded terrain of a block.

    The flight's, if a frame lies on it or on a surface derived from it; else the one that most frames lie on.
    Raises CatalogUnavailable for records without a pose.
    """
    ids = Counter(parse_source_dem_id(get_recorded_pose(record)[2]) for record in records)
    if preferred in ids:
        return str(preferred)
    return max(sorted(ids), key=lambda dem_id: ids[dem_id])


def derive_prior_pose(record: FrameRecord) -> ExteriorOrientation:
    """Return the pose that the adjustment starts from, with its sigmas.

    For a video frame that was registered to its neighbours, the flight log's pose: the registration is made
    of the ties that the adjustment weighs itself. Raises CatalogUnavailable for a record without a pose.
    """
    exterior = get_recorded_pose(record)[0]
    return record.header.exterior_prior if exterior.source is PoseSource.REGISTERED else exterior


def require_common_crs(records: Sequence[FrameRecord]) -> None:
    """Raise InputUnusable, naming a photo, unless poses share a work CRS and datum."""
    first = get_recorded_pose(records[0])[0]
    for record in records:
        pose = get_recorded_pose(record)[0]
        if (pose.work_crs, pose.vertical_datum) != (first.work_crs, first.vertical_datum):
            raise InputUnusable(
                _(
                    "{source_name}: its pose is in {work_crs} and {vertical_datum}, those before "
                    "it in {first_work_crs} and {first_vertical_datum}; place all of the flight on "
                    "one terrain: ingest its photos once more, with --dem",
                    source_name=record.header.provenance.source_name,
                    work_crs=pose.work_crs,
                    vertical_datum=pose.vertical_datum,
                    first_work_crs=first.work_crs,
                    first_vertical_datum=first.vertical_datum,
                )
            )


def hash_block_inputs(
    mosaic: MosaicInfo, records: Sequence[FrameRecord], dem_id: str, options: Mapping[str, Any]
) -> str:
    """Return 32 hex digits of the hash of a revision's inputs.

    Inputs are frames, poses, terrain, grid, options and `RECIPE_VERSION`.
    """
    digest = hashlib.sha256()
    head = [RECIPE_VERSION, mosaic.mosaic_id, mosaic.base_zoom, mosaic.min_zoom, dem_id, dict(options)]
    digest.update(json.dumps(head, sort_keys=True, ensure_ascii=False).encode())
    for record in sorted(records, key=lambda one: one.frame_id):
        _, tiles, own_dem = get_recorded_pose(record)
        parts = (
            record.frame_id,
            str(record.header.captured_ns),
            interior_to_json(record.header.interior),
            exterior_to_json(derive_prior_pose(record)),
            own_dem,
            str(tiles),
        )
        digest.update("\n".join(parts).encode())
    return digest.hexdigest()[:32]


def _camera_of(record: FrameRecord) -> str:
    interior, provenance = record.header.interior, record.header.provenance
    width, height = interior.image_size_px
    return f"{provenance.camera} {width}×{height} {interior.calibration_id}"


def _range_m(record: FrameRecord) -> float:
    """Return the ground's distance at a frame's centre, metres; NaN if not known."""
    gsd_m = math.nan if record.gsd_m is None else record.gsd_m
    return gsd_m * 0.5 * sum(record.header.interior.focal_length_px)


# -- Statistics and report figures of a finished revision ------------------------------------------


# -- Figures of a quality report -------------------------------------------------------------------


ERROR_BOUNDS_M = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
OVERLAP_BOUNDS = (1, 2, 4, 8, 16)
RESIDUAL_BOUNDS_PX = (0.25, 0.5, 1.0, 2.0)
RESIDUAL_STEP_PX, RESIDUAL_STEPS = 0.1, 20
"""Residuals are counted in steps up to 2 px; one more count holds all beyond."""

_MEASURE_M, _CARE_M = 0.5, 2.0


class Verdict(StrEnum):
    """Suitability of the map.

    MEASURE  19 of 20 of its pixels have an expected error (1 sigma) of half a metre or less
    PARTLY   half of its pixels have; the error map shows where the others are
    CARE     half of its pixels have one of two metres or less
    LOOK     for orientation only: the poses could not be adjusted, or errors are larger than that
    """

    MEASURE = "measure"
    PARTLY = "partly"
    CARE = "care"
    LOOK = "look"


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameResult:
    """One photo of the flight and its result.

    state    "tied", "weak", "carried" or "prior" where the revision holds it; "left_out", "rejected" or
             "withdrawn" where it does not
    reason   stable key of the rejection; sentence: the same in a sentence, or why a photo has no tie point
    centre   (east, north, height) of its projection centre, work CRS; None where it never had a pose
    shift_m  how far the adjustment moved it from its telemetry; None where nothing moved it
    rms_px   of its residuals, one coordinate; None without
    """

    name: str
    state: str
    reason: str = ""
    sentence: Message | None = None
    centre: Vec3 | None = None
    shift_m: Vec3 | None = None
    ties: int = 0
    rms_px: float | None = None
    cells_pct: float = 0.0

    @property
    def is_used(self) -> bool:
        """True if the revision holds the photo."""
        return self.state not in ("left_out", "rejected", "withdrawn")


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorFigures:
    """Expected error (radial, 1 sigma, in the block): median and 95th percentile."""

    median_m: float
    p95_m: float


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowFigures:
    """Shares of the map, 0-100.

    intact_pct         windows of 64 pixels that are not bent
    smooth_pct         windows on smooth heights instead of measured ones
    smooth_intact_pct  share of those that are not bent; None: there are none
    """

    intact_pct: float
    smooth_pct: float
    smooth_intact_pct: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportFigures:
    """Figures of one revision.

    made_ns, first_ns, last_ns  UTC: of the revision, and of the flight's first and last photo
    layer        as the catalogue names it ("colour")
    stats        the revision's record, as `finish` wrote it: JSON values, None where unknown
    frames       every photo of the layer, used or not, by name
    communes     names, the largest share first
    boundaries   warnings on the communes' boundaries, encoded by `flycam.model.warning`
    frame_gsd_m  finest, median and coarsest GSD of the used photos; pixel_m: of the map
    post_m       post spacing of the map's ground; own_pct: share of the map on the flight's own DSM
    error, error_own, error_dem  over all ground, over the DSM, over all beside it; None where there is
                 no such ground
    error_pct    share of the map in each class of ERROR_BOUNDS_M and above, 0-100
    overlap      median number of photos that see the ground; thin_pct: share seen by fewer than three
    windows      how much of the map keeps the shapes of its photos; None: unknown
    imaged_m2    ground that the map shows; gaps_m2: enclosed gaps, the largest first
    """

    flight: str
    event: str
    is_drill: bool
    layer: str
    revision: int
    made_ns: int
    first_ns: int
    last_ns: int
    operator: str | None
    inputs_hash: str
    work_crs: str
    vertical_datum: str
    options: Mapping[str, Any]
    stats: Mapping[str, Any]
    frames: tuple[FrameResult, ...]
    communes: tuple[str, ...]
    boundaries: tuple[str, ...]
    frame_gsd_m: tuple[float, float, float]
    pixel_m: float
    post_m: float | None
    own_pct: float
    error: ErrorFigures
    error_own: ErrorFigures | None
    error_dem: ErrorFigures | None
    error_pct: tuple[float, ...]
    overlap: int
    thin_pct: float
    windows: WindowFigures | None
    imaged_m2: float
    gaps_m2: tuple[float, ...]

    @property
    def accepted(self) -> bool:
        """True if the poses are adjusted ones."""
        return bool(self.stats.get("accepted"))

    @property
    def verdict(self) -> Verdict:
        """Suitability of the map."""
        if not self.accepted:
            return Verdict.LOOK
        if self.error.p95_m <= _MEASURE_M:
            return Verdict.MEASURE
        if self.error.median_m <= _MEASURE_M:
            return Verdict.PARTLY
        return Verdict.CARE if self.error.median_m <= _CARE_M else Verdict.LOOK

    @property
    def ground(self) -> str:
        """Ground beside the flight's own DSM: "dem", "plane" or "corrected".

        "corrected" where there is a DSM, which is continued beside it and corrects the terrain under all of
        the map.
        """
        if self.stats.get("surface"):
            return "corrected"
        return "plane" if is_flat_datum(self.vertical_datum) else "dem"

    @property
    def has_control(self) -> bool:
        """True if control (control points, a reference map) held the block."""
        control = self.stats.get("control") or {}
        reference = control.get("reference") or {}
        return self.accepted and (bool(control.get("points")) or bool(reference.get("used")))

    def count(self, *states: str) -> int:
        """Return the number of photos in these states."""
        return sum(frame.state in states for frame in self.frames)

    def select_frames(self, *states: str) -> list[FrameResult]:
        """Return the photos in these states, by name."""
        return [frame for frame in self.frames if frame.state in states]


# -- Statistics of a finished revision -------------------------------------------------------------


_MASKED_PCT = 50.0


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerReport:
    """One layer's finished revision; `new` if this run made it.

    record      None: skipped, for the reason in `why`
    repaired    tiles of an existing revision that were lost or damaged, and were made again
    instead_of  the revision that was published before an existing one was published again; None: the same
    """

    layer: str
    record: RevisionRecord | None
    new: bool = False
    repaired: int = 0
    instead_of: int | None = None
    why: Message | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishReport:
    """Result of finishing a flight, the main layer first.

    notes  what was done besides, as encoded by `flycam.model.warning`
    """

    flight: Flight
    layers: tuple[LayerReport, ...]
    communes: tuple[Coverage, ...] = field(default=())
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def main(self) -> RevisionRecord | None:
        """The revision the flight is shown by."""
        return self.layers[0].record if self.layers else None


def compile_statistics(
    *,
    ties: TieReport,
    frames: Sequence[BlockFrame],
    adjustment: Adjustment,
    control: Mapping[str, Any],
    surface: Surface | None,
    surface_id: str | None,
    own_pct: float | None,
    placing: PlacementResult,
    rolling_shutter: bool,
    radiometry: Radiometry,
    plan: SeamPlan,
    seconds: Mapping[str, tuple[float, float]],
) -> dict[str, Any]:
    """Compile accuracy, counts and versions of a revision; unknown figures are None.

    None, never NaN.

    frames                 of the block as they were recorded, as `ties` counts them
    why, notes, frames.untied.why, frames.left_out.sentence  messages as `encode_message` encodes them
    frames.untied          why a photo has no tie point
    frames.resected        whose recorded pose its neighbours contradict, and how far off it was (m, degrees)
    frames.carried_names   placed though not tied, for nothing else shows their ground
    sigma_xy_m, sigma_z_m  medians over the frames, relative to the block: of one horizontal coordinate, and
         of the height; shift_sigma_m is what is unknown of the whole block's place
    surface.supported_pct  share of the ground shown that is the flight's own DSM (`compute_dsm_pct`)
    surface.terrain_id     recorded terrain that holds the DSM as it was measured (the revision's own
         `dem_id` is that with roofs drawn straight)
    rolling_shutter        None where every shutter was global; else whether it was requested, how many
         frames had row-wise poses, how many an unknown readout, the longest readout, and by how much the
         outermost rows would be off without it
    residuals              how many residuals (one coordinate) lie in each RESIDUAL_STEP_PX, the last count
         all beyond: of observations used, and held out
    seconds                by stage: wall, processor; of the run that completed the revision
    """
    accuracy = adjustment.accuracy
    sigmas = np.array([frame.exterior.sigma_position_m for frame in adjustment.frames], dtype=np.float64)
    horizontal = np.sqrt(np.square(sigmas[:, :2]).mean(axis=1))
    names = [frame.source_name for frame in frames]
    states = Counter(one.kept.state for one in placing.frames)
    return {
        "accepted": adjustment.accepted,
        "why": encode_message(adjustment.reason) if adjustment.reason else "",
        "notes": [encode_message(one) for one in adjustment.notes],
        "frames": {
            "used": len(placing.frames),
            **{state: states[state] for state in sorted(states)},
            "carried_names": sorted(_name(one) for one in placing.frames if one.kept.state == "carried"),
            "untied": [{"name": names[number], "why": encode_message(why)} for number, why in _untied(ties)],
            "resected": [_resected(frames[number], pose) for number, pose in ties.resected.items()],
            "left_out": [{"name": name, "sentence": encode_message(why)} for name, why in placing.rejected],
        },
        "tie_points": accuracy.tracks,
        "observations": accuracy.observations,
        "pairs": {"tried": ties.pairs_tried, "tied": ties.pairs_tied},
        "residuals": _residuals(adjustment),
        "cells_pct": _number(float(np.median(ties.cells_pct)) if len(ties.cells_pct) else math.nan),
        "reprojection_px": _number(accuracy.reprojection_px),
        "held_out_px": _number(accuracy.held_out_px),
        "sigma0": _number(accuracy.sigma0),
        "iterations": accuracy.iterations,
        "sigma_xy_m": _number(float(np.median(horizontal))),
        "sigma_z_m": _number(float(np.median(sigmas[:, 2]))),
        "shift_m": _numbers(accuracy.shift_m),
        "shift_sigma_m": _numbers(accuracy.shift_sigma_m),
        "check_m": _numbers(accuracy.check_m),
        "control": dict(control),
        "surface": None
        if surface is None
        else {
            "spacing_m": surface.terrain.post_spacing_m[0],
            "supported_pct": None if own_pct is None else _number(own_pct),
            "terrain_id": surface_id,
        },
        "rolling_shutter": _rolling_shutter(placing.frames, requested=rolling_shutter),
        "radiometry": {"scale": _number(radiometry.scale), "compared": radiometry.compared},
        "seams": {"energy_start": plan.energy_start, "energy": plan.energy},
        "seconds": _seconds(seconds),
        "versions": {"flycam": __version__, "recipe": RECIPE_VERSION},
    }


def _rolling_shutter(frames: Sequence[PlacedFrame], *, requested: bool) -> dict[str, Any] | None:
    readouts = [one.header.interior.readout_s for one in frames]
    if all(one == 0.0 for one in readouts):
        return None
    known = [abs(one) for one in readouts if one]
    return {
        "asked": requested,
        "frames": sum(one.exterior.motion is not None for one in frames),
        "unknown": readouts.count(None),
        "readout_ms": round(1000.0 * max(known), 3) if known else None,
        "most_px": round(max(one.rows_px for one in frames), 2),
    }


def _untied(ties: TieReport) -> list[tuple[int, Message]]:
    """Return frames without a tie, and why; a mostly masked image is its own reason."""
    masked = _("mostly water, things that move, or plain ground")
    return [
        (number, masked if ties.masked_pct[number] > _MASKED_PCT else why)
        for number, why in ties.reasons.items()
    ]


def _resected(frame: BlockFrame, found: ExteriorOrientation) -> dict[str, Any]:
    moved_m, turned_rad = compute_corrections(frame.exterior, found)
    turned_deg = math.degrees(turned_rad)
    return {"name": frame.source_name, "moved_m": round(moved_m, 1), "turned_deg": round(turned_deg, 1)}


def _name(frame: PlacedFrame) -> str:
    return frame.header.provenance.source_name


def add_report_statistics(
    stats: Mapping[str, Any], figures: ReportFigures, seconds: Mapping[str, tuple[float, float]]
) -> dict[str, Any]:
    """Add what the report's maps found, and the seconds of all stages.

    map_error_m  median and 95th percentile of the expected error over the map (radial, 1 sigma, within the
       block)
    windows      shares of the map: whose windows of 64 pixels are intact; that lies on smooth heights instead
       of measured ones; and of that the share that is intact; None: not known
    """
    error, windows = figures.error, figures.windows
    found = {"median": _number(error.median_m), "p95": _number(error.p95_m)}
    shares = windows and {
        "whole_pct": windows.intact_pct,
        "smooth_pct": windows.smooth_pct,
        "smooth_whole_pct": windows.smooth_intact_pct,
    }
    return {**stats, "map_error_m": found, "windows": shares, "seconds": _seconds(seconds)}


def _seconds(seconds: Mapping[str, tuple[float, float]]) -> dict[str, list[float]]:
    return {stage: [round(wall, 2), round(cpu, 2)] for stage, (wall, cpu) in seconds.items()}


def _residuals(adjustment: Adjustment) -> dict[str, list[int]]:
    known = np.isfinite(adjustment.residual_px).all(axis=1)
    sizes = {"used": known & adjustment.used, "held_out": known & ~adjustment.used}
    return {name: _counted(adjustment.residual_px[rows]) for name, rows in sizes.items()}


def _counted(residual_px: Floats) -> list[int]:
    steps = np.minimum((np.abs(residual_px).ravel() / RESIDUAL_STEP_PX).astype(np.int64), RESIDUAL_STEPS)
    return [int(count) for count in np.bincount(steps, minlength=RESIDUAL_STEPS + 1)]


def _numbers(values: Sequence[float]) -> list[float | None]:
    return [_number(value) for value in values]


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
