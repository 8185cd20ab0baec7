"""Ground that was compared, into the catalogue and out of it: what tells "nothing was found" from "nobody
looked".

Only what was looked at counts: clouds on either date, ground beyond what both pictures show, and what lies
outside of the area asked for are not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from flycam.analysis.coregister import Registration
from flycam.catalog.asked_shapes import AskedShape
from flycam.catalog.catalog import Catalog
from flycam.catalog.change_line import ChangeLine
from flycam.catalog.comparisons import ComparedWindow, Comparison
from flycam.catalog.pictures_shown import without_place
from flycam.catalog.records import AuditEntry
from flycam.catalog.withholding import Withholding
from flycam.frame.change import FOUND
from flycam.frame.flight import Event
from flycam.geodata.crs import WGS84, point_transform
from flycam.mosaic.extent import OutputGrid
from flycam.pipeline.change.commune_board import LookedAt
from flycam.pipeline.change.compare_changes import windows_layer
from flycam.pipeline.change.compare_sides import Said, Side, flights_in
from flycam.pipeline.change.shapes import DECIMALS, in_degrees, record_id
from flycam.pipeline.workspace import Workspace

Pair = tuple[str, str]
"""Mosaics (whatever their revisions) or names of pictures: before, after."""

Reading = Callable[[str], Sequence[Comparison]]
"""What was compared, by id of the event."""

LEAST_COMPARED = 0.9
"""Of a place, that its growth, or that nothing was found there, can be told: outlines differ at the rim."""

_GROUNDS_KEPT, _UNIONS_KEPT = 256, 64


@dataclass(frozen=True, kw_only=True, slots=True)
class PairWarnings:
    """What whoever decides by two pictures has to know: doubts, for which every change found between them is
    less sure than elsewhere, and all else."""

    doubts: Sequence[Said] = ()
    others: Sequence[Said] = ()

    @property
    def all(self) -> tuple[Said, ...]:
        return (*self.doubts, *self.others)


NO_WARNINGS = PairWarnings()


def keep_compared(
    workspace: Workspace,
    event: Event,
    sides: tuple[Side, Side],
    compared: BaseGeometry,
    registration: Registration,
    grid: OutputGrid,
    crs: str,
    warnings: PairWarnings = NO_WARNINGS,
) -> bool:
    """Put on record what ground of an event (multipolygon in `crs`) was compared, how the pictures were laid
    on each other there, and what is to be known of that; whether it is new: where other warnings hold now
    than when the same was compared before, it is. Nothing where changes were not looked for.

    Raises StoreConflict where a flight was moved out of the event since it was opened.
    It is drawn in by a pixel before its steps are smoothed: never more than was compared.
    """
    inner = _smoothed_inside(compared, grid.step_x)
    if inner.is_empty:
        return False
    shape = in_degrees(inner, crs)
    shown, wkb = (sides[0].shown, sides[1].shown), shapely.to_wkb(shape)
    alike = without_place(shown[0]), without_place(shown[1])
    west, south, east, north = (float(side) for side in shape.bounds)
    at_ns = workspace.clock_ns()
    said = [english for english, _ in warnings.all]
    record = Comparison(
        comparison_id=f"compared-{record_id(event.event_id, *alike, wkb.hex(), *said)}",
        event_id=event.event_id,
        before_shown=shown[0],
        after_shown=shown[1],
        rmse_m=registration.rmse_m,
        author=workspace.operator or workspace.box,
        at_ns=at_ns,
        wkb=wkb,
        bounds_lonlat_deg=(west, south, east, north),
        doubts=tuple(warnings.doubts),
        warnings=tuple(warnings.others),
    )
    told = AuditEntry(
        who=record.author,
        what="ground compared",
        subject=event.event_id,
        detail=f"{inner.area / 1e4:.2f} ha: {shown[0]} to {shown[1]}",
        at_ns=at_ns,
    )
    windows = _windows(registration, grid, crs)
    of_flights = flights_in(sides, event.event_id)
    added = workspace.catalog.comparisons.add([record], windows, lambda _count: told, of_flights=of_flights)
    return added > 0


def told_comparisons(
    catalog: Catalog, event_id: str, withholding: Withholding, until_ns: int | None = None
) -> list[Comparison]:
    """What of an event was compared, without what was on flights that are withheld."""
    found = catalog.comparisons.of_event(event_id, until_ns)
    return [one for one in found if not any(withholding.hides_mosaic(name) for name in one.mosaics)]


def looked_at_in(
    catalog: Catalog, event_ids: Sequence[str], withholding: Withholding, until_ns: int | None = None
) -> LookedAt:
    """Where changes were looked for in events, and all that stand in them, told or not."""
    told = [one for name in event_ids for one in told_comparisons(catalog, name, withholding, until_ns)]
    standing = [
        line
        for name in event_ids
        for line in catalog.changes.current(name, statuses=FOUND, until_ns=until_ns)
    ]
    return LookedAt(ground=shapely.union_all(list(by_pair(told).values())), standing=standing)


def read_once(catalog: Catalog, until_ns: int | None = None) -> Reading:
    """What of an event was compared by then (UTC). Each event is read once: make one for each answer."""
    return cache(lambda event_id: tuple(catalog.comparisons.of_event(event_id, until_ns)))


def by_pair(some: Iterable[Comparison]) -> dict[Pair, BaseGeometry]:
    """Ground (WGS 84) that was compared between each two mosaics or pictures, in several goes together."""
    pairs: dict[Pair, list[Comparison]] = {}
    for one in some:
        pairs.setdefault(one.pair, []).append(one)
    return {pair: ground_of(of_pair) for pair, of_pair in pairs.items()}


def ground_of(some: Sequence[Comparison]) -> BaseGeometry:
    """All ground (WGS 84, valid) of some comparisons together; kept by their bytes, which never change."""
    wkbs = tuple(dict.fromkeys(one.wkb for one in some))
    return _ground(wkbs[0]).shape if len(wkbs) == 1 else _united(wkbs)


@lru_cache(maxsize=_GROUNDS_KEPT)
def _ground(wkb: bytes) -> AskedShape:
    return AskedShape(shapely.make_valid(shapely.from_wkb(wkb)))


@lru_cache(maxsize=_UNIONS_KEPT)
def _united(wkbs: tuple[bytes, ...]) -> BaseGeometry:
    return shapely.union_all([_ground(wkb).shape for wkb in wkbs])


def windows_of(catalog: Catalog, line: ChangeLine, made: Reading | None = None) -> list[ComparedWindow]:
    """The windows of the comparison that a change was found by; see `found_by`."""
    (found,) = found_by(made or read_once(catalog), [line])
    return [] if found is None else catalog.comparisons.windows(found.comparison_id)


def found_by(made: Reading, lines: Sequence[ChangeLine]) -> list[Comparison | None]:
    """Of each change the newest comparison of `made` that it may have been found by: of its very pictures,
    where those are on record, else of the same mosaics; None where none was kept, and of what was drawn,
    whatever it was drawn over: how well pictures lie on each other says nothing of it."""
    events = {line.event_id for line in lines if not line.is_drawn}
    of_pair: dict[tuple[str, Pair], list[Comparison]] = {}
    for one in (one for event_id in sorted(events) for one in made(event_id)):
        of_pair.setdefault((one.event_id, one.pair), []).append(one)
    return [
        None if line.is_drawn else _found_by(line, of_pair.get((line.event_id, line.pair), ()))
        for line in lines
    ]


def _found_by(line: ChangeLine, made: Sequence[Comparison]) -> Comparison | None:
    pictures, shape = _pictures(line), shapely.from_wkb(line.wkb)
    holding = [one for one in made if _ground(one.wkb).intersects(shape)]
    return max(holding, key=lambda one: (_pictures(one) == pictures, one.at_ns), default=None)


def _pictures(one: ChangeLine | Comparison) -> Pair:
    """Its two pictures, revisions included, wherever files lay."""
    return without_place(one.before_shown), without_place(one.after_shown)


def _smoothed_inside(compared: BaseGeometry, pixel_m: float) -> BaseGeometry:
    """With few corners, and nowhere beyond."""
    inner = shapely.simplify(shapely.buffer(compared, -pixel_m, join_style="mitre"), pixel_m)
    parts = [part for part in shapely.get_parts(inner) if part.geom_type == "Polygon" and not part.is_empty]
    return shapely.MultiPolygon(parts)


def _windows(registration: Registration, grid: OutputGrid, crs: str) -> Sequence[ComparedWindow]:
    layer = windows_layer(registration, grid)
    places = point_transform(crs, WGS84)(shapely.get_coordinates(layer.shapes)).round(DECIMALS)
    return [
        ComparedWindow(
            lonlat_deg=(float(lon), float(lat)),
            state=str(state),
            residual_m=round(float(residual), 3) if np.isfinite(residual) else None,
        )
        for (lon, lat), state, residual in zip(
            places, layer.fields["state"], layer.fields["residual_m"], strict=True
        )
    ]
