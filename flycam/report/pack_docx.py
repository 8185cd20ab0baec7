"""Briefing pack as DOCX, so that an office can edit it.

WordprocessingML by hand (ECMA-376, part 1): five small parts in a ZIP are all that Word and LibreOffice ask
for; a library is not worth its weight here. The same document has the same bytes.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence

import numpy as np

from flycam.report.blocks import Block, Facts, Figure, FigureRow, Heading, Paragraph, Table
from flycam.report.docx_layout import FACTS_COLUMN_SHARES, compute_max_picture_mm
from flycam.report.docx_xml import (
    PAGE_MM,
    TableStyle,
    TextStyle,
    build_content_types_xml,
    build_document_xml,
    build_footer_xml,
    build_header_xml,
    build_package_relations_xml,
    build_paragraph,
    build_part_relations_xml,
    build_picture,
    build_properties_xml,
    build_styles_xml,
    build_table,
)
from flycam.report.pack_content import PackBlock, PackDocument, PageBreak, SignatureBlock
from flycam.report.pack_phrases import LOCATOR
from flycam.report.pack_pictures import read_size_px

# fixed time of ZIP members: the same document has the same bytes
_WHEN = (1980, 1, 1, 0, 0, 0)
_TALLEST_MM, _MIN_MM = 118.0, 60.0
_LOOKS = {
    "": TextStyle(),
    "lead": TextStyle(),
    "small": TextStyle(size_pt=10.0, colour="464646"),
    "good": TextStyle(colour="1B7837", bold=True),
    "care": TextStyle(colour="8A6508", bold=True),
    "bad": TextStyle(colour="B00020", bold=True),
}
_CENTRED = "center"
_TABLE_LOOK = TextStyle(size_pt=9.5)
_HASH_LOOK = TextStyle(size_pt=7.0)
_HASH_DIGITS = 64
_LOCATOR_MM = 75.0
# of a table's text in the widest of usual fonts; a cell's rims
_LETTER_MM, _CELL_MM = 2.0, 4.5
_FEWEST, _LONG_WORD, _LONG_NUMBER, _SHORT_TEXT = 3, 24, 14, 8  # letters
# mean letter width; step by which columns are widened
_USUAL_LETTER_MM, _STEP_MM = 1.65, 2.0


def to_docx(document: PackDocument) -> bytes:
    """Return the pack as a DOCX."""
    shown = [name for name in document.pictures if name in _named(document.blocks)]
    body = "".join([*_head(document), *_body(document, shown)])
    parts = {
        "[Content_Types].xml": build_content_types_xml(),
        "_rels/.rels": build_package_relations_xml(),
        "docProps/core.xml": build_properties_xml(f"{document.title} – {document.about}", document.made_ns),
        "word/document.xml": build_document_xml(body),
        "word/styles.xml": build_styles_xml(document.language),
        "word/header1.xml": build_header_xml(document.mark, document.draft),
        "word/footer1.xml": build_footer_xml(document.footer, document.page_word),
        "word/_rels/document.xml.rels": build_part_relations_xml(len(shown)),
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in parts.items():
            archive.writestr(_member(name, zipfile.ZIP_DEFLATED), text.encode())
        for number, name in enumerate(shown, 1):
            archive.writestr(_member(f"word/media/{number}.jpg", zipfile.ZIP_STORED), document.pictures[name])
    return out.getvalue()


def _member(name: str, packed: int) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, _WHEN)
    member.compress_type = packed
    return member


def _named(blocks: Sequence[PackBlock]) -> set[str]:
    return {figure.picture for block in blocks if isinstance(block, FigureRow) for figure in block.figures}


def _head(document: PackDocument) -> Iterator[str]:
    """Yield the letterhead, two columns without lines, and the title."""
    head, bold = document.letterhead, TextStyle(bold=True)
    left = [build_paragraph(head.parent.upper(), TextStyle(), _CENTRED)] if head.parent else []
    left.append(build_paragraph(head.issuer.upper(), bold, _CENTRED))
    left.append(build_paragraph(document.number, TextStyle(), _CENTRED))
    right = [build_paragraph(line, bold, _CENTRED) for line in document.motto]
    right.append(build_paragraph(document.dateline, TextStyle(italic=True), _CENTRED))
    yield build_table([["".join(left), "".join(right)]], [0.42, 0.58], TableStyle(lined=False))
    yield build_paragraph("", TextStyle())
    yield build_paragraph(document.title, TextStyle(bold=True, size_pt=14.0), _CENTRED)
    yield build_paragraph(document.about, bold, _CENTRED)


def _body(document: PackDocument, shown: Sequence[str]) -> Iterator[str]:
    tallest_mm = _TALLEST_MM
    for number, block in enumerate(document.blocks):
        match block:
            case PageBreak():
                tallest_mm = _max_picture_mm(document, number + 1)
            case SignatureBlock():
                yield from _signature(document)
            case Heading():
                # a break of its own would be a line, and begin a new page where the one before is full
                begins_page = number > 0 and isinstance(document.blocks[number - 1], PageBreak)
                yield build_paragraph(block.text, TextStyle(), style="Heading1", begins_page=begins_page)
            case Paragraph():
                is_last = SignatureBlock() in document.blocks[number + 1 : number + 2]
                yield build_paragraph(block.text, _LOOKS[block.kind], keeps_next=is_last)
            case Facts():
                rows = [
                    [build_paragraph(term, _TABLE_LOOK), build_paragraph(value, _TABLE_LOOK)]
                    for term, value in block.rows
                ]
                yield build_table(rows, FACTS_COLUMN_SHARES, TableStyle()) + build_paragraph(
                    "", TextStyle(size_pt=4.0)
                )
            case Table():
                yield _listing(block) + build_paragraph("", TextStyle(size_pt=4.0))
            case FigureRow():
                for figure in block.figures:
                    yield from _figure(document, figure, shown.index(figure.picture) + 1, tallest_mm)


def _listing(block: Table[str]) -> str:
    head = [build_paragraph(name, TextStyle(bold=True, size_pt=9.5)) for name in block.head]
    rows = [
        [
            build_paragraph(
                text,
                _HASH_LOOK if len(text) == _HASH_DIGITS else _TABLE_LOOK,
                "right" if column in block.numeric else "left",
            )
            for column, text in enumerate(row)
        ]
        for row in block.rows
    ]
    return build_table([head, *rows], compute_column_shares(block), TableStyle(has_head=True))


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

    A number's, a short text's ("81 days"), else the longest word's; those of a hash are small, and
    break. No-break spaces do not break either: "0.30 ± 0.02 ha" is one word.
    """
    if len(text) <= (_LONG_NUMBER if is_number else _SHORT_TEXT):
        return len(text)
    return min(max(map(len, text.split(" ")), default=0), _LONG_WORD)


