"""Report as one HTML file without script, font or image from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

from flycam.report.blocks import Block, Document, Facts, Figure, FigureRow, Heading, Paragraph, Table

_STYLE = Path(__file__).with_name("report.css")


def to_html(document: Document) -> bytes:
    """Return the report as HTML, UTF-8."""
    return "\n".join(_page(document)).encode()


def _page(document: Document) -> Iterator[str]:
    title, subtitle = escape(document.title), escape(document.subtitle)
    mark = f"{document.mark} – " if document.mark else ""
    yield f'<!doctype html>\n<html lang="{document.language}">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{mark}{title} – {subtitle}</title>"
    yield f"<style>\n{_STYLE.read_text(encoding='utf-8')}</style>\n</head>\n<body>"
    # `.head` is repeated on every page that a browser prints
    yield '<div class="sheet">'
    if document.mark:
        yield f'<div class="head"><div class="mark">{escape(document.mark)}</div></div>'
    yield '<div class="body">'
    yield f"<header><h1>{title}</h1><p>{subtitle}</p></header>\n<main>"
    for block in document.blocks:
        yield from _block(document, block)
    yield f"</main>\n<footer>{escape(document.footer)}</footer>\n</div></div>\n</body>\n</html>\n"


def _block(document: Document, block: Block) -> Iterator[str]:
    match block:
        case Heading():
            yield f"<h2>{escape(block.text)}</h2>"
        case Paragraph():
            look = f' class="{block.kind}"' if block.kind else ""
            yield f"<p{look}>{escape(block.text)}</p>"
        case Facts():
            yield '<table class="facts">'
            for term, value in block.rows:
                yield f'<tr><th scope="row">{escape(term)}</th><td>{escape(value)}</td></tr>'
            yield "</table>"
        case Table():
            yield "<table><thead><tr>"
            yield "".join(_cell("th", block, n, text) for n, text in enumerate(block.head))
            yield "</tr></thead><tbody>"
            for row in block.rows:
                yield f"<tr>{''.join(_cell('td', block, n, text) for n, text in enumerate(row))}</tr>"
            yield "</tbody></table>"
        case FigureRow():
            yield '<div class="plate">'
            for figure in block.figures:
                yield from _figure(document, figure)
            yield "</div>"


def _cell(tag: str, table: Table[str], column: int, text: str) -> str:
    look = ' class="number"' if column in table.numeric else ""
    return f"<{tag}{look}>{escape(text)}</{tag}>"


def _figure(document: Document, figure: Figure[str]) -> Iterator[str]:
    caption = escape(figure.caption)
    drawing = document.pictures[figure.picture].decode()
    labelled = drawing.replace("<svg ", f'<svg role="img" aria-label="{caption}" ', 1)
    yield f"<figure><figcaption>{caption}</figcaption>{labelled}"
    if figure.legend:
        yield '<ul class="legend">'
        for colour, label, note in figure.legend:
            square = f'<rect width="14" height="14" fill="{colour}"/>'
            swatch = f'<svg class="swatch" aria-hidden="true">{square}</svg>'
            yield f"<li>{swatch}{escape(label)} <b>{escape(note)}</b></li>"
        yield "</ul>"
    yield "</figure>"
