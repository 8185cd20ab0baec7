"""What a meeting pack is about (the storms it tells of, or when it was flown where nobody named any), and who
answers for it."""

from __future__ import annotations

from flycam.frame.flight import is_unnamed
from flycam.frame.moment import minute_of, zone_at
from flycam.report.blocks import Paragraph
from flycam.report.numbers import listed, period
from flycam.report.pack_figures import PackFigures, is_one_person
from flycam.report.pack_words import told


def about(figures: PackFigures, language: str) -> str:
    """The line below the title."""
    if named := _named(figures):
        return told("about", language, events=", ".join(named))
    return told("about_unnamed", language, period=period(first_ns(figures), last_ns(figures)))


def events_said(figures: PackFigures, language: str) -> str:
    """As a slide has them: two at the most."""
    named = _named(figures)
    return listed(named, language, most=2) if named else told("unnamed", language)


def first_ns(figures: PackFigures) -> int:
    """When the first picture was taken, UTC."""
    return min(one.first_ns for one in figures.flights)


def last_ns(figures: PackFigures) -> int:
    """When the newest was."""
    return max(one.last_ns for one in figures.flights)


def approval(figures: PackFigures, language: str) -> Paragraph:
    """Who asked for it and who approved it: a reader must see where that is one person."""
    asked, name, at = figures.asked_by, figures.approved_by, minute_of(figures.made_ns)
    zone = zone_at(figures.made_ns)
    if name and is_one_person(asked, name):
        return Paragraph(text=told("approved_alone", language, name=name, at=at, zone=zone), kind="care")
    said = [told("approved", language, name=name, at=at, zone=zone) if name else told("draft_note", language)]
    said += [told("asked_by", language, name=asked)] if asked else []
    return Paragraph(text=" ".join(said), kind="good" if name else "bad")


def _named(figures: PackFigures) -> list[str]:
    return [one for one in figures.events if not is_unnamed(one)]
