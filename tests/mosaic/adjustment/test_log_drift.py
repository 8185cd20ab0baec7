"""What is believed of a log's errors from one frame to the next."""

from __future__ import annotations

import numpy as np

from flycam.mosaic.adjustment.window import (
    LogDrift,
    apply_pose_error,
    compute_pose_errors,
    compute_transitions,
    make_trajectory,
    predict_error,
)
from tests.mosaic.adjustment.flown import pose

WANDER = LogDrift()


def told(yaws_deg: list[float], seconds: list[float]):
    poses = [pose((500_000.0 + 5.0 * k, 2_400_000.0, 225.0), yaw) for k, yaw in enumerate(yaws_deg)]
    return make_trajectory(np.array(seconds), poses)


def test_an_error_put_on_is_the_error_found() -> None:
    both = told([0.0, 90.0], [0.0, 1.0])
    error = np.array([1.0, -2.0, 0.5, 0.01, -0.02, 0.03])
    centre, rotation = apply_pose_error(both.centre[1], both.rotation[1], error)
    found = compute_pose_errors(
        both, np.stack([both.centre[0], centre]), np.stack([both.rotation[0], rotation])
    )
    np.testing.assert_allclose(found, [np.zeros(6), error], atol=1e-9)


def test_a_turn_of_the_world_is_carried_to_the_axes_of_a_camera_that_has_turned() -> None:
    both = told([0.0, 90.0], [0.0, 0.01])
    tilt = np.array([0.02, 0.0, 0.0])  # about east
    error = np.r_[np.zeros(3), both.rotation[0] @ tilt]
    expected = predict_error(both, error, WANDER)
    np.testing.assert_allclose(both.rotation[1].T @ expected[3:], tilt, atol=1e-4)


def test_errors_fade_and_doubt_grows_with_time_up_to_the_log_s_sigma() -> None:
    _, soon = compute_transitions(told([0.0, 0.0], [0.0, 1.0]), WANDER)
    _, late = compute_transitions(told([0.0, 0.0], [0.0, 3600.0]), WANDER)
    assert (soon < late).all()
    sigma = np.r_[1.5, 1.5, 3.0, 0.01, 0.01, 0.02]
    noise = np.repeat([WANDER.position_noise_m, WANDER.attitude_noise_rad], 3)
    np.testing.assert_allclose(late[0], sigma**2 + noise**2)
    error = np.array([1.0, 1.0, 1.0, 0.01, 0.01, 0.01])
    assert np.abs(predict_error(told([0.0, 0.0], [0.0, 3600.0]), error, WANDER)).max() < 1e-6
