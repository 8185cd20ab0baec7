"""`/healthz` for whoever restarts the server, `/metrics` for whoever watches it."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from flycam.errors import StorageTrouble
from flycam.serve.guard import viewer
from flycam.serve.services import Services
from flycam.serve.tiles import TileCounts
from flycam.store import keys

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
