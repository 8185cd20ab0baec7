"""Opening and closing of a flight and its mosaics in the catalogue."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from flycam.catalog.catalog import Catalog
from flycam.catalog.flights import compute_footprint_bounds
from flycam.errors import NameTaken, NotFound, OptionUnusable
from flycam.geometry.grid import TileRange, choose_zoom
from flycam.geometry.terrain import TerrainGrid
from flycam.messages import _, pgettext
from flycam.model.flight import (
    UNNAMED_EVENTS,
    Event,
    EventKind,
    Flight,
    FlightState,
    Layer,
    derive_live_mosaic_id,
    is_flat_datum,
    is_unnamed,
)
from flycam.model.records import FrameRecord, FrameStatus, MosaicInfo
from flycam.model.text import normalize_name, strip_unprintable, to_canonical_name, validate_name
from flycam.model.warning import (
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
from flycam.mosaic.orthorectify.rectification import FrameFootprint
from flycam.mosaic.terrain import compute_unknown_share
from flycam.workspace import Workspace

MIN_ZOOM = 8
MIN_GSD_SHARE = 0.25
"""Share of the photos' GSD: finer pixels hold no more."""

_MAX_UNKNOWN = 0.005
_MAX_GSD_FACTOR = 16.0
_SAME_GSD = 0.01
_RECENT_NS = 3 * 86_400 * 10**9
"""Longest time from the last image of an event's flight to the first of one taken to be of that event too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FlightLabels:
    """The operator's labels of a flight, and the requested GSD.

    An empty name or event, as from an unset variable of a script, counts as none. Raises InputUnusable for an
    invalid name.
    """

    name: str | None = None
    event: str | None = None
    gsd_m: float | None = None

    def __post_init__(self) -> None:
        for label in ("name", "event"):
            if value := getattr(self, label):
                object.__setattr__(self, label, validate_name(value))


@dataclass(frozen=True, kw_only=True, slots=True)
class FlightSession:
    """A flight open for writing; `was_ready` if all it held before had been merged.

    was_cut_short  whether an ingest of it was interrupted before
    notes  on the way it was opened, encoded by `flycam.model.warning`
    """

    flight: Flight
    was_ready: bool
    was_cut_short: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ReprocessPlan:
    """Plan of the frames of a flight to be reprocessed.

    frames     their new records
    set_aside  new records of frames on the map that see no known ground any more
    notes      encoded by `flycam.model.warning`
    held       frames set aside before that stay so
    moved      new records of frames that only change their layer
    moved_ids  ids of all frames that change it
    """

    frames: tuple[FrameRecord, ...] = ()
    set_aside: tuple[FrameRecord, ...] = ()
    notes: tuple[str, ...] = ()
    held: frozenset[str] = field(default_factory=frozenset)
    moved: tuple[FrameRecord, ...] = ()
    moved_ids: frozenset[str] = field(default_factory=frozenset)

    @property
    def is_due(self) -> bool:
        return bool(self.frames or self.set_aside)

    @property
    def frame_ids(self) -> frozenset[str]:
        return frozenset(record.frame_id for record in (*self.frames, *self.set_aside))

    def tiles(self, layer: Layer) -> list[TileRange]:
        """Return the tiles that frames of a layer will touch."""
        records = (*self.frames, *self.moved)
        return [r.tiles for r in records if r.tiles is not None and r.header.layer == layer]


NO_REPROCESS = ReprocessPlan()


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
    """Record the flight as being ingested.

    An existing flight keeps its name and event, and the GSD, terrain and warnings of frames that are on the
    map already and not reprocessed.

    terrain_names  the files that `terrain` was made of, for messages
    reprocess      which of its frames are going to be reprocessed
    default_name   of a new flight without a given name
    doubted        cameras among them whose colours may be near-infrared

    Raises InputUnusable for an invalid GSD, NameTaken also for an exercise in a real event.
    """
    times = [frame.header.captured_ns for frame in planned]
    before = find_flight(workspace, flight_id)
    native_m = float(np.median([frame.footprint.gsd_m for frame in planned]))
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
    """Return a note on the event chosen for a new flight if none was given.

    event: None for an existing flight.
    """
    if event is None or labels.event or is_unnamed(event.name):
        return ()
    return (encode_warning(EVENT_CHOSEN, event=event.name),)


def list_unused_label_notes(workspace: Workspace, flight: Flight, labels: FlightLabels) -> tuple[str, ...]:
    """Return notes on requested labels that an existing flight does not take.

    It keeps the name by which others know it when more is added or the same given again.
    """
    notes: list[str] = []
    if labels.gsd_m is not None and not np.isclose(labels.gsd_m, flight.gsd_m):
        notes.append(encode_warning(GSD_KEPT, asked=f"{labels.gsd_m:g}", kept=f"{flight.gsd_m:.3g}"))
    if labels.name and normalize_name(labels.name) != normalize_name(flight.name):
        notes.append(encode_warning(NAME_KEPT, asked=labels.name, kept=flight.name))
    if labels.event:
        current_event = workspace.catalog.flights.event(flight.event_id)
        if normalize_name(labels.event) not in (current_event.event_id, normalize_name(current_event.name)):
            notes.append(encode_warning(EVENT_KEPT, asked=labels.event, kept=current_event.name))
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
    """Return the flight's terrain and warnings; unchanged while nothing is added."""
    staying: list[FrameRecord] = []
    if before is not None:
        records = workspace.catalog.frames.list_for_flight(before.flight_id)
        placed_ids = {record.frame_id for record in records if record.status is not FrameStatus.REJECTED}
        if not reprocess.is_due and placed_ids.issuperset(frame.header.frame_id for frame in planned):
            unchanged = tuple(one for one in before.warnings if parse_warning_code(one) != MAYBE_INFRARED)
            return _FlightTerrain(
                vertical_datum=before.vertical_datum, dem_id=before.dem_id or "", warnings=unchanged
            )
        staying = [
            r for r in records if r.status is FrameStatus.USED and r.frame_id not in reprocess.frame_ids
        ]
    kept = _keep_valid_warnings(before.warnings, staying, reprocess) if before is not None and staying else []
    if is_flat_datum(terrain.vertical_datum):
        kept.append(encode_warning(NO_TERRAIN))
    elif (share := compute_unknown_share(terrain, [f.footprint.polygon_m for f in planned])) > _MAX_UNKNOWN:
        kept.append(encode_warning(TERRAIN_HOLES, files=terrain_names, percent=round(100 * share)))
    return _FlightTerrain(
        vertical_datum=terrain.vertical_datum, dem_id=terrain.dem_id, warnings=tuple(dict.fromkeys(kept))
    )


