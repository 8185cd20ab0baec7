"""Commune boundaries from a file: named, repaired, and without ground that two of them claim.

Nothing is changed silently: `CommuneImport` lists the rings repaired, the features left out and the owners of
contested ground. Areas are measured in the work CRS (UTM zone of the commune). Format page:
docs/formats/boundaries.md.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from flycam.errors import BoundaryInvalid
from flycam.frame.text_normalization import to_search_key
from flycam.geodata.boundary_fields import BoundaryFields, find_fields
from flycam.geodata.crs import WGS84, choose_work_crs, make_point_transform
from flycam.geodata.overlaps import keep_polygons, resolve_overlaps, sum_pairwise_overlap_m2
from flycam.geodata.vector_file import read_polygon_layers
from flycam.messages import _

_UNIT_FACTORS_KM2 = (1.0, 1e-2, 1e-6)


@dataclass(frozen=True, kw_only=True, slots=True)
class Commune:
    """One commune or ward: `polygon` in WGS 84 degrees, official name in NFC."""

    code: str
    name: str
    search_name: str
    polygon: BaseGeometry
    area_km2: float
    declared_area_km2: float | None
    valid_from: date


@dataclass(frozen=True, kw_only=True, slots=True)
class ContestedArea:
    """Ground that several communes claimed, its owner, and the rule that decided."""

    codes: tuple[str, ...]
    assigned_to: str
    area_km2: float
    rule: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CommuneImport:
    """Result of importing a boundary file.

    communes           by code, ascending
    repaired           one sentence for each repaired boundary, naming the commune
    removed            one sentence for each feature that was left out
    remarks            other things the user should know
    overlaps_km2       ground shared by pairs of communes in the file, summed over pairs
    overlaps_left_km2  the same afterwards: rounding only
    contested          the decisions
    """

    communes: tuple[Commune, ...]
    repaired: tuple[str, ...]
    removed: tuple[str, ...]
    remarks: tuple[str, ...]
    overlaps_km2: float
    overlaps_left_km2: float
    contested: tuple[ContestedArea, ...]


def read_communes(path: Path, valid_from: date | str) -> CommuneImport:
    """Read and repair the communes of a boundary file in any CRS; resolve overlaps.

    GeoJSON, GeoPackage, Shapefile or KML. `valid_from` is the first day on which these boundaries hold (date
    or "YYYY-MM-DD"). Raises SourceUnreadable, CrsMissing, BoundaryInvalid (no polygon, no column with a name
    or a code, bad date).
    """
    path = Path(path)
    since = _date(valid_from, path)
    repaired: list[str] = []
    removed: list[str] = []
    remarks: list[str] = []
    rough: list[Commune] = []
    for layer in read_polygon_layers(path):
        fields = find_fields(layer.fields, path)
        remarks.extend(fields.remarks)
        for row, geometry in enumerate(layer.geometries):
            mended = _mended(geometry, _label(fields, row), repaired, removed)
            if mended is not None:
                rough.append(_commune(fields, row, mended, since))
    if not rough:
        raise BoundaryInvalid(
            _("{name}: holds no usable polygon: give a file of commune areas", name=path.name)
        )
    communes = _in_square_kilometres(_merge_by_code(rough, remarks), remarks, path)
    polygons = _array([c.polygon for c in communes])
    declared = [None if c.declared_area_km2 is None else c.declared_area_km2 * 1e6 for c in communes]
    before = sum_pairwise_overlap_m2(polygons, compute_area_m2)
    resolved, overlaps = resolve_overlaps(polygons, declared, compute_area_m2)
    areas = compute_area_m2(resolved)
    return CommuneImport(
        communes=tuple(
            replace(c, polygon=resolved[k], area_km2=float(areas[k]) / 1e6)
            for k, c in enumerate(communes)
            if areas[k] > 0
        ),
        repaired=tuple(repaired),
        removed=(
            *removed,
            *(
                f"{c.name} ({c.code}): lies wholly inside others"
                for k, c in enumerate(communes)
                if not areas[k]
            ),
        ),
        remarks=tuple(dict.fromkeys(remarks)),
        overlaps_km2=before / 1e6,
        overlaps_left_km2=sum_pairwise_overlap_m2(resolved, compute_area_m2) / 1e6,
        contested=tuple(
            ContestedArea(
                codes=tuple(communes[k].code for k in o.claimants),
                assigned_to=communes[o.owner].code,
                area_km2=o.area_m2 / 1e6,
                rule=o.rule,
            )
            for o in overlaps
        ),
    )


def compute_area_m2(geometries: NDArray[np.object_]) -> NDArray[np.float64]:
    """Compute areas (N, m²) of WGS 84 geometries, each in the UTM zone of its middle."""
    areas = np.zeros(len(geometries))
    boxes = shapely.bounds(geometries)
    middle = np.stack([boxes[:, 0] + boxes[:, 2], boxes[:, 1] + boxes[:, 3]], axis=-1) / 2.0
    groups: dict[str, list[int]] = defaultdict(list)
    for k, (lon, lat) in enumerate(middle.tolist()):
        if not math.isnan(lon):
            groups[choose_work_crs(lon, lat)].append(k)
    for crs, members in groups.items():
        areas[members] = shapely.area(
            shapely.transform(geometries[members], make_point_transform(WGS84, crs))
        )
    return areas


def _mended(
    geometry: BaseGeometry | None, label: str, repaired: list[str], removed: list[str]
) -> BaseGeometry | None:
    if geometry is None or keep_polygons(geometry).is_empty:
        removed.append(f"{label}: has no area")
        return None
    # checked before any area: a bow-tie's signed area may be zero
    if geometry.is_valid:
        return keep_polygons(geometry)
    reason = shapely.is_valid_reason(geometry)
    mended = keep_polygons(shapely.make_valid(geometry, method="structure", keep_collapsed=False))
    if mended.is_empty:
        removed.append(f"{label}: boundary cannot be repaired ({reason})")
        return None
    repaired.append(
        f"{label}: boundary repaired ({reason}); area now {compute_area_m2(_array([mended]))[0] / 1e6:.3f} "
        "km²"
    )
    return mended


def _commune(fields: BoundaryFields, row: int, polygon: BaseGeometry, since: date) -> Commune:
    name = fields.names[row]
    return Commune(
        code=fields.codes[row],
        name=name,
        search_name=to_search_key(name),
        polygon=polygon,
        area_km2=0.0,
        declared_area_km2=fields.declared[row],
        valid_from=since,
    )


def _merge_by_code(rough: list[Commune], remarks: list[str]) -> list[Commune]:
    """Merge features of one code into one commune; ascending by code."""
    by_code: dict[str, list[Commune]] = defaultdict(list)
    for commune in rough:
        by_code[commune.code].append(commune)
    communes = []
    for code in sorted(by_code):
        parts = sorted(by_code[code], key=lambda c: (c.name, c.polygon.wkb))
        first = parts[0]
        if len(parts) > 1:
            remarks.append(f"{first.name} ({code}): {len(parts)} features joined into one")
            first = replace(first, polygon=keep_polygons(shapely.union_all([p.polygon for p in parts])))
        communes.append(first)
    return communes


def _in_square_kilometres(communes: list[Commune], remarks: list[str], path: Path) -> list[Commune]:
    """Convert stated areas in km², hectares or m² to km².

    The unit is the one that fits the geometry.
    """
    stated = np.array([c.declared_area_km2 or np.nan for c in communes])
    known = np.isfinite(stated) & (stated > 0)
    if not known.any():
        return [replace(c, declared_area_km2=None) for c in communes]
    ratio = float(
        np.median(compute_area_m2(_array([c.polygon for c in communes]))[known] / 1e6 / stated[known])
    )
    factor = min(_UNIT_FACTORS_KM2, key=lambda f: abs(math.log(ratio / f)))
    if abs(math.log(ratio / factor)) > math.log(1.5):
        remarks.append(f"{path.name}: stated areas fit no unit and were not used")
        return [replace(c, declared_area_km2=None) for c in communes]
    return [
        replace(c, declared_area_km2=float(stated[k]) * factor if known[k] else None)
        for k, c in enumerate(communes)
    ]


def _label(fields: BoundaryFields, row: int) -> str:
    return f"{fields.names[row]} ({fields.codes[row]})"


def _array(geometries: list[BaseGeometry]) -> NDArray[np.object_]:
    out = np.empty(len(geometries), dtype=object)
    out[:] = geometries
    return out


def _date(value: date | str, path: Path) -> date:
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value)
    except ValueError as error:
        raise BoundaryInvalid(
            _("{name}: {value!r} is no date: write --valid-from YYYY-MM-DD", name=path.name, value=value)
        ) from error
