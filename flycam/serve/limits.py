"""Limits on connections before a request is known, and on failed sign-ins.

Bytes, time and connections are limited. The head of a request, the lines around the parts of its body, and
the reading of an answer are bounded here; bodies themselves in `http.protocol`. Without these bounds a client
that sends a header that never ends, a letter a minute, or requests a video and never reads it, holds the
event loop or a connection for ever.

Failed sign-ins are counted by address (`Attempts`).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, NoReturn

import httptools
from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from flycam.messages import Message, _

HEAD_TIMEOUT_S = 20.0
"""From the connection, or the answer before, to the last line of a head. Between requests idle connections
are ended sooner (uvicorn's keep-alive, 5 s)."""
MAX_HEAD_BYTES = 64 << 10
MAX_LINE_BYTES = 8 << 10
"""Bound of the target, of each header but the cookies, and of a line around the parts of a body: parsing
splits, decodes or copies them on the event loop."""
MAX_HEADER_FIELDS = 100
"""Headers of a request, and names in its query: each costs a call, however short it is."""
MAX_COOKIES = 256
"""Browsers keep 180 of one host, of 4 KB each, and send them in one header."""
MAX_PIPELINED = 4
"""Requests sent ahead of their answers; browsers send none."""
MIN_CHUNK_BYTES = 8
"""Bytes of a body for each byte of the lines around its chunks, beyond MAX_LINE_BYTES: a chunk of one byte
costs as much as one of a megabyte."""
_AROUND_CHUNK_BYTES = len(b"1\r\n\r\n")
MAX_UNREAD_BYTES = 64 << 20
"""Bytes of a body that continues after its answer: a client that reads only after sending all of it would not
learn why it was refused. Our own senders send 8 MiB at once, others a whole photo or the beginning of a
video."""
READER_TIMEOUT_S = 60.0
MIN_READER_BYTES = 48 << 10
"""Bytes of an answer that must have gone within READER_TIMEOUT_S: a line of 8 kbit/s carries them."""
MAX_CONNECTIONS_PER_NETWORK = 256
"""Connections of one network (`to_client_network`): a room of twenty browsers opens half as many."""
_IPV6_SITE_BITS = 64
_LOCAL_IPV6_NETWORKS = (ip_network("fe80::/10"), ip_network("fc00::/7"))
"""Link-local and unique-local addresses: all of a building have one /64."""

ENDED_CONNECTIONS: Counter[str] = Counter(
    dict.fromkeys(
        (
            "body behind its answer",
            "handshake",
            "head",
            "large head",
            "no HTTP",
            "pipelined requests",
            "reader",
            "too many connections",
            "upgrade with a body",
        ),
        0,
    )
)
"""Connections of this process that were ended, by what was too slow or too large; shown in `/metrics`."""


def to_client_network(address: str) -> str:
    """Return the network of one household or office on the internet: of IPv6 the /64.

    Else the address itself: also of a local network's own (fe80::, fd00::), where everybody is in one /64,
    and one who guesses would bar all others.
    """
    ip = _parse_ip(address)
    if ip is None:
        return address
    if ip.version == 4 or any(ip in one for one in _LOCAL_IPV6_NETWORKS):
        return str(ip)
    prefix = int(ip) >> _IPV6_SITE_BITS << _IPV6_SITE_BITS
    return str(ip.ipv4_mapped or ip_network((prefix, _IPV6_SITE_BITS)))


def _parse_ip(address: str) -> IPv4Address | IPv6Address | None:
    """Parse an address without the interface behind "%"; None if it is none."""
    try:
        return ip_address(address.partition("%")[0])
    except ValueError:
        return None


class Connections:
    """Count of a server's open connections, in all and by network."""

    def __init__(self, max_open: int, proxies: Iterable[str]) -> None:
        """Count at most `max_open`; proxies: addresses and networks of many people each."""
        self._max_open = max_open
        self._proxies = [ip_network(one, strict=False) for one in proxies]
        self._open = 0
        self._by_network: Counter[str] = Counter()

    def admit(self, address: str) -> bool:
        """Count one more connection and return True; False if there are too many."""
        network = to_client_network(address)
        if self._open >= self._max_open:
            return False
        if self._by_network[network] >= MAX_CONNECTIONS_PER_NETWORK and not self._is_proxy(address):
            return False
        self._open += 1
        self._by_network[network] += 1
        return True

    def release(self, address: str) -> None:
        """Forget a connection that was admitted."""
        network = to_client_network(address)
        self._open -= 1
        self._by_network[network] -= 1
        if not self._by_network[network]:
            del self._by_network[network]

    def _is_proxy(self, address: str) -> bool:
        ip = _parse_ip(address)
        return ip is not None and any(ip in one for one in self._proxies)


class _LimitExceeded(Exception):
    """Bound passed while the parser ran; the connection is ended already."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """HTTP/1.1 protocol of uvicorn with bounds on time and bytes."""

    def __init__(self, release: Callable[[], None], **kwargs: Any) -> None:
        """Create the protocol; `release` is called once when the connection is lost."""
        super().__init__(**kwargs)
        self._release = release
        self._head_timer: asyncio.TimerHandle | None = None
        self._reader_timer: asyncio.TimerHandle | None = None
        self._cycles: list[RequestResponseCycle] = []
        """Requests that are not answered yet; uvicorn knows only the last one."""
        self._head_bytes = self._fields = 0
        self._is_head = True
        self._is_last = self._is_ended = False
        self._around_bytes = 0
        """Bytes of this request outside its body."""
        self._line_bytes = 0
        """Bytes since the last of its body: httptools copies an unfinished line with each piece of it."""
        self._body_bytes = self._unread_bytes = self._chunks = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timer(self._head_timer)
        self._cancel_timer(self._reader_timer)
        self._release()
        self._notify_disconnect()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_last or self.transport.is_closing():
            return
        self._around_bytes += len(data)
        self._line_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        is_long_line = self._line_bytes > MAX_LINE_BYTES and not self._is_head
        if is_long_line or self._around_bytes > MAX_HEAD_BYTES + self._body_bytes // MIN_CHUNK_BYTES:
            self._end("large head")

    def send_400_response(self, msg: str) -> None:
        # a bound that was passed ends parsing as garbage does, and is counted already
        if not self.transport.is_closing():
            ENDED_CONNECTIONS["no HTTP"] += 1
            super().send_400_response(msg)
            self._await_reader()

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= MAX_PIPELINED:
            self._exceed("pipelined requests")
        self._head_bytes = self._around_bytes = self._fields = 0
        self._body_bytes = self._unread_bytes = self._chunks = 0
        self._is_head = True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MAX_LINE_BYTES or self.url.count(b"&") > MAX_HEADER_FIELDS:
            self._refuse(
                414,
                _(
                    "the address is longer than {max_bytes} bytes or names more than {max_values} values",
                    max_bytes=MAX_LINE_BYTES,
                    max_values=MAX_HEADER_FIELDS,
                ),
            )
        self._count_head_bytes(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_head_bytes(name, value)
        self._fields += 1
        if self._fields > MAX_HEADER_FIELDS:
            self._exceed("large head")
        if not self._is_head:
            return  # a trailer: it would join the headers that were authenticated already
        super().on_header(name, value)
        is_cookie = self.headers[-1][0] == b"cookie"
        if value.count(b";") > MAX_COOKIES if is_cookie else len(value) > MAX_LINE_BYTES:
            self._refuse(
                431,
                _(
                    "a header is longer than {max_bytes} bytes, or holds more than {max_cookies} cookies",
                    max_bytes=MAX_LINE_BYTES,
                    max_cookies=MAX_COOKIES,
                ),
            )

    def on_headers_complete(self) -> None:
        self._cancel_timer(self._head_timer)
        self._is_head = False
        self._line_bytes = 0
        if self.url[:1] != b"/":
            # prefer `GET http://host/…` to the Host line (RFC 9112, 3.2.2); uvicorn drops the host that the
            # target names
            target = httptools.parse_url(self.url)
            name = target.host or b""
            host = (b"[%b]" % name if b":" in name else name) + (b":%d" % target.port if target.port else b"")
            lines = [one for one in self.headers if one[0] == b"host"]
            # two Host lines are refused, whatever the target says
            if len(lines) < 2:
                self.headers[:] = [(b"host", host), *(one for one in self.headers if one[0] != b"host")]
        super().on_headers_complete()
        if self.parser.should_upgrade():
            # Answer an upgrade request in HTTP/1.1, and read nothing behind it. The parser takes what
            # follows for another request, its body too: another client that shares this connection by way
            # of a proxy would get the answer to that.
            if any(name in (b"transfer-encoding", b"content-length") for name, __ in self.headers):
                self._exceed("upgrade with a body")
            self.cycle.keep_alive = False
            self._is_last = True
        self._cycles = [*(one for one in self._cycles if not one.response_complete), self.cycle]

    def on_body(self, body: bytes) -> None:
        self._around_bytes -= len(body)
        self._body_bytes += len(body)
        self._line_bytes = 0
        super().on_body(body)
        if self.cycle.response_complete:
            self._unread_bytes += len(body)
            if self._unread_bytes > MAX_UNREAD_BYTES:
                self._exceed("body behind its answer")

    def on_chunk_header(self) -> None:
        """Count one more chunk, while the parser runs: one piece may hold 40 000 of them."""
        self._chunks += 1
        allowed = MAX_LINE_BYTES + self._body_bytes // MIN_CHUNK_BYTES
        if self._chunks * _AROUND_CHUNK_BYTES > allowed:
            self._exceed("large head")

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._await_reader()
        elif self.cycle.response_complete:
            # the rest of a refused body has no longer than a head
            self._await_head()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._await_reader()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_reader()

    def resume_writing(self) -> None:
        self._cancel_timer(self._reader_timer)
        super().resume_writing()
        if self.transport.is_closing():
            self._await_reader()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Start on a request, unless bytes that came with it ended the connection."""

        async def answer(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
            if not cycle.disconnected:
                await app(scope, receive, send)

        super()._start_asgi_task(cycle, answer)

    def _await_head(self) -> None:
        self._cancel_timer(self._head_timer)
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._end, "head")

    def _await_reader(self) -> None:
        """Wait until the answer has been sent.

        Also on a connection that is closing, which no further answer would find paused.
        """
        if self.transport.is_closing():
            # no further head comes, and slow readers get longer
            self._cancel_timer(self._head_timer)
        self._cancel_timer(self._reader_timer)
        waiting_bytes = self.transport.get_write_buffer_size()
        self._reader_timer = self.loop.call_later(READER_TIMEOUT_S, self._check_reader, waiting_bytes)

    def _check_reader(self, waited_bytes: int) -> None:
        if waited_bytes - self.transport.get_write_buffer_size() >= MIN_READER_BYTES:
            # slow but moving: an answer of megabytes on a slow link
            self._await_reader()
        else:
            self._end("reader")

    def _count_head_bytes(self, *parts: bytes) -> None:
        self._head_bytes += sum(map(len, parts))
        if self._head_bytes > MAX_HEAD_BYTES:
            self._exceed("large head")

    def _refuse(self, status: int, message: Message) -> NoReturn:
        """End the connection from within the parser, with the reason as an answer.

        There is none where another answer is under way, whose place it would take.
        """
        if any(not one.response_complete for one in self._cycles):
            self._exceed("large head")
        ENDED_CONNECTIONS["large head"] += 1
        body = f"{message.in_language('vi')}\n{message}\n".encode()
        lines = (
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        )
        head = b"".join(b"%b: %b\r\n" % line for line in (*self.server_state.default_headers, *lines))
        self.transport.write(STATUS_LINE[status] + head + b"\r\n" + body)
        self.transport.close()
        self._await_reader()
        raise _LimitExceeded(str(message))

    def _exceed(self, why: str) -> NoReturn:
        """End the connection from within the parser, which then reads no further."""
        self._end(why)
        raise _LimitExceeded(why)

    def _end(self, why: str) -> None:
        """Count and abort.

        Also a closing connection, which would wait for a client that never reads.
        """
        if self._is_ended:
            return
        self._is_ended = True
        ENDED_CONNECTIONS[why] += 1
        self._notify_disconnect()
        self.transport.abort()

    def _notify_disconnect(self) -> None:
        """Tell the application that the client is gone.

        What it writes to a closed connection then raises.
        """
        for cycle in self._cycles:
            cycle.disconnected = True
            cycle.message_event.set()

    def _cancel_timer(self, timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()


# -- Failed sign-ins per address, in this process --------------------------------------------------


ATTEMPT_WINDOW_S = 300.0
MAX_FAILURES_PER_ADDRESS = 10
_MAX_ADDRESSES = 4096


class Attempts:
    """Failures of the last five minutes by one sign-in method, by address.

    Memory is bounded; safe to use from several threads. A token has far too many values to be guessed at any
    pace; the limit keeps the log readable and the catalogue free of a flood. Only failures count, and a right
    token is never kept waiting for the failures of others: a control room is one address, and so is a proxy.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._by_address: OrderedDict[str, deque[float]] = OrderedDict()

    def get_wait_s(self, address: str) -> float:
        """Return the seconds until this address may fail again; 0 if it may now."""
        with self._lock:
            return self._wait_s(to_client_network(address), self._clock())

    def note_failure(self, address: str) -> float:
        """Note a failure of this address, and return 0.

        Where it has failed too often already nothing is noted: returns the seconds until it may fail again.
        """
        network, now = to_client_network(address), self._clock()
        with self._lock:
            wait_s = self._wait_s(network, now)
            if wait_s > 0.0:
                return wait_s
            self._by_address.setdefault(network, deque(maxlen=MAX_FAILURES_PER_ADDRESS)).append(now)
            self._by_address.move_to_end(network)
            while len(self._by_address) > _MAX_ADDRESSES:
                self._by_address.popitem(last=False)
            return 0.0

    def undo_failure(self, address: str) -> None:
        """Take back a noted failure of this address: it was neither right nor wrong."""
        with self._lock:
            failures = self._by_address.get(to_client_network(address))
            if failures:
                failures.pop()

    def clear_failures(self, address: str) -> None:
        """Forget the failures of this address."""
        with self._lock:
            self._by_address.pop(to_client_network(address), None)

    def _wait_s(self, network: str, now: float) -> float:
        failures = self._by_address.get(network, deque())
        while failures and failures[0] <= now - ATTEMPT_WINDOW_S:
            failures.popleft()
        return failures[0] + ATTEMPT_WINDOW_S - now if len(failures) >= MAX_FAILURES_PER_ADDRESS else 0.0
