"""Blocks of a report, and their layout as HTML and PDF."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

import typst

from flycam.messages import Message

Text: TypeAlias = Message | str
T_co = TypeVar("T_co", bound=Text, covariant=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Heading(Generic[T_co]):
    """Heading of a section."""

    text: T_co


@dataclass(frozen=True, kw_only=True, slots=True)
class Paragraph(Generic[T_co]):
    """Running text.

    kind: "" or "lead" (the first sentence), "good", "care", "bad" (the verdict), "small".
    """

    text: T_co
    kind: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts(Generic[T_co]):
    """Terms and their values."""

    rows: tuple[tuple[T_co, T_co], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Table(Generic[T_co]):
    """Table; `numeric` columns are aligned right."""

    head: tuple[T_co, ...]
    rows: tuple[tuple[T_co, ...], ...]
    numeric: tuple[int, ...] = ()


def drop_empty_columns(table: Table[T_co]) -> Table[T_co]:
    """Return the table without columns that are empty in all rows: they take room."""
    kept = [number for number in range(len(table.head)) if any(row[number] for row in table.rows)]
    return Table(
        head=tuple(table.head[number] for number in kept),
        rows=tuple(tuple(row[number] for number in kept) for row in table.rows),
        numeric=tuple(kept.index(number) for number in table.numeric if number in kept),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure(Generic[T_co]):
    """Image by name, its caption, and its legend: (colour, label, note)."""

    picture: str
    caption: T_co
    legend: tuple[tuple[str, T_co, T_co], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class FigureRow(Generic[T_co]):
    """Figures side by side; `columns` of them in a row on paper and on wide screens."""

    figures: tuple[Figure[T_co], ...]
    columns: int = 2


BlockOf = Heading[T_co] | Paragraph[T_co] | Facts[T_co] | Table[T_co] | FigureRow[T_co]
Block = BlockOf[str]


def put_text(text: Text, language: str) -> str:
    """Put a text into "vi" or "en"."""
    return text.in_language(language) if isinstance(text, Message) else text


def put_block(block: BlockOf[Text], language: str) -> Block:
    """Put the texts of a block into "vi" or "en"."""

    def put(texts: tuple[Text, ...]) -> tuple[str, ...]:
        return tuple(put_text(text, language) for text in texts)

    match block:
        case Heading():
            return Heading(text=put_text(block.text, language))
        case Paragraph():
            return Paragraph(text=put_text(block.text, language), kind=block.kind)
        case Facts():
            rows = ((put_text(term, language), put_text(value, language)) for term, value in block.rows)
            return Facts(rows=tuple(rows))
        case Table():
            return Table(head=put(block.head), rows=tuple(map(put, block.rows)), numeric=block.numeric)
        case FigureRow():
            figures = (
                Figure(
                    picture=one.picture,
                    caption=put_text(one.caption, language),
                    legend=tuple(
                        (colour, put_text(label, language), put_text(note, language))
                        for colour, label, note in one.legend
                    ),
                )
                for one in block.figures
            )
            return FigureRow(figures=tuple(figures), columns=block.columns)


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """Report in one language.

    mark      text on every page of an exercise; "" for a real flight
    footer    on every page; page_word goes before the page's number
    made_ns   UTC; the only time in it
    pictures  SVG by name
    """

    language: str
    title: str
    subtitle: str
    mark: str
    footer: str
    page_word: str
    made_ns: int
    blocks: tuple[Block, ...]
    pictures: Mapping[str, bytes]


# -- Report as one HTML file without script, font or image from elsewhere --------------------------


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


# -- Report as PDF pages, A4: `report.typ` styles the blocks, Typst sets them ----------------------
#
# Only Typst's own fonts are used and the only time in the file is the revision's, so the same report has the
# same bytes on every machine.


_TEMPLATE = Path(__file__).with_name("report.typ")


def to_pdf(document: Document) -> bytes:
    """Return the report as a PDF."""
    # sources by name, which its type hints do not know
    files: Any = build_report_sources(document)
    made_s = document.made_ns // 10**9
    return bytes(typst.compile(files, format="pdf", ignore_system_fonts=True, timestamp=made_s))


def build_report_sources(document: Document) -> dict[str, bytes]:
    """Return Typst's sources by file name: template, content and images."""
    content = {
        "language": document.language,
        "title": document.title,
        "subtitle": document.subtitle,
        "mark": document.mark,
        "footer": document.footer,
        "page_word": document.page_word,
        "blocks": [to_typst_block(block) for block in document.blocks],
    }
    return {
        "main.typ": _TEMPLATE.read_bytes(),
        "report.json": json.dumps(content, ensure_ascii=False).encode(),
        **{f"{name}.svg": picture for name, picture in document.pictures.items()},
    }


def to_typst_block(block: Block) -> Mapping[str, Any]:
    """Return a block as the template reads it."""
    match block:
        case Heading():
            return {"kind": "heading", "text": block.text}
        case Paragraph():
            return {"kind": "paragraph", "text": block.text, "look": block.kind}
        case Facts():
            return {"kind": "facts", "rows": block.rows}
        case Table():
            return {
                "kind": "table",
                "head": block.head,
                "rows": block.rows,
                "numeric": block.numeric,
                "wide": 2,
            }
        case FigureRow():
            figures = [
                {"picture": figure.picture, "caption": figure.caption, "legend": figure.legend}
                for figure in block.figures
            ]
            return {"kind": "plate", "columns": block.columns, "figures": figures}
