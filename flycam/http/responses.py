"""Responses: byte ranges, content security policy, GeoJSON values, and links.

Objects of the store are sent byte for byte, with ranges that browsers ask for (RFC 9110, 14.2).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import shapely
from fastapi import Depends, Header, Request, Response
from fastapi.responses import StreamingResponse

from flycam.model.text import is_printable
from flycam.model.time import format_iso
from flycam.storage.keys import ObjectStore

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


def format_iso_or_none(ns: int | None) -> str | None:
    """Format a time as `format_iso`; None stays None."""
    return None if ns is None else format_iso(ns)


def to_geojson_geometry(wkb: bytes, tolerance_m: float = 0.0, decimals: int = 6) -> tuple[Json, list[float]]:
    """Return (GeoJSON geometry, bounds) of a lon/lat WKB.

    Simplified by about `tolerance_m` on the ground.
    """
    shape = shapely.from_wkb(wkb)
    if tolerance_m > 0:
        shape = shapely.simplify(shape, tolerance_m / _METRES_PER_DEGREE, preserve_topology=True)
    rounded = shapely.set_precision(shape, 10.0**-decimals, mode="pointwise")
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
