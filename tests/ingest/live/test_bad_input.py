"""What goes wrong in a film or its log is counted by its name, said, and the rest of the flight is kept."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pymavlink.dialects.v20 import ardupilotmega as mavlink
from shapely import from_wkb

from flycam.drill.photo_drill import read_truth
from flycam.drill.video_drill import VideoDrillReport
from flycam.drill.video_encoder import VideoEncoder
from flycam.errors import PositionMissing, SourceUnreadable
from flycam.geodata.crs import to_lonlat
from flycam.ingest.live.inputs import LiveRequest
from flycam.ingest.live.workflow import VideoReport, orthorectify_video
from flycam.ingest.video.video_source import read_creation_ns
from flycam.media.mp4 import find_box
from flycam.model.frame import parse_video_frame_pts_ns
from flycam.model.records import FrameStatus
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.workspace import ignore_progress
from tests.houses import House

MakeHouse = Callable[..., House]
Stamped = tuple[int, Any]  # microseconds, message

YEAR_1970_US = 86_400_000_000
FPS = 5


def flown(
    house: House,
    film: VideoDrillReport,
    log: Path,
    stopped: Callable[[], bool] = lambda: False,
    **changes: Any,
) -> VideoReport:
    request = LiveRequest(video=str(film.video), telemetry=str(log), camera=film.camera)
    if log.suffix == ".tlog":
        request = replace(request, clock_offset_s=read_truth(film.truth.parent).facts["clock_offset_s"])
    return orthorectify_video(
        house.workspace, replace(request, **changes), FlightLabels(), ignore_progress, stopped
    )


def on_map_s(house: House, report: VideoReport) -> list[float]:
    """When the frames on the map were taken, seconds of the film."""
    frames = house.workspace.catalog.frames.list_for_flight(report.flight.flight_id, FrameStatus.USED)
    return sorted(parse_video_frame_pts_ns(one.header.provenance.source_name) / 1e9 for one in frames)


def subtitles(film: VideoDrillReport, path: Path, change: Callable[[float, str], str | None]) -> Path:
    """The film's subtitles, each cue changed by its second; None leaves it out."""
    cues = film.subtitles.read_text(encoding="utf-8").strip().split("\n\n")
    found = []
    for cue in cues:
        hours, minutes, seconds = re.search(r"(\d+):(\d+):([\d,]+) -->", cue).groups()  # type: ignore[union-attr]
        at_s = 3600 * int(hours) + 60 * int(minutes) + float(seconds.replace(",", "."))
        found += [changed] if (changed := change(at_s, cue)) is not None else []
    path.write_text("\n\n".join(found) + "\n", encoding="utf-8")
    return path


def packets(film: VideoDrillReport) -> Iterator[Stamped]:
    """The film's tlog, message by message."""
    data, at = film.telemetry.read_bytes(), 0
    parser = mavlink.MAVLink(None)
    while at < len(data):
        (stamp,) = struct.unpack_from(">Q", data, at)
        length = 12 + data[at + 9]
        yield stamp, parser.decode(bytearray(data[at + 8 : at + 8 + length]))
        at += 8 + length


def tlog(path: Path, messages: list[Stamped]) -> Path:
    sender = mavlink.MAVLink(None, srcSystem=1, srcComponent=1)
    with path.open("wb") as file:
        for stamp, message in messages:
            file.write(struct.pack(">Q", stamp) + bytes(message.pack(sender)))
    return path


def test_a_silent_log_and_a_gimbal_at_the_horizon_are_counted_and_the_flight_goes_on(
    clip: VideoDrillReport, make_house: MakeHouse, tmp_path: Path
) -> None:
    def spoil(at_s: float, cue: str) -> str | None:
        if 2.0 <= at_s < 2.4:
            return None  # short enough to be bridged
        if 3.0 <= at_s < 6.0:
            return None
        return re.sub(r"gb_pitch: [-\d.]+", "gb_pitch: 30.00", cue) if 7.0 <= at_s < 10.0 else cue

    house = make_house(clip)
    report = flown(house, clip, subtitles(clip, tmp_path / "spoiled.srt", spoil))
    assert 2.5 * FPS <= report.dropped["telemetry_gap"] <= 3.5 * FPS
    assert 2 <= report.dropped["horizon_in_view"] <= 5  # tried once a second
    on_map = on_map_s(house, report)
    assert on_map[-1] > 10.5 and not [one for one in on_map if 3.3 < one < 5.7 or 7.3 < one < 9.7]
    refused = house.workspace.catalog.frames.list_for_flight(report.flight.flight_id)
    assert sum(one.reason == "horizon_in_view" for one in refused) == report.dropped["horizon_in_view"]


