"""Blocks of reports."""

from __future__ import annotations

from flycam.reports.layout import Table, drop_empty_columns


def test_a_column_without_a_word_takes_no_room() -> None:
    table = Table(
        head=("TT", "Ghi chú", "Loại", "Số"), rows=(("1", "", "a", "2"), ("2", "", "", "3")), numeric=(0, 3)
    )
    kept = drop_empty_columns(table)
    assert kept == Table(head=("TT", "Loại", "Số"), rows=(("1", "a", "2"), ("2", "", "3")), numeric=(0, 2)), (
        "one that has a word in any row stays"
    )
    assert drop_empty_columns(kept) == kept
