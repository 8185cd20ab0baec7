"""Phrases shared by parts of a briefing pack: age, expected error, imaged share."""

from __future__ import annotations

from flycam.messages import Message, _, join, ngettext
from flycam.model.flight import Classification
from flycam.model.text import format_area, format_number, format_percent
from flycam.reports.briefing.figures import PackFigures, PackFlight
from flycam.reports.layout import Text

OVERVIEW, LOCATOR = "overview", "locator"
_MINUTE_NS = 60 * 10**9
_CLASSIFICATIONS = {Classification.INTERNAL: _("INTERNAL"), Classification.RESTRICTED: _("RESTRICTED")}


def prefix_classification(figures: PackFigures, line: Message) -> Message:
    """Prefix a line with the classification, "RESTRICTED · ", unless it is open."""
    if figures.classification is Classification.OPEN:
        return line
    return join([_CLASSIFICATIONS[figures.classification], line], " · ")


def name_commune_picture(number: int) -> str:
    """Return the name of a commune's image."""
    return f"commune-{number}"


def format_age(then_ns: int, now_ns: int) -> Message:
    """Format the time between two moments, in the largest unit of two or more.

    As the web page does (`formatAge`): rounded up, so that nothing looks newer than it is, but for years,
    which are complete ones and stand beside their date.
    """
    passed_ns = max(now_ns - then_ns, 0)
    minutes = passed_ns // _MINUTE_NS
    if minutes < 120:
        return ngettext("{count} minute", "{count} minutes", max(-(-passed_ns // _MINUTE_NS), 1))
    if minutes < 48 * 60:
        return ngettext("{count} hour", "{count} hours", -(-minutes // 60))
    days = -(-minutes // (24 * 60))
    if days <= 2 * 365:
        return ngettext("{count} day", "{count} days", days)
    return ngettext("{count} year", "{count} years", days * 4 // 1461)


def format_imaged(figures: PackFigures) -> Message:
    """Format imaged ground and its share of the communes.

    Where no communes are known, all imaged ground without a share.
    """
    if figures.communes_pct is None:
        return format_area(figures.imaged_m2)
    inside = format_area(sum(one.imaged_m2 for one in figures.communes))
    return _("{area} ({pct} of their area)", area=inside, pct=format_percent(figures.communes_pct))


def format_commune_share(area_m2: float, pct: float) -> Message:
    """Format imaged ground of a commune, and its share of it."""
    return _("{area} ({pct} of the commune)", area=format_area(area_m2), pct=format_percent(pct))


def format_flight_error(one: PackFlight) -> Message:
    """Format a flight's expected error on the ground, or why it is unknown."""
    if one.error_m is None:
        text = _("not known (not finished)") if one.revision == 0 else _("not known (no quality report)")
    else:
        median, p95 = (_within(value) for value in one.error_m)
        text = _("{median}; 95 % within {p95}", median=median, p95=p95)
        if one.shift_m is None:
            text = _("{error} (common shift not known, and not included)", error=text)
        elif one.shift_m > 0.0:
            text = _("{error} (common shift of {shift} included)", error=text, shift=_within(one.shift_m))
    return _("{error}; no terrain known, placed on a plane", error=text) if one.on_plane else text


def _within(value_m: float) -> Message:
    """Format an expected error with as many decimals as captions on the web page."""
    return join(["± ", format_number(value_m, 2 if value_m < 1.0 else 1), "\N{NO-BREAK SPACE}m"], "")


# -- Places in a briefing pack ---------------------------------------------------------------------


def format_place(lonlat_deg: tuple[float, float], vn2000: tuple[float, float, float] | None) -> Text:
    """Format coordinates with decimal points in any language.

    They are copied into other programs.
    """
    lon, lat = lonlat_deg
    latlon_text = f"{lat:.6f}, {lon:.6f}"
    if vn2000 is None:
        return latlon_text
    x, y, meridian_deg = vn2000
    degrees, minutes = divmod(round(meridian_deg * 60), 60)
    meridian = f"{degrees}°{minutes:02}′"
    return _(
        "{place}; VN-2000 X {x} Y {y} (central meridian {meridian})",
        place=latlon_text,
        x=format(x, ".1f"),
        y=format(y, ".1f"),
        meridian=meridian,
    )
