"""Events and flights, and the coverage of each flight."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import shapely
from fastapi import APIRouter, Depends, Query, Request
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from shapely import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from flycam.access.policy import (
    find_shown_revision,
    find_visible_flight,
    format_title,
    iterate_offered_mosaics,
    list_visible_flights,
)
from flycam.catalog.catalog import Catalog
from flycam.catalog.flights import parse_footprints
from flycam.catalog.mosaics import LIVE_REVISION, make_mosaic_not_found
from flycam.errors import NotFound
from flycam.geodata.crs import WEB_MERCATOR, WGS84, make_point_transform
from flycam.http.guards import (
    AccessPolicyHere,
    CatalogHere,
    GuardedRoute,
    GuestPrincipal,
    OperatorPrincipal,
    ServicesHere,
    require_guest,
    require_viewer,
)
from flycam.http.protocol import Json, format_iso_or_none, to_geojson_collection, to_geojson_feature
from flycam.ingest.video.video_frames import is_from_stream
from flycam.model.access import Role
from flycam.model.flight import Classification, Event, Flight, FlightState
from flycam.model.frame import Provenance
from flycam.model.records import FrameRecord, FrameStatus, MosaicInfo
from flycam.model.revision_stats import put_in_words
from flycam.model.time import format_iso
from flycam.model.warning import describe_warning, describe_warning_briefly, parse_warning_code
from flycam.mosaic.amendments import move_flight
from flycam.mosaic.finish.revisions import collect_readout_warnings, list_outdated_warnings
from flycam.mosaic.orthorectify.flight_session import find_current_event
from flycam.mosaic.raster import trace_mosaic_footprint
from flycam.mosaic.tiles.writer import DAMAGE
from flycam.serve.tiles import LEGENDS, to_legend_json
from flycam.workspace import Workspace

# -- Coverage gaps: ground inside a flight that no footprint of a used frame covers ----------------


_MIN_GAP_SHARE = 0.01
"""Share of the median footprint; smaller gaps are slivers between neighbouring outlines."""


@dataclass(frozen=True, slots=True)
class CoverageGap:
    """One gap: its outline in WGS 84 (WKB) and its area in the work CRS."""

    wkb: bytes
    area_m2: float


def find_coverage_gaps(frames: Sequence[FrameRecord], work_crs: str) -> list[CoverageGap]:
    """Find holes of the union of the frames' footprints, largest first.

    Ground that is open to the outside is the flight's edge, not a gap. Gaps smaller than a hundredth of the
    median footprint are left out. Areas are measured in `work_crs`.
    """
    footprints, imaged = compute_imaged_ground(frames, work_crs)
    if imaged.is_empty:
        return []
    smallest_m2 = compute_min_gap_m2(footprints)
    rings = [
        ring for part in shapely.get_parts(imaged) if isinstance(part, Polygon) for ring in part.interiors
    ]
    holes = sorted((Polygon(ring) for ring in rings), key=lambda hole: -hole.area)
    back = make_point_transform(work_crs, WGS84)
    return [
        CoverageGap(shapely.to_wkb(shapely.transform(hole, back)), hole.area)
        for hole in holes
        if hole.area >= smallest_m2
    ]


def compute_imaged_ground(
    frames: Sequence[FrameRecord], work_crs: str
) -> tuple[NDArray[np.object_], BaseGeometry]:
    """Return (footprints, their union), valid, in metres of the work CRS.

    Frames without a footprint are left out.
    """
    footprints = shapely.transform(parse_footprints(frames), make_point_transform(WGS84, work_crs))
    return footprints, shapely.union_all(footprints)


def compute_min_gap_m2(footprints: NDArray[np.object_]) -> float:
    """Return the area below which a hole between these footprints is a sliver."""
    return _MIN_GAP_SHARE * float(np.median(shapely.area(footprints)))


# -- Outlines of live mosaics, and of finished revisions -------------------------------------------


outline_router = APIRouter(dependencies=[Depends(require_guest)])

_TOLERANCE_SHARE = 0.02
"""Share of a median footprint's side: less than can be seen of the outline on a screen."""
_TOLERANCE_PX = 1.0
"""Pixels of the grid that a finished revision is traced on, whose corners need not be shown."""


