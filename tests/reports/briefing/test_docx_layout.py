"""Pictures of a DOCX give way to what would begin another page."""

from __future__ import annotations

from itertools import pairwise

import pytest

from flycam.reports.briefing.docx import TEXT_MM, compute_column_shares, compute_max_picture_mm
from flycam.reports.layout import Block, Facts, Figure, FigureRow, Heading, Paragraph, Table

USUAL, LEAST = 118.0, 60.0


def page(rows: int, words: str = "đất đá tràn qua đường") -> list[Block]:
    return [
        Heading(text="1. Xã Bản Mô Phỏng"),
        FigureRow(figures=(Figure(picture="commune-1", caption="Ảnh chụp ngày 12/09/2024"),), columns=1),
        Facts(rows=(("Đã chụp", "12,3 %"),) * 5),
        Table(head=("TT", "Loại", "Ghi chú"), rows=(("1", "Đường tắc", words),) * rows, numeric=(0,)),
        Paragraph(text="Chưa so sánh ảnh ở đây.", kind="small"),
    ]


def tallest(rows: int, words: str = "đất đá tràn qua đường", usual: float = USUAL) -> float:
    return compute_max_picture_mm(page(rows, words), compute_column_shares, usual, LEAST)


def test_each_row_too_many_takes_the_same_from_the_picture_until_too_little_is_left() -> None:
    heights = [tallest(rows) for rows in range(60)]
    first = next(n for n, height in enumerate(heights) if height < USUAL)
    given_way = heights[first : heights.index(USUAL, first)]
    steps = {round(before - after, 6) for before, after in pairwise(given_way)}
    assert len(given_way) > 5 and len(steps) == 1 and min(given_way) >= LEAST
    assert heights[0] == heights[-1] == USUAL, "a long table has pages of its own"


def test_long_texts_take_more_lines() -> None:
    rows = next(n for n in range(60) if tallest(n) < USUAL) - 1
    assert (
        tallest(rows, "đất đá tràn qua đường, xe không qua được, phải đi vòng " * 2) < tallest(rows) == USUAL
    )


@pytest.mark.parametrize("height", [40.0, 95.0, USUAL])
def test_what_is_left_of_a_picture_is_never_more_than_its_own_height(height: float) -> None:
    assert tallest(10, usual=height) <= height < TEXT_MM