def _doubts(
    workspace: Workspace, before: Flight | None, doubted: frozenset[str], planned: Sequence[FrameFootprint]
) -> tuple[str, ...]:
    """Return warnings on the flight's colours.

    Of this run's photos, and former ones while other photos are on the map.
    """
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
    """Return the warnings that still hold for the frames that stay."""
    on_plane = any(r.exterior is not None and is_flat_datum(r.exterior.vertical_datum) for r in staying)
    return [
        one for one in warnings if not reprocess.is_due or parse_warning_code(one) != NO_TERRAIN or on_plane
    ]


def _gsd_after(workspace: Workspace, before: Flight, reprocess: ReprocessPlan) -> float:
    """Return the flight's GSD: a requested one stays, else the median of the photos'."""
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
    """Raise OptionUnusable for a GSD (metres) too fine for the photos, or too coarse.

    Too fine: below a quarter of theirs.
    """
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
                "hold no more, only take {times:,.0f} times the space; give {finest_m:.2g} "
                "or more",
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
    """Return the flight's live mosaic of one layer, opened if missing.

    Its base zoom is fixed when it is first opened.
    """
    mosaic_id = derive_live_mosaic_id(flight.flight_id, layer)
    for mosaic in workspace.catalog.tiles.mosaics(flight.flight_id):
        if mosaic.mosaic_id == mosaic_id and mosaic.revision == 0:
            return mosaic
    mosaic = MosaicInfo(
        mosaic_id=mosaic_id,
        flight_id=flight.flight_id,
        layer=layer,
        base_zoom=choose_zoom(flight.gsd_m, float(np.median([frame.lat_deg for frame in frames]))),
        min_zoom=MIN_ZOOM,
    )
    workspace.catalog.tiles.put_mosaic(mosaic)
    return mosaic


