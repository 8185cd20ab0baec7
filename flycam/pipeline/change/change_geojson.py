"""Changes as GeoJSON for other programs: WGS 84, lengths in metres."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import shapely

from flycam.catalog.change_attribution import ChangeAttribution
from flycam.catalog.change_version import ChangeVersion
from flycam.catalog.comparisons import ComparedWindow, Comparison
from flycam.frame.change import ChangeStatus
from flycam.frame.timestamp import format_iso
from flycam.pipeline.change.change_outlines import DECIMALS, estimate_area_error
from flycam.pipeline.change.change_overlap import ChangeTotals

Decision = tuple[ChangeVersion, ChangeAttribution]
"""A change that was decided on, and its attribution."""

NO_OVERLAPS: Mapping[str, Sequence[Decision]] = MappingProxyType({})


def build_change_collection(
    lines: Sequence[ChangeVersion],
    signatures: Sequence[ChangeAttribution],
    names: Mapping[str, str],
    superseded: Collection[str] = (),
    overlapping: Mapping[str, Sequence[Decision]] = NO_OVERLAPS,
    unseen: Sequence[float | None] | None = None,
    *,
    found_by: Sequence[Comparison | None],
) -> dict[str, Any]:
    """Return a FeatureCollection of changes, with their `comparisons`.

    names        of communes, by code
    superseded   ids of changes that a newer revision did not show again
    overlapping  decisions on the same ground, by change
    unseen       for each change the uncompared share of its outline (`compute_uncompared_shares`), or None;
        None: not known for any
    found_by     for each change the comparison that found it; None: not known
    """
    features = [
        _feature(
            line,
            sign,
            names,
            is_unfound=line.change_id in superseded,
            overlapping=overlapping.get(line.change_id, ()),
            unseen=share,
            comparison=comparison,
        )
        for line, sign, comparison, share in zip(
            lines, signatures, found_by, unseen or [None] * len(lines), strict=True
        )
    ]
    made = {one.comparison_id: one for one in found_by if one is not None}
    return {
        "type": "FeatureCollection",
        "features": features,
        "comparisons": [_comparison(one) for one in made.values()],
    }


def _comparison(one: Comparison) -> dict[str, Any]:
    """Serialize a comparison.

    doubts: why every change found between its two images is less sure than elsewhere. warnings: what else one
    needs to know to decide by them.
    """
    return {
        "comparison_id": one.comparison_id,
        "before": one.before_shown,
        "after": one.after_shown,
        "rmse_m": round(one.rmse_m, 3),
        "time": format_iso(one.at_ns, "seconds"),
        "doubts": [str(doubt) for doubt in one.doubts],
        "doubts_vi": [doubt.in_language("vi") for doubt in one.doubts],
        "warnings": [str(warning) for warning in one.warnings],
        "warnings_vi": [warning.in_language("vi") for warning in one.warnings],
    }


def _feature(
    line: ChangeVersion,
    sign: ChangeAttribution,
    names: Mapping[str, str],
    *,
    is_unfound: bool,
    overlapping: Sequence[Decision],
    unseen: float | None,
    comparison: Comparison | None,
) -> dict[str, Any]:
    """Serialize one change as a GeoJSON feature.

    `score` null: no probability, `no_score` states why ("drawn", "kind_changed", "no_terrain"; else null);
    `slope_deg`, `tie_m`, `rmse_m`, `error_m`, `area_error_m2` null: not known; `commune_name` empty: the
    commune no longer exists. `author` and `time` are the version's, which may be a comment; `decided_by` and
    `decided` (null while it waits) belong to the decision in force; `note_by` to its note.
    `not_compared_pct`: share of a hand-drawn outline on ground that its two images do not both show; null:
    none, or not known.
    """
    is_decided = line.status is not ChangeStatus.PROPOSED
    shape = shapely.set_precision(shapely.from_wkb(line.wkb), 10.0**-DECIMALS, mode="pointwise")
    return {
        "type": "Feature",
        "id": line.change_id,
        "bbox": list(line.bounds_lonlat_deg),
        "geometry": json.loads(shapely.to_geojson(shape)),
        "properties": {
            "change_id": line.change_id,
            "version": line.version,
            "step_id": line.step_id,
            "event_id": line.event_id,
            "action": line.action.value,
            "undoes": line.undoes,
            "status": line.status.value,
            "kind": line.kind.value,
            "score": line.probability,
            "no_score": line.no_score or None,
            "area_m2": round(line.area_m2, 1),
            "length_m": round(line.length_m, 1),
            "slope_deg": _rounded(line.slope_deg, 1),
            "commune": line.commune,
            "commune_name": names.get(line.commune, ""),
            "tie_m": _rounded(line.tie_m, 1),
            "rmse_m": _rounded(line.rmse_m, 3),
            "error_m": _rounded(line.error_m, 2),
            "area_error_m2": round(estimate_area_error(line), 1),
            "before": line.before_shown,
            "after": line.after_shown,
            "comparison_id": None if comparison is None else comparison.comparison_id,
            "origins": list(line.origins),
            "not_found_again": is_unfound,
            "not_compared_pct": None if unseen is None else round(100.0 * unseen, 1),
            "decided_beside": [_serialize_overlap(*one) for one in overlapping],
            "note": line.note,
            "note_by": sign.note_by or None,
            "decided_by": sign.decided_by if is_decided else None,
            "decided": format_iso(sign.decided_ns, "seconds") if is_decided else None,
            "author": line.author,
            "time": format_iso(line.at_ns, "seconds"),
        },
    }


def _serialize_overlap(line: ChangeVersion, sign: ChangeAttribution) -> dict[str, Any]:
    """Serialize a decision on another change on the same ground."""
    return {
        "change_id": line.change_id,
        "kind": line.kind.value,
        "status": line.status.value,
        "before": line.before_shown,
        "after": line.after_shown,
        "decided_by": sign.decided_by,
        "decided": format_iso(sign.decided_ns, "seconds"),
    }


def serialize_waiting(waiting: ChangeTotals | None) -> dict[str, Any] | None:
    """Serialize totals of changes that wait for review: places by kind, area."""
    if waiting is None:
        return None
    places = {kind.value: count for kind, count in sorted(waiting.places.items())}
    return {"count": waiting.count, "places": places, "area_m2": round(waiting.area_m2, 1)}


def build_window_collection(windows: Sequence[ComparedWindow]) -> dict[str, Any]:
    """Return a FeatureCollection of registration windows.

    Points with `state` and `residual_m` (null: window not found).
    """
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "geometry": {"type": "Point", "coordinates": list(one.lonlat_deg)},
                "properties": {"state": one.state, "residual_m": one.residual_m},
            }
            for one in windows
        ],
    }


def _rounded(value: float | None, places: int) -> float | None:
    return None if value is None else round(value, places)
