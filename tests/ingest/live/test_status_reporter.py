"""What is told of a flight while it is laid: where the aircraft is, what it sees, how its links are."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import shapely

from flycam.catalog.flights import LiveFlightPhase, LiveFlightReport
from flycam.drill.photo_drill import read_truth
from flycam.drill.video_drill import VideoDrillReport
from flycam.errors import FrameRejected, StorageFailed
from flycam.ingest.live import status
from flycam.ingest.live.inputs import LiveRequest
from flycam.ingest.live.orthorectifier import LiveMap
from flycam.ingest.live.routes import SILENCE_TIMEOUT_S
from flycam.ingest.live.status import compute_frame_age, is_matching_clock
from flycam.ingest.live.telemetry import LiveClock
from flycam.ingest.live.workflow import VideoReport, orthorectify_video
from flycam.ingest.video.video_source import VideoFrame
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.storage import keys
from flycam.workspace import ignore_progress
from tests.houses import House
from tests.ingest.video.streaming import on_air
from tests.ports import free_port
from tests.texts import pair
from tests.waiting import ENOUGH_S, until

MakeHouse = Callable[..., House]


def test_a_stream_that_comes_late_shows_pictures_as_old_as_they_are() -> None:
    now_ns = time.monotonic_ns()
    pixels = np.zeros((1, 1, 3), np.uint8)
    newest = VideoFrame(pts_ns=60 * 10**9, t_utc_ns=0, arrived_ns=now_ns, pixels=pixels)
    late = LiveClock(lambda: None, None, given_s=-100.0)  # type: ignore[arg-type, return-value]
    unknown = LiveClock(lambda: None, None)  # type: ignore[arg-type, return-value]
    assert 100.0 <= compute_frame_age(newest, late, is_stream=True) < 190.0
    assert (
        0.0 <= compute_frame_age(newest, late, is_stream=False) < 90.0
    )  # its two clocks say nothing of a delay
    assert 0.0 <= compute_frame_age(newest, unknown, is_stream=True) < 90.0
    ahead = LiveClock(lambda: None, None, given_s=100.0)  # type: ignore[arg-type, return-value]
    assert compute_frame_age(newest, ahead, is_stream=True) >= 0.0  # nothing was taken later than it came
    assert is_matching_clock(newest, unknown) and not is_matching_clock(None, unknown)
    assert not is_matching_clock(newest, late), "its clock was given"


@contextmanager
def written(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[float, LiveFlightReport]]]:
    """All reports that are written, with the monotonic time of each."""
    reports: list[tuple[float, LiveFlightReport]] = []
    put = house.workspace.catalog.airborne.put

    def listened(report: LiveFlightReport) -> None:
        put(report)
        reports.append((time.monotonic(), report))

    with monkeypatch.context() as patch:
        patch.setattr(house.workspace.catalog.airborne, "put", listened)
        yield reports


def flown(house: House, film: VideoDrillReport) -> VideoReport:
    request = LiveRequest(
        video=str(film.video), telemetry=str(film.subtitles), camera=film.camera, is_realtime=True
    )
    return orthorectify_video(house.workspace, request, FlightLabels(), ignore_progress)


@pytest.mark.slow
def test_a_film_played_at_its_own_speed_tells_where_its_aircraft_was(
    clip: VideoDrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(clip)
    assert status._EVERY_S + status._LOOK_S <= 0.5 < SILENCE_TIMEOUT_S
    monkeypatch.setattr(status, "LINK_LOST_TIMEOUT_S", 30.0)  # a busy machine loses nothing
    with written(house, monkeypatch) as reports:
        report = flown(house, clip)
    flight = house.workspace.catalog.flights.flight(report.flight.flight_id)
    flying = [one for _, one in reports if one.phase is LiveFlightPhase.FLYING]
    assert {one.flight_id for _, one in reports} == {flight.flight_id}
    assert {(one.event_id, one.is_drill, one.is_recording) for one in flying} == {
        (flight.event_id, True, True)
    }
    beats = [one.beat for _, one in reports]
    assert beats == list(range(1, len(beats) + 1)) and len(flying) > 5
    facts = read_truth(clip.truth.parent).facts
    begin_s = datetime.fromisoformat(facts["video"]["start_utc"]).timestamp()
    seen = [one for one in flying if one.picture_ns is not None]
    assert all(begin_s <= (one.picture_ns or 0) / 1e9 <= begin_s + 12.1 for one in seen)
    assert [one.picture_ns for one in seen] == sorted(one.picture_ns or 0 for one in seen)
    assert flight.bounds_lonlat_deg is not None
    ground = shapely.box(*flight.bounds_lonlat_deg).buffer(1e-4)
    outlined = [one for one in seen if one.footprint]
    assert len(outlined) > 0.8 * len(seen)
    assert all(ground.covers(shapely.Polygon(one.footprint)) for one in outlined)
    # the newest picture's, not the map's
    assert len({one.footprint for one in outlined}) > 0.5 * len({one.picture_ns for one in outlined})
    last = flying[-1]
    assert last.aircraft is not None and len(last.track) > 5 and last.aircraft.heading_deg is not None
    assert math.dist(last.track[-1], last.aircraft.lonlat_deg) < 1e-4
    assert last.laid_ns is not None and last.laid_ns <= (last.picture_ns or 0)
    assert not any(one.video.is_lost or one.telemetry.is_lost for one in flying)
    (ended,) = [one for _, one in reports if one.phase is LiveFlightPhase.ENDED]
    assert ended == reports[-1][1] and ended.failure is None
    assert ended.left_out == report.dropped
    unseen, unplaced = 60 - report.decoded, report.chosen - report.new
    reasons = {"overrun", "thinned", "no_time", "telemetry_gap"}
    reasons |= {error.reason for error in FrameRejected.__subclasses__()}
    assert unseen >= 0 and unplaced >= 0
    assert unseen + unplaced == sum(report.dropped.get(reason, 0) for reason in reasons)
    half, most = report.latency_ms
    assert 0.0 < half <= most


@pytest.mark.slow
def test_the_newest_picture_of_a_film_without_a_date_is_dated_as_what_may_be_withdrawn(
    clip: VideoDrillReport, make_house: MakeHouse, tmp_path: Path
) -> None:
    """The leak: its key counted from 1970, and no withdrawal of what it shows closed it."""
    film = bytearray(clip.video.read_bytes())
    created = film.index(b"mvhd") + 8
    film[created : created + 4] = bytes(4)
    undated = tmp_path / "undated.mp4"
    undated.write_bytes(film)
    house = make_house(clip)
    flight = flown(house, replace(clip, video=undated)).flight
    (ended,) = house.workspace.catalog.airborne.list_since(0)
    assert ended.picture_key is not None
    last_ns = keys.parse_latest_image_ns(ended.picture_key)
    assert flight.first_ns <= last_ns <= flight.last_ns + 2 * 10**9


def test_a_flight_that_fails_says_why(
    clip: VideoDrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(clip)
    reason = pair("the disk went away: run again", "mất ổ đĩa; hãy chạy lại")

    def failing(_self: LiveMap, *_: object) -> None:
        raise StorageFailed(reason)

    monkeypatch.setattr(LiveMap, "merge", failing)
    with pytest.raises(StorageFailed):
        flown(house, clip)
    (ended,) = house.workspace.catalog.airborne.list_since(0)
    assert ended.phase is LiveFlightPhase.ENDED
    assert ended.failure == reason


@pytest.mark.slow
def test_links_that_are_cut_are_reported(
    film: VideoDrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over a real RTSP server and real UDP packets, which end one after the other."""
    house, over = make_house(film), threading.Event()
    link_port = free_port(socket.SOCK_DGRAM)
    with written(house, monkeypatch) as reports, ExitStack() as stack:
        air = stack.enter_context(on_air(film, link_port))
        request = LiveRequest(
            video=air.url,
            telemetry=f"udp://127.0.0.1:{link_port}",
            camera=film.camera,
            is_drill=True,
            clock_offset_s=0.0,
        )
        arguments = (house.workspace, request, FlightLabels(), ignore_progress, over.is_set)
        pilot = threading.Thread(daemon=True, target=orthorectify_video, args=arguments)
        pilot.start()
        stack.callback(pilot.join, ENOUGH_S)
        stack.callback(over.set)
        # a machine that stands still for a moment hears nothing either, and says so
        until(lambda: bool(reports) and is_well(reports[-1][1]))
        assert not any(one.is_recording for _, one in reports)
        air.quiet.set()
        until(lambda: reports[-1][1].telemetry.is_lost)
        air.cut()
        until(lambda: reports[-1][1].video.is_lost)
        lost = reports[-1][1]
    assert lost.picture_ns is not None and lost.aircraft is not None
    ended = reports[-1][1]
    assert ended.phase is LiveFlightPhase.ENDED and not (ended.video.is_lost or ended.telemetry.is_lost)


def is_well(report: LiveFlightReport) -> bool:
    """Whether it is laid, and both of its links are heard."""
    is_lost = report.video.is_lost or report.telemetry.is_lost
    return bool(report.footprint and report.laid_ns) and not is_lost
