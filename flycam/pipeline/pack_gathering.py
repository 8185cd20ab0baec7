"""What a meeting pack says of its flights, communes and marks: figures without words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from flycam import __version__
from flycam.catalog.masked_ground import masks_of
from flycam.catalog.revisions import LIVE_REVISION
from flycam.catalog.withholding import Withholding
from flycam.frame.classification import Classification, strictest
from flycam.frame.flight import FlightState, is_plane
from flycam.pipeline.change_impact import REACH_M
from flycam.pipeline.change_places import together
from flycam.pipeline.coverage import boundaries_said
from flycam.pipeline.national import national_place
from flycam.pipeline.pack_scene import PackScene, PackSide, PackSign, area_m2
from flycam.pipeline.pack_touched import changes_of, settlements_in, touched_by_commune
from flycam.pipeline.settlements import level_of
from flycam.pipeline.workspace import Workspace
from flycam.report.pack_figures import (
    Letterhead,
    PackChange,
    PackCommune,
    PackFigures,
    PackFlight,
    PackMark,
    PackSource,
)


def gather_pack(
    workspace: Workspace,
    scene: PackScene,
    pictures: Mapping[str, bytes],
    letterhead: Letterhead,
    approved_by: str,
) -> PackFigures:
    """All that the pack says of a scene, numbered as it is."""
    head = workspace.catalog.audit.signed_head()
    marks = [_mark(workspace, number, sign) for number, sign in enumerate(scene.signs, 1)]
    changes = changes_of(workspace, scene)
    confirmed = together([patch.impact.line for patch in scene.patches])
    return PackFigures(
        version=__version__,
        made_ns=workspace.clock_ns(),
        is_drill=scene.is_drill,
        approved_by=approved_by,
        letterhead=letterhead,
        events=tuple(dict.fromkeys(side.event.name for side in scene.sides)),
        imaged_m2=area_m2(scene.ground, scene.work_crs),
        flights=tuple(_flight(workspace, number, side) for number, side in enumerate(scene.sides, 1)),
        communes=tuple(_communes(workspace, scene, marks, changes)),
        loose_marks=tuple(mark for mark, sign in zip(marks, scene.signs, strict=True) if sign.place is None),
        changes=tuple(changes),
        places=confirmed.places,
        changes_m2=confirmed.area_m2,
        changes_elsewhere=scene.changes_elsewhere,
        near_m=REACH_M,
        settlements=tuple(settlements_in(scene)),
        remarks=boundaries_said(workspace.catalog, scene.sides[0].flight),
        audit_head="" if head is None else head.noted,
        audit_key="" if head is None else head.key,
        audit_signature="" if head is None else head.signature,
        pictures=pictures,
        classification=_classification(workspace, scene),
    )


def _classification(workspace: Workspace, scene: PackScene) -> Classification:
    """The strictest level of what is in it: flights, layers of which it tells anything; of ground in a
    restricted area or under a mask, restricted."""
    restrictions = workspace.catalog.restrictions
    said = restrictions.levels()
    told = {side.flight.flight_id for side in scene.sides}
    for patch in scene.patches:
        told |= {layer.layer_id for layer in patch.impact.layers}
        told |= {one.layer.layer_id for one in patch.impact.touched}
    levels = [said.get(subject, Classification.OPEN) for subject in told]
    levels += [level_of(one, said) for _, one in scene.settlements]
    masks = masks_of(workspace.catalog)
    withheld = Withholding(areas=[area.wkb for area in restrictions.areas()], masks=masks)
    if any(withheld.touches_box(side.flight.bounds_lonlat_deg) for side in scene.sides):
        levels.append(Classification.RESTRICTED)
    return strictest(levels)


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
        is_complete=flight.state is FlightState.READY,
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
    workspace: Workspace, scene: PackScene, marks: Sequence[PackMark], changes: Sequence[PackChange]
) -> Iterator[PackCommune]:
    """As the board has them; GSD and times as they were measured when each flight was laid."""
    measured = {
        (row.flight_id, row.commune_code): row
        for side in scene.sides
        for row in workspace.catalog.boundaries.coverage(side.flight.flight_id)
    }
    touched = touched_by_commune(scene)
    for number, place in enumerate(scene.places):
        flights = [scene.sides[shown].flight for shown in place.shown_by]
        covered = [measured.get((flight.flight_id, place.commune.code)) for flight in flights]
        rows = [one or flight for one, flight in zip(covered, flights, strict=True)]
        imaged_pct = place.row.imaged_pct or 0.0
        only = covered[0] if len(covered) == 1 else None
        yield PackCommune(
            number=number + 1,
            code=place.commune.code,
            name=place.commune.name,
            imaged_m2=only.covered_m2 if only else place.commune.area_m2 * imaged_pct / 100.0,
            imaged_pct=imaged_pct,
            gsd_m=max(one.gsd_m for one in rows),
            first_ns=min(one.first_ns for one in rows),
            last_ns=max(one.last_ns for one in rows),
            flights=tuple(shown + 1 for shown in place.shown_by),
            marks=tuple(mark for mark, sign in zip(marks, scene.signs, strict=True) if sign.place == number),
            changes=tuple(
                change for change, patch in zip(changes, scene.patches, strict=True) if number in patch.places
            ),
            touched=touched.get(place.commune.code),
            compared_pct=place.row.compared_pct,
        )


def _mark(workspace: Workspace, number: int, sign: PackSign) -> PackMark:
    line, point = sign.line, sign.shape.representative_point()
    place = national_place(workspace.catalog.boundaries, point.x, point.y)
    return PackMark(
        number=number,
        kind=line.kind,
        status=line.status,
        note=line.note,
        author=line.author,
        at_ns=line.at_ns,
        lonlat_deg=(point.x, point.y),
        vn2000=None if place is None else (place.x_north_m, place.y_east_m, place.central_meridian_deg),
    )
