"""KML of the ground to refly, for the pilot's tablet. Source: OGC 12-007r2 (KML 2.3)."""

from __future__ import annotations

from collections.abc import Sequence

from flycam.geodata.kml_geometry import KML_FOOT, KML_HEAD, format_multi_geometry
from flycam.geodata.xml_text import escape_xml
from flycam.ingest.preflight.diagnosis import Gap, GapKind
from flycam.messages import _

_STYLES = {GapKind.HOLE: "ff0000ff", GapKind.BREAK: "ff00a5ff"}  # aabbggrr: red, orange
_NAMES = {GapKind.HOLE: _("not seen"), GapKind.BREAK: _("strip broken")}


def make_refly_kml(gaps: Sequence[Gap], title: str) -> str:
    """Return KML text with one placemark per gap, largest first, in WGS 84.

    Names in Vietnamese and English.
    """
    ordered = sorted(gaps, key=lambda g: (g.kind is not GapKind.HOLE, -g.area_m2))
    styles = "".join(
        f'<Style id="{kind.value}"><LineStyle><color>{colour}</color><width>3</width></LineStyle>'
        f"<PolyStyle><color>60{colour[2:]}</color></PolyStyle></Style>"
        for kind, colour in _STYLES.items()
    )
    marks = "".join(_placemark(number, gap) for number, gap in enumerate(ordered, start=1))
    return f"{KML_HEAD}<name>{escape_xml(title)}</name>{styles}{marks}{KML_FOOT}"


def _placemark(number: int, gap: Gap) -> str:
    name, vi = _NAMES[gap.kind], gap.sentence.in_language("vi")
    return (
        f"<Placemark><name>{number}. {name.in_language('vi')} / {name}: {gap.area_m2:,.0f} m²</name>"
        f"<description>{escape_xml(f'{vi} {gap.sentence}')}</description>"
        f"<styleUrl>#{gap.kind.value}</styleUrl>{format_multi_geometry(gap.polygon_lonlat)}</Placemark>"
    )
