"""Subject of a briefing pack (its events, or the time of flight), and approval."""

from __future__ import annotations

from flycam.frame.flight import is_unnamed
from flycam.frame.timestamp import format_minute, format_utc_offset
from flycam.report.blocks import Paragraph
from flycam.report.number_format import format_list, format_period
from flycam.report.pack_figures import PackFigures, has_one_signatory
from flycam.report.pack_texts import format_pack_text


def format_subtitle(figures: PackFigures, language: str) -> str:
    """Format the line below the title."""
    if named := _list_event_names(figures):
        return format_pack_text("about", language, events=", ".join(named))
    return format_pack_text(
        "about_unnamed", language, period=format_period(find_first_ns(figures), find_last_ns(figures))
    )


def format_events(figures: PackFigures, language: str) -> str:
    """Format at most two events, for a slide."""
    named = _list_event_names(figures)
    return format_list(named, language, max_parts=2) if named else format_pack_text("unnamed", language)


def find_first_ns(figures: PackFigures) -> int:
    """Return when the first image was taken, UTC."""
    return min(one.first_ns for one in figures.flights)


def find_last_ns(figures: PackFigures) -> int:
    """Return when the newest image was taken, UTC."""
    return max(one.last_ns for one in figures.flights)


def build_approval(figures: PackFigures, language: str) -> Paragraph:
    """Build the paragraph on requester and approver; it shows if they are one person."""
    asked, name, at = figures.requested_by, figures.approved_by, format_minute(figures.made_ns)
    zone = format_utc_offset(figures.made_ns)
    if name and has_one_signatory(asked, name):
        return Paragraph(
            text=format_pack_text("approved_alone", language, name=name, at=at, zone=zone), kind="care"
        )
    said = [
        format_pack_text("approved", language, name=name, at=at, zone=zone)
        if name
        else format_pack_text("draft_note", language)
    ]
    said += [format_pack_text("asked_by", language, name=asked)] if asked else []
    return Paragraph(text=" ".join(said), kind="good" if name else "bad")


def _list_event_names(figures: PackFigures) -> list[str]:
    return [one for one in figures.events if not is_unnamed(one)]
