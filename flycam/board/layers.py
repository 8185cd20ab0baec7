"""Registration of specialist layers and commune boundaries.

Layers are read from a file, or from an address on a host that the settings allow; they can be refreshed from
their source and removed.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import shapely
import urllib3
from urllib3.exceptions import HTTPError

from flycam.errors import NotFound, SourceUnreadable
from flycam.geodata.communes import CommuneImport, read_communes
from flycam.geodata.vector_file import MAX_BYTES, LayerFeature, LayerImport, read_layer
from flycam.messages import Message, _, ngettext
from flycam.model.board import MAX_CLOCK_DIFFERENCE_NS, LayerKind
from flycam.model.records import AuditEntry, CommuneRecord, LayerFeatureRecord, LayerRecord
from flycam.model.text import is_printable, strip_url_credentials, to_visible, validate_name
from flycam.model.time import to_utc_ns
from flycam.originals import store_original
from flycam.storage.files import make_write_error
from flycam.workspace import Workspace

# -- Import of commune boundaries from a file into the catalogue -----------------------------------


# Boundaries without a date are taken to hold from the day Vietnam's districts were abolished.
DEFAULT_VALID_FROM = date(2025, 7, 1)


def register_communes(workspace: Workspace, path: Path, valid_from: date | None = None) -> CommuneImport:
    """Read, repair and register a boundary file; the same file again changes nothing.

    Raises what `read_communes` raises.
    """
    found = read_communes(path, valid_from or DEFAULT_VALID_FROM)
    store_original(workspace, path)
    workspace.catalog.boundaries.put_communes(
        [
            CommuneRecord(
                code=commune.code,
                name=commune.name,
                valid_from=commune.valid_from,
                wkb=shapely.to_wkb(commune.polygon),
                area_m2=commune.area_km2 * 1e6,
                search_name=commune.search_name,
            )
            for commune in found.communes
        ]
    )
    return found


# -- Downloads, only from hosts that the settings allow --------------------------------------------
#
# Nobody who can name an address may make this machine send requests into its own network. So requests go only
# to hosts that an administrator listed, over http(s), without redirects, proxies, passwords or compressed
# bodies, and within limits of time and size.


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
        raise make_write_error(
            error,
            _(
                "{folder}: cannot be written ({strerror}); make room and run again",
                folder=folder,
                strerror=error.strerror,
            ),
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


# -- Registration, refresh and removal of specialist layers ----------------------------------------


_MAX_DISTANCE_DEG = 0.5
_MAX_NAME_LENGTH = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerRequest:
    """Request to register a layer.

    source    a file's path, or an http(s) address
    name      None: as the file is called; the same name again replaces what is there
    owner     None: as before, else none
    valid_ns  time of the data, UTC ns; None: as its features, else the server's answer, state. A feature
              without a time of its own takes this or the server's, never another feature's
    """

    source: str
    kind: LayerKind
    name: str | None = None
    owner: str | None = None
    valid_ns: int | None = None


def add_layer(
    workspace: Workspace, request: LayerRequest, who: str, allowed_hosts: Collection[str] = ()
) -> tuple[LayerRecord, LayerImport]:
    """Read a layer and register it; a layer of the same name is replaced.

    Raises what `read_layer` and `fetch_url` raise.
    """
    name = validate_name(
        request.name or to_visible(Path(request.source.partition("?")[0]).stem),
        _MAX_NAME_LENGTH,
        option="--name",
    )
    return _enter(workspace, replace(request, name=name), who, allowed_hosts, "layer add")


def refresh_layer(
    workspace: Workspace,
    ref: str,
    who: str,
    *,
    source: str | None = None,
    valid_ns: int | None = None,
    allowed_hosts: Collection[str] = (),
) -> tuple[LayerRecord, LayerImport]:
    """Read a layer again from its source or from another `source`.

    Owner and kind stay. If it cannot be read, the layer stays as it was. Raises NotFound, and what
    `add_layer` raises.
    """
    before = workspace.catalog.layers.get(ref)
    request = LayerRequest(
        source=source or before.source,
        kind=before.kind,
        name=before.name,
        owner=before.owner,
        valid_ns=valid_ns,
    )
    return _enter(workspace, request, who, allowed_hosts, "layer refresh")


def remove_layer(workspace: Workspace, ref: str, who: str) -> LayerRecord:
    """Remove a layer from the map; its file stays as an original. Raises NotFound."""
    layer = workspace.catalog.layers.get(ref)
    now_ns = workspace.clock_ns()
    entry = AuditEntry(who=who, what="layer remove", subject=layer.layer_id, detail=layer.name, at_ns=now_ns)
    workspace.catalog.layers.remove(layer.layer_id, entry)
    return layer


def _enter(
    workspace: Workspace, request: LayerRequest, who: str, allowed_hosts: Collection[str], what: str
) -> tuple[LayerRecord, LayerImport]:
    name = request.name or ""
    with _local(workspace, request.source, allowed_hosts) as (path, modified_ns):
        found = read_layer(path, request.kind)
        sha256 = store_original(workspace, path)
    now_ns = workspace.clock_ns()
    fetched_ns = (modified_ns or now_ns) if is_url(request.source) else None
    stated_ns = fetched_ns if request.valid_ns is None else request.valid_ns
    features = [_feature(number, one, stated_ns) for number, one in enumerate(found.features)]
    before = _known(workspace, name)
    moments = [one.valid_ns for one in found.features if one.valid_ns is not None]
    boxes = shapely.total_bounds([one.geometry for one in found.features])
    west, south, east, north = (float(side) for side in boxes)
    layer = LayerRecord(
        layer_id=before.layer_id if before else _id_of(name),
        name=name,
        kind=request.kind,
        owner=request.owner if request.owner is not None else (before.owner if before else ""),
        source=request.source if is_url(request.source) else str(Path(request.source).resolve()),
        sha256=sha256,
        valid_ns=max(moments, default=stated_ns) if request.valid_ns is None else request.valid_ns,
        added_ns=before.added_ns if before else now_ns,
        refreshed_ns=now_ns,
        features=len(features),
        troubles=sum(one.condition.is_trouble for one in features),
        has_status=any(one.status for one in features),
        bounds_lonlat_deg=(west, south, east, north),
    )
    detail = f"{layer.name}: {layer.kind}, {layer.features} from {_shown(request.source)}, sha256 {sha256}"
    entry = AuditEntry(who=who, what=what, subject=layer.layer_id, detail=detail, at_ns=now_ns)
    workspace.catalog.layers.put(layer, features, entry)
    remarks_of_import = (*_replaced(before, layer), *found.remarks, *_remarks(workspace, layer, features))
    return layer, replace(found, remarks=remarks_of_import)


@contextmanager
def _local(
    workspace: Workspace, source: str, allowed_hosts: Collection[str]
) -> Iterator[tuple[Path, int | None]]:
    """Yield the source as a local file, and its time of change by the server, UTC ns."""
    if not is_url(source):
        yield Path(source), None
        return
    workspace.cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=workspace.cache_dir, prefix="layer-") as folder:
        yield fetch_url(source, allowed_hosts, Path(folder))


def _known(workspace: Workspace, name: str) -> LayerRecord | None:
    try:
        return workspace.catalog.layers.get(name)
    except NotFound:
        return None


def _id_of(name: str) -> str:
    return f"layer-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def _feature(number: int, one: LayerFeature, valid_ns: int | None) -> LayerFeatureRecord:
    """Build a feature's record; `valid_ns` is the time of features without their own."""
    west, south, east, north = one.geometry.bounds
    return LayerFeatureRecord(
        number=number,
        name=one.name,
        owner=one.owner,
        status=one.status,
        condition=one.condition,
        valid_ns=valid_ns if one.valid_ns is None else one.valid_ns,
        wkb=shapely.to_wkb(one.geometry),
        bounds_lonlat_deg=(west, south, east, north),
    )


