"""Video from files and real streams: each picture at its time, and nothing that dies takes the rest along."""

from __future__ import annotations

import os
import signal
import socket
import struct
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
import pytest

from flycam.drill.video_encoder import VideoEncoder
from flycam.errors import SourceUnreadable
from flycam.ingest.video.decoder_process import FieldSelector, measure_combing
from flycam.ingest.video.video_source import OutageCounter, Outages, VideoFrame, VideoSource, read_creation_ns
from tests.ingest.video import streaming
from tests.ports import free_port
from tests.waiting import ENOUGH_S, until

SECOND = 10**9


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return streaming.write_film(tmp_path_factory.mktemp("film") / "film.mp4")


def test_a_film_comes_whole_in_order_with_its_times_and_colours(film: Path) -> None:
    with VideoSource(str(film)) as source:
        assert (source.size_px, round(source.fps), source.name) == (streaming.SIZE_PX, 30, "film.mp4")
        pictures = list(source.frames())
    assert [streaming.number_of(p.pixels) for p in pictures] == list(range(60))
    np.testing.assert_allclose([p.pts_ns for p in pictures], np.arange(60) * 1e9 / 30, atol=1e3)
    assert pictures[0].t_utc_ns == source.created_ns == streaming.BEGUN_S * 10**9
    lower = pictures[7].pixels[-8:, -8:].mean(axis=(0, 1))
    assert lower[0] > 180 and lower[2] < 80  # red is red
    assert not source.health.dropped.total() and not source.health.remarks


def test_at_its_own_speed_the_oldest_are_dropped_and_counted(film: Path) -> None:
    began = time.monotonic()
    with VideoSource(str(film), is_realtime=True) as source:
        numbers = []
        for picture in source.frames():
            if not numbers:  # late by most of the film
                until(lambda: source.health.dropped["overrun"] > 20)
            numbers.append(streaming.number_of(picture.pixels))
    assert time.monotonic() - began > 1.9
    assert numbers == sorted(set(numbers)) and numbers[-1] == 59
    assert len(numbers) + source.health.dropped["overrun"] == 60
    assert source.health.dropped["overrun"] > 20


def test_what_is_no_video_is_refused_by_name(tmp_path: Path, film: Path) -> None:
    (tmp_path / "text.mp4").write_text("not a film")
    (tmp_path / "cut.mp4").write_bytes(film.read_bytes()[:2000])
    for name in ("text.mp4", "cut.mp4", "missing.mp4"):
        with pytest.raises(SourceUnreadable, match=name), VideoSource(str(tmp_path / name)):
            pass


def _film_of(path: Path, size_px: tuple[int, int], count: int = 1) -> Path:
    film = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"mp4v"), 30, size_px)
    for _ in range(count):
        film.write(np.zeros((size_px[1], size_px[0], 3), np.uint8))
    film.release()
    return path


def test_a_film_of_more_pixels_than_8k_is_refused_by_name(tmp_path: Path) -> None:
    film = _film_of(tmp_path / "large.mp4", (7680, 4336))
    with pytest.raises(SourceUnreadable, match=r"large\.mp4: .*7680×4336"):
        VideoSource(str(film)).__enter__()


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile film.mp4\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:2,\nfilm.mp4\n#EXT-X-ENDLIST\n",
    ],
)
def test_a_list_of_films_opens_none_of_them(tmp_path: Path, film: Path, text: str) -> None:
    (tmp_path / "film.mp4").write_bytes(film.read_bytes())
    (tmp_path / "list.mp4").write_text(text)
    with pytest.raises(SourceUnreadable, match="list"), VideoSource(str(tmp_path / "list.mp4")):
        pass


def test_times_that_jump_back_are_left_out_and_counted(film: Path, tmp_path: Path) -> None:
    once = streaming.as_transport_stream(film, tmp_path / "once.ts").read_bytes()
    (tmp_path / "twice.ts").write_bytes(once + once)  # a recorder that began anew: its times do too
    with VideoSource(str(tmp_path / "twice.ts")) as source:
        times = [picture.pts_ns for picture in source.frames()]
    assert times == sorted(set(times)) and len(times) >= 58
    assert len(times) + source.health.dropped["pts_backwards"] >= 116


