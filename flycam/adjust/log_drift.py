"""What a log's poses are wrong by from one moment to the next: it wanders slowly, and hardly jumps.

A receiver's fix and a gimbal's angles carry errors that neighbours in time share: filters smooth them, bias
and drift change over a minute, not over a second. So the error e (position in metres, turn about the
camera's axes in radians) of a frame is believed to be that of the frame before, faded a little, and a step:

    e_k = exp(-t/T) A e_(k-1) + step,   variance of the step = min(rate² t, sigma²) + noise²

with t the seconds between them and A what takes camera axes to camera axes; the first of all is held by the
log's own sigmas. Source: Gelb, Applied Optimal Estimation, 1974, 3.8 (exponentially correlated noise).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flycam.adjust.block import Floats
from flycam.geometry.exterior import ExteriorOrientation
from flycam.geometry.rotation import angle_axis_from_rotation, rotation_from_angle_axis


@dataclass(frozen=True, kw_only=True, slots=True)
class LogDrift:
    """How fast errors change; rates are 1-sigma after one second, of a random walk.

    position_noise_m, attitude_noise_rad  of single frames: stamps that come some milliseconds late
    turning_s                             what a turning camera's attitude is wrong by is its rate times this
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
    """Poses of n frames in order of time as a log tells them.

    seconds n; centre n×3; rotation n×3×3; sigma n×6 of (east, north, up) metres and the turns (rad)
    """

    seconds: Floats
    centre: Floats
    rotation: Floats
    sigma: Floats

    def __len__(self) -> int:
        return len(self.seconds)


def make_trajectory(seconds: Floats, poses: list[ExteriorOrientation]) -> LoggedTrajectory:
    """Arrays of the log's poses."""
    return LoggedTrajectory(
        seconds=np.asarray(seconds, dtype=np.float64),
        centre=np.array([p.projection_centre_m for p in poses], dtype=np.float64).reshape(-1, 3),
        rotation=np.array([p.rotation for p in poses], dtype=np.float64).reshape(-1, 3, 3),
        sigma=np.array([(*p.sigma_position_m, *p.sigma_attitude_rad) for p in poses]).reshape(-1, 6),
    )


def compute_pose_errors(logged: LoggedTrajectory, centre: Floats, rotation: Floats) -> Floats:
    """How far poses are from what was told, n×6: metres, and the turn from told to true (rad)."""
    turn = angle_axis_from_rotation(rotation @ logged.rotation.transpose(0, 2, 1))
    return np.concatenate([centre - logged.centre, turn], axis=1)


def apply_pose_error(centre: Floats, rotation: Floats, error: Floats) -> tuple[Floats, Floats]:
    """The pose (3, 3×3) that a told pose with an error of 6 numbers stands for."""
    return centre + error[:3], rotation_from_angle_axis(error[3:]) @ rotation


def compute_transitions(logged: LoggedTrajectory, drift: LogDrift) -> tuple[Floats, Floats]:
    """What is believed between each frame and the one before: transitions (n-1)×6×6 and variances (n-1)×6."""
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
    """The error expected of the last of two frames, given that of the first (6): what a frame without
    evidence of its own is corrected by."""
    transition, _ = compute_transitions(logged, drift)
    expected: Floats = transition[0] @ error
    return expected
