"""Metrics and log of requests, by the template of their address."""

from __future__ import annotations

import logging
import os
import queue
import re
import sys
import threading
import time
from bisect import bisect_left
from collections.abc import Awaitable, Iterator, MutableMapping
from itertools import accumulate
from operator import countOf, itemgetter
from pathlib import Path
from typing import Any, TextIO

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from flycam.errors import OptionUnusable
from flycam.http.errors import Refused, build_error_response
from flycam.http.requests import App, Receive, Scope, Send
from flycam.messages import _
from flycam.model.text import to_json_line
from flycam.model.time import format_iso

# -- Request log: a line of JSON each, with time, account, status and duration ---------------------
#
# Never a credential: of an address only its template is written, of all else nothing.


STANDARD_OUTPUT = "-"
_MAX_QUEUED = 20_000
_LOG = logging.getLogger("flycam.serve")


class RequestLog:
    """Request log, written behind the requests by a thread of its own.

    A slow disk delays no request, and a full one ends nothing. Lines that could not be written are counted. A
    file that was moved away (by logrotate) is reopened under its name.
    """

    def __init__(self, to: str) -> None:
        """Open the log `to`: "-" or a file, which is appended to.

        Raises OptionUnusable where it cannot be opened.
        """
        self._path = None if to == STANDARD_OUTPUT else Path(to)
        self._file = self._open_file()
        self._waiting: queue.Queue[dict[str, Any] | None] = queue.Queue(_MAX_QUEUED)
        self._has_complained = False
        self.lost = 0
        self._thread = threading.Thread(target=self._run, name="request-log", daemon=True)
        self._thread.start()

    def note(self, line: dict[str, Any]) -> None:
        """Queue a line to be written."""
        try:
            self._waiting.put_nowait(line)
        except queue.Full:
            self.lost += 1

    def close(self) -> None:
        """Write what waits, and close."""
        self._waiting.put(None)
        self._thread.join(10.0)
        if self._path is not None:
            self._file.close()

    def _open_file(self) -> TextIO:
        if self._path is None:
            return sys.stdout
        try:
            return self._path.open("a", encoding="utf-8")
        except OSError as error:
            raise OptionUnusable(
                _(
                    "{path}: the log of requests cannot be written ({strerror}); name a file "
                    "in a folder that is there, or - for standard output",
                    path=self._path,
                    strerror=error.strerror,
                )
            ) from error

    def _run(self) -> None:
        is_over = False
        while not is_over:
            lines = [self._waiting.get()]
            while len(lines) < 1000 and not self._waiting.empty():
                lines.append(self._waiting.get_nowait())
            is_over = lines[-1] is None
            entries = [line for line in lines if line is not None]
            try:
                self._reopen_if_rotated()
                self._file.write("".join(f"{to_json_line(line)}\n" for line in entries))
                self._file.flush()
            except (OSError, OptionUnusable, ValueError) as error:
                self.lost += len(entries)
                if not self._has_complained:
                    self._has_complained = True
                    _LOG.warning("lines of the log of requests are lost: %s", error)

    def _reopen_if_rotated(self) -> None:
        if self._path is None:
            return
        try:
            is_same = os.path.samestat(self._path.stat(), os.fstat(self._file.fileno()))
        except FileNotFoundError:
            is_same = False
        if not is_same:
            self._file.close()
            self._file = self._open_file()


# -- Metrics of requests ---------------------------------------------------------------------------


