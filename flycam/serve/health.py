"""Health endpoints: `/healthz`, `/metrics` and `/api/machine`.

For restarting the server, for monitoring, and for keeping it in power and with room on its disk.
"""

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
from flycam.access.policy import AccessPolicy, list_visible_flights
from flycam.errors import StorageFailed
from flycam.http.guards import Services, ServicesHere, ViewerPrincipal, require_viewer
from flycam.reports.routes import PackQueue
from flycam.serve.limits import ENDED_CONNECTIONS
from flycam.serve.tiles.tile_route import TileCounts
from flycam.storage import keys
from flycam.storage.files import LOW_SPACE_BYTES

router = APIRouter()


@router.get("/healthz")
def check_health(services: ServicesHere) -> JSONResponse:
    """Return 200 when catalogue and store answer, else 503.

    The answer names which of them does not, and nothing more.
    """
    checks = {"catalog": True, "store": True}
    try:
        services.workspace.catalog.flights.events()
    except StorageFailed:
        checks["catalog"] = False
    try:
        services.workspace.store.exists(keys.format_probe_key("does-not-exist"))
    except StorageFailed:
        checks["store"] = False
    return JSONResponse(checks, status_code=200 if all(checks.values()) else 503)


@router.get("/api/machine", dependencies=[Depends(require_viewer)])
def get_machine_state(services: ServicesHere) -> dict[str, Any]:
    """Return the state of battery and disk.

    battery: percent, in_use, left_s (null: unknown); null without a known battery. disk: free_bytes of the
    fullest one, is_low (flights then evict derived data); null: unknown.
    """
    power = services.workspace.power
    info = power.battery
    battery = info and {"percent": round(info.percent), "in_use": info.is_in_use, "left_s": info.remaining_s}
    place = services.workspace.find_fullest_disk()
    disk = place and {"free_bytes": place.free_bytes, "is_low": place.free_bytes < LOW_SPACE_BYTES}
    return {"battery": battery, "low_power": power.is_low, "disk": disk}


@router.get("/metrics")
def get_metrics(request: Request, services: ServicesHere, principal: ViewerPrincipal) -> Response:
    """Return metrics in Prometheus' text format.

    Flights and packs are those that the account may see.
    """
    of_node: CollectorRegistry = request.app.state.figures
    of_visitor = CollectorRegistry()
    of_visitor.register(_CatalogCollector(services, request.app.state.packing, principal.access_policy))
    text = generate_latest(of_node) + generate_latest(of_visitor)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


def register_metrics(registry: CollectorRegistry, services: Services, counts: TileCounts) -> None:
    """Register metrics of the node, computed when they are scraped."""
    ProcessCollector(registry=registry)
    Info("flycam_build", "The program that serves", registry=registry).info({"version": __version__})
    registry.register(_NodeCollector(services, counts))


class _NodeCollector(Collector):
    def __init__(self, services: Services, counts: TileCounts) -> None:
        self._services, self._counts = services, counts

    def collect(self) -> Iterator[Metric]:
        tiles = CounterMetricFamily("flycam_tile_answers", "Tile answers by kind", labels=["kind"])
        for kind in ("hits", "made", "unchanged", "refused", "failed"):
            tiles.add_metric([kind], getattr(self._counts, kind))
        yield tiles
        ended = CounterMetricFamily(
            "flycam_connections_ended", "Connections ended, by what was too slow or too large", labels=["why"]
        )
        for why, count in ENDED_CONNECTIONS.items():
            ended.add_metric([why], count)
        yield ended
        if self._services.request_log is not None:
            lost = self._services.request_log.lost
            yield CounterMetricFamily("flycam_request_log_lost", "Lines that could not be written", lost)
        place = None
        with suppress(StorageFailed):
            place = self._services.workspace.find_fullest_disk()
        if place is not None:
            yield GaugeMetricFamily(
                "flycam_disk_free_bytes", "On the disk with the least room", place.free_bytes
            )
        battery = self._services.workspace.power.battery
        if battery:
            yield GaugeMetricFamily("flycam_battery_percent", "Charge of the battery", battery.percent)


class _CatalogCollector(Collector):
    """Metrics of the catalogue, as one principal sees it.

    Where the catalogue does not answer, only `flycam_catalog_up` is given.
    """

    def __init__(self, services: Services, packing: PackQueue, policy: AccessPolicy) -> None:
        self._services, self._packing, self._access_policy = services, packing, policy

    def collect(self) -> Iterator[Metric]:
        try:
            flights = list_visible_flights(self._services.workspace.catalog, self._access_policy)
            packs = self._packing.all()
        except StorageFailed:
            flights = None
        yield GaugeMetricFamily("flycam_catalog_up", "Whether the catalogue answers", flights is not None)
        if flights is not None:
            states = [flight.state.value for flight in flights]
            seen = {flight.flight_id for flight in flights}
            of_seen = [one.state.value for one in packs if seen.issuperset(one.flights_seen)]
            yield self._counted("flycam_flights", "Flights in the catalogue by state", states)
            yield self._counted("flycam_packs", "Meeting packs by state", of_seen)

    @staticmethod
    def _counted(name: str, what: str, states: Iterable[str]) -> Metric:
        family = GaugeMetricFamily(name, what, labels=["state"])
        for state, count in sorted(Counter(states).items()):
            family.add_metric([state], count)
        return family
