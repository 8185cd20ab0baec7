"""Contents of a briefing pack, by the access policy of its requester.

They are flights, communes under them, field marks of their events, and confirmed changes with the image pairs
that they were found on or drawn over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from flycam.access.policy import UNRESTRICTED, AccessPolicy
from flycam.board.commune_board import (
    CommuneRow,
    FlightCoverage,
    LayerTroubles,
    build_commune_board,
    list_layer_troubles,
)
from flycam.board.marks import Settlement, list_event_settlements
from flycam.catalog.changes import ChangeAttribution, ChangeVersion, format_quoted_note, parse_image_reference
from flycam.catalog.flights import make_flight_not_found
from flycam.catalog.mosaics import LIVE_REVISION
from flycam.change.comparison import find_compared_ground
from flycam.change.impact import ChangeImpact, compute_impact
from flycam.change.outlines import find_commune_overlaps
from flycam.errors import AccessDenied, NotFound, OptionUnusable
from flycam.geodata.crs import WEB_MERCATOR, WGS84, make_point_transform
from flycam.geometry.grid import Bounds, lonlat_to_mercator
from flycam.messages import _
from flycam.model.board import ChangeStatus, rank_mark
from flycam.model.flight import Event, Flight, FlightState
from flycam.model.records import (
    CommuneRecord,
    FrameRecord,
    FrameStatus,
    LayerRecord,
    MarkVersion,
    MosaicInfo,
    RevisionState,
)
from flycam.mosaic.coverage import get_main_mosaic, list_flight_communes
from flycam.mosaic.raster import trace_mosaic_footprint
from flycam.workspace import Workspace

# -- Image pair of a confirmed change, if stored and visible ---------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class PackImage:
    """A published flight around a change.

    extent         the rectangle around the change, Web Mercator metres
    is_substitute  the change is of another revision, which is no longer published
    is_lost        its tiles are missing or damaged: nothing is drawn of it
    """

    flight: Flight
    mosaic: MosaicInfo
    extent: Bounds
    is_substitute: bool = False
    is_lost: bool = False


@dataclass(frozen=True, slots=True)
class MissingImage:
    """An image that is not stored, by its file's name.

    "": a flight that is gone or hidden.
    """

    name: str


Pair = tuple[PackImage | MissingImage, PackImage | MissingImage]
"""Before and after."""


def find_image_pairs(
    workspace: Workspace, lines: Sequence[ChangeVersion], policy: AccessPolicy
) -> Iterator[Pair | None]:
    """Yield the images of each change; None: it was drawn over none that were named."""
    flights = {one.flight_id: one for one in workspace.catalog.flights.flights()} if lines else {}
    mosaics: dict[str, list[MosaicInfo]] = {}
    for one in _on_offer(workspace) if lines else ():
        mosaics.setdefault(one.mosaic_id, []).append(one)
    for line in lines:
        if not (line.before_shown and line.after_shown):
            yield None
            continue
        before, after = (
            _view(shown, _extent(line), mosaics, flights, policy)
            for shown in (line.before_shown, line.after_shown)
        )
        yield before, after


def _on_offer(workspace: Workspace) -> Iterator[MosaicInfo]:
    """Yield live mosaics, and finished revisions that may be shown.

    The tiles of a revision that was retired, because a photo in it was withdrawn, exist for a while.
    """
    finished = {
        (one.mosaic_id, one.revision)
        for one in workspace.catalog.revisions.all()
        if one.state is RevisionState.PUBLISHED
    }
    for one in workspace.catalog.tiles.mosaics():
        if one.revision == LIVE_REVISION or (one.mosaic_id, one.revision) in finished:
            yield one


def _view(
    shown: str,
    extent: Bounds,
    mosaics: Mapping[str, Sequence[MosaicInfo]],
    flights: Mapping[str, Flight],
    policy: AccessPolicy,
) -> PackImage | MissingImage:
    """Return the revision itself, or the published one if that was retired."""
    one = parse_image_reference(shown)
    there = mosaics.get(one.source, ())
    if not there:
        return MissingImage(one.shown if one.revision is None else "")
    flight = flights.get(there[0].flight_id)
    same = [its for its in there if its.revision == one.revision]
    usable = same or [its for its in there if its.published]
    if (
        flight is None
        or not usable
        or flight.state is FlightState.WITHDRAWN
        or policy.hides_flight(flight.flight_id)
        or policy.touches_box(flight.bounds_lonlat_deg)
    ):
        return MissingImage("")
    return PackImage(flight=flight, mosaic=usable[0], extent=extent, is_substitute=not same)


def _extent(line: ChangeVersion) -> Bounds:
    (west, south), (east, north) = lonlat_to_mercator(np.array(line.bounds_lonlat_deg).reshape(2, 2)).tolist()
    return west, south, east, north


# -- Flights, communes, marks and changes of a pack ------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownFlight:
    """A flight as it is published.

    frames  of which its mosaic is made, by time
    ground  polygons that it shows, Web Mercator metres
    """

    flight: Flight
    event: Event
    mosaic: MosaicInfo
    frames: tuple[FrameRecord, ...]
    ground: BaseGeometry

    @property
    def extent(self) -> Bounds:
        """Rectangle around its ground, Web Mercator metres."""
        west, south, east, north = self.ground.bounds
        return west, south, east, north


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownCommune:
    """A commune of which ground is shown.

    row            its row on the board, for these flights and the contents' changes; compared: in their
                   events
    shown_by       indices of the flights that show it, the newest first
    shape, ground  its outline, and the part that is shown, Web Mercator metres
    """

    commune: CommuneRecord
    row: CommuneRow
    shown_by: tuple[int, ...]
    shape: BaseGeometry
    ground: BaseGeometry


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownMark:
    """A field mark.

    places: indices of the communes that it touches, as the board counts it.

    shape  a point or a sector's outline, WGS 84 degrees
    """

    line: MarkVersion
    shape: BaseGeometry
    places: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownChange:
    """A confirmed change that touches shown ground, and its impact.

    signature  who confirmed it, when, and the author of its note
    shape      its outline, WGS 84 degrees
    places     indices of the communes that it lies in
    pair       the images that it was found on, or drawn over; None: it was drawn over none that were named
    """

    impact: ChangeImpact
    signature: ChangeAttribution
    shape: BaseGeometry
    places: tuple[int, ...]
    pair: Pair | None

    @property
    def attributed_note(self) -> str:
        """Note of the change, with its author if another person confirmed it."""
        return format_quoted_note(self.impact.line.note, self.signature.note_by, self.signature.decided_by)


@dataclass(frozen=True, kw_only=True, slots=True)
class PackContents:
    """Contents of a briefing pack, in the order in which they are numbered from 1.

    Flights by time, newest first; communes by shown area, largest first; marks by `rank_mark`, then by the
    first commune that they touch, newest first; confirmed changes, largest first.

    changes_elsewhere  number of changes of the same events on ground that is not shown
    waiting            change candidates on shown ground that wait for review
    waiting_elsewhere  number of such changes elsewhere
    cut                those that were not seen whole (`change.comparison.find_cut_changes`)
    settlements        in those communes, each with the event for which it was reported
    troubles           features in trouble in those communes, by layer
    layers             layers there that state conditions, whether or not anything is in trouble
    """

    flights: tuple[ShownFlight, ...]
    communes: tuple[ShownCommune, ...]
    marks: tuple[ShownMark, ...]
    changes: tuple[ShownChange, ...]
    changes_elsewhere: int
    waiting: tuple[ChangeVersion, ...]
    waiting_elsewhere: int
    cut: Collection[ChangeVersion]
    settlements: tuple[tuple[Event, Settlement], ...]
    troubles: tuple[LayerTroubles, ...]
    layers: tuple[LayerRecord, ...]

    @property
    def is_drill(self) -> bool:
        return self.flights[0].event.is_drill

    @property
    def work_crs(self) -> str:
        """CRS in which areas and maps are measured: that of the newest flight."""
        return self.flights[0].flight.work_crs

    @property
    def flights_seen(self) -> tuple[Flight, ...]:
        """Flights of the pack, and those on which changes are shown."""
        seen = [side.flight for side in self.flights]
        seen += [
            view.flight for patch in self.changes for view in patch.pair or () if isinstance(view, PackImage)
        ]
        return tuple({one.flight_id: one for one in seen}.values())

    @property
    def ground(self) -> BaseGeometry:
        """All ground that is shown, Web Mercator metres."""
        return shapely.union_all([side.ground for side in self.flights])

    @property
    def extent(self) -> Bounds:
        """Rectangle around all that is shown, Web Mercator metres."""
        west, south, east, north = np.array([side.extent for side in self.flights]).T
        return float(west.min()), float(south.min()), float(east.max()), float(north.max())


def gather_contents(
    workspace: Workspace, refs: Sequence[str], policy: AccessPolicy = UNRESTRICTED
) -> PackContents:
    """Gather flights, each once, and what belongs to them, by the access policy.

    Raises NotFound (no such flight, withdrawn, nothing on its map), AccessDenied (a flight of which a part is
    withheld), OptionUnusable (an exercise beside a real flight), ObjectMissing, TileCorrupt, StorageFailed.
    """
    flights = {
        one.flight_id: one for one in (_require_unwithheld_flight(workspace, ref, policy) for ref in refs)
    }
    sides = [_side(workspace, flight) for flight in flights.values()]
    if len({side.event.is_drill for side in sides}) > 1:
        drills = ", ".join(side.flight.name for side in sides if side.event.is_drill)
        raise OptionUnusable(
            _(
                "{drills}: a drill, and is never in one pack with real flights; make two packs",
                drills=drills,
            )
        )
    sides = sorted(sides, key=lambda side: (-side.flight.last_ns, side.flight.flight_id))
    confirmed, elsewhere = _changes(workspace, sides, ChangeStatus.ACCEPTED, policy)
    waiting, waiting_elsewhere = _changes(workspace, sides, ChangeStatus.PROPOSED, policy)
    # communes with shown ground, as on the board, by the boundaries of the newest flight's day
    looked_at = find_compared_ground(
        workspace.catalog, sorted({side.event.event_id for side in sides}), policy
    )
    flown = [_flown(workspace, side) for side in sides]
    imaged = shapely.union_all([side.ground for side in sides])
    bounds = shapely.transform(shapely.box(*imaged.bounds), make_point_transform(WEB_MERCATOR, WGS84)).bounds
    communes = list_flight_communes(workspace.catalog, sides[0].flight, bounds)
    showing = [build_commune_board(communes, [one], (), {}) for one in flown]
    places = []
    rows = build_commune_board(communes, flown, (), {}, changes=waiting, compared=looked_at)
    for number, row in enumerate(rows):
        shape = shapely.transform(shapely.from_wkb(communes[number].wkb), lonlat_to_mercator)
        place = ShownCommune(
            commune=communes[number],
            row=row,
            shown_by=tuple(n for n, board in enumerate(showing) if board[number].imaged_pct is not None),
            shape=shape,
            ground=shape.intersection(imaged),
        )
        if place.shown_by and place.ground.area > 0.0:  # less than a pixel of ground gets no page
            places.append(place)
    places = sorted(places, key=lambda one: (-one.ground.area, one.commune.code))
    return PackContents(
        flights=tuple(sides),
        communes=tuple(places),
        marks=tuple(_signs(workspace, sides, places, policy)),
        changes=tuple(_patches(workspace, confirmed, places, policy)),
        changes_elsewhere=elsewhere,
        waiting=tuple(waiting),
        waiting_elsewhere=waiting_elsewhere,
        cut=looked_at.cut,
        settlements=tuple(_settlements(workspace, sides, places, policy)),
        troubles=tuple(list_layer_troubles(workspace.catalog, [place.commune for place in places], policy)),
        layers=tuple(_telling(workspace, places, policy)),
    )


def measure_area(ground: BaseGeometry, work_crs: str) -> float:
    """Measure the area of polygons in Web Mercator, in the work CRS, m²."""
    return float(shapely.transform(ground, make_point_transform(WEB_MERCATOR, work_crs)).area)


def _require_unwithheld_flight(workspace: Workspace, ref: str, policy: AccessPolicy) -> Flight:
    """Return a flight of which nothing is withheld: packs are of whole flights."""
    flight = workspace.catalog.flights.flight(ref)
    if policy.hides_flight(flight.flight_id):
        raise make_flight_not_found(ref)
    if policy.touches_box(flight.bounds_lonlat_deg):
        raise AccessDenied(
            _("{name}: shows ground that is withheld from you; leave it out", name=flight.name)
        )
    return flight


def _side(workspace: Workspace, flight: Flight) -> ShownFlight:
    if flight.state is FlightState.WITHDRAWN:
        raise NotFound(_("{name}: this flight was withdrawn; leave it out", name=flight.name))
    mosaic = get_main_mosaic(workspace, flight.flight_id)
    ground, __ = trace_mosaic_footprint(workspace.store, workspace.catalog.tiles, mosaic)
    if ground.is_empty:
        raise NotFound(
            _(
                "{name}: there is nothing on its map; ingest photos of it first, or leave it out",
                name=flight.name,
            )
        )
    return ShownFlight(
        flight=flight,
        event=workspace.catalog.flights.event(flight.event_id),
        mosaic=mosaic,
        frames=list_mosaic_frames(workspace, mosaic),
        ground=ground,
    )


def list_mosaic_frames(workspace: Workspace, mosaic: MosaicInfo) -> tuple[FrameRecord, ...]:
    """List the frames of a finished revision, or all of which the live one is made."""
    used = [
        one
        for one in workspace.catalog.frames.list_for_flight(mosaic.flight_id, FrameStatus.USED)
        if one.header.layer is mosaic.layer
    ]
    if mosaic.revision > LIVE_REVISION:
        ids = {one.frame_id for one in workspace.catalog.revisions.frames(mosaic.mosaic_id, mosaic.revision)}
        used = [one for one in used if one.frame_id in ids]
    return tuple(sorted(used, key=lambda one: (one.header.captured_ns, one.frame_id)))


def _flown(workspace: Workspace, side: ShownFlight) -> FlightCoverage:
    outline = shapely.transform(side.ground, make_point_transform(WEB_MERCATOR, WGS84))
    return FlightCoverage(
        flight_id=side.flight.flight_id,
        last_ns=side.flight.last_ns,
        work_crs=side.flight.work_crs,
        outline_wkb=shapely.to_wkb(outline),
        coverage=workspace.catalog.boundaries.coverage(side.flight.flight_id),
    )


def _signs(
    workspace: Workspace, sides: Sequence[ShownFlight], places: Sequence[ShownCommune], policy: AccessPolicy
) -> list[ShownMark]:
    """List visible marks, each with every commune that it touches."""
    outlines = shapely.STRtree([shapely.from_wkb(place.commune.wkb) for place in places])
    signs = []
    for event_id in dict.fromkeys(side.event.event_id for side in sides):
        for line in workspace.catalog.marks.current(event_id):
            if policy.is_outside(line.wkb):
                continue
            shape = shapely.from_wkb(line.wkb)
            touched = sorted(outlines.query(shape, predicate="intersects").tolist())
            signs.append(ShownMark(line=line, shape=shape, places=tuple(touched)))
    none = (len(places),)
    return sorted(signs, key=lambda one: (rank_mark(one.line.kind, one.line.status), one.places or none))


def _changes(
    workspace: Workspace, sides: Sequence[ShownFlight], status: ChangeStatus, policy: AccessPolicy
) -> tuple[list[ChangeVersion], int]:
    """List the events' changes of a status on shown ground, largest first.

    Also returns the number elsewhere.
    """
    event_ids = dict.fromkeys(side.event.event_id for side in sides)
    with_status = [
        line
        for event_id in event_ids
        for line in workspace.catalog.changes.current(event_id, statuses=[status])
        if not policy.hides_change(line)
    ]
    imaged = shapely.union_all([side.ground for side in sides])
    lines = [
        line
        for line in with_status
        if imaged.intersects(shapely.transform(shapely.from_wkb(line.wkb), lonlat_to_mercator))
    ]
    lines.sort(key=lambda line: (-line.area_m2, line.change_id))
    return lines, len(with_status) - len(lines)


def _patches(
    workspace: Workspace, lines: Sequence[ChangeVersion], places: Sequence[ShownCommune], policy: AccessPolicy
) -> list[ShownChange]:
    """Return confirmed changes with their communes and impact."""
    outlines = shapely.STRtree([shapely.from_wkb(place.commune.wkb) for place in places])
    holders: list[list[int]] = [[] for __ in lines]
    for number, place in find_commune_overlaps(lines, outlines):
        holders[number].append(place)
    return [
        ShownChange(
            impact=impact,
            signature=signature,
            shape=shapely.from_wkb(impact.line.wkb),
            places=tuple(sorted(commune_indices)),
            pair=pair,
        )
        for impact, signature, commune_indices, pair in zip(
            compute_impact(workspace, lines, policy=policy).changes,
            workspace.catalog.changes.list_attributions(lines),
            holders,
            find_image_pairs(workspace, lines, policy),
            strict=True,
        )
    ]


def _settlements(
    workspace: Workspace, sides: Sequence[ShownFlight], places: Sequence[ShownCommune], policy: AccessPolicy
) -> Iterator[tuple[Event, Settlement]]:
    """Yield settlements of the flights' events in communes with shown ground."""
    outlines = shapely.union_all([shapely.from_wkb(place.commune.wkb) for place in places])
    for event in {side.event.event_id: side.event for side in sides}.values():
        for one in list_event_settlements(workspace, event, policy=policy):
            if outlines.intersects(one.shape):
                yield event, one


def _telling(
    workspace: Workspace, places: Sequence[ShownCommune], policy: AccessPolicy
) -> Iterator[LayerRecord]:
    """Yield layers with conditions whose bounds meet a commune with shown ground."""
    outlines = shapely.union_all([shapely.from_wkb(place.commune.wkb) for place in places])
    for layer in workspace.catalog.layers.all():
        is_there = layer.has_status and outlines.intersects(shapely.box(*layer.bounds_lonlat_deg))
        if is_there and not policy.hides_layer(layer.layer_id):
            yield layer
