"""The commune board: status of each commune of an event.

A row has coverage, its age, marks, changes and live flights; features of specialist layers reported as
damaged or closed are listed beside it.

A commune of which nothing was imaged has no share at all, not a share of zero: of ground that was not looked
at nothing is known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from flycam.access.policy import UNRESTRICTED, AccessPolicy
from flycam.catalog.board import Boundaries, union_communes
from flycam.catalog.catalog import Catalog
from flycam.catalog.changes import ChangeVersion
from flycam.change.comparison import ComparedGround
from flycam.change.outlines import ChangeTotals, find_touched_communes, sum_changes_by_commune
from flycam.geodata.crs import WGS84, make_point_transform
from flycam.model.board import UNRESOLVED_STATUSES, ChangeStatus, MarkKind
from flycam.model.flight import Flight
from flycam.model.records import (
    BoundsLonLat,
    CommuneRecord,
    Coverage,
    LayerFeatureRecord,
    LayerRecord,
    MarkVersion,
)

_SLIVER_SHARE = 0.005
"""Share of a flight's outline: less beyond a boundary comes from simplifying the outline."""


_MIN_COMPARED = 0.001
"""Share of a commune, or of the compared ground: less than both is boundary precision."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FlightCoverage:
    """Coverage of one flight.

    outline_wkb  around it, WGS 84; None: nothing is known to be imaged yet
    coverage     measured by commune at orthorectification; none yet for a flight in the air
    """

    flight_id: str
    last_ns: int
    work_crs: str
    outline_wkb: bytes | None
    coverage: Sequence[Coverage] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class CommuneRow:
    """Status of one commune.

    area_m2      all of it
    imaged_pct   of its area, by all flights together, 0-100; None: not flown
    newest_ns    time of its newest image; newest_flight: the flight; newest_pct: share of its area
    flights      how many imaged it
    marks        open marks by kind; a sector counts in every commune that it touches
    changes      confirmed ones with ground in it, overlapping ones once; 0: part of it was compared and has
        no change; None: none is confirmed, and nothing was compared or a change waits
    waiting      changes that wait for review, with their ground in it; None: none waits
    compared_pct of its area, on which changes were looked for (0-100); None: nowhere, as far as is known
    flying_flights  flights in the air over it now
    unfinished_flights  flights that had begun by the requested time and were not over: what they had
        imaged of it by then is not known
    """

    code: str
    name: str
    area_m2: float
    bounds_lonlat_deg: BoundsLonLat
    imaged_pct: float | None = None
    newest_ns: int | None = None
    newest_flight: str | None = None
    newest_pct: float | None = None
    flights: int = 0
    marks: Mapping[MarkKind, int] = field(default_factory=dict)
    changes: int | None = None
    waiting: ChangeTotals | None = None
    compared_pct: float | None = None
    flying_flights: tuple[str, ...] = ()
    unfinished_flights: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Seen:
    flight: FlightCoverage
    last_ns: int
    share_pct: float


def select_board_communes(
    boundaries: Boundaries,
    flights: Sequence[Flight],
    compared: BaseGeometry | None = None,
    on_date: date | None = None,
    *,
    is_drill: bool,
) -> list[CommuneRecord]:
    """Return the communes that an event's board lists, by code.

    Those in which its ground counts (`Boundaries.list_countable`), in force on a date, or today's where none
    is then.

    flights   of the event: a drill flown entirely over its own communes lists no others, and one flown
        entirely outside (a rehearsal with real aircraft) none of its own; imaged communes are listed
    compared  ground (WGS 84) on which changes were looked for, also between files without a flight: likewise
    """
    counted = boundaries.list_countable(is_drill=is_drill, on_date=on_date)
    imaged: list[BaseGeometry] = [
        shapely.box(*one.bounds_lonlat_deg) for one in flights if one.bounds_lonlat_deg is not None
    ]
    if compared is not None and not compared.is_empty:
        imaged.append(compared)
    if not is_drill or not imaged:
        return counted
    own = [one for one in counted if one.is_synthetic]
    over = union_communes(own)
    if shapely.covers(over, imaged).all():
        return own
    if not shapely.intersects(over, imaged).any():
        return [one for one in counted if not one.is_synthetic]
    return counted


def build_commune_board(
    communes: Sequence[CommuneRecord],
    coverages: Sequence[FlightCoverage],
    marks: Iterable[MarkVersion],
    aloft: Mapping[str, tuple[float, float]],
    unfinished: Sequence[FlightCoverage] = (),
    changes: Sequence[ChangeVersion] = (),
    compared: ComparedGround | None = None,
) -> list[CommuneRow]:
    """Return a row for each commune, in their order.

    aloft: positions of flights in the air, longitude and latitude; unfinished: flights that were not over, as
    they ended; changes: those visible to the account; compared: where they were looked for.

    One flight's share is the one measured at orthorectification; that of several is their outlines' union,
    never less than the largest that was measured.
    """
    shapes = shapely.from_wkb(np.array([one.wkb for one in communes], dtype=object))
    tree = shapely.STRtree(shapes)
    seen = _seen_by_commune(communes, shapes, tree, coverages)
    marked = _marks_by_commune(tree, marks, len(communes))
    over = _aloft_by_commune(tree, aloft, len(communes))
    cut = () if compared is None else compared.cut
    confirmed, waiting = (
        sum_changes_by_commune([one for one in changes if one.status is status], tree, cut)
        for status in (ChangeStatus.ACCEPTED, ChangeStatus.PROPOSED)
    )
    # Never 0 for want of a change alone: a rejected false alarm does not tell which ground was compared.
    changed = [None if one is None else one.count for one in confirmed]
    shares = _compared_pct(shapes, compared)
    nothing = _find_communes_without_changes(tree, compared, len(communes))
    begun = _seen_by_commune(communes, shapes, tree, unfinished)
    rows = [
        CommuneRow(
            code=commune.code,
            name=commune.name,
            area_m2=commune.area_m2,
            bounds_lonlat_deg=shape.bounds,
            marks=marked[n],
            changes=0 if changed[n] is None and shares[n] is not None and nothing[n] else changed[n],
            waiting=waiting[n],
            compared_pct=shares[n],
            flying_flights=tuple(over[n]),
            unfinished_flights=tuple(one.flight.flight_id for one in begun[n]),
        )
        for n, (commune, shape) in enumerate(zip(communes, shapes, strict=True))
    ]
    return [_imaged(row, shapes[n], seen[n]) for n, row in enumerate(rows)]


def compute_imaged_share(rows: Sequence[CommuneRow]) -> float | None:
    """Return the imaged share of all communes' area, 0-100; None: no commune.

    Communes with an image cannot be counted instead: that number does not say how much was imaged.
    """
    whole_m2 = sum(row.area_m2 for row in rows)
    return sum(row.area_m2 * (row.imaged_pct or 0.0) for row in rows) / whole_m2 if whole_m2 > 0.0 else None


def _seen_by_commune(
    communes: Sequence[CommuneRecord],
    shapes: np.ndarray,
    tree: shapely.STRtree,
    flown: Sequence[FlightCoverage],
) -> list[list[_Seen]]:
    """Return the flights that imaged each commune.

    Where boundaries are newer than the measured coverage, flight outlines decide.
    """
    seen: list[list[_Seen]] = [[] for _ in communes]
    for flight in flown:
        measured = {one.commune_code: one for one in flight.coverage if one.covered_m2 > 0}
        for n, commune in enumerate(communes):
            if (one := measured.get(commune.code)) is not None:
                seen[n].append(_Seen(flight, one.last_ns, one.covered_pct))
        if flight.outline_wkb is None:
            continue
        outline = shapely.from_wkb(flight.outline_wkb)
        for n in tree.query(outline, predicate="intersects").tolist():
            if communes[n].code in measured:
                continue
            if shapely.intersection(shapes[n], outline).area >= _SLIVER_SHARE * outline.area:
                share = _share_pct(shapes[n], [outline], flight.work_crs)
                seen[n].append(_Seen(flight, flight.last_ns, share))
    return seen


def _imaged(row: CommuneRow, shape: BaseGeometry, seen: Sequence[_Seen]) -> CommuneRow:
    """Return the row with its imaged share; unchanged where nothing was imaged."""
    if not seen:
        return row
    newest = max(seen, key=lambda one: one.last_ns)
    share = max(one.share_pct for one in seen)
    if len(seen) > 1:
        outlines = [one.flight.outline_wkb for one in seen if one.flight.outline_wkb is not None]
        both = _share_pct(shape, [shapely.from_wkb(wkb) for wkb in outlines], newest.flight.work_crs)
        share = max(share, both)
    return replace(
        row,
        imaged_pct=min(share, 100.0),
        newest_ns=newest.last_ns,
        newest_flight=newest.flight.flight_id,
        newest_pct=min(newest.share_pct, 100.0),
        flights=len(seen),
    )


def _share_pct(shape: BaseGeometry, outlines: Sequence[BaseGeometry], work_crs: str) -> float:
    """Return the share (0-100) of a commune within the union of outlines.

    Measured in the work CRS; all are WGS 84.
    """
    onto = make_point_transform(WGS84, work_crs)
    commune = shapely.transform(shape, onto)
    ground = shapely.union_all([shapely.transform(one, onto) for one in outlines])
    return float(100.0 * shapely.intersection(commune, ground).area / commune.area)


def _marks_by_commune(
    tree: shapely.STRtree, marks: Iterable[MarkVersion], count: int
) -> list[Mapping[MarkKind, int]]:
    open_marks = [one for one in marks if one.status in UNRESOLVED_STATUSES]
    counts: list[Counter[MarkKind]] = [Counter() for _ in range(count)]
    if open_marks:
        places = shapely.from_wkb(np.array([one.wkb for one in open_marks], dtype=object))
        found, holders = tree.query(places, predicate="intersects")
        for mark, holder in zip(found.tolist(), holders.tolist(), strict=True):
            counts[holder][open_marks[mark].kind] += 1
    return list(counts)


def _compared_pct(shapes: np.ndarray, compared: ComparedGround | None) -> list[float | None]:
    """Return the compared share of each commune, 0-100; None: none (`_MIN_COMPARED`).

    Shares of one small shape: degrees will do.
    """
    if compared is None or compared.ground.is_empty:
        return [None] * len(shapes)
    areas, compared_area = shapely.area(shapes), compared.ground.area
    inside = shapely.area(shapely.intersection(shapely.make_valid(shapes), compared.ground))
    return [
        float(100.0 * part / all_of_it) if part > _MIN_COMPARED * min(all_of_it, compared_area) else None
        for part, all_of_it in zip(inside.tolist(), areas.tolist(), strict=True)
    ]


def _find_communes_without_changes(
    tree: shapely.STRtree, compared: ComparedGround | None, count: int
) -> list[bool]:
    """Return True for each commune without a change, hidden or sliver included.

    Only these may be reported as without a known change.
    """
    changed_communes = find_touched_communes([] if compared is None else compared.changes, tree)
    return [n not in changed_communes for n in range(count)]


def _aloft_by_commune(
    tree: shapely.STRtree, aloft: Mapping[str, tuple[float, float]], count: int
) -> list[list[str]]:
    over: list[list[str]] = [[] for _ in range(count)]
    for flight_id, place in sorted(aloft.items()):
        for holder in tree.query(shapely.Point(place), predicate="intersects").tolist():
            over[holder].append(flight_id)
    return over


# -- Features reported as damaged or closed by owners of specialist layers, by commune -------------
#
# A layer states the condition at its own time; it may have changed since.


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerTroubles:
    """Features in trouble of one layer in one commune, by name.

    commune_index: of the commune.

    valid_ns  time of the newest of them, UTC ns; None: no feature has a time
    """

    commune_index: int
    layer: LayerRecord
    features: tuple[LayerFeatureRecord, ...]
    valid_ns: int | None


def list_layer_troubles(
    catalog: Catalog, communes: Sequence[CommuneRecord], policy: AccessPolicy = UNRESTRICTED
) -> list[LayerTroubles]:
    """List features in trouble commune by commune, layers ordered by kind and name.

    A line through several communes is listed in each. Layers and features that the access policy hides are
    left out.
    """
    if not communes:
        return []
    shapes = shapely.from_wkb(np.array([one.wkb for one in communes], dtype=object))
    west, south, east, north = (float(side) for side in shapely.total_bounds(shapes))
    tree = shapely.STRtree(shapes)
    found = [
        some
        for layer in catalog.layers.all()
        if layer.troubles and not policy.hides_layer(layer.layer_id)
        for some in _of_layer(catalog, layer, tree, (west, south, east, north), policy)
    ]
    return sorted(found, key=lambda one: one.commune_index)


def _of_layer(
    catalog: Catalog,
    layer: LayerRecord,
    tree: shapely.STRtree,
    bounds: BoundsLonLat,
    policy: AccessPolicy,
) -> Iterable[LayerTroubles]:
    # features in trouble come first
    first, _ = catalog.layers.features(layer.layer_id, bounds, layer.troubles)
    things = [one for one in first if one.condition.is_trouble and not policy.is_outside(one.wkb)]
    if not things:
        return
    shapes = shapely.from_wkb(np.array([one.wkb for one in things], dtype=object))
    by_place: dict[int, list[LayerFeatureRecord]] = {}
    for thing, place in zip(*(some.tolist() for some in tree.query(shapes, "intersects")), strict=True):
        by_place.setdefault(place, []).append(things[thing])
    for place, some in by_place.items():
        dated = [one.valid_ns for one in some if one.valid_ns is not None]
        yield LayerTroubles(
            commune_index=place,
            layer=layer,
            features=tuple(sorted(some, key=lambda one: (not one.name, one.name, one.number))),
            valid_ns=max(dated, default=layer.valid_ns),
        )
