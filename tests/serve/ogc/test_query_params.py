"""What a request asks for: rectangles, periods, and what is neither."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from flycam.http.protocol import Refused
from flycam.model.time import to_utc_ns
from flycam.serve.ogc.features import (
    FeatureQuery,
    is_within_period,
    mask_intersecting,
    parse_bbox,
    parse_period,
)

MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)).map(lambda one: one.replace(tzinfo=UTC))
LON, LAT = st.floats(-180, 180), st.floats(-90, 90)


def text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@given(MOMENTS, MOMENTS)
def test_an_interval_holds_its_ends_and_nothing_beside_them(one: datetime, other: datetime) -> None:
    first, last = sorted((one, other))
    start, end = parse_period(f"{text(first)}/{text(last)}")
    assert start <= to_utc_ns(first) and to_utc_ns(last) <= end
    assert to_utc_ns(first) - start < 10**6 and end - to_utc_ns(last) < 10**6
    assert parse_period(f"{text(first)}/..") == parse_period(f"{text(first)}/") == (start, 2**63 - 1)
    assert parse_period(f"../{text(last)}") == (-(2**63), end)


@given(MOMENTS, st.integers(-12, 14))
def test_the_zone_of_a_moment_is_minded(moment: datetime, hours: int) -> None:
    zone = timedelta(hours=hours)
    elsewhere = (moment + zone).replace(tzinfo=None).isoformat(timespec="milliseconds")
    sign = "-" if hours < 0 else "+"
    assert parse_period(f"{elsewhere}{sign}{abs(hours):02d}:00") == parse_period(text(moment))


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "..",
        "../..",
        "/",
        "yesterday",
        "2024-09-10T03:15:00",  # of no zone
        "2024-13-01",
        "2024-09-11/2024-09-10",
        "2024-09-10/2024-09-11/2024-09-12",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "9999-12-31",
        "2024-W36-2",
    ],
)
def test_what_is_no_time_is_refused_in_words(asked: str) -> None:
    with pytest.raises(Refused, match="datetime=") as refused:
        parse_period(asked)
    assert refused.value.status == 400
    assert refused.value.message.in_language("vi") != str(refused.value.message)


@pytest.mark.parametrize(
    "asked",
    ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "nan,0,1,1", "0,1,1,0", "-181,0,1,1", "0,0,1,91", "0,0,inf,1"],
)
def test_what_is_no_rectangle_is_refused_in_words(asked: str) -> None:
    with pytest.raises(Refused, match="bbox=") as refused:
        parse_bbox(asked)
    assert refused.value.status == 400


@given(LON, LON, LAT, LAT, LON, LAT)
def test_a_rectangle_holds_what_lies_between_its_sides(
    west: float, east: float, south: float, north: float, lon: float, lat: float
) -> None:
    """Also one that goes over the 180th meridian; what its plain box does not hold it does not either."""
    south, north = sorted((south, north))
    wanted = FeatureQuery(bounds=parse_bbox(f"{west!r},{south!r},{east!r},{north!r}"))
    is_inside = (
        west <= lon <= east if west <= east else lon >= west or lon <= east
    ) and south <= lat <= north
    assert mask_intersecting([shapely.to_wkb(shapely.Point(lon, lat))], wanted.query_area) == [is_inside]
    assert wanted.bounding_box is not None
    assert shapely.box(*wanted.bounding_box).intersects(shapely.Point(lon, lat)) >= is_inside


@given(
    st.lists(st.integers(0, 100), min_size=2, max_size=2).map(sorted), st.integers(0, 100), st.integers(0, 9)
)
def test_what_lasts_is_within_a_period_that_it_shares_a_moment_with(
    ends: list[int], start: int, length: int
) -> None:
    period = start, start + length
    shares = any(period[0] <= moment <= period[1] for moment in range(ends[0], ends[1] + 1))
    assert is_within_period(ends[0], ends[1], period) == shares
    assert is_within_period(ends[0], None, period) == (ends[0] <= period[1])
    assert is_within_period(None, ends[1], period) == (ends[1] >= period[0])
    assert is_within_period(None, None, None) and is_within_period(None, None, period)
