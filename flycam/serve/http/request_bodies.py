"""Bodies of requests: bounded in size and in waiting time.

The bound of a JSON body stands at its route (`openapi_extra=limit_body(…)`, else MAX_BODY_BYTES), where
clients read it too; routes with other bodies count for themselves.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any

from fastapi import Request

from flycam.frame.payload_decoding import parse_bounded_json
from flycam.messages import _
from flycam.serve.http.errors import Refused

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY_BYTES = 256 << 10
"""Bound of a route that names no other: a polygon of ten thousand corners fits."""
MAX_SIGN_IN_BYTES = 4 << 10
"""Bound of a route without authentication."""
MAX_LARGE_BYTES = 4 << 20
"""Bound of a route that takes images, heads of photos, or the file names of a memory card."""
MAX_JSON_VALUES = 1 << 18
"""Values in a JSON body: each takes some 100 bytes of memory."""
IDLE_TIMEOUT_S = 30.0
"""Longest wait for the next part of a body."""
MIN_BYTES_PER_S = 256.0
"""Least rate over a whole body, IDLE_TIMEOUT_S aside: a client that sends a byte now and then is not waited
for without end."""
_SHORT_BYTES = 32 << 10
"""JSON up to this size is parsed on the event loop, within a millisecond."""


class ClientDisconnected(Refused):
    """Client gone in the middle of its body; nobody reads the answer."""

    def __init__(self) -> None:
        super().__init__(400, _("the line was cut"))


def build_too_large_error(max_bytes: int) -> Refused:
    """Return the error 413."""
    return Refused(
        413,
        _("the request is larger than the {max_bytes} bytes that fit here", max_bytes=max_bytes),
    )


def build_too_slow_error() -> Refused:
    """Return the error 408."""
    return Refused(
        408,
        _(
            "nothing, or next to nothing, came for {seconds:.0f} s: ask where to go on, then send the rest",
            seconds=IDLE_TIMEOUT_S,
        ),
    )


def read_byte_count_header(request: Request, name: str) -> int:
    """Read a number of bytes from a header. Raises Refused 400."""
    said = request.headers.get(name, "")
    if not (said.isascii() and said.isdigit() and len(said) < 16):
        raise Refused(400, _("{name}: must be a whole number of bytes", name=name))
    return int(said)


class BodyReader:
    """Reader of one body, with limits on waiting.

    IDLE_TIMEOUT_S for each part, and IDLE_TIMEOUT_S beyond what all of them take at MIN_BYTES_PER_S. Time
    spent on a part between two waits is not held against the client.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._left_s = IDLE_TIMEOUT_S

    async def receive_part(self) -> Message:
        """Return the next part. Raises Refused 408."""
        began_s = time.monotonic()
        try:
            message = await asyncio.wait_for(self._receive(), max(min(self._left_s, IDLE_TIMEOUT_S), 0.0))
        except TimeoutError as error:
            raise build_too_slow_error() from error
        self._left_s += len(message.get("body", b"")) / MIN_BYTES_PER_S - (time.monotonic() - began_s)
        return message


async def iterate_body(request: Request) -> AsyncIterator[bytes]:
    """Yield a body as it comes.

    Raises ClientDisconnected, and Refused 408 where it comes too slowly (`BodyReader`).
    """
    pace = BodyReader(request.receive)
    more = True
    while more:
        message = await pace.receive_part()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        more = message.get("more_body", False)
        if body := message.get("body", b""):
            yield body


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Wait for a whole body. Raises ClientDisconnected, Refused 408 and 413."""
    length = request.headers.get("content-length", "0")
    if not length.isdigit() or int(length) > max_bytes:
        raise build_too_large_error(max_bytes)
    body = bytearray()
    async for part in iterate_body(request):
        body += part
        if len(body) > max_bytes:
            raise build_too_large_error(max_bytes)
    return bytes(body)


def limit_body(max_bytes: int) -> dict[str, Any]:
    """Return `openapi_extra` with this bound of a route's JSON body."""
    return {"x-max-bytes": max_bytes}


class ReadRequest(Request):
    """Request whose body was read, and whose JSON is counted before it is parsed."""

    def __init__(self, request: Request, body: bytes) -> None:
        super().__init__(request.scope, request.receive)
        self._read = body

    async def body(self) -> bytes:
        """Return the body."""
        return self._read

    async def json(self) -> Any:
        """Parse the body, a large one in a thread. Raises ValueError."""
        parse = partial(parse_bounded_json, self._read, MAX_JSON_VALUES)
        return await asyncio.to_thread(parse) if len(self._read) > _SHORT_BYTES else parse()