def _outline(ground_m: BaseGeometry, tolerance_m: float, smallest_m2: float, work_crs: str) -> bytes | None:
    """Return ground of the work CRS as WKB in WGS 84, simplified.

    Holes and islands below `smallest_m2` are left out; None if nothing remains.
    """
    simple = shapely.simplify(ground_m, tolerance_m, preserve_topology=True)
    parts = [
        Polygon(part.exterior, [ring for ring in part.interiors if Polygon(ring).area >= smallest_m2])
        for part in shapely.get_parts(simple)
        if isinstance(part, Polygon) and part.area >= smallest_m2
    ]
    if not parts:
        return None
    outline = parts[0] if len(parts) == 1 else MultiPolygon(parts)
    written: bytes = shapely.to_wkb(shapely.transform(outline, make_point_transform(work_crs, WGS84)))
    return written


class OutlineCache:
    """Outlines by mosaic and revision, renewed once tiles moved. Thread-safe."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._kept: dict[tuple[str, int], tuple[int, bytes | None]] = {}
        self._lock = threading.Lock()

    def get_outline(self, flight: Flight, mosaic: MosaicInfo, seq: int) -> bytes | None:
        """Return the outline (WKB) of a revision as of log entry `seq`; None if empty.

        A live mosaic grows with its frames and is drawn by their footprints. A finished one lies where its
        adjusted poses put it, which only its pixels know. Raises errors of reading its tiles.
        """
        key = mosaic.mosaic_id, mosaic.revision
        with self._lock:
            made_at, outline = self._kept.get(key, (-1, None))
        if made_at == seq:
            return outline
        made = self._compute_live if mosaic.revision == LIVE_REVISION else self._compute_finished
        outline = made(flight, mosaic)
        with self._lock:
            self._kept[key] = (seq, outline)
        return outline

    def _compute_live(self, flight: Flight, mosaic: MosaicInfo) -> bytes | None:
        # Return polygons in WGS 84 (WKB) around the frames' footprints.
        # None without footprints. Simplified by a fiftieth of the median footprint's side, and without the
        # slivers that `find_coverage_gaps` leaves out too. A flight over two separate places has two
        # polygons.
        frames = self._read_frames(flight, mosaic)
        footprints, imaged = compute_imaged_ground(frames, flight.work_crs)
        if imaged.is_empty:
            return None
        tolerance_m = _TOLERANCE_SHARE * float(np.sqrt(np.median(shapely.area(footprints))))
        return _outline(imaged, tolerance_m, compute_min_gap_m2(footprints), flight.work_crs)

    def _compute_finished(self, flight: Flight, mosaic: MosaicInfo) -> bytes | None:
        tiles = self._workspace.catalog.tiles
        try:
            ground, pixel_m = trace_mosaic_footprint(self._workspace.store, tiles, mosaic)
        except DAMAGE:
            # the tile is drawn as a gap until it is repaired; all other outlines must not go with it
            return self._compute_live(flight, mosaic)
        ground = shapely.transform(ground, make_point_transform(WEB_MERCATOR, flight.work_crs))
        footprints, _ = compute_imaged_ground(self._read_frames(flight, mosaic), flight.work_crs)
        smallest_m2 = compute_min_gap_m2(footprints) if len(footprints) else 0.0
        return _outline(ground, _TOLERANCE_PX * pixel_m, smallest_m2, flight.work_crs)

    def _read_frames(self, flight: Flight, mosaic: MosaicInfo) -> list[FrameRecord]:
        used = self._workspace.catalog.frames.list_for_flight(flight.flight_id, FrameStatus.USED)
        return [frame for frame in used if frame.header.layer == mosaic.layer]


@outline_router.get("/api/outlines")
def list_outlines(
    request: Request, catalog: CatalogHere, access_policy: AccessPolicyHere, event: str | None = None
) -> Json:
    """List the outlines of the ground that each flight imaged, as GeoJSON.

    One feature for the live mosaic (revision 0) of each layer and for each finished revision that may be
    shown; `on_show` marks the published one.
    """
    event_id = catalog.flights.event(event).event_id if event else None
    known: OutlineCache = request.app.state.outlines
    here = list_visible_flights(catalog, access_policy, event_id)
    shown = [one for one in here if one.state is not FlightState.WITHDRAWN]
    drawn = [
        (mosaic, known.get_outline(one, mosaic, _find_log_line(catalog, mosaic)))
        for one in shown
        for mosaic in iterate_offered_mosaics(catalog, one)
    ]
    return to_geojson_collection(
        to_geojson_feature(
            wkb,
            {
                "flight_id": mosaic.flight_id,
                "mosaic_id": mosaic.mosaic_id,
                "layer": mosaic.layer.value,
                "revision": mosaic.revision,
                "on_show": mosaic.published,
            },
        )
        for mosaic, wkb in drawn
        if wkb is not None
    )


def _find_log_line(catalog: Catalog, mosaic: MosaicInfo) -> int:
    """Return the log entry that an outline is valid for.

    0 for a finished revision, whose tiles never change.
    """
    return catalog.tiles.last_seq(mosaic.mosaic_id) if mosaic.revision == LIVE_REVISION else 0


def get_revision_outline(
    request: Request, catalog: Catalog, flight: Flight, mosaic: MosaicInfo
) -> bytes | None:
    """Return the outline of one revision of a flight's mosaic; None if it is empty."""
    known: OutlineCache = request.app.state.outlines
    return known.get_outline(flight, mosaic, _find_log_line(catalog, mosaic))


