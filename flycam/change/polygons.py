"""Candidates as polygons of the work CRS, by commune, and their output file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from shapely.geometry.base import BaseGeometry

from flycam.catalog.catalog import Catalog
from flycam.change.coregistration import Registration, estimate_area_error_m2, estimate_place_error_m
from flycam.change.detection import MIN_BARE_M2, MIN_FLOODED_M2
from flycam.change.outlines import divide_by_commune, extract_polygons
from flycam.geodata.crs import WGS84, make_point_transform
from flycam.geodata.feature_file import FeatureLayer, write_features
from flycam.geodata.raster import trace_mask_polygons
from flycam.model.board import DETECTED_KINDS, ChangeKind
from flycam.model.flight import Flight
from flycam.model.records import CommuneRecord
from flycam.mosaic.coverage import get_flight_date
from flycam.mosaic.raster import OutputGrid
from flycam.mosaic.terrain import compute_lonlat_bounds

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

    @property
    def area_error_m2(self) -> float:
        return estimate_area_error_m2(self.kind, float(self.polygon.length), self.error_m)

    @property
    def probability(self) -> float:
        """Probability that it is of its kind.

        NaN where the terrain is not known, for which no score was calibrated.
        """
        return self.score if math.isfinite(self.slope_deg) else math.nan


@dataclass(frozen=True, kw_only=True, slots=True)
class CommuneChanges:
    """Changes in one commune.

    changes          candidates with more than a sliver in it (`is_sliver`): one across a border counts
        in both, so that these may be more together than there are
    others           those of them that are of no kind that is looked for
    area_m2_by_kind  its own ground that each kind looked for covers, overlaps counted once;
        code "" is ground outside of all boundaries that are known
    compared_m2      its ground on which changes were looked for; of all other nothing is known
    compared_pct     the same in per cent of all its ground; None outside of boundaries
    """

    code: str
    name: str
    changes: int
    others: int
    area_m2_by_kind: Mapping[str, float]
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
    changes, shares = [], []
    for one, uncut, polygon in zip(candidates, full_polygons, shapes, strict=True):
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
            )
        )
        shares.append((shared, outside))
    order = sorted(range(len(changes)), key=lambda k: (-changes[k].score, -changes[k].area_m2))
    # a row per commune, and for ground outside; the most changed first
    found: dict[str, list[tuple[str, BaseGeometry]]] = {record.code: [] for record, _ in areas}
    beyond: list[tuple[str, BaseGeometry]] = []
    for change, (shared, outside) in zip(changes, shares, strict=True):
        for record, part in shared:
            found[record.code].append((change.kind, part))
        if outside is not None:
            beyond.append((change.kind, outside))
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
        for name in ("kind", "commune", "commune_name")
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
    parts: Sequence[tuple[str, BaseGeometry]],
    compared_m2: float,
    area_m2: float | None,
) -> CommuneChanges:
    """Return a commune's totals from the parts of changes (kind, ground) in it."""
    kinds = [kind for kind in DETECTED_KINDS if any(kind == its for its, _ in parts)]
    return CommuneChanges(
        code=code,
        name=name,
        changes=len(parts),
        others=sum(kind not in DETECTED_KINDS for kind, _ in parts),
        area_m2_by_kind={
            kind.value: _united_m2([part for its, part in parts if its == kind]) for kind in kinds
        },
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
