"""What of a film shows what was withdrawn."""

from __future__ import annotations

from pathlib import Path

import pytest

from flycam.catalog.catalog import open_catalog
from flycam.mosaic.orthorectify.withdrawal import WithdrawnTimes, find_withdrawn_times

SECOND = 10**9


@pytest.mark.parametrize(
    ("began_s", "ended_s", "expected"),
    [(90, 97, False), (90, 98, True), (99, 101, True), (102, 110, True), (103, 110, False), (100, 100, True)],
)
def test_film_near_a_withdrawn_frame_shows_it(began_s: int, ended_s: int, expected: bool) -> None:
    gone = WithdrawnTimes(is_all=False, times_ns=(5 * SECOND, 100 * SECOND))
    assert gone.overlaps(began_s * SECOND, ended_s * SECOND) is expected
    assert WithdrawnTimes(is_all=True, times_ns=()).overlaps(began_s * SECOND, ended_s * SECOND)
    assert not WithdrawnTimes(is_all=False, times_ns=()).overlaps(began_s * SECOND, ended_s * SECOND)


def test_of_a_flight_that_is_not_on_record_nothing_was_withdrawn(tmp_path: Path) -> None:
    catalog = open_catalog(f"sqlite:///{tmp_path / 'catalog.db'}")
    assert find_withdrawn_times(catalog, "f1") == WithdrawnTimes(is_all=False, times_ns=())
