"""Turns of a film beside those of logs: its own is never contradicted, another's is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from flycam.geometry.camera import InteriorOrientation, LensModel
from flycam.geometry.pose import rotation_from_gimbal
from flycam.ingest.video.clock_offset import (
    ENOUGH_TURNS,
    ImageMotion,
    LoggedPoses,
    TurnComparison,
    compare_turns,
    predict_rates,
)

CAMERA = InteriorOrientation(
    model=LensModel.PINHOLE,
    image_size_px=(640, 360),
    focal_length_px=(500.0, 500.0),
    principal_point_px=(319.5, 179.5),
    calibration_id="test",
)
LONG_S = 90.0
SEEDS = st.integers(0, 10_000)


def flight(seed: int, *, every_s: float = 12.0, pitch_deg: float = -90.0) -> LoggedPoses:
    """A camera that is turned by 20 to 180 degrees now and then, 50 samples a second."""
    random = np.random.default_rng(seed)
    time_s = np.arange(-8.0, LONG_S + 8.0, 0.02)
    rate = np.zeros_like(time_s)
    at_s = -8.0
    while np.isfinite(every_s) and at_s < time_s[-1]:
        at_s += random.exponential(every_s)
        long_s, turn = random.uniform(1.5, 5.0), random.choice([-1.0, 1.0]) * random.uniform(0.35, 3.1)
        rate[(time_s >= at_s) & (time_s < at_s + long_s)] = turn / long_s
        at_s += long_s
    yaw = np.cumsum(gaussian_filter1d(rate, 25)) * 0.02
    still = np.zeros_like(time_s)
    east, north = (np.cumsum(8.0 * 0.02 * way(yaw)) for way in (np.sin, np.cos))
    return LoggedPoses(
        time_s=time_s,
        centre_m=np.stack([east, north, still], axis=1),
        rotation=rotation_from_gimbal(yaw, still + np.radians(pitch_deg), still),
        above_m=still + 100.0,
        max_gap_s=1.5,
    )


def seen(poses: LoggedPoses, seed: int = 0, *, missed: float = 0.1) -> list[ImageMotion]:
    """What its pictures show, ten times a second, with noise; some motions are not measured."""
    random = np.random.default_rng(seed)
    first = np.arange(0.0, LONG_S, 0.1)
    rates = predict_rates(poses, CAMERA, first, first + 0.1) * random.normal(1.0, 0.02, (len(first), 3))
    rates[:, 2] += random.normal(0.0, 0.03, len(first))
    followed = random.uniform(size=len(first)) > missed
    return [
        ImageMotion(t, t + 0.1, tuple(rate)) for t, rate in zip(first[followed], rates[followed], strict=True)
    ]


def logged(poses: LoggedPoses, offset_s: float, hz: float, seed: int = 0) -> LoggedPoses:
    """The log of a flight: by a clock of its own, seldom, late by a gimbal's lag, with noise."""
    random = np.random.default_rng(seed)
    step = round(50.0 / hz)
    noise = random.normal(0.0, np.radians(0.5), (len(poses.time_s[::step]), 3))
    return replace(
        poses,
        time_s=poses.time_s[::step] + offset_s + 0.2,
        centre_m=poses.centre_m[::step],
        rotation=Rotation.from_rotvec(noise).as_matrix() @ poses.rotation[::step],
        above_m=poses.above_m[::step],
    )


@settings(max_examples=60, deadline=None)
@given(
    seed=SEEDS,
    offset_s=st.floats(-4.5, 4.5),
    hz=st.sampled_from([1.0, 5.0, 10.0]),
    pitch=st.sampled_from([-90.0, -60.0, -35.0]),
)
def test_its_own_log_is_never_contradicted(seed: int, offset_s: float, hz: float, pitch: float) -> None:
    poses = flight(seed, pitch_deg=pitch)
    turns = compare_turns(seen(poses, seed), logged(poses, offset_s, hz, seed), CAMERA, 0.0, 5.0)
    assert not turns.is_contradiction
    assert turns.differing <= 0.25 * turns.count, "far from the limit"


def test_the_log_of_another_flight_is_contradicted_mostly() -> None:
    found = [
        compare_turns(seen(flight(one)), logged(flight(one + 500), 0.0, 10.0), CAMERA, 0.0, 5.0)
        for one in range(40)
    ]
    assert sum(turns.is_contradiction for turns in found) >= 32


@given(seed=SEEDS)
@settings(max_examples=20, deadline=None)
def test_a_straight_flight_is_no_evidence_for_or_against_a_straight_log(seed: int) -> None:
    poses, other = flight(seed, every_s=np.inf), flight(seed + 1, every_s=np.inf)
    assert not compare_turns(seen(poses), other, CAMERA, 0.0, 5.0).is_enough


def test_a_log_is_not_believed_by_where_it_is_silent() -> None:
    """The film turns in its last third; a straight log agrees with all but that, if it is laid past it."""
    turns_late = flight(3)
    late = turns_late.time_s > 55.0
    yaw = np.where(late, 0.8 * np.sin((turns_late.time_s - 55.0) / 2.0), 0.0)
    still = np.zeros_like(yaw)
    film = replace(turns_late, rotation=rotation_from_gimbal(yaw, still - np.pi / 2, still))
    straight = flight(4, every_s=np.inf)
    for reach_s in (5.0, 30.0, 60.0):
        found = compare_turns(seen(film, missed=0.0), straight, CAMERA, 0.0, reach_s)
        assert found.is_contradiction and found.differing == found.count


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        (TurnComparison(ENOUGH_TURNS - 1, 3), False),
        (TurnComparison(4, 2), False),
        (TurnComparison(4, 3), True),
    ],
)
def test_most_of_enough_turns_have_to_differ(turns: TurnComparison, expected: bool) -> None:
    assert turns.is_contradiction is expected
