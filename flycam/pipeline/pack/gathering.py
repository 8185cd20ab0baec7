"""What a meeting pack says of its flights, communes and marks: figures without words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from flycam import __version__
from flycam.catalog.masked_ground import masks_of
from flycam.catalog.records import FrameRecord
from flycam.catalog.revision_stats import shift_error_m
from flycam.catalog.revisions import LIVE_REVISION
from flycam.catalog.withholding import Withholding
from flycam.frame.classification import Classification, strictest
from flycam.frame.flight import FlightState, is_plane
from flycam.geometry.grid import mercator_to_lonlat
from flycam.pipeline.change.commune_board import imaged_of_all
from flycam.pipeline.change.impact import REACH_M
from flycam.pipeline.change.places import Together, together
from flycam.pipeline.coverage import boundaries_said
from flycam.pipeline.national import national_place
from flycam.pipeline.pack.pairs import PackView
from flycam.pipeline.pack.scene import PackScene, PackSide, PackSign, area_m2, frames_in
from flycam.pipeline.pack.touched import (
    changes_of,
    layer_said,
    settlements_in,
    told_within,
    touched_by_commune,
    troubles_at,
)
from flycam.pipeline.settlements import level_of
from flycam.pipeline.workspace import Workspace
from flycam.report.pack_figures import (
    Letterhead,
    PackBeside,
    PackChange,
    PackCommune,
    PackFigures,
    PackFlight,
    PackMark,
    PackSource,
    PackWaiting,
)


def gather_pack(
    workspace: Workspace,
    scene: PackScene,
    pictures: Mapping[str, bytes],
    letterhead: Letterhead,
    approved_by: str,
    asked_by: str = "",
    slides: Mapping[str, bytes] | None = None,
    *,
    is_covered: bool = False,
) -> PackFigures:
    """All that the pack says of a scene, numbered as it is. pictures, slides, is_covered: as in
    `PackFigures`."""
    head = workspace.catalog.audit.signed_head()
    marks = [_mark(workspace, number, sign) for number, sign in enumerate(scene.signs, 1)]
    changes = changes_of(workspace, scene)
    confirmed = together([patch.impact.line for patch in scene.patches])
    return PackFigures(
        version=__version__,
        made_ns=workspace.clock_ns(),
        is_drill=scene.is_drill,
        approved_by=approved_by,
        asked_by=asked_by or workspace.operator or "",
        letterhead=letterhead,
        events=tuple(dict.fromkeys(side.event.name for side in scene.sides)),
        imaged_m2=area_m2(scene.ground, scene.work_crs),
        flights=tuple(_flight(workspace, number, side) for number, side in enumerate(scene.sides, 1)),
        communes=tuple(_communes(workspace, scene, marks, changes)),
        loose_marks=tuple(mark for mark, sign in zip(marks, scene.signs, strict=True) if not sign.places),
        changes=tuple(changes),
        places=confirmed.places,
        changes_m2=confirmed.area_m2,
        changes_elsewhere=scene.changes_elsewhere,
        waiting=_waiting(together(scene.waiting) if scene.waiting else None),
        waiting_elsewhere=scene.waiting_elsewhere,
        communes_pct=imaged_of_all([place.row for place in scene.places]),
        near_m=REACH_M,
        beside=tuple(_beside(workspace, scene)),
        telling=tuple(layer_said(layer, workspace.clock_ns()) for layer in scene.telling),
        settlements=tuple(settlements_in(scene)),
        remarks=boundaries_said(workspace.catalog, scene.sides[0].flight),
        audit_head="" if head is None else head.noted,
        audit_key="" if head is None else head.key,
        audit_signature="" if head is None else head.signature,
        pictures=pictures,
        slides=slides or {},
        classification=_classification(workspace, scene),
        is_national=_is_national(workspace, scene),
        is_covered=is_covered,
    )


def _is_national(workspace: Workspace, scene: PackScene) -> bool:
    """Whether all that is shown lies in Viet Nam."""
    middles = [side.ground.representative_point() for side in scene.sides]
    lonlat = mercator_to_lonlat(np.array([(one.x, one.y) for one in middles]))
    boundaries = workspace.catalog.boundaries
    return all(national_place(boundaries, lon, lat) is not None for lon, lat in lonlat.tolist())


def _classification(workspace: Workspace, scene: PackScene) -> Classification:
    """The strictest level of what is in it: flights, layers of which it tells anything; of ground in a
    restricted area or under a mask, restricted."""
    restrictions = workspace.catalog.restrictions
    said = restrictions.levels()
    told = {flight.flight_id for flight in scene.flights_seen}
    for patch in scene.patches:
        told |= {layer.layer_id for layer in patch.impact.layers}
        told |= {one.layer.layer_id for one in patch.impact.touched}
    told |= {layer.layer_id for layer in scene.telling}
    levels = [said.get(subject, Classification.OPEN) for subject in told]
    levels += [level_of(one, said) for _, one in scene.settlements]
    masks = masks_of(workspace.catalog)
    withheld = Withholding(areas=[area.wkb for area in restrictions.areas()], masks=masks)
    if any(withheld.touches_box(flight.bounds_lonlat_deg) for flight in scene.flights_seen):
        levels.append(Classification.RESTRICTED)
    return strictest(levels)


def _flight(workspace: Workspace, number: int, side: PackSide) -> PackFlight:
    flight = side.flight
    error_m, shift_m = _error_of(workspace, side)
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
        error_m=error_m,
        shift_m=shift_m,
        on_plane=is_plane(flight.vertical_datum),
        is_complete=flight.state is FlightState.READY,
        warnings=flight.warnings,
        sources=_sources(side.frames),
    )


def _sources(frames: Iterable[FrameRecord]) -> tuple[PackSource, ...]:
    return tuple(
        PackSource(
            name=one.header.provenance.source_name,
            sha256=one.header.provenance.source_sha256,
            captured_ns=one.header.captured_ns,
        )
        for one in frames
    )


def _beside(workspace: Workspace, scene: PackScene) -> Iterator[PackBeside]:
    """What pairs show beside the flights of the pack: flight by flight, without photos that these name."""
    named = {one.frame_id for side in scene.sides for one in side.frames}
    shown = {(side.mosaic.mosaic_id, side.mosaic.revision) for side in scene.sides}
    frames: dict[str, dict[str, FrameRecord]] = {}
    for view in (one for patch in scene.patches for one in patch.pair or () if isinstance(one, PackView)):
        key = view.mosaic.mosaic_id, view.mosaic.revision
        if key not in shown:
            shown.add(key)
            held = {one.frame_id: one for one in frames_in(workspace, view.mosaic)}
            frames.setdefault(view.flight.flight_id, {}).update(held)
    for flight in scene.flights_seen:
        held = {name: one for name, one in frames.get(flight.flight_id, {}).items() if name not in named}
        if held:
            by_time = sorted(held.values(), key=lambda one: (one.header.captured_ns, one.frame_id))
            yield PackBeside(flight_id=flight.flight_id, name=flight.name, sources=_sources(by_time))


def _error_of(workspace: Workspace, side: PackSide) -> tuple[tuple[float, float] | None, float | None]:
    """`error_figures` of what is shown; of a live mosaic nothing is known."""
    if side.mosaic.revision == LIVE_REVISION:
        return None, None
    return error_figures(workspace.catalog.revisions.get(side.mosaic.mosaic_id, side.mosaic.revision).stats)


def error_figures(stats: Mapping[str, Any]) -> tuple[tuple[float, float] | None, float | None]:
    """Median and 95th percentile of the expected error that a finished revision's report found, None where
    there is none; and what of it is the shift of the whole, None where that is not known and not in it.

    Radial, 1 sigma, metres. A shift is common to all pixels, so that percentiles grow by it as every pixel's
    error does, by which captions on the page are said.
    """
    shift = _shift_of(stats)
    found = stats.get("map_error_m") or {}
    median, p95 = found.get("median"), found.get("p95")
    if median is None or p95 is None or not (math.isfinite(median) and math.isfinite(p95)):
        return None, shift
    return (math.hypot(median, shift or 0.0), math.hypot(p95, shift or 0.0)), shift


def _shift_of(stats: Mapping[str, Any]) -> float | None:
    """0 where poses are those that were known before: their errors are in each pixel's, whole."""
    if stats.get("accepted") is False:
        return 0.0
    return shift_error_m(stats)


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
            marks=tuple(mark for mark, sign in zip(marks, scene.signs, strict=True) if number in sign.places),
            changes=tuple(
                told_within(change, patch, place)
                for change, patch in zip(changes, scene.patches, strict=True)
                if number in patch.places
            ),
            touched=touched.get(place.commune.code),
            waiting=_waiting(place.row.waiting),
            compared_pct=place.row.compared_pct,
            troubles=tuple(troubles_at(scene, number, workspace.clock_ns())),
        )


def _waiting(some: Together | None) -> PackWaiting | None:
    return None if some is None else PackWaiting(places=dict(some.places), area_m2=some.area_m2)


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
