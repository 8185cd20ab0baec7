"""Opening and closing a flight and its mosaics in the catalogue."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from flycam.catalog.catalog import Catalog
from flycam.catalog.footprints import compute_footprint_bounds
from flycam.catalog.records import FrameRecord, FrameStatus, MosaicInfo
from flycam.errors import NameTaken, NotFound, OptionUnusable
from flycam.frame.flight import (
    UNNAMED_EVENTS,
    Event,
    EventKind,
    Flight,
    FlightState,
    derive_live_mosaic_id,
    is_flat_datum,
    is_unnamed,
)
from flycam.frame.frame import Layer
from flycam.frame.text_normalization import (
    normalize_name,
    strip_unprintable,
    to_canonical_name,
    validate_name,
)
from flycam.frame.warning import (
    COMPLETED,
    EVENT_CHOSEN,
    EVENT_KEPT,
    GSD_KEPT,
    MAYBE_INFRARED,
    NAME_KEPT,
    NO_TERRAIN,
    TERRAIN_HOLES,
    encode_warning,
    parse_warning_code,
)
from flycam.geometry.grid import choose_zoom
from flycam.geometry.terrain import TerrainGrid
from flycam.messages import Bilingual, _
from flycam.pipeline.orthorectification.frame_plan import FrameFootprint
from flycam.pipeline.orthorectification.reprocess_plan import NO_REPROCESS, ReprocessPlan
from flycam.pipeline.terrain import compute_unknown_share
from flycam.pipeline.workspace import Workspace

MIN_ZOOM = 8
DRILL_MARK = "DIỄN TẬP"
MIN_GSD_SHARE = 0.25
"""Of what photos resolve: finer pixels hold no more."""

_MAX_UNKNOWN = 0.005
_MAX_GSD_FACTOR = 16.0
_SAME_GSD = 0.01
_RECENT_NS = 3 * 86_400 * 10**9
"""From the last picture of an event's flight to the first of one that is taken to be of that event too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FlightLabels:
    """What the operator calls the flight, and the ground sample distance asked for. A name or an event of no
    letters, as an unset variable of a script gives it, is none. Raises InputUnusable for what is no name."""

    name: str | None = None
    event: str | None = None
    gsd_m: float | None = None

    def __post_init__(self) -> None:
        for field in ("name", "event"):
            if given := getattr(self, field):
                object.__setattr__(self, field, validate_name(given))


@dataclass(frozen=True, kw_only=True, slots=True)
class FlightSession:
    """A flight open for writing; `was_ready` if all it held before had been merged.

    was_cut_short  an ingest of it was, before
    notes  what is to be said about the way it was opened, as `flycam.frame.warning` keeps it
    """

    flight: Flight
    was_ready: bool
    was_cut_short: bool = False
    notes: tuple[str, ...] = ()


def open_flight(
    workspace: Workspace,
    flight_id: str,
    planned: Sequence[FrameFootprint],
    terrain: TerrainGrid,
    labels: FlightLabels,
    terrain_names: str = "",
    reprocess: ReprocessPlan = NO_REPROCESS,
    *,
    default_name: str,
    work_crs: str,
    is_drill: bool,
    doubted: frozenset[str] = frozenset(),
) -> FlightSession:
    """Enter the flight as being ingested; a flight that exists keeps its name and event, and the GSD, terrain
    and warnings of what is on the map already and not laid again.

    terrain_names  the files that `terrain` was made of, for sentences
    reprocess      which of its frames are going to be laid again
    default_name   of a new flight that nobody named
    doubted        cameras among them whose colours may be near-infrared

    Raises InputUnusable for a GSD that makes no sense here, NameTaken also for a drill in a real event.
    """
    times = [frame.header.captured_ns for frame in planned]
    before = find_flight(workspace, flight_id)
    native_m = float(np.median([frame.view.footprint.gsd_m for frame in planned]))
    if labels.gsd_m is not None:
        check_gsd(labels.gsd_m, native_m, _MAX_GSD_FACTOR * native_m)
    event = None
    if before is None:
        event = resolve_flight_event(workspace, labels.event, is_drill=is_drill, flown_ns=min(times))
    gsd_m = labels.gsd_m or native_m
    if before is not None:
        gsd_m = _gsd_after(workspace, before, reprocess)
    name = (
        before.name
        if before
        else labels.name or _free_name(workspace, strip_unprintable(default_name), flight_id)
    )
    ground = _describe_terrain(workspace, before, planned, terrain, terrain_names, reprocess)
    flight = Flight(
        flight_id=flight_id,
        name=to_canonical_name(name),
        event_id=event.event_id if event else before.event_id if before else "",
        state=FlightState.INGESTING,
        work_crs=before.work_crs if before else work_crs,
        vertical_datum=ground.vertical_datum,
        dem_id=ground.dem_id,
        gsd_m=gsd_m,
        first_ns=min([*times, *([before.first_ns] if before else [])]),
        last_ns=max([*times, *([before.last_ns] if before else [])]),
        bounds_lonlat_deg=before.bounds_lonlat_deg if before else None,
        operator=workspace.operator or (before.operator if before else None),
        warnings=(*ground.warnings, *_doubts(workspace, before, doubted, planned)),
    )
    workspace.catalog.flights.put_flight(flight)
    notes = (*reprocess.notes, *list_event_notes(labels, event))
    if before is not None:
        notes = (*notes, *list_unused_label_notes(workspace, flight, labels))
    was_cut_short = before is not None and before.state is FlightState.INGESTING
    if was_cut_short:
        recorded = len(workspace.catalog.frames.list_for_flight(flight_id, FrameStatus.USED))
        notes = (*notes, *([encode_warning(COMPLETED, frames=recorded)] if recorded else []))
    was_ready = before is not None and before.state is FlightState.READY
    return FlightSession(flight=flight, was_ready=was_ready, was_cut_short=was_cut_short, notes=notes)


