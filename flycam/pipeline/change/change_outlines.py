"""Outlines of changes: validation, measures, commune."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from flycam.analysis.position_error import estimate_area_error_m2
from flycam.catalog.boundaries import Boundaries
from flycam.catalog.change_version import ChangeVersion
from flycam.errors import FlycamError, InputUnusable
from flycam.geodata.crs import WGS84, choose_work_crs, make_point_transform
from flycam.geodata.dem import load_terrain
from flycam.geodata.dem_info import DemInfo
from flycam.geometry.terrain import interpolate_heights
from flycam.messages import _
from flycam.pipeline.location_check import require_valid_locations
from flycam.pipeline.terrain import load_registered_dems
from flycam.pipeline.workspace import Workspace

LonLat = tuple[float, float]
Outline = Sequence[Sequence[Sequence[LonLat]]]
"""GeoJSON coordinates of a multipolygon: polygons of rings (outer, then holes) of (longitude, latitude)."""

MAX_OUTLINE_CORNERS = 5000
MAX_AREA_KM2 = 400.0

# A millimetre, so that an outline that a browser sends back unedited is unchanged.
DECIMALS = 8
_M2_PER_KM2 = 1e6
# the largest parts of an outline
_SLOPE_PARTS = 50
_SLOPE_STEPS = 100  # across an outline, at most
_SLOPE_STEP_M = 2.0
_MIN_KNOWN_SHARE = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredOutline:
    """An outline and its measures.

    Multipolygon in WGS 84 degrees; area and length along the longest axis in metres of its UTM zone; mean
    slope of the registered terrain, None where it is not known under half of the outline; commune "" where no
    boundary is known.
    """

    shape: BaseGeometry
    area_m2: float
    length_m: float
    slope_deg: float | None
    commune: str


def to_valid_shapes(lines: Sequence[ChangeVersion]) -> NDArray[np.object_]:
    """Return the valid shapes of N changes (WGS 84): N."""
    valid: NDArray[np.object_] = shapely.make_valid(
        shapely.from_wkb(np.array([line.wkb for line in lines], dtype=object))
    )
    return valid


def extract_polygons(shape: BaseGeometry) -> BaseGeometry:
    """Return the polygons of a shape as one multipolygon.

    Intersections of shapes that only touch leave lines and points, which are dropped.
    """
    parts = shapely.get_parts(shapely.get_parts(shape))
    return shapely.MultiPolygon([part for part in parts if part.geom_type == "Polygon"])


def to_wgs84(shape: BaseGeometry, crs: str) -> BaseGeometry:
    """Return a shape in `crs` as it is recorded: WGS 84, to the millimetre."""
    to_degrees = make_point_transform(crs, WGS84)
    return shapely.transform(shape, lambda xy: to_degrees(xy).round(DECIMALS))


def derive_record_id(*parts: str) -> str:
    """Return 32 hex digits of the hash of parts that identify a record.

    The same content recorded again has the same id.
    """
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def parse_outline(outline: Outline) -> BaseGeometry:
    """Return a drawn outline as a multipolygon.

    Raises InputUnusable: too few or too many corners, off the globe, an outline that crosses itself.
    """
    corners = [place for polygon in outline for ring in polygon for place in ring]
    if not 3 <= len(corners) <= MAX_OUTLINE_CORNERS or any(
        not polygon or any(len(ring) < 3 for ring in polygon) for polygon in outline
    ):
        raise InputUnusable(
            _(
                "the outline must have 3 to {most_corners} corners; draw it again",
                most_corners=MAX_OUTLINE_CORNERS,
            )
        )
    require_valid_locations(corners, _("the outline"))
    rounded = [[np.round(ring, DECIMALS) for ring in polygon] for polygon in outline]
    shape = shapely.MultiPolygon([shapely.Polygon(outer, holes) for outer, *holes in rounded])
    if not shape.is_valid or shape.area == 0.0:
        raise InputUnusable(_("the outline crosses itself; draw it again"))
    return shape


def measure_outline(shape: BaseGeometry, workspace: Workspace, *, is_drill: bool) -> MeasuredOutline:
    """Measure a multipolygon in WGS 84.

    The commune is the one in force today; in a drill, the drill's. Raises InputUnusable if it is larger than
    `MAX_AREA_KM2`, for which one zone's metres would not do.
    """
    middle = shape.representative_point()
    crs = choose_work_crs(middle.x, middle.y)
    onto = make_point_transform(WGS84, crs)
    flat = shapely.transform(shape, onto)
    if not 0.0 < flat.area <= MAX_AREA_KM2 * _M2_PER_KM2:
        raise InputUnusable(
            _("one change is at most {most_km2:.0f} km²; draw it in parts", most_km2=MAX_AREA_KM2)
        )
    return MeasuredOutline(
        shape=shape,
        area_m2=float(flat.area),
        length_m=_length_m(flat),
        slope_deg=_slope_deg(flat, crs, workspace),
        commune=_commune(shape, workspace.catalog.boundaries, is_drill=is_drill),
    )


def estimate_area_error(line: ChangeVersion) -> float:
    """Return the 1-sigma error of a change's area, square metres.

    From its outline (the detector's or, where it has no score, a person's) and its position error where that
    is known; see `analysis.position_error`.
    """
    shape = shapely.from_wkb(line.wkb)
    middle = shape.representative_point()
    flat = shapely.transform(shape, make_point_transform(WGS84, choose_work_crs(middle.x, middle.y)))
    return estimate_area_error_m2(line.kind, float(flat.length), line.error_m, by_hand=line.score is None)


def _length_m(flat: BaseGeometry) -> float:
    """Return the longer side of the minimum rotated rectangle."""
    corners = shapely.get_coordinates(shapely.minimum_rotated_rectangle(flat))
    return float(np.hypot(*np.diff(corners[:3], axis=0).T).max())


def _slope_deg(flat: BaseGeometry, crs: str, workspace: Workspace) -> float | None:
    """Return the slope of the mean of rise over run on the registered terrain.

    As `analysis.patch_measures` has it; None where the height is not known under half of the outline.
    Computed part by part: parts may lie far from each other, and a grid over all would have no post on any.
    Of more than `_SLOPE_PARTS` parts the largest are used.
    """
    parts = sorted(shapely.get_parts(flat), key=lambda part: -part.area)[:_SLOPE_PARTS]
    try:
        dems = load_registered_dems(workspace)
    except FlycamError:
        # Terrain that is missing or damaged must not keep anyone from recording a landslide.
        return None
    told = [(part.area, _tangents(part, crs, dems)) for part in parts]
    weights = np.concatenate([np.full(len(some), area / len(some)) for area, some in told])
    tangents = np.concatenate([some for _, some in told])
    known = np.isfinite(tangents)
    if weights[known].sum() < _MIN_KNOWN_SHARE * flat.area:
        return None
    return math.degrees(math.atan(float(np.average(tangents[known], weights=weights[known]))))


def _tangents(part: BaseGeometry, crs: str, dems: Sequence[DemInfo]) -> NDArray[np.float64]:
    """Return rise over run at posts in a polygon, at least one; NaN: not known."""
    west, south, east, north = (float(side) for side in part.bounds)
    step = max((east - west) / _SLOPE_STEPS, (north - south) / _SLOPE_STEPS, _SLOPE_STEP_M)
    try:
        terrain = load_terrain(dems, crs, (west - step, south - step, east + step, north + step))
    except FlycamError:
        return np.array([np.nan])
    x, y = np.meshgrid(np.arange(west, east + step, step), np.arange(south, north + step, step))
    inside = shapely.contains_xy(part, x, y)
    places = np.stack([x[inside], y[inside]], axis=-1)
    if not len(places):
        places = shapely.get_coordinates(part.representative_point())
    rise = [
        interpolate_heights(terrain, places + half) - interpolate_heights(terrain, places - half)
        for half in ((step / 2, 0.0), (0.0, step / 2))
    ]
    tangents: NDArray[np.float64] = np.hypot(*rise) / step
    return tangents


def _commune(shape: BaseGeometry, boundaries: Boundaries, *, is_drill: bool) -> str:
    """Return the code of the commune that holds most of a shape; "": not known.

    Shares of one small shape: degrees will do.
    """
    west, south, east, north = (float(side) for side in shape.bounds)
    communes = boundaries.list_countable(is_drill=is_drill, bounds=(west, south, east, north))
    areas = [shapely.make_valid(shapely.from_wkb(one.wkb)) for one in communes]
    held = [(float((area & shape).area), one.code) for area, one in zip(areas, communes, strict=True)]
    return max((one for one in held if one[0] > 0.0), default=(0.0, ""))[1]
