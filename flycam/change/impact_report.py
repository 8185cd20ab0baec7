"""Impact report of an event or of two sides (`flycam changes impact`).

It is written as JSON, table columns and CSV.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flycam.catalog.changes import ChangeVersion, ImageReference, format_file_reference, parse_image_reference
from flycam.change.impact import (
    AffectedFeature,
    ChangeImpact,
    CommuneImpact,
    FeatureCount,
    Impact,
    ImpactTotals,
    compute_impact,
    find_communes_around,
    sum_impact_by_commune,
)
from flycam.change.volume import Volume, VolumeFailure
from flycam.errors import NotFound, OptionUnusable
from flycam.geodata.feature_file import encode_csv
from flycam.geodata.raster import compute_raster_digest
from flycam.messages import _
from flycam.model.board import POSITIVE_STATUSES, ChangeStatus, LayerKind, is_stale
from flycam.model.flight import Event
from flycam.model.text import escape_cell
from flycam.model.time import format_iso
from flycam.workspace import Workspace


@dataclass(frozen=True, kw_only=True, slots=True)
class ImpactReport:
    """Impact by commune. names: of communes by code; at_ns: when it was made, UTC."""

    event: Event
    impact: Impact
    communes: tuple[CommuneImpact, ...]
    names: Mapping[str, str]
    at_ns: int


def build_impact_report(
    workspace: Workspace, refs: Sequence[str], distance_m: float | None = None
) -> ImpactReport:
    """Build the report of an event (name or id), or of the two sides of a comparison.

    refs: the event, or two sides (flight's name or id, file's name). Raises NotFound, OptionUnusable (a
    distance that is none; changes of several events between two sides).
    """
    changes = workspace.catalog.changes
    if len(refs) == 1:
        event = workspace.catalog.flights.event(refs[0])
        lines = changes.current(event.event_id, statuses=POSITIVE_STATUSES)
    else:
        before, after = refs
        lines = _between(workspace, before, after, changes.current(statuses=POSITIVE_STATUSES))
        # a drill's changes are never listed beside real ones
        events = sorted({line.event_id for line in lines})
        if len(events) > 1:
            names = ", ".join(workspace.catalog.flights.event(one).name for one in events)
            raise OptionUnusable(
                _(
                    "changes between these are of several events ({names}): give the event instead",
                    names=names,
                )
            )
        event = workspace.catalog.flights.event(events[0])
    impact = compute_impact(workspace, lines, distance_m)
    communes = find_communes_around(workspace.catalog.boundaries, impact.changes, is_drill=event.is_drill)
    return ImpactReport(
        event=event,
        impact=impact,
        communes=tuple(sum_impact_by_commune(communes, impact.changes)),
        names=workspace.catalog.boundaries.names(),
        at_ns=workspace.clock_ns(),
    )


def _between(
    workspace: Workspace, before: str, after: str, lines: Sequence[ChangeVersion]
) -> list[ChangeVersion]:
    """Return changes found between two flights (id or name, any revision) or files.

    Files by path or name. Raises NotFound if there is none: the two were not compared, or not enqueued for
    review.
    """
    is_before, is_after = (_shown_by(workspace, one) for one in (before, after))
    found = [
        line
        for line in lines
        if is_before(parse_image_reference(line.before_shown))
        and is_after(parse_image_reference(line.after_shown))
    ]
    if not found:
        raise NotFound(
            _(
                "{before}, {after}: no change between these is under review; run 'flycam "
                "compare' on them first",
                before=before,
                after=after,
            )
        )
    return found


def _shown_by(workspace: Workspace, ref: str) -> Callable[[ImageReference], bool]:
    """Return a predicate that matches image references of a side.

    A flight by its mosaics; a file that is here by its bytes; one that is not here by its name, which matches
    all files of that name.
    """
    try:
        flight = workspace.catalog.flights.flight(ref)
    except NotFound:
        path = Path(ref)
        if not path.is_file():
            return lambda one: path.name in (one.source, one.file_name)
        named = format_file_reference(path.name, compute_raster_digest(path))
        return lambda one: one.source == named
    mosaics = {mosaic.mosaic_id for mosaic in workspace.catalog.tiles.mosaics(flight.flight_id)}
    return lambda one: one.source in mosaics


# -- Impact as JSON, table columns and CSV ---------------------------------------------------------


MAX_LISTED = 200
"""Features listed one by one, of one change; counts are always of all."""

_UNKNOWN = float("nan")


def serialize_impact(
    impact: Impact, communes: Sequence[CommuneImpact], names: Mapping[str, str], now_ns: int
) -> dict[str, Any]:
    """Serialize an impact: reach_m by kind; layers[]; changes[]; communes[].

    names: of communes, by code. A null count: no layer of that kind covers the ground, so that nothing is
    known.
    """
    # `valid` null: date not known; `stale`: whether it counts as outdated by now
    # roads that it cuts (that it would cut, while it waits), and the features within reach, those inside
    # first; of a landslide its volume
    return {
        "reach_m": {kind.value: metres for kind, metres in impact.reach_m.items()},
        "layers": [
            {
                "layer_id": layer.layer_id,
                "name": layer.name,
                "kind": layer.kind.value,
                "owner": layer.owner or None,
                "valid": None if layer.valid_ns is None else format_iso(layer.valid_ns, "seconds"),
                "stale": is_stale(layer.valid_ns, now_ns, has_status=layer.has_status),
            }
            for layer in impact.layers
        ],
        "changes": [
            {
                "change_id": one.line.change_id,
                "status": one.line.status.value,
                "kind": one.line.kind.value,
                "commune": one.line.commune,
                "commune_name": names.get(one.line.commune, ""),
                "area_m2": round(one.line.area_m2, 1),
                "counts": {kind.value: _serialize_count(one.count(kind)) for kind in LayerKind},
                "roads_cut": [_serialize_feature(at, now_ns) for at in one.roads_cut],
                "touched": [_serialize_feature(at, now_ns) for at in one.touched[:MAX_LISTED]],
                "touched_total": len(one.touched),
                "layers": [layer.layer_id for layer in one.layers],
                **_serialize_volume(one.volume),
            }
            for one in impact.changes
        ],
        "communes": [
            {
                "code": row.code,
                "name": row.name,
                "confirmed": _serialize_totals(row.confirmed, now_ns),
                "waiting": _serialize_totals(row.waiting, now_ns),
            }
            for row in communes
        ],
    }


def _serialize_volume(found: Volume | VolumeFailure | None) -> dict[str, Any]:
    """Serialize a volume; `no_volume` says why it is null, null if no landslide."""
    if not isinstance(found, Volume):
        return {"volume": None, "no_volume": None if found is None else found.value}
    return {
        "volume": {
            "lost_m3": round(found.lost_m3),
            "lost_sigma_m3": round(found.lost_sigma_m3),
            "gained_m3": round(found.gained_m3),
            "gained_sigma_m3": round(found.gained_sigma_m3),
            "net_m3": round(found.gained_m3 - found.lost_m3),
            "net_sigma_m3": round(found.net_sigma_m3),
            "measured_m2": round(found.measured_m2, 1),
            "shift_m": [round(one, 2) for one in found.shift_m],
            "level_sigma_m": round(found.level_sigma_m, 2),
            "nothing": found.is_nothing,
        },
        "no_volume": None,
    }


def _serialize_totals(tally: ImpactTotals, now_ns: int) -> dict[str, Any]:
    return {
        "changes": tally.changes,
        "area_m2": round(tally.area_m2, 1),
        "counts": {kind.value: _serialize_count(count) for kind, count in tally.counts.items()},
        "roads_cut": [_serialize_feature(at, now_ns) for at in tally.roads_cut],
        "road_cut_m": round(tally.road_cut_m, 1),
    }


def _serialize_count(count: FeatureCount | None) -> dict[str, Any] | None:
    if count is None:
        return None
    return {"inside": count.inside, "near": count.near, "whole": count.is_complete}


def _serialize_feature(at: AffectedFeature, now_ns: int) -> dict[str, Any]:
    lon, lat = at.lonlat_deg
    return {
        "layer_id": at.layer.layer_id,
        "number": at.feature.number,
        "kind": at.layer.kind.value,
        "name": at.feature.name or None,
        "owner": at.feature.owner or at.layer.owner or None,
        "status": at.feature.status or None,
        "condition": at.feature.condition.value,
        "valid": None if at.feature.valid_ns is None else format_iso(at.feature.valid_ns, "seconds"),
        "stale": is_stale(at.feature.valid_ns, now_ns, has_status=at.layer.has_status),
        "distance_m": round(at.distance_m, 1),
        "under_m": None if at.under_m is None else round(at.under_m, 1),
        "lonlat": [round(lon, 7), round(lat, 7)],
    }


VOLUME_NUMBERS = ("lost_m3", "lost_sigma_m3", "gained_m3", "gained_sigma_m3", "volume_of_m2")
COUNT_COLUMNS = tuple(f"{kind}_{where}" for kind in LayerKind for where in ("inside", "near"))
IMPACT_NUMBERS = frozenset({*COUNT_COLUMNS, "road_cut_m", *VOLUME_NUMBERS})
IMPACT_COLUMNS = (
    *COUNT_COLUMNS,
    "roads_cut",
    "road_cut_m",
    "layers",
    "no_layer",
    *VOLUME_NUMBERS,
    "no_volume",
)


def build_impact_columns(one: ChangeImpact) -> dict[str, str | float]:
    """Return a change's impact by column.

    Counts (NaN: no layer covers the ground; `no_layer` names kinds), roads cut, layers with date; of a
    landslide its volume (NaN: not known, `no_volume` says why).
    """
    return {
        **_count_columns({kind: one.count(kind) for kind in LayerKind}),
        "roads_cut": format_road_names(one.roads_cut),
        "road_cut_m": round(one.road_cut_m, 1) if _has(one, LayerKind.ROAD) else _UNKNOWN,
        "layers": "; ".join(
            f"{layer.name} ({'?' if layer.valid_ns is None else format_iso(layer.valid_ns, 'minutes')})"
            for layer in one.layers
        ),
        "no_layer": ", ".join(kind.value for kind in LayerKind if not _has(one, kind)),
        **_volume_columns(one.volume),
    }


def build_impact_field(name: str, values: Sequence[str | float]) -> NDArray[Any]:
    """Return one of `IMPACT_COLUMNS` of several changes as a column of a file.

    Counts are integers, masked where they are not known.
    """
    if name not in COUNT_COLUMNS:
        return np.array(values, np.float64 if name in IMPACT_NUMBERS else object)
    counts = np.ma.masked_invalid(np.array(values, np.float64))
    return np.ma.MaskedArray(counts.filled(0).astype(np.int32), mask=np.ma.getmaskarray(counts))


def _volume_columns(found: Volume | VolumeFailure | None) -> dict[str, str | float]:
    if not isinstance(found, Volume):
        return {**dict.fromkeys(VOLUME_NUMBERS, _UNKNOWN), "no_volume": "" if found is None else found.value}
    lost = {name: float(round(getattr(found, name))) for name in ("lost_m3", "lost_sigma_m3")}
    gained = {
        name: float(round(getattr(found, name))) if found.has_gained else _UNKNOWN
        for name in ("gained_m3", "gained_sigma_m3")
    }
    return {**lost, **gained, "volume_of_m2": float(round(found.measured_m2)), "no_volume": ""}


def format_road_names(roads: Sequence[AffectedFeature]) -> str:
    """Join the names, each once; a road without name by its number in its layer."""
    return "; ".join(
        dict.fromkeys(at.feature.name or f"{at.layer.name} #{at.feature.number + 1}" for at in roads)
    )


def format_commune_csv(communes: Sequence[CommuneImpact]) -> bytes:
    """Format as CSV, a row for each commune and status.

    Empty: not known, as no layer covers the
    ground; `at_least` names the kinds whose layers cover only a part of it.
    """
    head = ["commune", "commune_name", "status", "changes", "area_ha"]
    rows: list[list[object]] = [[*head, *COUNT_COLUMNS, "at_least", "roads_cut", "road_cut_m"]]
    for row in communes:
        for status, tally in ((ChangeStatus.ACCEPTED, row.confirmed), (ChangeStatus.PROPOSED, row.waiting)):
            if not (tally.changes or any(tally.counts.values())):
                continue
            counts = _count_columns(tally.counts).values()
            names, has_roads = format_road_names(tally.roads_cut), tally.counts[LayerKind.ROAD] is not None
            cut = round(tally.road_cut_m, 1) if has_roads else ""
            identity = [escape_cell(row.code), escape_cell(row.name), status.value]
            size = [tally.changes, round(tally.area_m2 / 1e4, 4)]
            least = ", ".join(kind.value for kind, one in tally.counts.items() if one and not one.is_complete)
            rows.append([*identity, *size, *map(_empty, counts), least, escape_cell(names), cut])
    return encode_csv(rows)


def _count_columns(counts: Mapping[LayerKind, FeatureCount | None]) -> dict[str, float]:
    columns = {}
    for kind, count in counts.items():
        columns[f"{kind}_inside"] = _UNKNOWN if count is None else count.inside
        columns[f"{kind}_near"] = _UNKNOWN if count is None else count.near
    return columns


def _has(one: ChangeImpact, kind: LayerKind) -> bool:
    return any(layer.kind is kind for layer in one.layers)


def _empty(count: float) -> int | str:
    return "" if count != count else int(count)  # noqa: PLR0124  NaN
