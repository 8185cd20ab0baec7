"""Blocks of a report, in order, for both a page on screen and pages on paper.

Their texts are messages, or already in the language of who reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

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
