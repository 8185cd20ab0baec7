"""Compared ground in the catalogue, which tells "no change" from "not looked at".

Ground under clouds on either date, beyond what both images show, or outside of the requested area is not in
it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from flycam.access.policy import AccessPolicy, LockedPreparedGeometry
from flycam.catalog.catalog import Catalog
from flycam.catalog.changes import ChangeVersion, ComparedWindow, Comparison, strip_location
from flycam.change.comparison_grid import ImageSource, select_event_flights
from flycam.change.coregistration import Registration
from flycam.change.outlines import (
    DECIMALS,
    derive_record_id,
    to_wgs84,
)
from flycam.change.polygons import build_windows_layer
from flycam.geodata.crs import WGS84, make_point_transform
from flycam.messages import Message
from flycam.model.board import POSITIVE_STATUSES
from flycam.model.flight import Event
from flycam.model.records import AuditEntry
from flycam.mosaic.raster import OutputGrid
from flycam.workspace import Workspace


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedGround:
    """Ground on which changes were looked for (WGS 84), and all changes there.

    Accepted or waiting, visible to the account or not.
    """

    ground: BaseGeometry
    changes: Sequence[ChangeVersion]


PairKey = tuple[str, str]
"""Mosaics (of any revision) or names of files: before, after."""

ComparisonReader = Callable[[str], Sequence[Comparison]]
"""Comparisons by id of the event."""

MIN_COMPARED = 0.9
"""Share of a place from which its growth, or that nothing was found there, can be stated: outlines differ at
the rim."""

_MAX_CACHED_GROUNDS, _MAX_CACHED_UNIONS = 256, 64


@dataclass(frozen=True, kw_only=True, slots=True)
class PairWarnings:
    """Warnings on an image pair for those who decide by it.

    doubts: why every change found between its images is less sure than elsewhere; others: all else.
    """

    doubts: Sequence[Message] = ()
    others: Sequence[Message] = ()

    @property
    def all(self) -> tuple[Message, ...]:
        return (*self.doubts, *self.others)


NO_WARNINGS = PairWarnings()


def store_comparison(
    workspace: Workspace,
    event: Event,
    sources: tuple[ImageSource, ImageSource],
    compared: BaseGeometry,
    registration: Registration,
    grid: OutputGrid,
    crs: str,
    warnings: PairWarnings = NO_WARNINGS,
) -> bool:
    """Record the ground of an event (multipolygon in `crs`) that was compared.

    Kept with the registration there and the warnings. Returns True if the record is new, which it also is if
    the warnings changed since the same ground was compared before; False, without a record, where changes
    were not looked for. The outline is shrunk by a pixel before its steps are smoothed: never more than was
    compared.

    Raises StoreConflict if a flight was moved out of the event since it was opened.
    """
    inner = _smoothed_inside(compared, grid.step_x)
    if inner.is_empty:
        return False
    shape = to_wgs84(inner, crs)
    shown, wkb = (sources[0].shown, sources[1].shown), shapely.to_wkb(shape)
    pair_key = strip_location(shown[0]), strip_location(shown[1])
    west, south, east, north = (float(side) for side in shape.bounds)
    at_ns = workspace.clock_ns()
    warning_texts = map(str, warnings.all)
    record = Comparison(
        comparison_id=f"compared-{derive_record_id(event.event_id, *pair_key, wkb.hex(), *warning_texts)}",
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
    entry = AuditEntry(
        who=record.author,
        what="ground compared",
        subject=event.event_id,
        detail=f"{inner.area / 1e4:.2f} ha: {shown[0]} to {shown[1]}",
        at_ns=at_ns,
    )
    windows = _windows(registration, grid, crs)
    of_flights = select_event_flights(sources, event.event_id)
    added = workspace.catalog.comparisons.add([record], windows, lambda _count: entry, flight_ids=of_flights)
    return added > 0


def list_visible_comparisons(
    catalog: Catalog, event_id: str, policy: AccessPolicy, until_ns: int | None = None
) -> list[Comparison]:
    """Return an event's comparisons, without those on flights that the policy hides."""
    found = catalog.comparisons.list_for_event(event_id, until_ns)
    return [one for one in found if not any(policy.hides_mosaic(name) for name in one.mosaics)]


