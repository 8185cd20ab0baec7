from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.ingest.preflight.files import resolve_capture_times
from tests.ingest.photos.made_flights import codes, photo, the


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


def test_local_clock_without_zone_is_vietnam_time_and_says_so():
    times, problems = resolve_capture_times(
        [photo(taken_text="2025-09-20T09:00:00", lon_deg=104.8, lat_deg=21.9)]
    )
    assert times[0] == ns(2025, 9, 20, 2)
    assert "UTC+7" in str(the(problems, "clock_zone_assumed").sentence)


def test_a_daylight_photo_in_america_is_not_put_at_night():
    times, problems = resolve_capture_times(
        [photo(taken_text="2016-06-23T16:31:59", lon_deg=-92.0, lat_deg=46.8)]
    )
    assert times[0] == ns(2016, 6, 23, 22, 31, 59)
    assert codes(problems) == ["clock_zone_from_longitude"]


def test_gps_time_tells_the_zone_and_the_clock_error():
    photos = [
        photo(
            f"{k}.JPG", taken_text=f"2025-09-20T09:00:{k:02d}", gps_time_text=f"2025-09-20T01:59:{k + 26:02d}"
        )
        for k in range(5)
    ]
    times, problems = resolve_capture_times(photos)
    assert times[0] == ns(2025, 9, 20, 1, 59, 26)
    assert "UTC+7" in str(the(problems, "clock_zone_from_gps").sentence)


def test_gps_time_without_leap_seconds_is_18_s_ahead():
    photos = [
        photo(
            f"{k}.JPG", taken_text=f"2025-09-20T09:00:{k:02d}", gps_time_text=f"2025-09-20T02:00:{k + 18:02d}"
        )
        for k in range(5)
    ]
    photos.append(photo("only_gps.JPG", gps_time_text="2025-09-20T02:01:18"))
    times, problems = resolve_capture_times(photos)
    assert times[0] == ns(2025, 9, 20, 2)
    assert times[5] == ns(2025, 9, 20, 2, 1)
    assert codes(problems) == ["gps_leap_seconds"]


@pytest.mark.parametrize("text", ["0000-00-00T00:00:00", "garbage", "2025-13-40T09:00:00", ""])
def test_no_date_is_no_time_and_the_photo_stays(text):
    times, problems = resolve_capture_times([photo(taken_text=text)])
    assert times[0] == 0
    assert the(problems, "no_time").frames == ("DJI_0001.JPG",)


def test_a_clock_never_set_is_named():
    _, problems = resolve_capture_times([photo(taken_text="1970-01-01T00:00:10", taken_offset="+00:00")])
    assert "clock_reset" in codes(problems)
