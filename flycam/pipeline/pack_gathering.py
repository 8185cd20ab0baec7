"""What a meeting pack says of its flights, communes and marks: figures without words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import shapely

from flycam import __version__
from flycam.catalog.records import Coverage, MarkLine
from flycam.catalog.revisions import LIVE_REVISION
from flycam.frame.flight import is_plane
from flycam.pipeline.coverage import boundaries_said
from flycam.pipeline.national import national_place
from flycam.pipeline.pack_sides import PackPlace, PackSide, area_m2
from flycam.pipeline.workspace import Workspace
from flycam.report.pack_figures import (
    Letterhead,
    PackCommune,
    PackFigures,
    PackFlight,
    PackMark,
    PackSource,
)


def gather_pack(
    workspace: Workspace,
    sides: Sequence[PackSide],
    places: Sequence[PackPlace],
    pictures: Mapping[str, bytes],
    letterhead: Letterhead,
    approved_by: str,
) -> PackFigures:
    """All that the pack says; sides and places in the order in which they are numbered."""
    newest = sides[0].flight
    events = {side.event.event_id: side.event.name for side in sides}
    marks = [line for event_id in events for line in workspace.catalog.marks.current(event_id)]
    communes, loose = _communes(workspace, sides, places, marks)
    return PackFigures(
        version=__version__,
        made_ns=workspace.clock_ns(),
        is_drill=sides[0].event.is_drill,
        approved_by=approved_by,
        letterhead=letterhead,
        events=tuple(dict.fromkeys(events.values())),
        work_crs=newest.work_crs,
        flights=tuple(_flight(workspace, number, side) for number, side in enumerate(sides, 1)),
        communes=communes,
        loose_marks=loose,
        remarks=boundaries_said(workspace.catalog, newest),
        audit_head=workspace.catalog.audit.head(),
        pictures=pictures,
    )


def _flight(workspace: Workspace, number: int, side: PackSide) -> PackFlight:
    flight = side.flight
    return PackFlight(
        number=number,
        flight_id=flight.flight_id,
        name=flight.name,
        event=side.event.name,
        operator=flight.operator or "",
        first_ns=flight.first_ns,
        last_ns=flight.last_ns,
        gsd_m=flight.gsd_m,
        imaged_m2=area_m2(side.ground, flight.work_crs),
        revision=side.mosaic.revision,
        error_m=_error_of(workspace, side),
        on_plane=is_plane(flight.vertical_datum),
        warnings=flight.warnings,
        sources=tuple(
            PackSource(
                name=one.header.provenance.source_name,
                sha256=one.header.provenance.source_sha256,
                captured_ns=one.header.captured_ns,
            )
            for one in side.frames
        ),
    )


def _error_of(workspace: Workspace, side: PackSide) -> tuple[float, float] | None:
    """Median and 95th percentile that the finished revision's report found; None where there is none."""
    if side.mosaic.revision == LIVE_REVISION:
        return None
    record = workspace.catalog.revisions.get(side.mosaic.mosaic_id, side.mosaic.revision)
    found = record.stats.get("map_error_m") or {}
    median, p95 = found.get("median"), found.get("p95")
    if median is None or p95 is None or not (math.isfinite(median) and math.isfinite(p95)):
        return None
    return float(median), float(p95)


def _communes(
    workspace: Workspace, sides: Sequence[PackSide], places: Sequence[PackPlace], marks: Sequence[MarkLine]
) -> tuple[tuple[PackCommune, ...], tuple[PackMark, ...]]:
    """Communes with the marks inside them, and the marks that are in none."""
    recorded = {
        (row.flight_id, row.commune_code): row
        for side in sides
        for row in workspace.catalog.boundaries.coverage(side.flight.flight_id)
    }
    left = [(shapely.from_wkb(line.wkb).representative_point(), line) for line in marks]
    communes = []
    for number, place in enumerate(places, 1):
        shape = shapely.from_wkb(place.commune.wkb)
        inside = [line for point, line in left if shape.covers(point)]
        left = [(point, line) for point, line in left if not shape.covers(point)]
        said = tuple(_mark(workspace, line) for line in inside)
        communes.append(_commune(number, sides, place, recorded, said))
    return tuple(communes), tuple(_mark(workspace, line) for _, line in left)


def _commune(
    number: int,
    sides: Sequence[PackSide],
    place: PackPlace,
    recorded: Mapping[tuple[str, str], Coverage],
    marks: tuple[PackMark, ...],
) -> PackCommune:
    """One flight's ground is the catalogue's, counted pixel by pixel; of several, their outlines' union."""
    code = place.commune.code
    showing = [
        (count, side)
        for count, side in enumerate(sides, 1)
        if side.ground.intersection(place.shape).area > 0.0
    ]
    flights = [side.flight for _, side in showing]
    rows = [recorded.get((flight.flight_id, code)) for flight in flights]
    times = [row or flight for row, flight in zip(rows, flights, strict=True)]
    newest, only = flights[0], rows[0]
    if len(showing) == 1 and only is not None:
        imaged_m2, gsd_m = only.covered_m2, only.gsd_m
    else:
        imaged_m2, gsd_m = area_m2(place.ground, newest.work_crs), newest.gsd_m
    return PackCommune(
        number=number,
        code=code,
        name=place.commune.name,
        imaged_m2=imaged_m2,
        imaged_pct=min(100.0 * imaged_m2 / place.commune.area_m2, 100.0),
        gsd_m=gsd_m,
        first_ns=min(one.first_ns for one in times),
        last_ns=max(one.last_ns for one in times),
        flights=tuple(count for count, _ in showing),
        marks=marks,
    )


def _mark(workspace: Workspace, line: MarkLine) -> PackMark:
    point = shapely.from_wkb(line.wkb).representative_point()
    place = national_place(workspace.catalog.boundaries, point.x, point.y)
    return PackMark(
        kind=line.kind,
        status=line.status,
        note=line.note,
        author=line.author,
        at_ns=line.at_ns,
        lonlat_deg=(point.x, point.y),
        vn2000=None if place is None else (place.x_north_m, place.y_east_m, place.central_meridian_deg),
    )
