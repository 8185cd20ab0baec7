"""Geometries in KML (OGC 12-007r2): longitude, latitude, altitude, of WGS 84."""

from __future__ import annotations

import shapely
from shapely.geometry.base import BaseGeometry

KML_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<kml xmlns="http://www.opengis.net/kml/2.2"><Document>'
KML_FOOT = "</Document></kml>\n"


def format_multi_geometry(shape: BaseGeometry) -> str:
    """Format points and polygons (N parts or one) as a MultiGeometry on the ground.

    Other parts are left out.
    """
    parts = [_part(part) for part in shapely.get_parts(shape) if not part.is_empty]
    return f"<MultiGeometry>{''.join(parts)}</MultiGeometry>"


def _part(part: BaseGeometry) -> str:
    match part.geom_type:
        case "Point":
            return f"<Point><coordinates>{_coordinates(part)}</coordinates></Point>"
        case "Polygon":
            inner = "".join(f"<innerBoundaryIs>{_ring(ring)}</innerBoundaryIs>" for ring in part.interiors)
            outer = f"<outerBoundaryIs>{_ring(part.exterior)}</outerBoundaryIs>"
            return f"<Polygon><tessellate>1</tessellate>{outer}{inner}</Polygon>"
    return ""


def _ring(ring: BaseGeometry) -> str:
    return f"<LinearRing><coordinates>{_coordinates(ring)}</coordinates></LinearRing>"


def _coordinates(shape: BaseGeometry) -> str:
    return " ".join(f"{lon:.7f},{lat:.7f},0" for lon, lat in shapely.get_coordinates(shape).tolist())
