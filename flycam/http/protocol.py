"""Requests and responses: bounds, errors, byte ranges, headers, metrics and log."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html
import json
import logging
import math
import os
import queue
import re
import sys
import threading
import time
from bisect import bisect_left
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    Sequence,
)
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import accumulate
from operator import countOf, itemgetter
from pathlib import Path
from typing import Annotated, Any, Protocol, TextIO, TypeVar
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import shapely
from fastapi import Depends, FastAPI, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from flycam.errors import (
    AccessDenied,
    CatalogUnavailable,
    FlycamError,
    InputUnusable,
    OptionUnusable,
    format_error,
    format_error_detail,
    get_http_status,
)
from flycam.messages import Message, _, join, pgettext
from flycam.model.records import BoundsLonLat
from flycam.model.text import is_printable, to_json_line, to_visible_lines
from flycam.model.time import format_iso, to_utc_ns
from flycam.storage.files import parse_bounded_json
from flycam.storage.keys import ObjectStore

# -- Errors as HTTP answers: status (`flycam.errors`), messages; no `try` in routes ----------------


_LOG = logging.getLogger("flycam.serve")
_SIGN_IN = _("Not signed in: enter an access token")
BAD_TOKEN = _("The access token is wrong or was revoked")
BAD_LINK = _("The link is spent or expired: ask for a new one")
BAD_GUEST_LINK = _("The guest link is wrong, expired or revoked: ask for a new one")
_BAD_REQUEST = _("The request is not valid")
_MAX_INVALID_VALUES = 20

_INVALID_VALUES: Mapping[str, Message] = {
    "missing": pgettext("invalid value: missing", "{text}"),
    "int_": pgettext("invalid value: an integer", "{text}"),
    "float_": pgettext("invalid value: a number", "{text}"),
    "finite_number": pgettext("invalid value: a finite number", "{text}"),
    "date_": pgettext("invalid value: a date", "{text}"),
    "bool_": pgettext("invalid value: true or false", "{text}"),
    "greater_than_equal": pgettext("invalid value: from a minimum", "{text}"),
    "greater_than": pgettext("invalid value: above a limit", "{text}"),
    "less_than_equal": pgettext("invalid value: up to a maximum", "{text}"),
    "less_than": pgettext("invalid value: below a limit", "{text}"),
    "string_too_long": pgettext("invalid value: too long", "{text}"),
    "string_too_short": pgettext("invalid value: too short", "{text}"),
    "literal_error": pgettext("invalid value: of choices", "{text}"),
    "enum": pgettext("invalid value: of choices", "{text}"),
    "json_": pgettext("invalid value: JSON", "{text}"),
}
"""Messages for invalid values, by the beginning of pydantic's error type. English has pydantic's own."""


def _describe_invalid_value(one: Mapping[str, Any]) -> Message:
    """Describe which value of a request is invalid, and why.

    Kinds of errors without a message here are only named, except in English.
    """
    problem = next(
        (message for kind, message in _INVALID_VALUES.items() if one["type"].startswith(kind)),
        pgettext("invalid value", "{text}"),
    )
    limits: dict[str, str | Message] = {
        f"vi_{name}": str(value) for name, value in one.get("ctx", {}).items()
    }
    others, __, last = str(limits.get("vi_expected", "")).rpartition(" or ")
    if others:
        limits["vi_expected"] = _("{others} or {last}", others=others, last=last)
    return pgettext(
        "invalid value",
        "{place}: {problem}",
        place=".".join(map(str, one["loc"])),
        place_vi=one["loc"][-1],
        problem=replace(problem, values={"text": one["msg"], **limits}),
    )


_STANDARDS = ("/ogc", "/stac")
"""Where the standards answer an unreadable parameter with 400 (OGC 17-069r4, 7.5.1)."""


class Refused(FlycamError):
    """Error with a status of HTTP alone, as body too large or wrong upload offset."""

    def __init__(self, status: int, message: Message, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})


class SignInRequired(Refused):
    """Sign-in is missing or wrong."""

    def __init__(self, message: Message = _SIGN_IN) -> None:
        super().__init__(401, message)


class TooManyAttempts(Refused):
    """Sign-in failed too often; `wait_s` seconds until the next try."""

    def __init__(self, wait_s: float) -> None:
        self.wait_s = max(math.ceil(wait_s), 1)
        super().__init__(
            429,
            _("Too many failed sign-ins: try again in {minutes} min", minutes=-(-self.wait_s // 60)),
            {"Retry-After": str(self.wait_s)},
        )


def read_language(query_string: bytes) -> str:
    """Return "en" if the query says lang=en, else "vi"."""
    return "en" if parse_qs(query_string.decode("latin-1")).get("lang") == ["en"] else "vi"


def build_error_payload(error: Exception, language: str) -> tuple[int, dict[str, str]]:
    """Return (status, JSON body) for an error.

    message: for a person to read; detail: the same without its heading, for a program that puts a heading of
    its own before it.
    """
    if isinstance(error, Refused):
        return error.status, {"error": type(error).__name__, "message": error.message.in_language(language)}
    if isinstance(error, CatalogUnavailable):
        # its own sentence tells where the database is, which is no business of viewers
        error = CatalogUnavailable(
            _("the catalogue is out of service; whoever keeps the server finds the cause with flycam doctor")
        )
    if isinstance(error, FlycamError):
        sentences = {"message": format_error(error), "detail": format_error_detail(error)}
        texts = {key: sentence.in_language(language) for key, sentence in sentences.items()}
        return get_http_status(error), {"error": type(error).__name__, **texts}
    internal = _("Internal error; it is in the server's log")
    return 500, {"error": "Internal", "message": internal.in_language(language)}


def build_error_response(
    error: Exception, scope: MutableMapping[str, Any]
) -> tuple[AsgiMessage, AsgiMessage]:
    """Return ASGI messages for an error, for the tile route in front of FastAPI."""
    status, body = build_error_payload(error, read_language(scope["query_string"]))
    data = to_json_line(body).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(data)).encode()),
        (b"cache-control", b"no-store"),
    ]
    return (
        {"type": "http.response.start", "status": status, "headers": headers},
        {"type": "http.response.body", "body": data},
    )


def build_sign_in_error(headers: Iterable[tuple[bytes, bytes]]) -> SignInRequired:
    """Return the error for missing credentials, or for a wrong token if one was sent."""
    return SignInRequired(BAD_TOKEN if any(name == b"authorization" for name, __ in headers) else _SIGN_IN)


def build_sign_in_response(scope: MutableMapping[str, Any]) -> tuple[AsgiMessage, AsgiMessage]:
    """Return ASGI messages that ask for a sign-in."""
    return build_error_response(build_sign_in_error(scope["headers"]), scope)


def _render_error_page(message: str, language: str) -> str:
    """Render an error as a page, for a person who followed a link."""
    to_map = _("To the map").in_language(language)
    escaped = html.escape(to_visible_lines(message))
    return f"""<!doctype html><html lang="{language}"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>flycam</title>
