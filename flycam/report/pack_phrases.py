"""Phrases shared by parts of a briefing pack: age, expected error, imaged share."""

from __future__ import annotations

from flycam.frame.classification import CLASSIFICATION_NAMES, Classification
from flycam.report.number_format import format_area, format_number, format_percent
from flycam.report.pack_figures import PackFigures, PackFlight
from flycam.report.pack_texts import format_pack_text

OVERVIEW, LOCATOR = "overview", "locator"
_MINUTE_NS = 60 * 10**9


def format_classification_prefix(figures: PackFigures, language: str) -> str:
    """Return the classification before a line, as "HẠN CHẾ · "; "" for an open pack."""
    if figures.classification is Classification.OPEN:
        return ""
    return f"{CLASSIFICATION_NAMES[figures.classification].in_language(language).upper()} · "


def name_commune_picture(number: int) -> str:
    """Return the name of a commune's image."""
    return f"commune-{number}"


def format_age(then_ns: int, now_ns: int, language: str) -> str:
    """Format the time between two moments, in the largest unit of two or more.

    As the web page does (`formatAge`): rounded up, so that nothing looks newer than it is, but for years,
    which are complete ones and stand beside their date.
    """
    passed_ns = max(now_ns - then_ns, 0)
    minutes = passed_ns // _MINUTE_NS
    if minutes < 120:
        return format_pack_text("age_minutes", language, count=max(-(-passed_ns // _MINUTE_NS), 1))
    if minutes < 48 * 60:
        return format_pack_text("age_hours", language, count=-(-minutes // 60))
    days = -(-minutes // (24 * 60))
    if days <= 2 * 365:
        return format_pack_text("age_days", language, count=days)
    return format_pack_text("age_years", language, count=days * 4 // 1461)


def format_imaged(figures: PackFigures, language: str) -> str:
    """Format imaged ground and its share of the communes.

    Where no communes are known, all imaged ground without a share.
    """
    if figures.communes_pct is None:
        return format_area(figures.imaged_m2, language)
    inside = format_area(sum(one.imaged_m2 for one in figures.communes), language)
    return format_pack_text(
        "share_of_communes", language, area=inside, pct=format_percent(figures.communes_pct, language)
    )


def format_flight_error(one: PackFlight, language: str) -> str:
    """Format a flight's expected error on the ground, or why it is unknown."""
    if one.error_m is None:
        said = format_pack_text("error_live" if one.revision == 0 else "error_unreported", language)
    else:
        median, p95 = (_within(value, language) for value in one.error_m)
        said = format_pack_text("error_of", language, median=median, p95=p95)
        if one.shift_m is None:
            said = f"{said} ({format_pack_text('shift_unknown', language)})"
        elif one.shift_m > 0.0:
            said = (
                f"{said} ({format_pack_text('shift_in_it', language, shift=_within(one.shift_m, language))})"
            )
    return f"{said}; {format_pack_text('on_plane', language)}" if one.on_plane else said


def _within(value_m: float, language: str) -> str:
    """Format an expected error with as many decimals as captions on the web page."""
    return f"± {format_number(value_m, 2 if value_m < 1.0 else 1, language)}\N{NO-BREAK SPACE}m"
