"""Every request, counted and timed by the template of its address, and told to the log where there is one."""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from flycam.frame.moment import iso
from flycam.serve.bodies import App, Receive, Scope, Send
from flycam.serve.request_log import RequestLog

ACCOUNT = "flycam.account"
"""Where in a request's scope the name of whoever was let in is kept, by each door."""
TILE = "/tiles/{mosaic}/{z}/{x}/{y}"
_FILE = "/{file}"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS_S = (0.005, 0.02, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


class RequestFigures:
    """What `/metrics` tells of requests. Names of addresses are templates: there are as many as routes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "flycam_http_requests",
            "Requests by address and status",
            ["method", "address", "status"],
            registry=registry,
        )
        self.seconds = Histogram(
            "flycam_http_request_seconds",
            "From the head of a request to the end of its answer",
            ["address"],
            buckets=_BUCKETS_S,
            registry=registry,
        )
        self.running = Gauge("flycam_http_requests_running", "Requests under way", registry=registry)
        self._counters: dict[tuple[str, str, int], Any] = {}
        self._timers: dict[str, Any] = {}

    def note(self, method: str, address: str, status: int, seconds: float) -> None:
        """One that ended; status 0: cut off before it was answered."""
        key = (method if method in _METHODS else "other", address, status)
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = self.requests.labels(*key)
            self._timers.setdefault(address, self.seconds.labels(address))
        counter.inc()
        self._timers[address].observe(seconds)


class Watched:
    """The application, with all that is asked of it seen."""

    def __init__(self, app: App, figures: RequestFigures, log: RequestLog | None) -> None:
        self._app, self._figures, self._log = app, figures, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = size = 0

        async def send_seen(message: MutableMapping[str, Any]) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                size += len(message.get("body", b""))
            await send(message)

        at_ns, began_s = time.time_ns(), time.perf_counter()
        self._figures.running.inc()
        try:
            await self._app(scope, receive, send_seen)
        finally:
            seconds = time.perf_counter() - began_s
            self._figures.running.dec()
            address = address_of(scope)
            self._figures.note(scope["method"], address, status, seconds)
            if self._log is not None:
                self._log.note(
                    {
                        "time": iso(at_ns),
                        "method": scope["method"],
                        "address": address,
                        "status": status or None,
                        "ms": round(1e3 * seconds, 1),
                        "bytes": size,
                        "account": scope.get(ACCOUNT),
                        "from": (scope.get("client") or (None,))[0],
                    }
                )


def address_of(scope: Scope) -> str:
    """The template of a request's address, which holds nothing that whoever asks has written."""
    path: str = scope["path"]
    if path.startswith("/tiles/"):
        return TILE
    route = scope.get("route")
    return str(getattr(route, "path", "") or _FILE)
