"""What pictures of 1920×1080 for a meeting screen say: where, when, how far off, and what changed there."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from flycam.frame.moment import VIETNAM, house_zone, minute_of, zone_at
from flycam.report.numbers import area, percent
from flycam.report.pack_changes import (
    change_said,
    cut_roads_said,
    kinds_said,
    picture_of_change,
    seen_said,
)
from flycam.report.pack_figures import PackChange, PackCommune, PackFigures, PackFlight
from flycam.report.pack_said import OVERVIEW, age, error_said, imaged_said, picture_of_number, stamped
from flycam.report.pack_title import events_said, last_ns
from flycam.report.pack_unconfirmed import marks_in_short, marks_of, waiting_said
from flycam.report.pack_words import told


@dataclass(frozen=True, kw_only=True, slots=True)
class Slide:
    """A picture for a screen of 1920×1080 with one line that is read from five metres, and one below it.
    is_pair: before beside after."""

    picture: str
    title: str
    line: str
    is_pair: bool = False


def slides_said(figures: PackFigures, language: str) -> Iterator[Slide]:
    """The overview, a slide for each commune, and the largest changes before and after."""
    last, count = last_ns(figures), len(figures.communes)
    said = marks_in_short(marks_of(figures), language)
    said += [waiting] if (waiting := waiting_said(figures.waiting, language)) else []
    said.append(_shown(imaged_said(figures, language), language))
    said += [told("communes_count", language, count=count)] if count else []
    if figures.changes:
        said.append(_changed(kinds_said(figures, language), figures.changes_m2, language))
    yield Slide(
        picture=OVERVIEW,
        title=f"{events_said(figures, language)} – {_when(last, figures, language)}",
        line=_line(figures, language, *said),
    )
    for one in figures.communes:
        yield _commune(figures, one, language)
    for change in figures.changes:
        if picture_of_change(change.number) in figures.slides:
            yield _change(figures, change, language)


def _commune(figures: PackFigures, one: PackCommune, language: str) -> Slide:
    by_number = {flight.number: flight for flight in figures.flights}
    worst = max((by_number[number] for number in one.flights), key=_badness)
    size, pct = area(one.imaged_m2, language), percent(one.imaged_pct, language)
    said = marks_in_short(one.marks, language)
    said += [waiting] if (waiting := waiting_said(one.waiting, language)) else []
    said.append(_shown(told("share_of_commune", language, area=size, pct=pct), language))
    if one.compared_pct is None:
        said.append(told("slide_not_compared", language))
    else:
        said.append(told("slide_compared", language, pct=percent(one.compared_pct, language)))
    if one.touched is not None:
        said.append(_changed(str(one.touched.changes), one.touched.area_m2, language))
    elif one.compared_pct is not None and one.waiting is None:
        said.append(told("slide_none_changed", language))
    said.append(f"{told('col_error', language)}: {error_said(worst, language)}")
    return Slide(
        picture=picture_of_number(one.number),
        title=f"{one.name} – {_when(one.last_ns, figures, language)}",
        line=_line(figures, language, *said),
    )


def _change(figures: PackFigures, one: PackChange, language: str) -> Slide:
    keys = ("pair_before", "pair_after")
    said = [
        f"{told(key, language)}: {seen_said(seen, language, is_slide=True)}"
        for key, seen in zip(keys, one.seen or (), strict=False)
    ]
    said += [told("slide_drawn", language)] if one.is_drawn else []
    said += [told("slide_doubted", language)] if one.doubts else []
    said += [cut] if (cut := cut_roads_said(one, language)) else []
    said.append(told("slide_confirmed", language, name=one.author))
    return Slide(
        picture=picture_of_change(one.number),
        title=change_said(figures, one, language),
        line=_line(figures, language, *said),
        is_pair=True,
    )


def _changed(counted: str, area_m2: float, language: str) -> str:
    return told("slide_changes", language, said=counted, area=area(area_m2, language))


def _line(figures: PackFigures, language: str, *said: str) -> str:
    covered = [told("covered_slide", language)] if figures.is_covered else []
    return stamped(figures, language) + " · ".join([*said, *covered])


def _badness(flight: PackFlight) -> float:
    """By which flights are ranked where one figure stands for several: an error nobody knows is the worst."""
    return math.inf if flight.error_m is None else flight.error_m[1]


def _shown(size: str, language: str) -> str:
    return f"{told('col_area', language)}: {size}"


def _when(last_ns: int, figures: PackFigures, language: str) -> str:
    since = age(last_ns, figures.made_ns, language)
    zone = "" if language == "vi" and house_zone() is VIETNAM else f" {zone_at(last_ns)}"
    return f"{minute_of(last_ns)}{zone} ({told('ago', language, age=since)})"
