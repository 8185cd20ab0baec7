"""Pictures that are torn or green, and times that go back: counted by name, the rest of the film is laid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from flycam.cli.video import format_live
from flycam.drill.video_drill import VideoDrillReport
from flycam.drill.video_encoder import VideoEncoder
from flycam.ingest.live.inputs import LiveRequest
from flycam.ingest.live.workflow import VideoReport, orthorectify_video
from flycam.ingest.video.video_source import read_creation_ns
from flycam.media.mp4 import find_box
from flycam.model.frame import parse_video_frame_pts_ns
from flycam.model.records import FrameStatus
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.workspace import ignore_progress
from tests.houses import House
from tests.ingest.video import streaming

MakeHouse = Callable[..., House]

GREEN = (0, 135, 0)
SPOILED = range(80, 100)


def flown(house: House, film: VideoDrillReport, video: Path) -> VideoReport:
    request = LiveRequest(video=str(video), telemetry=str(film.subtitles), camera=film.camera)
    return orthorectify_video(house.workspace, request, FlightLabels(), ignore_progress)


def laid_numbers(house: House, report: VideoReport, fps: int = 10) -> list[int]:
    """Which pictures of the film lie on the map."""
    records = house.workspace.catalog.frames.list_for_flight(report.flight.flight_id, FrameStatus.USED)
    return [round(parse_video_frame_pts_ns(one.header.provenance.source_name) * fps / 1e9) for one in records]


def with_green(film: VideoDrillReport, path: Path) -> Path:
    """The film anew, some of its pictures half green as of a decoder that lacks data, one of them wholly."""
    source, created_ns = cv2.VideoCapture(str(film.video)), read_creation_ns(film.video)
    assert created_ns is not None
    with VideoEncoder(path, (320, 180), 10, created_ns // 10**9) as encoder:
        number = 0
        while (read := source.read())[0]:
            picture = np.asarray(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB), np.uint8)
            if number in SPOILED:
                picture[0 if number == SPOILED[0] else 90 :] = GREEN
            encoder.write(picture)
            number += 1
    return path


def in_both_languages(report: VideoReport) -> str:
    return "\n".join(text for line in format_live(report)[1] for text in line.to_fields().values())


def test_green_pictures_are_counted_as_torn_and_their_neighbours_are_laid(
    film: VideoDrillReport, make_house: MakeHouse, tmp_path: Path
) -> None:
    house = make_house(film)
    report = flown(house, film, with_green(film, tmp_path / "green.mp4"))
    assert report.dropped["torn"] >= 10
    said = in_both_languages(report)
    assert "torn" in said and "bị vỡ hình" in said
    laid = laid_numbers(house, report)
    assert not set(laid) & set(SPOILED)
    assert min(laid) < SPOILED[0] and sum(number > SPOILED[-1] for number in laid) >= 4


@pytest.mark.parametrize("seed", [2, 3])
def test_a_card_that_lost_bytes_of_the_film_keeps_what_can_be_decoded(
    film: VideoDrillReport, make_house: MakeHouse, tmp_path: Path, seed: int
) -> None:
    movie = bytearray(film.video.read_bytes())
    box = find_box(lambda at, count: bytes(movie[at : at + count]), 0, len(movie), b"mdat")
    assert box is not None
    rng = np.random.default_rng(seed)
    for at in rng.integers(box[0] + 2000, box[1], 40):
        movie[at : at + 50] = rng.bytes(min(50, box[1] - at))
    torn = tmp_path / "torn.mp4"
    torn.write_bytes(movie)
    house = make_house(film)
    report = flown(house, film, torn)
    assert 180 < report.decoded <= 200 and report.dropped["broken"] == 200 - report.decoded
    said = in_both_languages(report)
    assert "could not be decoded" in said and "không giải mã được" in said
    assert report.used >= 8 and max(laid_numbers(house, report)) > 170


def test_a_film_that_lost_its_end_is_said_to_be_cut_short(
    film: VideoDrillReport, make_house: MakeHouse, tmp_path: Path
) -> None:
    movie = bytearray(film.video.read_bytes())
    box = find_box(lambda at, count: bytes(movie[at : at + count]), 0, len(movie), b"mdat")
    assert box is not None
    half = (box[0] + box[1]) // 2
    movie[half : box[1]] = bytes(box[1] - half)  # as a card leaves it whose last blocks were never written
    torn = tmp_path / "torn.mp4"
    torn.write_bytes(movie)
    house = make_house(film)
    report = flown(house, film, torn)
    assert report.used >= 4 and report.decoded < 150
    (said,) = [one for one in report.remarks if "cut short" in str(one)]
    assert str(said).startswith("torn.mp4: cut short") and "bị cụt" in said.in_language("vi")
    whole = flown(make_house(film, "whole"), film, film.video)
    assert not [one for one in whole.remarks if "cut short" in str(one)]


def test_a_film_whose_times_go_back_is_laid_once_and_the_rest_counted(
    film: VideoDrillReport, make_house: MakeHouse, tmp_path: Path
) -> None:
    once = streaming.as_transport_stream(film.video, tmp_path / "once.ts")
    twice = tmp_path / "twice.ts"
    twice.write_bytes(2 * once.read_bytes())
    alone = flown(make_house(film, "once"), film, once)
    house = make_house(film, "twice")
    report = flown(house, film, twice)
    assert report.dropped["pts_backwards"] >= 190
    said = in_both_languages(report)
    assert "bear a time that goes backwards" in said and "mốc thời gian lùi lại" in said
    assert abs(report.used - alone.used) <= 1
    assert len(set(laid_numbers(house, report))) == report.used
