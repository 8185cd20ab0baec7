"""Which frames of a flight are whose."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from flycam.frame.frame import picture_name
from flycam.pipeline.film_frames import FILM_CAMERA, pictures_of


def frame(name: str, camera: str = FILM_CAMERA) -> Any:
    return SimpleNamespace(
        header=SimpleNamespace(provenance=SimpleNamespace(source_name=name, camera=camera))
    )


def test_films_of_one_flight_are_told_apart_by_their_names() -> None:
    names = [
        picture_name(film, 10**9) for film in ("DJI_0001.MP4", "DJI_0001-2.MP4", "DJI_0001-00000007.MP4")
    ]
    records = [frame(name) for name in names] + [frame("DJI_0001-00000001.jpg", "DJI FC3411")]
    for n, film in enumerate(("DJI_0001.MP4", "DJI_0001-2.MP4", "DJI_0001-00000007.MP4")):
        assert pictures_of(records, film, is_own=True) == [records[n]]
    assert pictures_of(records, "other.MP4", is_own=False) == []


def test_a_film_that_was_renamed_keeps_the_frames_of_its_own_flight() -> None:
    records = [frame(picture_name("DJI_0001.MP4", 10**9)), frame("DJI_0007.jpg", "DJI FC3411")]
    assert pictures_of(records, "Nậm Lúc.MP4", is_own=True) == [records[0]]