<body><h1>flycam</h1><p role="alert">{escaped}</p><p><a href="/">{to_map}</a></p></body></html>"""


class _EscapedJsonResponse(JSONResponse):
    def render(self, content: Mapping[str, str]) -> bytes:
        return to_json_line(content).encode()


def install_error_handlers(app: FastAPI) -> None:
    """Install one handler for all errors."""

    def respond(request: Request, error: Exception) -> Response:
        language = read_language(request.scope["query_string"])
        if isinstance(error, RequestValidationError):
            where = join(map(_describe_invalid_value, error.errors()[:_MAX_INVALID_VALUES]), "; ")
            message = join((_BAD_REQUEST, where), ": ")
            body = {"error": "BadRequest", "message": message.in_language(language)}
            return _EscapedJsonResponse(body, 400 if request.url.path.startswith(_STANDARDS) else 422)
        if isinstance(error, HTTPException):
            message = _("There is no such page") if error.status_code == 404 else _BAD_REQUEST
            return _EscapedJsonResponse(
                {"error": "Http", "message": message.in_language(language)}, error.status_code
            )
        status, body = build_error_payload(error, language)
        if status == 500:
            _LOG.error("%s %s", request.method, request.url.path, exc_info=error)
        headers = {"Cache-Control": "no-store"}
        if isinstance(error, Refused):
            headers.update(error.headers)
        if "text/html" in request.headers.get("accept", ""):
            return HTMLResponse(_render_error_page(body["message"], language), status, headers=headers)
        return _EscapedJsonResponse(body, status, headers=headers)

    for kind in (FlycamError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, respond)


# -- Requests: bounded bodies, query parameters, CORS, and same-origin check -----------------------
#
# Bodies are bounded in size and in waiting time. The bound of a JSON body stands at its route
# (`openapi_extra=limit_body(…)`, else MAX_BODY_BYTES), where clients read it too; routes with other bodies
# count for themselves.


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
            "almost nothing arrived for {seconds:.0f} s: ask for the offset, then send the rest",
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

_FOREIGN_SIGN_IN = _(
    "this sign-in was sent by a page of another site: open the link itself, and press its button"
)
_SAME_ORIGIN_VALUES = ("same-origin", "none")


def require_same_origin(request: Request, message: Message = _FOREIGN_SIGN_IN) -> None:
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


# -- Responses: byte ranges, content security policy, GeoJSON values, and links --------------------
#
# Objects of the store are sent byte for byte, with ranges that browsers ask for (RFC 9110, 14.2).


# -- Content-Security-Policy of our pages ----------------------------------------------------------
#
# No inline styles or scripts run, but for stylesheets of our own, each known by its hash.


MAP_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
"""Policy of every answer that sets no other."""

_STANDALONE_POLICY = (
    "default-src 'none'; style-src {styles}; img-src data:; base-uri 'none'; form-action 'none'; "
)
_STANDALONE_POLICY += "frame-ancestors 'none'"
_SHEET = re.compile(rb"<style>(.*?)</style>", re.DOTALL)


def build_standalone_policy(page: bytes) -> str:
    """Return the policy of a standalone page (HTML) with styles in its head."""
    sheets = _SHEET.findall(page.partition(b"</head>")[0])
    styles = [_hash_stylesheet(one) for one in sheets]
    return _STANDALONE_POLICY.format(styles=" ".join(styles) or "'none'")


def _hash_stylesheet(style: bytes) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(style).digest()).decode()}'"


# -- Catalogue values in JSON: times as ISO 8601 UTC, polygons as GeoJSON --------------------------


Json = dict[str, Any]

# of latitude; taken for longitude too, as the tolerance is approximate
_METRES_PER_DEGREE = 111_320.0
_DEGREE_GRID = 1e-6


def format_iso_or_none(ns: int | None) -> str | None:
    """Format a time as `format_iso`; None stays None."""
    return None if ns is None else format_iso(ns)


def to_geojson_geometry(wkb: bytes, tolerance_m: float = 0.0) -> tuple[Json, list[float]]:
    """Return (GeoJSON geometry, bounds) of a lon/lat WKB.

    Simplified by about `tolerance_m` on the ground.
    """
    shape = shapely.from_wkb(wkb)
    if tolerance_m > 0:
        shape = shapely.simplify(shape, tolerance_m / _METRES_PER_DEGREE, preserve_topology=True)
    rounded = shapely.set_precision(shape, _DEGREE_GRID, mode="pointwise")
    return json.loads(shapely.to_geojson(rounded)), [float(v) for v in shapely.bounds(shape)]


def to_geojson_feature(wkb: bytes, properties: Json, tolerance_m: float = 0.0) -> Json:
    """Return a GeoJSON feature with its bounding box."""
    shape, bounds = to_geojson_geometry(wkb, tolerance_m)
    return {"type": "Feature", "geometry": shape, "bbox": bounds, "properties": properties}


def to_geojson_collection(features: Iterable[Json]) -> Json:
    """Return a GeoJSON feature collection."""
    return {"type": "FeatureCollection", "features": list(features)}


# -- Links of OGC and STAC documents, and addresses made from free names ---------------------------


JSON, GEOJSON = "application/json", "application/geo+json"
OPENAPI = "application/vnd.oai.openapi+json;version=3.1"


def build_link(rel: str, href: str, media_type: str = JSON, title: str = "", **more: object) -> Json:
    """Build one link; without `title` it has none."""
    made: Json = {"rel": rel, "href": href, "type": media_type, **more}
    return {**made, "title": title} if title else made


def quote_path_segment(name: str) -> str:
    """Quote a name as one segment of an address."""
    return quote(name, safe="@")


def get_base_url(request: Request) -> str:
    """Return this server's address as the client calls it, with a trailing slash."""
    return str(request.base_url)