def test_a_receiver_that_fails_in_three_ways_is_counted_and_believed_again(
    film: VideoDrillReport, make_house: MakeHouse, tmp_path: Path
) -> None:
    stood: dict[str, int] = {}
    messages = list(packets(film))
    for stamp, message in messages:
        at_s, kind = (stamp - messages[0][0]) / 1e6, message.get_type()
        if kind == "GPS_RAW_INT" and 2.0 <= at_s < 4.5:
            message.fix_type = 0
        elif kind == "GLOBAL_POSITION_INT" and 7.0 <= at_s < 9.5:
            message.lat += 900_000  # 10 km
        elif kind == "GLOBAL_POSITION_INT" and 12.0 <= at_s < 14.5:
            message.lat = stood.setdefault("lat", message.lat)
            message.lon = stood.setdefault("lon", message.lon)
    house = make_house(film)
    report = flown(house, film, tlog(tmp_path / "bad.tlog", messages))
    assert min(report.dropped[reason] for reason in ("no_fix", "jump", "frozen")) >= 20
    assert report.dropped["telemetry_gap"] >= 30
    assert report.used >= 4 and on_map_s(house, report)[-1] > 15.0


def test_a_gimbal_that_says_nothing_is_on_the_screen_while_it_flies(
    clip: VideoDrillReport, make_house: MakeHouse, tmp_path: Path
) -> None:
    bare = [one for one in packets(clip) if not one[1].get_type().startswith("GIMBAL")]
    log, house = tlog(tmp_path / "bare.tlog", bare), make_house(clip)
    airborne = house.workspace.catalog.airborne
    flown(house, clip, log, lambda: any(one.remarks for one in airborne.list_since(0)), is_realtime=True)
    (flight,) = airborne.list_since(0)
    (remark,) = [one for one in flight.remarks if "gimbal" in str(one)]
    assert remark.values == {"name": "bare.tlog"} and remark.in_language("vi") != str(remark)


@pytest.mark.real
@pytest.mark.parametrize("name", ["broken_empty.SRT", "broken_incomplete.SRT"])
def test_real_subtitles_without_a_place_or_without_angles_are_refused_by_name(
    clip: VideoDrillReport, make_house: MakeHouse, shared_data: Path, name: str
) -> None:
    house, log = make_house(None), shared_data / "srt" / "classic" / name
    with pytest.raises((SourceUnreadable, PositionMissing), match=log.name) as caught:
        flown(house, clip, log)
    assert log.name in caught.value.message.in_language("vi")
    assert house.workspace.catalog.flights.flights() == []


def test_a_receiver_whose_clock_was_set_in_flight_tells_what_came_after_and_one_never_set_is_refused(
    clip: VideoDrillReport, make_house: MakeHouse, tmp_path: Path
) -> None:
    """A ground station that begins in 1970."""
    messages, house = list(packets(clip)), make_house(clip)
    begin_us = messages[0][0]
    unset = [(at - begin_us + YEAR_1970_US, one) for at, one in messages]
    with pytest.raises(SourceUnreadable, match=r"unset\.tlog"):
        flown(house, clip, tlog(tmp_path / "unset.tlog", unset))
    assert house.workspace.catalog.flights.flights() == []
    late = [old if old[0] - begin_us > 6_000_000 else new for old, new in zip(messages, unset, strict=True)]
    report = flown(house, clip, tlog(tmp_path / "set.tlog", late))
    assert report.used >= 4 and report.dropped["telemetry_gap"] > 10
    assert [one.values["count"] for one in report.remarks if "impossible time" in str(one)]