def _shown(source: str) -> str:
    """Return a source without credentials in its address; of a file its name."""
    return strip_url_credentials(source) if is_url(source) else Path(source).name


def _replaced(before: LayerRecord | None, layer: LayerRecord) -> Iterator[Message]:
    """Report how a layer differs from the one it replaces.

    It may be another service's file.
    """
    if before is None:
        return
    if before.kind is not layer.kind:
        yield _(
            "{name}: it was a layer of the kind {kind_before}, and is one of {kind} now",
            name=layer.name,
            kind_before=before.kind,
            kind=layer.kind,
        )
    if (before.features, before.troubles) != (layer.features, layer.troubles):
        yield _(
            "{name}: features {features_before} → {features}, in trouble {troubles_before} → {troubles}",
            name=layer.name,
            features_before=before.features,
            features=layer.features,
            troubles_before=before.troubles,
            troubles=layer.troubles,
        )


def _remarks(
    workspace: Workspace, layer: LayerRecord, features: Sequence[LayerFeatureRecord]
) -> Iterator[Message]:
    """Yield remarks about the time and place of a layer."""
    name = layer.name
    if layer.valid_ns is None:
        yield _(
            "{name}: no date is given for its state; the map shows it as old: give --valid-time", name=name
        )
    elif undated := sum(one.valid_ns is None for one in features):
        yield ngettext(
            "{name}: {count} feature gives no date for its state; the map shows it as old: give --valid-time",
            "{name}: {count} features give no date for their state; the map shows them as old: give "
            "--valid-time",
            undated,
            name=name,
        )
    if layer.valid_ns is not None and layer.valid_ns - workspace.clock_ns() > MAX_CLOCK_DIFFERENCE_NS:
        yield _(
            "{name}: says of a time that is still to come, and the map shows it as old: check the time and "
            "its zone",
            name=name,
        )
    home = workspace.catalog.boundaries.extent()
    if home is not None and not _near(layer.bounds_lonlat_deg, home):
        yield _(
            "{name}: lies far from the communes known here: is it of another place, or in another CRS than "
            "it says?",
            name=name,
        )


def _near(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return (
        one[0] <= other[2] + _MAX_DISTANCE_DEG
        and one[2] >= other[0] - _MAX_DISTANCE_DEG
        and one[1] <= other[3] + _MAX_DISTANCE_DEG
        and one[3] >= other[1] - _MAX_DISTANCE_DEG
    )
