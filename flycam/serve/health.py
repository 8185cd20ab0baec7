"""`/healthz` for whoever restarts the server, `/metrics` for whoever watches it, `/api/machine` for whoever
has to keep it in power and with room on its disk."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from flycam.errors import StorageTrouble
from flycam.serve.guard import viewer
from flycam.serve.services import Services
from flycam.serve.tiles import TileCounts
from flycam.store import keys
from flycam.store.room import LOW_BYTES

router = APIRouter()


@router.get("/healthz")
def healthz(request: Request) -> JSONResponse:
    """200 when catalogue and store answer, else 503; names which of them does not, and nothing more."""
    services: Services = request.app.state.services
    checks = {"catalog": True, "store": True}
    try:
        services.workspace.catalog.flights.events()
    except StorageTrouble:
        checks["catalog"] = False
    try:
        services.workspace.store.exists(keys.probe("does-not-exist"))
    except StorageTrouble:
        checks["store"] = False
    return JSONResponse(checks, status_code=200 if all(checks.values()) else 503)


@router.get("/api/machine", dependencies=[Depends(viewer)])
def machine(request: Request) -> dict[str, Any]:
    """battery: percent, in_use, left_s (null: not told), or null: none is told of; low_power; disk:
    free_bytes of the one with the least room, is_low (flights delete what can be made again), or null: nobody
    can tell."""
    services: Services = request.app.state.services
    power = services.workspace.power
    told = power.battery
    battery = told and {"percent": round(told.percent), "in_use": told.is_in_use, "left_s": told.left_s}
    place = services.workspace.scarcest()
    disk = place and {"free_bytes": place.free_bytes, "is_low": place.free_bytes < LOW_BYTES}
    return {"battery": battery, "low_power": power.is_low, "disk": disk}


@router.get("/metrics", dependencies=[Depends(viewer)])
def metrics(request: Request) -> Response:
    """Counters in Prometheus' text format."""
    counts: TileCounts = request.app.state.tile_counts
    services: Services = request.app.state.services
    registry = CollectorRegistry()
    answers = Gauge("flycam_tile_answers_total", "Tile answers by kind", ["kind"], registry=registry)
    for kind in ("hits", "made", "unchanged", "refused", "failed"):
        answers.labels(kind).set(getattr(counts, kind))
    flights = Gauge("flycam_flights", "Flights in the catalogue by state", ["state"], registry=registry)
    for flight in services.workspace.catalog.flights.flights():
        flights.labels(flight.state.value).inc()
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
