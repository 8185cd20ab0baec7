"""Figures of a briefing pack: flights, communes, marks, changes.

They have no wording, and are numbered as in the contents of the pack.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import shapely

from flycam import __version__
from flycam.access.policy import AccessPolicy, load_redacted_ground
from flycam.board.commune_board import compute_imaged_share
from flycam.board.marks import locate_in_vn2000
from flycam.board.settlements import get_settlement_classification
from flycam.catalog.changes import Comparison
from flycam.catalog.revisions import LIVE_REVISION
from flycam.change.comparison_store import make_comparison_reader, match_comparisons
from flycam.change.impact import REACH_M, AffectedFeature, ChangeImpact, FeatureCount, sum_impact_by_commune
from flycam.change.outlines import ChangeTotals, estimate_area_error, is_sliver, sum_changes
from flycam.change.volume import Volume
from flycam.geometry.grid import mercator_to_lonlat
from flycam.model.board import LayerKind, is_stale
from flycam.model.flight import Classification, FlightState, find_strictest, is_flat_datum
from flycam.model.records import FrameRecord, LayerRecord
from flycam.model.revision_stats import get_shift_error_m
from flycam.mosaic.coverage import list_boundary_warnings
from flycam.reports.briefing.contents import (
    PackContents,
    PackImage,
    Pair,
    ShownChange,
    ShownCommune,
    ShownFlight,
    ShownMark,
    list_mosaic_frames,
    measure_area,
)
from flycam.reports.briefing.figures import (
    Counts,
    Letterhead,
    PackChange,
    PackCommune,
    PackCount,
    PackFigures,
    PackFlight,
    PackFurtherFlight,
    PackImpact,
    PackLayer,
    PackMark,
    PackRoad,
    PackSeenPicture,
    PackSettlement,
    PackSize,
    PackSource,
    PackTroubles,
    PackVolume,
    PackWaiting,
)
from flycam.workspace import Workspace

# -- Figures of confirmed changes ------------------------------------------------------------------


def describe_changes(workspace: Workspace, contents: PackContents) -> list[PackChange]:
    """Describe the confirmed changes of a pack's contents, numbered as there."""
    now_ns = workspace.clock_ns()
    made = match_comparisons(
        make_comparison_reader(workspace.catalog), [patch.impact.line for patch in contents.changes]
    )
    return [
        _change(workspace, number, patch, comparison, now_ns)
        for number, (patch, comparison) in enumerate(zip(contents.changes, made, strict=True), 1)
    ]


def group_affected_by_commune(contents: PackContents) -> dict[str, PackImpact]:
    """Group what changes touch by code of the contents' communes; absent: nothing."""
    communes = [place.commune for place in contents.communes]
    return {
        row.code: PackImpact(
            changes=row.confirmed.changes,
            area_m2=row.confirmed.area_m2,
            roads_cut=_roads(row.confirmed.roads_cut),
            counts=_counts(row.confirmed.counts),
        )
        for row in sum_impact_by_commune(communes, [patch.impact for patch in contents.changes])
    }


def clip_change_to_commune(change: PackChange, patch: ShownChange, place: ShownCommune) -> PackChange:
    """Clip a change to a commune, with its area there if that is not all of it.

    The outline's error applies to the change's own outline, not to the commune's boundary. Shares of one
    small shape may be computed in degrees.
    """
    outline, commune = (shapely.make_valid(one) for one in (patch.shape, shapely.from_wkb(place.commune.wkb)))
    share = outline.intersection(commune).area / outline.area
    if is_sliver(1.0 - share, change.full_size.area_m2):
        return change
    rim, error_m2 = outline.boundary, change.full_size.error_m2
    of_rim = rim.intersection(commune).length / rim.length
    here = PackSize(
        area_m2=change.full_size.area_m2 * share, error_m2=None if error_m2 is None else error_m2 * of_rim
    )
    return replace(change, size_in_commune=here)


def _volume(impact: ChangeImpact) -> PackVolume | None:
    found = impact.volume
    if not isinstance(found, Volume):
        return None
    return PackVolume(
        lost_m3=(found.lost_m3, found.lost_sigma_m3),
        gained_m3=(found.gained_m3, found.gained_sigma_m3) if found.has_gained else None,
        measured_pct=min(100.0 * found.measured_m2 / impact.line.area_m2, 100.0),
        is_nothing=found.is_nothing,
    )


