from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.ingest.preflight.files import resolve_capture_times
from tests.ingest.photos.made_flights import codes, photo


def ns(*parts):
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 1_000_000_000


@given(st.integers(-14 * 4, 14 * 4))
def test_a_stated_zone_is_taken_off(quarters):
    sign, minutes = ("-" if quarters < 0 else "+"), abs(quarters) * 15
    offset = f"{sign}{minutes // 60:02d}:{minutes % 60:02d}"
    times, problems = resolve_capture_times(
        [photo(taken_text="2025-09-20T09:00:00.500", taken_offset=offset)]
    )
    assert times[0] == ns(2025, 9, 20, 9) + 500_000_000 - quarters * 900 * 1_000_000_000
    assert problems == []


def clocks(gps_text):
    """Five photos at 09:00:00 and after by the camera; gps_text: of the k-th by its receiver."""
    return [
        photo(f"{k}.JPG", taken_text=f"2025-09-20T09:00:{k:02d}", gps_time_text=gps_text(k)) for k in range(5)
    ]


LOCAL, AMERICA = "2025-09-20T09:00:00", {"lon_deg": -92.0, "lat_deg": 46.8}


@pytest.mark.parametrize(
    ("photos", "first_ns", "found"),
    [
        ([photo(taken_text=LOCAL, lon_deg=104.8, lat_deg=21.9)], ns(2025, 9, 20, 2), "clock_zone_assumed"),
        ([photo(taken_text=LOCAL, **AMERICA)], ns(2025, 9, 20, 15), "clock_zone_from_longitude"),
        (clocks(lambda k: f"2025-09-20T01:59:{k + 26}"), ns(2025, 9, 20, 1, 59, 26), "clock_zone_from_gps"),
        # without leap seconds GPS time is 18 s ahead
        (clocks(lambda k: f"2025-09-20T02:00:{k + 18}"), ns(2025, 9, 20, 2), "gps_leap_seconds"),
        ([photo("raw2016111223465100Z.png")], ns(2016, 11, 12, 23, 46, 51), None),
        ([photo(taken_text="2025-13-40T09:00:00")], 0, "no_time"),
        ([photo(taken_text="")], 0, "no_time"),
        ([photo(taken_text="1970-01-01T00:00:10", taken_offset="+00:00")], 10**10, "clock_reset"),
    ],
)
def test_times_without_a_stated_zone(photos, first_ns, found):
    times, problems = resolve_capture_times(photos)
    assert times[0] == first_ns
    assert found in [*codes(problems), None]
