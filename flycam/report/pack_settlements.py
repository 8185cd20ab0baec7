"""Settlements in a briefing pack: isolated, reachable, or unknown if nobody said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from flycam.frame.settlement import Access
from flycam.frame.timestamp import format_minute
from flycam.report.blocks import Block, Heading, Paragraph, Table
from flycam.report.pack_figures import PackFigures, PackSettlement
from flycam.report.pack_texts import format_pack_text, format_table_head
from flycam.report.settlement_names import ACCESS_NAMES, ROADS_SAY_NAMES

_MAX_ROWS = 60


def build_settlement_blocks(figures: PackFigures, language: str) -> Iterator[Block]:
    """Yield the numbers by access, and a table of set or proposed settlements.

    Nothing without settlements.
    """
    if not figures.settlements:
        return
    yield Heading(text=format_pack_text("settlements", language))
    counts = Counter(one.access for one in figures.settlements)
    said = ", ".join(
        f"{words.in_language(language)}: {counts[access]}" for access, words in ACCESS_NAMES.items()
    )
    yield Paragraph(text=format_pack_text("settlements_said", language, counts=said))
    rows = [
        one
        for one in figures.settlements
        if one.at_ns is not None or one.road_evidence.proposed_access is Access.ISOLATED
    ]
    if rows:
        yield Table(
            head=format_table_head(
                language, "settlement", "commune", "access", "roads_say", "note", "author"
            ),
            rows=tuple(_row(one, language) for one in rows[:_MAX_ROWS]),
        )
    if len(rows) > _MAX_ROWS:
        yield Paragraph(
            text=format_pack_text("settlements_more", language, count=len(rows) - _MAX_ROWS), kind="small"
        )


def _row(one: PackSettlement, language: str) -> tuple[str, ...]:
    by = (
        format_pack_text("nobody_said", language)
        if one.at_ns is None
        else f"{one.author}, {format_minute(one.at_ns)}"
    )
    roads = ROADS_SAY_NAMES[one.road_evidence].in_language(language)
    return one.name, one.commune, ACCESS_NAMES[one.access].in_language(language), roads, one.note, by
