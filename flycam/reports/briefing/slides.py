"""Slides of a briefing pack as PPTX, 16:9: one image and a caption that is read from five metres."""

from __future__ import annotations

import io
from typing import Any

from pptx import Presentation
from pptx.dml.color import RGBColor
from pptx.enum.text import MSO_ANCHOR, PP_ALIGN
from pptx.util import Pt

from flycam.messages import _
from flycam.model.text import to_visible_lines
from flycam.reports.briefing.document import PackDocument
from flycam.reports.briefing.maps import read_size_px
from flycam.reports.briefing.office import drop_thumbnail, pack_office_file, set_office_properties

_WIDTH, _HEIGHT = 960, 540
"""Size of a slide in points: 13.3 by 7.5 inches, what office programs call wide."""
_BAND, _FOOT, _OVER, _MARGIN = 35, 115, 26, 20
"""Heights of an exercise's mark, of the caption and of the words over a pair, and the caption's margin."""
_DARK, _WHITE = RGBColor(0x10, 0x14, 0x18), RGBColor(0xFF, 0xFF, 0xFF)
_MARK, _DRAFT = RGBColor(0x7A, 0x0F, 0x6B), RGBColor(0xFF, 0x8A, 0x8A)
_FONT, _BLANK_LAYOUT = "Arial", 6


def to_pptx(document: PackDocument) -> bytes:
    """Return the pack's slides as a PPTX; equal packs give equal bytes."""
    out = Presentation()
    out.slide_width, out.slide_height = Pt(_WIDTH), Pt(_HEIGHT)
    for slide in document.slides:
        made = out.slides.add_slide(out.slide_layouts[_BLANK_LAYOUT])
        made.background.fill.solid()
        made.background.fill.fore_color.rgb = _DARK
        top = _BAND if document.mark else 0
        if document.mark:
            mark = _add_text(made, (0, 0, _WIDTH, _BAND), document.mark, 23, PP_ALIGN.CENTER)
            mark.fill.solid()
            mark.fill.fore_color.rgb = _MARK
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
            _add_text(made, draft, document.draft, 20, PP_ALIGN.RIGHT, _DRAFT)
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
        io.BytesIO(picture), Pt(left), Pt(above), Pt(cols * scale), Pt(rows * scale)
    )
    drawn._element.nvPicPr.cNvPr.set("descr", to_visible_lines(description))


def _add_text(
    slide: Any,
    box: tuple[float, float, float, float],
    text: str,
    size_pt: float,
    align: Any = PP_ALIGN.LEFT,
    colour: RGBColor = _WHITE,
    *,
    is_bold: bool = True,
) -> Any:
    """Add text in a box (left, top, width, height in points), in its middle; return the shape."""
    shape = slide.shapes.add_textbox(*map(Pt, box))
    frame = shape.text_frame
    frame.word_wrap, frame.vertical_anchor = True, MSO_ANCHOR.MIDDLE
    frame.margin_left = frame.margin_right = frame.margin_top = frame.margin_bottom = 0
    paragraph = frame.paragraphs[0]
    paragraph.alignment = align
    run = paragraph.add_run()
    run.text = to_visible_lines(text)
    run.font.name, run.font.size, run.font.bold, run.font.color.rgb = _FONT, Pt(size_pt), is_bold, colour
    return shape
