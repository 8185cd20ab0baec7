"""What a connection may cost before its request is known: bytes, time, and how many an address holds.

The head of a request, the lines around the parts of its body, and the reading of an answer are bounded here;
bodies themselves in `answering.bodies`. Without it whoever sends a header that never ends, a letter a minute,
or asks for a film and never reads it, holds the event loop or a connection for ever.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

HEAD_S = 20.0
"""From the connection, or the answer before, to the last line of a head. Behind it idle connections are
ended sooner (uvicorn's keep-alive, 5 s)."""
HEAD_BYTES = 64 << 10
MAX_FIELDS = 100
"""Headers of a request: each costs the parser a call, however short it is."""
MAX_PIPELINED = 16
"""Requests sent ahead of their answers; browsers send none."""
LEAST_CHUNK_BYTES = 8
"""Bytes of a body for each byte of the lines around its chunks, beyond HEAD_BYTES: a chunk of one byte costs
as much as one of a megabyte."""
READER_S = 60.0
"""Within which some of what waits to be sent must have gone: 48 kB, which a line of 8 kbit/s carries."""
MAX_CONNECTIONS_EACH = 256
"""Connections of one network (`network_of`): a room of twenty browsers opens half as many."""
_ONE_OFFICE_BITS = 64

ENDED: Counter[str] = Counter()
"""Connections of this process that were ended, by what was too slow or too large; `/metrics` tells."""


def network_of(address: str) -> str:
    """Return the network that one household or office has: of IPv6 the /64, else the address itself."""
    ip = _parse_ip(address)
    if ip is None:
        return address
    if ip.version == 4:
        return str(ip)
    prefix = int(ip) >> _ONE_OFFICE_BITS << _ONE_OFFICE_BITS
    return str(ip.ipv4_mapped or ip_network((prefix, _ONE_OFFICE_BITS)))


def _parse_ip(address: str) -> IPv4Address | IPv6Address | None:
    """Parse an address, without the interface behind "%"; None for what is none."""
    try:
        return ip_address(address.partition("%")[0])
    except ValueError:
        return None


class Connections:
    """Count the open connections of one server, in all and by network."""

    def __init__(self, max_open: int, proxies: Iterable[str]) -> None:
        """Count at most `max_open`; proxies: addresses and networks, behind which many people are one."""
        self._max_open = max_open
        self._proxies = [ip_network(one, strict=False) for one in proxies]
        self._open = 0
        self._by_network: Counter[str] = Counter()

    def admit(self, address: str) -> bool:
        """Count one more connection and return True; where there are too many return False."""
        network = network_of(address)
        if self._open >= self._max_open:
            return False
        if self._by_network[network] >= MAX_CONNECTIONS_EACH and not self._is_proxy(address):
            return False
        self._open += 1
        self._by_network[network] += 1
        return True

    def release(self, address: str) -> None:
        """Forget a connection that was admitted."""
        network = network_of(address)
        self._open -= 1
        self._by_network[network] -= 1
        if not self._by_network[network]:
            del self._by_network[network]

    def _is_proxy(self, address: str) -> bool:
        ip = _parse_ip(address)
        return ip is not None and any(ip in one for one in self._proxies)


class _Excess(Exception):
    """A bound was passed in the middle of what the parser was given; the connection is ended already."""


class PatientProtocol(HttpToolsProtocol):
    """HTTP/1.1 as uvicorn speaks it, with an end to waiting."""

    def __init__(self, release: Callable[[], None], **kwargs: Any) -> None:
        """release: called once when the connection is lost."""
        super().__init__(**kwargs)
        self._release = release
        self._head_timer: asyncio.TimerHandle | None = None
        self._reader_timer: asyncio.TimerHandle | None = None
        self._cycles: list[RequestResponseCycle] = []
        """Requests that are not answered yet; uvicorn knows the last one alone."""
        self._head_bytes = 0
        self._is_head = True
        self._is_last = False
        self._around_bytes = 0
        """Of this request, that were no body: httptools copies an unfinished line with each piece of it."""
        self._body_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop(self._head_timer)
        self._stop(self._reader_timer)
        self._release()
        self._leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_last or self.transport.is_closing():
            return
        self._around_bytes += len(data)
        super().data_received(data)
        if self._around_bytes > HEAD_BYTES + self._body_bytes // LEAST_CHUNK_BYTES:
            self._end("large head")

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():  # a bound that was passed ends the parsing as garbage does
            ENDED["no HTTP"] += 1
            super().send_400_response(msg)

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= MAX_PIPELINED:
            self._exceed("pipelined requests")
        self._head_bytes = self._around_bytes = self._body_bytes = 0
        self._is_head = True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(name, value)
        if not self._is_head:
            return  # a trailer: it would join the headers that the door has read already
        if len(self.headers) >= MAX_FIELDS:
            self._exceed("large head")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._stop(self._head_timer)
        self._is_head = False
        if self.url[:1] != b"/":
            self._take_host_of_target()
        super().on_headers_complete()
        if self.parser.should_upgrade():
            self._decline_upgrade()
        self._cycles = [*(one for one in self._cycles if not one.response_complete), self.cycle]

    def on_body(self, body: bytes) -> None:
        self._around_bytes -= len(body)
        self._body_bytes += len(body)
        super().on_body(body)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._await_head()  # what is left of a body that was refused is waited for no longer than that

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stop(self._reader_timer)
        self._reader_timer = self.loop.call_later(READER_S, self._end, "reader")

    def resume_writing(self) -> None:
        self._stop(self._reader_timer)
        super().resume_writing()

    def _take_host_of_target(self) -> None:
        """Believe `GET http://host/…` before the Host line (RFC 9112, 3.2.2); uvicorn drops what it names."""
        target = httptools.parse_url(self.url)
        name = target.host or b""
        host = (b"[%b]" % name if b":" in name else name) + (b":%d" % target.port if target.port else b"")
        lines = [one for one in self.headers if one[0] == b"host"]
        if len(lines) < 2:  # two are refused, whatever the target says
            self.headers[:] = [(b"host", host), *(one for one in self.headers if one[0] != b"host")]

    def _decline_upgrade(self) -> None:
        """Answer a request to go on in another protocol in this one, and read nothing behind it.

        The parser takes what follows for another request, its body too: whoever shares this connection by way
        of a proxy would get the answer to that.
        """
        if any(name in (b"transfer-encoding", b"content-length") for name, _ in self.headers):
            self._exceed("upgrade with a body")
        self.cycle.keep_alive = False
        self._is_last = True

    def _await_head(self) -> None:
        self._stop(self._head_timer)
        self._head_timer = self.loop.call_later(HEAD_S, self._end, "head")

    def _count(self, *parts: bytes) -> None:
        self._head_bytes += sum(map(len, parts))
        if self._head_bytes > HEAD_BYTES:
            self._exceed("large head")

    def _exceed(self, why: str) -> None:
        """End the connection from within the parser, which then reads no further."""
        self._end(why)
        raise _Excess(why)

    def _end(self, why: str) -> None:
        if not self.transport.is_closing():
            ENDED[why] += 1
            self._leave()
            self.transport.abort()

    def _leave(self) -> None:
        """Let the application know that nobody is there: what it writes to a closed connection raises."""
        for cycle in self._cycles:
            cycle.disconnected = True
            cycle.message_event.set()

    def _stop(self, timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()
