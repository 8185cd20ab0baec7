"""Briefing pack as DOCX with text, tables and images, which an office can edit."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import docx
import numpy as np
from docx.enum.text import WD_ALIGN_PARAGRAPH as ALIGN
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Mm, Pt, RGBColor

from flycam.model.text import to_visible_lines
from flycam.reports.briefing.document import PackDocument, PageBreak, SignatureBlock
from flycam.reports.briefing.maps import read_size_px
from flycam.reports.briefing.office import drop_thumbnail, pack_office_file, set_office_properties
from flycam.reports.briefing.texts import LOCATOR
from flycam.reports.layout import Block, Facts, Figure, FigureRow, Heading, Paragraph, Table

PAGE_MM = 170.0
"""Width of the text: A4 with 25 mm at the left and 15 mm at the right."""
TEXT_MM = 255.0
"""Height of the text on A4 without its margins."""
FACTS_COLUMN_SHARES = (0.39, 0.61)
_MARGINS_MM = {
    "top_margin": 22,
    "right_margin": 15,
    "bottom_margin": 20,
    "left_margin": 25,
    "header_distance": 10,
    "footer_distance": 10,
}
_FONT = "Times New Roman"
_HASH_DIGITS = 64
_TALLEST_MM, _MIN_MM, _LOCATOR_MM = 118.0, 60.0, 75.0
"""Height of an image: usual, least on a full page, most for the locator map."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TextStyle:
    """Style of text; `size_pt` None: the document's own."""

    bold: bool = False
    italic: bool = False
    size_pt: float | None = None
    colour: str = ""


_PLAIN, _BOLD, _CELL, _GAP = TextStyle(), TextStyle(bold=True), TextStyle(size_pt=9.5), TextStyle(size_pt=4.0)
_STYLES = {
    "": _PLAIN,
    "lead": _PLAIN,
    "small": TextStyle(size_pt=10.0, colour="464646"),
    "good": TextStyle(colour="1B7837", bold=True),
    "care": TextStyle(colour="8A6508", bold=True),
    "bad": TextStyle(colour="B00020", bold=True),
}


def to_docx(document: PackDocument) -> bytes:
    """Return the pack as a DOCX; equal packs give equal bytes."""
    out = docx.Document()
    _set_page(out, document)
    _add_head(out, document)
    _add_body(out, document)
    set_office_properties(out.core_properties, document)
    drop_thumbnail(out.part.package.rels)
    written = io.BytesIO()
    out.save(written)
    return pack_office_file(written.getvalue())


def _set_page(out: Any, document: PackDocument) -> None:
    """Set paper, font and headings; the marks over every page, and the number under it."""
    section = out.sections[0]
    section.page_width, section.page_height = Mm(210), Mm(297)
    for name, margin_mm in _MARGINS_MM.items():
        setattr(section, name, Mm(margin_mm))
    for name in ("Normal", "Heading 1"):
        style = out.styles[name]
        style.font.name, style.font.size, style.font.color.rgb = _FONT, Pt(13.0), RGBColor(0, 0, 0)
        fonts = style.element.rPr.rFonts
        for theme in [key for key in fonts.attrib if key.endswith("Theme")]:
            del fonts.attrib[theme]
        for kind in ("w:cs", "w:eastAsia", "w:hAnsi"):
            fonts.set(qn(kind), _FONT)
        space = style.paragraph_format
        space.space_before, space.space_after = (Pt(2), Pt(2)) if name == "Normal" else (Pt(10), Pt(4))
        space.line_spacing = 1.0
    for language in out.styles.element.iter(qn("w:lang")):
        language.set(qn("w:val"), {"vi": "vi-VN"}.get(document.language, "en-GB"))
    marks, foot = section.header, section.footer.paragraphs[0]
    first = marks.paragraphs[0]
    if document.mark:
        _write(first, document.mark, TextStyle(bold=True, size_pt=13.0, colour="FFFFFF"), ALIGN.CENTER)
        shade = _make_element("w:shd", val="clear", color="auto", fill="7A0F6B")
        # Word refuses a file whose elements are not in the schema's order
        first._p.get_or_add_pPr().insert_element_before(shade, "w:spacing", "w:ind", "w:jc")
        first = marks.add_paragraph() if document.draft else first
    if document.draft or not document.mark:
        _write(first, document.draft, TextStyle(bold=True, size_pt=12.0, colour="B00020"), ALIGN.RIGHT)
    small = TextStyle(size_pt=8.0, colour="464646")
    _write(foot, f"{document.footer} · {document.page_word} ", small, ALIGN.RIGHT)
    for field, text in (("PAGE", " / "), ("NUMPAGES", "")):
        number = _make_element("w:fldSimple", instr=field)
        foot._p.append(number)
        number.append(_write(foot, "1", small, ALIGN.RIGHT)._r)
        _write(foot, text, small, ALIGN.RIGHT)


