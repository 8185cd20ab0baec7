"""Known trouble in a briefing pack: blocked roads, dead masts, power cuts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from flycam.frame.mark import is_road_blocked
from flycam.frame.timestamp import format_minute
from flycam.report.blocks import Block, Heading, Paragraph, Table
from flycam.report.change_names import LAYER_KIND_NAMES
from flycam.report.mark_names import MARK_STATUS_NAMES
from flycam.report.pack_changes import format_layer_source
from flycam.report.pack_figures import PackCommune, PackFigures, PackTroubles
from flycam.report.pack_texts import format_pack_text, format_table_head

_MAX_NAMES = 8


def build_trouble_blocks(figures: PackFigures, language: str) -> Iterator[Block]:
    """Yield a row for each layer of each commune, and for marks.

    Where no layer reports a status, that is stated.
    """
    if not figures.communes:
        return
    yield Heading(text=format_pack_text("troubles", language))
    rows = [row for one in figures.communes for row in _rows(one, language)]
    if rows:
        columns = ("number", "commune", "thing", "things", "trouble", "told_by")
        yield Table(head=format_table_head(language, *columns), rows=tuple(rows), numeric=(0, 3))
        yield Paragraph(text=format_pack_text("troubles_note", language), kind="small")
    else:
        yield Paragraph(text=format_pack_text("troubles_none", language))
    layers = "; ".join(format_layer_source(layer, language) for layer in figures.layers_with_status)
    said = (
        format_pack_text("troubles_telling", language, layers=layers)
        if layers
        else format_pack_text("troubles_untold", language)
    )
    yield Paragraph(text=said, kind="small")


def _rows(commune: PackCommune, language: str) -> Iterator[tuple[str, ...]]:
    where = str(commune.number), commune.name
    which = 0 if language == "vi" else 1
    marks = [one for one in commune.marks if is_road_blocked(one.kind, one.status)]
    if marks:
        newest = max(marks, key=lambda one: one.at_ns)
        marked = [
            format_pack_text("trouble_mark_said", language, number=one.number, note=one.note)
            + f" ({MARK_STATUS_NAMES[one.status][which]})"
            for one in marks
        ]
        by = f"{newest.author}, {format_minute(newest.at_ns)}"
        yield (
            *where,
            format_pack_text("trouble_mark", language),
            str(len(marks)),
            _joined(marked, language),
            by,
        )
    for one in commune.troubles:
        said = _joined(_things(one, language), language)
        yield (
            *where,
            LAYER_KIND_NAMES[one.kind].in_language(language),
            str(len(one.things)),
            said,
            format_layer_source(one.layer, language),
        )


def _things(troubles: PackTroubles, language: str) -> list[str]:
    """Format features by name, with the owner's words; nameless ones as counts."""
    named = [f"{name}: {status}" for name, status in troubles.things if name]
    nameless = Counter(status for name, status in troubles.things if not name)
    without = format_pack_text("without_name", language)
    return [*named, *(f"{count} {without}: {status}" for status, count in nameless.items())]


def _joined(parts: Sequence[str], language: str) -> str:
    """Join with semicolons, as texts of owners and people may hold commas."""
    some = "; ".join(parts[:_MAX_NAMES])
    if len(parts) <= _MAX_NAMES:
        return some
    return f"{some}; {format_pack_text('troubles_more', language, count=len(parts) - _MAX_NAMES)}"
