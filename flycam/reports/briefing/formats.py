"""Briefing pack as files to read: a DOCX to edit, slides as PPTX, a PDF, and a viewer page."""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import docx
import numpy as np
import typst
from docx.enum.text import WD_ALIGN_PARAGRAPH as ALIGN
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Mm, Pt, RGBColor
from pptx import Presentation
from pptx.dml.color import RGBColor as SlideColor
from pptx.enum.text import MSO_ANCHOR, PP_ALIGN
from pptx.util import Pt as SlidePt

from flycam.geodata.kml import make_zip_member
from flycam.messages import Message, _
from flycam.model.text import to_visible, to_visible_lines
from flycam.reports.briefing.changes import LOCATOR
from flycam.reports.briefing.document import PackBlock, PackDocument, PageBreak, SignatureBlock
from flycam.reports.briefing.maps import read_size_px
from flycam.reports.layout import (
    Block,
    Facts,
    Figure,
    FigureRow,
    Heading,
    Paragraph,
    Table,
    to_typst_block,
    wrap_picture_svg,
)

# -- Office Open XML: properties, and bytes that depend on contents alone --------------------------


def set_office_properties(properties: Any, document: PackDocument) -> None:
    """Set title, author and time of a file, which its template has of its own."""
    made = datetime.fromtimestamp(document.made_ns // 10**9, UTC).replace(tzinfo=None)
    properties.title = to_visible(f"{document.title} – {document.about}")[:255]
    properties.author, properties.last_modified_by = "flycam", "flycam"
    properties.comments = properties.keywords = properties.subject = properties.category = ""
    properties.language, properties.revision = document.language, 1
    properties.created = properties.modified = made


def drop_thumbnail(relations: Any) -> None:
    """Take the picture of the library's own template out of a package's relations."""
    for name in [name for name, one in relations.items() if one.reltype.endswith("/thumbnail")]:
        relations.pop(name)


def pack_office_file(data: bytes) -> bytes:
    """Return the archive with the same members, in order of their names, without the time of writing."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w") as target:
        # a reader looks for the content types first
        for name in sorted(source.namelist(), key=lambda name: (name != "[Content_Types].xml", name)):
            is_picture = name.endswith((".jpg", ".jpeg", ".png"))
            kind = zipfile.ZIP_STORED if is_picture else zipfile.ZIP_DEFLATED
            target.writestr(make_zip_member(name, kind), source.read(name))
    return out.getvalue()


# -- Quick report as DOCX, with text, tables and images ---------------------------------------------


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
    # the letterhead, two columns without lines, and the title
    head = document.letterhead
    left, right = _add_table(out, 1, (0.4, 0.6), is_lined=False).rows[0].cells
    parent = [(head.parent.upper(), _PLAIN)] if head.parent else []
    _fill(left, [*parent, (head.issuer.upper(), _BOLD), (document.number, _PLAIN)], ALIGN.CENTER)
    motto = [(line, _BOLD) for line in document.motto]
    _fill(right, [*motto, (document.dateline, TextStyle(italic=True))], ALIGN.CENTER)
    _add_paragraph(out, "", _PLAIN)
    _add_paragraph(out, document.title, TextStyle(bold=True, size_pt=14.0), ALIGN.CENTER)
    _add_paragraph(out, document.about, _BOLD, ALIGN.CENTER)
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
    for __ in range(int((PAGE_MM - sum(widths)) // _STEP_MM)):
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


# -- Slides, 16:9: one image and a caption that is read from five metres ---------------------------


_WIDTH, _HEIGHT = 960, 540
"""Size of a slide in points: 13.3 by 7.5 inches, what office programs call wide."""
_BAND, _FOOT, _OVER, _MARGIN = 35, 115, 26, 20
"""Heights of an exercise's mark, of the caption and of the words over a pair, and the caption's margin."""
_DARK, _WHITE = SlideColor(0x10, 0x14, 0x18), SlideColor(0xFF, 0xFF, 0xFF)
_SLIDE_MARK, _SLIDE_DRAFT = SlideColor(0x7A, 0x0F, 0x6B), SlideColor(0xFF, 0x8A, 0x8A)
_SLIDE_FONT, _BLANK_LAYOUT = "Arial", 6


def to_pptx(document: PackDocument) -> bytes:
    """Return the pack's slides as a PPTX; equal packs give equal bytes."""
    out = Presentation()
    out.slide_width, out.slide_height = SlidePt(_WIDTH), SlidePt(_HEIGHT)
    for slide in document.slides:
        made = out.slides.add_slide(out.slide_layouts[_BLANK_LAYOUT])
        made.background.fill.solid()
        made.background.fill.fore_color.rgb = _DARK
        top = _BAND if document.mark else 0
        if document.mark:
            mark = _add_text(made, (0, 0, _WIDTH, _BAND), document.mark, 23, PP_ALIGN.CENTER)
            mark.fill.solid()
            mark.fill.fore_color.rgb = _SLIDE_MARK
        if slide.is_pair:
            half = _WIDTH / 2
            for left, word in ((0.0, _("BEFORE")), (half, _("AFTER"))):
                text = word.in_language(document.language)
                _add_text(made, (left, top, half, _OVER), text, 20, PP_ALIGN.CENTER)
            top += _OVER
        _add_picture(made, document.slide_pictures[slide.picture], top, slide.title)
        foot = _HEIGHT - _FOOT
        room = _WIDTH - 2 * _MARGIN
        aside = 0.3 * room if document.draft else 0.0
        # a long name is smaller: it stays on two lines, and beside what says that it is a draft
        size_pt = 18 if len(slide.title) > 90 else 21 if len(slide.title) > 55 else 24
        _add_text(made, (_MARGIN, foot, room - aside, _FOOT / 2), slide.title, size_pt)
        if document.draft:
            draft = (_WIDTH - _MARGIN - aside, foot, aside, _FOOT / 2)
            _add_text(made, draft, document.draft, 20, PP_ALIGN.RIGHT, _SLIDE_DRAFT)
        _add_text(made, (_MARGIN, foot + _FOOT / 2, room, _FOOT / 2), slide.line, 15, is_bold=False)
    set_office_properties(out.core_properties, document)
    drop_thumbnail(out.part.package._rels)
    written = io.BytesIO()
    out.save(written)
    return pack_office_file(written.getvalue())


def _add_picture(slide: Any, picture: bytes, top: float, description: str) -> None:
    """Add an image as large as its room, in the middle of it."""
    cols, rows = read_size_px(picture)
    room = _HEIGHT - _FOOT - top
    scale = min(_WIDTH / cols, room / rows)
    left, above = (_WIDTH - cols * scale) / 2, top + (room - rows * scale) / 2
    drawn = slide.shapes.add_picture(
        io.BytesIO(picture), SlidePt(left), SlidePt(above), SlidePt(cols * scale), SlidePt(rows * scale)
    )
    drawn._element.nvPicPr.cNvPr.set("descr", to_visible_lines(description))


def _add_text(
    slide: Any,
    box: tuple[float, float, float, float],
    text: str,
    size_pt: float,
    align: Any = PP_ALIGN.LEFT,
    colour: SlideColor = _WHITE,
    *,
    is_bold: bool = True,
) -> Any:
    """Add text in a box (left, top, width, height in points), in its middle; return the shape."""
    shape = slide.shapes.add_textbox(*map(SlidePt, box))
    frame = shape.text_frame
    frame.word_wrap, frame.vertical_anchor = True, MSO_ANCHOR.MIDDLE
    frame.margin_left = frame.margin_right = frame.margin_top = frame.margin_bottom = 0
    paragraph = frame.paragraphs[0]
    paragraph.alignment = align
    run = paragraph.add_run()
    run.text = to_visible_lines(text)
    run.font.name, run.font.size, run.font.bold, run.font.color.rgb = (
        _SLIDE_FONT,
        SlidePt(size_pt),
        is_bold,
        colour,
    )
    return shape


# -- PDF, and a viewer page ------------------------------------------------------------------------
#
# The PDF is A4 or A3, set by Typst. As in the quality report only Typst's own fonts are used, and the only
# time is the document's own.


_HERE = Path(__file__).parent

_PICTURE_HEIGHTS_MM = (110.0, 98.0, 86.0, 76.0, 68.0, 60.0)
"""Heights of an image on A4: the usual one, then smaller ones to save a page."""


def to_pack_pdf(document: PackDocument, paper: str = "a4") -> bytes:
    """Return the pack as a PDF on paper of "a4" or "a3"."""
    # sources by name, which its type hints do not know
    files: Any = build_typst_sources(document, paper)
    made_s = document.made_ns // 10**9
    return bytes(typst.compile(files, format="pdf", ignore_system_fonts=True, timestamp=made_s))


def to_drill_band(mark: str) -> bytes:
    """Return the mark on every page of an exercise as a PNG, 96 px high."""
    template = (_HERE / "drill_band.typ").read_text(encoding="utf-8").replace("MARK", mark)
    files: Any = {"main.typ": template.encode()}
    return _pages(typst.compile(files, format="png", ppi=144.0, ignore_system_fonts=True))[0]


def build_typst_sources(document: PackDocument, paper: str = "a4") -> dict[str, bytes]:
    """Return Typst's sources for the PDF by file name: template, content and images.

    The images of each part are so tall that no page is begun for a few rows.
    """
    files = {
        "main.typ": (_HERE / "pack.typ").read_bytes(),
        **{
            f"{name}.svg": wrap_picture_svg(picture, read_size_px(picture))
            for name, picture in document.pictures.items()
        },
    }
    head = document.letterhead
    content = {
        "paper": paper,
        "language": document.language,
        "title": document.title,
        "about": document.about,
        "mark": document.mark,
        "draft": document.draft,
        "footer": document.footer,
        "page_word": document.page_word,
        "parent": head.parent,
        "issuer": head.issuer,
        "number": document.number,
        "dateline": document.dateline,
        "motto": document.motto,
        "recipients_word": document.recipients_word,
        "recipients": head.recipients,
        "signer_title": head.signer_title,
        "signer_name": document.signer_name,
        "closing": document.closing,
        "pair_words": [one.in_language(document.language) for one in (_("BEFORE"), _("AFTER"))],
        "blocks": [_block(block) for block in document.blocks],
    }

    def with_tallest(tallest_mm: Sequence[float]) -> dict[str, bytes]:
        content_json = json.dumps({**content, "tallest": tallest_mm}, ensure_ascii=False)
        return {**files, "pack.json": content_json.encode()}

    parts = 1 + sum(isinstance(one, PageBreak) for one in document.blocks)
    return with_tallest(choose_picture_heights(parts, lambda tallest_mm: _ends(with_tallest(tallest_mm))))


def choose_picture_heights(
    parts: int, count_pages: Callable[[Sequence[float]], Sequence[int]]
) -> list[float]:
    """Choose the image height of each part, millimetres.

    As tall as they may be on as few pages as the smallest would need. count_pages: the page (from 1) on which
    each part ends with images so tall; it takes long, and is called no more often than a page may be saved.
    """
    usual, *between, smallest = _PICTURE_HEIGHTS_MM
    fewest = counts = _page_counts(count_pages([usual] * parts))
    if any(count > 1 for count in counts):
        fewest = [
            min(both) for both in zip(counts, _page_counts(count_pages([smallest] * parts)), strict=True)
        ]
    settled = [usual if counts[n] == fewest[n] else smallest for n in range(parts)]
    for size in between:
        if smallest not in settled:
            break
        counts = _page_counts(count_pages([size] * parts))
        settled = [
            size if had == smallest and counts[n] == fewest[n] else had for n, had in enumerate(settled)
        ]
    return settled


def _page_counts(ends: Sequence[int]) -> list[int]:
    return [end - last for end, last in zip(ends, [0, *ends], strict=False)]


def _ends(files: Any) -> list[int]:
    return [
        int(page) for page in json.loads(typst.query(files, "<end>", field="value", ignore_system_fonts=True))
    ]


def _block(block: PackBlock) -> Mapping[str, Any]:
    if isinstance(block, PageBreak):
        return {"kind": "break"}
    if isinstance(block, SignatureBlock):
        return {"kind": "signature"}
    typst_block = to_typst_block(block)
    if not isinstance(block, Table):
        return typst_block
    is_hashes = any(len(value) == _HASH_DIGITS for row in block.rows for value in row)
    return {**typst_block, "shares": [] if is_hashes else compute_column_shares(block)}


def _pages(made: Any) -> list[bytes]:
    """Return pages as a list: Typst gives one page as bytes, several as a list."""
    return [bytes(made)] if isinstance(made, bytes | bytearray) else [bytes(page) for page in made]


# -- Viewer page, which opens from a USB stick without a server ------------------------------------
#
# A browser lets a page of `file://` load images and classic scripts, but no module and no request: so the
# script is in the page, and all that is shown are images beside it. Without scripts the links open them.


_STYLE = Path(__file__).with_name("pack_viewer.css")
_SCRIPT = Path(__file__).with_name("pack_viewer.js")


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewerPicture:
    """Image of the viewer: file relative to the page, name in the list, and caption."""

    file: str
    name: str
    caption: str


def to_viewer(
    document: PackDocument,
    pictures: Sequence[ViewerPicture],
    files: Sequence[str],
    unseen: Sequence[str] = (),
) -> bytes:
    """Return the page, UTF-8, for at least one image.

    `files` are offered for opening, `unseen` are confirmed changes without an image of their own.
    """
    return "\n".join(_page(document, pictures, files, unseen)).encode()


def _page(
    document: PackDocument, pictures: Sequence[ViewerPicture], files: Sequence[str], unseen: Sequence[str]
) -> Iterator[str]:
    def put(message: Message) -> str:
        return escape(message.in_language(document.language))

    title, opened = _("Meeting pack"), _("Files")
    unpaired = _("Confirmed changes without pictures before and after:")
    how = _(
        "Choose a picture in the list; scroll, double-click or press + and − to zoom, drag to move, arrow"
        " keys for the next one."
    )
    mark = f"{document.mark} – " if document.mark else ""
    yield f'<!doctype html>\n<html lang="{document.language}">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{mark}{escape(document.title)} – {escape(document.about)}</title>"
    yield f"<style>\n{_STYLE.read_text(encoding='utf-8')}</style>\n</head>\n<body>"
    for kind, text in (("mark", document.mark), ("draft", document.draft)):
        if text:
            yield f'<div class="{kind}">{escape(text)}</div>'
    yield f"<main>\n<nav><h1>{put(title)}</h1>"
    yield f"<p>{escape(document.about)}</p><p>{escape(document.footer)}</p>"
    approval = document.approval
    yield f'<p class="approval {approval.kind}">{escape(approval.text)}</p>'
    yield f"<p>{put(how)}</p>"
    yield from (f'<p class="approval {one.kind}">{escape(one.text)}</p>' for one in document.first)
    if document.covered:
        yield f"<p>{escape(document.covered)}</p>"
    for one in pictures:
        yield (
            f'<a href="{quote(one.file)}" data-picture="{escape(one.caption, quote=True)}">'
            f"{escape(one.name)}</a>"
        )
    if unseen:
        yield f"<p>{put(unpaired)}</p>"
        yield from (f'<p class="unseen">{escape(one)}</p>' for one in unseen)
    yield f"<h2>{put(opened)}</h2>"
    yield from (f'<a href="{quote(name)}">{escape(name)}</a>' for name in files)
    first = pictures[0]
    yield "</nav>\n<figure>"
    picture = f'src="{quote(first.file)}" alt="{escape(first.caption, quote=True)}"'
    yield f'<div class="frame"><img id="picture" {picture}></div>'
    yield f'<figcaption id="caption">{escape(first.caption)}</figcaption></figure>\n</main>'
    yield f"<script>\n{_SCRIPT.read_text(encoding='utf-8')}</script>\n</body>\n</html>\n"