def build_current_url(request: Request, **changes: object) -> str:
    """Build the requested address with some parameters changed."""
    query: Mapping[str, object] = {**request.query_params, **changes}
    path = request.url.path.lstrip("/")
    return f"{get_base_url(request)}{quote_path(path)}{'?' if query else ''}{urlencode(query)}"


def quote_path(path: str) -> str:
    """Quote a path, keeping its slashes."""
    return quote(path, safe="/@")


# -- Objects byte for byte, with ranges (RFC 9110, 14.2) -------------------------------------------


SHA256_PATTERN = "^[0-9a-f]{64}$"
"""Pattern of a path parameter that is a SHA-256."""

BRIEF_CACHE_HEADERS = {"Cache-Control": "private, max-age=300", "Vary": "Authorization, Cookie"}
"""Headers of a small image that a browser may keep for this account, not for the next one that signs in."""

_CHUNK_BYTES = 1 << 20
# Python reads no number of thousands of digits
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class RangeRequest:
    """Range and If-Range headers of a request."""

    range_header: str | None
    if_range: str | None

    def resolve(self, size: int, etag: str) -> tuple[int, int]:
        """Return (start, stop) in bytes.

        All of the object where the header is not one plain range, or where it is to continue another object:
        If-Range names another tag, or a date, and none is sent here (RFC 9110, 13.1.5).
        """
        is_this = self.if_range is None or self.if_range.strip() == f'"{etag}"'
        match = _RANGE.fullmatch(self.range_header.strip()) if self.range_header and is_this else None
        if match is None or match.groups() == ("", ""):
            return 0, size
        first, last = match.groups()
        if not first:
            return max(0, size - int(last)), size
        return int(first), min(size, int(last) + 1 if last else size)


