"""Geoid undulations against published figures, and heights between datums."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.errors import DatumUnknown
from flycam.geodata import geoid

LAO_CAI = np.array([[103.97, 22.48]])
datums = st.sampled_from(["EGM96", "EGM2008", "ELLIPSOID"])
points = st.tuples(st.floats(-180, 180), st.floats(-90, 90)).map(lambda p: np.array([p]))


@pytest.mark.parametrize(
    ("model", "lon", "lat", "metres"),
    [
        ("EGM96", 103.97, 22.48, -30.877),  # Lao Cai
        ("EGM96", 105.85, 21.03, -27.991),  # Ha Noi
        ("EGM96", 106.70, 10.77, -3.854),  # Ho Chi Minh City
        ("EGM2008", 103.0 + 23 / 24, 22.5, -32.217),  # the post nearest to Lao Cai
    ],
)
def test_published_undulations(model: str, lon: float, lat: float, metres: float) -> None:
    assert geoid.interpolate_undulation_m(model, np.array([[lon, lat]]))[0] == pytest.approx(
        metres, abs=1.5e-3
    )


@pytest.mark.parametrize(("model", "sigma_m"), [("EGM96", 0.4), ("EGM2008", 0.5)])
def test_the_world_grid_agrees_with_the_crop_within_its_stated_sigma(model: str, sigma_m: float) -> None:
    """Inside Vietnam both are known: the coarse grid's error there is what decision 0004 says."""
    _, world = geoid._grids(model)
    lonlat = np.random.default_rng(1).uniform([100, 5], [118, 25], (20_000, 2))
    coarse = geoid.interpolate_cubic(world.values_m, *geoid._position(world, lonlat), wraps=True)
    error = coarse - geoid.interpolate_undulation_m(model, lonlat)
    assert 0.2 * sigma_m < error.std() < 1.6 * sigma_m
    assert abs(error.mean()) < 0.1


@settings(max_examples=60)
@given(points, datums, datums, st.floats(-400, 8800))
def test_there_and_back_is_identity(lonlat: np.ndarray, a: str, b: str, height: float) -> None:
    there = geoid.convert_height(np.array([height]), lonlat, a, b)
    back = geoid.convert_height(there, lonlat, b, a)
    assert back[0] == pytest.approx(height, abs=1e-9)


def test_local_heights_stay_local() -> None:
    assert geoid.convert_height(np.array([5.0]), LAO_CAI, "LOCAL", "LOCAL")[0] == 5.0
    for pair in (("LOCAL", "EGM96"), ("ELLIPSOID", "LOCAL")):
        with pytest.raises(DatumUnknown, match="--datum"):
            geoid.convert_height(np.array([5.0]), LAO_CAI, *pair)


@pytest.mark.parametrize("lonlat", [(104.0, np.nan), (np.nan, 21.0), (104.0, 95.0), (9999.0, 21.0)])
def test_never_a_silent_zero(lonlat: tuple[float, float]) -> None:
    with pytest.raises(DatumUnknown, match="check the coordinates"):
        geoid.interpolate_undulation_m("EGM96", np.array([lonlat]))
