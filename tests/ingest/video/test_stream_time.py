"""A stream's own time is believed as long as it can be true; a burst as it opens is dated by when it came."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.ingest.telemetry.mavlink_link import SteadyClock
from flycam.ingest.video.stream import ConnectionStart, StreamTime, VideoPacket
from flycam.ingest.video.video_source import VideoFrame, VideoSource
from flycam.media.mp4 import ParameterSets, VideoCodec
from tests.ingest.video import streaming
from tests.ports import free_port

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
    (remark,) = clock.remarks()
    assert "+3600" in remark.in_language("en") and "+3600" in remark.in_language("vi")
    monkeypatch.setattr(time, "time_ns", lambda: 86_400 * SECOND)
    assert len(SteadyClock().remarks()) == 1


_UTC_NS = 1_788_574_380 * SECOND
_FPS = 30


def went_on(pts_s: np.ndarray, arrived_s: np.ndarray) -> tuple[list[VideoPacket], list[int]]:
    """The pictures as they go on, and with which of them each did."""
    beginning, gone, by = ConnectionStart(), [], []
    for number, (pts, arrived) in enumerate(zip(pts_s, arrived_s, strict=True)):
        at_ns = round(arrived * SECOND)
        packet = VideoPacket(
            number,
            round(pts * SECOND),
            at_ns,
            _UTC_NS + at_ns,
            False,
            b"",
            ParameterSets(VideoCodec.H264, ()),
        )
        more = beginning.add(packet)
        gone += more
        by += [number] * len(more)
    more = beginning.end()
    return gone + more, by + [len(pts_s)] * len(more)


@pytest.mark.parametrize("held_s", [0.24, 1.5])
def test_a_burst_came_in_its_own_time(held_s: float) -> None:
    pts = 100.0 + np.arange(90) / _FPS
    arrived = np.maximum(7.0 + held_s + 0.001 * np.arange(90), 7.0 + np.arange(90) / _FPS)
    gone, by = went_on(pts, arrived)
    assert [one.number for one in gone] == list(range(90))
    came_s = np.array([one.arrived_ns for one in gone]) / SECOND
    np.testing.assert_allclose(came_s, 7.0 + np.arange(90) / _FPS, atol=0.006)
    assert [one.arrived_utc_ns - one.arrived_ns for one in gone] == [_UTC_NS] * 90
    waited = np.array([arrived[min(at, 89)] for at in by]) - arrived
    assert waited.max() < held_s / 20 + 0.15 and by[60:] == list(range(60, 90))


def test_a_leap_of_the_streams_own_time_is_taken_for_no_burst() -> None:
    """It would date the first picture an hour early."""
    for leap_s in (3600.0, -3600.0, 1.5):
        pts = np.array([0.0, 0.033, 0.066 + leap_s, 0.1 + leap_s])
        gone, _ = went_on(pts, 5.0 + np.array([0.0, 0.033, 0.034, 0.1]))
        assert [one.arrived_ns for one in gone] == [
            5_000_000_000,
            5_033_000_000,
            5_034_000_000,
            5_100_000_000,
        ]


def test_a_real_streams_first_picture_is_dated_as_its_later_ones_are(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """It was a quarter of a second late over RTSP: as long as the library looks how a stream is coded."""
    film = streaming.write_film(tmp_path_factory.mktemp("film") / "film.mp4", pictures=180, fps=_FPS)
    seen: list[VideoFrame] = []
    with streaming.rtsp_server(film, free_port()) as url, VideoSource(url) as source:
        zero_ns = time.time_ns() - time.monotonic_ns()
        for picture in source.frames():
            seen.append(picture)
            if len(seen) == 130:
                break
    number = np.array([streaming.number_of(one.pixels) for one in seen])
    dated_s = np.array([one.t_utc_ns - zero_ns for one in seen]) / SECOND - number / _FPS
    came_s = np.array([one.arrived_ns for one in seen]) / SECOND - number / _FPS
    least_s = came_s[60:].min()  # in their own time
    assert abs(dated_s[0] - least_s) < 0.08 and abs(dated_s[-1] - least_s) < 0.08
