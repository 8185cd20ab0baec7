"""Photos are read once for metadata, hash and checks; those that are begun early are the same."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from flycam.drill.photo_drill import DrillReport
from flycam.errors import FrameUnreadable
from flycam.ingest.photos.photo_reader import prefetch_photos, read_metadata, read_photos
from flycam.media.pixels import read_pixel_checks


def test_photos_read_early_are_those_read_in_time_and_by_their_parts(
    drill: DrillReport, tmp_path: Path
) -> None:
    paths = sorted(drill.photos.iterdir())
    cut_off = tmp_path / "cut.jpg"
    cut_off.write_bytes(paths[0].read_bytes()[:-4000])
    with prefetch_photos([*paths[:3], cut_off]) as early:
        found, failed = read_photos([*paths, cut_off], is_whole=True, prefetch=early)
    assert not failed and found[:-1] == read_photos(paths, is_whole=True)[0]
    for path, one in zip(paths, found, strict=False):
        assert replace(one, sha256="", checks=None) == read_metadata(path)
        assert one.checks == read_pixel_checks(path)
        assert one.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert replace(found[-1], sha256="", checks=None) == read_metadata(cut_off)
    assert isinstance(found[-1].checks, FrameUnreadable)


def test_threads_end_with_an_error_and_leave_the_interpreter_as_it_was(drill: DrillReport) -> None:
    interval = sys.getswitchinterval()
    with pytest.raises(KeyboardInterrupt), prefetch_photos(drill.photos.iterdir()):
        assert sys.getswitchinterval() < interval
        raise KeyboardInterrupt
    assert sys.getswitchinterval() == interval
