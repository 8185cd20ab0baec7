"""Requests: bounded bodies, query parameters, CORS, and same-origin check.

Bodies are bounded in size and in waiting time. The bound of a JSON body stands at its route
(`openapi_extra=limit_body(…)`, else MAX_BODY_BYTES), where clients read it too; routes with other bodies
count for themselves.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, MutableMapping, Sequence
from datetime import datetime
from functools import partial
from itertools import accumulate
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from fastapi import Request
from starlette.middleware.cors import CORSMiddleware

from flycam.errors import AccessDenied, InputUnusable
from flycam.http.errors import Refused
from flycam.messages import Message, _
from flycam.model.records import BoundsLonLat
from flycam.model.time import to_utc_ns
from flycam.storage.files import parse_bounded_json

# -- Bounds in a request's query, and how many outlines one answer holds ---------------------------


MAX_OUTLINE_BYTES = 32 << 20
"""Outlines in one answer: two million corners."""


class _Outlined(Protocol):
    @property
    def wkb(self) -> bytes: ...


HasOutline = TypeVar("HasOutline", bound=_Outlined)


def take_fitting_outlines(things: Sequence[HasOutline]) -> list[HasOutline]:
    """Return the first features, as many as one answer holds outlines of."""
    sizes = accumulate(len(one.wkb) for one in things)
    return [one for one, size in zip(things, sizes, strict=True) if size <= MAX_OUTLINE_BYTES]


def parse_bounds(text: str | None) -> BoundsLonLat | None:
    """Parse "west,south,east,north" in degrees. Raises InputUnusable otherwise."""
    if text is None:
        return None
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError as error:
        raise InputUnusable(_("bounds={text}: give west,south,east,north in degrees", text=text)) from error
    if not (west <= east and south <= north):
        raise InputUnusable(_("bounds={text}: west must not exceed east, nor south north", text=text))
    return west, south, east, north


# -- Bodies of requests, bounded in size and in waiting time ---------------------------------------


AsgiMessage = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[AsgiMessage]]
Send = Callable[[AsgiMessage], Awaitable[None]]
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
            "almost nothing arrived for {seconds:.0f} s: ask where to go on, then send the rest",
            seconds=IDLE_TIMEOUT_S,
        ),
    )


def read_byte_count_header(request: Request, name: str) -> int:
    """Read a number of bytes from a header. Raises Refused 400."""
    value = request.headers.get(name, "")
    if not (value.isascii() and value.isdigit() and len(value) < 16):
        raise Refused(400, _("{name}: must be a whole number of bytes", name=name))
    return int(value)


class BodyReader:
    """Reader of one body, with limits on waiting.

    IDLE_TIMEOUT_S for each part, and IDLE_TIMEOUT_S beyond what all of them take at MIN_BYTES_PER_S. Time
    spent on a part between two waits is not held against the client.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._left_s = IDLE_TIMEOUT_S

    async def receive_part(self) -> AsgiMessage:
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


# -- CORS: reading by pages of sites that the operator named ---------------------------------------
#
# By the Fetch standard. A named page may read what its own token opens. Cookies are never taken from it, and
# it can write nothing.


_SEARCH_PATH = "/stac/search"
_ALLOWED_HEADERS = ("Authorization", "If-None-Match", "Range")
_EXPOSED_HEADERS = ("Accept-Ranges", "Content-Disposition", "Content-Range", "ETag")
_PREFLIGHT_TTL_S = 3600


class CorsApp:
    """Application whose answers these origins may read ("https://gis.laocai.gov.vn")."""

    def __init__(self, app: App, origins: Collection[str]) -> None:
        self._reading = _allow_origins(app, origins, ("GET", "HEAD"))
        self._searching = _allow_origins(app, origins, ("GET", "HEAD", "POST"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_search = scope["type"] == "http" and scope["path"] == _SEARCH_PATH
        await (self._searching if is_search else self._reading)(scope, receive, send)


def _allow_origins(app: App, origins: Collection[str], methods: tuple[str, ...]) -> App:
    return CORSMiddleware(
        app,
        allow_origins=sorted(origins),
        allow_methods=methods,
        allow_headers=_ALLOWED_HEADERS,
        expose_headers=_EXPOSED_HEADERS,
        max_age=_PREFLIGHT_TTL_S,
    )


# -- Same-origin check of sign-in forms and of requests without a body -----------------------------
#
# A page of another site could send it too, and the browser would come back signed in to an account which that
# site chose. A request without a body can be sent by any page, too. Browsers state whose page it was;
# programs state nothing, and need no cookie.


FORM_HEADERS = {"Referrer-Policy": "same-origin"}
"""Headers of a page whose form is checked: without it browsers send "null", as from another site's page."""

CROSS_SITE_REQUEST = _(
    "this was asked by a page of another site: open this server's own page and press the button there"
)
"""Message where nobody signs in."""

_SIGN_IN = _("this sign-in was sent by a page of another site: open the link itself, and press its button")
_SAME_ORIGIN_VALUES = ("same-origin", "none")


def require_same_origin(request: Request, message: Message = _SIGN_IN) -> None:
    """Raise AccessDenied for a request from a page of another site."""
    if not is_same_origin(request.headers):
        raise AccessDenied(message)


def is_same_origin(headers: Mapping[str, str]) -> bool:
    """Return True unless a page of another site sent these headers."""
    fetch_site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if fetch_site is not None:
        return fetch_site in _SAME_ORIGIN_VALUES
    # over http browsers state only the origin
    try:
        return origin is None or urlsplit(origin).netloc == headers.get("host")
    except ValueError:  # not an address: "http://[x"
        return False


# -- Time parameter of requests: the moment of the requested state ---------------------------------


_MILLISECOND_NS = 1_000_000


def parse_until(until: datetime | None) -> int | None:
    """Return UTC nanoseconds of the end of the requested millisecond; None: now.

    Times are shown cut off to the millisecond. Without a zone it is Vietnam's. Raises InputUnusable if it is
    too far from now.
    """
    if until is None:
        return None
    try:
        return to_utc_ns(until) // _MILLISECOND_NS * _MILLISECOND_NS + _MILLISECOND_NS - 1
    except OverflowError as error:
        raise InputUnusable(
            _("until={until}: that is too far from now; give a day of the event", until=until.isoformat())
        ) from error