def find_compared_ground(
    catalog: Catalog, event_ids: Sequence[str], policy: AccessPolicy, until_ns: int | None = None
) -> ComparedGround:
    """Return the compared ground of events, and all their changes, hidden or not."""
    visible = [one for name in event_ids for one in list_visible_comparisons(catalog, name, policy, until_ns)]
    latest = [
        line
        for name in event_ids
        for line in catalog.changes.current(name, statuses=POSITIVE_STATUSES, until_ns=until_ns)
    ]
    return ComparedGround(ground=shapely.union_all(list(group_by_pair(visible).values())), changes=latest)


def make_comparison_reader(catalog: Catalog, until_ns: int | None = None) -> ComparisonReader:
    """Return a cached reader of an event's comparisons up to a time (UTC).

    Each event is read once: make a reader for each answer.
    """
    return cache(lambda event_id: tuple(catalog.comparisons.list_for_event(event_id, until_ns)))


def group_by_pair(some: Iterable[Comparison]) -> dict[PairKey, BaseGeometry]:
    """Return the ground (WGS 84) compared for each pair of mosaics or files."""
    pairs: dict[PairKey, list[Comparison]] = {}
    for one in some:
        pairs.setdefault(one.pair, []).append(one)
    return {pair: unite_ground(of_pair) for pair, of_pair in pairs.items()}


def unite_ground(some: Sequence[Comparison]) -> BaseGeometry:
    """Return the union (WGS 84, valid) of some comparisons' ground.

    Cached by their bytes, which never change.
    """
    wkbs = tuple(dict.fromkeys(one.wkb for one in some))
    return _ground(wkbs[0]).shape if len(wkbs) == 1 else _united(wkbs)


@lru_cache(maxsize=_MAX_CACHED_GROUNDS)
def _ground(wkb: bytes) -> LockedPreparedGeometry:
    return LockedPreparedGeometry(shapely.make_valid(shapely.from_wkb(wkb)))


@lru_cache(maxsize=_MAX_CACHED_UNIONS)
def _united(wkbs: tuple[bytes, ...]) -> BaseGeometry:
    return shapely.union_all([_ground(wkb).shape for wkb in wkbs])


def find_comparison_windows(
    catalog: Catalog, line: ChangeVersion, reader: ComparisonReader | None = None
) -> list[ComparedWindow]:
    """Return the windows of the comparison that found a change.

    See `match_comparisons`.
    """
    (found,) = match_comparisons(reader or make_comparison_reader(catalog), [line])
    return [] if found is None else catalog.comparisons.windows(found.comparison_id)


def match_comparisons(reader: ComparisonReader, lines: Sequence[ChangeVersion]) -> list[Comparison | None]:
    """Return for each change the newest comparison that may have found it.

    One of the same revisions and files if recorded, else of the same mosaics; None if none was kept. None
    also for a drawn change, whatever it was drawn over: the registration says nothing about its position.
    """
    events = {line.event_id for line in lines if not line.is_drawn}
    of_pair: dict[tuple[str, PairKey], list[Comparison]] = {}
    for one in (one for event_id in sorted(events) for one in reader(event_id)):
        of_pair.setdefault((one.event_id, one.pair), []).append(one)
    return [
        None if line.is_drawn else _match_comparison(line, of_pair.get((line.event_id, line.pair), ()))
        for line in lines
    ]


def _match_comparison(line: ChangeVersion, made: Sequence[Comparison]) -> Comparison | None:
    pictures, shape = _pictures(line), shapely.from_wkb(line.wkb)
    holding = [one for one in made if _ground(one.wkb).intersects(shape)]
    return max(holding, key=lambda one: (_pictures(one) == pictures, one.at_ns), default=None)


def _pictures(one: ChangeVersion | Comparison) -> PairKey:
    """Return its two image references, revisions included, without folders."""
    return strip_location(one.before_shown), strip_location(one.after_shown)


def _smoothed_inside(compared: BaseGeometry, pixel_m: float) -> BaseGeometry:
    """Simplify an outline without reaching beyond it."""
    inner = shapely.simplify(shapely.buffer(compared, -pixel_m, join_style="mitre"), pixel_m)
    parts = [part for part in shapely.get_parts(inner) if part.geom_type == "Polygon" and not part.is_empty]
    return shapely.MultiPolygon(parts)


def _windows(registration: Registration, grid: OutputGrid, crs: str) -> Sequence[ComparedWindow]:
    layer = build_windows_layer(registration, grid)
    places = make_point_transform(crs, WGS84)(shapely.get_coordinates(layer.shapes)).round(DECIMALS)
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
