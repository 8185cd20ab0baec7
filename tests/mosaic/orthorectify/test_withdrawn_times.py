"""What of a film shows what was withdrawn."""

from __future__ import annotations

import pytest

from flycam.mosaic.amendments import WithdrawnTimes

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
