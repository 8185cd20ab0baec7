"""Logs that are broken, and clocks that were never set: counted by name, said, and the rest is laid."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from flycam.cli.video import format_live
from flycam.drill.flight import VideoPlan
from flycam.drill.video_drill import VideoDrillReport, write_video_drill
from flycam.errors import PositionMissing, SourceUnreadable
from flycam.ingest.live.inputs import LiveRequest
from flycam.ingest.live.workflow import VideoReport, orthorectify_video
from flycam.ingest.telemetry.log_files import read_flight_log
from flycam.model.telemetry import TelemetrySample
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.workspace import ignore_progress
from tests.houses import House
from tests.ingest.live.test_bad_input import flown, packets, tlog
from tests.ingest.telemetry.test_klv import angle, packet

MakeHouse = Callable[..., House]

YEAR_1970_US = 86_400_000_000


def klv_packet(one: TelemetrySample, *, spoil: bool = False, t_us: int | None = None) -> bytes:
    """A sample as a payload tells it: a level platform that heads where the camera does."""
    height = struct.pack(">H", round((one.height_m + 900.0) / 19_900.0 * 65_535))
    heading = struct.pack(">H", round(one.gimbal_yaw_deg % 360.0 / 360.0 * 65_535))
    roll = struct.pack(">I", round(one.gimbal_roll_deg % 360.0 / 360.0 * (2**32 - 1)))
    return packet(
        one.t_utc_ns // 1000 if t_us is None else t_us,
        spoil=spoil,
        t5=heading,
        t6=bytes(2),
        t7=bytes(2),
        t13=angle(one.lat_deg, 90),
        t14=angle(one.lon_deg, 180),
        t15=height,
        t18=bytes(4),
        t19=angle(one.gimbal_pitch_deg, 180),
        t20=roll,
    )


def klv(film: VideoDrillReport, path: Path, **spoiled: Callable[[int], bool]) -> Path:
    """The film's log as ST 0601 packets; spoiled says of which (by their number) checksum or clock is bad."""
    samples = read_flight_log(film.telemetry).track.samples
    checksum, clock = (spoiled.get(what, lambda _: False) for what in ("checksum", "clock"))
    path.write_bytes(
        b"".join(
            klv_packet(one, spoil=checksum(k), t_us=YEAR_1970_US + k if clock(k) else None)
            for k, one in enumerate(samples)
        )
    )
    return path


def said_of(report: VideoReport) -> str:
    """All that an operator reads."""
    return "\n".join(one for line in format_live(report)[1] for one in line.to_fields().values())


def refused_by_name(house: House, film: VideoDrillReport, log: Path) -> None:
    """A log without which nothing can be laid: said in both languages, and no flight is left."""
    with pytest.raises((SourceUnreadable, PositionMissing), match=log.name) as caught:
        flown(house, film, log)
    assert log.name in caught.value.message.in_language("vi")
    assert house.workspace.catalog.flights.flights() == []


@pytest.mark.real
@pytest.mark.parametrize("name", ["broken_empty.SRT", "broken_empty2.SRT", "mavic_air.SRT"])
def test_a_subtitle_file_without_any_place_is_refused_by_its_name(
    film: VideoDrillReport, make_house: MakeHouse, shared_data: Path, name: str
) -> None:
    refused_by_name(make_house(film), film, shared_data / "srt" / "classic" / name)


def test_a_receiver_whose_clock_was_set_in_flight_keeps_what_came_after(
    film: VideoDrillReport, make_house: MakeHouse, tmp_path: Path
) -> None:
    """A ground station that begins in 1970, until its time is set."""
    messages = list(packets(film))
    begin_us = messages[0][0]

    def stamp(at_us: int) -> int:
        return at_us if at_us - begin_us > 9_000_000 else at_us - begin_us + YEAR_1970_US

    log = tlog(tmp_path / "set.tlog", [(stamp(at_us), message) for at_us, message in messages])
    house = make_house(film)
    report = flown(house, film, log)
    assert "records with an impossible time were skipped" in said_of(report)
    assert "bản ghi có thời gian vô lý" in said_of(report)
    assert report.used >= 4 and report.dropped["telemetry_gap"] > 20


def test_a_receiver_whose_clock_was_never_set_is_refused_with_the_cure(
    film: VideoDrillReport, make_house: MakeHouse, tmp_path: Path
) -> None:
    messages = list(packets(film))
    begin_us = messages[0][0]
    log = tlog(tmp_path / "unset.tlog", [(at - begin_us + YEAR_1970_US, one) for at, one in messages])
    house = make_house(film)
    with pytest.raises(SourceUnreadable, match=r"unset\.tlog.*clock") as caught:
        flown(house, film, log)
    assert "đồng hồ" in caught.value.message.in_language("vi") or "giờ" in caught.value.message.in_language(
        "vi"
    )
    assert house.workspace.catalog.flights.flights() == []


def test_a_camera_whose_clock_was_never_set_is_dated_by_the_log(
    film: VideoDrillReport, make_house: MakeHouse, tmp_path: Path
) -> None:
    movie = film.video.read_bytes()
    at = movie.index(b"mvhd") + 8
    unset = tmp_path / "unset.mp4"
    unset.write_bytes(movie[:at] + struct.pack(">I", 2_082_844_800 + 60) + movie[at + 4 :])  # 1970
    dated = flown(make_house(film, "dated"), film, film.telemetry)
    request = LiveRequest(video=str(unset), telemetry=str(film.telemetry), camera=film.camera)
    report = orthorectify_video(make_house(film, "unset").workspace, request, FlightLabels(), ignore_progress)
    assert report.used >= dated.used - 1
    assert abs(report.flight.first_ns - dated.flight.first_ns) < 10e9
    assert "dated by" in said_of(report)


@pytest.fixture(scope="module")
def long_film(tmp_path_factory: pytest.TempPathFactory) -> VideoDrillReport:
    """Eighty seconds, small."""
    return write_video_drill(
        tmp_path_factory.mktemp("film") / "d",
        seed=3,
        plan=VideoPlan(seconds=80.0, fps=5, strips=3, gsd_m=1.6),
        size_px=(160, 90),
        truth_rasters=False,
    )