def test_a_decoder_that_hangs_is_ended_in_time(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "hangs.mp4")  # opening it waits for a writer that never comes
    source = _over(tmp_path / "hangs.mp4")
    with pytest.raises(SourceUnreadable, match="gave no picture"), source:
        pass


def _over(path: Path) -> VideoSource:
    """A source whose file is only opened by the decoder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flycam.ingest.video.video_source.read_creation_ns", lambda _: None)
        return VideoSource(str(path), open_s=2.0)


def test_a_decoder_that_dies_ends_the_film_and_is_said(tmp_path: Path) -> None:
    film = streaming.write_film(tmp_path / "long.mp4", pictures=240)
    with VideoSource(str(film)) as source:
        got = []
        for picture in source.frames():
            got.append(streaming.number_of(picture.pixels))
            if len(got) == 20:
                os.kill(source.decoder_pid, signal.SIGKILL)
    assert 20 <= len(got) < 240 and got == list(range(len(got)))
    assert "died" in str(source.health.remarks[0])


def test_leaving_early_leaves_no_process(film: Path) -> None:
    with VideoSource(str(film)) as source:
        next(source.frames())
        pid = source.decoder_pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_real_rtsp_server_is_followed_and_followed_again_when_it_returns(film: Path) -> None:
    port = free_port()
    heard: list[tuple[int, int]] = []
    with streaming.rtsp_server(film, port) as url:
        source = VideoSource(url, stall_s=3.0)
        with source:
            thread = threading.Thread(
                daemon=True,
                target=lambda: heard.extend(
                    (streaming.number_of(p.pixels), p.t_utc_ns) for p in source.frames()
                ),
            )
            thread.start()
            # the film is two seconds long: the server ends it, and a new connection plays it again
            until(lambda: [number for number, _ in list(heard)].count(30) >= 2)
            source.stop()
            thread.join(ENOUGH_S)
    numbers, times = [n for n, _ in heard], [t for _, t in heard]
    assert source.health.connections >= 2 and max(numbers) >= 50
    assert times == sorted(times) and len(set(times)) == len(times)
    assert abs(times[0] - time.time_ns()) < 120e9


def test_a_stream_whose_time_goes_back_is_timed_by_its_arrival_from_there_on(film: Path) -> None:
    """A camera whose encoder begins anew: the same sender's times again, within one connection."""
    port = free_port(socket.SOCK_DGRAM)
    long = streaming.write_film(film.parent / "thirty.mp4", pictures=900)
    times: list[int] = []
    with ExitStack() as first, ExitStack() as then:
        url = first.enter_context(streaming.transport_stream(long, port))
        source = then.enter_context(VideoSource(url, stall_s=60.0))
        guard = threading.Timer(2.0 * ENOUGH_S, source.stop)
        guard.start()
        for picture in source.frames():
            times.append(picture.pts_ns)
            if len(times) == 90:
                first.close()
                then.enter_context(streaming.transport_stream(long, port))
            if len(times) == 180:
                break
        guard.cancel()
        assert len(times) == 180 and source.health.connections == 1
    assert source.health.dropped["pts_backwards"] < 10
    assert (np.diff(times) > 0).all() and np.diff(times).max() < 60e9
    assert any("jumped" in str(one) for one in source.health.remarks)


