"""Settlements in a briefing pack: isolated, reachable, or unknown if nobody said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from flycam.frame.settlement import Access
from flycam.frame.timestamp import format_minute
from flycam.messages import _, join
from flycam.report.blocks import BlockOf, Heading, Paragraph, Table, Text
from flycam.report.pack_figures import PackFigures, PackSettlement
from flycam.report.settlement_names import ACCESS_NAMES, ROADS_SAY_NAMES

_MAX_ROWS = 60


def build_settlement_blocks(figures: PackFigures) -> Iterator[BlockOf[Text]]:
    """Yield the numbers by access, and a table of set or proposed settlements.

    Nothing without settlements.
    """
    if not figures.settlements:
        return
    yield Heading(text=_("7. Settlements"))
    counts = Counter(one.access for one in figures.settlements)
    counted = join([join([name, str(counts[access])], ": ") for access, name in ACCESS_NAMES.items()], ", ")
    yield Paragraph(
        text=_(
            "As people said: {counts}. Unknown is what nobody has said; cut roads only propose.",
            counts=counted,
        )
    )
    rows = [
        one
        for one in figures.settlements
        if one.at_ns is not None or one.road_evidence.proposed_access is Access.ISOLATED
    ]
    if rows:
        yield Table(
            head=(
                _("Settlement"),
                _("Commune"),
                _("Access"),
                _("By roads"),
                _("Note"),
                _("By, at"),
            ),
            rows=tuple(_row(one) for one in rows[:_MAX_ROWS]),
        )
    if len(rows) > _MAX_ROWS:
        said = _("Not listed here, but in data.gpkg: {count}.", count=len(rows) - _MAX_ROWS)
        yield Paragraph(text=said, kind="small")


def _row(one: PackSettlement) -> tuple[Text, ...]:
    by = _("nobody has said") if one.at_ns is None else f"{one.author}, {format_minute(one.at_ns)}"
    return one.name, one.commune, ACCESS_NAMES[one.access], ROADS_SAY_NAMES[one.road_evidence], one.note, by
