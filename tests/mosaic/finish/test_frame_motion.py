"""What the frames around one tell of how it moved."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flycam.geometry.camera import estimate_motion_px
from flycam.geometry.pose import rotation_from_gimbal, to_mat3
from flycam.mosaic.adjustment.block import BlockFrame
from flycam.mosaic.finish.report import MIN_MOTION_PX, with_motion
from tests.mosaic.adjustment.blocks import Scene, _exterior, camera

RANGE_M = 120.0


def strip(count=8, step_s=3.0, speed=12.0, readout_s=0.04, yaw=lambda t: 0.0, noise_m=0.0, clock_s=0.0):
    """A strip flown northwards; yaw in radians at t seconds; times told in steps of clock_s."""
    random = np.random.default_rng(3)
    interior = camera(Scene(readout_s=readout_s))
    frames = []
    for k in range(count):
        t = k * step_s
        clock_reading = np.floor(t / clock_s) * clock_s if clock_s else t
        centre = np.array([0.0, speed * t, 200.0]) + random.normal(size=3) * noise_m
        rotation = rotation_from_gimbal(yaw(t), -np.pi / 2, 0.0)
        frames.append(
            BlockFrame(
                frame_id=f"f{k}",
                source_name=f"DJI_{k}.JPG",
                camera="test",
                strip=0,
                captured_ns=int(clock_reading * 1e9),
                interior=interior,
                exterior=_exterior(centre, to_mat3(rotation), (1.0,) * 3, (0.01,) * 3),
            )
        )
    return frames


def moved(frames, range_m=RANGE_M):
    return with_motion(frames, [range_m] * len(frames))


def velocities(frames):
    return np.array([f.exterior.motion.velocity_mps for f in frames])


def test_a_straight_flight_has_one_velocity_and_only_that_is_new():
    frames = strip()
    found = moved(frames)
    assert velocities(found) == pytest.approx(np.tile([0.0, 12.0, 0.0], (8, 1)), abs=1e-9)
    assert {f.exterior.motion.turn_radps for f in found} == {(0.0, 0.0, 0.0)}
    still = [replace(f, exterior=replace(f.exterior, motion=None)) for f in found]
    assert still == frames


def test_noise_of_the_fixes_and_a_clock_of_whole_seconds_cost_little():
    error = velocities(moved(strip(count=30, step_s=2.7, noise_m=0.5, clock_s=1.0))) - [0.0, 12.0, 0.0]
    assert np.sqrt(np.mean(error[2:-2] ** 2, axis=0)).max() < 0.06 * 12.0


@pytest.mark.parametrize("readout_s", [0.0, None])
def test_a_global_or_unknown_shutter_has_no_motion(readout_s):
    frames = strip()
    frames = [replace(f, interior=replace(f.interior, readout_s=readout_s)) for f in frames]
    assert moved(frames) == tuple(frames)


def test_what_does_not_show_is_left_out_and_what_shows_is_not():
    speed = MIN_MOTION_PX / (0.5 * 0.04 * 800.0 / RANGE_M)
    slow, fast = strip(speed=0.98 * speed), strip(speed=1.02 * speed)
    assert moved(slow) == tuple(slow)
    found = moved(fast)
    assert all(f.exterior.motion is not None for f in found)
    assert estimate_motion_px(found[0].interior, found[0].exterior, RANGE_M) == pytest.approx(
        1.02 * MIN_MOTION_PX
    )
    assert moved(fast, float("nan")) == tuple(fast), "not known how far the ground is"


def test_a_steady_turn_is_taken_and_a_shaking_gimbal_is_not():
    steady = moved(strip(step_s=1.0, yaw=lambda t: np.radians(10.0) * t))
    # yaw grows clockwise from above: about the axis that looks down
    turns = np.array([f.exterior.motion.turn_radps for f in steady])
    assert turns[1:-1] == pytest.approx(np.tile([0.0, 0.0, -np.radians(10.0)], (6, 1)), abs=1e-6)
    assert not turns[[0, -1]].any()
    shake = np.random.default_rng(4).normal(size=40)
    shaking = moved(strip(count=40, step_s=1.0, yaw=lambda t: np.radians(1.2) * shake[round(t)]))
    assert np.mean([any(f.exterior.motion.turn_radps) for f in shaking]) < 0.2
    rare = moved(strip(step_s=4.0, yaw=lambda t: np.radians(3.0) * t))
    assert not any(any(f.exterior.motion.turn_radps) for f in rare)
