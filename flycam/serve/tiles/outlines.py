"""Outlines of imaged ground, and coverage gaps.

A gap is ground inside a flight that no footprint of a used frame covers.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from fastapi import APIRouter, Depends, Request
from numpy.typing import NDArray
from shapely import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from flycam.access.visible_flights import iterate_offered_mosaics, list_visible_flights
from flycam.catalog.catalog import Catalog
from flycam.catalog.frames import parse_footprints
from flycam.catalog.revisions import LIVE_REVISION
from flycam.geodata.crs import WEB_MERCATOR, WGS84, make_point_transform
from flycam.http.guards import AccessPolicyHere, require_guest
from flycam.http.responses import Json, to_geojson_collection, to_geojson_feature
from flycam.http.services import CatalogHere
from flycam.model.flight import Flight, FlightState
from flycam.model.records import FrameRecord, FrameStatus, MosaicInfo
from flycam.mosaic.raster import trace_mosaic_footprint
from flycam.mosaic.tiles.writer import DAMAGE
from flycam.workspace import Workspace

# -- Coverage gaps ---------------------------------------------------------------------------------


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


router = APIRouter(dependencies=[Depends(require_guest)])

_TOLERANCE_SHARE = 0.02
"""Share of a median footprint's side: less than can be seen of the outline on a screen."""
_TOLERANCE_PX = 1.0
"""Pixels of the grid that a finished revision is traced on, whose corners need not be shown."""


def compute_imaged_outline(frames: Sequence[FrameRecord], work_crs: str) -> bytes | None:
    """Return polygons in WGS 84 (WKB) around the frames' footprints.

    None without footprints. Simplified by a fiftieth of the median footprint's side, and without the slivers
    that `find_coverage_gaps` leaves out too. A flight over two separate places has two polygons.
    """
    footprints, imaged = compute_imaged_ground(frames, work_crs)
    if imaged.is_empty:
        return None
    tolerance_m = _TOLERANCE_SHARE * float(np.sqrt(np.median(shapely.area(footprints))))
    return _outline(imaged, tolerance_m, compute_min_gap_m2(footprints), work_crs)


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
        return compute_imaged_outline(self._read_frames(flight, mosaic), flight.work_crs)

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


@router.get("/api/outlines")
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
        to_geojson_feature(wkb, _properties(mosaic)) for mosaic, wkb in drawn if wkb is not None
    )


def _find_log_line(catalog: Catalog, mosaic: MosaicInfo) -> int:
    """Return the log entry that an outline is valid for.

    0 for a finished revision, whose tiles never change.
    """
    return catalog.tiles.last_seq(mosaic.mosaic_id) if mosaic.revision == LIVE_REVISION else 0


def _properties(mosaic: MosaicInfo) -> Json:
    return {
        "flight_id": mosaic.flight_id,
        "mosaic_id": mosaic.mosaic_id,
        "layer": mosaic.layer.value,
        "revision": mosaic.revision,
        "on_show": mosaic.published,
    }


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
