"""What an owner's words about a thing come to, and when a layer is old."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.model.board import Condition, is_stale, parse_condition


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
    assert parse_condition(said) is condition


@pytest.mark.parametrize(
    ("said", "condition"),
    [
        ("Dừng hoạt động", Condition.DAMAGED),
        ("Tạm dừng hoạt động", Condition.DAMAGED),
        ("tam dung hoat dong", Condition.DAMAGED),
        ("Đã dừng", Condition.DAMAGED),
        ("Đã ngừng", Condition.DAMAGED),
        ("Không thông", Condition.BLOCKED),
        ("Chưa thông xe", Condition.BLOCKED),
        ("Không đi lại được", Condition.BLOCKED),
        ("not open", Condition.BLOCKED),
        ("Không bình thường", Condition.DAMAGED),
        ("Chưa hoạt động trở lại bình thường", Condition.DAMAGED),
        ("Không tốt", Condition.DAMAGED),
        ("Bất bình thường", Condition.DAMAGED),
        ("Hoạt động kém", Condition.DAMAGED),
        ("Hoạt động không ổn định", Condition.DAMAGED),
        ("not normal", Condition.DAMAGED),
        ("isn't working", Condition.DAMAGED),
        ("turn on failed", Condition.DAMAGED),
        ("out of service", Condition.DAMAGED),
        ("not in service", Condition.DAMAGED),
        ("Mất kết nối", Condition.NO_SIGNAL),
        ("Không liên lạc được", Condition.NO_SIGNAL),
        ("mất thông tin liên lạc", Condition.NO_SIGNAL),
        ("Chưa có điện", Condition.NO_POWER),
        ("Đã ngắt điện", Condition.NO_POWER),
        ("chưa khôi phục điện", Condition.NO_POWER),
        ("không mất điện nhưng mất sóng", Condition.NO_SIGNAL),
        ("Mất sóng, điện đã khôi phục", Condition.NO_SIGNAL),
        ("Mất sóng, đã khôi phục điện", Condition.NO_SIGNAL),
        ("Đã khôi phục một phần", Condition.DAMAGED),
        ("đã khôi phục 80%", Condition.DAMAGED),
        ("dự kiến khôi phục ngày mai", Condition.DAMAGED),
        ("Không khôi phục được", Condition.DAMAGED),
        ("đã khôi phục được 3/5 trạm", Condition.DAMAGED),
        ("partially restored", Condition.DAMAGED),
        ("to be restored", Condition.DAMAGED),
        ("non-operational", Condition.DAMAGED),
        ("chưa hết ngập", Condition.BLOCKED),
    ],
)
def test_a_broken_thing_is_never_shown_as_working(said: str, condition: Condition) -> None:
    assert parse_condition(said) is condition
    assert condition.is_trouble


@pytest.mark.parametrize(
    "said",
    [
        "on", "Tốt", "thông", "OK", "Thông xe", "Đã thông xe", "Đang hoạt động", "đã có điện", "in service",
        "Hoạt động bình thường, không có sự cố", "Hoạt động tốt, không hư hỏng", "Sử dụng tốt", "not damaged",
        "Mất điện từ 14h35, đã khôi phục lúc 16h00", "đã khắc phục sự cố", "hết ngập", "no power outage",
        "restored",
    ],
)  # fmt: skip
def test_what_works_and_whose_trouble_is_denied_or_over_is_working(said: str) -> None:
    assert parse_condition(said) is Condition.WORKING


@pytest.mark.parametrize(
    "said",
    [
        "Đã thông báo", "không có thông tin", "on standby", "working on it", "cao hơn bình thường",
        "không ngập nhưng đi lại khó khăn", "đã khôi phục điện tại 3/5 xã", "thông tuyến 1 chiều",
        "khôi phục", "đúng", "đang dùng", "hoạt động bằng máy nổ", "bình thường một phần",
    ],
)  # fmt: skip
def test_what_is_not_plainly_good_is_not_judged(said: str) -> None:
    assert parse_condition(said) is Condition.OTHER


@given(
    st.sampled_from(["khong", "chua", "not", "bat"]),
    st.sampled_from(["hoat dong", "binh thuong", "tot", "thong", "on", "open", "normal", "working", "ok"]),
)
def test_no_denied_good_word_counts_as_working(denying: str, good: str) -> None:
    assert parse_condition(f"{denying} {good}").is_trouble


@given(st.text(max_size=60))
def test_any_words_come_to_some_condition(said: str) -> None:
    assert parse_condition(said) in Condition


def test_status_is_old_after_six_hours_places_after_a_year_and_what_nobody_dated_always() -> None:
    hour = 3600 * 10**9
    assert not is_stale(0, 6 * hour, has_status=True)
    assert is_stale(0, 6 * hour + 1, has_status=True)
    assert not is_stale(0, 6 * hour + 1, has_status=False)
    assert is_stale(0, 366 * 24 * hour, has_status=False)
    assert is_stale(None, 0, has_status=False)


def test_a_time_to_come_is_never_fresh_but_for_what_two_clocks_differ_by() -> None:
    minute = 60 * 10**9
    assert not is_stale(10 * minute, 0, has_status=True)
    assert is_stale(10 * minute + 1, 0, has_status=True)
    assert is_stale(365 * 24 * 60 * minute, 0, has_status=False)
