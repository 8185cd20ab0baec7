"""Which frames of a flight are whose."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from flycam.ingest.video.video_frames import (
    VIDEO_CAMERA,
    format_stream_name,
    format_video_title,
    select_video_frames,
)
from flycam.model.frame import Provenance, format_video_frame_name

ONE, OTHER = "1" * 64, "2" * 64


def frame(name: str, camera: str = VIDEO_CAMERA, film: str | None = None) -> Any:
    provenance = Provenance(source_name=name, source_sha256="", camera=camera, film=film)
    return SimpleNamespace(header=SimpleNamespace(provenance=provenance))


def test_films_of_one_name_are_told_apart_by_their_bytes() -> None:
    name = format_video_frame_name("DJI_0001.MP4", 10**9)
    first, second, photo = (
        frame(name, film=ONE),
        frame(name, film=OTHER),
        frame("DJI_0001-00000001.jpg", "FC"),
    )
    for film_id, mine in ((ONE, first), (OTHER, second)):
        assert select_video_frames([photo, first, second], film_id) == [mine]
    assert select_video_frames([photo, first], OTHER) == []


def test_a_stream_that_nobody_named_is_called_by_when_it_began_in_vietnam() -> None:
    began_ns = 1_788_574_380 * 10**9  # 2026-09-05 02:13 UTC
    assert format_video_title(format_stream_name(began_ns)) == "Trực tiếp 09:13 05/09"
    assert format_video_title("DJI_0001.MP4") == "DJI_0001"
    assert format_video_title("live-tối.mp4") == "live-tối"
    assert format_video_title("phim") == "phim"
