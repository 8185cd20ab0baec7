from __future__ import annotations

import numpy as np
import pytest

from flycam.errors import FrameUnreadable
from flycam.geometry.pose import rotation_from_gimbal
from tests.ingest.preflight.painted_plain import HEIGHT_M, SIZE, Flight, painted_plain


@pytest.fixture(scope="module")
def ground():
    return painted_plain()


def test_height_is_base_times_focal_length_over_shift(ground):
    found = Flight(ground).estimate()
    np.testing.assert_allclose(found.above_ground_m, HEIGHT_M, rtol=0.03)
    assert found.measured.all()
    assert (found.sigma_m < 0.1 * HEIGHT_M).all()


def test_tilts_that_nobody_wrote_cancel_along_the_strip_and_widen_the_sigma(ground):
    found = Flight(ground, photos=8, step_m=22.0, tilt_deg=3.0).estimate()
    error = np.abs(found.above_ground_m - HEIGHT_M)
    assert (error < 2.0 * found.sigma_m).all()
    assert np.median(error) < 0.1 * HEIGHT_M
    assert np.median(found.sigma_m) > 0.05 * HEIGHT_M


def test_two_photos_of_a_receiver_that_jumped_by_fifty_metres_move_nothing(ground):
    flight = Flight(ground, photos=9, step_m=20.0)
    flight.said_xy[3] += [50.0, 0.0]
    flight.said_xy[6] -= [0.0, 50.0]
    found = flight.estimate()
    assert np.median(found.above_ground_m) == pytest.approx(HEIGHT_M, rel=0.06)


def test_a_heading_that_is_wrong_in_a_turn_is_brought_to_that_of_its_neighbours(ground):
    flight = Flight(ground)
    flight.rotations[2] = rotation_from_gimbal(*np.radians([45.0 + 40.0, -90.0, 0.0]), 0.0)
    flight.yaw_sigma_deg = np.array([8.0, 8.0, 30.0, 8.0, 8.0, 8.0])
    found = flight.estimate()
    np.testing.assert_allclose(found.turn_deg[:, 0], [0.0, 0.0, -40.0, 0.0, 0.0, 0.0], atol=2.0)
    assert (found.turn_deg[:, 1] < 8.0).all()
    np.testing.assert_allclose(found.above_ground_m, HEIGHT_M, rtol=0.05)


def _at_one_place(flight):
    flight.said_xy[:] = 0.0
    return flight.estimate()


def _unreadable(flight):
    def refuse(path, side):
        raise FrameUnreadable(f"{path}: is cut off")

    flight.grey = refuse
    return flight.estimate()


def _of_other_ground(flight):
    rng = np.random.default_rng(2)
    flight.grey = lambda path, side: rng.integers(0, 255, SIZE[::-1], dtype=np.uint8)
    return flight.estimate()


@pytest.mark.parametrize(
    "estimate",
    [
        _at_one_place,
        _unreadable,
        _of_other_ground,
        lambda flight: flight.estimate(usable=np.array([True, False, False])),
    ],
    ids=["at one place", "unreadable", "nothing in common", "one photo"],
)
def test_what_shows_no_height_says_none(ground, estimate):
    found = estimate(Flight(ground, photos=3))
    assert np.isnan(found.above_ground_m).all()
    assert np.isnan(found.sigma_m).all()
    assert not found.measured.any()
