"""Estimated heights of blocks in a DOCX, so that images shrink to fit a page.

The word processor sets the pages. Estimated from letters and lines, a little too tall rather than too small.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from flycam.report.blocks import Block, Facts, FigureRow, Heading, Paragraph, Table
from flycam.report.docx_xml import PAGE_MM

TEXT_MM = 255.0
"""Height of the text on A4 without its margins."""
FACTS_COLUMN_SHARES = (0.39, 0.61)
_MM_PER_PT = 25.4 / 72.0
# shares of the letter size: height of a line, and mean width of a letter
_LINE, _LETTER = (
    1.17,
    0.47,
)
# for fonts wider than Times, which stand in where that is missing
_SPARE_MM = 8.0
_USUAL_PT, _SMALL_PT, _CELL_PT = 13.0, 10.0, 9.5
_AROUND_MM, _HEADING_MM, _CELL_RIMS_MM = 1.5, 5.0, 4.5

ColumnShares = Callable[[Table[str]], Sequence[float]]


def compute_max_picture_mm(
    blocks: Sequence[Block], shares: ColumnShares, usual_mm: float, min_mm: float
) -> float:
    """Return the image height at which these blocks fit on one page, millimetres.

    `usual_mm` where they do, and where less than `min_mm` would be left. shares: of the width, of a table's
    columns.
    """
    plates = sum(len(one.figures) for one in blocks if isinstance(one, FigureRow))
    if not plates:
        return usual_mm
    over = _SPARE_MM + sum(_height_mm(one, shares, usual_mm) for one in blocks) - TEXT_MM
    most = usual_mm - max(over, 0.0) / plates
    return most if most >= min_mm else usual_mm


def _height_mm(block: Block, shares: ColumnShares, picture_mm: float) -> float:
    match block:
        case Heading():
            return _HEADING_MM + _lines_mm(block.text, _USUAL_PT, PAGE_MM)
        case Paragraph():
            size_pt = _SMALL_PT if block.kind == "small" else _USUAL_PT
            return _AROUND_MM + _lines_mm(block.text, size_pt, PAGE_MM)
        case Facts():
            return sum(_row_mm(row, FACTS_COLUMN_SHARES) for row in block.rows) + _line_mm(4.0) + _AROUND_MM
        case Table():
            widths = shares(block)
            rows = sum(_row_mm(row, widths) for row in (block.head, *block.rows))
            return rows + _line_mm(4.0) + _AROUND_MM
        case FigureRow():
            captions = sum(_lines_mm(one.caption, _SMALL_PT, PAGE_MM) for one in block.figures)
            return captions + len(block.figures) * (picture_mm + 2 * _AROUND_MM)


def _row_mm(row: Sequence[str], shares: Sequence[float]) -> float:
    cells = (
        _lines_mm(text, _CELL_PT, PAGE_MM * share - _CELL_RIMS_MM)
        for text, share in zip(row, shares, strict=True)
    )
    return max(cells) + _AROUND_MM


def _lines_mm(text: str, size_pt: float, width_mm: float) -> float:
    letters = max(width_mm / (size_pt * _LETTER * _MM_PER_PT), 1.0)
    lines = sum(max(math.ceil(len(line) / letters), 1) for line in text.split("\n"))
    return lines * _line_mm(size_pt)


def _line_mm(size_pt: float) -> float:
    return size_pt * _LINE * _MM_PER_PT
