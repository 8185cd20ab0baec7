"""A stream's own time is believed as long as it can be true, and a jump loses no picture after it."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.ingest.telemetry.mavlink_link import SteadyClock
from flycam.ingest.video.stream import StreamTime

SECOND = 1_000_000_000
STEP = SECOND // 10
JITTER_S = 0.010_001  # what is less moves no times


def dated(pts_s: list[float], arrived_s: list[float]) -> tuple[list[float], int]:
    times = StreamTime(-1)
    at = [times.add(round(p * SECOND), round(a * SECOND)) for p, a in zip(pts_s, arrived_s, strict=True)]
    return [one / SECOND for one in at], times.jumps


@given(st.floats(0.0, 1.0), st.floats(0.0, 0.15), st.integers(5, 30), st.integers(0, 2**32 - 1))
def test_pictures_are_dated_by_the_one_that_came_least_late_in_the_first_seconds(
    held_s: float, jitter_s: float, fps: int, seed: int
) -> None:
    pts = np.arange(0.0, 20.0, 1.0 / fps)
    late_s = jitter_s * np.random.default_rng(seed).random(len(pts))
    late_s += held_s * np.clip(1.0 - pts / 2.0, 0.0, 1.0)  # a link that catches up
    arrived = np.maximum.accumulate(pts + late_s)
    at, jumps = dated(list(pts), list(arrived))
    begun = arrived <= arrived[0] + 3.0
    least_s = (arrived - pts)[begun].min()
    assert jumps == 0
    np.testing.assert_allclose(np.array(at)[~begun], pts[~begun] + least_s, atol=JITTER_S)
    assert (np.diff(at) > 0.0).all() and (np.array(at)[begun] <= arrived[begun] + JITTER_S).all()


def test_later_a_picture_that_comes_less_late_moves_nothing() -> None:
    """The clocks' difference is seen from the motion in pictures by then, or told by hand."""
    pts = np.arange(0.0, 20.0, 0.1)
    at, jumps = dated(list(pts), list(pts + np.where(pts < 10.0, 0.3, 0.0)))
    assert jumps == 0
    np.testing.assert_allclose(at, pts + 0.3, atol=1e-6)


def test_a_break_is_counted_where_later_pictures_are_dated_otherwise() -> None:
    times = StreamTime(-1)
    for k in range(3):
        times.add(k * STEP, SECOND + k * STEP)
    assert times.breaks == 0
    times.add(3 * STEP, SECOND + 3 * STEP - 40_000_000)  # within what the clock is known by
    assert times.breaks == 0
    times.add(4 * STEP, SECOND + 4 * STEP - 60_000_000)
    assert (times.breaks, times.jumps) == (1, 0)
    times.add(4 * STEP + 3600 * SECOND, SECOND + 5 * STEP)
    assert (times.breaks, times.jumps) == (2, 1)


def test_an_encoder_that_begins_anew_or_leaps_ahead_loses_no_picture() -> None:
    for leap_s in (-3600.0, -3.0, 40.0, 3600.0):
        pts = [0.1 * k + (leap_s if k >= 50 else 0.0) for k in range(100)]
        arrived = [7.0 + 0.1 * k for k in range(100)]
        at, jumps = dated(pts, arrived)
        assert jumps == 1
        np.testing.assert_allclose(at, arrived, atol=0.11)
        assert (np.diff(at) > 0.0).all()


@given(
    st.floats(1.5, 600.0),
    st.floats(0.0, 0.2),
    st.integers(1, 30),
    st.integers(0, 2**32 - 1),
)
def test_a_pause_that_the_encoder_does_not_count_is_found_within_seconds(
    pause_s: float, jitter_s: float, fps: int, seed: int
) -> None:
    """A pause of 5 s would date all later pictures 5 s too early: 50 m at 10 m/s."""
    pts = np.arange(0.0, 40.0, 1.0 / fps)
    late_s = jitter_s * np.random.default_rng(seed).random(len(pts))
    taken = pts + np.where(pts > 20.0, pause_s, 0.0)
    at, jumps = dated(list(pts), list(np.maximum.accumulate(taken + late_s)))
    assert jumps == 1
    known = (pts <= 20.0) | (pts > 27.5)
    np.testing.assert_allclose(np.array(at)[known], taken[known], atol=2.0 * jitter_s + 1e-6)
    assert (np.diff(at) > 0.0).all()


@given(st.floats(0.5, 20.0), st.floats(1.3, 30.0), st.integers(5, 30))
def test_a_stall_that_the_link_catches_up_is_no_jump_however_slowly(
    stall_s: float, times_faster: float, fps: int
) -> None:
    pts = np.arange(0.0, 30.0 + 2.0 * stall_s * times_faster / (times_faster - 1.0), 1.0 / fps)
    held = 20.0 + stall_s + (pts - 20.0) / times_faster
    at, jumps = dated(list(pts), list(np.where(pts > 20.0, np.maximum(held, pts), pts)))
    assert jumps == 0
    np.testing.assert_allclose(at, pts, atol=1e-6)


STEPS = st.lists(st.tuples(st.integers(-(2**40), 2**40), st.integers(0, 5 * SECOND)), min_size=1)


@given(STEPS, st.integers(-(2**50), 2**50))
def test_wherever_a_streams_time_begins_it_never_goes_far_back(
    steps: list[tuple[int, int]], begins: int
) -> None:
    here, there = StreamTime(-1), StreamTime(-1)
    pts, arrived, newest = 0, 0, -1
    for moved, waited in steps:
        pts, arrived = pts + moved, arrived + waited
        at = here.add(pts, arrived)
        assert at == there.add(begins + pts, arrived)
        assert at >= newest - SECOND
        newest = max(newest, at)


def test_a_clock_that_is_set_moves_nothing_and_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SteadyClock()
    before_ns = clock.now_ns()
    assert clock.remarks() == ()
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 3600 * SECOND)
    assert 0 <= clock.now_ns() - before_ns < 60 * SECOND
    ((english, vietnamese),) = (one.to_fields().values() for one in clock.remarks())
    assert "set by +3600 s" in english and "+3600" in vietnamese
    monkeypatch.setattr(time, "time_ns", lambda: 86_400 * SECOND)
    ((english, vietnamese),) = (one.to_fields().values() for one in SteadyClock().remarks())
    assert "not set" in english and "chưa đặt đồng hồ" in vietnamese