def list_event_notes(labels: FlightLabels, event: Event | None) -> tuple[str, ...]:
    """Of a new flight (event: None for one that was there): into which event it went that nobody named."""
    if event is None or labels.event or is_unnamed(event.name):
        return ()
    return (encode_warning(EVENT_CHOSEN, event=event.name),)


def list_unused_label_notes(workspace: Workspace, flight: Flight, labels: FlightLabels) -> tuple[str, ...]:
    """What is to be said of the labels asked for, where a flight stands already: it keeps the name by which
    others know it, whoever brings more of it, or the same once more."""
    notes: list[str] = []
    if labels.gsd_m is not None and not np.isclose(labels.gsd_m, flight.gsd_m):
        notes.append(encode_warning(GSD_KEPT, asked=f"{labels.gsd_m:g}", kept=f"{flight.gsd_m:.3g}"))
    if labels.name and normalize_name(labels.name) != normalize_name(flight.name):
        notes.append(encode_warning(NAME_KEPT, asked=labels.name, kept=flight.name))
    if labels.event:
        kept = workspace.catalog.flights.event(flight.event_id)
        if normalize_name(labels.event) not in (kept.event_id, normalize_name(kept.name)):
            notes.append(encode_warning(EVENT_KEPT, asked=labels.event, kept=kept.name))
    return tuple(notes)


@dataclass(frozen=True, kw_only=True, slots=True)
class _FlightTerrain:
    vertical_datum: str
    dem_id: str
    warnings: tuple[str, ...]


def _describe_terrain(
    workspace: Workspace,
    before: Flight | None,
    planned: Sequence[FrameFootprint],
    terrain: TerrainGrid,
    terrain_names: str,
    reprocess: ReprocessPlan,
) -> _FlightTerrain:
    """What a flight says of its ground: as long as nothing new is laid, what it said before."""
    staying: list[FrameRecord] = []
    if before is not None:
        records = workspace.catalog.frames.list_for_flight(before.flight_id)
        laid = {record.frame_id for record in records if record.status is not FrameStatus.REJECTED}
        if not reprocess.is_due and laid.issuperset(frame.header.frame_id for frame in planned):
            said_before = tuple(one for one in before.warnings if parse_warning_code(one) != MAYBE_INFRARED)
            return _FlightTerrain(
                vertical_datum=before.vertical_datum, dem_id=before.dem_id or "", warnings=said_before
            )
        staying = [
            r for r in records if r.status is FrameStatus.USED and r.frame_id not in reprocess.frame_ids
        ]
    said = _keep_valid_warnings(before.warnings, staying, reprocess) if before is not None and staying else []
    if is_flat_datum(terrain.vertical_datum):
        said.append(encode_warning(NO_TERRAIN))
    elif (
        share := compute_unknown_share(terrain, [f.view.footprint.polygon_m for f in planned])
    ) > _MAX_UNKNOWN:
        said.append(encode_warning(TERRAIN_HOLES, files=terrain_names, percent=round(100 * share)))
    return _FlightTerrain(
        vertical_datum=terrain.vertical_datum, dem_id=terrain.dem_id, warnings=tuple(dict.fromkeys(said))
    )


