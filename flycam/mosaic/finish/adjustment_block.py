"""Block of one layer's frames for the adjustment, and its input hash.

Frames get their prior pose, motion during readout and strip, and the block its recorded terrain. The hash
covers a revision's inputs.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from flycam.catalog.tables import exterior_to_json, interior_to_json
from flycam.errors import InputUnusable
from flycam.geometry.camera import estimate_motion_px
from flycam.geometry.pose import CameraMotion, ExteriorOrientation, PoseSource, Vec3, angle_axis_from_rotation
from flycam.messages import _
from flycam.model.records import FrameRecord, MosaicInfo
from flycam.mosaic.adjustment.block import BlockFrame, Floats
from flycam.mosaic.orthorectify.rectification import get_recorded_pose
from flycam.mosaic.terrain_codec import parse_source_dem_id

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
