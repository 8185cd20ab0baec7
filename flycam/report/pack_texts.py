"""Places as a briefing pack writes them."""

from __future__ import annotations

from flycam.messages import _
from flycam.report.blocks import Text


def format_place(lonlat_deg: tuple[float, float], vn2000: tuple[float, float, float] | None) -> Text:
    """Format coordinates with decimal points in any language.

    They are copied into other programs.
    """
    lon, lat = lonlat_deg
    said = f"{lat:.6f}, {lon:.6f}"
    if vn2000 is None:
        return said
    x, y, meridian_deg = vn2000
    degrees, minutes = divmod(round(meridian_deg * 60), 60)
    meridian = f"{degrees}°{minutes:02}′"
    return _(
        "{place}; VN-2000 X {x} Y {y} (central meridian {meridian})",
        place=said,
        x=format(x, ".1f"),
        y=format(y, ".1f"),
        meridian=meridian,
    )
