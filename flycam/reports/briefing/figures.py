"""Figures of a briefing pack: flights, communes, marks, changes.

They have no wording, and are numbered as in the contents of the pack.
"""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import shapely

from flycam import __version__
from flycam.access.policy import AccessPolicy, load_redacted_ground
from flycam.board.commune_board import compute_imaged_share
from flycam.board.marks import get_settlement_classification, locate_in_vn2000
from flycam.catalog.changes import Comparison
from flycam.catalog.mosaics import LIVE_REVISION
from flycam.change.comparison import make_comparison_reader, match_comparisons
from flycam.change.impact import REACH_M, AffectedFeature, ChangeImpact, FeatureCount, sum_impact_by_commune
from flycam.change.outlines import ChangeTotals, estimate_area_error, is_sliver, sum_changes
from flycam.change.volume import Volume, VolumeFailure
from flycam.geometry.grid import mercator_to_lonlat
from flycam.messages import Message
from flycam.model.board import Access, ChangeKind, LayerKind, MarkKind, MarkStatus, RoadStatus, is_stale
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
from flycam.workspace import Workspace


@dataclass(frozen=True, kw_only=True, slots=True)
class Letterhead:
    """Letterhead of the quick report (form: decree 30/2020/ND-CP, annex I).

    Where a field is empty, dots are printed to be filled in by hand.

    parent        the body above the one that issues it
    issuer        the body that issues it
    number        number and sign of the document
    place         where it is issued, before the date
    signer_title  the position of the signer
    recipients    one line each
    heading       lines above the date; None: the nation's, where the ground is Viet Nam's
    """

    parent: str = ""
    issuer: str = ""
    number: str = ""
    place: str = ""
    signer_title: str = ""
    recipients: tuple[str, ...] = ()
    heading: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PackSource:
    """Photo by its name, with the SHA-256 of its original."""

    name: str
    sha256: str
    captured_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PackFlight:
    """Flight of the pack; `number` from 1, the newest first.

    imaged_m2    ground shown, in the work CRS
    revision     0: the live mosaic
    error_m      median and 95th percentile of the expected error (radial, 1 sigma), the common shift
                 included; None: not known
    shift_m      common shift included in that; None: not known, and not included
    on_plane     no terrain was known: the ground was taken as a plane
    is_complete  False while it is in the air or its photos are ingested
    warnings     as `flycam.model.warning` encodes them
    sources      photos that are on the map, by time
    """

    number: int
    flight_id: str
    name: str
    event: str
    operator: str
    first_ns: int
    last_ns: int
    gsd_m: float
    imaged_m2: float
    revision: int
    error_m: tuple[float, float] | None
    shift_m: float | None
    on_plane: bool
    is_complete: bool
    warnings: tuple[str, ...]
    sources: tuple[PackSource, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PackFurtherFlight:
    """Flight or revision outside the pack on which changes are shown.

    sources: its photos that no flight of the pack names, by time.
    """

    flight_id: str
    name: str
    sources: tuple[PackSource, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PackMark:
    """Field mark, with its place in WGS 84 degrees and, in Vietnam, in VN-2000.

    number  as on the maps
    vn2000  (X north m, Y east m, central meridian degrees); None outside Vietnam
    """

    number: int
    kind: MarkKind
    status: MarkStatus
    note: str
    author: str
    at_ns: int
    lonlat_deg: tuple[float, float]
    vn2000: tuple[float, float, float] | None


Counts = Mapping[LayerKind, FeatureCount | None]
"""Counts by kind; None: no layer of the kind covers the ground, and nothing is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PackRoad:
    """Road under a change, and its length there (None: not a line); name "": none."""

    name: str
    under_m: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PackLayer:
    """Layer on which impact is based; valid_ns None: its date is unknown."""

    name: str
    owner: str
    valid_ns: int | None
    is_stale: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class PackSize:
    """Square metres, and their 1-sigma error; None: unknown.

    is_lower_bound: the change was not seen whole.
    """

    area_m2: float
    error_m2: float | None
    is_lower_bound: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class PackVolume:
    """Volume lost and gained in a landslide, cubic metres, each with its 1-sigma.

    gained_m3 None: nothing rose. measured_pct: share of the scar, 0-100; is_nothing: neither exceeds its
    error.
    """

    lost_m3: tuple[float, float]
    gained_m3: tuple[float, float] | None
    measured_pct: float
    is_nothing: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class PackSeenPicture:
    """Image on which a change was found or drawn: its flight, and when that ended.

    last_ns None: a file, or (name "") a flight that is gone or not visible; its place stays empty.

    stands_in  the change is of another revision of it, which is not published any more
    is_lost    its tiles are missing or damaged: its place stays empty
    """

    name: str
    last_ns: int | None
    stands_in: bool = False
    is_lost: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class PackChange:
    """Confirmed change, with its impact; `number` as on the maps, behind a T.

    full_size, size_in_commune  its ground; and the part in the commune of the list it is in, None:
                   all of it
    volume         or why a landslide has none; None: not a landslide
    is_drawn       by hand, without a candidate
    seen           images before and after on which it was found or drawn; None: drawn over none that
                   were named
    doubts         reasons why changes between these images are less certain
    note           with the name of its author where that is not `author`
    author, at_ns  who confirmed it, and when
    """

    number: int
    kind: ChangeKind
    full_size: PackSize
    size_in_commune: PackSize | None = None
    volume: PackVolume | VolumeFailure | None = None
    is_drawn: bool = False
    seen: tuple[PackSeenPicture, PackSeenPicture] | None = None
    doubts: tuple[Message, ...] = ()
    note: str
    author: str
    at_ns: int
    lonlat_deg: tuple[float, float]
    vn2000: tuple[float, float, float] | None
    roads_cut: tuple[PackRoad, ...]
    counts: Counts
    layers: tuple[PackLayer, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PackSettlement:
    """Settlement.

    access: set by `author` at `at_ns` (None: nobody has, it is unknown); road_evidence: what the roads
    propose.
    """

    name: str
    commune: str
    access: Access
    road_evidence: RoadStatus
    note: str
    author: str
    at_ns: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PackImpact:
    """Impact of confirmed changes in one commune, overlapping ones counted once.

    Their number and ground in it, features by kind.
    """

    ground: ChangeTotals
    roads_cut: tuple[PackRoad, ...]
    counts: Counts


@dataclass(frozen=True, kw_only=True, slots=True)
class PackTroubles:
    """Features of one layer in one commune that their owner reports to be in trouble.

    things: (name, the owner's words) of each; name "": none. layer: dated by the newest of them.
    """

    kind: LayerKind
    layer: PackLayer
    things: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PackCommune:
    """Commune of which the pack shows ground; `number` as on the overview.

    The largest first.

    imaged_m2, imaged_pct  of it, in the work CRS; 0-100 of its whole area
    flights                numbers of the flights that show it, the newest first
    first_ns, last_ns      of those flights
    gsd_m                  the coarsest of theirs
    marks                  that touch it: a sector over several communes is in each
    changes                confirmed ones that lie in it, at least in part
    touched                None: no confirmed change touches it
    troubles               reported by layers there
    waiting                pending changes in it; None: none
    compared_pct           share of its area that was compared, 0-100; None: none as far as known
    """

    number: int
    code: str
    name: str
    imaged_m2: float
    imaged_pct: float
    gsd_m: float
    first_ns: int
    last_ns: int
    flights: tuple[int, ...]
    marks: tuple[PackMark, ...]
    changes: tuple[PackChange, ...]
    touched: PackImpact | None
    waiting: ChangeTotals | None = None
    compared_pct: float | None = None
    troubles: tuple[PackTroubles, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class PackFigures:
    """Content of a pack.

    made_ns       when it was made, UTC
    imaged_m2     ground that all flights show together, in the work CRS of the newest
    approved_by   the leader who approved it; "": a draft
    requested_by  who requested it; "": unknown
    layers_with_status  layers there that report a status
    further_flights  other flights on which changes are shown
    remarks       warnings on boundaries, as `flycam.model.warning` encodes them
    audit_head    number and digest of the audit log's last line; "": the log is empty
    audit_key, audit_signature  the node's public key, and its signature of that line; "": unsigned
    loose_marks   field marks outside those communes
    changes       confirmed changes on ground that is shown, the largest first
    confirmed     totals of those, overlapping ones counted once
    changes_elsewhere  number in the same events on other ground
    waiting       change candidates on ground that is shown; waiting_elsewhere: number on other ground
    communes_pct  share shown of the ground of those communes together, 0-100; None: there are none
    settlements   in the communes shown, those proposed or set as isolated first
    near_m        distance within which a feature of a kind counts as near a change
    pictures      JPEG by name: "overview", "locator" (where in the province it is), "commune-NUMBER",
                  and of the largest changes before and after side by side, "change-NUMBER"
    slides        images for a screen, without an exercise's band: maps, and pairs of the largest changes
                  of which both halves show something
    classification  as strict as the strictest of its contents
    is_national   True if its ground is Viet Nam's
    is_covered    redactions left parts empty: an empty place need not be ground not imaged
    """

    version: str
    made_ns: int
    is_drill: bool
    approved_by: str
    letterhead: Letterhead
    events: tuple[str, ...]
    imaged_m2: float
    flights: tuple[PackFlight, ...]
    communes: tuple[PackCommune, ...]
    loose_marks: tuple[PackMark, ...]
    changes: tuple[PackChange, ...]
    confirmed: ChangeTotals
    changes_elsewhere: int
    near_m: Mapping[LayerKind, float]
    settlements: tuple[PackSettlement, ...]
    waiting: ChangeTotals | None
    waiting_elsewhere: int
    communes_pct: float | None
    remarks: tuple[str, ...]
    audit_head: str
    pictures: Mapping[str, bytes]
    audit_key: str = ""
    audit_signature: str = ""
    classification: Classification = Classification.OPEN
    requested_by: str = ""
    layers_with_status: tuple[PackLayer, ...] = ()
    further_flights: tuple[PackFurtherFlight, ...] = ()
    slides: Mapping[str, bytes] = field(default_factory=dict)
    is_national: bool = True
    is_covered: bool = False


def has_one_signatory(requested_by: str, approved_by: str) -> bool:
    """Return True if the requester approved the pack too, however the name is spelt."""
    return _written(requested_by) == _written(approved_by)


def _written(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())


def hash_content(figures: PackFigures) -> str:
    """Return one digest of a pack's content.

    The same for a draft and its final pack if they say and show the same, whenever they are made and whoever
    approved. The audit log grows with each, and does not count.
    """
    unsigned = replace(figures, audit_head="", audit_key="", audit_signature="")
    hashed = replace(unsigned, version="", made_ns=0, approved_by="", requested_by="", pictures={}, slides={})
    digest = hashlib.sha256(repr(hashed).encode())
    for name, picture in (*sorted(figures.pictures.items()), *sorted(figures.slides.items())):
        digest.update(f"{name} {hashlib.sha256(picture).hexdigest()}\n".encode())
    return digest.hexdigest()


# -- Figures of confirmed changes ------------------------------------------------------------------


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
    here = replace(
        change.full_size,
        area_m2=change.full_size.area_m2 * share,
        error_m2=None if error_m2 is None else error_m2 * of_rim,
    )
    return replace(change, size_in_commune=here)


def _volume(impact: ChangeImpact) -> PackVolume | VolumeFailure | None:
    found = impact.volume
    if not isinstance(found, Volume):
        return found
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
        full_size=PackSize(
            area_m2=impact.line.area_m2,
            error_m2=estimate_area_error(impact.line),
            is_lower_bound=impact.is_cut,
        ),
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
        counts={kind: impact.count(kind) for kind in LayerKind},
        layers=tuple(describe_layer(layer, now_ns) for layer in impact.layers),
    )


def _roads(roads: Iterable[AffectedFeature]) -> tuple[PackRoad, ...]:
    return tuple(PackRoad(name=at.feature.name, under_m=at.under_m) for at in roads)


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
    # numbered as in the contents
    now_ns = workspace.clock_ns()
    made = match_comparisons(
        make_comparison_reader(workspace.catalog), [patch.impact.line for patch in contents.changes]
    )
    changes = [
        _change(workspace, number, patch, comparison, now_ns)
        for number, (patch, comparison) in enumerate(zip(contents.changes, made, strict=True), 1)
    ]
    middles = [side.ground.representative_point() for side in contents.flights]
    lonlat = mercator_to_lonlat(np.array([(one.x, one.y) for one in middles]))
    boundaries = workspace.catalog.boundaries
    # the strictest of flights and layers; ground in a restricted area or under a redaction makes it
    # restricted
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
        confirmed=sum_changes([patch.impact.line for patch in contents.changes], contents.cut),
        changes_elsewhere=contents.changes_elsewhere,
        waiting=sum_changes(contents.waiting, contents.cut) if contents.waiting else None,
        waiting_elsewhere=contents.waiting_elsewhere,
        communes_pct=compute_imaged_share([place.row for place in contents.communes]),
        near_m=REACH_M,
        further_flights=tuple(_list_paired_flights(workspace, contents)),
        layers_with_status=tuple(describe_layer(layer, workspace.clock_ns()) for layer in contents.layers),
        settlements=tuple(
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
        ),
        remarks=list_boundary_warnings(workspace.catalog, contents.flights[0].flight),
        audit_head="" if head is None else head.head_argument,
        audit_key="" if head is None else head.key,
        audit_signature="" if head is None else head.signature,
        pictures=pictures,
        slides=slides or {},
        classification=find_strictest(levels),
        is_national=all(locate_in_vn2000(boundaries, lon, lat) is not None for lon, lat in lonlat.tolist()),
        is_covered=is_covered,
    )


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
    # for prior poses 0: their whole error is in each pixel's
    shift = 0.0 if stats.get("accepted") is False else get_shift_error_m(stats)
    found = stats.get("map_error_m") or {}
    median, p95 = found.get("median"), found.get("p95")
    if median is None or p95 is None or not (math.isfinite(median) and math.isfinite(p95)):
        return None, shift
    return (math.hypot(median, shift or 0.0), math.hypot(p95, shift or 0.0)), shift


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
    communes = [place.commune for place in contents.communes]
    touched = {
        row.code: PackImpact(
            ground=row.confirmed.ground,
            roads_cut=_roads(row.confirmed.roads_cut),
            counts=row.confirmed.counts,
        )
        for row in sum_impact_by_commune(communes, [patch.impact for patch in contents.changes])
    }
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
            waiting=place.row.waiting,
            compared_pct=place.row.compared_pct,
            troubles=tuple(list_commune_troubles(contents, number, workspace.clock_ns())),
        )


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
