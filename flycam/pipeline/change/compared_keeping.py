"""Ground that was compared, into the catalogue and out of it: what tells "nothing was found" from "nobody
looked".

Only what was looked at counts: clouds on either date, ground beyond what both pictures show, and what lies
outside of the area asked for are not in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from flycam.analysis.coregister import Registration
from flycam.catalog.catalog import Catalog
from flycam.catalog.change_line import ChangeLine, mosaic_of
from flycam.catalog.comparisons import ComparedWindow, Comparison
from flycam.catalog.records import AuditEntry
from flycam.catalog.withholding import Withholding
from flycam.frame.change import FOUND
from flycam.frame.flight import Event
from flycam.geodata.crs import WGS84, point_transform
from flycam.mosaic.extent import OutputGrid
from flycam.pipeline.change.commune_board import LookedAt
from flycam.pipeline.change.compare_changes import windows_layer
from flycam.pipeline.change.compare_sides import Side
from flycam.pipeline.change.shapes import DECIMALS, in_degrees, record_id
from flycam.pipeline.workspace import Workspace

Pair = tuple[str, str]
"""Mosaics (whatever their revisions) or names of pictures: before, after."""


def keep_compared(
    workspace: Workspace,
    event: Event,
    sides: tuple[Side, Side],
    compared: BaseGeometry,
    registration: Registration,
    grid: OutputGrid,
    crs: str,
) -> bool:
    """Put on record what ground of an event (multipolygon in `crs`) was compared, and how the pictures were
    laid on each other there; whether that is new. Nothing where changes were not looked for.

    It is drawn in by a pixel before its steps are smoothed: never more than was compared.
    """
    inner = _smoothed_inside(compared, grid.step_x)
    if inner.is_empty:
        return False
    shape = in_degrees(inner, crs)
    shown, wkb = (sides[0].shown, sides[1].shown), shapely.to_wkb(shape)
    west, south, east, north = (float(side) for side in shape.bounds)
    at_ns = workspace.clock_ns()
    record = Comparison(
        comparison_id=f"compared-{record_id(event.event_id, *shown, wkb.hex())}",
        event_id=event.event_id,
        before_shown=shown[0],
        after_shown=shown[1],
        rmse_m=registration.rmse_m,
        author=workspace.operator or workspace.box,
        at_ns=at_ns,
        wkb=wkb,
        bounds_lonlat_deg=(west, south, east, north),
    )
    told = AuditEntry(
        who=record.author,
        what="ground compared",
        subject=event.event_id,
        detail=f"{inner.area / 1e4:.2f} ha: {shown[0]} to {shown[1]}",
        at_ns=at_ns,
    )
    windows = _windows(registration, grid, crs)
    return workspace.catalog.comparisons.add([record], windows, lambda _count: told) > 0


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


def by_pair(some: Iterable[Comparison]) -> dict[Pair, BaseGeometry]:
    """Ground (WGS 84) that was compared between each two mosaics or pictures, in several goes together."""
    grounds: dict[Pair, list[BaseGeometry]] = {}
    for one in some:
        grounds.setdefault(pair_of(one), []).append(shapely.make_valid(shapely.from_wkb(one.wkb)))
    return {pair: shapely.union_all(shapes) for pair, shapes in grounds.items()}


def pair_of(one: Comparison | ChangeLine) -> Pair:
    """Between what something was found or compared."""
    return mosaic_of(one.before_shown), mosaic_of(one.after_shown)


def windows_of(catalog: Catalog, line: ChangeLine) -> list[ComparedWindow]:
    """The windows of the newest comparison that a change may have been found by: of its very pictures, where
    those are on record, else of the same mosaics."""
    found = [
        one
        for one in catalog.comparisons.of_event(line.event_id)
        if pair_of(one) in line.pairs and _holds(one, line)
    ]
    found.sort(key=lambda one: (one.before_shown, one.after_shown) == (line.before_shown, line.after_shown))
    return catalog.comparisons.windows(found[-1].comparison_id) if found else []


def _holds(one: Comparison, line: ChangeLine) -> bool:
    return bool(shapely.intersects(shapely.from_wkb(one.wkb), shapely.from_wkb(line.wkb)))


def share_of(place: BaseGeometry, grounds: Mapping[Pair, BaseGeometry], pair: Pair) -> float | None:
    """Of a place (WGS 84; a small shape: degrees will do) what was compared, 0 to 1; None: nobody kept what
    was compared between the two."""
    ground = grounds.get(pair)
    return None if ground is None else float(shapely.intersection(place, ground).area / place.area)


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