def _doubts(
    workspace: Workspace, before: Flight | None, doubted: frozenset[str], planned: Sequence[FrameFootprint]
) -> tuple[str, ...]:
    """What is not sure of the flight's colours: of the photos of this run, and as it was of those on the map
    that are not in it."""
    shown = [frame.header for frame in planned if frame.header.layer is Layer.COLOUR]
    cameras = {header.provenance.camera for header in shown} & doubted
    doubts = [encode_warning(MAYBE_INFRARED, camera=camera) for camera in sorted(cameras)]
    if before is not None:
        here = {frame.header.frame_id for frame in planned}
        used = workspace.catalog.frames.list_for_flight(before.flight_id, FrameStatus.USED)
        if not here.issuperset(frame.frame_id for frame in used):
            doubts += [one for one in before.warnings if parse_warning_code(one) == MAYBE_INFRARED]
    return tuple(dict.fromkeys(doubts))


def _keep_valid_warnings(
    warnings: Sequence[str], staying: Sequence[FrameRecord], reprocess: ReprocessPlan
) -> list[str]:
    """Warnings that the frames which stay where they lie leave standing."""
    on_plane = any(r.exterior is not None and is_flat_datum(r.exterior.vertical_datum) for r in staying)
    return [
        one for one in warnings if not reprocess.is_due or parse_warning_code(one) != NO_TERRAIN or on_plane
    ]


def _gsd_after(workspace: Workspace, before: Flight, reprocess: ReprocessPlan) -> float:
    """The flight's GSD: what the operator asked for stays, what the photos resolved follows the ground."""
    records = workspace.catalog.frames.list_for_flight(before.flight_id, FrameStatus.USED)
    native = [record.gsd_m for record in records if record.gsd_m is not None]
    if not reprocess.is_due or not native:
        return before.gsd_m
    if abs(float(np.median(native)) / before.gsd_m - 1.0) > _SAME_GSD:
        return before.gsd_m
    stay = [r.gsd_m for r in records if r.gsd_m is not None and r.frame_id not in reprocess.frame_ids]
    again = [r.gsd_m for r in reprocess.frames if r.gsd_m is not None]
    return float(np.median([*stay, *again])) if stay or again else before.gsd_m


def check_gsd(gsd_m: float, native_m: float, coarsest_m: float) -> None:
    """Raise OptionUnusable for a GSD (metres) finer than a quarter of what is there, or useless coarse."""
    if not gsd_m > 0.0:
        raise OptionUnusable(
            _("--gsd {gsd_m:g}: the ground sample distance is a positive number of metres", gsd_m=gsd_m)
        )
    finest_m = MIN_GSD_SHARE * native_m
    if gsd_m < finest_m:
        times = (native_m / gsd_m) ** 2
        raise OptionUnusable(
            _(
                "--gsd {gsd_m:g}: the photos resolve {native_m:.3g} m; finer pixels would "
                "hold no more, only take {times:,.0f} times the room; give {finest_m:.2g} or "
                "more",
                gsd_m=gsd_m,
                native_m=native_m,
                times=times,
                finest_m=finest_m,
            )
        )
    if gsd_m > coarsest_m:
        raise OptionUnusable(
            _(
                "--gsd {gsd_m:g}: the photos resolve {native_m:.3g} m; give {coarsest_m:.2g} or less",
                gsd_m=gsd_m,
                native_m=native_m,
                coarsest_m=coarsest_m,
            )
        )


def open_mosaic(
    workspace: Workspace, flight: Flight, layer: Layer, frames: Sequence[FrameFootprint]
) -> MosaicInfo:
    """The flight's live mosaic of one layer; its base zoom is fixed when it is first opened."""
    mosaic_id = derive_live_mosaic_id(flight.flight_id, layer)
    for mosaic in workspace.catalog.tiles.mosaics(flight.flight_id):
        if mosaic.mosaic_id == mosaic_id and mosaic.revision == 0:
            return mosaic
    mosaic = MosaicInfo(
        mosaic_id=mosaic_id,
        flight_id=flight.flight_id,
        layer=layer,
        base_zoom=choose_zoom(flight.gsd_m, float(np.median([frame.view.lat_deg for frame in frames]))),
        min_zoom=MIN_ZOOM,
    )
    workspace.catalog.tiles.put_mosaic(mosaic)
    return mosaic


