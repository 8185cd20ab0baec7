"""Coverage of a flight: ground that was imaged, how often, and gaps.

Known while the aircraft can still fly again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Polygon
from shapely.geometry.base import BaseGeometry

from flycam.geodata.crs import make_point_transform, to_lonlat
from flycam.geodata.kml import KmlStyle, Placemark, format_kml, format_placemark
from flycam.geometry.camera import compute_ray_directions
from flycam.ingest.preflight.files import parse_counters
from flycam.ingest.preflight.flight_table import Bools, Floats, Index, split_sorties, wrap_degrees
from flycam.ingest.preflight.frame_headers import ResolvedFlight
from flycam.messages import _, ngettext
from flycam.model.diagnosis import Gap, GapKind, Problem, ReliefZone, Severity, TerrainAt

# -- Figures by relief (summits, slopes, valleys), where side overlap is lost first ----------------


MIN_RELIEF_SHARE = 0.1
"""Relief below this share of the height above ground counts as flat, one zone."""
_SAMPLES = 96


@dataclass(frozen=True)
class ViewCounts:
    """Number of photos that see each cell: rows×cols, row 0 northernmost.

    origin_m is the first cell's centre.
    """

    views: NDArray[np.uint16]
    origin_m: tuple[float, float]
    cell_m: float


def summarise_relief_zones(
    flight: ResolvedFlight, keep: Bools, ground: ViewCounts, terrain_at: TerrainAt | None
) -> tuple[ReliefZone, ...]:
    """Return figures per third of the relief ("valley", "slope", "summit").

    One zone "flat" without relief or terrain. A photo belongs to the zone of the ground below it; views are
    counted on the ground of the zone itself.
    """
    above = flight.heights.above_ground_m[keep]
    below = (flight.heights.height_m - flight.heights.above_ground_m)[keep]
    if not np.isfinite(above).any():
        return ()
    points, views = _sampled(ground)
    cell_height = np.zeros(len(points))
    if terrain_at is not None and len(points):
        cell_height, __ = terrain_at(to_lonlat(points, flight.work_crs))
    known = np.isfinite(cell_height)
    low, high = np.percentile(cell_height[known], [1.0, 99.0]) if known.any() else (0.0, 0.0)
    flat = high - low < MIN_RELIEF_SHARE * float(np.nanmedian(above))
    bounds = (
        [(low, high)]
        if flat
        else [(low + k * (high - low) / 3, low + (k + 1) * (high - low) / 3) for k in range(3)]
    )
    labels = ("flat",) if flat else ("valley", "slope", "summit")
    gsd = above / np.array([i.focal_length_px[0] for i, k in zip(flight.interiors, keep, strict=True) if k])
    side = compute_side_overlap(flight, keep)
    zones = []
    for k, (label, (bottom, top)) in enumerate(zip(labels, bounds, strict=True)):
        first, last = k == 0, k == len(bounds) - 1
        photos = np.isfinite(above) & (first | (below >= bottom)) & (last | (below < top))
        cells = known & (first | (cell_height >= bottom)) & (last | (cell_height < top))
        if not photos.any() or not cells.any():
            continue
        sides = side[photos][np.isfinite(side[photos])]
        zones.append(
            ReliefZone(
                zone=label,
                ground_m=(float(bottom), float(top)),
                photos=int(photos.sum()),
                height_above_ground_m=_low_mid_high(above[photos]),
                gsd_m=_low_mid_high(gsd[photos]),
                views=(float(np.percentile(views[cells], 10.0)), float(np.median(views[cells]))),
                side_overlap=float(np.median(sides)) if sides.size else None,
            )
        )
    return tuple(zones)


def _low_mid_high(values: Floats) -> tuple[float, float, float]:
    return float(values.min()), float(np.median(values)), float(values.max())


def _sampled(ground: ViewCounts) -> tuple[Floats, Floats]:
    """Return a grid of at most 96×96 seen cells: points N×2 (metres) and views N."""
    step = max(1, max(ground.views.shape) // _SAMPLES)
    rows, cols = np.meshgrid(*(np.arange(0, n, step) for n in ground.views.shape), indexing="ij")
    views = ground.views[rows, cols].ravel()
    points = np.stack(
        [ground.origin_m[0] + cols * ground.cell_m, ground.origin_m[1] - rows * ground.cell_m], axis=-1
    ).reshape(-1, 2)
    return points[views > 0], views[views > 0].astype(np.float64)


def compute_side_overlap(flight: ResolvedFlight, keep: Bools) -> Floats:
    """Return the share of each kept photo's width that the next strip repeats.

    NaN without a neighbouring strip. Width = height above ground × image width / focal length, taken across
    the image's own up direction. A neighbour is abreast (nearer along the strip than half an image height)
    and over a fifth of a width to the side.
    """
    xy = flight.xy_m[keep]
    above = flight.heights.above_ground_m[keep]
    interiors = [i for i, k in zip(flight.interiors, keep, strict=True) if k]
    width = above * np.array([i.image_size_px[0] / i.focal_length_px[0] for i in interiors])
    length = above * np.array([i.image_size_px[1] / i.focal_length_px[1] for i in interiors])
    right = flight.rotations[keep][:, 0, :2]
    right = right / np.maximum(np.linalg.norm(right, axis=1, keepdims=True), 1e-9)
    result = np.full(len(xy), np.nan)
    for start in range(0, len(xy), 256):  # blocks bound the memory of all pairs
        rows = slice(start, start + 256)
        d = xy[None, :, :] - xy[rows, None, :]
        across = np.abs(np.einsum("ijk,ik->ij", d, right[rows]))
        along = np.abs(d[..., 0] * -right[rows, None, 1] + d[..., 1] * right[rows, None, 0])
        abreast = (along < 0.5 * length[rows, None]) & (across > 0.2 * width[rows, None])
        nearest = np.where(abreast, across, np.inf).min(axis=1)
        result[rows] = np.where(np.isfinite(nearest), np.maximum(1.0 - nearest / width[rows], 0.0), np.nan)
    return result


# -- Gaps in strips: missing shots between two photos of one line of flight ------------------------


MIN_STEP_RATIO = 1.5
_SAME_LINE_DEG = 25.0
_MAX_MISSING = 15
_MIN_STEPS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class StripGap:
    """Gap between rows `before` and `after`.

    distance_m was flown without a shot, `missing` shots by the pattern.
    """

    before: int
    after: int
    distance_m: float
    missing: int


def find_strip_gaps(
    xy_m: Floats, t_ns: NDArray[np.int64], counter: NDArray[np.int64], sorties: list[Index]
) -> list[StripGap]:
    """Return the strip gaps of a flight.

    N×2 positions (metres), N times and N file counters (-1 unknown), in order of time inside each sortie.

    A step is a gap if it is over 1.5 times the flight's long ordinary step (the 90th percentile) in line with
    the steps around it, or if it took over 1.5 times the usual interval and file numbers are missing in it.
    So a turn flown without photos is no gap, nor is a slow stretch or a leg of over 15 steps (to the next
    area, home).
    """
    found: list[StripGap] = []
    for rows in sorties:
        if len(rows) < _MIN_STEPS:
            continue
        step = np.diff(xy_m[rows], axis=0)
        distance = np.hypot(step[:, 0], step[:, 1])
        seconds = np.diff(t_ns[rows]) / 1e9
        ordinary = _ordinary(distance)
        long = (distance > MIN_STEP_RATIO * ordinary) & (distance > 1.0)
        late = seconds > MIN_STEP_RATIO * float(np.median(seconds))
        number_skips = np.diff(counter[rows]) - 1
        by_number = late & (number_skips >= 1) & (number_skips <= _MAX_MISSING) & (counter[rows][:-1] >= 0)
        hit = (long & _in_line(step)) | by_number
        for i in np.flatnonzero(hit).tolist():
            by_distance = round(float(distance[i]) / ordinary) - 1
            missing = int(number_skips[i]) if by_number[i] else by_distance
            if 1 <= missing <= _MAX_MISSING:
                found.append(
                    StripGap(
                        before=int(rows[i]),
                        after=int(rows[i + 1]),
                        distance_m=float(distance[i]),
                        missing=missing,
                    )
                )
    return found


def _ordinary(distance: Floats) -> float:
    """Return the long end of ordinary steps.

    The 90th percentile of those not over twice the median.
    """
    middle = float(np.median(distance))
    kept = distance[distance <= max(2.0 * middle, 1e-9)]
    return float(np.percentile(kept, 90.0)) if kept.size else middle


def _in_line(step: Floats) -> Bools:
    """Return which steps continue in the direction of the steps before and after."""
    azimuth = np.degrees(np.arctan2(step[:, 0], step[:, 1]))
    before = np.concatenate([azimuth[:1], azimuth[:-1]])
    after = np.concatenate([azimuth[1:], azimuth[-1:]])
    return (np.abs(wrap_degrees(azimuth - before)) < _SAME_LINE_DEG) & (
        np.abs(wrap_degrees(after - azimuth)) < _SAME_LINE_DEG
    )


# -- Coverage: view counts, gaps, and figures by relief --------------------------------------------


WGS84 = "EPSG:4326"
_PER_EDGE = 3
_MIN_DEPRESSION = 0.1
_TERRAIN_ROUNDS = 2
_CELLS_PER_FOOTPRINT = 32
_MAX_CELLS = 2048
_MIN_HOLE_SHARE = 0.01
"""Smallest gap, as a share of a footprint: smaller ones are artefacts of the raster."""
_BAY, _SMALL_BAY = 0.35, 0.1
_SMALL_SHARE = 0.25
"""Shares that tell the flight's ragged edge from a gap, without an area of interest.

