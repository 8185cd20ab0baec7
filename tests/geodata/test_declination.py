"""Magnetic north by the World Magnetic Model: its own test values, and where a person would expect it."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.geodata.geoid import compute_declination_deg


def ns(year: int, month: int = 1) -> int:
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp() * 1e9)


@pytest.mark.parametrize(("year", "expected"), [(2020, (-1.28, 0.16, 69.36)), (2025, (1.28, -0.16, 68.78))])
def test_the_models_published_test_values(year: int, expected: tuple[float, ...]) -> None:
    """Test values of the technical reports, on the ellipsoid: 80 N 0 E, 0 N 120 E, 80 S 240 E."""
    places = np.array([[0.0, 80.0], [120.0, 0.0], [240.0, -80.0]])
    np.testing.assert_allclose(compute_declination_deg(places, ns(year)), expected, atol=0.006)


def test_a_clock_that_was_never_set_is_no_crash() -> None:
    place = np.array([[104.0, 22.3]])
    assert compute_declination_deg(place, 0) == compute_declination_deg(place, ns(2010))


@given(st.floats(-180, 180), st.floats(-60, 60), st.sampled_from([2015, 2020, 2025]))
def test_one_model_passes_into_the_next(lon: float, lat: float, year: int) -> None:
    place = np.array([[lon, lat]])
    step = compute_declination_deg(place, ns(year)) - compute_declination_deg(place, ns(year) - 1_000_000_000)
    assert abs((step[0] + 180) % 360 - 180) < 1.0
