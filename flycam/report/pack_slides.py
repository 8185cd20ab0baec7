"""Texts of slides of 1920×1080: place, time, expected error, and changes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic

from flycam.frame.timestamp import VIETNAM, format_minute, format_utc_offset, get_local_zone
from flycam.messages import Message, _, join, ngettext, pgettext
from flycam.report.blocks import T_co, Text
from flycam.report.number_format import format_area, format_percent
from flycam.report.pack_changes import (
    format_change,
    format_cut_roads,
    format_seen_picture,
    name_change_picture,
)
from flycam.report.pack_figures import PackChange, PackCommune, PackFigures, PackFlight
from flycam.report.pack_pending import (
    format_marks_briefly,
    format_pending,
    format_places,
    list_all_marks,
)
from flycam.report.pack_phrases import (
    OVERVIEW,
    format_age,
    format_commune_share,
    format_flight_error,
    format_imaged,
    name_commune_picture,
    prefix_classification,
)
from flycam.report.pack_title import find_last_ns, format_events


@dataclass(frozen=True, kw_only=True, slots=True)
class Slide(Generic[T_co]):
    """Slide with a title that is read from five metres, and a line below it.

    is_pair: before beside after.
    """

    picture: str
    title: T_co
    line: T_co
    is_pair: bool = False


def build_slides(figures: PackFigures) -> Iterator[Slide[Message]]:
    """Yield the overview, a slide for each commune, and the largest changes."""
    said = format_marks_briefly(list_all_marks(figures))
    if figures.waiting is not None:
        said.append(format_pending(figures.waiting))
    said.append(_shown(format_imaged(figures)))
    if figures.communes:
        said.append(count_communes(len(figures.communes)))
    if figures.changes:
        said.append(_changed(format_places(figures.places), figures.changes_m2))
    yield Slide(
        picture=OVERVIEW,
        title=join([format_events(figures), _when(find_last_ns(figures), figures)], " – "),
        line=_line(figures, *said),
    )
    for one in figures.communes:
        yield _commune(figures, one)
    for change in figures.changes:
        if name_change_picture(change.number) in figures.slides:
            yield _change(figures, change)


def _commune(figures: PackFigures, one: PackCommune) -> Slide[Message]:
    by_number = {flight.number: flight for flight in figures.flights}
    worst = max((by_number[number] for number in one.flights), key=_badness)
    said = format_marks_briefly(one.marks)
    if one.waiting is not None:
        said.append(format_pending(one.waiting))
    said.append(_shown(format_commune_share(one.imaged_m2, one.imaged_pct)))
    if one.compared_pct is None:
        said.append(_("before and after not compared"))
    else:
        said.append(_("before and after compared on {pct} of it", pct=format_percent(one.compared_pct)))
    if one.touched is not None:
        said.append(_changed(str(one.touched.changes), one.touched.area_m2))
    elif one.compared_pct is not None and one.waiting is None:
        said.append(_("no change confirmed on what was compared"))
    said.append(join([_("Error on the ground"), format_flight_error(worst)], ": "))
    return Slide(
        picture=name_commune_picture(one.number),
        title=join([one.name, _when(one.last_ns, figures)], " – "),
        line=_line(figures, *said),
    )


def _change(figures: PackFigures, one: PackChange) -> Slide[Message]:
    said = [
        join([word, format_seen_picture(seen, is_slide=True)], ": ")
        for word, seen in zip((_("BEFORE"), _("AFTER")), one.seen or (), strict=False)
    ]
    if one.is_drawn:
        said.append(_("drawn by hand"))
    if one.doubts:
        said.append(_("two doubtful pictures"))
    if cut := format_cut_roads(one):
        said.append(cut)
    said.append(_("confirmed by {name}", name=one.author))
    return Slide(
        picture=name_change_picture(one.number),
        title=format_change(figures, one),
        line=_line(figures, *said),
        is_pair=True,
    )


def count_communes(count: int) -> Message:
    """Format a number of communes."""
    return ngettext("{count} commune", "{count} communes", count)


def _changed(counted: Text, area_m2: float) -> Message:
    return _(
        "confirmed changes (violet): {changes}; {area} in all", changes=counted, area=format_area(area_m2)
    )


def _line(figures: PackFigures, *said: Message) -> Message:
    covered = [_("partly masked")] if figures.is_covered else []
    return prefix_classification(figures, join([*said, *covered], " · "))


def _badness(flight: PackFlight) -> float:
    """Return a flight's rank where one error stands for several; unknown is worst."""
    return math.inf if flight.error_m is None else flight.error_m[1]


def _shown(size: Message) -> Message:
    return join([_("Shown"), size], ": ")


def _when(last_ns: int, figures: PackFigures) -> Message:
    said = {
        "time": format_minute(last_ns),
        "zone": format_utc_offset(last_ns),
        "age": format_age(last_ns, figures.made_ns),
    }
    if get_local_zone() is VIETNAM:
        # who reads Vietnamese needs no zone then
        return pgettext("in Viet Nam", "{time} {zone} ({age} ago)", **said)
    return _("{time} {zone} ({age} ago)", **said)
