"""Download of a file from a host that the settings allow, and from no other.

Nobody who can name an address may make this machine send requests into its own network. So only hosts that an
administrator listed are asked, over http(s), without redirects, proxies, passwords or compressed bodies, and
within limits of time and size.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from flycam.errors import DiskFull, SourceUnreadable, StorageFailed
from flycam.frame.safe_url import strip_url_credentials
from flycam.frame.text_normalization import is_printable
from flycam.frame.timestamp import to_utc_ns
from flycam.geodata.vector_validation import MAX_BYTES
from flycam.messages import _
from flycam.store.disk_space import DISK_FULL_ERRNOS

MAX_FETCH_S = 60.0
_CONNECT_TIMEOUT_S = 10.0
_BLOCK_BYTES = 1 << 20
_MIME_SUFFIX = {
    "application/geo+json": ".geojson",
    "application/json": ".geojson",
    "application/geopackage+sqlite3": ".gpkg",
    "application/vnd.google-earth.kml+xml": ".kml",
    "application/vnd.google-earth.kmz": ".kmz",
    "application/zip": ".zip",
}
_SUFFIXES = frozenset({".geojson", ".json", ".gpkg", ".kml", ".kmz", ".zip"})


def is_url(source: str) -> bool:
    """Return True if a layer's source is an address on the network, not a file."""
    return source.lower().startswith(("http://", "https://"))


def fetch_url(
    address: str,
    allowed: Collection[str],
    folder: Path,
    *,
    max_bytes: int = MAX_BYTES,
    timeout_s: float = MAX_FETCH_S,
    clock_s: Callable[[], float] = time.monotonic,
) -> tuple[Path, int | None]:
    """Fetch an address into a new file in `folder`.

    Returns (file, UTC nanoseconds of Last-Modified or None). `allowed` holds hosts, "host" or "host:port", as
    FLYCAM_LAYER_HOSTS lists them. Raises SourceUnreadable for a host that is not listed, a redirect, any
    status but 200, and more than `max_bytes` or `timeout_s`; DiskFull, StorageFailed.
    """
    place = _validate_url(address, allowed)
    name = strip_url_credentials(address)
    until_s = clock_s() + timeout_s
    pool = urllib3.PoolManager(
        retries=False,
        timeout=urllib3.Timeout(connect=min(_CONNECT_TIMEOUT_S, timeout_s), read=_CONNECT_TIMEOUT_S),
    )
    try:
        answer = pool.request(
            "GET",
            address,
            # a redirect could name a host that is not allowed
            redirect=False,
            preload_content=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "flycam"},
        )
        try:
            if answer.status != 200:
                raise _make_status_error(name, answer.status)
            target = folder / f"layer{_suffix(place.path, answer.headers.get('Content-Type', ''))}"
            size = 0
            with target.open("wb") as out:
                while block := answer.read1(_BLOCK_BYTES, decode_content=False):
                    size += len(block)
                    if size > max_bytes or clock_s() > until_s:
                        raise _make_size_error(name, max_bytes, timeout_s)
                    out.write(block)
            return target, _modified_ns(answer.headers.get("Last-Modified"))
        finally:
            answer.close()
    except HTTPError as error:
        raise SourceUnreadable(
            _(
                "{name}: does not answer ({error_name}): check the line and the address",
                name=name,
                error_name=type(error).__name__,
            )
        ) from error
    except OSError as error:
        kind = DiskFull if error.errno in DISK_FULL_ERRNOS else StorageFailed
        raise kind(
            _(
                "{folder}: cannot be written ({strerror}); make room and run again",
                folder=folder,
                strerror=error.strerror,
            )
        ) from error
    finally:
        pool.clear()


def _validate_url(address: str, allowed: Collection[str]) -> SplitResult:
    try:
        place = urlsplit(address)
        port = place.port
    except ValueError as error:
        raise _not_allowed(strip_url_credentials(address)[:80]) from error
    host = (place.hostname or "").lower()
    named = {one.strip().lower() for one in allowed if one.strip()}
    usual = {"http": 80, "https": 443}.get(place.scheme)
    listed = f"{host}:{port or usual}" in named or (host in named and port in (None, usual))
    plain = is_printable(address) and not any(c.isspace() or c == "\\" for c in address)
    if usual is None or not host or not listed or not plain or "@" in place.netloc:
        raise _not_allowed(f"{place.scheme}://{host}"[:80])
    return place


def _suffix(path: str, content_type: str) -> str:
    """Choose the file suffix, which decides the reader.

    It is that of the address, else by Content-Type.
    """
    suffix = Path(path).suffix.lower()
    if suffix in _SUFFIXES:
        return suffix
    return _MIME_SUFFIX.get(content_type.partition(";")[0].strip().lower(), ".geojson")


def _modified_ns(header: str | None) -> int | None:
    try:
        return None if header is None else to_utc_ns(parsedate_to_datetime(header))
    except (ValueError, OverflowError):
        return None


def _not_allowed(name: str) -> SourceUnreadable:
    return SourceUnreadable(
        _("{name}: this host may not be asked: an administrator lists hosts in FLYCAM_LAYER_HOSTS", name=name)
    )


def _make_status_error(name: str, status: int) -> SourceUnreadable:
    if 300 <= status < 400:
        return SourceUnreadable(
            _(
                "{name}: sends on to another address ({status}), which is not followed: give "
                "the last address",
                name=name,
                status=status,
            )
        )
    return SourceUnreadable(
        _("{name}: answers {status}: check the address with its owner", name=name, status=status)
    )


def _make_size_error(name: str, most_bytes: int, most_seconds: float) -> SourceUnreadable:
    return SourceUnreadable(
        _(
            "{name}: over {most_bytes} MB, or longer than {most_seconds:.0f} s: ask its owner for less",
            name=name,
            most_bytes=most_bytes >> 20,
            most_seconds=most_seconds,
        )
    )
