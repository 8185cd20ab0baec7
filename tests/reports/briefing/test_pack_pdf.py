"""Pages of the meeting pack: no page is begun for a few rows where a smaller picture makes room for them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from flycam.reports.briefing.pdf import choose_picture_heights

PAGE_MM = 250.0


def _laid(texts_mm: Sequence[float], tallest_mm: Sequence[float]) -> list[int]:
    """Parts of one picture and so much text, each beginning a page."""
    ends, page = [], 0
    for text, picture in zip(texts_mm, tallest_mm, strict=True):
        page += math.ceil((text + picture) / PAGE_MM)
        ends.append(page)
    return ends


@pytest.mark.parametrize(
    ("text_mm", "pages", "is_smaller"),
    [(100.0, 1, False), (160.0, 1, True), (410.0, 2, True), (200.0, 2, False), (300.0, 2, False)],
    ids=["has room", "a little over", "over on the third page", "too much to be saved", "a page well filled"],
)
def test_a_page_is_saved_where_a_smaller_picture_saves_it(
    text_mm: float, pages: int, is_smaller: bool
) -> None:
    (usual,) = choose_picture_heights(1, lambda tallest: _laid([0.0], tallest))
    (settled,) = choose_picture_heights(1, lambda tallest: _laid([text_mm], tallest))
    assert (settled < usual) == is_smaller
    assert _laid([text_mm], [settled]) == [pages]


def test_each_part_gives_way_for_itself_and_no_more_than_it_needs() -> None:
    texts = [160.0, 100.0, 180.0, 160.0]
    settled = choose_picture_heights(len(texts), lambda tallest: _laid(texts, tallest))
    assert settled[0] == settled[3] > settled[2] and settled[1] == max(settled)
    assert _laid(texts, settled)[-1] == len(texts)
