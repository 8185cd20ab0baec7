"""Which frames of a flight are whose."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from flycam.catalog.rows import provenance_from_json, provenance_to_json
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
        assert select_video_frames([photo, first, second], film_id, "DJI_0001.MP4", is_own=True) == [mine]
        assert select_video_frames([photo, first, second], film_id, "renamed.MP4", is_own=False) == [mine]
    assert select_video_frames([photo, first], OTHER, "DJI_0001.MP4", is_own=True) == []


def test_frames_from_before_the_hash_was_kept_are_told_by_their_films_names() -> None:
    names = [
        format_video_frame_name(film, 10**9)
        for film in ("DJI_0001.MP4", "DJI_0001-2.MP4", "DJI_0001-00000007.MP4")
    ]
    records = [frame(name) for name in names] + [frame("DJI_0001-00000001.jpg", "DJI FC3411")]
    for n, film in enumerate(("DJI_0001.MP4", "DJI_0001-2.MP4", "DJI_0001-00000007.MP4")):
        assert select_video_frames(records, ONE, film, is_own=True) == [records[n]]
    assert select_video_frames(records, ONE, "other.MP4", is_own=False) == []


def test_a_film_that_was_renamed_keeps_the_frames_of_its_own_flight() -> None:
    records = [frame(format_video_frame_name("DJI_0001.MP4", 10**9)), frame("DJI_0007.jpg", "DJI FC3411")]
    assert select_video_frames(records, ONE, "Nậm Lúc.MP4", is_own=True) == [records[0]]
    known = frame(format_video_frame_name("DJI_0001.MP4", 10**9), film=ONE)
    assert select_video_frames([known], ONE, "Nậm Lúc.MP4", is_own=False) == [known]


def test_the_hash_is_kept_and_photos_keep_the_text_they_had() -> None:
    photo = Provenance(source_name="a.jpg", source_sha256="0", camera="FC")
    film = Provenance(source_name="a-1.jpg", source_sha256="0", camera=VIDEO_CAMERA, film=ONE)
    assert "film" not in provenance_to_json(photo)
    assert provenance_from_json(provenance_to_json(photo)) == photo
    assert provenance_from_json(provenance_to_json(film)) == film


def test_a_stream_that_nobody_named_is_called_by_when_it_began_in_vietnam() -> None:
    began_ns = 1_788_574_380 * 10**9  # 2026-09-05 02:13 UTC
    assert format_video_title(format_stream_name(began_ns)) == "Trực tiếp 09:13 05/09"
    assert format_video_title("DJI_0001.MP4") == "DJI_0001"
    assert format_video_title("live-tối.mp4") == "live-tối"
    assert format_video_title("phim") == "phim"
