"""The clock between video and log: rehearsed films of known offset, and what must not be called known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.drill.flight import VideoPlan
from flycam.drill.photo_drill import read_truth
from flycam.drill.video_drill import VideoDrillReport, write_video_drill
from flycam.geodata.cameras import load_camera_file
from flycam.geodata.dem import read_dem_info
from flycam.geometry.camera import InteriorOrientation, LensModel, compute_ray_directions
from flycam.geometry.pose import rotation_from_angle_axis, rotation_from_gimbal
from flycam.ingest.telemetry.mavlink import read_tlog
from flycam.ingest.video.clock_offset import (
    REACH_S,
    ClockOffset,
    ImageMotion,
    ImageMotionEstimator,
    LoggedPoses,
    _estimate_spin,
    estimate_offset,
    make_unknown_offset,
    predict_rates,
)
from flycam.ingest.video.video_poses import resolve_video_poses
from flycam.ingest.video.video_source import VideoSource
from flycam.mosaic.terrain import TerrainLookup

CAMERA = InteriorOrientation(
    model=LensModel.PINHOLE,
    image_size_px=(640, 360),
    focal_length_px=(500.0, 500.0),
    principal_point_px=(319.5, 179.5),
    calibration_id="test",
)


def measured(report: VideoDrillReport) -> ClockOffset:
    """As a live flight does it: decoded pictures, the log as read, terrain as registered."""
    poses = resolve_video_poses(read_tlog(report.telemetry), TerrainLookup([read_dem_info(report.dem)]))
    camera = load_camera_file(report.camera)
    meter, motions = ImageMotionEstimator(interior=camera), []
    with VideoSource(str(report.video)) as source:
        for picture in source.frames():
            motion = meter.add(picture.pts_ns / 1e9, picture.pixels)
            motions += [motion] if motion else []
        logged = poses.logged_poses(source.created_ns)
    return estimate_offset(motions, logged, camera)


def assert_found(report: VideoDrillReport) -> None:
    true_s, found = read_truth(report.truth.parent).facts["clock_offset_s"], measured(report)
    assert found.is_known and abs(found.offset_s - true_s) <= 0.05
    assert abs(found.offset_s - true_s) <= 3.0 * found.sigma_s < 0.3


def test_the_offset_of_a_short_film_with_a_turn_is_found_to_50_ms(film: VideoDrillReport) -> None:
    assert_found(film)


# Known fault since 2 Dec: one short turn, pictures that hardly move (a pixel in 0.1 s): the path tells the
# offset to 90 ms, which tells it from no usual lag.
UNKNOWN = pytest.mark.xfail(reason="offset and lag cannot be told apart", raises=AssertionError)


@pytest.mark.soak
@pytest.mark.parametrize("seed", [pytest.param(4, marks=UNKNOWN), 5, pytest.param(6, marks=UNKNOWN)])
def test_the_offset_of_a_film_with_a_turn_is_found_to_50_ms(tmp_path: Path, seed: int) -> None:
    plan = VideoPlan(seconds=45.0, fps=10, strips=2, gsd_m=0.8)
    assert_found(
        write_video_drill(tmp_path / "o", seed=seed, plan=plan, size_px=(320, 180), truth_rasters=False)
    )


def flight(seed: int, *, turns: bool, seconds: float = 60.0) -> LoggedPoses:
    """A smooth flight at 100 m, 10 samples a second."""
    time_s = np.arange(-8.0, seconds + 8.0, 0.1)
    random = np.random.default_rng(seed)
    phase = random.uniform(0.0, 6.0, 4)
    yaw = 0.9 * np.sin(time_s / 7.0 + phase[0]) if turns else np.zeros_like(time_s)
    speed = 9.0 + (2.0 * np.sin(time_s / 5.0 + phase[1]) if turns else 0.0)
    east, north = (np.cumsum(0.1 * speed * f(yaw)) for f in (np.sin, np.cos))
    zero = np.zeros_like(time_s)
    return LoggedPoses(
        time_s=time_s,
        centre_m=np.stack([east, north, zero + 100.0], axis=1),
        rotation=rotation_from_gimbal(yaw, zero - np.pi / 2, zero),
        above_m=zero + 100.0,
        max_gap_s=1.0,
    )


def motions_of(
    poses: LoggedPoses,
    offset_s: float,
    noise: float,
    seed: int,
    drift: float = 0.0,
    interval_s: float = 0.1,
) -> list[ImageMotion]:
    first = np.arange(0.0, 60.0, interval_s)
    shift = offset_s + drift * (first - first.mean())
    rates = predict_rates(poses, CAMERA, first + shift, first + interval_s + shift)
    rates += np.random.default_rng(seed).normal(size=rates.shape) * noise * np.array([1.0, 1.0, 0.005])
    return [ImageMotion(t, t + interval_s, tuple(r)) for t, r in zip(first, rates.tolist(), strict=True)]


def motions_between(
    poses: LoggedPoses, from_s: float, until_s: float, offset_s: float, noise: float = 0.5
) -> list[ImageMotion]:
    """Seen from one time of the video to another, where the log tells of both ends."""
    first = np.arange(from_s, until_s, 0.1)
    rates = predict_rates(poses, CAMERA, first + offset_s, first + 0.1 + offset_s)
    rates += np.random.default_rng(3).normal(size=rates.shape) * noise * np.array([1.0, 1.0, 0.005])
    return [
        ImageMotion(t, t + 0.1, tuple(r)) for t, r in zip(first, rates.tolist(), strict=True) if r[0] == r[0]
    ]


@pytest.mark.soak
@settings(max_examples=15)
@given(offset_s=st.floats(-4.0, 4.0), seed=st.integers(0, 1000))
def test_any_offset_within_reach_is_found_and_its_sigma_is_honest(offset_s: float, seed: int) -> None:
    poses = flight(seed, turns=True)
    found, rough = (
        estimate_offset(motions_of(poses, offset_s, noise_px, seed), poses, CAMERA) for noise_px in (0.5, 1.0)
    )
    assert found.is_known and abs(found.offset_s - offset_s) <= max(3.0 * found.sigma_s, 0.02)
    # a whole pixel of noise in every motion leaves a sigma about where an offset stops to count as known
    assert found.sigma_s < rough.sigma_s < 0.25
    assert abs(rough.offset_s - offset_s) <= max(3.0 * rough.sigma_s, 0.02)


@pytest.mark.parametrize("interval_s", [0.1, 0.2])
def test_the_offset_does_not_depend_on_how_far_apart_the_pictures_are(interval_s: float) -> None:
    poses = flight(3, turns=True)
    found = estimate_offset(motions_of(poses, 1.3, 0.1, 3, interval_s=interval_s), poses, CAMERA)
    assert abs(found.offset_s - 1.3) < 0.005


def test_the_lag_of_a_gimbal_is_not_taken_for_the_clock() -> None:
    rate_hz, lag_s, offset_s = 1, 0.3, 2.7
    logged = flight(12, turns=True)
    lagging = LoggedPoses(
        time_s=logged.time_s[4:],
        centre_m=logged.centre_m[4:],
        rotation=logged.rotation[4 - round(10 * lag_s) :][: len(logged.time_s) - 4],
        above_m=logged.above_m[4:],
        max_gap_s=1.0,
    )
    every = slice(None, None, 10 // rate_hz)
    names = ("time_s", "centre_m", "rotation", "above_m")
    log = replace(logged, max_gap_s=1.5, **{name: getattr(logged, name)[every] for name in names})
    found = estimate_offset(motions_of(lagging, offset_s, 0.05, 12), log, CAMERA)
    assert found.is_known and abs(found.offset_s - offset_s) <= 0.05
    assert abs(found.offset_s - offset_s) <= 3.0 * found.sigma_s


def test_a_drift_is_found_where_the_motions_show_it() -> None:
    poses = flight(7, turns=True)
    late = estimate_offset(motions_of(poses, 0.7, 0.01, 7, drift=8e-4), poses, CAMERA)
    assert late.drift != 0.0 and abs(late.drift - 8e-4) < 2.0 * late.drift_sigma < 3e-4


def test_noise_in_the_log_is_no_evidence() -> None:
    poses = flight(2, turns=False)
    jitter = np.random.default_rng(2).normal(size=(len(poses.time_s), 3)) * 5e-4
    noisy = replace(
        poses, rotation=rotation_from_gimbal(jitter[:, 0], jitter[:, 1] - np.pi / 2, jitter[:, 2])
    )
    found = estimate_offset(motions_of(poses, 1.0, 1.0, 2), noisy, CAMERA)
    assert not found.is_known and found.sigma_s > 1.0


def test_what_was_known_before_stands_where_the_motions_tell_less() -> None:
    own, straight = ClockOffset(0.3, 0.15), flight(5, turns=False)
    assert estimate_offset(motions_of(straight, 0.4, 1.0, 5), straight, CAMERA, own, 0.5) is own


@pytest.mark.parametrize("velocity", [(0.0, -1.0, 0.1), (1.0, 0.2, 0.0)])
def test_the_rotation_of_a_camera_is_found_over_relief(velocity: tuple[float, float, float]) -> None:
    random, spin = np.random.default_rng(4), np.array([0.004, -0.003, 0.02])
    first = random.uniform((0.0, 0.0), (639.0, 359.0), (150, 2))
    x, y, z = compute_ray_directions(CAMERA, *first.T)
    ground = np.stack([x / z, y / z, np.ones_like(z)], axis=1) * random.uniform(60.0, 120.0, (150, 1))
    moved = (ground - np.array(velocity)) @ rotation_from_angle_axis(-spin).T
    second = moved[:, :2] / moved[:, 2:] * 500.0 + CAMERA.principal_point_px
    second[:15] += random.normal(size=(15, 2)) * 20.0
    found = _estimate_spin(first, second, CAMERA)
    assert np.abs(found - spin).max() < 2e-4


def test_too_little_says_nothing() -> None:
    poses = flight(3, turns=True)
    assert estimate_offset([], poses, CAMERA) == make_unknown_offset()
    assert estimate_offset(motions_of(poses, 0.0, 1.0, 3)[:20], poses, CAMERA) == make_unknown_offset()
    silent = replace(poses, time_s=poses.time_s + 1000.0)
    assert not estimate_offset(motions_of(poses, 0.0, 1.0, 3), silent, CAMERA).is_known
    assert make_unknown_offset().sigma_s == pytest.approx(REACH_S / np.sqrt(3.0))


@given(speed=st.floats(-20.0, 20.0), height=st.floats(20.0, 300.0), rate=st.floats(-0.5, 0.5))
def test_told_motion_of_level_flight_and_of_a_turn_on_the_spot(
    speed: float, height: float, rate: float
) -> None:
    time_s = np.arange(0.0, 3.0, 0.1)
    zero = np.zeros_like(time_s)
    north = LoggedPoses(
        time_s=time_s,
        centre_m=np.stack([zero, speed * time_s, zero + height], axis=1),
        rotation=rotation_from_gimbal(zero, zero - np.pi / 2, zero),
        above_m=zero + height,
        max_gap_s=1.0,
    )
    first = np.array([0.5, 1.0])
    moved = predict_rates(north, CAMERA, first, first + 0.2)
    # flying towards the upper edge, the ground runs to the lower one
    np.testing.assert_allclose(moved, [[0.0, 500.0 * speed / height, 0.0]] * 2, atol=1e-6 * (1 + abs(speed)))
    turning = replace(
        north,
        centre_m=np.stack([zero, zero, zero + height], axis=1),
        rotation=rotation_from_gimbal(rate * time_s, zero - np.pi / 2, zero),
    )
    turned = predict_rates(turning, CAMERA, first, first + 0.2)
    np.testing.assert_allclose(turned, [[0.0, 0.0, -rate]] * 2, atol=1e-3)


def test_no_pose_is_told_across_a_gap_or_beyond_the_log() -> None:
    poses = flight(1, turns=True)
    keep = (poses.time_s < 10.0) | (poses.time_s > 15.0)
    gappy = replace(
        poses,
        **{name: getattr(poses, name)[keep] for name in ("time_s", "centre_m", "rotation", "above_m")},
    )
    logged = predict_rates(gappy, CAMERA, np.array([5.0, 12.0, 500.0]), np.array([5.1, 12.1, 500.1]))
    assert np.isfinite(logged[0]).all() and np.isnan(logged[1:]).all()


@given(shift=st.tuples(st.floats(-12.0, 12.0), st.floats(-12.0, 12.0)), degrees=st.floats(-4.0, 4.0))
@settings(max_examples=20)
def test_the_seen_motion_is_that_of_the_picture(shift: tuple[float, float], degrees: float) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (270, 480), np.uint8)
    first = cv2.GaussianBlur(noise, (0, 0), 3.0)
    first = cv2.normalize(first, None, 0, 255, cv2.NORM_MINMAX)
    middle = (239.5, 134.5)
    matrix = cv2.getRotationMatrix2D(middle, -degrees, 1.0)
    matrix[:, 2] += shift
    second = cv2.warpAffine(first, matrix, (480, 270), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    meter = ImageMotionEstimator()
    assert meter.add(0.0, np.dstack([first] * 3)) is None
    found = meter.add(1.0, np.dstack([second] * 3))
    assert found is not None
    np.testing.assert_allclose(found.rate[:2], shift, atol=0.3)
    assert np.degrees(found.rate[2]) == pytest.approx(degrees, abs=0.1)
