"""Which pictures are chosen: new ground first, the sharpest of it; on a drowning machine it is lost last."""

from __future__ import annotations

import threading
import time

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.concurrency import BoundedQueue, DropCounter
from flycam.geometry.camera import InteriorOrientation, LensModel
from flycam.geometry.pose import rotation_from_gimbal
from flycam.ingest.live.frame_pipeline import (
    CLOSES_AT,
    OPENS_AT,
    KeyframeSelector,
    choose_spacing,
    compute_new_share,
    is_torn,
)
from flycam.ingest.live.orthorectifier import ChosenFrame, NewGroundRule
from flycam.ingest.video.clock_offset import LoggedPoses
from flycam.ingest.video.video_source import VideoFrame
from tests.waiting import ENOUGH_S

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
    poses: LoggedPoses, pixels_at, seconds: float = 50.0, fps: int = 10
) -> tuple[list[float], DropCounter]:
    dropped = DropCounter()
    selector = KeyframeSelector(CAMERA, dropped)
    times = []
    for t in np.arange(0.0, seconds, 1.0 / fps):
        found = selector.add(picture(t, pixels_at(t)), poses, float(t))
        times += [found.pts_ns / 1e9] if found is not None else []
    return times, dropped


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
    selector, poses = KeyframeSelector(CAMERA, DropCounter(), is_eager=True), north(20.0)
    taken: list[tuple[float, float]] = []
    for t in np.round(np.arange(0.0, 1.0, 0.1), 1):
        found = selector.add(picture(t, soft if t in blurred else sharp), poses, float(t))
        taken += [(t, found.pts_ns / 1e9)] if found is not None else []
    assert taken == [(0.0, 0.0), (first, first)]


def test_torn_covered_and_smeared_pictures_are_passed_over_and_counted() -> None:
    sharp, smeared = texture(0.5), texture(2.5)
    torn = sharp.copy()
    torn[90:] = (0, 135, 0)
    bad = {1: torn, 2: np.zeros_like(sharp), 3: smeared}
    times, dropped = chosen(north(8.0), lambda t: bad.get(round(t * 10) % 5, sharp))
    assert all(round(t * 10) % 5 in (0, 4) for t in times)
    assert {"torn", "lens_covered", "too_blurred"} == set(dropped)
    assert len(times) > 15


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


def numbered(number: int, share: float) -> ChosenFrame:
    return ChosenFrame(picture(number / 1e9, np.zeros((2, 2, 3), np.uint8)), share, time.monotonic_ns())


def numbers(queue: BoundedQueue[ChosenFrame]) -> list[int]:
    queue.close()
    return [one.picture.pts_ns for one in iter(queue.get, None)]


def test_the_picture_goes_whose_neighbours_show_most_of_it() -> None:
    dropped = DropCounter()
    queue = BoundedQueue(admit=NewGroundRule(4, dropped))
    for number, share in enumerate((1.0, 0.5, 0.1, 0.2, 0.5)):
        assert queue.put(numbered(number, share))
    assert dropped == {"thinned": 1}
    assert numbers(queue) == [0, 1, 3, 4]  # the third: the fourth is then 30 % new against the second


def test_new_ground_is_lost_only_where_every_picture_shows_it_alone_and_that_has_its_own_name() -> None:
    dropped = DropCounter()
    queue = BoundedQueue(admit=NewGroundRule(3, dropped))
    for number in range(5):
        queue.put(numbered(number, 0.7))
    assert dropped == {"no_time": 2}
    assert numbers(queue)[-1] == 4  # the newest is never the one


def test_of_a_file_nothing_is_dropped_who_chooses_waits() -> None:
    queue, done = BoundedQueue[int](2), threading.Event()

    def choose() -> None:
        for number in range(6):
            queue.put(number)
        done.set()

    threading.Thread(target=choose, daemon=True).start()
    assert not done.wait(0.2)
    found = [queue.get() for _ in range(6)]
    assert done.wait(ENOUGH_S) and found == list(range(6))


@given(st.floats(0.0, 20.0), st.floats(0.0, 20.0))
def test_the_later_the_wider_and_never_so_wide_that_ground_is_left_between(one: float, other: float) -> None:
    early, late = choose_spacing(min(one, other)), choose_spacing(max(one, other))
    assert OPENS_AT <= early[0] <= late[0] < 0.8 and CLOSES_AT <= early[1] <= late[1] < 0.8
    assert choose_spacing(0.5) == (OPENS_AT, CLOSES_AT)
