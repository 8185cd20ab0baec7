"""Which log and which frames are of a film: by length and clock, by name and bytes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.drill.video_drill import VideoDrillReport
from flycam.ingest.video.video_frames import (
    VIDEO_CAMERA,
    format_stream_name,
    format_video_title,
    select_video_frames,
)
from flycam.ingest.video.video_poses import VideoLog, read_video_log
from flycam.ingest.video.video_source import read_creation_ns
from flycam.model.frame import Provenance, format_video_frame_name

SECOND = 10**9
REAL = (
    "classic/MAVIC3.srt",
    "classic/mavic_pro.SRT",
    "classic/p4_rtk.SRT",
    "newer/mini4pro.SRT",
    "newer/air3.SRT",
)


@pytest.fixture
def log(film: VideoDrillReport) -> VideoLog:
    return read_video_log(film.subtitles, read_creation_ns(film.video))


@given(quarters=st.integers(-48, 56), late_s=st.integers(-5, 20))
def test_no_time_zone_is_a_reason_for_doubt(film: VideoDrillReport, quarters: int, late_s: int) -> None:
    log = read_video_log(film.subtitles, None)
    assert log.find_doubts(20.0, (log.utc_base_ns or 0) + (quarters * 900 + late_s) * SECOND) == ()


def test_another_length_another_day_and_another_minute_are_doubted(log: VideoLog) -> None:
    began_ns = log.utc_base_ns or 0
    for length_s in (12.0, 40.0):
        (doubt,) = log.find_doubts(length_s, None)
        english, vietnamese = doubt.to_fields().values()
        assert "to 20 s" in english and f"{length_s:.0f}" in english and f"{length_s:.0f}" in vietnamese
    for apart_s in (5 * 86_400, -5 * 86_400, 400, 7 * 3600 - 300):
        (doubt,) = log.find_doubts(20.0, began_ns + apart_s * SECOND)
        assert "no time zone" in str(doubt) and "múi giờ" in doubt.in_language("vi")
    assert len(log.find_doubts(40.0, began_ns + 86_400 * 9 * SECOND)) == 2


@pytest.mark.real
@pytest.mark.parametrize("name", REAL)
def test_real_subtitles_beside_a_film_of_their_length_are_not_doubted(shared_data: Path, name: str) -> None:
    log = read_video_log(shared_data / "srt" / name, None)
    length_s = log.log.track.samples[-1].t_utc_ns / 1e9
    for more_s in (0.04, 1.0, 2.0):
        for zone_h in (-7, 0, 10):
            created_ns = None if log.utc_base_ns is None else log.utc_base_ns + zone_h * 3600 * SECOND
            assert log.find_doubts(length_s + more_s, created_ns) == ()
    assert log.find_doubts(2.0 * length_s + 10.0, None)
    assert replace(log, is_shared=False).find_doubts(2.0 * length_s + 10.0, None) == ()


ONE_ID, OTHER_ID = "1" * 64, "2" * 64


def frame(name: str, camera: str = VIDEO_CAMERA, film: str | None = None) -> Any:
    provenance = Provenance(source_name=name, source_sha256="", camera=camera, film=film)
    return SimpleNamespace(header=SimpleNamespace(provenance=provenance))


def test_films_of_one_name_are_told_apart_by_their_bytes() -> None:
    name = format_video_frame_name("DJI_0001.MP4", 10**9)
    first, second, photo = (
        frame(name, film=ONE_ID),
        frame(name, film=OTHER_ID),
        frame("DJI_0001-00000001.jpg", "FC"),
    )
    for film_id, mine in ((ONE_ID, first), (OTHER_ID, second)):
        assert select_video_frames([photo, first, second], film_id) == [mine]
    assert select_video_frames([photo, first], OTHER_ID) == []


def test_a_stream_that_nobody_named_is_called_by_when_it_began_in_vietnam() -> None:
    began_ns = 1_788_574_380 * 10**9  # 2026-09-05 02:13 UTC
    assert format_video_title(format_stream_name(began_ns)) == "Trực tiếp 09:13 05/09"
    assert format_video_title("DJI_0001.MP4") == "DJI_0001"
    assert format_video_title("live-tối.mp4") == "live-tối"
    assert format_video_title("phim") == "phim"
