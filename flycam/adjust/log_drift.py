"""Drift of a log's pose errors: a slow random walk with few jumps.

A receiver's fix and a gimbal's angles have errors that neighbours in time share: filters smooth them, bias
and drift change over a minute, not over a second. So the error e (position in metres, rotation about the
camera's axes in radians) of a frame is modelled as that of the frame before, faded a little, and a step:

    e_k = exp(-t/T) A e_(k-1) + step,   variance of the step = min(rate² t, sigma²) + noise²

with t the seconds between them and A the rotation between their camera axes; the first is constrained by the
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
