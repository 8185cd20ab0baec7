"""Briefing pack as DOCX with text, tables and images.

An office can edit it. The format is WordprocessingML (ECMA-376, part 1), written without a library: five
small parts in a ZIP are all that Word and LibreOffice need.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from flycam.geodata.kml import escape_xml, make_zip_member
from flycam.model.text import to_visible_lines
from flycam.reports.briefing.document import PackBlock, PackDocument, PageBreak, SignatureBlock
from flycam.reports.briefing.maps import read_size_px
from flycam.reports.briefing.texts import LOCATOR
from flycam.reports.layout import Block, Facts, Figure, FigureRow, Heading, Paragraph, Table

PAGE_MM = 170.0
"""Width of the text: A4 with 25 mm at the left and 15 mm at the right."""

_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_DRAWING = "http://schemas.openxmlformats.org/drawingml/2006"
_XML_DECLARATION = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = "application/vnd.openxmlformats-officedocument.wordprocessingml"
_TWIPS_PER_MM, _EMU_PER_MM = 1440.0 / 25.4, 36_000
_FONT = "Times New Roman"
# relations 1 to 3 are styles, header and footer
_FIRST_PICTURE = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class TextStyle:
    """Style of text; `size_pt` None: the document's own."""

    bold: bool = False
    italic: bool = False
    size_pt: float | None = None
    colour: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class TableStyle:
    """Style of a table; has_head: its first row is repeated on every page."""

    lined: bool = True
    has_head: bool = False


def build_paragraph(
    text: str,
    look: TextStyle,
    align: str = "left",
    style: str = "",
    *,
    keeps_next: bool = False,
    begins_page: bool = False,
) -> str:
    """Build a paragraph in one style; line ends are kept.

    keeps_next: on the same page as the next paragraph.
    """
    shape = f'<w:pStyle w:val="{style}"/>' if style else ""
    shape += "<w:keepNext/>" if keeps_next else ""
    shape += "<w:pageBreakBefore/>" if begins_page else ""
    shape += f'<w:jc w:val="{align}"/>' if align != "left" else ""
    return f"<w:p><w:pPr>{shape}</w:pPr>{build_run(text, look)}</w:p>"


def build_run(text: str, look: TextStyle) -> str:
    """Build a run: text inside a paragraph."""
    shape = "<w:b/>" if look.bold else ""
    shape += "<w:i/>" if look.italic else ""
    shape += f'<w:color w:val="{look.colour}"/>' if look.colour else ""
    if look.size_pt is not None:
        half_points = round(2 * look.size_pt)
        shape += f'<w:sz w:val="{half_points}"/><w:szCs w:val="{half_points}"/>'
    lines = "<w:br/>".join(
        f'<w:t xml:space="preserve">{escape_xml(line)}</w:t>' for line in to_visible_lines(text).split("\n")
    )
    return f"<w:r><w:rPr>{shape}</w:rPr>{lines}</w:r>"


def build_table(rows: Sequence[Sequence[str]], shares: Sequence[float], look: TableStyle) -> str:
    """Build a table from rows of cells, each of paragraphs.

    `shares`: column widths as shares of the text's width, which add up to 1.
    """
    widths = [round(PAGE_MM * _TWIPS_PER_MM * share) for share in shares]
    line = "single" if look.lined else "none"
    sides = ("top", "left", "bottom", "right", "insideH", "insideV")
    borders = "".join(f'<w:{side} w:val="{line}" w:sz="4" w:space="0" w:color="969696"/>' for side in sides)
    grid = "".join(f'<w:gridCol w:w="{width}"/>' for width in widths)
    head, other = "<w:trPr><w:cantSplit/><w:tblHeader/></w:trPr>", "<w:trPr><w:cantSplit/></w:trPr>"
    body = "".join(
        f"<w:tr>{head if look.has_head and not number else other}{_cells(row, widths)}</w:tr>"
        for number, row in enumerate(rows)
    )
    return (
        f'<w:tbl><w:tblPr><w:tblW w:w="{sum(widths)}" w:type="dxa"/><w:tblBorders>{borders}</w:tblBorders>'
        f'<w:tblLayout w:type="fixed"/></w:tblPr><w:tblGrid>{grid}</w:tblGrid>{body}</w:tbl>'
    )