def test_the_last_picture_of_a_lost_stream_is_as_old_as_when_it_came(tmp_path: Path) -> None:
    """MPEG-TS's last picture is given six seconds after it came, once the silence has lasted so long."""
    film = streaming.write_film(tmp_path / "film.mp4", pictures=240)
    seen: list[tuple[VideoFrame, int]] = []
    with (
        streaming.transport_stream(film, free_port(socket.SOCK_DGRAM)) as url,
        VideoSource(url, stall_s=60.0) as source,
    ):
        for picture in source.frames():
            seen.append((picture, time.monotonic_ns()))
            if streaming.number_of(picture.pixels) == 239:
                break
        assert source.health.arrived_ns == seen[-1][0].arrived_ns
        assert source.outages == Outages() and not source.remarks
    (before, _), (last, given_ns) = seen[-2:]
    assert last.arrived_ns - before.arrived_ns < 2 * SECOND < given_ns - last.arrived_ns


def test_a_stream_is_called_by_its_address_without_what_opens_it() -> None:
    """All that is said of it, on every screen, begins with its name."""
    assert VideoSource("rtsp://admin:secret@cam:554/live?key=secret").name == "rtsp://cam:554/live"


def test_a_camera_whose_clock_was_never_set_names_no_time_of_creation(tmp_path: Path) -> None:
    film = streaming.write_film(tmp_path / "film.mp4", pictures=10)
    moov = film.read_bytes()
    at = moov.index(b"mvhd") + 8
    film.write_bytes(moov[:at] + struct.pack(">I", 2_082_844_800 + 86_400) + moov[at + 4 :])  # 2 Jan 1970
    assert read_creation_ns(film) is None


def test_what_ends_a_stream_is_no_outage_and_is_said() -> None:
    count = OutageCounter()
    for second in (0, 1, 2, 30, 31, 43, 44):
        count.add(second * SECOND, fps=30.0)
    assert count.outages() == count.outages(stopped_ns=45 * SECOND) == Outages(2, 40.0)
    outages = count.outages(stopped_ns=54 * SECOND)
    assert outages == Outages(2, 40.0, 10.0)
    assert [one.values for one in outages.remarks("udp://@:5600")] == [
        {"name": "udp://@:5600", "seconds": 40.0, "count": 2},
        {"name": "udp://@:5600", "seconds": 10.0},
    ]
    assert Outages().remarks("udp://@:5600") == ()


def test_a_stream_of_few_pictures_is_not_lost_between_them() -> None:
    count = OutageCounter()
    for second in (0, 4, 8, 20):
        count.add(second * SECOND, fps=0.5)
    assert count.outages() == Outages(1, 12.0)


FIELDS_PX = (240, 320)


def ground(shift_px: float) -> np.ndarray:
    """A textured ground that a camera has moved over by so many columns."""
    height, width = FIELDS_PX
    noise = np.random.default_rng(3).uniform(0, 255, (height, width + 64, 3)).astype(np.float32)
    texture = np.clip(128 + 4.0 * (cv2.GaussianBlur(noise, (0, 0), 2.5) - 127.5), 0, 255).astype(np.uint8)
    moved = np.array([[1.0, 0.0, -shift_px], [0.0, 1.0, 0.0]])
    return cv2.warpAffine(texture, moved, (width + 64, height))[:, 32:-32].copy()


def woven(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    picture = upper.copy()
    picture[1::2] = lower[1::2]
    return picture


def test_a_whole_picture_is_left_as_it_is() -> None:
    fields = FieldSelector()
    for moment in range(5):
        picture = ground(3.0 * moment)
        assert fields.select(picture) is picture
    noise = np.random.default_rng(1).integers(0, 255, (*FIELDS_PX, 3), np.uint8)
    assert fields.select(noise) is noise and not fields.is_interlaced
    assert measure_combing(np.zeros((3, 8, 3), np.uint8)) == 0.0


def test_pictures_of_an_interlaced_film_come_out_of_one_moment(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with VideoEncoder(path, FIELDS_PX[::-1], 10, 0) as encoder:
        for moment in range(10):
            encoder.write(woven(ground(6.0 * moment - 30.0), ground(6.0 * moment - 27.0)))
    with VideoSource(str(path)) as source:
        combs = [measure_combing(picture.pixels) for picture in source.frames()]
    assert len(combs) == 10 and max(combs) < 0.9
