"""Known trouble in a briefing pack: blocked roads, dead masts, power cuts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from flycam.frame.mark import is_road_blocked
from flycam.frame.timestamp import format_minute
from flycam.messages import Message, _, join
from flycam.report.blocks import BlockOf, Heading, Paragraph, Table, Text
from flycam.report.change_names import LAYER_KIND_NAMES
from flycam.report.mark_names import MARK_STATUS_NAMES
from flycam.report.pack_changes import format_layer_source
from flycam.report.pack_figures import PackCommune, PackFigures, PackMark, PackTroubles

_MAX_NAMES = 8


def build_trouble_blocks(figures: PackFigures) -> Iterator[BlockOf[Text]]:
    """Yield a row for each layer of each commune, and for marks.

    Where no layer reports a status, that is stated.
    """
    if not figures.communes:
        return
    yield Heading(text=_("5. Known trouble by layers and marks"))
    rows = [row for one in figures.communes for row in _rows(one)]
    if rows:
        yield Table(
            head=(_("No."), _("Commune"), _("What"), _("How many"), _("Trouble"), _("By, as of")),
            rows=tuple(rows),
            numeric=(0, 3),
        )
        yield Paragraph(
            text=_(
                "As the owners of layers say, of the time told; and marks of blocked roads, reported or being"
                " dealt with. What is not in the table is not known to be without trouble."
            ),
            kind="small",
        )
    else:
        yield Paragraph(text=_("No trouble is known: that does not mean that there is none."))
    if figures.layers_with_status:
        layers = join(map(format_layer_source, figures.layers_with_status), "; ")
        said = _("Layers that say how things stand: {layers}.", layers=layers)
    else:
        said = _("No layer says how things stand there (roads, masts, power): nothing is known.")
    yield Paragraph(text=said, kind="small")


def _rows(commune: PackCommune) -> Iterator[tuple[Text, ...]]:
    where = str(commune.number), commune.name
    marks = [one for one in commune.marks if is_road_blocked(one.kind, one.status)]
    if marks:
        newest = max(marks, key=lambda one: one.at_ns)
        by = f"{newest.author}, {format_minute(newest.at_ns)}"
        said = _join_some([_format_mark(one) for one in marks])
        yield *where, _("road blocked (mark)"), str(len(marks)), said, by
    for one in commune.troubles:
        said = _join_some(_things(one))
        kind = LAYER_KIND_NAMES[one.kind]
        yield *where, kind, str(len(one.things)), said, format_layer_source(one.layer)


def _format_mark(one: PackMark) -> Message:
    status = MARK_STATUS_NAMES[one.status]
    return _("mark {number}: {note} ({status})", number=one.number, note=one.note, status=status)


def _things(troubles: PackTroubles) -> list[Text]:
    """Format features by name, with the owner's words; nameless ones as counts."""
    named = [f"{name}: {status}" for name, status in troubles.things if name]
    nameless = Counter(status for name, status in troubles.things if not name)
    counted = [
        _("{count} without a name: {status}", count=count, status=status)
        for status, count in nameless.items()
    ]
    return [*named, *counted]


def _join_some(parts: Sequence[Text]) -> Message:
    """Join with semicolons, as texts of owners and people may hold commas."""
    some = join(parts[:_MAX_NAMES], "; ")
    if len(parts) <= _MAX_NAMES:
        return some
    return _("{parts}; and {count} more", parts=some, count=len(parts) - _MAX_NAMES)
