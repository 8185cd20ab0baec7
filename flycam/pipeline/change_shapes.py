"""Outlines of changes: what may be drawn, and how large it is and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from flycam.catalog.boundaries import Boundaries
from flycam.errors import InputUnusable
from flycam.geodata.crs import WGS84, point_transform, work_crs_for

LonLat = tuple[float, float]
Outline = Sequence[Sequence[Sequence[LonLat]]]
"""Of a multipolygon as GeoJSON has it: polygons of rings (outer, then holes) of (longitude, latitude)."""

MOST_CORNERS = 5000
MOST_KM2 = 400.0

_LAT = 80.0
_DECIMALS = 8  # a millimetre: what a screen sends back unchanged is the same
_M2_PER_KM2 = 1e6


@dataclass(frozen=True, kw_only=True, slots=True)
class Ground:
    """An outline and its measures: multipolygon in WGS 84 degrees; area and length along the longest axis in
    metres of its UTM zone; commune "" where no boundary is known."""

    shape: BaseGeometry
    area_m2: float
    length_m: float
    commune: str


def drawn(outline: Outline) -> BaseGeometry:
    """What somebody drew, as a multipolygon.

    Raises InputUnusable: too few or too many corners, off the globe, an outline that crosses itself.
    """
    corners = [place for polygon in outline for ring in polygon for place in ring]
    if not 3 <= len(corners) <= MOST_CORNERS or any(
        not polygon or any(len(ring) < 3 for ring in polygon) for polygon in outline
    ):
        raise InputUnusable(
            f"outline: has 3 to {MOST_CORNERS} corners: longitude, latitude; draw it again",
            vi=f"outline: đường bao phải có từ 3 đến {MOST_CORNERS} đỉnh (kinh độ, vĩ độ); hãy vẽ lại",
        )
    if not all(-180.0 <= lon <= 180.0 and -_LAT <= lat <= _LAT for lon, lat in corners):
        raise InputUnusable(
            "outline: lies off the map; longitude comes first, then latitude",
            vi="outline: nằm ngoài bản đồ; kinh độ đứng trước, vĩ độ đứng sau",
        )
    rounded = [[np.round(ring, _DECIMALS) for ring in polygon] for polygon in outline]
    shape = shapely.MultiPolygon([shapely.Polygon(outer, holes) for outer, *holes in rounded])
    if not shape.is_valid or shape.area == 0.0:
        raise InputUnusable(
            "outline: crosses itself; draw it again", vi="outline: đường bao tự cắt nhau; hãy vẽ lại"
        )
    return shape


def united(shapes: Sequence[BaseGeometry]) -> BaseGeometry:
    """All ground of several multipolygons as one."""
    together = shapely.union_all(list(shapes))
    parts = [part for part in shapely.get_parts(together) if part.geom_type == "Polygon"]
    return shapely.MultiPolygon(parts)


def measured(shape: BaseGeometry, boundaries: Boundaries) -> Ground:
    """The measures of a multipolygon in WGS 84; its commune is that in force today.

    Raises InputUnusable: larger than `MOST_KM2`, for which one zone's metres would not do.
    """
    middle = shape.representative_point()
    crs = work_crs_for(middle.x, middle.y)
    onto = point_transform(WGS84, crs)
    flat = shapely.transform(shape, onto)
    if not 0.0 < flat.area <= MOST_KM2 * _M2_PER_KM2:
        raise InputUnusable(
            f"outline: one change is at most {MOST_KM2:.0f} km²; draw it in parts",
            vi=f"outline: mỗi thay đổi rộng nhất {MOST_KM2:.0f} km²; hãy vẽ thành nhiều phần",
        )
    return Ground(
        shape=shape,
        area_m2=float(flat.area),
        length_m=_length_m(flat),
        commune=_commune(shape, boundaries),
    )


def _length_m(flat: BaseGeometry) -> float:
    """The longer side of the smallest rectangle around it."""
    corners = shapely.get_coordinates(shapely.minimum_rotated_rectangle(flat))
    return float(np.hypot(*np.diff(corners[:3], axis=0).T).max())


def _commune(shape: BaseGeometry, boundaries: Boundaries) -> str:
    """The one that holds most of it; "" where none is known. Shares of one small shape: degrees will do."""
    west, south, east, north = (float(side) for side in shape.bounds)
    communes = boundaries.communes(None, (west, south, east, north))
    areas = [shapely.make_valid(shapely.from_wkb(one.wkb)) for one in communes]
    held = [(float((area & shape).area), one.code) for area, one in zip(areas, communes, strict=True)]
    return max((one for one in held if one[0] > 0.0), default=(0.0, ""))[1]