Unseen ground is edge if over a third of its border (a tenth, if it is smaller than a quarter of a footprint)
is open to the outside.
"""


@dataclass(frozen=True, kw_only=True)
class CoverageAssessment:
    """Gaps, figures by relief, and findings."""

    gaps: tuple[Gap, ...] = ()
    relief: tuple[ReliefZone, ...] = ()
    problems: tuple[Problem, ...] = ()


def assess_coverage(
    flight: ResolvedFlight,
    keep: Bools,
    terrain_at: TerrainAt | None,
    area_of_interest: BaseGeometry | None = None,
) -> CoverageAssessment:
    """Find gaps and broken strips of a flight, and its figures per summit and valley.

    area_of_interest  lon/lat polygon that was to be flown; None: the flown area, closed over half a footprint

    Of several layers the most frequent one is assessed: a thermal photo does not cover for a colour one.
    Without any height above ground (terrain that misses the flight) there are no footprints.
    """
    keep = keep & _main_layer(flight, keep) & np.isfinite(flight.heights.height_m)
    if not np.isfinite(flight.heights.above_ground_m[keep]).any():
        return CoverageAssessment()
    corners = project_footprints(flight, terrain_at)[keep]
    ground = _count_views(corners, flight.work_crs, area_of_interest)
    wanted = ground.wanted
    holes = _holes(ground, flight.work_crs, bays=area_of_interest is not None)
    kept_table = flight.table.take(keep)
    kept_xy = flight.xy_m[keep]
    breaks = find_strip_gaps(
        kept_xy, kept_table.t_ns, parse_counters(kept_table.names), split_sorties(kept_table)
    )
    widths = _across(corners)
    gaps = [
        *holes,
        *(_break_gap(b, kept_table.names, kept_xy, widths, ground, flight.work_crs) for b in breaks),
    ]
    zones = summarise_relief_zones(
        flight, keep, ViewCounts(ground.views, ground.origin_m, ground.cell_m), terrain_at
    )
    return CoverageAssessment(
        gaps=tuple(gaps), relief=zones, problems=tuple(_sentences(gaps, ground, wanted))
    )


def _main_layer(flight: ResolvedFlight, keep: Bools) -> Bools:
    bands = np.array([p.band for p in flight.table.photos])
    names, counts = np.unique(bands[keep], return_counts=True)
    return bands == names[counts.argmax()] if names.size else keep


def project_footprints(flight: ResolvedFlight, terrain_at: TerrainAt | None) -> Floats:
    """Project each photo's border to the ground: N×K×2 points, work CRS metres.

    Rays are followed to the height of the ground below them, found in two rounds from the ground under the
    camera: exact to a fraction of the footprint, which is all that overlap and gaps need. Rays flatter than 1
    in 10 are bent down to that.
    """
    n = len(flight.table)
    rays = np.zeros((n, 4 * _PER_EDGE, 3))
    for interior in set(flight.interiors):
        rows = np.array([i for i, other in enumerate(flight.interiors) if other == interior])
        u, v = _border(interior.image_size_px)
        camera = np.stack(compute_ray_directions(interior, u, v), axis=-1)
        camera = np.nan_to_num(camera / np.linalg.norm(camera, axis=1, keepdims=True))
        rays[rows] = np.einsum("kc,ncw->nkw", camera, np.nan_to_num(flight.rotations[rows]))
    down = np.maximum(-rays[..., 2], _MIN_DEPRESSION * np.hypot(rays[..., 0], rays[..., 1]) + 1e-9)
    slope = rays[..., :2] / down[..., None]
    above = np.nan_to_num(
        flight.heights.above_ground_m, nan=float(np.nanmedian(flight.heights.above_ground_m))
    )
    drop = np.repeat(above[:, None], slope.shape[1], axis=1)
    for _round in range(_TERRAIN_ROUNDS if terrain_at is not None else 0):
        points = flight.xy_m[:, None] + slope * drop[..., None]
        heights, __ = terrain_at(to_lonlat(points.reshape(-1, 2), flight.work_crs))  # type: ignore[misc]
        found = flight.heights.height_m[:, None] - heights.reshape(drop.shape)
        drop = np.where(np.isfinite(found), np.clip(found, 0.2 * above[:, None], 5.0 * above[:, None]), drop)
    return flight.xy_m[:, None] + slope * drop[..., None]


def _border(size_px: tuple[int, int]) -> tuple[Floats, Floats]:
    right, bottom = size_px[0] - 1.0, size_px[1] - 1.0
    s = np.linspace(0.0, 1.0, _PER_EDGE, endpoint=False)
    u = np.concatenate([s * right, np.full_like(s, right), (1 - s) * right, np.zeros_like(s)])
    v = np.concatenate([np.zeros_like(s), s * bottom, np.full_like(s, bottom), (1 - s) * bottom])
    return u, v


@dataclass(frozen=True)
class _Ground:
    """Raster of view counts.

    views rows×cols: photos that see each cell; row 0 northernmost; origin_m the first cell's centre.
    """

    views: NDArray[np.uint16]
    wanted: Bools
    origin_m: tuple[float, float]
    cell_m: float
    footprint_m2: float


def _count_views(corners: Floats, work_crs: str, aoi: BaseGeometry | None) -> _Ground:
    flat = corners.reshape(-1, 2)
    low, high = flat.min(axis=0), flat.max(axis=0)
    outline = shapely.transform(aoi, make_point_transform(WGS84, work_crs)) if aoi is not None else None
    if outline is not None:
        west, south, east, north = outline.bounds
        low, high = np.minimum(low, [west, south]), np.maximum(high, [east, north])
    footprint_m2 = float(np.median(_areas(corners)))
    cell = max(np.sqrt(footprint_m2) / _CELLS_PER_FOOTPRINT, float((high - low).max()) / _MAX_CELLS, 1e-3)
    cols, rows = (np.ceil((high - low) / cell).astype(int) + 3).tolist()
    origin = (float(low[0]) - cell, float(high[1]) + cell)
    views = np.zeros((rows, cols), dtype=np.uint16)
    for polygon in _to_cells(corners, origin, cell):
        (c0, r0), (c1, r1) = polygon.min(axis=0), polygon.max(axis=0) + 1
        patch = np.zeros((r1 - r0, c1 - c0), dtype=np.uint8)
        cv2.fillPoly(patch, [polygon - (c0, r0)], 1)
        views[r0:r1, c0:c1] += patch
    if outline is not None:
        wanted = _burn(outline, views.shape, origin, cell)
    else:
        wanted = _flown_area(views > 0, round(0.5 * np.sqrt(footprint_m2) / cell))
    return _Ground(views, wanted, origin, cell, footprint_m2)


def _areas(polygons: Floats) -> Floats:
    """Return shoelace areas of polygons N×K×2."""
    x, y = polygons[..., 0], polygons[..., 1]
    x, y = x - x[:, :1], y - y[:, :1]
    twice = np.sum(x * np.roll(y, -1, axis=1) - np.roll(x, -1, axis=1) * y, axis=1)
    areas: Floats = np.abs(twice) / 2.0
    return areas


def _to_cells(points_m: Floats, origin: tuple[float, float], cell: float) -> NDArray[np.int32]:
    columns = (points_m[..., 0] - origin[0]) / cell
    rows = (origin[1] - points_m[..., 1]) / cell
    return np.stack([columns, rows], axis=-1).round().astype(np.int32)


def _burn(geometry: BaseGeometry, shape: tuple[int, ...], origin: tuple[float, float], cell: float) -> Bools:
    mask = np.zeros(shape, dtype=np.uint8)
    for part in getattr(geometry, "geoms", [geometry]):
        rings = [np.asarray(r.coords)[:, :2] for r in (part.exterior, *part.interiors)]
        cv2.fillPoly(mask, [_to_cells(r, origin, cell) for r in rings], 1)
    return mask.astype(bool)


def _flown_area(seen: Bools, reach: int) -> Bools:
    """Return seen ground with all it encloses, and bays up to `reach` cells closed.

    `reach` counts on either side.
    """
    reach = max(reach, 1)
    padded = cv2.copyMakeBorder(
        seen.astype(np.uint8), reach, reach, reach, reach, cv2.BORDER_CONSTANT, value=0
    )
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, disc)
    outlines, __ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros_like(closed)
    cv2.drawContours(filled, outlines, -1, 1, cv2.FILLED)
    return filled[reach:-reach, reach:-reach].astype(bool)


def _holes(ground: _Ground, work_crs: str, *, bays: bool) -> list[Gap]:
    missed = (ground.wanted & (ground.views == 0)).astype(np.uint8)
    outside = cv2.dilate((~ground.wanted).astype(np.uint8), np.ones((3, 3), np.uint8))
    outlines, hierarchy = cv2.findContours(missed, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    gaps = []
    for index, outline in enumerate(outlines):
        if hierarchy[0][index][3] >= 0 or len(outline) < 3:
            continue
        inner, child = [], hierarchy[0][index][2]
        while child >= 0:
            if len(outlines[child]) >= 3:
                inner.append(_to_metres(outlines[child], ground))
            child = hierarchy[0][child][0]
        # the outline runs through the last unseen cells; imaged ground begins, on average, a cell further
        polygon = shapely.make_valid(Polygon(_to_metres(outline, ground), inner)).buffer(ground.cell_m)
        share = polygon.area / ground.footprint_m2
        open_border = float(outside[outline[:, 0, 1], outline[:, 0, 0]].mean())
        ragged = open_border > (_BAY if share > _SMALL_SHARE else _SMALL_BAY)
        if share < _MIN_HOLE_SHARE or (ragged and not bays):
            continue
        gaps.append(
            Gap(
                kind=GapKind.HOLE,
                polygon_lonlat=shapely.transform(
                    polygon.simplify(ground.cell_m / 2.0), make_point_transform(work_crs, WGS84)
                ),
                area_m2=float(polygon.area),
                seen_by=0,
                sentence=_("No photo sees {area_m2:,.0f} m² here.", area_m2=polygon.area),
            )
        )
    return gaps


def _to_metres(outline: NDArray[np.int32], ground: _Ground) -> Floats:
    cells = outline.reshape(-1, 2)
    return np.column_stack(
        [ground.origin_m[0] + cells[:, 0] * ground.cell_m, ground.origin_m[1] - cells[:, 1] * ground.cell_m]
    )


def _across(corners: Floats) -> Floats:
    """Return the longer of the two mean side lengths of each footprint, metres."""
    corner = corners[:, ::_PER_EDGE]
    sides = np.linalg.norm(corner - np.roll(corner, -1, axis=1), axis=-1)
    longer: Floats = np.maximum(sides[:, 0] + sides[:, 2], sides[:, 1] + sides[:, 3]) / 2.0
    return longer


def _break_gap(
    found: StripGap, names: tuple[str, ...], xy: Floats, widths: Floats, ground: _Ground, work_crs: str
) -> Gap:
    a, b = xy[found.before], xy[found.after]
    along = (b - a) / max(found.distance_m, 1e-9)
    half = np.array([-along[1], along[0]]) * (widths[found.before] + widths[found.after]) / 8.0
    polygon = Polygon([a + half, b + half, b - half, a - half])
    cells = _burn(polygon, ground.views.shape, ground.origin_m, ground.cell_m)
    seen_by = int(ground.views[cells].min()) if cells.any() else 0
    pair = (names[found.before], names[found.after])
    return Gap(
        kind=GapKind.BREAK,
        polygon_lonlat=shapely.transform(polygon, make_point_transform(work_crs, WGS84)),
        area_m2=float(polygon.area),
        length_m=found.distance_m,
        between=pair,
        missing=found.missing,
        seen_by=seen_by,
        sentence=ngettext(
            "{count} shot is missing over {length_m:.0f} m between {first} and {second}; the ground there is "
            "seen by {photos} at least.",
            "{count} shots are missing over {length_m:.0f} m between {first} and {second}; the ground there "
            "is seen by {photos} at least.",
            found.missing,
            length_m=found.distance_m,
            first=pair[0],
            second=pair[1],
            photos=ngettext("{count} photo", "{count} photos", seen_by),
        ),
    )


def _sentences(gaps: list[Gap], ground: _Ground, wanted: Bools) -> list[Problem]:
    holes = [g for g in gaps if g.kind is GapKind.HOLE]
    broken = [g for g in gaps if g.kind is GapKind.BREAK]
    problems = []
    if holes:
        area = sum(g.area_m2 for g in holes)
        share = 100.0 * area / max(float(wanted.sum()) * ground.cell_m**2, 1e-9)
        problems.append(
            Problem(
                code="ground_missing",
                severity=Severity.WARNING,
                sentence=ngettext(
                    "{count} piece of ground, {area_m2:,.0f} m² ({share_pct:.1f} % of the area), is in no "
                    "photo: refly it (KML).",
                    "{count} pieces of ground, {area_m2:,.0f} m² ({share_pct:.1f} % of the area), are in no "
                    "photo: refly them (KML).",
                    len(holes),
                    area_m2=area,
                    share_pct=share,
                ),
            )
        )
    if broken:
        shots = sum(g.missing for g in broken)
        thin = min(g.seen_by or 0 for g in broken)
        problems.append(
            Problem(
                code="strip_broken",
                severity=Severity.WARNING,
                sentence=ngettext(
                    "Strips are broken in {places} where {count} shot is missing; the thinnest is still seen "
                    "by {photos}.",
                    "Strips are broken in {places} where {count} shots are missing; the thinnest is still "
                    "seen by {photos}.",
                    shots,
                    places=ngettext("{count} place", "{count} places", len(broken)),
                    photos=ngettext("{count} photo", "{count} photos", thin),
                ),
                frames=tuple(n for g in broken for n in g.between),
            )
        )
    return problems


# -- KML of the ground to refly, for the pilot's tablet (OGC 12-007r2, KML 2.3) --------------------


_STYLES = {
    kind: KmlStyle(kind.value, colour, 3, "60")
    for kind, colour in ((GapKind.HOLE, "ff0000"), (GapKind.BREAK, "ffa500"))
}
_NAMES = {GapKind.HOLE: _("not seen"), GapKind.BREAK: _("strip broken")}


def make_refly_kml(gaps: Sequence[Gap], title: str) -> str:
    """Return KML text with one placemark per gap, largest first, in WGS 84.

    Names in Vietnamese and English.
    """
    ordered = sorted(gaps, key=lambda g: (g.kind is not GapKind.HOLE, -g.area_m2))
    marks = (_placemark(number, gap) for number, gap in enumerate(ordered, start=1))
    return format_kml(title, *map(format_placemark, marks), styles=_STYLES.values())


def _placemark(number: int, gap: Gap) -> Placemark:
    name, vi = _NAMES[gap.kind], gap.sentence.in_language("vi")
    return Placemark(
        name=f"{number}. {name.in_language('vi')} / {name}: {gap.area_m2:,.0f} m²",
        description=f"{vi} {gap.sentence}",
        shape=gap.polygon_lonlat,
        style=_STYLES[gap.kind],
    )
