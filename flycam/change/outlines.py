"""Outlines of changes: validation, measures, commune, and overlaps.

Changes that overlap are one place, whose ground counts once, and earlier decisions on the ground of a waiting
change are found.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree
from shapely.geometry.base import BaseGeometry

from flycam.catalog.board import Boundaries
from flycam.catalog.catalog import Catalog
from flycam.catalog.changes import ChangeVersion
from flycam.change.coregistration import Registration, estimate_area_error_m2, estimate_place_error_m
from flycam.change.detection import MIN_BARE_M2, MIN_FLOODED_M2
from flycam.errors import FlycamError, InputUnusable
from flycam.geodata.crs import WGS84, choose_work_crs, make_point_transform, require_valid_locations
from flycam.geodata.dem import DemInfo, load_terrain
from flycam.geodata.feature_file import FeatureLayer, write_features
from flycam.geodata.raster import trace_mask_polygons
from flycam.geometry.features import label_components
from flycam.geometry.terrain import interpolate_heights
from flycam.messages import _
from flycam.model.board import DETECTED_KINDS, ChangeKind, ChangeStatus
from flycam.model.flight import Flight
from flycam.model.records import CommuneRecord
from flycam.mosaic.coverage import get_flight_date
from flycam.mosaic.raster import OutputGrid
from flycam.mosaic.terrain import compute_lonlat_bounds, load_registered_dems
from flycam.workspace import Workspace

LonLat = tuple[float, float]
Outline = Sequence[Sequence[Sequence[LonLat]]]
"""GeoJSON coordinates of a multipolygon: polygons of rings (outer, then holes) of (longitude, latitude)."""

MAX_OUTLINE_CORNERS = 5000
MAX_AREA_KM2 = 400.0

# A millimetre, so that an outline that a browser sends back unedited is unchanged.
DECIMALS = 8
_M2_PER_KM2 = 1e6
# a cell of the change detection
_RIM_M = 2.0
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


def reach_rim(shapes: NDArray[np.object_], compared: BaseGeometry) -> NDArray[np.bool_]:
    """Return True for each change that reaches the rim of the compared ground.

    Metres of one CRS. Beyond that rim (an image's edge, a cloud, the requested area) nothing was compared, so
    that the change's area is a lower bound.
    """
    rim = shapely.boundary(compared)
    # made here, for threads must not share a prepared geometry
    shapely.prepare(rim)
    return np.asarray(shapely.dwithin(rim, shapes, _RIM_M))


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
    # the longer side of the minimum rotated rectangle
    corners = shapely.get_coordinates(shapely.minimum_rotated_rectangle(flat))
    return MeasuredOutline(
        shape=shape,
        area_m2=float(flat.area),
        length_m=float(np.hypot(*np.diff(corners[:3], axis=0).T).max()),
        slope_deg=_slope_deg(flat, crs, workspace),
        commune=_commune(shape, workspace.catalog.boundaries, is_drill=is_drill),
    )


def estimate_area_error(line: ChangeVersion) -> float:
    """Return the 1-sigma error of a change's area, square metres.

    From its outline (the detector's or, where it has no score, a person's) and its position error where that
    is known; see `change.coregistration`.
    """
    shape = shapely.from_wkb(line.wkb)
    middle = shape.representative_point()
    flat = shapely.transform(shape, make_point_transform(WGS84, choose_work_crs(middle.x, middle.y)))
    return estimate_area_error_m2(line.kind, float(flat.length), line.error_m, by_hand=line.score is None)


def _slope_deg(flat: BaseGeometry, crs: str, workspace: Workspace) -> float | None:
    """Return the slope of the mean of rise over run on the registered terrain.

    As `change.detection` has it; None where the height is not known under half of the outline.
    Computed part by part: parts may lie far from each other, and a grid over all would have no post on any.
    Of more than `_SLOPE_PARTS` parts the largest are used.
    """
    parts = sorted(shapely.get_parts(flat), key=lambda part: -part.area)[:_SLOPE_PARTS]
    try:
        dems = load_registered_dems(workspace)
    except FlycamError:
        # Terrain that is missing or damaged must not keep anyone from recording a landslide.
        return None
    tangents_by_part = [(part.area, _tangents(part, crs, dems)) for part in parts]
    weights = np.concatenate([np.full(len(some), area / len(some)) for area, some in tangents_by_part])
    tangents = np.concatenate([some for _, some in tangents_by_part])
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
    shared_areas = [(float((area & shape).area), one.code) for area, one in zip(areas, communes, strict=True)]
    return max((one for one in shared_areas if one[0] > 0.0), default=(0.0, ""))[1]


# -- Places of overlapping changes, whose ground counts once ---------------------------------------
#
# A third date, or the same two images compared again after a new revision, confirm one landslide twice.
# Shares of small shapes are computed in degrees.


SLIVER_SHARE, SLIVER_M2 = 0.01, 100.0
"""Share of a change, and its square metres: less of both beyond a boundary is drawing precision
(`is_sliver`). The share alone would not do: a hundredth of a large flood is hectares where people live."""

MIN_SHARED = 0.1
"""Share of the smaller of two changes from which they are one place; below it they are neighbours."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeTotals:
    """Totals of changes: places by kind; square metres, overlaps counted once.

    is_lower_bound  some of them were not seen whole (`change.comparison.find_cut_changes`)
    """

    places: Mapping[ChangeKind, int]
    area_m2: float
    is_lower_bound: bool = False

    @property
    def count(self) -> int:
        """Places of any kind."""
        return sum(self.places.values())


def label_places(lines: Sequence[ChangeVersion]) -> list[int]:
    """Label each change with the number of the place that it is, or is a part of."""
    if not lines:
        return []
    shapes = to_valid_shapes(lines)
    kinds = np.array([line.kind.value for line in lines])
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    same = (kinds[one] == kinds[other]) & (one < other)
    one, other = one[same], other[same]
    lie_on = are_same_place(shapes[one], shapes[other])
    one, other = one[lie_on], other[lie_on]
    numbers: list[int] = label_components(len(lines), one, other).tolist()
    return numbers


def are_same_place(shapes: NDArray[np.object_], others: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Return True for each pair that shares `MIN_SHARED` or more of the smaller."""
    shared = shapely.area(shapely.intersection(shapes, others))
    return np.asarray(shared >= MIN_SHARED * np.minimum(shapely.area(shapes), shapely.area(others)))


def compute_own_ground(lines: Sequence[ChangeVersion]) -> list[BaseGeometry | None]:
    """Return each change's ground that no larger one covers; None: all of it.

    WGS 84 degrees.
    """
    own: list[BaseGeometry | None] = [None] * len(lines)
    if not lines:
        return own
    shapes = to_valid_shapes(lines)
    rank = np.empty(len(lines), dtype=int)
    rank[sorted(range(len(lines)), key=lambda n: (-lines[n].area_m2, lines[n].change_id))] = range(len(lines))
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    for number in np.unique(one[rank[other] < rank[one]]).tolist():
        larger = other[(one == number) & (rank[other] < rank[number])]
        own[number] = shapes[number].difference(shapely.union_all(shapes[larger]))
    return own


def sum_changes(lines: Sequence[ChangeVersion], cut: Collection[ChangeVersion] = ()) -> ChangeTotals:
    """Count places and ground of several changes, each once.

    cut: those that were not seen whole.
    """
    kinds = dict(zip(label_places(lines), (line.kind for line in lines), strict=True))
    area_m2 = sum(
        line.area_m2 * (1.0 if own is None else own.area / shapely.from_wkb(line.wkb).area)
        for line, own in zip(lines, compute_own_ground(lines), strict=True)
    )
    return ChangeTotals(
        places=Counter(kinds.values()),
        area_m2=area_m2,
        is_lower_bound=any(line in cut for line in lines),
    )


def sum_changes_by_commune(
    lines: Sequence[ChangeVersion], communes: shapely.STRtree, cut: Collection[ChangeVersion] = ()
) -> list[ChangeTotals | None]:
    """Sum the changes in each commune of a tree, with their ground there; None: none.

    A change counts in a commune by `find_commune_overlaps`. cut: those that were not seen whole.
    """
    numbers, grounds = label_places(lines), compute_own_ground(lines)
    outlines = shapely.make_valid(communes.geometries)
    kinds: list[dict[int, ChangeKind]] = [{} for __ in outlines]
    areas_m2 = [0.0] * len(outlines)
    is_lower_bound = [False] * len(outlines)
    for change, holder in find_commune_overlaps(lines, communes):
        line, full_shape, own = lines[change], shapely.from_wkb(lines[change].wkb), grounds[change]
        kinds[holder][numbers[change]] = line.kind
        here = (full_shape if own is None else own).intersection(outlines[holder])
        areas_m2[holder] += line.area_m2 * here.area / full_shape.area
        is_lower_bound[holder] |= line in cut
    return [
        ChangeTotals(places=Counter(some.values()), area_m2=area_m2, is_lower_bound=is_least)
        if some
        else None
        for some, area_m2, is_least in zip(kinds, areas_m2, is_lower_bound, strict=True)
    ]


def is_sliver(share: ArrayLike, area_m2: ArrayLike) -> NDArray[np.bool_]:
    """Return True if a part (share 0-1) of a change is too small to count.

    area_m2: of the whole change. The one rule by which changes are counted by commune: in `compare`, on the
    board, in briefing packs, and in impacts.
    """
    parts_m2 = np.multiply(share, area_m2)
    return np.asarray(np.less(share, SLIVER_SHARE) & np.less(parts_m2, SLIVER_M2))


def divide_by_commune(
    shape: BaseGeometry, outlines: Sequence[BaseGeometry], total: float, area_m2: float
) -> tuple[list[tuple[int, BaseGeometry]], BaseGeometry | None]:
    """Return a change's parts by commune (outline index), and its part outside.

    Slivers of `total`, the change's area in the shape's units (`area_m2` in square metres), are dropped. A
    sliver in a commune counts nowhere: it is not outside of all communes either.
    """
    parts = [extract_polygons(part) for part in shapely.intersection(shape, np.array(outlines, dtype=object))]
    pairs = [(number, part) for number, part in enumerate(parts) if not is_sliver(part.area / total, area_m2)]
    outside = extract_polygons(shapely.difference(shape, shapely.union_all(parts)))
    return pairs, None if is_sliver(outside.area / total, area_m2) else outside


def find_commune_overlaps(lines: Sequence[ChangeVersion], communes: shapely.STRtree) -> list[tuple[int, int]]:
    """Return index pairs (change, commune in the tree) sharing more than a sliver."""
    one, holder, shares = _shares_in(lines, communes)
    is_shared = ~is_sliver(shares, np.array([line.area_m2 for line in lines])[one])
    return list(zip(one[is_shared].tolist(), holder[is_shared].tolist(), strict=True))


def find_touched_communes(lines: Sequence[ChangeVersion], communes: shapely.STRtree) -> set[int]:
    """Return communes (tree index) with any ground of changes, slivers included."""
    __, holder, shares = _shares_in(lines, communes)
    return set(holder[shares > 0.0].tolist())


def _shares_in(
    lines: Sequence[ChangeVersion], communes: shapely.STRtree
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Return intersecting changes and communes (indices), and the change's share.

    Share of the change that lies in the commune, 0 to 1.
    """
    shapes = to_valid_shapes(lines)
    outlines = shapely.make_valid(communes.geometries)
    one, holder = communes.query(shapes, predicate="intersects")
    shared = shapely.area(shapely.intersection(shapes[one], outlines[holder]))
    return one, holder, shared / shapely.area(shapes[one])


# -- Decisions on the ground of a change that waits for review -------------------------------------
#
# A place comes up again in another image pair, and its reviewer has to know of earlier decisions there.
# Shares of small shapes are computed in degrees.


DECIDED = frozenset({ChangeStatus.ACCEPTED, ChangeStatus.REJECTED})


def find_overlapping_decisions(
    lines: Sequence[ChangeVersion], decided: Sequence[ChangeVersion]
) -> dict[str, list[ChangeVersion]]:
    """Return the decided changes that overlap each waiting one of `lines`, by its id.

    Of its event and of any kind, sharing a tenth of the smaller of the two, the last decided first. Changes
    without any are left out.
    """
    waiting = [line for line in lines if line.status is ChangeStatus.PROPOSED]
    if not waiting or not decided:
        return {}
    shapes, others = to_valid_shapes(waiting), to_valid_shapes(decided)
    one, other = shapely.STRtree(others).query(shapes, predicate="intersects")
    is_same_place = are_same_place(shapes[one], others[other])
    found: dict[str, list[ChangeVersion]] = {}
    for number, its in zip(one[is_same_place].tolist(), other[is_same_place].tolist(), strict=True):
        if decided[its].event_id == waiting[number].event_id:
            found.setdefault(waiting[number].change_id, []).append(decided[its])
    return {
        name: sorted(some, key=lambda line: (-line.at_ns, line.change_id)) for name, some in found.items()
    }


# -- Candidates as polygons of the work CRS, by commune, and their output file ---------------------


Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
LAYER, COMPARED_LAYER, WINDOWS_LAYER = "changes", "compared", "registration"
_Shares = tuple[list[tuple[CommuneRecord, BaseGeometry]], BaseGeometry | None]
"""The parts of a change by commune, and its part outside all."""
# Share of a candidate: less is left by a cut, not by how its edge falls on pixels.
_COMPLETE_SHARE = 0.9
# Share of the compared ground: less is where boundaries do not quite meet.
_MIN_OUTSIDE_SHARE = 0.01


class DetectedCandidate(Protocol):
    """A change as the detector returns it; see `detection.ChangeCandidate`."""

    @property
    def kind(self) -> str: ...
    @property
    def score(self) -> float: ...
    @property
    def rings(self) -> Sequence[Floats]: ...
    @property
    def length_m(self) -> float: ...
    @property
    def mean_slope_deg(self) -> float: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangePolygon:
    """One candidate on the ground.

    polygon    multipolygon in the work CRS; area_m2 its area there
    commune    code of the commune that holds most of it, "" where no boundary is known
    tie_m      from its middle to the nearest stable ground used for coregistration
    error_m    1-sigma error of its position on BEFORE; area_error_m2 of its area (`change.coregistration`)
    score      ranks candidates: a probability only where the terrain is known (`probability`)
    slope_deg  NaN where the terrain is not known under half of it
    is_cut     it was not seen whole, and its area is a lower bound (`reach_rim`)
    """

    polygon: BaseGeometry
    kind: str
    score: float
    area_m2: float
    length_m: float
    slope_deg: float
    commune: str
    commune_name: str
    tie_m: float
    error_m: float
    is_cut: bool = False

    @property
    def at_least(self) -> str:
        """Figures that are lower bounds, as exports name them."""
        return "area" if self.is_cut else ""

    @property
    def area_error_m2(self) -> float:
        return estimate_area_error_m2(self.kind, float(self.polygon.length), self.error_m)

    @property
    def probability(self) -> float:
        """Probability that it is of its kind.

        NaN where the terrain is not known, for which no score was calibrated.
        """
        return self.score if math.isfinite(self.slope_deg) else math.nan


_Part = tuple[ChangePolygon, BaseGeometry]
"""A change, and its part in one commune or outside all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CommuneChanges:
    """Changes in one commune.

    changes          candidates with more than a sliver in it (`is_sliver`): one across a border counts
        in both, so that these may be more together than there are
    others           those of them that are of no kind that is looked for
    area_m2_by_kind  its own ground that each kind looked for covers, overlaps counted once;
        code "" is ground outside of all boundaries that are known
    kinds_cut        kinds of which these are lower bounds
    compared_m2      its ground on which changes were looked for; of all other nothing is known
    compared_pct     the same in per cent of all its ground; None outside of boundaries
    """

    code: str
    name: str
    changes: int
    others: int
    area_m2_by_kind: Mapping[str, float]
    kinds_cut: tuple[str, ...]
    compared_m2: float
    compared_pct: float | None


def place_candidates(
    candidates: Sequence[DetectedCandidate],
    grid: OutputGrid,
    common: Mask,
    compared: BaseGeometry,
    communes: Sequence[CommuneRecord],
    crs: str,
    registration: Registration,
    *,
    on_terrain: bool,
) -> tuple[list[ChangePolygon], list[CommuneChanges]]:
    """Return candidates as polygons, likeliest first, and changes by commune.

    candidates  outlines in pixels of the grid
    common      H×W: valid pixels (imaged on both dates, free of cloud, inside the requested area); all else
        is cut out of candidates, and one is dropped if less is left than the detector would report
    compared    see `extract_compared_ground`
    on_terrain  whether slopes are known
    """
    full_polygons = [_polygon(one.rings, grid) for one in candidates]
    shapes = [_common_part(one, grid, common) for one in full_polygons]
    areas = [(record, _in_crs(shapely.from_wkb(record.wkb), crs)) for record in communes]
    areas = [(record, area) for record, area in areas if area.intersects(shapely.box(*grid.bounds))]
    stable = _ground(registration.windows.place_px[registration.agreed], grid)
    cut = reach_rim(_objects(shapes), compared).tolist()
    changes, shares = [], []
    for one, uncut, polygon, is_cut in zip(candidates, full_polygons, shapes, cut, strict=True):
        if polygon.is_empty or _is_scrap(polygon, uncut, one.kind):
            continue
        shared, outside = _shares(polygon, areas)
        home = max(shared, key=lambda pair: pair[1].area)[0] if shared else None
        middle = shapely.get_coordinates(polygon.representative_point())
        changes.append(
            ChangePolygon(
                polygon=polygon,
                kind=one.kind,
                score=float(one.score),
                area_m2=float(polygon.area),
                length_m=float(one.length_m),
                slope_deg=float(one.mean_slope_deg) if on_terrain else float("nan"),
                commune="" if home is None else home.code,
                commune_name="" if home is None else home.name,
                tie_m=float(cKDTree(stable).query(middle)[0][0]),
                error_m=float(estimate_place_error_m(registration, _pixels(middle, grid))[0]),
                is_cut=is_cut,
            )
        )
        shares.append((shared, outside))
    order = sorted(range(len(changes)), key=lambda k: (-changes[k].score, -changes[k].area_m2))
    # a row per commune, and for ground outside; the most changed first
    found: dict[str, list[_Part]] = {record.code: [] for record, _ in areas}
    beyond: list[_Part] = []
    for change, (shared, outside) in zip(changes, shares, strict=True):
        for record, part in shared:
            found[record.code].append((change, part))
        if outside is not None:
            beyond.append((change, outside))
    rows = [
        _row(record.code, record.name, found[record.code], float((compared & area).area), float(area.area))
        for record, area in areas
    ]
    outside_m2 = float(compared.area) - sum(row.compared_m2 for row in rows)
    if beyond or outside_m2 > _MIN_OUTSIDE_SHARE * compared.area:
        rows.append(_row("", "", beyond, max(outside_m2, 0.0), None))
    return [changes[k] for k in order], sorted(
        rows, key=lambda row: (-sum(row.area_m2_by_kind.values()), -row.changes, -row.compared_m2, row.code)
    )


def _is_scrap(polygon: BaseGeometry, uncut: BaseGeometry, kind: str) -> bool:
    """Return True if a cut left less of a candidate than would be one by itself.

    Its score was computed for the whole.
    """
    least_m2 = MIN_FLOODED_M2 if kind == ChangeKind.FLOOD else MIN_BARE_M2
    return bool(polygon.area < min(least_m2, _COMPLETE_SHARE * uncut.area))


def extract_compared_ground(mask: Mask, grid: OutputGrid) -> BaseGeometry:
    """Return the compared pixels as a multipolygon of the work CRS."""
    return extract_polygons(trace_mask_polygons(mask, grid.west, grid.north, grid.step_x))


def find_communes_in_grid(
    catalog: Catalog, after: Flight | None, grid: OutputGrid, crs: str, *, is_drill: bool
) -> list[CommuneRecord]:
    """Return the communes around a grid, on the day of the flight after.

    Today's where an image without a day shows the state after: those who act on it act within today's
    communes. is_drill: of the event, or of a side.
    """
    day = None if after is None else get_flight_date(after)
    return catalog.boundaries.list_countable(
        is_drill=is_drill, on_date=day, bounds=compute_lonlat_bounds(grid.bounds, crs)
    )


def write_change_layers(
    path: Path,
    changes: Sequence[ChangePolygon],
    compared: BaseGeometry,
    registration: Registration,
    grid: OutputGrid,
    crs: str,
) -> None:
    """Write the layer `changes`, with compared ground and registration windows.

    In a GeoPackage `compared` (where changes were looked for) and `registration` (a point for each window)
    are layers; in GeoJSON members of the collection. Raises what `write_features` raises.
    """
    texts = {
        name: np.array([getattr(one, name) for one in changes], dtype=object)
        for name in ("kind", "commune", "commune_name", "at_least")
    }
    numbers = {
        name: np.array([getattr(one, name) for one in changes], dtype=np.float64)
        for name in ("area_m2", "area_error_m2", "length_m", "slope_deg", "tie_m", "error_m")
    }
    numbers = {"score": np.array([one.probability for one in changes], dtype=np.float64), **numbers}
    # one multipolygon; no feature where nothing was compared
    shapes = [] if compared.is_empty else [compared]
    layers = [
        FeatureLayer(
            name=LAYER,
            kind="MultiPolygon",
            shapes=_objects([one.polygon for one in changes]),
            fields=texts | numbers,
        ),
        FeatureLayer(
            name=COMPARED_LAYER,
            kind="MultiPolygon",
            shapes=_objects(shapes),
            fields={"area_m2": np.array([one.area for one in shapes], dtype=np.float64)},
        ),
    ]
    windows = build_windows_layer(registration, grid)
    layers.append(windows)
    members: dict[str, BaseGeometry | FeatureLayer | str] = {COMPARED_LAYER: compared, WINDOWS_LAYER: windows}
    write_features(path, layers, crs=crs, members=members)


def build_windows_layer(registration: Registration, grid: OutputGrid) -> FeatureLayer:
    """Return a point layer of windows with displacement and residual."""
    windows, gsd = registration.windows, registration.gsd_m
    found = np.isfinite(registration.residual_px[:, 0])
    state = np.where(registration.agreed, "agreed", np.where(found, "disagreed", "not found"))
    east, south = registration.windows.displacement_px.T * gsd
    return FeatureLayer(
        name=WINDOWS_LAYER,
        kind="Point",
        shapes=np.asarray(shapely.points(_ground(windows.place_px, grid)), dtype=object),
        fields={
            "state": state.astype(object),
            "east_m": east,
            "north_m": -south,
            "residual_m": np.hypot(*registration.residual_px.T) * gsd,
        },
    )


def _polygon(rings: Sequence[Floats], grid: OutputGrid) -> BaseGeometry:
    """Convert rings of pixel coordinates to a valid multipolygon.

    Exterior first; centres at integers.
    """
    corners = [_ground(ring, grid) for ring in rings if len(ring) >= 3]
    if not corners:
        return shapely.MultiPolygon()
    return extract_polygons(shapely.make_valid(shapely.Polygon(corners[0], corners[1:])))


def _common_part(polygon: BaseGeometry, grid: OutputGrid, common: Mask) -> BaseGeometry:
    """Return the part of a polygon that lies on valid pixels."""
    polygon = extract_polygons(polygon & shapely.box(*grid.bounds))
    if polygon.is_empty:
        return polygon
    west, south, east, north = polygon.bounds
    (left, top), (right, bottom) = np.floor(grid.to_pixels(np.array([(west, north), (east, south)])))
    rows = slice(int(max(top - 1, 0)), int(min(bottom + 2, grid.rows)))
    cols = slice(int(max(left - 1, 0)), int(min(right + 2, grid.cols)))
    beyond = ~common[rows, cols]
    if not beyond.any():
        return polygon
    corner = (grid.west + cols.start * grid.step_x, grid.north - rows.start * grid.step_y)
    return extract_polygons(polygon - trace_mask_polygons(beyond, *corner, grid.step_x))


def _shares(polygon: BaseGeometry, areas: Sequence[tuple[CommuneRecord, BaseGeometry]]) -> _Shares:
    """Return a polygon's parts by commune, and outside; see `divide_by_commune`."""
    around = [(record, area) for record, area in areas if polygon.intersects(area)]
    by_commune, outside = divide_by_commune(polygon, [area for _, area in around], polygon.area, polygon.area)
    return [(around[number][0], part) for number, part in by_commune], outside


def _row(
    code: str,
    name: str,
    parts: Sequence[_Part],
    compared_m2: float,
    area_m2: float | None,
) -> CommuneChanges:
    """Return a commune's totals from the parts of changes in it."""
    kinds = [kind for kind in DETECTED_KINDS if any(kind == one.kind for one, _ in parts)]
    return CommuneChanges(
        code=code,
        name=name,
        changes=len(parts),
        others=sum(one.kind not in DETECTED_KINDS for one, _ in parts),
        area_m2_by_kind={
            kind.value: _united_m2([part for one, part in parts if one.kind == kind]) for kind in kinds
        },
        kinds_cut=tuple(
            kind.value for kind in kinds if any(one.is_cut and one.kind == kind for one, _ in parts)
        ),
        compared_m2=compared_m2,
        compared_pct=None if area_m2 is None else 100.0 * compared_m2 / area_m2,
    )


def _united_m2(parts: Sequence[BaseGeometry]) -> float:
    return float(shapely.union_all(list(parts)).area)


def _ground(at_px: Floats, grid: OutputGrid) -> Floats:
    """Convert (column, row) N×2, centres at integers, to metres of the work CRS."""
    at = np.asarray(at_px, dtype=np.float64)
    return np.stack(
        [grid.west + (at[:, 0] + 0.5) * grid.step_x, grid.north - (at[:, 1] + 0.5) * grid.step_y], axis=-1
    )


def _pixels(at_m: Floats, grid: OutputGrid) -> Floats:
    """Invert `_ground`."""
    return np.stack(
        [(at_m[:, 0] - grid.west) / grid.step_x - 0.5, (grid.north - at_m[:, 1]) / grid.step_y - 0.5], axis=-1
    )


def _in_crs(polygon: BaseGeometry, crs: str) -> BaseGeometry:
    return shapely.make_valid(shapely.transform(polygon, make_point_transform(WGS84, crs)))


def _objects(shapes: Sequence[BaseGeometry]) -> NDArray[np.object_]:
    out = np.empty(len(shapes), dtype=object)
    out[:] = shapes
    return out
