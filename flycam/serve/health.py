"""`/healthz` for whoever restarts the server, `/metrics` for whoever watches it, `/api/machine` for whoever
has to keep it in power and with room on its disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Info, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flycam import __version__
from flycam.errors import StorageTrouble
from flycam.serve.guard import viewer
from flycam.serve.packing import Packing
from flycam.serve.patience import ENDED
from flycam.serve.services import Services, ServicesHere
from flycam.serve.tiles import TileCounts
from flycam.store import keys
from flycam.store.room import LOW_BYTES

router = APIRouter()


@router.get("/healthz")
def healthz(services: ServicesHere) -> JSONResponse:
    """200 when catalogue and store answer, else 503; names which of them does not, and nothing more."""
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
def machine(services: ServicesHere) -> dict[str, Any]:
    """battery: percent, in_use, left_s (null: not told), or null: none is told of; low_power; disk:
    free_bytes of the one with the least room, is_low (flights delete what can be made again), or null: nobody
    can tell."""
    power = services.workspace.power
    told = power.battery
    battery = told and {"percent": round(told.percent), "in_use": told.is_in_use, "left_s": told.left_s}
    place = services.workspace.scarcest()
    disk = place and {"free_bytes": place.free_bytes, "is_low": place.free_bytes < LOW_BYTES}
    return {"battery": battery, "low_power": power.is_low, "disk": disk}


@router.get("/metrics", dependencies=[Depends(viewer)])
def metrics(request: Request) -> Response:
    """Counters in Prometheus' text format."""
    registry: CollectorRegistry = request.app.state.figures
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def tell_figures(
    registry: CollectorRegistry, services: Services, counts: TileCounts, packing: Packing
) -> None:
    """Let a registry tell what is known of the house, worked out when it is asked."""
    ProcessCollector(registry=registry)
    Info("flycam_build", "The program that serves", registry=registry).info({"version": __version__})
    registry.register(_House(services, counts, packing))


class _House(Collector):
    def __init__(self, services: Services, counts: TileCounts, packing: Packing) -> None:
        self._services, self._counts, self._packing = services, counts, packing

    def collect(self) -> Iterator[Metric]:
        tiles = CounterMetricFamily("flycam_tile_answers", "Tile answers by kind", labels=["kind"])
        for kind in ("hits", "made", "unchanged", "refused", "failed"):
            tiles.add_metric([kind], getattr(self._counts, kind))
        yield tiles
        ended = CounterMetricFamily(
            "flycam_connections_ended", "Connections ended, by what was too slow or too large", labels=["why"]
        )
        for why in ("head", "large head", "reader"):
            ended.add_metric([why], ENDED[why])
        yield ended
        if self._services.request_log is not None:
            lost = self._services.request_log.lost
            yield CounterMetricFamily("flycam_request_log_lost", "Lines that could not be written", lost)
        yield from self._machine()
        yield from self._catalog()

    def _machine(self) -> Iterator[Metric]:
        place = None
        with suppress(StorageTrouble):
            place = self._services.workspace.scarcest()
        if place is not None:
            yield GaugeMetricFamily(
                "flycam_disk_free_bytes", "On the disk with the least room", place.free_bytes
            )
        battery = self._services.workspace.power.battery
        if battery:
            yield GaugeMetricFamily("flycam_battery_percent", "Charge of the battery", battery.percent)

    def _catalog(self) -> Iterator[Metric]:
        """What lies in the catalogue; where that does not answer, this alone is said."""
        try:
            flights = self._services.workspace.catalog.flights.flights()
            packs = self._packing.states()
        except StorageTrouble:
            flights = None
        yield GaugeMetricFamily("flycam_catalog_up", "Whether the catalogue answers", flights is not None)
        if flights is not None:
            states = [flight.state.value for flight in flights]
            yield self._counted("flycam_flights", "Flights in the catalogue by state", states)
            yield self._counted("flycam_packs", "Meeting packs by state", packs)

    @staticmethod
    def _counted(name: str, what: str, states: Iterable[str]) -> Metric:
        family = GaugeMetricFamily(name, what, labels=["state"])
        for state, count in sorted(Counter(states).items()):
            family.add_metric([state], count)
        return family