def _max_picture_mm(document: PackDocument, start: int) -> float:
    """Return the image height on the page that begins with this block, millimetres."""
    page: list[Block] = []
    for block in document.blocks[start:]:
        if isinstance(block, PageBreak | SignatureBlock):
            break
        page.append(block)
    sizes = [read_size_px(document.pictures[name]) for name in _named(page)]
    usual_mm = max((min(_TALLEST_MM, PAGE_MM * rows / cols) for cols, rows in sizes), default=_TALLEST_MM)
    return compute_max_picture_mm(page, compute_column_shares, usual_mm, _MIN_MM)


def _figure(document: PackDocument, figure: Figure[str], number: int, tallest_mm: float) -> Iterator[str]:
    cols, rows = read_size_px(document.pictures[figure.picture])
    tallest_mm = min(tallest_mm, _LOCATOR_MM) if figure.picture == LOCATOR else tallest_mm
    width_mm = min(PAGE_MM, tallest_mm * cols / rows)
    yield build_picture(number, (width_mm, width_mm * rows / cols), figure.caption)
    yield build_paragraph(figure.caption, TextStyle(italic=True, size_pt=10.0))


def _signature(document: PackDocument) -> Iterator[str]:
    """Yield the closing sentence, recipients and signer, kept together on one page."""
    head = document.letterhead
    yield build_paragraph(document.closing, TextStyle(), keeps_next=True)
    left = [build_paragraph(document.recipients_word, TextStyle(bold=True, italic=True, size_pt=10.5))]
    left += [build_paragraph(f"- {one};", TextStyle(size_pt=10.5)) for one in head.recipients]
    right = [build_paragraph(head.signer_title.upper(), TextStyle(bold=True), _CENTRED)]
    right += [build_paragraph("", TextStyle())] * 3
    right.append(build_paragraph(document.signer_name, TextStyle(bold=True), _CENTRED))
    yield build_table([["".join(left), "".join(right)]], [0.5, 0.5], TableStyle(lined=False))
    yield build_paragraph("", TextStyle())
