"""What goes wrong in the air is counted by its name, said, and the rest of the flight is kept."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flycam.cli.video import format_live
from flycam.drill.ground_truth import read_truth
from flycam.drill.video_drill import VideoDrillReport
from flycam.ingest.live.inputs import LiveRequest
from flycam.ingest.live.workflow import VideoReport, orthorectify_video
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.workspace import ignore_progress
from tests.houses import House

MakeHouse = Callable[..., House]
Stamped = tuple[int, Any]  # microseconds, message

BAD_FROM_S, BAD_TO_S = 8.0, 13.0  # of twenty seconds


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


def laid_s(house: House, report: VideoReport) -> list[float]:
    """When the frames on the map were taken, seconds of the film."""
    records = house.workspace.catalog.frames.list_for_flight(report.flight.flight_id)
    used = [one for one in records if one.exterior is not None]
    began_ns = min(one.header.captured_ns for one in used)
    return [(one.header.captured_ns - began_ns) / 1e9 for one in used]


def subtitles(film: VideoDrillReport, path: Path, change: Callable[[float, str], str | None]) -> Path:
    """The film's subtitles, each cue changed by its second; None leaves it out."""
    cues = film.subtitles.read_text(encoding="utf-8").strip().split("\n\n")
    kept = []
    for cue in cues:
        hours, minutes, seconds = re.search(r"(\d+):(\d+):([\d,]+) -->", cue).groups()  # type: ignore[union-attr]
        at_s = 3600 * int(hours) + 60 * int(minutes) + float(seconds.replace(",", "."))
        kept += [changed] if (changed := change(at_s, cue)) is not None else []
    path.write_text("\n\n".join(kept) + "\n", encoding="utf-8")
    return path


def is_bad(at_s: float) -> bool:
    return BAD_FROM_S <= at_s < BAD_TO_S


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


def changed(film: VideoDrillReport, path: Path, change: Callable[[float, Any], None]) -> Path:
    """The film's tlog with its positions changed by their second of the film."""
    messages = list(packets(film))
    begin_us = messages[0][0]
    for stamp, message in messages:
        if message.get_type() in ("GLOBAL_POSITION_INT", "GPS_RAW_INT"):
            change((stamp - begin_us) / 1e6, message)
    return tlog(path, messages)


def test_a_log_silent_for_half_a_second_is_bridged_for_five_it_is_counted(
    film: VideoDrillReport, make_house: MakeHouse, tmp_path: Path
) -> None:
    whole = flown(make_house(film, "whole"), film, film.subtitles)
    short = subtitles(film, tmp_path / "short.srt", lambda s, cue: None if 8.0 < s <= 8.5 else cue)
    bridged = flown(make_house(film, "bridged"), film, short)
    assert bridged.dropped == whole.dropped and bridged.used == whole.used
    gap = subtitles(film, tmp_path / "gap.srt", lambda s, cue: None if is_bad(s) else cue)
    house = make_house(film, "gap")
    report = flown(house, film, gap)
    assert 40 <= report.dropped["telemetry_gap"] <= 55  # ten pictures a second
    assert 0.5 * whole.used < report.used < whole.used
    assert any("the log says nothing of" in str(line) for line in format_live(report)[1])
    assert max(laid_s(house, report)) > BAD_TO_S  # and goes on behind it


def test_a_gimbal_that_sweeps_to_the_horizon_is_counted_and_comes_back(
    film: VideoDrillReport, make_house: MakeHouse, tmp_path: Path
) -> None:
    def up(at_s: float, cue: str) -> str:
        return re.sub(r"gb_pitch: [-\d.]+", "gb_pitch: 4.00", cue) if is_bad(at_s) else cue

    house = make_house(film)
    report = flown(house, film, subtitles(film, tmp_path / "up.srt", up))
    assert 3 <= report.dropped["horizon_in_view"] <= 8  # tried once a second, not thirty times
    assert "look at the horizon" in " ".join(map(str, format_live(report)[1]))
    assert max(laid_s(house, report)) > BAD_TO_S
    refused = house.workspace.catalog.frames.list_for_flight(report.flight.flight_id)
    assert sum(one.reason == "horizon_in_view" for one in refused) == report.dropped["horizon_in_view"]


