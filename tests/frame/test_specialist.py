"""What an owner's words about a thing come to, and when a layer is old."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.frame.specialist import Condition, condition_of, is_stale


@pytest.mark.parametrize(
    ("said", "condition"),
    [
        ("Mất điện từ 14h35", Condition.NO_POWER),
        ("MAT SONG", Condition.NO_SIGNAL),
        ("no_signal", Condition.NO_SIGNAL),
        ("Tắc do sạt lở taluy dương", Condition.BLOCKED),
        ("ngập sâu 1,2 m", Condition.BLOCKED),
        ("gãy 2 cột", Condition.DAMAGED),
        ("không hoạt động", Condition.DAMAGED),
        ("đã khôi phục sau mất điện", Condition.WORKING),
        ("đang khôi phục", Condition.DAMAGED),
        ("không bị ngập", Condition.WORKING),
        ("Hoạt động bình thường", Condition.WORKING),
        ("đang đo đạc lại", Condition.OTHER),
        ("  ", Condition.UNKNOWN),
    ],
)
def test_words_come_to_a_condition(said: str, condition: Condition) -> None:
    assert condition_of(said) is condition


@given(st.text(max_size=60))
def test_any_words_come_to_some_condition(said: str) -> None:
    assert condition_of(said) in Condition


def test_status_is_old_after_six_hours_places_after_a_year_and_what_nobody_dated_always() -> None:
    hour = 3600 * 10**9
    assert not is_stale(0, 6 * hour, has_status=True)
    assert is_stale(0, 6 * hour + 1, has_status=True)
    assert not is_stale(0, 6 * hour + 1, has_status=False)
    assert is_stale(0, 366 * 24 * hour, has_status=False)
    assert is_stale(None, 0, has_status=False)