def get_shown_outline(request: Request, catalog: Catalog, flight: Flight) -> bytes | None:
    """Return the union of the published outlines, over all layers of a flight."""
    shown = [one for one in catalog.tiles.mosaics(flight.flight_id) if one.published]
    drawn = [get_revision_outline(request, catalog, flight, one) for one in shown]
    found = [shapely.from_wkb(wkb) for wkb in drawn if wkb is not None]
    written: bytes | None = shapely.to_wkb(shapely.union_all(found)) if found else None
    return written


# -- Events and flights ----------------------------------------------------------------------------


# routes that guests must not reach require more
router = APIRouter(route_class=GuardedRoute, dependencies=[Depends(require_guest)])


@router.get("/api/events")
def list_events(services: ServicesHere, principal: GuestPrincipal) -> list[Json]:
    """List all events, exercises marked; for a guest of one event that alone.

    `takes_unnamed`: real flights of now without a given event go into it.
    """
    only = principal.account.event_id if principal.account else ""
    workspace = services.workspace
    events = workspace.catalog.flights.events()
    storm = find_current_event(workspace.catalog, events, workspace.clock_ns())
    return [{**_event(one), "takes_unnamed": one == storm} for one in events if only in ("", one.event_id)]


@router.get("/api/flights")
def list_flights(catalog: CatalogHere, principal: GuestPrincipal, event: str | None = None) -> list[Json]:
    """List flights, newest capture first, with their published mosaics and coverage.

    `is_streamed`: the newest image came from a stream; only then an unfinished mosaic is shown as live.
    Guests see neither the operator nor the length of video.
    """
    event_id = catalog.flights.event(event).event_id if event else None
    drills = {one.event_id for one in catalog.flights.events() if one.is_drill}
    shown: dict[str, list[MosaicInfo]] = {}
    for mosaic in catalog.tiles.mosaics():
        if mosaic.published:
            shown.setdefault(mosaic.flight_id, []).append(mosaic)
    lookups = _FlightLookups(
        levels=catalog.restrictions.levels(), newest=catalog.frames.find_latest_originals()
    )
    found = [
        _flight(catalog, flight, shown.get(flight.flight_id, []), flight.event_id in drills, lookups)
        for flight in list_visible_flights(catalog, principal.access_policy, event_id)
    ]
    return (
        found
        if principal.has_role(Role.VIEWER)
        else [{**one, "operator": None, "recorded_s": 0.0} for one in found]
    )