def close_flight(workspace: Workspace, flight: Flight, state: FlightState = FlightState.READY) -> Flight:
    """Mark the flight complete (or withdrawn), with the bounds of what it imaged."""
    used = workspace.catalog.frames.list_for_flight(flight.flight_id, FrameStatus.USED)
    closed = replace(flight, state=state, bounds_lonlat_deg=compute_footprint_bounds(used))
    workspace.catalog.flights.put_flight(closed)
    return closed


def resolve_flight_state(workspace: Workspace, flight_id: str) -> FlightState:
    """What a flight is once all was done: one that was withdrawn whole is not shown again because its card or
    its film was read once more."""
    statuses = {record.status for record in workspace.catalog.frames.list_for_flight(flight_id)}
    is_gone = FrameStatus.WITHDRAWN in statuses and FrameStatus.USED not in statuses
    return FlightState.WITHDRAWN if is_gone else FlightState.READY


def resolve_flight_event(
    workspace: Workspace, ref: str | None, *, is_drill: bool, flown_ns: int | None = None
) -> Event:
    """The event of this id or name, made if it is new. A drill never joins a real event, nor the reverse.

    flown_ns  when the flight began (UTC nanoseconds): where no event is named, a real flight goes into the
              real event that is open, where that is one alone and was flown lately; None: not known

    Raises NameTaken with the cure when the two are mixed.
    """
    name = ref or _find_default_event(workspace, flown_ns, is_drill=is_drill)
    try:
        event = workspace.catalog.flights.event(name)
    except NotFound:
        event = make_event(name, is_drill=is_drill)
        workspace.catalog.flights.put_event(event)
        return event
    if event.is_drill != is_drill:
        kinds = ("a drill", "a real event") if is_drill else ("real photos", "a drill")
        kinds_vi = ("ảnh diễn tập", "sự kiện thật") if is_drill else ("ảnh thật", "cuộc diễn tập")
        raise NameTaken(
            _(
                "{name}: these are {kinds} but the event is {kinds_2}; the two never mix: "
                "choose another event",
                name=event.name,
                kinds=Bilingual(kinds[0], kinds_vi[0]),
                kinds_2=Bilingual(kinds[1], kinds_vi[1]),
            )
        )
    return event


def _find_default_event(workspace: Workspace, flown_ns: int | None, *, is_drill: bool) -> str:
    """Of a real flight the event that is flown for. Else the one that this house has for flights of no event,
    whatever that was called when it began."""
    events = workspace.catalog.flights.events()
    storm = None if is_drill or flown_ns is None else find_current_event(workspace.catalog, events, flown_ns)
    if storm is not None:
        return storm.event_id
    here = {event.name for event in events}
    names = UNNAMED_EVENTS[is_drill]
    return next((one for one in names if one in here), names[0])


def find_current_event(catalog: Catalog, events: Sequence[Event], at_ns: int) -> Event | None:
    """The real event that flights of a time (UTC nanoseconds) are for where nobody names one: the only one
    that somebody named and that is open, and it was flown within days of that time, for nobody ends an event.
    None: nobody can tell."""
    storms = [one for one in events if not one.is_drill and one.ends_ns is None and not is_unnamed(one.name)]
    if len(storms) != 1:
        return None
    flights = catalog.flights.flights(storms[0].event_id)
    return storms[0] if any(abs(at_ns - one.last_ns) <= _RECENT_NS for one in flights) else None


def make_event(name: str, *, is_drill: bool) -> Event:
    """An event that is not on record yet: the same for all who begin one of this name."""
    return Event(
        event_id=hashlib.sha256(f"{is_drill}:{name}".encode()).hexdigest()[:16],
        name=name,
        kind=EventKind.DRILL if is_drill else EventKind.SURVEY,
        is_drill=is_drill,
    )


def find_flight(workspace: Workspace, flight_id: str) -> Flight | None:
    """The flight of this id (or name), None if there is none."""
    try:
        return workspace.catalog.flights.flight(flight_id)
    except NotFound:
        return None


def require_free_name(workspace: Workspace, name: str) -> None:
    """Raise NameTaken where a flight has this name: before a stream is opened that cannot be had again."""
    taken = find_flight(workspace, name)
    if taken is not None:
        raise NameTaken(
            _(
                "{name}: another flight has this name: choose another --name, or give "
                "--flight {flight_id} to go on with that one",
                name=name,
                flight_id=taken.flight_id,
            )
        )


def _free_name(workspace: Workspace, name: str, flight_id: str) -> str:
    """The name; with the beginning of the id where another flight has it already."""
    try:
        taken = workspace.catalog.flights.flight(name)
    except NotFound:
        return name
    return name if taken.flight_id == flight_id else f"{name} {flight_id[:6]}"
