"""Lines of the grid lie where their values say, cross the sheet, and are neither few nor many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.geodata.crs import WGS84, compute_grid_lines, transform_points

_ZONE = "EPSG:9208"

sizes = st.floats(2e-4, 0.5)


@given(lon=st.floats(103.5, 106.0), lat=st.floats(20.0, 23.0), wide=sizes, high=sizes)
def test_lines_lie_where_their_values_say(lon: float, lat: float, wide: float, high: float) -> None:
    bounds = (lon, lat, lon + wide, lat + high)
    step_m, lines = compute_grid_lines(bounds, _ZONE)
    for line in lines:
        points = transform_points(line.lonlat, WGS84, _ZONE)
        along = points[:, 1 if line.axis == "x" else 0]
        assert np.abs(along - line.value_m).max() < 0.01
        assert line.value_m % step_m == pytest.approx(0.0, abs=1e-6)


@given(lon=st.floats(103.5, 106.0), lat=st.floats(20.0, 23.0), wide=sizes, high=sizes)
def test_a_sheet_has_neither_few_nor_many(lon: float, lat: float, wide: float, high: float) -> None:
    step_m, lines = compute_grid_lines((lon, lat, lon + wide, lat + high), _ZONE)
    for axis in "xy":
        count = sum(line.axis == axis for line in lines)
        assert count <= 26
    assert str(step_m).lstrip("0.").rstrip("0.") in {"1", "2", "5"}
    shorter_m = min(wide * 102_000.0, high * 110_500.0)
    longer_m = max(wide * 104_500.0, high * 111_000.0)
    if shorter_m > 200.0 and longer_m < 2.0 * shorter_m:
        assert all(sum(line.axis == axis for line in lines) >= 3 for axis in "xy")
