"""Briefing pack as PDF, and as a viewer page.

The PDF is A4 or A3, set by Typst. As in the quality report only Typst's own fonts are used, and the only
time is the document's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import typst

from flycam.messages import Message, _
from flycam.reports.briefing.document import PackBlock, PackDocument, PageBreak, SignatureBlock
from flycam.reports.briefing.maps import read_size_px
from flycam.reports.briefing.office import compute_column_shares
from flycam.reports.images import wrap_picture_svg
from flycam.reports.layout import Table, to_typst_block

_HERE = Path(__file__).parent
_HASH_DIGITS = 64

_PICTURE_HEIGHTS_MM = (110.0, 98.0, 86.0, 76.0, 68.0, 60.0)
"""Heights of an image on A4: the usual one, then smaller ones to save a page."""


def to_pack_pdf(document: PackDocument, paper: str = "a4") -> bytes:
    """Return the pack as a PDF on one of `flycam.reports.briefing.figures.PAPERS`."""
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
