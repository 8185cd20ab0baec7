"""Camera motion during readout, from the neighbouring frames of the strip.

Velocity: the slope of a straight line through the positions of a frame and its two neighbours on each side,
which clocks with whole seconds and the noise of single fixes hardly affect. Rotation rate: from a frame's
neighbours in time, used only where it is steady, because the shake of a gimbal between two exposures does
not predict the milliseconds of a readout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from flycam.adjust.block import BlockFrame, Floats
from flycam.geometry.exterior import CameraMotion, Vec3
from flycam.geometry.rolling_shutter import estimate_motion_px
from flycam.geometry.rotation import angle_axis_from_rotation

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
