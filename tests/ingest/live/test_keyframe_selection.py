"""Which pictures are chosen: new ground first, of that the sharpest, nothing torn, covered or smeared."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.geometry.camera import InteriorOrientation, LensModel
from flycam.geometry.pose import rotation_from_gimbal
from flycam.ingest.live.frame_pipeline import (
    CLOSES_AT,
    OPENS_AT,
    KeyframeSelector,
    compute_new_share,
    is_torn,
)
from flycam.ingest.video.clock_offset import LoggedPoses
from flycam.ingest.video.video_source import VideoFrame

CAMERA = InteriorOrientation(
    model=LensModel.PINHOLE,
    image_size_px=(320, 180),
    focal_length_px=(250.0, 250.0),
    principal_point_px=(159.5, 89.5),
    calibration_id="test",
)


def north(speed_mps: float, seconds: float = 60.0) -> LoggedPoses:
    """Straight down from 100 m: the view is 72 m deep."""
    time_s = np.arange(0.0, seconds, 0.1)
    zero = np.zeros_like(time_s)
    return LoggedPoses(
        time_s=time_s,
        centre_m=np.stack([zero, speed_mps * time_s, zero + 100.0], axis=1),
        rotation=rotation_from_gimbal(zero, zero - np.pi / 2, zero),
        above_m=zero + 100.0,
        max_gap_s=1.0,
    )


def texture(blur: float = 0.8) -> np.ndarray:
    grey = np.random.default_rng(1).integers(0, 255, (180, 320), np.uint8)
    return cv2.cvtColor(cv2.GaussianBlur(grey, (0, 0), blur), cv2.COLOR_GRAY2RGB)


def picture(seconds: float, pixels: np.ndarray) -> VideoFrame:
    ns = round(seconds * 1e9)
    return VideoFrame(pts_ns=ns, t_utc_ns=ns, arrived_ns=0, pixels=pixels)


def chosen(
    told: LoggedPoses, pixels_at, seconds: float = 50.0, fps: int = 10
) -> tuple[list[float], KeyframeSelector]:
    selector = KeyframeSelector(CAMERA)
    times = []
    for t in np.arange(0.0, seconds, 1.0 / fps):
        found = selector.add(picture(t, pixels_at(t)), told, float(t))
        times += [found.pts_ns / 1e9] if found is not None else []
    return times, selector


def test_pictures_are_chosen_by_new_ground_not_by_time() -> None:
    sharp = texture()
    slow, _ = chosen(north(5.0), lambda _: sharp)
    fast, _ = chosen(north(20.0), lambda _: sharp)
    hover, _ = chosen(north(0.0), lambda _: sharp)
    assert hover == [0.0]
    for times, speed in ((slow, 5.0), (fast, 20.0)):
        share = np.diff(times) * speed / 72.0
        assert (share > OPENS_AT - 0.01).all() and share.max() < CLOSES_AT + speed * 0.1 / 72.0 + 0.01
    assert len(fast) > 3 * len(slow)


def test_of_a_window_the_sharpest_is_chosen() -> None:
    sharp, soft = texture(), texture(1.6)
    times, _ = chosen(north(5.0), lambda t: sharp if round(t * 10) % 4 == 3 else soft)
    assert all(round(t * 10) % 4 == 3 for t in times[1:]) and len(times) > 10


@pytest.mark.parametrize(("blurred", "first"), [((), 0.7), ((0.7,), 0.8)])
def test_in_the_air_a_picture_as_sharp_as_usual_is_taken_at_once_and_a_blurred_one_is_not(
    blurred: tuple[float, ...], first: float
) -> None:
    """20 m/s over a view of 72 m: 2.8 % is new every 0.1 s; the window ends at 0.8 s, its half at 0.61 s."""
    sharp, soft = texture(), texture(3.0)
    selector, told = KeyframeSelector(CAMERA, is_eager=True), north(20.0)
    taken: list[tuple[float, float]] = []
    for t in np.round(np.arange(0.0, 1.0, 0.1), 1):
        found = selector.add(picture(t, soft if t in blurred else sharp), told, float(t))
        taken += [(t, found.pts_ns / 1e9)] if found is not None else []
    assert taken == [(0.0, 0.0), (first, first)]


def test_torn_covered_and_smeared_pictures_are_passed_over_and_counted() -> None:
    sharp, smeared = texture(0.5), texture(2.5)
    torn = sharp.copy()
    torn[90:] = (0, 135, 0)
    bad = {1: torn, 2: np.zeros_like(sharp), 3: smeared}
    times, selector = chosen(north(8.0), lambda t: bad.get(round(t * 10) % 5, sharp))
    assert all(round(t * 10) % 5 in (0, 4) for t in times)
    assert {"torn", "lens_covered", "too_blurred"} == set(selector.passed_over)
    assert len(times) > 15


@pytest.mark.parametrize("silent_s", [0.5, 5.0, 60.0])
def test_pictures_of_a_silent_log_are_counted_unless_it_is_bridged(silent_s: float) -> None:
    told, sharp = north(8.0, 100.0), texture()
    keep = (told.time_s <= 10.0) | (told.time_s > 10.0 + silent_s)
    gappy = replace(
        told, **{name: getattr(told, name)[keep] for name in ("time_s", "centre_m", "rotation", "above_m")}
    )
    times, selector = chosen(gappy, lambda _: sharp, seconds=90.0)
    silent = selector.passed_over["telemetry_gap"]
    assert silent == 0 if silent_s < 1.0 else silent == pytest.approx(10 * silent_s, abs=3)
    assert [t for t in times if t > 11.0 + silent_s] and [t for t in times if t < 9.0]


def test_a_view_of_the_horizon_is_tried_once_a_second_and_comes_back() -> None:
    told, sharp = north(8.0), texture()
    zero = np.zeros_like(told.time_s)
    up = (told.time_s > 10.0) & (told.time_s < 20.0)
    pitch = np.where(up, 0.1, -np.pi / 2)
    swept = replace(told, rotation=rotation_from_gimbal(zero, pitch, zero))
    times, _ = chosen(swept, lambda _: sharp)
    tried = [t for t in times if 10.2 < t < 19.8]
    assert 6 <= len(tried) <= 11
    assert np.diff([t for t in times if t > 22.0]).max() < 2.5


@given(u=st.floats(-400, 400), v=st.floats(-300, 300), turn=st.floats(-3.0, 3.0))
def test_the_new_share_is_a_share_and_grows_with_the_shift(u: float, v: float, turn: float) -> None:
    share = compute_new_share(np.array([u, v, turn]), (320, 180))
    assert 0.0 <= share <= 1.0
    assert compute_new_share(np.array([1.5 * u, 1.5 * v, turn]), (320, 180)) >= share - 1e-12
    assert compute_new_share(np.zeros(3), (320, 180)) == 0.0
    assert compute_new_share(np.array([32.0, 0.0, 0.0]), (320, 180)) == pytest.approx(0.1)


def test_green_meadows_are_not_torn() -> None:
    meadow = np.clip(texture() * 0.4 + np.array([60, 120, 40]), 0, 255).astype(np.uint8)
    assert not is_torn(meadow) and is_torn(np.full((180, 320, 3), (0, 135, 0), np.uint8))
