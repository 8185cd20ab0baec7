"""Objects byte for byte, with ranges that browsers ask for (RFC 9110, 14.2)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Response
from fastapi.responses import StreamingResponse

from flycam.frame.text_normalization import is_printable
from flycam.store.base import ObjectStore

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
