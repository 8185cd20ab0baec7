"""Blocks of a report, in order, for both a page on screen and pages on paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Heading:
    """Heading of a section."""

    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Paragraph:
    """Running text.

    kind: "" or "lead" (the first sentence), "good", "care", "bad" (the verdict), "small".
    """

    text: str
    kind: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """Terms and their values."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Table; `numeric` columns are aligned right."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[int, ...] = ()


def drop_empty_columns(table: Table) -> Table:
    """Return the table without columns that are empty in all rows: they take room."""
    kept = [number for number in range(len(table.head)) if any(row[number] for row in table.rows)]
    return Table(
        head=tuple(table.head[number] for number in kept),
        rows=tuple(tuple(row[number] for number in kept) for row in table.rows),
        numeric=tuple(kept.index(number) for number in table.numeric if number in kept),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """Image by name, its caption, and its legend: (colour, label, note)."""

    picture: str
    caption: str
    legend: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class FigureRow:
    """Figures side by side; `columns` of them in a row on paper and on wide screens."""

    figures: tuple[Figure, ...]
    columns: int = 2


Block = Heading | Paragraph | Facts | Table | FigureRow


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
