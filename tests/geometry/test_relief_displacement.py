"""What a similarity takes leaves a window whole; what it does not take is measured in metres."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.geometry.terrain import measure_bend_m

CENTRE = np.array([[30.0, -20.0, 150.0]])
EAST, NORTH = (axis.reshape(1, -1) for axis in np.meshgrid(np.arange(16.0), np.arange(16.0)))


def bend(height: np.ndarray, centre: np.ndarray = CENTRE) -> float:
    return float(measure_bend_m(EAST, NORTH, height, centre)[0])


@given(level=st.floats(-50.0, 100.0))
def test_level_ground_is_whole_from_anywhere(level: float) -> None:
    assert bend(np.full_like(EAST, level)) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("aside", [20.0, 60.0])
def test_noise_bends_by_its_size_times_the_tangent_of_the_view(aside: float) -> None:
    noise = np.random.default_rng(3).normal(0.0, 0.5, EAST.shape)
    centre = np.array([[7.5 + aside, 7.5, 150.0]])
    assert bend(noise, centre) == pytest.approx(0.5 * aside / 150.0, rel=0.1)


def test_what_is_not_known_or_not_below_the_camera_is_not_judged() -> None:
    holed = np.zeros_like(EAST)
    holed[0, 3] = np.nan
    assert np.isnan(bend(holed))
    assert np.isnan(bend(np.full_like(EAST, 200.0)))
    assert np.isnan(bend(np.zeros_like(EAST), np.full((1, 3), np.nan)))
