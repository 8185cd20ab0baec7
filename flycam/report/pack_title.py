"""Subject of a briefing pack (its events, or the time of flight), and approval."""

from __future__ import annotations

from flycam.frame.flight import is_unnamed
from flycam.frame.timestamp import format_minute, format_utc_offset
from flycam.messages import Message, _, join
from flycam.report.blocks import Paragraph, Text
from flycam.report.number_format import format_list, format_period
from flycam.report.pack_figures import PackFigures, has_one_signatory


def format_subtitle(figures: PackFigures) -> Message:
    """Format the line below the title."""
    if named := _list_event_names(figures):
        return _("On pictures of the scene taken from the air – {events}", events=", ".join(named))
    return _(
        "On pictures of the scene taken from the air, {period}",
        period=format_period(find_first_ns(figures), find_last_ns(figures)),
    )


def format_events(figures: PackFigures) -> Message:
    """Format at most two events, for a slide."""
    named = _list_event_names(figures)
    return format_list(named, max_parts=2) if named else _("Pictures from the air")


def find_first_ns(figures: PackFigures) -> int:
    """Return when the first image was taken, UTC."""
    return min(one.first_ns for one in figures.flights)


def find_last_ns(figures: PackFigures) -> int:
    """Return when the newest image was taken, UTC."""
    return max(one.last_ns for one in figures.flights)


def build_approval(figures: PackFigures) -> Paragraph[Text]:
    """Build the paragraph on requester and approver; it shows if they are one person."""
    asked, name = figures.requested_by, figures.approved_by
    when = {"at": format_minute(figures.made_ns), "zone": format_utc_offset(figures.made_ns)}
    if name and has_one_signatory(asked, name):
        said = _(
            "Asked for and approved by one person, {name}, at {at} ({zone}): nobody else has checked it.",
            name=name,
            **when,
        )
        return Paragraph(text=said, kind="care")
    said = (
        _("Approved by {name} at {at} ({zone}).", name=name, **when)
        if name
        else _("A draft that no leader has approved: not yet a basis for decisions.")
    )
    said = join([said, _("Asked for by {name}.", name=asked)]) if asked else said
    return Paragraph(text=said, kind="good" if name else "bad")


def _list_event_names(figures: PackFigures) -> list[str]:
    return [one for one in figures.events if not is_unnamed(one)]
