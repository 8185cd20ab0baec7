"""Commune boundaries from a file: named, repaired, and free of overlaps.

Ground that two of them claim is assigned to one, deterministically.

Nothing is changed silently: `CommuneImport` lists the rings repaired, the features left out and the owners of
contested ground. Areas are measured in the work CRS (UTM zone of the commune). Format page:
docs/formats/boundaries.md.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from flycam.errors import BoundaryInvalid, InputUnusable
from flycam.geodata.crs import WGS84, choose_work_crs, make_point_transform
from flycam.geodata.vector_file import (
    has_text,
    read_polygon_layers,
    read_texts,
    repair_mojibake,
    to_column_key,
)
from flycam.messages import _, pgettext
from flycam.model.text import to_search_key


def read_area_of_interest(path: Path) -> BaseGeometry:
    """Read all polygons of a vector file as one area in WGS 84 degrees.

    Self-crossings are repaired. Raises SourceUnreadable, CrsMissing, InputUnusable where no geometry has an
    area.
    """
    from flycam.geodata.vector_file import read_vector_layers  # noqa: PLC0415  slow to load

    layers = read_vector_layers(path, skip_geometry_types=("Point", "Line"))
    drawn = [geometry for layer in layers for geometry in layer.geometries if geometry is not None]
    mended = shapely.make_valid(drawn, method="structure", keep_collapsed=False)
    area = shapely.union_all([keep_polygons(one) for one in mended])
    if area.is_empty:
        raise InputUnusable(
            _("{name}: holds no area, at most lines or points: draw the area as a polygon", name=path.name)
        )
    return area


# -- Recognition of a boundary file's columns: code, name and stated area --------------------------


_CODE_COLUMNS = (
    "maxa", "maxaphuong", "maphuongxa", "madvhc", "macode", "code", "wardcode", "communecode", "adm3pcode",
    "adm2pcode", "gid3", "cc3", "maso", "ma",
)  # fmt: skip
_NAME_COLUMNS = (
    "fullname", "tenday", "tendaydu", "tenxa", "tenxaphuong", "tenphuongxa", "tendvhc", "ten", "name",
    "adm3vi", "adm2vi", "name3", "wardname", "communename", "commune", "xa", "adm3en",
)  # fmt: skip
_AREA_COLUMNS = ("areakm2", "dientichkm2", "dientich", "dtich", "dientichtn", "area", "sqkm", "areaha")


@dataclass(frozen=True, kw_only=True, slots=True)
class BoundaryFields:
    """Code, name and stated area (None unknown, the file's unit) of each feature."""

    codes: tuple[str, ...]
    names: tuple[str, ...]
    declared: tuple[float | None, ...]
    remarks: tuple[str, ...]


def find_fields(columns: Mapping[str, NDArray[Any]], path: Path) -> BoundaryFields:
    """Find the columns; raise BoundaryInvalid without a code or a name, listing them."""
    by_key = {to_column_key(column): column for column in reversed(list(columns))}
    code_column, name_column, area_column = (
        next((by_key[key] for key in wanted if key in by_key and has_text(columns[by_key[key]])), None)
        for wanted in (_CODE_COLUMNS, _NAME_COLUMNS, _AREA_COLUMNS)
    )
    if code_column is None and "id" in by_key and all(t.isdigit() for t in read_texts(columns[by_key["id"]])):
        # a number may be the official code; "a.1" is a feature's serial
        code_column = by_key["id"]
    remarks: list[str] = []
    if code_column is None and name_column is None:
        raise BoundaryInvalid(
            _(
                "{name}: no column holds commune names, codes (columns: {listed}): call them code and name",
                name=path.name,
                listed=", ".join(columns) or pgettext("columns", "none"),
            )
        )
    codes = read_texts(columns[code_column]) if code_column is not None else None
    names = read_texts(columns[name_column]) if name_column is not None else None
    if names is not None:
        names = repair_mojibake(names, remarks, path)
    if codes is None:
        codes = tuple(to_search_key(name).replace(" ", "-") for name in names or ())
        remarks.append(f"{path.name}: has no column of codes; codes were made from the names")
    names = tuple(name or code for name, code in zip(names or codes, codes, strict=True))
    codes = tuple(c or to_search_key(n).replace(" ", "-") for c, n in zip(codes, names, strict=True))
    return BoundaryFields(
        codes=codes, names=names, declared=_numbers(columns, area_column, len(codes)), remarks=tuple(remarks)
    )


def _numbers(columns: Mapping[str, NDArray[Any]], column: str | None, count: int) -> tuple[float | None, ...]:
    if column is None:
        return (None,) * count
    out: list[float | None] = []
    for value in columns[column].tolist():
        try:
            number = float(str(value).replace(",", "."))
        except ValueError:
            number = float("nan")
        out.append(number if np.isfinite(number) and number > 0 else None)
    return tuple(out)


# -- Deterministic assignment of ground that several boundaries claim ------------------------------
#
# Real boundary files overlap: neighbours were digitised apart, or a piece that changed hands stayed in the
# old outline. The result does not depend on the order of the features: everything runs in the order of the
# codes.
#
# Rule, for each piece of ground and the set of its claimants:
#
# 1. Where all claimants state their area, the owner is the one with whom the stated areas fit best (least sum
#    of squared relative differences), the largest contested pieces first.
# 2. Else, or if that ties, the owner is the claimant with the lowest code.


SLIVER_M2 = 1.0
"""Overlaps below this are the rounding of coordinates and stay."""

AreaOf = Callable[[NDArray[np.object_]], NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """A piece that several claimed. `rule` is "declared areas" or "lowest code"."""

    claimants: tuple[int, ...]
    owner: int
    area_m2: float
    rule: str


def sum_pairwise_overlap_m2(polygons: NDArray[np.object_], area_of: AreaOf) -> float:
    """Sum the area shared by each pair of N polygons.

    Ground claimed three times counts three times.
    """
    pieces = _pair_pieces(polygons, area_of)[2]
    return float(area_of(pieces).sum()) if len(pieces) else 0.0


def resolve_overlaps(
    polygons: NDArray[np.object_], declared_m2: Sequence[float | None], area_of: AreaOf
) -> tuple[NDArray[np.object_], tuple[Overlap, ...]]:
    """Cut N valid polygons, sorted by code, until none shares more than a sliver.

    declared_m2  areas that their owners state, None unknown
    area_of      measures geometries in m²

    Returns the N polygons, unchanged where no other claims their ground, and the decisions.
    """
    claims = _claims(polygons, area_of)
    areas = area_of(polygons)
    overlaps: list[Overlap] = []
    lost: dict[int, list[BaseGeometry]] = defaultdict(list)
    for claimants, piece, piece_m2 in claims:
        owner, rule = _owner(claimants, piece_m2, areas, declared_m2)
        overlaps.append(Overlap(claimants=claimants, owner=owner, area_m2=piece_m2, rule=rule))
        for loser in claimants:
            if loser != owner:
                lost[loser].append(piece)
                areas[loser] -= piece_m2
    resolved = polygons.copy()
    for loser, pieces in lost.items():
        resolved[loser] = keep_polygons(polygons[loser].difference(shapely.union_all(pieces)))
    return resolved, tuple(overlaps)


def keep_polygons(geometry: BaseGeometry) -> BaseGeometry:
    """Return the polygon part of a geometry; an empty polygon if it has none."""
    if geometry.geom_type in ("Polygon", "MultiPolygon"):
        return geometry
    parts = [p for p in shapely.get_parts(geometry) if p.geom_type in ("Polygon", "MultiPolygon")]
    return shapely.union_all(parts) if parts else shapely.Polygon()


def _pair_pieces(
    polygons: NDArray[np.object_], area_of: AreaOf
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.object_]]:
    """Return (i, j, shared polygon) of pairs that share more than a sliver, i < j."""
    i, j = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    i, j = i[i < j], j[i < j]
    order = np.lexsort((j, i))
    i, j = i[order], j[order]
    shared = shapely.intersection(polygons[i], polygons[j])
    pieces = np.array([keep_polygons(g) for g in shared], dtype=object)
    if not len(pieces):
        return i, j, pieces
    real = area_of(pieces) > SLIVER_M2
    return i[real], j[real], pieces[real]


def _claims(
    polygons: NDArray[np.object_], area_of: AreaOf
) -> list[tuple[tuple[int, ...], BaseGeometry, float]]:
    """Return contested ground by claimants, largest first.

    Each is (claimants ascending, ground, m²).
    """
    i, j, pieces = _pair_pieces(polygons, area_of)
    if not len(pieces):
        return []
    faces = shapely.get_parts(shapely.polygonize([shapely.union_all(shapely.boundary(pieces))]))
    inside = shapely.point_on_surface(faces)
    face, pair = shapely.STRtree(pieces).query(inside, predicate="intersects")
    claimants: dict[int, set[int]] = defaultdict(set)
    for f, p in zip(face.tolist(), pair.tolist(), strict=True):
        claimants[f].update((int(i[p]), int(j[p])))
    grounds: dict[tuple[int, ...], list[BaseGeometry]] = defaultdict(list)
    for f in sorted(claimants):
        grounds[tuple(sorted(claimants[f]))].append(faces[f])
    keys = sorted(grounds)
    merged = np.array([shapely.union_all(grounds[key]) for key in keys], dtype=object)
    claims = list(zip(keys, merged, area_of(merged).tolist(), strict=True))
    return sorted(claims, key=lambda claim: (-round(claim[2], 3), claim[0]))


def _owner(
    claimants: tuple[int, ...],
    piece_m2: float,
    areas: NDArray[np.float64],
    declared_m2: Sequence[float | None],
) -> tuple[int, str]:
    stated = [declared_m2[c] for c in claimants]
    if any(area is None or area <= 0 for area in stated):
        return claimants[0], "lowest code"
    declared = np.array(stated, dtype=np.float64)
    claimed_m2 = areas[list(claimants)]
    without = (claimed_m2 - piece_m2) / declared - 1.0
    costs = (without**2).sum() - without**2 + (claimed_m2 / declared - 1.0) ** 2
    # rounded, so that a tie in all but rounding errors goes to the lowest code on every machine
    return claimants[int(np.argmin(np.round(costs, 12)))], "declared areas"


# -- Communes of a boundary file: read, repaired, and cut free of overlaps -------------------------


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
            mended = _mended(geometry, f"{fields.names[row]} ({fields.codes[row]})", repaired, removed)
            if mended is not None:
                rough.append(_commune(fields, row, mended, since))
    if not rough:
        raise BoundaryInvalid(
            _("{name}: holds no usable polygon: give a file of commune areas", name=path.name)
        )
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
    communes = _in_square_kilometres(communes, remarks, path)
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
            _("{name}: {value!r} is not a date: write --valid-from YYYY-MM-DD", name=path.name, value=value)
        ) from error
