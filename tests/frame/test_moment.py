"""Times as people and files write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.frame.moment import iso, ns_of, parse_moment

MORNING = 1_725_938_100 * 10**9  # 10/09/2024 10:15 in Việt Nam


def test_a_moment_is_spelled_in_one_way_and_read_back() -> None:
    assert iso(MORNING + 1_999_999) == "2024-09-10T03:15:00.001Z"
    assert iso(MORNING + 999_999_999, "seconds") == "2024-09-10T03:15:00Z"
    assert parse_moment(iso(MORNING)) == MORNING


@pytest.mark.parametrize(
    "text",
    [
        "2024-09-10T03:15Z",
        "2024-09-10T10:15:00+07:00",
        "2024/09/10 10:15:00+07",
        "10/09/2024 10:15",
        " 10-9-2024 10h15 ",
        "10:15 10/09/2024",
        "10h15:00, 10.09.2024",
    ],
)
def test_one_morning_however_it_is_written(text: str) -> None:
    assert parse_moment(text) == MORNING


def test_a_day_begins_at_midnight_in_vietnam() -> None:
    assert parse_moment("10/09/2024") == parse_moment("2024-09-10") == MORNING - (10 * 60 + 15) * 60 * 10**9


@pytest.mark.parametrize(
    "text", ["", "hôm qua", "31/02/2024", "2024-13-01", "9999-12-31", "0001-01-01", "14:35"]
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert parse_moment(text) is None


@given(st.datetimes(datetime(1700, 1, 1), datetime(2250, 1, 1), timezones=st.just(UTC)))
def test_iso_comes_back_to_the_microsecond(moment: datetime) -> None:
    assert parse_moment(moment.isoformat()) == ns_of(moment)
