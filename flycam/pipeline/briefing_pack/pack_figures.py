"""Figures of a briefing pack's flights, communes and marks, without words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from flycam import __version__
from flycam.catalog.access_policy import AccessPolicy
from flycam.catalog.records import FrameRecord
from flycam.catalog.redacted_ground import load_redacted_ground
from flycam.catalog.revision_stats import get_shift_error_m
from flycam.catalog.revisions import LIVE_REVISION
from flycam.frame.classification import Classification, find_strictest
from flycam.frame.flight import FlightState, is_flat_datum
from flycam.geometry.grid import mercator_to_lonlat
from flycam.pipeline.briefing_pack.change_figures import (
    clip_change_to_commune,
    describe_changes,
    describe_layer,
    describe_settlements,
    group_affected_by_commune,
    list_commune_troubles,
)
from flycam.pipeline.briefing_pack.contents import (
    PackContents,
    ShownFlight,
    ShownMark,
    list_mosaic_frames,
    measure_area,
)
from flycam.pipeline.briefing_pack.image_pairs import PackImage
from flycam.pipeline.change.change_overlap import ChangeTotals, sum_changes
from flycam.pipeline.change.commune_board import compute_imaged_share
from flycam.pipeline.change.impact import REACH_M
from flycam.pipeline.coverage import list_boundary_warnings
from flycam.pipeline.settlements import get_settlement_classification
from flycam.pipeline.vn2000 import locate_in_vn2000
from flycam.pipeline.workspace import Workspace
from flycam.report.pack_figures import (
    Letterhead,
    PackChange,
    PackCommune,
    PackFigures,
    PackFlight,
    PackFurtherFlight,
    PackMark,
    PackSource,
    PackWaiting,
)


def gather_pack_figures(
    workspace: Workspace,
    contents: PackContents,
    pictures: Mapping[str, bytes],
    letterhead: Letterhead,
    approved_by: str,
    requested_by: str = "",
    slides: Mapping[str, bytes] | None = None,
    *,
    is_covered: bool = False,
) -> PackFigures:
    """Gather all figures of a pack's contents, numbered as there.

    pictures, slides, is_covered: as in `PackFigures`.
    """
    head = workspace.catalog.audit.signed_head()
    marks = [_mark(workspace, number, sign) for number, sign in enumerate(contents.marks, 1)]
    changes = describe_changes(workspace, contents)
    confirmed = sum_changes([patch.impact.line for patch in contents.changes])
    return PackFigures(
        version=__version__,
        made_ns=workspace.clock_ns(),
        is_drill=contents.is_drill,
        approved_by=approved_by,
        requested_by=requested_by or workspace.operator or "",
        letterhead=letterhead,
        events=tuple(dict.fromkeys(side.event.name for side in contents.flights)),
        imaged_m2=measure_area(contents.ground, contents.work_crs),
        flights=tuple(_flight(workspace, number, side) for number, side in enumerate(contents.flights, 1)),
        communes=tuple(_communes(workspace, contents, marks, changes)),
        loose_marks=tuple(mark for mark, sign in zip(marks, contents.marks, strict=True) if not sign.places),
        changes=tuple(changes),
        places=confirmed.places,
        changes_m2=confirmed.area_m2,
        changes_elsewhere=contents.changes_elsewhere,
        waiting=_waiting(sum_changes(contents.waiting) if contents.waiting else None),
        waiting_elsewhere=contents.waiting_elsewhere,
        communes_pct=compute_imaged_share([place.row for place in contents.communes]),
        near_m=REACH_M,
        further_flights=tuple(_list_paired_flights(workspace, contents)),
        layers_with_status=tuple(describe_layer(layer, workspace.clock_ns()) for layer in contents.layers),
        settlements=tuple(describe_settlements(contents)),
        remarks=list_boundary_warnings(workspace.catalog, contents.flights[0].flight),
        audit_head="" if head is None else head.head_argument,
        audit_key="" if head is None else head.key,
        audit_signature="" if head is None else head.signature,
        pictures=pictures,
        slides=slides or {},
        classification=_classification(workspace, contents),
        is_national=_is_national(workspace, contents),
        is_covered=is_covered,
    )


def _is_national(workspace: Workspace, contents: PackContents) -> bool:
    """Return True if all shown flights are in Viet Nam."""
    middles = [side.ground.representative_point() for side in contents.flights]
    lonlat = mercator_to_lonlat(np.array([(one.x, one.y) for one in middles]))
    boundaries = workspace.catalog.boundaries
    return all(locate_in_vn2000(boundaries, lon, lat) is not None for lon, lat in lonlat.tolist())


def _classification(workspace: Workspace, contents: PackContents) -> Classification:
    """Return the strictest classification of flights and layers in the pack.

    Ground in a restricted area or under a redaction makes it restricted.
    """
    restrictions = workspace.catalog.restrictions
    said = restrictions.levels()
    told = {flight.flight_id for flight in contents.flights_seen}
    for patch in contents.changes:
        told |= {layer.layer_id for layer in patch.impact.layers}
        told |= {one.layer.layer_id for one in patch.impact.touched}
    told |= {layer.layer_id for layer in contents.layers}
    levels = [said.get(subject, Classification.OPEN) for subject in told]
    levels += [get_settlement_classification(one, said) for _, one in contents.settlements]
    masks = load_redacted_ground(workspace.catalog)
    withheld = AccessPolicy(areas=[area.wkb for area in restrictions.areas()], masks=masks)
    if any(withheld.touches_box(flight.bounds_lonlat_deg) for flight in contents.flights_seen):
        levels.append(Classification.RESTRICTED)
    return find_strictest(levels)


def _flight(workspace: Workspace, number: int, side: ShownFlight) -> PackFlight:
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
        imaged_m2=measure_area(side.ground, flight.work_crs),
        revision=side.mosaic.revision,
        error_m=error_m,
        shift_m=shift_m,
        on_plane=is_flat_datum(flight.vertical_datum),
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


def _list_paired_flights(workspace: Workspace, contents: PackContents) -> Iterator[PackFurtherFlight]:
    """Yield flights shown in image pairs only.

    Photos that the pack's own flights name are left out.
    """
    named = {one.frame_id for side in contents.flights for one in side.frames}
    shown = {(side.mosaic.mosaic_id, side.mosaic.revision) for side in contents.flights}
    frames: dict[str, dict[str, FrameRecord]] = {}
    for view in (one for patch in contents.changes for one in patch.pair or () if isinstance(one, PackImage)):
        key = view.mosaic.mosaic_id, view.mosaic.revision
        if key not in shown:
            shown.add(key)
            held = {one.frame_id: one for one in list_mosaic_frames(workspace, view.mosaic)}
            frames.setdefault(view.flight.flight_id, {}).update(held)
    for flight in contents.flights_seen:
        held = {name: one for name, one in frames.get(flight.flight_id, {}).items() if name not in named}
        if held:
            by_time = sorted(held.values(), key=lambda one: (one.header.captured_ns, one.frame_id))
            yield PackFurtherFlight(flight_id=flight.flight_id, name=flight.name, sources=_sources(by_time))


def _error_of(workspace: Workspace, side: ShownFlight) -> tuple[tuple[float, float] | None, float | None]:
    """Return `read_error_figures` of what is shown; unknown for a live mosaic."""
    if side.mosaic.revision == LIVE_REVISION:
        return None, None
    return read_error_figures(
        workspace.catalog.revisions.get(side.mosaic.mosaic_id, side.mosaic.revision).stats
    )


def read_error_figures(stats: Mapping[str, Any]) -> tuple[tuple[float, float] | None, float | None]:
    """Read median and 95th percentile of the expected error, and its shift.

    From the statistics of a finished revision. The percentiles are None if absent; the shift is that of the
    whole mosaic, None where unknown and not included. Radial, 1 sigma, metres. The shift is common to all
    pixels, so percentiles grow by it as every pixel's error does, as the captions on the page state.
    """
    shift = _shift_of(stats)
    found = stats.get("map_error_m") or {}
    median, p95 = found.get("median"), found.get("p95")
    if median is None or p95 is None or not (math.isfinite(median) and math.isfinite(p95)):
        return None, shift
    return (math.hypot(median, shift or 0.0), math.hypot(p95, shift or 0.0)), shift


def _shift_of(stats: Mapping[str, Any]) -> float | None:
    """Return the shift, metres.

    0 for prior poses: their whole error is in each pixel's.
    """
    if stats.get("accepted") is False:
        return 0.0
    return get_shift_error_m(stats)


def _communes(
    workspace: Workspace, contents: PackContents, marks: Sequence[PackMark], changes: Sequence[PackChange]
) -> Iterator[PackCommune]:
    """Yield communes as on the board.

    GSD and times are those measured when each flight was ingested.
    """
    measured = {
        (row.flight_id, row.commune_code): row
        for side in contents.flights
        for row in workspace.catalog.boundaries.coverage(side.flight.flight_id)
    }
    touched = group_affected_by_commune(contents)
    for number, place in enumerate(contents.communes):
        flights = [contents.flights[shown].flight for shown in place.shown_by]
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
            marks=tuple(
                mark for mark, sign in zip(marks, contents.marks, strict=True) if number in sign.places
            ),
            changes=tuple(
                clip_change_to_commune(change, patch, place)
                for change, patch in zip(changes, contents.changes, strict=True)
                if number in patch.places
            ),
            touched=touched.get(place.commune.code),
            waiting=_waiting(place.row.waiting),
            compared_pct=place.row.compared_pct,
            troubles=tuple(list_commune_troubles(contents, number, workspace.clock_ns())),
        )


def _waiting(some: ChangeTotals | None) -> PackWaiting | None:
    return None if some is None else PackWaiting(places=dict(some.places), area_m2=some.area_m2)


def _mark(workspace: Workspace, number: int, sign: ShownMark) -> PackMark:
    line, point = sign.line, sign.shape.representative_point()
    place = locate_in_vn2000(workspace.catalog.boundaries, point.x, point.y)
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