def test_a_camera_whose_clock_was_never_set_is_dated_by_the_log(
    clip: VideoDrillReport, make_house: MakeHouse, tmp_path: Path
) -> None:
    movie = clip.video.read_bytes()
    at = movie.index(b"mvhd") + 8
    unset = tmp_path / "unset.mp4"
    unset.write_bytes(movie[:at] + struct.pack(">I", 2_082_844_800 + 60) + movie[at + 4 :])  # 1970
    request = LiveRequest(video=str(unset), telemetry=str(clip.telemetry), camera=clip.camera)
    report = orthorectify_video(make_house(clip).workspace, request, FlightLabels())
    began = datetime.fromisoformat(read_truth(clip.truth.parent).facts["video"]["start_utc"])
    assert report.used >= 4 and abs(report.flight.first_ns / 1e9 - began.timestamp()) < 10.0
    assert {"video": "unset.mp4", "log": clip.telemetry.name} in [one.values for one in report.remarks]


def spoiled_film(film: VideoDrillReport, path: Path, green: range) -> Path:
    """The film anew: some pictures half green as of a decoder that lacks data, bytes lost in the middle, and
    the last blocks never written."""
    source, created_ns = cv2.VideoCapture(str(film.video)), read_creation_ns(film.video)
    assert created_ns is not None
    with VideoEncoder(path, (160, 90), FPS, created_ns // 10**9) as encoder:
        number = 0
        while (read := source.read())[0]:
            picture = np.asarray(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB), np.uint8)
            if number in green:
                picture[0 if number == green[0] else 45 :] = (0, 135, 0)
            encoder.write(picture)
            number += 1
    movie = bytearray(path.read_bytes())
    box = find_box(lambda at, count: bytes(movie[at : at + count]), 0, len(movie), b"mdat")
    assert box is not None
    start, size = box[0], box[1] - box[0]
    rng = np.random.default_rng(2)
    for at in rng.integers(start + size // 2, start + int(0.7 * size), 6):
        movie[at : at + 50] = rng.bytes(50)
    end = start + int(0.8 * size)
    movie[end : box[1]] = bytes(box[1] - end)
    path.write_bytes(movie)
    return path


def test_torn_broken_and_missing_pictures_are_counted_and_the_rest_of_the_film_is_laid(
    clip: VideoDrillReport, make_house: MakeHouse, tmp_path: Path
) -> None:
    green = range(15, 22)
    video = spoiled_film(clip, tmp_path / "spoiled.mp4", green)
    house = make_house(clip)
    report = flown(house, clip, clip.subtitles, video=str(video))
    assert report.dropped["torn"] >= 4
    assert 30 < report.decoded < 55 and report.dropped["broken"] == 60 - report.decoded
    numbers = [round(at_s * FPS) for at_s in on_map_s(house, report)]
    assert report.used >= 6 and not set(numbers) & set(green) and max(numbers) > green[-1]
    (cut,) = [one for one in report.remarks if "duration_s" in one.values]
    assert cut.values["name"] == "spoiled.mp4" and cut.values["came_s"] < 11.0
    assert cut.values["duration_s"] == pytest.approx(12.0)


@pytest.mark.real
def test_of_a_real_film_that_holds_the_horizon_the_ground_nearby_is_laid_and_no_sky(
    make_house: MakeHouse, shared_data: Path
) -> None:
    house, film = make_house(None), str(shared_data / "video" / "karma.mp4")
    request = LiveRequest(video=film, telemetry=film, hfov_deg=86.0)
    report = orthorectify_video(house.workspace, request, FlightLabels())
    # the metadata end before the film: what comes after lies nowhere; a clock that was known better than the
    # horizon's motion tells it is kept
    assert report.used >= 3 and (report.clock.offset_s, report.clock.is_known) == (0.0, True)
    for record in house.workspace.catalog.frames.list_for_flight(report.flight.flight_id, FrameStatus.USED):
        assert record.exterior is not None and record.footprint_wkb is not None
        lon, lat = to_lonlat(np.array([record.exterior.projection_centre_m[:2]]), report.flight.work_crs)[0]
        west, south, east, north = from_wkb(record.footprint_wkb).bounds
        reach_m = (
            max(abs(west - lon), abs(east - lon)) * 93_000.0,
            max(abs(south - lat), abs(north - lat)) * 111_000.0,
        )
        assert max(reach_m) < 40.0  # from two metres up; the sea's horizon is 14 km away
