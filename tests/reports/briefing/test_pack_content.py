"""Ages in a meeting pack."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.reports.briefing.changes import format_age


@given(st.integers(0, 10**8), st.integers(0, 10**6))
def test_a_picture_never_grows_younger_nor_looks_newer_than_it_is(minutes: int, more: int) -> None:
    def said(count: int) -> tuple[int, str]:
        number, unit = str(format_age(0, count * 60 * 10**9)).split()
        one = unit.removesuffix("s")
        return int(number) * {"minute": 1, "hour": 60, "day": 1440, "year": 525_600}[one], one

    text, unit = said(minutes)
    assert text <= said(minutes + more)[0]
    if unit == "year":  # those that are complete: the date stands beside them
        assert text <= minutes < text + 2 * 525_600
    else:
        assert minutes <= text <= max(1, 2 * minutes)


@pytest.mark.parametrize(
    ("passed", "text"),
    [
        (timedelta(seconds=61), "2 minutes"),
        (timedelta(minutes=119, seconds=30), "120 minutes"),
        (timedelta(hours=2, minutes=1), "3 hours"),
        (timedelta(days=79, minutes=1), "80 days"),
        (timedelta(days=731), "2 years"),
        (timedelta(days=1096), "3 years"),
    ],
)
def test_ages_are_rounded_up_as_on_the_page(passed: timedelta, text: str) -> None:
    assert str(format_age(0, int(passed.total_seconds()) * 10**9)) == text