def _cells(row: Sequence[str], widths: Sequence[int]) -> str:
    return "".join(
        f'<w:tc><w:tcPr><w:tcW w:w="{width}" w:type="dxa"/></w:tcPr>{cell}</w:tc>'
        for cell, width in zip(row, widths, strict=True)
    )


def build_picture(number: int, size_mm: tuple[float, float], description: str) -> str:
    """Build a paragraph with image `media/NUMBER.jpg` (from 1); size on paper in mm."""
    width, height = (round(side * _EMU_PER_MM) for side in size_mm)
    about = f'"{escape_xml(description)}"'
    return (
        '<w:p><w:pPr><w:keepNext/><w:jc w:val="center"/></w:pPr><w:r><w:drawing>'
        f'<wp:inline distT="0" distB="0" distL="0" distR="0"><wp:extent cx="{width}" cy="{height}"/>'
        f'<wp:docPr id="{number}" name="{number}.jpg" descr={about}/>'
        f'<a:graphic><a:graphicData uri="{_DRAWING}/picture"><pic:pic>'
        f'<pic:nvPicPr><pic:cNvPr id="{number}" name="{number}.jpg"/><pic:cNvPicPr/></pic:nvPicPr>'
        f'<pic:blipFill><a:blip r:embed="rId{_FIRST_PICTURE + number - 1}"/>'
        "<a:stretch><a:fillRect/></a:stretch></pic:blipFill>"
        f'<pic:spPr><a:xfrm><a:off x="0" y="0"/><a:ext cx="{width}" cy="{height}"/></a:xfrm>'
        '<a:prstGeom prst="rect"><a:avLst/></a:prstGeom></pic:spPr>'
        "</pic:pic></a:graphicData></a:graphic></wp:inline></w:drawing></w:r></w:p>"
    )


def build_document_xml(body: str) -> str:
    """Build the document part: body, page A4, header and footer."""
    spaces = (
        f'xmlns:w="{_W}" xmlns:r="{_R}" xmlns:a="{_DRAWING}/main" xmlns:pic="{_DRAWING}/picture" '
        f'xmlns:wp="{_DRAWING}/wordprocessingDrawing"'
    )
    margins = {"top": 22, "right": 15, "bottom": 20, "left": 25, "header": 10, "footer": 10, "gutter": 0}
    sides = " ".join(f'w:{side}="{round(mm * _TWIPS_PER_MM)}"' for side, mm in margins.items())
    return (
        f'{_XML_DECLARATION}<w:document {spaces}><w:body>{body}<w:sectPr><w:headerReference w:type="default" '
        f'r:id="rId2"/><w:footerReference w:type="default" r:id="rId3"/><w:pgSz w:w="11906" w:h="16838"/>'
        f"<w:pgMar {sides}/></w:sectPr></w:body></w:document>"
    )


def build_header_xml(mark: str, draft: str) -> str:
    """Build the header: the exercise mark, white on purple, and the draft mark."""
    body = ""
    if mark:
        shade = '<w:shd w:val="clear" w:color="auto" w:fill="7A0F6B"/>'
        text = build_run(mark, TextStyle(bold=True, size_pt=13.0, colour="FFFFFF"))
        body += f'<w:p><w:pPr>{shade}<w:jc w:val="center"/></w:pPr>{text}</w:p>'
    if draft or not mark:
        body += build_paragraph(draft, TextStyle(bold=True, size_pt=12.0, colour="B00020"), "right")
    return f'{_XML_DECLARATION}<w:hdr xmlns:w="{_W}">{body}</w:hdr>'


def build_footer_xml(text: str, page_word: str) -> str:
    """Build the footer: a line, the page's number and the number of pages."""
    small = TextStyle(size_pt=8.0, colour="464646")
    fields = [
        f'<w:fldSimple w:instr="{name}">{build_run("1", small)}</w:fldSimple>'
        for name in ("PAGE", "NUMPAGES")
    ]
    said = build_run(f"{text} · {page_word} ", small) + fields[0] + build_run(" / ", small) + fields[1]
    return (
        f'{_XML_DECLARATION}<w:ftr xmlns:w="{_W}"><w:p><w:pPr><w:jc '
        f'w:val="right"/></w:pPr>{said}</w:p></w:ftr>'
    )


