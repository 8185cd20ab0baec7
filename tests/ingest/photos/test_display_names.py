"""Photos of one file name are told apart by their folders, and only they."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from flycam.ingest.photos.photo_reader import make_display_names
from flycam.ingest.preflight.files import resolve_capture_times
from flycam.ingest.preflight.flight_table import build_flight_table
from tests.ingest.photos.made_flights import photo, strips


def at(*paths):
    return [photo(Path(path).name, path=Path(path)) for path in paths]


def test_a_name_that_occurs_twice_gets_as_many_folders_as_it_takes():
    assert make_display_names(at("d/100MEDIA/1.JPG", "d/101MEDIA/1.JPG", "d/101MEDIA/2.JPG")) == (
        "100MEDIA/1.JPG",
        "101MEDIA/1.JPG",
        "2.JPG",
    )
    assert make_display_names(at("x/100MEDIA/1.JPG", "y/100MEDIA/1.JPG", "1.JPG")) == (
        "x/100MEDIA/1.JPG",
        "y/100MEDIA/1.JPG",
        "1.JPG",
    )


def test_a_part_of_the_flight_keeps_the_names_of_the_whole():
    one, two = strips(lines=1)[:2]
    two = replace(two, name=one.name, path=Path("other") / one.name)
    table = build_flight_table([one, two], resolve_capture_times([one, two])[0])
    assert table.take(table.t_ns == table.t_ns[1]).names == (f"other/{one.name}",)