@router.get("/api/flights/{ref}", dependencies=[Depends(require_viewer)])
def get_flight(ref: str, catalog: CatalogHere, access_policy: AccessPolicyHere) -> Json:
    """Return one flight by id or name, with the status of its frames."""
    found = find_visible_flight(catalog, ref, access_policy)
    is_drill = catalog.flights.event(found.event_id).is_drill
    shown = [mosaic for mosaic in catalog.tiles.mosaics(found.flight_id) if mosaic.published]
    frames = catalog.frames.list_for_flight(found.flight_id)
    lookups = _FlightLookups(
        levels=catalog.restrictions.levels(), newest=catalog.frames.find_latest_originals(found.flight_id)
    )
    status = Counter(frame.status for frame in frames)
    rejected = Counter(frame.reason for frame in frames if frame.status is FrameStatus.REJECTED)
    return {
        **_flight(catalog, found, shown, is_drill, lookups),
        "frames": {
            "used": status[FrameStatus.USED],
            "withdrawn": status[FrameStatus.WITHDRAWN],
            "rejected": dict(rejected),
        },
    }


class FlightMoveBody(BaseModel):
    """Event (name or id) that a flight belongs to; a new name creates one."""

    event: Annotated[str, Field(min_length=1, max_length=200)]


@router.put("/api/flights/{ref}/event")
def put_flight_event(
    ref: str, body: FlightMoveBody, principal: OperatorPrincipal, services: ServicesHere
) -> Json:
    """Move a flight to another event.

    Operators may move their own, analysts and administrators every one that they see. 409 while it is in the
    air, being ingested or finished, and where it was compared.
    """
    found = find_visible_flight(services.workspace.catalog, ref, principal.access_policy)
    only_of = None if principal.has_role(Role.ANALYST) else principal.name
    moved = move_flight(services.workspace, found.flight_id, body.event, principal.name, only_of=only_of)
    return {
        "flight_id": found.flight_id,
        "event": _event(moved.event),
        "former": _event(moved.former),
    }


@router.get("/api/flights/{ref}/footprints", dependencies=[Depends(require_viewer)])
def list_footprints(ref: str, catalog: CatalogHere, access_policy: AccessPolicyHere) -> Json:
    """List the footprints of the used frames, as GeoJSON."""
    found = find_visible_flight(catalog, ref, access_policy)
    return to_geojson_collection(
        to_geojson_feature(
            frame.footprint_wkb,
            {
                "frame_id": frame.frame_id,
                "source_name": frame.header.provenance.source_name,
                "captured": format_iso(frame.header.captured_ns),
                "gsd_m": frame.gsd_m,
            },
        )
        for frame in catalog.frames.list_for_flight(found.flight_id, FrameStatus.USED)
        if frame.footprint_wkb is not None
    )


@router.get("/api/flights/{ref}/gaps", dependencies=[Depends(require_viewer)])
def list_gaps(ref: str, catalog: CatalogHere, access_policy: AccessPolicyHere) -> Json:
    """List the gaps: ground inside the flight that no used photo sees.

    Largest first, as GeoJSON with areas.
    """
    found = find_visible_flight(catalog, ref, access_policy)
    used = catalog.frames.list_for_flight(found.flight_id, FrameStatus.USED)
    return to_geojson_collection(
        to_geojson_feature(hole.wkb, {"area_m2": hole.area_m2})
        for hole in find_coverage_gaps(used, found.work_crs)
    )


@router.get("/api/legends")
def list_legends() -> Json:
    """Return titles, colours and classes of the views `?layer=error|age|gsd|surface`."""
    return {layer.value: to_legend_json(legend) for layer, legend in LEGENDS.items()}


@router.get("/tilejson/{mosaic_id}")
def get_tilejson(
    mosaic_id: str,
    request: Request,
    catalog: CatalogHere,
    access_policy: AccessPolicyHere,
    revision: Annotated[int | None, Query(ge=0, lt=1_000_000_000)] = None,
) -> Json:
    """Return TileJSON 3.0 of the published revision of a mosaic, or of the one named."""
    published = catalog.tiles.mosaic(mosaic_id)
    found = catalog.flights.flight(published.flight_id)
    if access_policy.hides_flight_entirely(found):
        raise make_mosaic_not_found(mosaic_id)
    mosaic = find_shown_revision(catalog, published, revision)
    event = catalog.flights.event(found.event_id)
    base = str(request.base_url)
    named = "" if revision is None else f"?revision={revision}"
    return {
        "tilejson": "3.0.0",
        "name": format_title(found.name, event),
        "description": format_title(event.name, event),
        "scheme": "xyz",
        "tiles": [f"{base}tiles/{mosaic_id}/{{z}}/{{x}}/{{y}}{named}"],
        "minzoom": mosaic.min_zoom,
        "maxzoom": mosaic.base_zoom,
        "bounds": list(found.bounds_lonlat_deg or (-180.0, -85.05, 180.0, 85.05)),
        "flycam": {
            "layer": mosaic.layer.value,
            "revision": mosaic.revision,
            "captured": format_iso(found.last_ns),
        },
    }