def build_styles_xml(language: str) -> str:
    """Build the styles part: font, size and heading."""
    spoken = {"vi": "vi-VN"}.get(language, "en-GB")
    fonts = f'<w:rFonts w:ascii="{_FONT}" w:hAnsi="{_FONT}" w:cs="{_FONT}" w:eastAsia="{_FONT}"/>'
    return (
        f'{_XML_DECLARATION}<w:styles xmlns:w="{_W}"><w:docDefaults><w:rPrDefault><w:rPr>{fonts}'
        f'<w:sz w:val="26"/><w:szCs w:val="26"/><w:lang w:val="{spoken}"/></w:rPr></w:rPrDefault>'
        '<w:pPrDefault><w:pPr><w:spacing w:before="40" w:after="40"/></w:pPr></w:pPrDefault></w:docDefaults>'
        '<w:style w:type="paragraph" w:default="1" w:styleId="Normal"><w:name w:val="Normal"/></w:style>'
        '<w:style w:type="paragraph" w:styleId="Heading1"><w:name w:val="heading 1"/>'
        '<w:basedOn w:val="Normal"/><w:pPr><w:keepNext/><w:spacing w:before="200" w:after="80"/>'
        '<w:outlineLvl w:val="0"/></w:pPr><w:rPr><w:b/></w:rPr></w:style></w:styles>'
    )


def build_content_types_xml() -> str:
    """Build the content types of the parts."""
    kinds = {
        "/word/document.xml": f"{_MAIN}.document.main+xml",
        "/word/styles.xml": f"{_MAIN}.styles+xml",
        "/word/header1.xml": f"{_MAIN}.header+xml",
        "/word/footer1.xml": f"{_MAIN}.footer+xml",
        "/docProps/core.xml": "application/vnd.openxmlformats-package.core-properties+xml",
    }
    named = "".join(f'<Override PartName="{part}" ContentType="{kind}"/>' for part, kind in kinds.items())
    return (
        f'{_XML_DECLARATION}<Types xmlns="{_PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        f'<Default Extension="jpg" ContentType="image/jpeg"/>{named}</Types>'
    )


def build_package_relations_xml() -> str:
    """Build the relations of the package."""
    core = f"{_PACKAGE}/relationships/metadata/core-properties"
    return _relations([(f"{_R}/officeDocument", "word/document.xml"), (core, "docProps/core.xml")])


def build_part_relations_xml(pictures: int) -> str:
    """Build the relations of the document part."""
    named = [(f"{_R}/{kind}", f"{kind}{suffix}.xml") for kind, suffix in _PARTS]
    return _relations(named + [(f"{_R}/image", f"media/{n}.jpg") for n in range(1, pictures + 1)])


def build_properties_xml(title: str, made_ns: int) -> str:
    """Build the core properties: title and time."""
    made = datetime.fromtimestamp(made_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        f'{_XML_DECLARATION}<cp:coreProperties xmlns:cp="{_PACKAGE}/metadata/core-properties" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/" '
        f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><dc:title>{escape_xml(title)}</dc:title>'
        "<dc:creator>flycam</dc:creator>"
        f'<dcterms:created xsi:type="dcterms:W3CDTF">{made}</dcterms:created></cp:coreProperties>'
    )


_PARTS = (("styles", ""), ("header", "1"), ("footer", "1"))


def _relations(named: Sequence[tuple[str, str]]) -> str:
    rows = "".join(
        f'<Relationship Id="rId{number}" Type="{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(named, 1)
    )
    return f'{_XML_DECLARATION}<Relationships xmlns="{_PACKAGE}/relationships">{rows}</Relationships>'


# -- Estimated heights of blocks, so that images shrink to fit a page ------------------------------
#
# The word processor sets the pages. Heights are estimated from letters and lines, a little too tall rather
# than too small.


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


# -- Document from the blocks of a briefing pack ---------------------------------------------------


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
            archive.writestr(make_zip_member(name, zipfile.ZIP_DEFLATED), text.encode())
        for number, name in enumerate(shown, 1):
            archive.writestr(
                make_zip_member(f"word/media/{number}.jpg", zipfile.ZIP_STORED), document.pictures[name]
            )
    return out.getvalue()


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
