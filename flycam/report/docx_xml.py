"""WordprocessingML (ECMA-376, part 1) of a DOCX with text, tables and images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from flycam.frame.text_normalization import to_visible_lines
from flycam.geodata.xml_text import escape_xml

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
