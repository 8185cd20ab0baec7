"""Registration, refresh and removal of specialist layers."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import shapely

from flycam.catalog.records import AuditEntry, LayerFeatureRecord, LayerRecord
from flycam.errors import NotFound
from flycam.frame.safe_url import strip_url_credentials
from flycam.frame.specialist_layer import MAX_CLOCK_DIFFERENCE_NS, LayerKind
from flycam.frame.text_normalization import to_visible, validate_name
from flycam.geodata.layer_file import LayerFeature, LayerImport, read_layer
from flycam.messages import Message, _, ngettext
from flycam.pipeline.http_download import fetch_url, is_url
from flycam.pipeline.original_store import store_original
from flycam.pipeline.workspace import Workspace

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
    asked = LayerRequest(
        source=source or before.source,
        kind=before.kind,
        name=before.name,
        owner=before.owner,
        valid_ns=valid_ns,
    )
    return _enter(workspace, asked, who, allowed_hosts, "layer refresh")


def remove_layer(workspace: Workspace, ref: str, who: str) -> LayerRecord:
    """Remove a layer from the map; its file stays as an original. Raises NotFound."""
    layer = workspace.catalog.layers.get(ref)
    now_ns = workspace.clock_ns()
    told = AuditEntry(who=who, what="layer remove", subject=layer.layer_id, detail=layer.name, at_ns=now_ns)
    workspace.catalog.layers.remove(layer.layer_id, told)
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
    said_ns = fetched_ns if request.valid_ns is None else request.valid_ns
    features = [_feature(number, one, said_ns) for number, one in enumerate(found.features)]
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
        valid_ns=max(moments, default=said_ns) if request.valid_ns is None else request.valid_ns,
        added_ns=before.added_ns if before else now_ns,
        refreshed_ns=now_ns,
        features=len(features),
        troubles=sum(one.condition.is_trouble for one in features),
        has_status=any(one.status for one in features),
        bounds_lonlat_deg=(west, south, east, north),
    )
    detail = f"{layer.name}: {layer.kind}, {layer.features} from {_shown(request.source)}, sha256 {sha256}"
    told = AuditEntry(who=who, what=what, subject=layer.layer_id, detail=detail, at_ns=now_ns)
    workspace.catalog.layers.put(layer, features, told)
    said = (*_replaced(before, layer), *found.remarks, *_remarks(workspace, layer, features))
    return layer, replace(found, remarks=said)


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
        yield _("{name}: nobody says when it stood so; the map shows it as old: give --valid-time", name=name)
    elif undated := sum(one.valid_ns is None for one in features):
        yield ngettext(
            "{name}: {count} feature does not say when they stood so; the map shows them as old: give "
            "--valid-time",
            "{name}: {count} features do not say when they stood so; the map shows them as old: give "
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
