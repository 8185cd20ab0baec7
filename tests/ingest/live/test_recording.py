"""A live flight's video and its link's log are evidence, however it ends, and never in the map's way."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import pytest

from flycam.catalog.flights import LiveFlightPhase, VideoSegment
from flycam.drill.video_drill import VideoDrillReport
from flycam.errors import DiskFull, OptionUnusable, OutsideTerrain
from flycam.ingest.live import status
from flycam.ingest.live.inputs import LiveRequest
from flycam.ingest.live.recording import (
    LINK_LOG_FILE,
    StreamRecording,
    complete_interrupted_streams,
    open_scratch_folder,
    recover_link_logs,
    recover_recordings,
)
from flycam.ingest.live.status import ThumbnailPublisher
from flycam.ingest.live.workflow import VideoReport, orthorectify_video
from flycam.ingest.video.decoder_process import Recorder, RecordingOptions
from flycam.ingest.video.video_source import VideoFrame
from flycam.messages import Message
from flycam.model.flight import FlightState
from flycam.mosaic.eviction import collect_garbage
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.mosaic.orthorectify.rebuild import list_live_mosaics, rebuild_mosaic
from flycam.storage import keys
from flycam.storage.keys import DAMAGED_RECORDINGS_DIR, RECORDINGS_DIR
from flycam.workspace import ignore_progress
from tests.houses import House
from tests.ingest.video.streaming import BEGUN_S, SIZE_PX, OnAir, on_air, write_film
from tests.ingest.video.test_recorder import packets_of
from tests.ports import free_port
from tests.texts import pair
from tests.unreliable_stores import FullStore
from tests.waiting import ENOUGH_S, until

MakeHouse = Callable[..., House]


@contextmanager
def asked_on_air(film: VideoDrillReport) -> Iterator[tuple[LiveRequest, OnAir]]:
    """A real RTSP server and a real UDP link that tells of it."""
    port = free_port(socket.SOCK_DGRAM)
    with on_air(film, port) as air:
        request = LiveRequest(
            video=air.url,
            telemetry=f"udp://127.0.0.1:{port}",
            camera=film.camera,
            is_drill=True,
            clock_offset_s=0.0,
        )
        yield request, air


def flown(house: House, film: VideoDrillReport) -> VideoReport:
    with asked_on_air(film) as (request, air):
        return orthorectify_video(
            house.workspace, request, FlightLabels(), ignore_progress, lambda: air.seconds > 9.0
        )


@pytest.fixture
def short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "flycam.ingest.live.recording.RecordingOptions",
        lambda folder: RecordingOptions(folder=folder, segment_s=2.0),
    )


@pytest.mark.slow
@pytest.mark.usefixtures("short_pieces")
def test_the_video_of_a_live_flight_is_evidence_named_with_the_flight(
    film: VideoDrillReport, make_house: MakeHouse
) -> None:
    house = make_house(film)
    report = flown(house, film)
    assert report.flight.state is FlightState.READY and report.used >= 3
    workspace = house.workspace
    pieces = workspace.catalog.recordings.list_for_flight(report.flight.flight_id)
    assert report.recorded is not None and report.recorded.pieces == len(pieces) >= 3
    assert report.recorded.seconds == pytest.approx(sum(one.seconds for one in pieces))
    assert report.recorded.seconds > 4.0 and report.recorded.deleted_pieces == 0
    for piece in pieces:
        data = workspace.store.get(keys.format_recording_key(piece.sha256))
        assert hashlib.sha256(data).hexdigest() == piece.sha256 and len(data) == piece.size_bytes
    frames = workspace.catalog.frames.list_for_flight(report.flight.flight_id)
    times = [one.header.captured_ns for one in frames]
    assert min(times) > pieces[0].began_ns - 0.3e9 and max(times) < pieces[-1].ended_ns + 1e9
    assert list((workspace.cache_dir / RECORDINGS_DIR).iterdir()) == []
    collect_garbage(workspace, grace_s=0.0)
    assert all(workspace.store.exists(keys.format_recording_key(piece.sha256)) for piece in pieces)


@pytest.mark.slow
def test_what_a_killed_program_laid_and_recorded_is_completed_by_the_next(
    film: VideoDrillReport, make_house: MakeHouse
) -> None:
    house = make_house(film)
    with asked_on_air(film) as (request, _):
        words = ["live", "--video", request.video, "--telemetry", request.telemetry, "--drill"]
        words += ["--camera", str(film.camera), "--clock-offset", "0", "--data", str(house.root)]
        with subprocess.Popen([sys.executable, "-m", "flycam", *words], stderr=subprocess.DEVNULL) as process:
            until(lambda: has_mapped(house, BEFORE_S))
            assert recover_recordings(house.workspace) == 0, "somebody records there"
            assert recover_link_logs(house.workspace) == 0, "somebody flies there"
            os.kill(process.pid, signal.SIGKILL)
    # its decoder notices late that it is alone
    until(lambda: recover_recordings(house.workspace) > 0, lambda: list_files(house.workspace.cache_dir))
    assert recover_link_logs(house.workspace) == 1  # and what the aircraft said
    (ended,) = complete_interrupted_streams(house.workspace)
    assert ended.state is FlightState.READY
    (mosaic,) = list_live_mosaics(house.workspace, ended.flight_id)
    everywhere = [one.tiles for one in house.workspace.catalog.frames.list_for_flight(ended.flight_id)]
    assert rebuild_mosaic(house.workspace, mosaic, ignore_progress, also=everywhere, check=True).lines == 0
    pieces = house.workspace.catalog.recordings.list_for_flight(ended.flight_id)
    assert sum(piece.seconds for piece in pieces) > 2.0
    assert all(house.workspace.store.exists(keys.format_recording_key(piece.sha256)) for piece in pieces)


def list_files(folder: Path) -> str:
    """What lies there: each file with its size."""
    return ", ".join(f"{one}: {one.stat().st_size}" for one in folder.rglob("*") if one.is_file())


BEFORE_S = 4.0


def has_mapped(house: House, seconds: float) -> bool:
    """Whether a flight in the air has pictures on the map that span so many seconds."""
    flying = [
        one for one in house.workspace.catalog.airborne.list_since(0) if one.phase is LiveFlightPhase.FLYING
    ]
    frames = [f for one in flying for f in house.workspace.catalog.frames.list_for_flight(one.flight_id)]
    times = [frame.header.captured_ns for frame in frames]
    return bool(times) and (max(times) - min(times)) / 1e9 >= seconds


@pytest.mark.slow
def test_the_command_says_what_was_recorded(film: VideoDrillReport, make_house: MakeHouse) -> None:
    house = make_house(film)
    with asked_on_air(film) as (request, _):
        words = ["live", "--video", request.video, "--telemetry", request.telemetry, "--drill", "--json"]
        words += ["--camera", str(film.camera), "--clock-offset", "0", "--data", str(house.root)]
        command = [sys.executable, "-m", "flycam", *words, "--keep-video", "0.5"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            until(lambda: has_mapped(house, BEFORE_S))
            process.send_signal(signal.SIGINT)
            answered, _ = process.communicate(timeout=ENOUGH_S)
    answer = json.loads(answered.splitlines()[-1])
    assert process.returncode == 0 and answer["frames"] >= 1
    pieces = house.workspace.catalog.recordings.list_for_flight(answer["flight_id"])
    assert answer["recorded"]["pieces"] == len(pieces) >= 1
    assert answer["recorded"]["seconds"] > BEFORE_S - 1.0


def piece(number: int, flight_id: str = "f1", size: int = 100) -> VideoSegment:
    return VideoSegment(
        sha256=f"{number:064x}",
        flight_id=flight_id,
        began_ns=number * 10**10,
        seconds=10.0,
        pictures=300,
        size_bytes=size,
        codec="avc1.42C00B",
    )


def leave_recording(house: House, name: str, flight_id: str | None, began_ns: int, film: Path) -> Path:
    """A folder as a program that died leaves it, with a piece of a film that nobody closed."""
    folder = house.workspace.cache_dir / RECORDINGS_DIR / name
    folder.mkdir(parents=True)
    if flight_id is not None:
        (folder / "flight").write_text(flight_id)
    recorder = Recorder(RecordingOptions(folder=folder, segment_s=60.0), SIZE_PX, lambda *_: None)
    for packet in packets_of(film):
        recorder.put(replace(packet, arrived_utc_ns=began_ns + packet.pts_ns))
    recorder.close(10.0)
    (whole,) = folder.glob("*.mp4")
    cut = whole.read_bytes()[:-5]
    whole.unlink()
    whole.with_suffix(".part").write_bytes(cut)
    return folder


def test_more_than_is_to_be_kept_lets_the_oldest_of_all_flights_go(
    make_house: MakeHouse, tmp_path: Path
) -> None:
    house = make_house()
    catalog, store = house.workspace.catalog, house.workspace.store
    for number in (1, 2, 3):
        catalog.recordings.put(piece(number, size=4_000))
        store.put(keys.format_recording_key(piece(number).sha256), b"x" * 4_000)
    uploaded = keys.format_original_key(piece(1).sha256)  # as a film for `live --video`
    store.put(uploaded, b"x" * 4_000)
    film = write_film(tmp_path / "film.mp4", pictures=60)
    recording = StreamRecording(house.workspace, keep_gb=14_000 / 1e9)
    with recording:
        assert recording.order is not None
        recorder = Recorder(recording.order, SIZE_PX, lambda *_: None)
        for packet in packets_of(film):
            recorder.put(packet)
        recorder.close(10.0)
        recording.assign_flight("f2")
    (new,) = catalog.recordings.list_for_flight("f2")
    assert 1_000 < new.size_bytes < 9_000 and recording.kept.deleted_pieces == 1 and recording.remarks == ()
    old = catalog.recordings.list_for_flight("f1")
    assert [one.let_go_ns is None for one in old] == [False, True, True]
    assert [store.exists(keys.format_recording_key(one.sha256)) for one in old] == [False, True, True]
    assert store.exists(uploaded)
    assert replace(old[0], let_go_ns=None) == piece(1, size=4_000)  # what it was stays known


def test_a_piece_that_a_power_cut_damaged_is_set_aside_and_said_and_the_others_are_kept(
    make_house: MakeHouse, tmp_path: Path
) -> None:
    house = make_house()
    film = write_film(tmp_path / "film.mp4", pictures=60)
    for name, flight_id in (("a", "f7"), ("b", "f8")):
        leave_recording(house, name, flight_id, BEGUN_S * 10**9, film)
    (path,) = (house.workspace.cache_dir / RECORDINGS_DIR / "a").glob("*.part")
    whole = path.read_bytes()
    at = whole.index(b"trun")
    damaged = whole[:at] + bytes(40) + whole[at + 40 :]
    path.write_bytes(damaged)
    remarks: list[Message] = []
    assert [recover_recordings(house.workspace, remarks) for _ in range(2)] == [1, 0]
    assert house.workspace.catalog.recordings.list_for_flight("f7") == []
    assert len(house.workspace.catalog.recordings.list_for_flight("f8")) == 1
    aside = house.workspace.cache_dir / DAMAGED_RECORDINGS_DIR / f"f7-{BEGUN_S * 10**9}.mp4"
    os.utime(aside, (0, 0))
    collect_garbage(house.workspace, grace_s=0.0)
    assert aside.read_bytes() == damaged
    (damaged,) = remarks
    assert all(str(aside) in text for text in damaged.to_fields().values())
    assert list((house.workspace.cache_dir / RECORDINGS_DIR).iterdir()) == []


def test_what_somebody_records_is_left_alone_and_not_collected(make_house: MakeHouse, tmp_path: Path) -> None:
    house = make_house()
    film = write_film(tmp_path / "film.mp4", pictures=60)
    folder = leave_recording(house, "a", "f7", BEGUN_S * 10**9, film)
    held = os.open(folder, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_SH)
    assert recover_recordings(house.workspace) == 0
    os.utime(folder, (0, 0))
    for path in folder.iterdir():
        os.utime(path, (0, 0))
    collect_garbage(house.workspace, grace_s=0.0)
    os.close(held)
    assert recover_recordings(house.workspace) == 1


def test_a_folder_that_cannot_be_made_records_nothing_and_says_so(make_house: MakeHouse) -> None:
    house = make_house()
    house.workspace.cache_dir.mkdir(parents=True, exist_ok=True)
    (house.workspace.cache_dir / RECORDINGS_DIR).write_text("in the way")
    with StreamRecording(house.workspace) as recording:
        recording.assign_flight("f1")
        assert not recording.is_on and len(recording.remarks) == 1


@pytest.mark.parametrize("keep_gb", [-1.0, float("nan"), float("inf")])
def test_an_amount_that_is_none_is_refused(make_house: MakeHouse, keep_gb: float) -> None:
    with pytest.raises(OptionUnusable, match="--keep-video"):
        StreamRecording(make_house().workspace, keep_gb)


def test_the_newest_picture_is_small_and_takes_the_place_of_those_before(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "_THUMBNAIL_EVERY_S", 0.05)
    house, newest = make_house(), [None]
    store = house.workspace.store
    store.put(keys.format_latest_image_key("long-ago", 1), b"old")
    pixels = np.zeros((720, 1280, 3), np.uint8)
    pixels[..., 0] = 200
    with ThumbnailPublisher(house.workspace, "f1", lambda: newest[0], lambda one: one.t_utc_ns) as shown:
        time.sleep(0.2)
        assert shown.key is None
        for number in range(12):
            newest[0] = VideoFrame(pts_ns=number, t_utc_ns=number, arrived_ns=0, pixels=pixels)
            until(lambda number=number: shown.key == keys.format_latest_image_key("f1", number))
        key = shown.key
    assert key == keys.format_latest_image_key("f1", 11)
    jpeg = store.get(key)
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (360, 640, 3) and picture[5, 5, 2] > 180 > 60 > picture[5, 5, 0]
    there = list(store.list("newest/"))
    assert key in there and len(there) <= 4 and all(one.startswith("newest/f1/") for one in there)


SAID = b"what the aircraft said"
KEY = keys.format_original_key(sha256(SAID).hexdigest())


@pytest.mark.parametrize(
    "error", [None, OutsideTerrain(pair("nothing laid", "không trải được")), KeyboardInterrupt()]
)
def test_a_flight_that_ends_keeps_what_its_link_said(
    make_house: MakeHouse, error: BaseException | None
) -> None:
    house = make_house()
    ends = pytest.raises(type(error)) if error else nullcontext()
    with ends, open_scratch_folder(house.workspace) as scratch:
        (scratch / LINK_LOG_FILE).write_bytes(SAID)
        if error is not None:
            raise error
    assert house.workspace.store.get(KEY) == SAID
    assert not list(house.workspace.cache_dir.glob("live-*"))


def test_what_a_store_does_not_take_waits_and_the_flights_own_error_is_told(make_house: MakeHouse) -> None:
    house = make_house()
    full = replace(house.workspace, store=FullStore(house.workspace.store, 0))
    for raised, error in (
        (OutsideTerrain, OutsideTerrain(pair("nothing laid", "không"))),
        (DiskFull, None),
    ):
        with pytest.raises(raised), open_scratch_folder(full) as scratch:
            (scratch / LINK_LOG_FILE).write_bytes(SAID)
            if error is not None:
                raise error
    assert len(list(house.workspace.cache_dir.glob(f"live-*/{LINK_LOG_FILE}"))) == 2
    assert recover_link_logs(house.workspace) == 2 and house.workspace.store.get(KEY) == SAID