def _read_range_request(
    range_header: Annotated[str | None, Header(alias="range")] = None,
    if_range: Annotated[str | None, Header()] = None,
) -> RangeRequest:
    return RangeRequest(range_header, if_range)


RangeHere = Annotated[RangeRequest, Depends(_read_range_request)]


def build_unsatisfiable_response(size: int) -> Response:
    """Return the answer 416 to a range that holds no byte."""
    return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})


def stream_object(
    store: ObjectStore,
    key: str,
    size: int,
    byte_range: tuple[int, int],
    *,
    name: str,
    etag: str,
    media_type: str,
    is_saved: bool = False,
) -> Response:
    """Stream an object of the store, or the requested part of it (start, stop).

    is_saved: browsers save it as a file instead of showing it.
    """
    start, stop = byte_range
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Length": str(stop - start),
        "Content-Disposition": f'{"attachment" if is_saved else "inline"}; filename="{_to_ascii_name(name)}"',
        "Cache-Control": "private, no-cache",
        "ETag": f'"{etag}"',
        "X-Content-Type-Options": "nosniff",
    }
    is_whole = (start, stop) == (0, size)
    if not is_whole:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return StreamingResponse(
        _iterate_bytes(store, key, start, stop),
        status_code=200 if is_whole else 206,
        headers=headers,
        media_type=media_type,
    )


def _iterate_bytes(store: ObjectStore, key: str, start: int, stop: int) -> Iterator[bytes]:
    while start < stop:
        chunk = store.get_range(key, start, min(_CHUNK_BYTES, stop - start))
        if not chunk:
            return
        start += len(chunk)
        yield chunk


def _to_ascii_name(name: str) -> str:
    return "".join(c if c.isascii() and is_printable(c) and c not in '"\\' else "_" for c in name)


# -- Metrics and log of requests, by the template of their address ---------------------------------


# -- Request log: a line of JSON each, with time, account, status and duration ---------------------
#
# Never a credential: of an address only its template is written, of all else nothing.


STANDARD_OUTPUT = "-"
_MAX_QUEUED = 20_000


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
