"""A pack says errors as the page does: the shift of the whole is in them, or said not to be."""

from __future__ import annotations

import math

import pytest

from flycam.reports.briefing.figures import read_error_figures

FOUND = {"median": 0.35, "p95": 4.25}


@pytest.mark.parametrize("accepted", [True, None])
def test_the_shift_of_the_whole_is_in_the_error_of_every_pixel(accepted: bool | None) -> None:
    stats = {"map_error_m": FOUND, "shift_sigma_m": [1.2, 1.3, 2.0], "accepted": accepted}
    error, shift = read_error_figures(stats)
    assert shift == pytest.approx(math.hypot(1.2, 1.3))
    assert error == pytest.approx((math.hypot(0.35, 1.2, 1.3), math.hypot(4.25, 1.2, 1.3)))


def test_poses_that_were_known_before_have_their_errors_in_the_pixels() -> None:
    stats = {"map_error_m": FOUND, "shift_sigma_m": [None, None, None], "accepted": False}
    assert read_error_figures(stats) == ((0.35, 4.25), 0.0)


@pytest.mark.parametrize("sigma", [None, [None, None, None], [float("nan")] * 3])
def test_a_shift_that_nobody_knows_is_not_taken_for_none(sigma: object) -> None:
    assert read_error_figures({"map_error_m": FOUND, "shift_sigma_m": sigma}) == ((0.35, 4.25), None)
