"""Times as people and files write them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.model.time import (
    VIETNAM_NAME,
    find_midnight_ns,
    format_iso,
    format_minute,
    format_utc_offset,
    parse_timestamp,
    set_local_zone,
    to_utc_ns,
)

MORNING = 1_725_938_100 * 10**9  # 10/09/2024 10:15 in Việt Nam


def test_a_moment_is_spelled_in_one_way_and_read_back() -> None:
    assert format_iso(MORNING + 1_999_999) == "2024-09-10T03:15:00.001Z"
    assert format_iso(MORNING + 999_999_999, "seconds") == "2024-09-10T03:15:00Z"
    assert parse_timestamp(format_iso(MORNING)) == MORNING


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
    assert parse_timestamp(text) == MORNING


def test_a_day_begins_at_midnight_in_vietnam() -> None:
    assert (
        parse_timestamp("10/09/2024")
        == parse_timestamp("2024-09-10")
        == MORNING - (10 * 60 + 15) * 60 * 10**9
    )


@pytest.mark.parametrize(
    "text", ["", "hôm qua", "31/02/2024", "2024-13-01", "9999-12-31", "0001-01-01", "14:35"]
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert parse_timestamp(text) is None


@given(st.datetimes(datetime(1700, 1, 1), datetime(2250, 1, 1), timezones=st.just(UTC)))
def test_iso_comes_back_to_the_microsecond(moment: datetime) -> None:
    assert parse_timestamp(moment.isoformat()) == to_utc_ns(moment)


@pytest.fixture
def chicago() -> Iterator[None]:
    set_local_zone("America/Chicago")
    yield
    set_local_zone(VIETNAM_NAME)


@pytest.mark.usefixtures("chicago")
def test_a_house_elsewhere_says_and_reads_its_own_time() -> None:
    summer, winter = (to_utc_ns(datetime(2024, month, 1, 12, tzinfo=UTC)) for month in (7, 1))
    assert (format_minute(summer), format_minute(winter)) == ("01/07/2024 07:00", "01/01/2024 06:00")
    assert (format_utc_offset(summer), format_utc_offset(summer, winter)) == ("UTC-5", "UTC-6, UTC-5")
    assert parse_timestamp("01/07/2024 07:00") == summer
    assert find_midnight_ns(summer) == to_utc_ns(datetime(2024, 7, 1, 5, tzinfo=UTC))