def _add_head(out: Any, document: PackDocument) -> None:
    """Add the letterhead, two columns without lines, and the title."""
    head = document.letterhead
    left, right = _add_table(out, 1, (0.4, 0.6), is_lined=False).rows[0].cells
    parent = [(head.parent.upper(), _PLAIN)] if head.parent else []
    _fill(left, [*parent, (head.issuer.upper(), _BOLD), (document.number, _PLAIN)], ALIGN.CENTER)
    motto = [(line, _BOLD) for line in document.motto]
    _fill(right, [*motto, (document.dateline, TextStyle(italic=True))], ALIGN.CENTER)
    _add_paragraph(out, "", _PLAIN)
    _add_paragraph(out, document.title, TextStyle(bold=True, size_pt=14.0), ALIGN.CENTER)
    _add_paragraph(out, document.about, _BOLD, ALIGN.CENTER)


def _add_body(out: Any, document: PackDocument) -> None:
    tallest_mm = _TALLEST_MM
    for number, block in enumerate(document.blocks):
        match block:
            case PageBreak():
                tallest_mm = _compute_max_picture_mm(document, number + 1)
            case SignatureBlock():
                _add_signature(out, document)
            case Heading():
                heading = out.add_paragraph(style="Heading 1")
                _write(heading, block.text, _BOLD)
                # a break of its own would be a line, and begin a new page where the one before is full
                heading.paragraph_format.page_break_before = number > 0 and isinstance(
                    document.blocks[number - 1], PageBreak
                )
            case Paragraph():
                is_last = SignatureBlock() in document.blocks[number + 1 : number + 2]
                one = _add_paragraph(out, block.text, _STYLES[block.kind])
                one.paragraph_format.keep_with_next = is_last
            case Facts():
                table = _add_table(out, len(block.rows), FACTS_COLUMN_SHARES)
                for row, texts in zip(table.rows, block.rows, strict=True):
                    for cell, text in zip(row.cells, texts, strict=True):
                        _fill(cell, [(text, _CELL)])
                _add_paragraph(out, "", _GAP)
            case Table():
                _add_listing(out, block)
                _add_paragraph(out, "", _GAP)
            case FigureRow():
                for figure in block.figures:
                    _add_figure(out, document, figure, tallest_mm)


def _add_listing(out: Any, block: Table[str]) -> None:
    """Add a table whose head is repeated on every page."""
    table = _add_table(out, 1 + len(block.rows), compute_column_shares(block))
    table.rows[0]._tr.get_or_add_trPr().append(_make_element("w:tblHeader"))
    for number, (row, texts) in enumerate(zip(table.rows, (block.head, *block.rows), strict=True)):
        for column, (cell, text) in enumerate(zip(row.cells, texts, strict=True)):
            is_hash = number > 0 and len(text) == _HASH_DIGITS
            style = TextStyle(bold=number == 0, size_pt=7.0 if is_hash else 9.5)
            is_right = number > 0 and column in block.numeric
            _fill(cell, [(text, style)], ALIGN.RIGHT if is_right else ALIGN.LEFT)


def _add_figure(out: Any, document: PackDocument, figure: Figure[str], tallest_mm: float) -> None:
    picture = document.pictures[figure.picture]
    cols, rows = read_size_px(picture)
    tallest_mm = min(tallest_mm, _LOCATOR_MM) if figure.picture == LOCATOR else tallest_mm
    one = _add_paragraph(out, "", _PLAIN, ALIGN.CENTER)
    one.paragraph_format.keep_with_next = True
    drawn = one.add_run().add_picture(io.BytesIO(picture), width=Mm(min(PAGE_MM, tallest_mm * cols / rows)))
    drawn._inline.docPr.set("descr", to_visible_lines(figure.caption))
    _add_paragraph(out, figure.caption, TextStyle(italic=True, size_pt=10.0))


def _add_signature(out: Any, document: PackDocument) -> None:
    """Add the closing sentence, recipients and signer, kept together on one page."""
    head = document.letterhead
    _add_paragraph(out, document.closing, _PLAIN).paragraph_format.keep_with_next = True
    left, right = _add_table(out, 1, (0.5, 0.5), is_lined=False).rows[0].cells
    word = (document.recipients_word, TextStyle(bold=True, italic=True, size_pt=10.5))
    _fill(left, [word, *((f"- {one};", TextStyle(size_pt=10.5)) for one in head.recipients)])
    signer = [(head.signer_title.upper(), _BOLD), *[("", _PLAIN)] * 3, (document.signer_name, _BOLD)]
    _fill(right, signer, ALIGN.CENTER)
    _add_paragraph(out, "", _PLAIN)


def _add_paragraph(out: Any, text: str, style: TextStyle, align: Any = ALIGN.LEFT) -> Any:
    one = out.add_paragraph()
    _write(one, text, style, align)
    return one


