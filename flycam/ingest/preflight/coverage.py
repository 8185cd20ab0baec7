"""Coverage of a flight: ground that was imaged, how often, and gaps.

Known while the aircraft can still fly again.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Polygon
from shapely.geometry.base import BaseGeometry

from flycam.geodata.crs import make_point_transform, to_lonlat
from flycam.geometry.camera import compute_ray_directions
from flycam.ingest.preflight.diagnosis import Gap, GapKind, Problem, ReliefZone, Severity, TerrainAt
from flycam.ingest.preflight.file_numbering import parse_counters
from flycam.ingest.preflight.flight_table import Bools, Floats
from flycam.ingest.preflight.frame_headers import ResolvedFlight
from flycam.ingest.preflight.relief_zones import ViewCounts, summarise_relief_zones
from flycam.ingest.preflight.sorties import split_sorties
from flycam.ingest.preflight.strip_gaps import StripGap, find_strip_gaps
from flycam.messages import _, ngettext

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
