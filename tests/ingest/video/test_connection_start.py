"""What comes in a burst as a stream is opened is dated by when it must have come, and hardly waits for it."""

from __future__ import annotations

import socket
import time

import numpy as np
import pytest

from flycam.ingest.video.stream import ConnectionStart, VideoPacket
from flycam.ingest.video.video_source import VideoFrame, VideoSource
from flycam.media.mp4 import ParameterSets, VideoCodec
from tests.ingest.video import streaming
from tests.ports import free_port

SECOND = 1_000_000_000
UTC_NS = 1_788_574_380 * SECOND
FPS = 30


def went_on(pts_s: np.ndarray, arrived_s: np.ndarray) -> tuple[list[VideoPacket], list[int]]:
    """The pictures as they go on, and with which of them each did."""
    beginning, gone, by = ConnectionStart(), [], []
    for number, (pts, arrived) in enumerate(zip(pts_s, arrived_s, strict=True)):
        at_ns = round(arrived * SECOND)
        packet = VideoPacket(
            number, round(pts * SECOND), at_ns, UTC_NS + at_ns, False, b"", ParameterSets(VideoCodec.H264, ())
        )
        more = beginning.add(packet)
        gone += more
        by += [number] * len(more)
    more = beginning.end()
    return gone + more, by + [len(pts_s)] * len(more)


@pytest.mark.parametrize("held_s", [0.24, 1.5])
def test_a_burst_came_in_its_own_time(held_s: float) -> None:
    pts = 100.0 + np.arange(90) / FPS
    arrived = np.maximum(7.0 + held_s + 0.001 * np.arange(90), 7.0 + np.arange(90) / FPS)
    gone, by = went_on(pts, arrived)
    assert [one.number for one in gone] == list(range(90))
    came_s = np.array([one.arrived_ns for one in gone]) / SECOND
    np.testing.assert_allclose(came_s, 7.0 + np.arange(90) / FPS, atol=0.006)
    assert [one.arrived_utc_ns - one.arrived_ns for one in gone] == [UTC_NS] * 90
    waited = np.array([arrived[min(at, 89)] for at in by]) - arrived
    assert waited.max() < held_s / 20 + 0.15 and by[60:] == list(range(60, 90))


def test_pictures_that_come_in_their_own_time_wait_for_two_of_them() -> None:
    pts = np.arange(30) / FPS
    arrived = 3.0 + pts + 0.004 * (np.arange(30) % 2)
    gone, by = went_on(pts, arrived)
    assert by[:3] == [2, 2, 2] and by[3:] == list(range(3, 30))
    np.testing.assert_allclose([one.arrived_ns / SECOND for one in gone], arrived, atol=0.0041)


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


@pytest.mark.parametrize("how", ["rtsp", "udp"])
def test_a_real_streams_first_picture_is_dated_as_its_later_ones_are(
    how: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It was a quarter of a second late over RTSP: as long as the library looks how a stream is coded."""
    film = streaming.write_film(tmp_path_factory.mktemp("film") / "film.mp4", pictures=180, fps=FPS)
    port = free_port(socket.SOCK_DGRAM if how == "udp" else socket.SOCK_STREAM)
    sender = streaming.transport_stream if how == "udp" else streaming.rtsp_server
    seen: list[VideoFrame] = []
    with sender(film, port) as url, VideoSource(url) as source:
        zero_ns = time.time_ns() - time.monotonic_ns()
        for picture in source.frames():
            seen.append(picture)
            if len(seen) == 130:
                break
    number = np.array([streaming.number_of(one.pixels) for one in seen])
    dated_s = np.array([one.t_utc_ns - zero_ns for one in seen]) / SECOND - number / FPS
    came_s = np.array([one.arrived_ns for one in seen]) / SECOND - number / FPS
    least_s = came_s[60:].min()  # in their own time
    assert abs(dated_s[0] - least_s) < 0.08 and abs(dated_s[-1] - least_s) < 0.08
