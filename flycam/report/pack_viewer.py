"""Viewer page of a briefing pack: opens from a USB stick without a server.

A browser lets a page of `file://` load images and classic scripts, but no module and no request: so the
script is in the page, and all that is shown are images beside it. Without scripts the links open them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

from flycam.messages import Message, _
from flycam.report.pack_content import PackDocument

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