def close_flight(workspace: Workspace, flight: Flight, state: FlightState = FlightState.READY) -> Flight:
    """Mark the flight complete (or withdrawn), with the bounds of its footprints."""
    used = workspace.catalog.frames.list_for_flight(flight.flight_id, FrameStatus.USED)
    closed = replace(flight, state=state, bounds_lonlat_deg=compute_footprint_bounds(used))
    workspace.catalog.flights.put_flight(closed)
    return closed


def resolve_flight_state(workspace: Workspace, flight_id: str) -> FlightState:
    """Return a flight's state once all is done.

    A flight that was withdrawn as a whole stays so when its memory card or video is read once more.
    """
    statuses = {record.status for record in workspace.catalog.frames.list_for_flight(flight_id)}
    is_gone = FrameStatus.WITHDRAWN in statuses and FrameStatus.USED not in statuses
    return FlightState.WITHDRAWN if is_gone else FlightState.READY


def resolve_flight_event(
    workspace: Workspace, ref: str | None, *, is_drill: bool, flown_ns: int | None = None
) -> Event:
    """Return the event of this id or name, created if new.

    An exercise never joins a real event, nor the reverse.

    flown_ns  when the flight began (UTC nanoseconds): without a given event, a real flight goes into the one
      real event that is open and was flown lately; None: not known

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
        raise NameTaken(
            _(
                "{name}: these are {given_kind} but the event is {event_kind}; the two never mix: "
                "choose another event",
                name=event.name,
                given_kind=pgettext("photos", "a drill") if is_drill else _("real photos"),
                event_kind=_("a real event") if is_drill else pgettext("event", "a drill"),
            )
        )
    return event


def _find_default_event(workspace: Workspace, flown_ns: int | None, *, is_drill: bool) -> str:
    """Return the current event for a real flight, else that of unnamed flights."""
    if not is_drill and flown_ns is not None:
        storm = find_current_event(workspace.catalog, workspace.catalog.flights.events(), flown_ns)
        if storm is not None:
            return storm.event_id
    return UNNAMED_EVENTS[is_drill]


def find_current_event(catalog: Catalog, events: Sequence[Event], at_ns: int) -> Event | None:
    """Return the real event of flights without a given one, at a time (UTC ns).

    The only open one with a given name, if it was flown within days of that time, for events are usually left
    open. None: undecided.
    """
    storms = [one for one in events if not one.is_drill and one.ends_ns is None and not is_unnamed(one.name)]
    if len(storms) != 1:
        return None
    flights = catalog.flights.flights(storms[0].event_id)
    return storms[0] if any(abs(at_ns - one.last_ns) <= _RECENT_NS for one in flights) else None


def make_event(name: str, *, is_drill: bool) -> Event:
    """Return a new event, with the same id for all who create one of this name."""
    return Event(
        event_id=hashlib.sha256(f"{is_drill}:{name}".encode()).hexdigest()[:16],
        name=name,
        kind=EventKind.DRILL if is_drill else EventKind.SURVEY,
        is_drill=is_drill,
    )


def find_flight(workspace: Workspace, flight_id: str) -> Flight | None:
    """Return the flight of this id (or name), None if there is none."""
    try:
        return workspace.catalog.flights.flight(flight_id)
    except NotFound:
        return None


def require_free_name(workspace: Workspace, name: str) -> None:
    """Raise NameTaken if a flight has this name.

    Checked before a stream is opened, as it does not come again.
    """
    taken = find_flight(workspace, name)
    if taken is not None:
        raise NameTaken(
            _(
                "{name}: another flight has this name: choose another --name, or give --flight "
                "{flight_id} to add to that one",
                name=name,
                flight_id=taken.flight_id,
            )
        )


def _free_name(workspace: Workspace, name: str, flight_id: str) -> str:
    """Return the name; with the beginning of the id if another flight has it already."""
    try:
        taken = workspace.catalog.flights.flight(name)
    except NotFound:
        return name
    return name if taken.flight_id == flight_id else f"{name} {flight_id[:6]}"
