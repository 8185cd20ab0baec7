"""Looks at photos that are begun early are the looks that are taken in time."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from flycam.drill.photo_drill import DrillReport
from flycam.errors import FrameUnreadable
from flycam.ingest.inspection import check_photos, prefetch_pixel_checks
from flycam.ingest.photos.photo_reader import read_photos
from flycam.workspace import ignore_progress


def test_early_looks_are_the_same(drill: DrillReport, tmp_path: Path) -> None:
    paths = sorted(drill.photos.iterdir())
    cut_off = tmp_path / "cut.jpg"
    cut_off.write_bytes(paths[0].read_bytes()[:-4000])
    photos, _ = read_photos([*paths, cut_off])
    with prefetch_pixel_checks([*paths[:3], cut_off]) as early:
        found = check_photos(photos, ignore_progress, early)
    in_time = check_photos(photos, ignore_progress)
    assert list(found) == list(in_time) == [photo.path for photo in photos]
    assert isinstance(found[cut_off], FrameUnreadable)
    assert str(found[cut_off]) == str(in_time[cut_off])
    assert {path: found[path] for path in paths} == {path: in_time[path] for path in paths}


def test_threads_end_with_an_error_and_leave_the_interpreter_as_it_was(drill: DrillReport) -> None:
    interval = sys.getswitchinterval()
    with pytest.raises(KeyboardInterrupt), prefetch_pixel_checks(drill.photos.iterdir()):
        assert sys.getswitchinterval() < interval
        raise KeyboardInterrupt
    assert sys.getswitchinterval() == interval
