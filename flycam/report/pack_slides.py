"""Texts of slides of 1920×1080: place, time, expected error, and changes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from flycam.frame.timestamp import VIETNAM, format_minute, format_utc_offset, get_local_zone
from flycam.report.number_format import format_area, format_percent
from flycam.report.pack_changes import (
    format_change,
    format_change_kinds,
    format_cut_roads,
    format_seen_picture,
    name_change_picture,
)
from flycam.report.pack_figures import PackChange, PackCommune, PackFigures, PackFlight
from flycam.report.pack_pending import format_marks_briefly, format_pending, list_all_marks
from flycam.report.pack_phrases import (
    OVERVIEW,
    format_age,
    format_classification_prefix,
    format_flight_error,
    format_imaged,
    name_commune_picture,
)
from flycam.report.pack_texts import format_pack_text
from flycam.report.pack_title import find_last_ns, format_events


@dataclass(frozen=True, kw_only=True, slots=True)
class Slide:
    """Slide with a title that is read from five metres, and a line below it.

    is_pair: before beside after.
    """

    picture: str
    title: str
    line: str
    is_pair: bool = False


def build_slides(figures: PackFigures, language: str) -> Iterator[Slide]:
    """Yield the overview, a slide for each commune, and the largest changes."""
    last, count = find_last_ns(figures), len(figures.communes)
    said = format_marks_briefly(list_all_marks(figures), language)
    said += [waiting] if (waiting := format_pending(figures.waiting, language)) else []
    said.append(_shown(format_imaged(figures, language), language))
    said += [format_pack_text("communes_count", language, count=count)] if count else []
    if figures.changes:
        said.append(_changed(format_change_kinds(figures, language), figures.changes_m2, language))
    yield Slide(
        picture=OVERVIEW,
        title=f"{format_events(figures, language)} – {_when(last, figures, language)}",
        line=_line(figures, language, *said),
    )
    for one in figures.communes:
        yield _commune(figures, one, language)
    for change in figures.changes:
        if name_change_picture(change.number) in figures.slides:
            yield _change(figures, change, language)


def _commune(figures: PackFigures, one: PackCommune, language: str) -> Slide:
    by_number = {flight.number: flight for flight in figures.flights}
    worst = max((by_number[number] for number in one.flights), key=_badness)
    size, pct = format_area(one.imaged_m2, language), format_percent(one.imaged_pct, language)
    said = format_marks_briefly(one.marks, language)
    said += [waiting] if (waiting := format_pending(one.waiting, language)) else []
    said.append(_shown(format_pack_text("share_of_commune", language, area=size, pct=pct), language))
    if one.compared_pct is None:
        said.append(format_pack_text("slide_not_compared", language))
    else:
        said.append(
            format_pack_text("slide_compared", language, pct=format_percent(one.compared_pct, language))
        )
    if one.touched is not None:
        said.append(_changed(str(one.touched.changes), one.touched.area_m2, language))
    elif one.compared_pct is not None and one.waiting is None:
        said.append(format_pack_text("slide_none_changed", language))
    said.append(f"{format_pack_text('col_error', language)}: {format_flight_error(worst, language)}")
    return Slide(
        picture=name_commune_picture(one.number),
        title=f"{one.name} – {_when(one.last_ns, figures, language)}",
        line=_line(figures, language, *said),
    )


def _change(figures: PackFigures, one: PackChange, language: str) -> Slide:
    keys = ("pair_before", "pair_after")
    said = [
        f"{format_pack_text(key, language)}: {format_seen_picture(seen, language, is_slide=True)}"
        for key, seen in zip(keys, one.seen or (), strict=False)
    ]
    said += [format_pack_text("slide_drawn", language)] if one.is_drawn else []
    said += [format_pack_text("slide_doubted", language)] if one.doubts else []
    said += [cut] if (cut := format_cut_roads(one, language)) else []
    said.append(format_pack_text("slide_confirmed", language, name=one.author))
    return Slide(
        picture=name_change_picture(one.number),
        title=format_change(figures, one, language),
        line=_line(figures, language, *said),
        is_pair=True,
    )


def _changed(counted: str, area_m2: float, language: str) -> str:
    return format_pack_text("slide_changes", language, said=counted, area=format_area(area_m2, language))


def _line(figures: PackFigures, language: str, *said: str) -> str:
    covered = [format_pack_text("covered_slide", language)] if figures.is_covered else []
    return format_classification_prefix(figures, language) + " · ".join([*said, *covered])


def _badness(flight: PackFlight) -> float:
    """Return a flight's rank where one error stands for several; unknown is worst."""
    return math.inf if flight.error_m is None else flight.error_m[1]


def _shown(size: str, language: str) -> str:
    return f"{format_pack_text('col_area', language)}: {size}"


def _when(last_ns: int, figures: PackFigures, language: str) -> str:
    since = format_age(last_ns, figures.made_ns, language)
    zone = "" if language == "vi" and get_local_zone() is VIETNAM else f" {format_utc_offset(last_ns)}"
    return f"{format_minute(last_ns)}{zone} ({format_pack_text('ago', language, age=since)})"
