"""A KML that the pilot's tablet opens: the ground to refly. Source: OGC 12-007r2 (KML 2.3)."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from shapely import Polygon
from shapely.geometry.base import BaseGeometry

from flycam.ingest.diagnosis import Gap, GapKind

_STYLES = {GapKind.HOLE: "ff0000ff", GapKind.BREAK: "ff00a5ff"}  # aabbggrr: red, orange
_NAMES = {GapKind.HOLE: "Chưa chụp / not seen", GapKind.BREAK: "Đứt đường bay / strip broken"}


def refly_kml(gaps: Sequence[Gap], title: str) -> str:
    """KML text with one placemark per gap, largest first, in WGS 84; names in Vietnamese and English."""
    ordered = sorted(gaps, key=lambda g: (g.kind is not GapKind.HOLE, -g.area_m2))
    styles = "".join(
        f'<Style id="{kind.value}"><LineStyle><color>{colour}</color><width>3</width></LineStyle>'
        f"<PolyStyle><color>60{colour[2:]}</color></PolyStyle></Style>"
        for kind, colour in _STYLES.items()
    )
    marks = "".join(_placemark(number, gap) for number, gap in enumerate(ordered, start=1))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<kml xmlns="http://www.opengis.net/kml/2.2"><Document>'
        f"<name>{escape(title)}</name>{styles}{marks}</Document></kml>\n"
    )


def _placemark(number: int, gap: Gap) -> str:
    parts = "".join(_polygon(p) for p in _polygons(gap.polygon_lonlat))
    return (
        f"<Placemark><name>{number}. {_NAMES[gap.kind]}: {gap.area_m2:,.0f} m²</name>"
        f"<description>{escape(gap.sentence_vi)} {escape(gap.sentence_en)}</description>"
        f"<styleUrl>#{gap.kind.value}</styleUrl><MultiGeometry>{parts}</MultiGeometry></Placemark>"
    )


def _polygons(geometry: BaseGeometry) -> list[Polygon]:
    parts = getattr(geometry, "geoms", [geometry])
    return [p for p in parts if isinstance(p, Polygon) and not p.is_empty]


def _polygon(polygon: Polygon) -> str:
    inner = "".join(f"<innerBoundaryIs>{_ring(r)}</innerBoundaryIs>" for r in polygon.interiors)
    outer = f"<outerBoundaryIs>{_ring(polygon.exterior)}</outerBoundaryIs>"
    return f"<Polygon><tessellate>1</tessellate>{outer}{inner}</Polygon>"


def _ring(ring: BaseGeometry) -> str:
    points = " ".join(f"{x:.7f},{y:.7f},0" for x, y, *_ in ring.coords)
    return f"<LinearRing><coordinates>{points}</coordinates></LinearRing>"