def _write(paragraph: Any, text: str, style: TextStyle, align: Any = ALIGN.LEFT) -> Any:
    """Append text to a paragraph in one style, and return it; line ends are kept."""
    paragraph.alignment = align
    run = paragraph.add_run(to_visible_lines(text))
    run.bold, run.italic = style.bold or None, style.italic or None
    run.font.size = None if style.size_pt is None else Pt(style.size_pt)
    if style.colour:
        run.font.color.rgb = RGBColor.from_string(style.colour)
    return run


def _add_table(out: Any, rows: int, shares: Sequence[float], *, is_lined: bool = True) -> Any:
    """Add an empty table; its columns' widths are shares of the text's width."""
    table = out.add_table(rows, len(shares))
    table.autofit = False
    line = "single" if is_lined else "none"
    borders = _make_element("w:tblBorders")
    for side in ("top", "left", "bottom", "right", "insideH", "insideV"):
        borders.append(_make_element(f"w:{side}", val=line, sz=4, space=0, color="969696"))
    table._tbl.tblPr.insert_element_before(borders, "w:tblLayout", "w:tblLook")
    for column, share in zip(table.columns, shares, strict=True):
        column.width = Mm(PAGE_MM * share)
    for row in table.rows:
        row._tr.get_or_add_trPr().append(_make_element("w:cantSplit"))
        for cell, share in zip(row.cells, shares, strict=True):
            cell.width = Mm(PAGE_MM * share)
    return table


def _fill(cell: Any, lines: Iterable[tuple[str, TextStyle]], align: Any = ALIGN.LEFT) -> None:
    """Write paragraphs into an empty cell, which has one already."""
    for number, (text, style) in enumerate(lines):
        _write(cell.add_paragraph() if number else cell.paragraphs[0], text, style, align)


def _make_element(tag: str, **values: object) -> Any:
    """Make an element that the library has no name for, with attributes of WordprocessingML."""
    made = OxmlElement(tag)
    for name, value in values.items():
        made.set(qn(f"w:{name}"), str(value))
    return made


# -- Estimated heights of blocks, so that images shrink to fit a page ------------------------------
#
# The word processor sets the pages. Heights are estimated from letters and lines, a little too tall rather
# than too small.


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


# -- Widths of columns, and images on a page -------------------------------------------------------


# of a table's text in the widest of usual fonts; a cell's rims
_LETTER_MM, _CELL_MM = 2.0, 4.5
_FEWEST, _LONG_WORD, _LONG_NUMBER, _SHORT_TEXT = 3, 24, 14, 8  # letters
# mean letter width; step by which columns are widened
_USUAL_LETTER_MM, _STEP_MM = 1.65, 2.0


def compute_column_shares(block: Table[str]) -> list[float]:
    """Return column widths as shares of the page's width.

    Each column is first as wide as its longest word (a number, and a short text, as the whole of it), then
    what is left goes to the columns that make rows tall, step by step.
    """
    rows = (block.head, *block.rows)
    columns = list(zip(*rows, strict=True))
    widths = [
        _CELL_MM
        + _LETTER_MM
        * max(
            _FEWEST,
            *(_unbroken(text, row > 0 and number in block.numeric) for row, text in enumerate(column)),
        )
        for number, column in enumerate(columns)
    ]
    letters = np.array([[len(text) for text in row] for row in rows], np.float64)
    for _ in range(int((PAGE_MM - sum(widths)) // _STEP_MM)):
        lines = np.ceil(letters * _USUAL_LETTER_MM / (np.array(widths) - _CELL_MM))
        # a row is as tall as its tallest cell: widening another column gains nothing
        taken = (lines - 1.0) * (lines >= lines.max(axis=1, keepdims=True))
        weight = taken.sum(axis=0)
        if not weight.any():
            break
        widths[int(weight.argmax())] += _STEP_MM
    return [width / sum(widths) for width in widths]


def _unbroken(text: str, is_number: bool) -> int:
    """Return the number of letters of a cell that stay on one line.

    Numbers and short texts ("81 days") count whole, else the longest word; hashes are set small and may
    break. No-break spaces do not break: "0.30 ± 0.02 ha" is one word.
    """
    if len(text) <= (_LONG_NUMBER if is_number else _SHORT_TEXT):
        return len(text)
    return min(max(map(len, text.split(" ")), default=0), _LONG_WORD)


def _compute_max_picture_mm(document: PackDocument, start: int) -> float:
    """Return the image height on the page that begins with this block, millimetres."""
    page: list[Block] = []
    for block in document.blocks[start:]:
        if isinstance(block, PageBreak | SignatureBlock):
            break
        page.append(block)
    names = {one.picture for block in page if isinstance(block, FigureRow) for one in block.figures}
    sizes = [read_size_px(document.pictures[name]) for name in names]
    usual_mm = max((min(_TALLEST_MM, PAGE_MM * rows / cols) for cols, rows in sizes), default=_TALLEST_MM)
    return compute_max_picture_mm(page, compute_column_shares, usual_mm, _MIN_MM)
