"""Outline of the ground that a flight imaged: the union of its used frames' footprints."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import shapely
from fastapi import APIRouter, Depends, Request
from shapely import MultiPolygon, Polygon

from flycam.catalog.catalog import Catalog
from flycam.catalog.records import FrameRecord, FrameStatus
from flycam.frame.flight import Flight, FlightState
from flycam.geodata.crs import WGS84, point_transform
from flycam.serve.flights import CatalogHere
from flycam.serve.guard import viewer
from flycam.serve.missed import imaged_ground, smallest_hole_m2
from flycam.serve.wording import Json, collection, feature

router = APIRouter(dependencies=[Depends(viewer)])

_TOLERANCE_SHARE = 0.02
"""Of a median footprint's side: below what anyone sees of the outline on a screen."""


def imaged_outline(frames: Sequence[FrameRecord], work_crs: str) -> bytes | None:
    """Polygons in WGS 84 (WKB) around all ground in the frames' footprints; None without footprints.

    Simplified by a fiftieth of the median footprint's side, and without the slivers that `holes_between`
    leaves out too. A flight over two separate places has two polygons.
    """
    footprints, whole = imaged_ground(frames, work_crs)
    if whole.is_empty:
        return None
    tolerance_m = _TOLERANCE_SHARE * float(np.sqrt(np.median(shapely.area(footprints))))
    simple = shapely.simplify(whole, tolerance_m, preserve_topology=True)
    smallest_m2 = smallest_hole_m2(footprints)
    parts = [
        Polygon(part.exterior, [ring for ring in part.interiors if Polygon(ring).area >= smallest_m2])
        for part in shapely.get_parts(simple)
        if isinstance(part, Polygon)
    ]
    outline = parts[0] if len(parts) == 1 else MultiPolygon(parts)
    written: bytes = shapely.to_wkb(shapely.transform(outline, point_transform(work_crs, WGS84)))
    return written


class Outlines:
    """Outlines by flight, made again once the flight's tiles moved. Safe to use from several threads."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._kept: dict[str, tuple[int, bytes | None]] = {}
        self._lock = threading.Lock()

    def of(self, flight: Flight, seq: int) -> bytes | None:
        """The outline (WKB) as of the log line `seq`; None where no frame is used."""
        with self._lock:
            made_at, outline = self._kept.get(flight.flight_id, (-1, None))
        if made_at == seq:
            return outline
        used = self._catalog.frames.of_flight(flight.flight_id, FrameStatus.USED)
        outline = imaged_outline(used, flight.work_crs)
        with self._lock:
            self._kept[flight.flight_id] = (seq, outline)
        return outline


@router.get("/api/outlines")
def outlines(request: Request, catalog: CatalogHere, event: str | None = None) -> Json:
    """Ground that each flight imaged, as GeoJSON: what lies outside was not flown by it."""
    event_id = catalog.flights.event(event).event_id if event else None
    known: Outlines = request.app.state.outlines
    seqs: dict[str, int] = {}
    for mosaic in catalog.tiles.mosaics():
        newest = catalog.tiles.last_seq(mosaic.mosaic_id)
        seqs[mosaic.flight_id] = max(seqs.get(mosaic.flight_id, 0), newest)
    shown = [one for one in catalog.flights.flights(event_id) if one.state is not FlightState.WITHDRAWN]
    drawn = [(one, known.of(one, seqs.get(one.flight_id, 0))) for one in shown]
    return collection(feature(wkb, {"flight_id": one.flight_id}) for one, wkb in drawn if wkb is not None)