def test_without_a_gimbal_s_word_the_camera_looks_out_of_the_belly_which_is_said(
    film: VideoDrillReport, make_house: MakeHouse, tmp_path: Path
) -> None:
    bare = [one for one in packets(film) if not one[1].get_type().startswith("GIMBAL")]
    log = tlog(tmp_path / "bare.tlog", bare)
    report = flown(make_house(film), film, log)
    assert report.used >= 8
    assert any("says nothing of a gimbal" in str(one) for one in report.remarks)
    assert any("không ghi góc gimbal" in one.in_language("vi") for one in report.remarks)


@pytest.mark.parametrize("reason", ["no_fix", "jump", "frozen"])
def test_a_receiver_that_fails_for_a_while_is_counted_and_believed_again(
    film: VideoDrillReport, make_house: MakeHouse, tmp_path: Path, reason: str
) -> None:
    stood: dict[str, int] = {}

    def fail(at_s: float, message: Any) -> None:
        if not is_bad(at_s):
            return
        if message.get_type() == "GPS_RAW_INT":
            message.fix_type = 0 if reason == "no_fix" else message.fix_type
        elif reason == "jump":
            message.lat += 900_000  # 10 km
        elif reason == "frozen":
            message.lat = stood.setdefault("lat", message.lat)
            message.lon = stood.setdefault("lon", message.lon)

    house = make_house(film)
    report = flown(house, film, changed(film, tmp_path / "bad.tlog", fail))
    assert report.dropped[reason] >= 40 and report.dropped["telemetry_gap"] >= 20
    assert report.used >= 4 and max(laid_s(house, report)) > 8.0


def test_a_log_that_was_cut_off_keeps_what_it_tells(
    film: VideoDrillReport, make_house: MakeHouse, tmp_path: Path
) -> None:
    data = film.telemetry.read_bytes()
    cut = tmp_path / "cut.tlog"
    cut.write_bytes(data[: int(0.6 * len(data)) + 5])
    report = flown(make_house(film), film, cut)
    assert report.used >= 4 and report.dropped["telemetry_gap"] > 20


def test_two_aircraft_of_one_number_are_told_apart_and_named(
    film: VideoDrillReport, make_house: MakeHouse, tmp_path: Path
) -> None:
    both: list[Stamped] = []
    for number, (stamp, message) in enumerate(packets(film)):
        both.append((stamp, message))
        if message.get_type() == "GLOBAL_POSITION_INT" and number % 3 == 0:
            fields = {name: getattr(message, name) for name in message.fieldnames}
            fields |= {"time_boot_ms": message.time_boot_ms - 40_000, "lat": message.lat + 400_000}
            both.append((stamp + 20_000, mavlink.MAVLink_global_position_int_message(**fields)))
    alone = flown(make_house(film, "alone"), film, film.telemetry)
    report = flown(make_house(film, "both"), film, tlog(tmp_path / "both.tlog", both))
    assert any("two aircraft answer as system 1" in str(one) for one in report.remarks)
    assert report.used == alone.used


@pytest.mark.slow
def test_what_is_noticed_of_the_log_is_on_the_screen_while_it_flies(
    film: VideoDrillReport, make_house: MakeHouse, tmp_path: Path
) -> None:
    bare = [one for one in packets(film) if not one[1].get_type().startswith("GIMBAL")]
    log, house = tlog(tmp_path / "bare.tlog", bare), make_house(film)
    airborne = house.workspace.catalog.airborne
    flown(house, film, log, lambda: any(one.remarks for one in airborne.list_since(0)), is_realtime=True)
    (told,) = airborne.list_since(0)
    assert any("says nothing of a gimbal" in str(one) for one in told.remarks)
    assert any("không ghi góc gimbal" in one.in_language("vi") for one in told.remarks)
