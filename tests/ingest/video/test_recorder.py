"""A stream recorded as it comes, over real links: nothing coded anew, nothing lost but what is counted."""

from __future__ import annotations

import errno
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from flycam.ingest.live.recording import (
    SegmentFile,
    close_unfinished_segments,
    list_finished_segments,
    read_segment,
)
from flycam.ingest.video import decoder_process
from flycam.ingest.video.decoder_process import Recorder, RecordingOptions
from flycam.ingest.video.stream import VideoPacket
from flycam.ingest.video.video_source import VideoSource
from flycam.media.mp4 import VideoCodec, extract_parameter_sets, split_units, to_length_prefixed
from flycam.messages import Message
from tests.ingest.video import streaming
from tests.ports import free_port
from tests.waiting import ENOUGH_S, until


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seconds, a key frame each second."""
    return streaming.write_film(tmp_path_factory.mktemp("film") / "film.mp4", pictures=240)


def packets_of(film: Path, most: int = 240) -> list[VideoPacket]:
    video = cv2.VideoCapture(str(film), cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1])
    packets: list[VideoPacket] = []
    parameters = None
    now_ns = time.time_ns()
    while len(packets) < most and (read := video.read())[0]:
        units, number = split_units(read[1].tobytes()), len(packets)
        parameters = extract_parameter_sets(units, VideoCodec.H264) or parameters
        assert parameters is not None
        pts_ns = round(video.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
        is_key = video.get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME) > 0
        data = to_length_prefixed(units, VideoCodec.H264)
        packets.append(VideoPacket(number, pts_ns, number, now_ns + pts_ns, is_key, data, parameters))
    return packets


def numbers(path: Path) -> list[int]:
    """Of the pictures in a piece: their low eight bits."""
    video, found = cv2.VideoCapture(str(path)), []
    while (read := video.read())[0]:
        found.append(streaming.number_of(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB)))
    return found


def pieces_in(folder: Path) -> list[SegmentFile]:
    close_unfinished_segments(folder)
    return [piece for path in list_finished_segments(folder) if (piece := read_segment(path)) is not None]


@contextmanager
def one_client_only(port: int) -> Iterator[tuple[int, list[int]]]:
    """In front of a server, as a camera that serves one client: the port, and connections connections for."""
    connections: list[int] = []
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as door:
        door.settimeout(0.2)

        def pump(source: socket.socket, sink: socket.socket) -> None:
            try:
                while data := source.recv(65536):
                    sink.sendall(data)
            except OSError:
                pass
            for one in (source, sink):
                one.close()

        def serve() -> None:
            while not over.is_set():
                try:
                    client, _ = door.accept()
                except TimeoutError:
                    continue
                connections.append(1)
                if len(connections) > 1:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", port))
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(door.getsockname()[1]), connections
        over.set()
        thread.join()


def test_one_connection_serves_decoder_and_recording_and_nothing_is_coded_anew(
    film: Path, tmp_path: Path
) -> None:
    port = free_port()
    order = RecordingOptions(folder=tmp_path, segment_s=1.5)
    with (
        streaming.rtsp_server(film, port),
        one_client_only(port) as (door, connections),
        VideoSource(f"rtsp://127.0.0.1:{door}/live", recording=order) as source,
    ):
        seen = []
        for picture in source.frames():
            seen.append(streaming.number_of(picture.pixels))
            if len(seen) == 150:
                break
    assert len(connections) == 1
    assert not source.health.dropped["unrecorded"]
    pieces = pieces_in(tmp_path)
    recorded = [number for piece in pieces for number in numbers(piece.path)]
    assert recorded == list(range(recorded[0], recorded[0] + len(recorded)))
    # who takes pictures late misses some, counted under whatever reason, and the recording none
    counted = source.health.dropped
    assert 0 <= seen[0] - recorded[0] <= sum(counted.values()), counted
    assert recorded[-1] >= seen[-1] - 16  # half a second was not written yet
    assert len(pieces) >= 3 and all(1.9 < piece.seconds < 2.2 for piece in pieces[:-1])
    assert {piece.codec for piece in pieces} == {"avc1.42C00B"}
    coded = film.read_bytes()
    pictures = [unit for unit in _units_of_pieces(pieces) if unit[0] & 31 in (1, 5)]
    assert len(pictures) == len(recorded)
    assert all(unit in coded for unit in pictures)


def _units_of_pieces(pieces: list[SegmentFile]) -> Iterator[bytes]:
    for piece in pieces:
        video = cv2.VideoCapture(str(piece.path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1])
        while (read := video.read())[0]:
            yield from split_units(read[1].tobytes())


def test_a_decoder_that_is_killed_leaves_what_it_had_and_the_next_goes_on(film: Path, tmp_path: Path) -> None:
    order = RecordingOptions(folder=tmp_path, segment_s=60.0)
    with (
        streaming.rtsp_server(film, free_port()) as url,
        VideoSource(url, recording=order) as source,
    ):
        for count, _ in enumerate(source.frames()):
            if count == 45:
                os.kill(source.decoder_pid or 0, signal.SIGKILL)
            if source.health.connections == 2 and count > 100:
                break
    pieces = pieces_in(tmp_path)
    assert len(pieces) == 2 and pieces[0].pictures >= 30
    assert all(len(numbers(piece.path)) == piece.pictures for piece in pieces)


class Heard:
    """What a recorder said."""

    def __init__(self) -> None:
        self.lost = 0
        self.remarks: list[Message] = []

    def __call__(self, _reason: str, lost: int, remark: Message | None) -> None:
        self.lost += lost
        self.remarks += [remark] if remark else []


def test_a_disk_that_fills_up_ends_the_piece_and_it_goes_on_once_there_is_room(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder_process, "_PAUSE_S", 0.0)
    heard, room, write = Heard(), [6_000], Recorder._write

    def writes(self: Recorder, data: bytes) -> None:
        room[0] -= len(data)
        if -4_000 < room[0] < 0:
            write(self, data[: len(data) // 2])  # torn, as a full disk does it
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, data)

    monkeypatch.setattr(Recorder, "_write", writes)
    packets = packets_of(film)
    recorder = Recorder(RecordingOptions(folder=tmp_path, segment_s=2.0), streaming.SIZE_PX, heard)
    for packet in packets:
        recorder.put(packet)
    recorder.close(20.0)
    pieces = pieces_in(tmp_path)
    recorded = sum(piece.pictures for piece in pieces)
    assert 0 < recorded < 240 and recorded + heard.lost == 240
    assert "No space left" in str(heard.remarks[0])
    assert all(len(numbers(piece.path)) == piece.pictures for piece in pieces)
    assert numbers(pieces[-1].path)[-1] == 239  # the end is there again


def test_a_slow_disk_makes_nobody_wait_and_what_is_lost_is_counted(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packets = packets_of(film)
    monkeypatch.setattr(decoder_process, "_UNWRITTEN_BYTES", sum(len(one.data) for one in packets[:60]))
    heard, write, all_are_put = Heard(), Recorder._write, threading.Event()

    def slowly(self: Recorder, data: bytes) -> None:
        all_are_put.wait()  # for ever, if whoever puts waits for what is written
        write(self, data)

    monkeypatch.setattr(Recorder, "_write", slowly)
    recorder = Recorder(RecordingOptions(folder=tmp_path), streaming.SIZE_PX, heard)
    for packet in packets:
        recorder.put(packet)
    all_are_put.set()
    recorder.close(ENOUGH_S)
    pieces = pieces_in(tmp_path)
    recorded = sum(piece.pictures for piece in pieces)
    assert heard.lost >= 60 and recorded + heard.lost == 240
    for piece in pieces:  # whatever was lost between, each piece is whole
        found = numbers(piece.path)
        assert found == list(range(found[0], found[0] + len(found)))


def send_torn(path: Path, port: int, over: threading.Event, seconds: float = 4.0) -> None:
    """An MPEG-TS file over UDP at its own speed from when somebody listens, with datagrams lost and damaged
    on the way."""
    until(lambda: over.is_set() or streaming.is_listening(port, "udp"))
    rng = np.random.default_rng(5)
    data = path.read_bytes()
    datagrams = [data[at : at + 7 * 188] for at in range(0, len(data), 7 * 188)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for datagram in datagrams:
            if over.wait(seconds / len(datagrams)):
                return
            torn, luck = bytearray(datagram), rng.random()
            if luck < 0.04:
                continue
            if luck < 0.08:
                torn[int(rng.integers(10, len(torn)))] ^= 0xFF
            out.sendto(bytes(torn), ("127.0.0.1", port))


def stop_after(sender: threading.Thread, source: VideoSource) -> None:
    """Once all was sent and had time to come."""
    sender.join()
    time.sleep(1.0)
    source.stop()


def test_a_stream_that_is_torn_on_the_way_is_recorded_as_it_came(film: Path, tmp_path: Path) -> None:
    stream = streaming.as_transport_stream(film, tmp_path / "film.ts")
    port, over = free_port(socket.SOCK_DGRAM), threading.Event()
    sender = threading.Thread(daemon=True, target=send_torn, args=(stream, port, over))
    sender.start()
    order = RecordingOptions(folder=tmp_path / "rec", segment_s=2.0)
    with VideoSource(f"udp://127.0.0.1:{port}", stall_s=60.0, recording=order) as source:
        stopping = threading.Thread(daemon=True, target=stop_after, args=(sender, source))
        stopping.start()
        count = sum(1 for _ in source.frames())
    over.set()
    stopping.join(ENOUGH_S)
    pieces = pieces_in(tmp_path / "rec")
    assert count >= 90 and source.health.connections == 1
    assert sum(piece.pictures for piece in pieces) >= 90
    assert all(len(numbers(piece.path)) >= 0.5 * piece.pictures for piece in pieces)


def test_a_disk_that_is_nearly_full_is_left_to_the_map(film: Path, tmp_path: Path) -> None:
    heard = Heard()
    recorder = Recorder(RecordingOptions(folder=tmp_path, min_free_bytes=1 << 60), streaming.SIZE_PX, heard)
    for one in packets_of(film, 30):
        recorder.put(one)
    recorder.close(10.0)
    assert heard.lost == 30 and pieces_in(tmp_path) == []
    (remark,) = heard.remarks
    assert f"{1 << 30} GB" in remark.in_language("en") and f"{1 << 30} GB" in remark.in_language("vi")


@pytest.fixture(scope="module")
def h265_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return streaming.write_h265_film(tmp_path_factory.mktemp("h265") / "film.mp4", pictures=240)


def test_h265_comes_whole_in_order_with_its_times(h265_film: Path) -> None:
    with VideoSource(str(h265_film)) as source:
        pictures = list(source.frames())
    assert [streaming.number_of(picture.pixels) for picture in pictures] == list(range(240))
    np.testing.assert_allclose([p.pts_ns for p in pictures], np.arange(240) * 1e9 / 30, atol=1e3)
    assert not source.health.dropped.total() and not source.health.remarks


def test_h265_in_mpeg_ts_over_udp_is_followed_and_recorded(h265_film: Path, tmp_path: Path) -> None:
    port = free_port(socket.SOCK_DGRAM)
    order = RecordingOptions(folder=tmp_path)
    with (
        streaming.transport_stream(h265_film, port, VideoCodec.H265) as url,
        VideoSource(url, recording=order) as source,
    ):
        seen = []
        for picture in source.frames():
            seen.append(streaming.number_of(picture.pixels))
            if len(seen) == 90:
                break
    (piece,) = pieces_in(tmp_path)
    recorded = numbers(piece.path)
    assert recorded[:60] == list(range(recorded[0], recorded[0] + 60))
    assert piece.codec.startswith(("hvc1", "hev1"))
    assert sorted(seen) == seen and set(seen) & set(recorded)
