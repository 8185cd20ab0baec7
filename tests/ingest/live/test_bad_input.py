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
