"""Changes as GeoJSON for other programs: WGS 84, lengths in metres."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import shapely

from flycam.catalog.change_line import ChangeLine
from flycam.catalog.change_signing import Signature
from flycam.catalog.comparisons import ComparedWindow
from flycam.frame.change import ChangeStatus
from flycam.frame.moment import iso
from flycam.pipeline.change.shapes import area_error_of

_DECIMALS = 8  # as drawn: what a page sends back unchanged is the same outline


def change_features(
    lines: Sequence[ChangeLine],
    signatures: Sequence[Signature],
    names: Mapping[str, str],
    unfound: Collection[str] = (),
) -> dict[str, Any]:
    """A FeatureCollection of lines, with whose each is; names: of communes, by code; unfound: ids of changes
    that a newer revision did not show again."""
    features = [
        _feature(line, sign, names, is_unfound=line.change_id in unfound)
        for line, sign in zip(lines, signatures, strict=True)
    ]
    return {"type": "FeatureCollection", "features": features}


def _feature(
    line: ChangeLine, sign: Signature, names: Mapping[str, str], *, is_unfound: bool
) -> dict[str, Any]:
    """One line. `score` null: drawn by hand; `slope_deg`, `tie_m`, `rmse_m`, `error_m`, `area_error_m2`
    null: not known; no `commune_name`: of a commune that is no more. `author` and `time` are the line's, be
    it a comment; `decided_by` and `decided` (null while it waits) of the decision that holds; `note_by` of
    its note."""
    is_decided = line.status is not ChangeStatus.PROPOSED
    shape = shapely.set_precision(shapely.from_wkb(line.wkb), 10.0**-_DECIMALS, mode="pointwise")
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
            "score": line.score,
            "area_m2": round(line.area_m2, 1),
            "length_m": round(line.length_m, 1),
            "slope_deg": _rounded(line.slope_deg, 1),
            "commune": line.commune,
            "commune_name": names.get(line.commune, ""),
            "tie_m": _rounded(line.tie_m, 1),
            "rmse_m": _rounded(line.rmse_m, 3),
            "error_m": _rounded(line.error_m, 2),
            "area_error_m2": _rounded(area_error_of(line), 1),
            "before": line.before_shown,
            "after": line.after_shown,
            "origins": list(line.origins),
            "not_found_again": is_unfound,
            "note": line.note,
            "note_by": sign.note_by or None,
            "decided_by": sign.decided_by if is_decided else None,
            "decided": iso(sign.decided_ns, "seconds") if is_decided else None,
            "author": line.author,
            "time": iso(line.at_ns, "seconds"),
        },
    }


def windows_said(windows: Sequence[ComparedWindow]) -> dict[str, Any]:
    """A FeatureCollection of points: `state`, `residual_m` (null where the window was not found)."""
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
