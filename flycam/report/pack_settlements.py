"""Settlements as a meeting pack tells of them: isolated, reachable, and unknown where nobody has said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from flycam.frame.moment import minute_of
from flycam.frame.settlement import Access
from flycam.report.blocks import Block, Heading, Paragraph, Table
from flycam.report.pack_figures import PackFigures, PackSettlement
from flycam.report.pack_words import head, told
from flycam.report.settlement_names import ACCESS, ROADS_SAY

_MOST = 60


def settlements_said(figures: PackFigures, language: str) -> Iterator[Block]:
    """How many stand how, and those of which something was said or proposed; nothing without settlements."""
    if not figures.settlements:
        return
    which = 0 if language == "vi" else 1
    yield Heading(text=told("settlements", language))
    counts = Counter(one.access for one in figures.settlements)
    said = ", ".join(f"{words[which]}: {counts[access]}" for access, words in ACCESS.items())
    yield Paragraph(text=told("settlements_said", language, counts=said))
    rows = [
        one
        for one in figures.settlements
        if one.at_ns is not None or one.roads_say.proposes is Access.ISOLATED
    ]
    if rows:
        yield Table(
            head=head(language, "settlement", "commune", "access", "roads_say", "note", "author"),
            rows=tuple(_row(one, language) for one in rows[:_MOST]),
        )
    if len(rows) > _MOST:
        yield Paragraph(text=told("settlements_more", language, count=len(rows) - _MOST), kind="small")


def _row(one: PackSettlement, language: str) -> tuple[str, ...]:
    which = 0 if language == "vi" else 1
    by = told("nobody_said", language) if one.at_ns is None else f"{one.author}, {minute_of(one.at_ns)}"
    roads = ROADS_SAY[one.roads_say][which]
    return one.name, one.commune, ACCESS[one.access][which], roads, one.note, by