@dataclass(frozen=True, slots=True)
class _FlightLookups:
    """Look-ups shared by one answer.

    levels: classification by flight; newest: provenance of the newest frame by flight; names: of communes, by
    code.
    """

    levels: Mapping[str, Classification]
    newest: Mapping[str, Provenance]
    names: dict[str, str] = field(default_factory=dict)


def _event(event: Event) -> Json:
    return {
        "event_id": event.event_id,
        "name": event.name,
        "kind": event.kind.value,
        "is_drill": event.is_drill,
        "risk_level": event.risk_level,
        "starts": format_iso_or_none(event.starts_ns),
        "ends": format_iso_or_none(event.ends_ns),
    }


def _flight(
    catalog: Catalog, flight: Flight, mosaics: list[MosaicInfo], is_drill: bool, lookups: _FlightLookups
) -> Json:
    coverage = catalog.boundaries.coverage(flight.flight_id)
    newest = lookups.newest.get(flight.flight_id)
    # the live one (0) always exists and has no record
    return {
        "flight_id": flight.flight_id,
        "name": flight.name,
        "event_id": flight.event_id,
        "is_drill": is_drill,
        "state": flight.state.value,
        "is_streamed": newest is not None and is_from_stream(newest),
        "classification": lookups.levels.get(flight.flight_id, Classification.OPEN).value,
        "gsd_m": flight.gsd_m,
        "first": format_iso(flight.first_ns),
        "last": format_iso(flight.last_ns),
        "bounds": flight.bounds_lonlat_deg,
        "operator": flight.operator,
        "recorded_s": round(catalog.recordings.sum_stored_seconds(flight.flight_id), 1),
        "work_crs": flight.work_crs,
        "vertical_datum": flight.vertical_datum,
        "warnings": [
            {
                "code": parse_warning_code(encoded),
                **describe_warning(encoded).to_fields(),
                **describe_warning_briefly(encoded).to_fields("brief"),
                **describe_warning_briefly(encoded, finished=True).to_fields("finished"),
            }
            for encoded in (
                *flight.warnings,
                *list_outdated_warnings(catalog, mosaics),
                *collect_readout_warnings(catalog, mosaics),
            )
        ],
        "mosaics": [
            {
                "mosaic_id": mosaic.mosaic_id,
                "layer": mosaic.layer.value,
                "revision": mosaic.revision,
                "base_zoom": mosaic.base_zoom,
                "min_zoom": mosaic.min_zoom,
                "seq": catalog.tiles.last_seq(mosaic.mosaic_id),
                "revisions": [
                    {
                        "revision": one.revision,
                        "state": one.state.value,
                        "made": format_iso(one.made_ns),
                        "why": one.why,
                        "has_surface": one.support_key is not None,
                        "options": one.options,
                        "stats": put_in_words(one.stats),
                        "reports": one.reports,
                    }
                    for one in catalog.revisions.list_for_mosaic(mosaic.mosaic_id)
                ],
            }
            for mosaic in mosaics
        ],
        "communes": [
            {
                "code": row.commune_code,
                "name": _look_up_commune_name(catalog, row.commune_code, lookups.names),
                "covered_pct": row.covered_pct,
                "covered_m2": row.covered_m2,
                "gsd_m": row.gsd_m,
                "first": format_iso(row.first_ns),
                "last": format_iso(row.last_ns),
            }
            for row in coverage
        ],
    }


def _look_up_commune_name(catalog: Catalog, code: str, known: dict[str, str]) -> str:
    """Return the name of a commune, in force or not; its code where unknown.

    Looked up once a request.
    """
    if code not in known:
        try:
            known[code] = catalog.boundaries.commune(code).name
        except NotFound:
            known[code] = code
    return known[code]
