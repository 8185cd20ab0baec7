"""How far two rectangles of degrees lie apart."""

from __future__ import annotations

import pytest

from flycam.geometry.grid import compute_box_distance_m

HANOI = (105.7, 20.9, 106.0, 21.1)
JOPLIN = (-94.6, 37.0, -94.4, 37.1)
DEGREE_M = 111_195.0


@pytest.mark.parametrize(
    ("one", "other", "metres"),
    [
        ((105.0, 20.0, 106.0, 21.0), (105.5, 22.0, 107.0, 23.0), DEGREE_M),
        ((105.0, -1.0, 106.0, 1.0), (108.0, -1.0, 109.0, 1.0), 2 * DEGREE_M),
        ((105.0, 59.0, 106.0, 60.0), (108.0, 59.0, 109.0, 60.0), DEGREE_M),
        ((179.0, 0.0, 179.5, 0.0), (-179.5, 0.0, -179.0, 0.0), DEGREE_M),
        # the published great circle from Hanoi (21.03 N, 105.85 E) to Joplin (37.08 N, 94.51 W)
        (HANOI, JOPLIN, 13_000_000.0),
    ],
)
def test_boxes_apart_are_so_by_the_shorter_way(one, other, metres):
    assert (
        compute_box_distance_m(one, other)
        == compute_box_distance_m(other, one)
        == pytest.approx(metres, rel=0.02)
    )
