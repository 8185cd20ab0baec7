"""Answers about specialist layers: what was read, and which there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flycam.answers.output import Output
from flycam.frame.specialist_layer import is_stale
from flycam.frame.timestamp import format_minute
from flycam.messages import Message, _, join, ngettext

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.catalog.records import LayerRecord
    from flycam.geodata.layer_file import LayerImport


def format_layer(layer: LayerRecord, found: LayerImport, now_ns: int) -> Output:
    """Return added, repaired, removed, and the layer."""
    answer = {
        "added": layer.features,
        "repaired": found.repaired,
        "removed": found.removed,
        "remarks": [one.in_language("en") for one in found.remarks],
        "remarks_vi": [one.in_language("vi") for one in found.remarks],
        **_layer(layer, now_ns),
    }
    return answer, [_line(layer, now_ns), *(join(("  !", one)) for one in found.remarks)]


def format_layers(layers: Sequence[LayerRecord], now_ns: int) -> Output:
    """Return layers[], by kind and name."""
    lines = [join((one.layer_id, _line(one, now_ns)), "  ") for one in layers]
    none = _("no layers yet; add one with 'flycam layers add FILE --kind KIND'")
    return {"layers": [_layer(one, now_ns) for one in layers]}, lines or [none]


def format_removed_layer(layer: LayerRecord) -> Output:
    """Return layer_id and name of a removed layer."""
    line = _("{name} is off the map", name=layer.name)
    return {"layer_id": layer.layer_id, "name": layer.name}, [line]


def _layer(layer: LayerRecord, now_ns: int) -> dict[str, Any]:
    return {
        "layer_id": layer.layer_id,
        "name": layer.name,
        "kind": layer.kind.value,
        "owner": layer.owner or None,
        "source": layer.source,
        "sha256": layer.sha256,
        "valid_ns": layer.valid_ns,
        "refreshed_ns": layer.refreshed_ns,
        "features": layer.features,
        "troubles": layer.troubles,
        "stale": is_stale(layer.valid_ns, now_ns, has_status=layer.has_status),
        "bounds": list(layer.bounds_lonlat_deg),
    }


def _line(layer: LayerRecord, now_ns: int) -> Message:
    owner = f" ({layer.owner})" if layer.owner else ""
    parts: list[Message | str] = [
        f"{layer.name}{owner}: {layer.kind}",
        ngettext("{count} feature", "{count} features", layer.features),
    ]
    if layer.troubles:
        parts.append(_("{count} in trouble", count=layer.troubles))
    if layer.valid_ns is None:
        parts.append(_("of an unknown time"))
    else:
        parts.append(_("as of {minute}", minute=format_minute(layer.valid_ns)))
    line = join(parts, ", ")
    is_old = is_stale(layer.valid_ns, now_ns, has_status=layer.has_status)
    return _("{line} – old", line=line) if is_old else line
