"""Tables of the Word document: what stays on one line has the room for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.reports.briefing.docx import PAGE_MM, compute_column_shares
from flycam.reports.layout import Table

WIDEST_LETTER_MM = 1.95
"""Of 9.5 pt in DejaVu Serif on the average of a word, which stands in where Times New Roman is missing."""

COMMUNES = Table(
    head=("TT", "Xã, phường", "Số thay đổi", "Diện tích", "Đường bị cắt", "Nhà", "Công trình khác"),
    rows=(
        (
            "1",
            "Xã Bản Mô Phỏng",
            "2",
            "1.232,74 ha",
            "QL.4D (120 m); đường không tên",
            "12 trong vùng",
            "chưa biết",
        ),
    ),
    numeric=(0, 2, 3),
)


def test_a_number_and_a_word_are_not_broken() -> None:
    shares = compute_column_shares(COMMUNES)
    widths = [share * PAGE_MM for share in shares]
    for column, text in ((0, "TT"), (2, "thay"), (3, "1.232,74 ha"), (4, "(120"), (6, "Công")):
        assert widths[column] >= WIDEST_LETTER_MM * len(text) + 4.0, text


@given(
    st.lists(
        st.lists(st.text("ab đ", max_size=90), min_size=3, max_size=3).map(tuple), min_size=1, max_size=6
    ).map(tuple)
)
def test_the_columns_fill_the_page(rows: tuple[tuple[str, str, str], ...]) -> None:
    shares = compute_column_shares(Table(head=("TT", "Tên", "Ghi chú"), rows=rows, numeric=(0,)))
    assert sum(shares) == pytest.approx(1.0) and min(shares) > 0.02