def _seen(pair: Pair | None) -> tuple[PackSeenPicture, PackSeenPicture] | None:
    if pair is None:
        return None
    before, after = (
        PackSeenPicture(
            name=view.flight.name,
            last_ns=view.flight.last_ns,
            stands_in=view.is_substitute,
            is_lost=view.is_lost,
        )
        if isinstance(view, PackImage)
        else PackSeenPicture(name=view.name, last_ns=None)
        for view in pair
    )
    return before, after


def _change(
    workspace: Workspace, number: int, patch: ShownChange, found: Comparison | None, now_ns: int
) -> PackChange:
    impact, point = patch.impact, patch.shape.representative_point()
    place = locate_in_vn2000(workspace.catalog.boundaries, point.x, point.y)
    return PackChange(
        number=number,
        kind=impact.line.kind,
        full_size=PackSize(area_m2=impact.line.area_m2, error_m2=estimate_area_error(impact.line)),
        volume=_volume(impact),
        is_drawn=impact.line.is_drawn,
        seen=_seen(patch.pair),
        doubts=() if found is None else found.doubts,
        note=patch.attributed_note,
        author=patch.signature.decided_by,
        at_ns=patch.signature.decided_ns,
        lonlat_deg=(point.x, point.y),
        vn2000=None if place is None else (place.x_north_m, place.y_east_m, place.central_meridian_deg),
        roads_cut=_roads(impact.roads_cut),
        counts=_counts({kind: impact.count(kind) for kind in LayerKind}),
        layers=tuple(describe_layer(layer, now_ns) for layer in impact.layers),
    )


def _roads(roads: Iterable[AffectedFeature]) -> tuple[PackRoad, ...]:
    return tuple(PackRoad(name=at.feature.name, under_m=at.under_m) for at in roads)


def _counts(counts: Mapping[LayerKind, FeatureCount | None]) -> Counts:
    return {
        kind: None
        if count is None
        else PackCount(inside=count.inside, near=count.near, is_complete=count.is_complete)
        for kind, count in counts.items()
    }


def describe_layer(layer: LayerRecord, now_ns: int) -> PackLayer:
    """Describe a layer, and whether its data are stale."""
    old = is_stale(layer.valid_ns, now_ns, has_status=layer.has_status)
    return PackLayer(name=layer.name, owner=layer.owner, valid_ns=layer.valid_ns, is_stale=old)


def list_commune_troubles(contents: PackContents, place: int, now_ns: int) -> Iterator[PackTroubles]:
    """List features in trouble in a commune (index), layer by layer."""
    for one in contents.troubles:
        if one.commune_index == place:
            pack_layer = describe_layer(replace(one.layer, valid_ns=one.valid_ns), now_ns)
            things = tuple((thing.name, thing.status) for thing in one.features)
            yield PackTroubles(kind=one.layer.kind, layer=pack_layer, things=things)


def describe_settlements(contents: PackContents) -> list[PackSettlement]:
    """Describe the settlements of the contents, as people reported."""
    return [
        PackSettlement(
            name=one.name,
            commune=one.commune_name,
            access=one.access,
            road_evidence=one.road_evidence,
            note=one.line.note if one.line else "",
            author=one.line.author if one.line else "",
            at_ns=one.line.at_ns if one.line else None,
        )
        for _, one in contents.settlements
    ]


# -- Figures of flights, communes and marks --------------------------------------------------------


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
    level_by_subject = restrictions.levels()
    subjects = {flight.flight_id for flight in contents.flights_seen}
    for patch in contents.changes:
        subjects |= {layer.layer_id for layer in patch.impact.layers}
        subjects |= {one.layer.layer_id for one in patch.impact.touched}
    subjects |= {layer.layer_id for layer in contents.layers}
    levels = [level_by_subject.get(subject, Classification.OPEN) for subject in subjects]
    levels += [get_settlement_classification(one, level_by_subject) for _, one in contents.settlements]
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
            by_id = {one.frame_id: one for one in list_mosaic_frames(workspace, view.mosaic)}
            frames.setdefault(view.flight.flight_id, {}).update(by_id)
    for flight in contents.flights_seen:
        by_id = {name: one for name, one in frames.get(flight.flight_id, {}).items() if name not in named}
        if by_id:
            by_time = sorted(by_id.values(), key=lambda one: (one.header.captured_ns, one.frame_id))
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
