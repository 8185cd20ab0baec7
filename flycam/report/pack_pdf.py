"""Briefing pack as PDF, A4 or A3, and as slides of 1920×1080; set by Typst.

As in the quality report only Typst's own fonts are used, and the only time is the document's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import typst

from flycam.messages import _
from flycam.report.blocks import Table
from flycam.report.pack_content import PackBlock, PackDocument, PageBreak, SignatureBlock
from flycam.report.pack_docx import compute_column_shares
from flycam.report.pack_pictures import read_size_px
from flycam.report.pdf import to_typst_block
from flycam.report.svg import wrap_picture_svg

SLIDE_SIZE_PX = (1920, 1080)
_HERE = Path(__file__).parent
_HASH_DIGITS = 64

_PICTURE_HEIGHTS_MM = (110.0, 98.0, 86.0, 76.0, 68.0, 60.0)
"""Heights of an image on A4: the usual one, then smaller ones to save a page."""


def to_pack_pdf(document: PackDocument, paper: str = "a4") -> bytes:
    """Return the pack as a PDF on one of `flycam.report.pack_figures.PAPERS`."""
    # sources by name, which its type hints do not know
    files: Any = build_typst_sources(document, paper)
    made_s = document.made_ns // 10**9
    return bytes(typst.compile(files, format="pdf", ignore_system_fonts=True, timestamp=made_s))


def to_slides(document: PackDocument) -> list[bytes]:
    """Return each slide as a PNG of `SLIDE_SIZE_PX`."""
    said = {
        "language": document.language,
        "mark": document.mark,
        "draft": document.draft,
        "pair_words": _pair_words(document),
        "slides": [
            {"picture": one.picture, "title": one.title, "line": one.line, "pair": one.is_pair}
            for one in document.slides
        ],
    }
    files: Any = {
        "main.typ": (_HERE / "pack_slides.typ").read_bytes(),
        "slides.json": json.dumps(said, ensure_ascii=False).encode(),
        **_drawings(document.slide_pictures),
    }
    return _pages(typst.compile(files, format="png", ppi=72.0, ignore_system_fonts=True))


def to_drill_band(mark: str) -> bytes:
    """Return the mark on every page of an exercise as a PNG, 96 px high."""
    template = (_HERE / "drill_band.typ").read_text(encoding="utf-8").replace("MARK", mark)
    files: Any = {"main.typ": template.encode()}
    return _pages(typst.compile(files, format="png", ppi=144.0, ignore_system_fonts=True))[0]


def build_typst_sources(document: PackDocument, paper: str = "a4") -> dict[str, bytes]:
    """Return Typst's sources for the PDF by file name: template, content and images.

    The images of each part are so tall that no page is begun for a few rows.
    """
    files = {"main.typ": (_HERE / "pack.typ").read_bytes(), **_drawings(document.pictures)}
    content = _content(document, paper)

    def with_tallest(tallest_mm: Sequence[float]) -> dict[str, bytes]:
        said = json.dumps({**content, "tallest": tallest_mm}, ensure_ascii=False)
        return {**files, "pack.json": said.encode()}

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


def _content(document: PackDocument, paper: str) -> dict[str, Any]:
    head = document.letterhead
    return {
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
        "pair_words": _pair_words(document),
        "blocks": [_block(block) for block in document.blocks],
    }


def _pair_words(document: PackDocument) -> list[str]:
    """Return the captions over the halves of an image pair."""
    return [one.in_language(document.language) for one in (_("BEFORE"), _("AFTER"))]


def _drawings(pictures: Mapping[str, bytes]) -> dict[str, bytes]:
    return {
        f"{name}.svg": wrap_picture_svg(picture, read_size_px(picture)) for name, picture in pictures.items()
    }


def _block(block: PackBlock) -> Mapping[str, Any]:
    if isinstance(block, PageBreak):
        return {"kind": "break"}
    if isinstance(block, SignatureBlock):
        return {"kind": "signature"}
    said = to_typst_block(block)
    if not isinstance(block, Table):
        return said
    is_hashes = any(len(value) == _HASH_DIGITS for row in block.rows for value in row)
    return {**said, "shares": [] if is_hashes else compute_column_shares(block)}


def _pages(made: Any) -> list[bytes]:
    """Return pages as a list: Typst gives one page as bytes, several as a list."""
    return [bytes(made)] if isinstance(made, bytes | bytearray) else [bytes(page) for page in made]
