"""The meeting pack as PDF pages, A4 or A3, and as pictures of 1920×1080 for a screen; set by Typst.

As in the quality report only Typst's own fonts are used, and the only time is the document's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typst

from flycam.report.blocks import Table
from flycam.report.pack_content import PackBlock, PackDocument, PageBreak, Signature
from flycam.report.pack_pictures import size_px
from flycam.report.pack_word import column_shares
from flycam.report.pack_words import told
from flycam.report.paper import block_of
from flycam.report.svg import picture_drawing

SLIDE_SIZE_PX = (1920, 1080)
_HERE = Path(__file__).parent
_HASH_DIGITS = 64


def to_pack_pdf(document: PackDocument, paper: str = "a4") -> bytes:
    """The pack as a PDF on one of `flycam.report.pack_figures.PAPERS`."""
    files: Any = pack_sources(document, paper)  # by name, which its type hints do not know
    made_s = document.made_ns // 10**9
    return bytes(typst.compile(files, format="pdf", ignore_system_fonts=True, timestamp=made_s))


def to_slides(document: PackDocument) -> list[bytes]:
    """Each slide as a PNG of `SLIDE_SIZE_PX`."""
    told = {
        "language": document.language,
        "mark": document.mark,
        "draft": document.draft,
        "slides": [{"picture": one.picture, "title": one.title, "line": one.line} for one in document.slides],
    }
    files: Any = {
        "main.typ": (_HERE / "pack_slides.typ").read_bytes(),
        "slides.json": json.dumps(told, ensure_ascii=False).encode(),
        **_drawings(document.slide_pictures),
    }
    return _pages(typst.compile(files, format="png", ppi=72.0, ignore_system_fonts=True))


def to_band(mark: str) -> bytes:
    """What stands on every page of a drill as a PNG, 96 px high."""
    template = (_HERE / "drill_band.typ").read_text(encoding="utf-8").replace("MARK", mark)
    files: Any = {"main.typ": template.encode()}
    return _pages(typst.compile(files, format="png", ppi=144.0, ignore_system_fonts=True))[0]


def pack_sources(document: PackDocument, paper: str = "a4") -> dict[str, bytes]:
    """What Typst is given for the PDF, by file name: template, content and pictures."""
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
        "pair_words": [told(key, document.language) for key in ("pair_before", "pair_after")],
        "blocks": [_block(block) for block in document.blocks],
    }
    return {
        "main.typ": (_HERE / "pack.typ").read_bytes(),
        "pack.json": json.dumps(content, ensure_ascii=False).encode(),
        **_drawings(document.pictures),
    }


def _drawings(pictures: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"{name}.svg": picture_drawing(picture, size_px(picture)) for name, picture in pictures.items()}


def _block(block: PackBlock) -> Mapping[str, Any]:
    if isinstance(block, PageBreak):
        return {"kind": "break"}
    if isinstance(block, Signature):
        return {"kind": "signature"}
    said = block_of(block)
    if not isinstance(block, Table):
        return said
    is_hashes = any(len(value) == _HASH_DIGITS for row in block.rows for value in row)
    return {**said, "shares": [] if is_hashes else column_shares(block)}


def _pages(made: Any) -> list[bytes]:
    """Typst gives one page as bytes, several as a list."""
    return [bytes(made)] if isinstance(made, bytes | bytearray) else [bytes(page) for page in made]
