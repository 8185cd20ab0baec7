"""Answers about specialist layers: what was read, and which there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flycam.answers.output import Output
from flycam.frame.specialist_layer import is_stale
from flycam.frame.timestamp import format_minute

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.catalog.records import LayerRecord
    from flycam.geodata.layer_file import LayerImport


def format_layer(layer: LayerRecord, found: LayerImport, now_ns: int, language: str = "en") -> Output:
    """Return added, repaired, removed, and the layer."""
    answer = {
        "added": layer.features,
        "repaired": found.repaired,
        "removed": found.removed,
        "remarks": [english for english, _ in found.remarks],
        "remarks_vi": [vietnamese for _, vietnamese in found.remarks],
        **_layer(layer, now_ns),
    }
    said = [vietnamese if language == "vi" else english for english, vietnamese in found.remarks]
    return answer, [_line(layer, now_ns, language), *(f"  ! {sentence}" for sentence in said)]


def format_layers(layers: Sequence[LayerRecord], now_ns: int, language: str = "en") -> Output:
    """Return layers[], by kind and name."""
    none = (
        "chưa có lớp nào; thêm bằng 'flycam layers add TỆP --kind LOẠI'"
        if language == "vi"
        else "no layers yet; add one with 'flycam layers add FILE --kind KIND'"
    )
    lines = [f"{one.layer_id}  {_line(one, now_ns, language)}" for one in layers]
    return {"layers": [_layer(one, now_ns) for one in layers]}, lines or [none]


def format_removed_layer(layer: LayerRecord, language: str = "en") -> Output:
    """Return layer_id and name of a removed layer."""
    en, vi = f"{layer.name} is off the map", f"đã bỏ lớp {layer.name} khỏi bản đồ"
    return {"layer_id": layer.layer_id, "name": layer.name}, [vi if language == "vi" else en]


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


def _line(layer: LayerRecord, now_ns: int, language: str) -> str:
    vi = language == "vi"
    old = is_stale(layer.valid_ns, now_ns, has_status=layer.has_status)
    if layer.valid_ns is None:
        when = "không rõ thời điểm" if vi else "of an unknown time"
    else:
        minute = format_minute(layer.valid_ns)
        when = f"số liệu lúc {minute}" if vi else f"as of {minute}"
    owner = f" ({layer.owner})" if layer.owner else ""
    count = f"{layer.features} đối tượng" if vi else f"{layer.features} features"
    trouble = ""
    if layer.troubles:
        trouble = f", {layer.troubles} đang gặp sự cố" if vi else f", {layer.troubles} in trouble"
    return f"{layer.name}{owner}: {layer.kind}, {count}{trouble}, {when}" + (
        (" – cũ" if vi else " – old") if old else ""
    )