ACCOUNT_SCOPE_KEY = "flycam.account"
"""Key in a request's scope of the authenticated account's name, set by each guard."""
TILE_TEMPLATE = "/tiles/{mosaic}/{z}/{x}/{y}"
_FILE = "/{file}"
_NAME = itemgetter(0)
_CONTROL = re.compile("[\x00-\x1f\x7f]")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS_S = (0.005, 0.02, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


class RequestMetrics(Collector):
    """Metrics of requests. Labels are templates of addresses: as many as routes.

    Noted by the event loop alone, in plain numbers, and put into the exposition format only when scraped: the
    library's own counters lock and look up at each note, a tenth of what a tile costs.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.running = 0
        self._times: dict[tuple[str, str, int], _DurationHistogram] = {}
        registry.register(self)

    def note(self, method: str, address: str, status: int, seconds: float) -> None:
        """Note a request that ended; status 0: cut off before it was answered."""
        times = self._times.get((method, address, status))
        if times is None:
            known = method if method in _METHODS else "other"
            times = self._times.setdefault((known, address, status), _DurationHistogram())
        times.note(seconds)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics in the Prometheus exposition format.

        Source: https://prometheus.io/docs/instrumenting/exposition_formats.
        """
        requests = CounterMetricFamily(
            "flycam_http_requests", "Requests by address and status", labels=["method", "address", "status"]
        )
        by_address: dict[str, _DurationHistogram] = {}
        for (method, address, status), times in list(self._times.items()):
            requests.add_metric([method, address, str(status)], times.count)
            by_address.setdefault(address, _DurationHistogram()).add(times)
        yield requests
        seconds = HistogramMetricFamily(
            "flycam_http_request_seconds",
            "From the head of a request to the end of its answer",
            labels=["address"],
        )
        for address, times in by_address.items():
            seconds.add_metric([address], *times.expose())
        yield seconds
        yield GaugeMetricFamily("flycam_http_requests_running", "Requests under way", self.running)


class _DurationHistogram:
    """Durations of requests with the same labels, by bucket."""

    __slots__ = ("_counts", "_sum_s")

    def __init__(self) -> None:
        self._counts = [0] * (len(_BUCKETS_S) + 1)
        self._sum_s = 0.0

    def note(self, seconds: float) -> None:
        self._counts[bisect_left(_BUCKETS_S, seconds)] += 1
        self._sum_s += seconds

    @property
    def count(self) -> int:
        """Number of requests."""
        return sum(self._counts)

    def add(self, others: _DurationHistogram) -> None:
        """Add the counts of another histogram."""
        self._counts = [own + more for own, more in zip(self._counts, others._counts, strict=True)]
        self._sum_s += others._sum_s

    def expose(self) -> tuple[list[tuple[str, float]], float]:
        """Return [(upper bound as text, number within it)] and the seconds in all."""
        bounds = [*(str(bound) for bound in _BUCKETS_S), "+Inf"]
        within = accumulate(self._counts)
        return [(bound, float(count)) for bound, count in zip(bounds, within, strict=True)], self._sum_s


class MeteredApp:
    """Application whose requests are metered; one that names two hosts is refused."""

    def __init__(self, app: App, figures: RequestMetrics, log: RequestLog | None) -> None:
        self._app, self._figures, self._log = app, figures, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = size = 0

        def send_seen(message: MutableMapping[str, Any]) -> Awaitable[None]:
            nonlocal status, size
            if not status and message["type"] == "http.response.start":
                status = message["status"]
            elif log is not None:
                size += len(message.get("body", b""))
            return send(message)

        refusal = _find_host_error(scope)
        log = self._log
        at_ns, began_s = 0 if log is None else time.time_ns(), time.perf_counter()
        self._figures.running += 1
        try:
            if refusal is None:
                await self._app(scope, receive, send_seen)
            else:
                for message in build_error_response(refusal, scope):
                    await send_seen(message)
        finally:
            seconds = time.perf_counter() - began_s
            self._figures.running -= 1
            address = find_address_template(scope)
            self._figures.note(scope["method"], address, status, seconds)
            if log is not None:
                log.note(
                    {
                        "time": format_iso(at_ns),
                        "method": scope["method"],
                        "address": address,
                        "status": status or None,
                        "ms": round(1e3 * seconds, 1),
                        "bytes": size,
                        "account": scope.get(ACCOUNT_SCOPE_KEY),
                        "from": (scope.get("client") or (None,))[0],
                    }
                )


def _find_host_error(scope: Scope) -> Refused | None:
    """Return why a request is invalid, whatever it asks for; None if it is valid."""
    hosts = countOf(map(_NAME, scope["headers"]), b"host")
    if hosts > 1 or (hosts == 0 and scope["http_version"] != "1.0"):
        # RFC 9112, 3.2: a proxy may have authorised one Host line and forward the other
        return Refused(
            400,
            _("the request names no host, or two: send one Host line; a proxy must replace it, not add one"),
        )
    if _CONTROL.search(scope["path"]):
        # a route's pattern ends before a last line end, a proxy's rule for the address does not
        return Refused(400, _("the address holds control characters"))
    return None


def find_address_template(scope: Scope) -> str:
    """Return the template of a request's address, free of text from the client."""
    path: str = scope["path"]
    if path.startswith("/tiles/"):
        return TILE_TEMPLATE
    route = scope.get("route")
    return str(getattr(route, "path", "") or _FILE)
