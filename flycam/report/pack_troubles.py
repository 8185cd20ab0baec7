"""What a meeting pack tells of known trouble: blocked roads, dead masts, lines without power."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from flycam.frame.mark import is_road_blocked
from flycam.frame.moment import minute_of
from flycam.report.blocks import Block, Heading, Paragraph, Table
from flycam.report.change_names import THINGS
from flycam.report.mark_names import MARK_STATUSES
from flycam.report.pack_changes import layer_named
from flycam.report.pack_figures import PackCommune, PackFigures, PackTroubles
from flycam.report.pack_words import head, told

_MOST_NAMES = 8


def troubles_said(figures: PackFigures, language: str) -> Iterator[Block]:
    """A row for each layer of each commune, and one for marks; where nobody says how things stand that is
    told."""
    if not figures.communes:
        return
    yield Heading(text=told("troubles", language))
    rows = [row for one in figures.communes for row in _rows(one, language)]
    if rows:
        columns = ("number", "commune", "thing", "things", "trouble", "told_by")
        yield Table(head=head(language, *columns), rows=tuple(rows), numeric=(0, 3))
        yield Paragraph(text=told("troubles_note", language), kind="small")
    else:
        yield Paragraph(text=told("troubles_none", language))
    layers = "; ".join(layer_named(layer, language) for layer in figures.telling)
    said = told("troubles_telling", language, layers=layers) if layers else told("troubles_untold", language)
    yield Paragraph(text=said, kind="small")


def _rows(commune: PackCommune, language: str) -> Iterator[tuple[str, ...]]:
    where = str(commune.number), commune.name
    which = 0 if language == "vi" else 1
    marks = [one for one in commune.marks if is_road_blocked(one.kind, one.status)]
    if marks:
        newest = max(marks, key=lambda one: one.at_ns)
        marked = [
            told("trouble_mark_said", language, number=one.number, note=one.note)
            + f" ({MARK_STATUSES[one.status][which]})"
            for one in marks
        ]
        by = f"{newest.author}, {minute_of(newest.at_ns)}"
        yield (*where, told("trouble_mark", language), str(len(marks)), _joined(marked, language), by)
    for one in commune.troubles:
        said = _joined(_things(one, language), language)
        yield (*where, THINGS[one.kind][which], str(len(one.things)), said, layer_named(one.layer, language))


def _things(troubles: PackTroubles, language: str) -> list[str]:
    """By name, with the owner's own words; of those without a name how many stand so."""
    named = [f"{name}: {status}" for name, status in troubles.things if name]
    nameless = Counter(status for name, status in troubles.things if not name)
    without = told("without_name", language)
    return [*named, *(f"{count} {without}: {status}" for status, count in nameless.items())]


def _joined(parts: Sequence[str], language: str) -> str:
    """What owners and people wrote may hold commas."""
    some = "; ".join(parts[:_MOST_NAMES])
    if len(parts) <= _MOST_NAMES:
        return some
    return f"{some}; {told('troubles_more', language, count=len(parts) - _MOST_NAMES)}"
