from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.ingest.preflight.altitude import estimate_rounding_sigma_m, resolve_positions
from flycam.ingest.preflight.flight_table import build_flight_table
from flycam.ingest.preflight.frame_headers import (
    SIGMA_GNSS_M,
    SIGMA_RTK_FIXED_M,
    SIGMA_RTK_FLOAT_M,
    estimate_position_sigma,
)
from tests.ingest.photos.made_flights import LAT, LON, photo, strips, the


def table_of(photos):
    return build_flight_table(photos, np.arange(1, len(photos) + 1) * 1_000_000_000)


def test_zero_coordinates_are_rejected_with_the_cure():
    photos = [*strips(lines=1), photo("ZERO.JPG", lon_deg=0.0, lat_deg=0.0)]
    kept, rejected, problems = resolve_positions(table_of(photos))
    assert len(kept) == 12
    assert (rejected[0].name, rejected[0].reason) == ("ZERO.JPG", "no_position")
    assert "--telemetry" in str(rejected[0].message)
    assert the(problems, "position_zero").frames == ("ZERO.JPG",)
    assert the(problems, "position_zero").sentence.count == 1  # "1 of 13 photos says", not "say"


def test_swapped_beyond_90_degrees_is_exchanged():
    photos = [replace(p, lon_deg=p.lat_deg, lat_deg=p.lon_deg) for p in strips(lines=1)]
    kept, rejected, problems = resolve_positions(table_of(photos))
    assert rejected == []
    np.testing.assert_allclose(kept.lonlat[0], [LON, LAT], atol=1e-3)
    assert len(the(problems, "coordinates_swapped").frames) == 12


def test_one_swapped_photo_is_seen_against_the_rest():
    photos = strips(lines=1)
    photos = [replace(p, lon_deg=p.lon_deg - 60.0) for p in photos]  # both orders are possible places
    photos[3] = replace(photos[3], lon_deg=photos[3].lat_deg, lat_deg=photos[3].lon_deg)
    kept, rejected, problems = resolve_positions(table_of(photos))
    assert rejected == []
    assert the(problems, "coordinates_swapped").frames == (photos[3].name,)
    assert np.ptp(kept.lonlat[:, 0]) < 0.01


place = st.one_of(
    st.none(),
    st.tuples(st.floats(-400, 400), st.floats(-400, 400)),
    st.sampled_from([(0.0, 0.0), (LON, LAT), (LAT, LON)]),
)


@given(st.lists(place, min_size=1, max_size=8))
@settings(max_examples=60)
def test_no_photo_is_silently_dropped(places):
    photos = [
        photo(f"{k}.JPG", lon_deg=p[0] if p else None, lat_deg=p[1] if p else None)
        for k, p in enumerate(places)
    ]
    kept, rejected, _ = resolve_positions(table_of(photos))
    assert sorted([*kept.names, *(r.name for r in rejected)]) == sorted(p.name for p in photos)
    assert len(kept) == 0 or np.abs(kept.lonlat[:, 1]).max() <= 90.0


@pytest.mark.parametrize(
    ("fields", "sigma_m"),
    [
        ({}, (SIGMA_GNSS_M, SIGMA_GNSS_M)),
        ({"rtk_flag": 50}, (SIGMA_RTK_FIXED_M, SIGMA_RTK_FIXED_M)),
        ({"rtk_flag": 34}, (SIGMA_RTK_FLOAT_M, SIGMA_RTK_FLOAT_M)),
        ({"rtk_flag": 50, "rtk_std_m": (0.011, 0.012, 0.023)}, (0.011, 0.012)),
        ({"rtk_flag": 16, "rtk_std_m": (2.7, 1.5, 3.7)}, (2.7, 1.5)),
        ({"rtk_flag": 0, "rtk_std_m": (0.0, 0.0, 0.0)}, (SIGMA_GNSS_M, SIGMA_GNSS_M)),
        ({"rtk_flag": 0, "rtk_std_m": (0.2, 0.2, 0.2)}, (SIGMA_GNSS_M, SIGMA_GNSS_M)),
        ({"horizontal_error_m": 4.5}, (4.5, 4.5)),
        ({"horizontal_error_m": 4.5, "rtk_flag": 16, "rtk_std_m": (2.7, 1.5, 3.7)}, (2.7, 1.5)),
    ],
)
def test_the_error_that_a_receiver_states_is_the_sigma(fields, sigma_m):
    sigma, _ = estimate_position_sigma(table_of([photo(**fields)]))
    np.testing.assert_allclose(sigma, [sigma_m])


@pytest.mark.parametrize(
    ("step_deg", "sigma_m"),
    [
        (1e-4, 11.12 / 12**0.5),
        (1e-5, 1.112 / 12**0.5),
        (1.0 / 3600.0, 30.9 / 12**0.5),
        (1e-7, 0.0),
        (0.01 / 3600.0, 0.0),
    ],
)
def test_rounded_positions_err_by_their_step(step_deg, sigma_m):
    rng = np.random.default_rng(3)
    places = np.array([104.8, 21.9]) + rng.uniform(0.0, 0.01, size=(12, 2))
    sigma = estimate_rounding_sigma_m(np.rint(places / step_deg) * step_deg)
    np.testing.assert_allclose(sigma[:, 1], sigma_m, rtol=0.01)
    np.testing.assert_allclose(sigma[:, 0], sigma_m * np.cos(np.radians(21.9)), rtol=0.01)


def test_a_photo_of_another_place_is_left_out():
    photos = [*strips(lines=1), photo("HOME.JPG", lon_deg=105.8, lat_deg=21.0)]
    kept, rejected, _ = resolve_positions(table_of(photos))
    assert len(kept) == 12
    assert [(r.name, r.reason) for r in rejected] == [("HOME.JPG", "pose_rejected")]
