"""Export of confirmed changes and their impact: GeoPackage, KMZ, CSV, CAP, JSON.

CAP messages are Draft or Exercise only.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from flycam.access.policy import UNRESTRICTED, AccessPolicy
from flycam.catalog.changes import (
    ChangeAttribution,
    ChangeVersion,
    ComparedWindow,
    Comparison,
    ImageReference,
    format_file_reference,
    parse_image_reference,
    parse_source_pair,
)
from flycam.change.comparison import find_cut_changes, make_comparison_reader, match_comparisons
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
from flycam.change.outlines import DECIMALS, ChangeTotals, estimate_area_error
from flycam.change.volume import Volume, VolumeFailure
from flycam.errors import InputUnusable, NotFound, OptionUnusable
from flycam.geodata.crs import WGS84, choose_work_crs, make_point_transform
from flycam.geodata.feature_file import FeatureLayer, encode_csv, require_suffix, write_features
from flycam.geodata.kml import CapEvent, KmlStyle, Placemark, encode_cap_alert, write_kmz
from flycam.geodata.raster import compute_raster_digest
from flycam.messages import Message, _, join
from flycam.model.board import (
    CHANGE_KIND_NAMES,
    NO_SCORE_REASONS,
    POSITIVE_STATUSES,
    ChangeKind,
    ChangeStatus,
    LayerKind,
    is_stale,
)
from flycam.model.flight import DRILL_MARK, Event
from flycam.model.records import MosaicInfo
from flycam.model.text import (
    escape_cell,
    format_area,
    format_percent,
    replace_no_break_spaces,
)
from flycam.model.time import format_iso, format_minute
from flycam.mosaic.export import require_output_path
from flycam.storage.files import write_file_atomically
from flycam.workspace import Workspace

# -- Impact report of an event or of two sides (`flycam changes impact`) ---------------------------
#
# It is written as JSON, table columns and CSV.


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
                "area_at_least": one.is_cut,
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
        "changes": tally.ground.count,
        "places": _serialize_places(tally.ground),
        "area_m2": round(tally.ground.area_m2, 1),
        "area_at_least": tally.ground.is_lower_bound,
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

    Empty: not known, as no layer covers the ground; `at_least` as of a change (`list_lower_bounds`).
    """
    head = ["commune", "commune_name", "status", "changes", *CHANGE_KIND_NAMES, "area_ha"]
    rows: list[list[object]] = [[*head, *COUNT_COLUMNS, "at_least", "roads_cut", "road_cut_m"]]
    for row in communes:
        for status, tally in ((ChangeStatus.ACCEPTED, row.confirmed), (ChangeStatus.PROPOSED, row.waiting)):
            if not (tally.ground.count or any(tally.counts.values())):
                continue
            counts = _count_columns(tally.counts).values()
            names, has_roads = format_road_names(tally.roads_cut), tally.counts[LayerKind.ROAD] is not None
            cut = round(tally.road_cut_m, 1) if has_roads else ""
            identity = [escape_cell(row.code), escape_cell(row.name), status.value]
            kinds = [tally.ground.places.get(kind, 0) for kind in CHANGE_KIND_NAMES]
            size = [tally.ground.count, *kinds, round(tally.ground.area_m2 / 1e4, 4)]
            area = ["area"] if tally.ground.is_lower_bound else []
            least = ", ".join([*area, *_list_partly_covered(tally.counts)])
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


# -- Export of confirmed changes: GeoPackage, GeoJSON, KMZ, CSV, CAP -------------------------------


# -- Changes as GeoJSON for other programs: WGS 84, lengths in metres ------------------------------


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
    cut = find_cut_changes(lines, found_by)
    features = [
        _feature(
            line,
            sign,
            names,
            is_cut=line in cut,
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
    # doubts: why every change found between the two images is less sure than elsewhere; warnings: what else
    # one needs to know to decide by them
    return {
        "type": "FeatureCollection",
        "features": features,
        "comparisons": [
            {
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
            for one in made.values()
        ],
    }


def _feature(
    line: ChangeVersion,
    sign: ChangeAttribution,
    names: Mapping[str, str],
    *,
    is_cut: bool,
    is_unfound: bool,
    overlapping: Sequence[Decision],
    unseen: float | None,
    comparison: Comparison | None,
) -> dict[str, Any]:
    """Serialize one change as a GeoJSON feature.

    `score` null: no probability, `no_score` states why ("drawn", "kind_changed", "no_terrain"; else null);
    `area_at_least`: the area is a lower bound; `slope_deg`, `tie_m`, `rmse_m`, `error_m`, `area_error_m2`
    null: not known; `commune_name` empty: the commune no longer exists. `author` and `time` are the
    version's, which may be a comment; `decided_by` and `decided` (null while it waits) belong to the decision
    in force; `note_by` to its note. `not_compared_pct`: share of a hand-drawn outline on ground that its two
    images do not both show; null: none, or not known.
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
            "area_at_least": is_cut,
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
    return {
        "count": waiting.count,
        "places": _serialize_places(waiting),
        "area_m2": round(waiting.area_m2, 1),
        "area_at_least": waiting.is_lower_bound,
    }


def _serialize_places(totals: ChangeTotals) -> dict[str, int]:
    return {kind.value: count for kind, count in sorted(totals.places.items())}


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


# -- Columns for people in a table of confirmed changes --------------------------------------------
#
# They come first, in the reader's language, with names instead of ids and times of Vietnam. Columns for
# programs follow and are never translated.


COLUMN_NAMES = (
    _("Kind of change"),
    _("Size"),
    _("Commune or ward"),
    _("Probability"),
    _("Picture before"),
    _("Taken before (UTC+7)"),
    _("Picture after"),
    _("Taken after (UTC+7)"),
    _("Confirmed by"),
    _("Confirmed (UTC+7)"),
)
"""None equals that of a program's column, whatever the case of its letters."""
BEYOND_BOUNDARIES = _("outside of known boundaries")
_GONE = _("a flight that is not here")


def _probability(line: ChangeVersion, language: str) -> str:
    if line.probability is not None:
        return replace_no_break_spaces(format_percent(100.0 * line.probability).in_language(language))
    return NO_SCORE_REASONS[line.no_score].in_language(language) if line.no_score else ""


def _pictures(shown: str, flights: Mapping[str, str], language: str) -> str:
    one = parse_image_reference(shown)
    return one.shown if one.revision is None else flights.get(one.source, _GONE.in_language(language))


# -- Acquisition times of the images between which a change was found ------------------------------


def read_flight_ends(workspace: Workspace) -> Mapping[str, int]:
    """Return the end of each mosaic's flight, UTC nanoseconds; files have no date."""
    flights = {one.flight_id: one.last_ns for one in workspace.catalog.flights.flights()}
    mosaics: Sequence[MosaicInfo] = workspace.catalog.tiles.mosaics()
    return {one.mosaic_id: flights[one.flight_id] for one in mosaics if one.flight_id in flights}


def get_image_dates(
    before_shown: str, after_shown: str, ends: Mapping[str, int]
) -> tuple[int | None, int | None]:
    """Return the times of the images before and after; None for one without a date."""
    before, after = parse_source_pair(before_shown, after_shown)
    return ends.get(before), ends.get(after)


# -- Figures that are lower bounds, as part of the change could not be seen ------------------------


def list_lower_bounds(impact: ChangeImpact) -> list[str]:
    """Return the figures of a change that are lower bounds.

    "area" where it was not seen whole, then the kinds of features whose layers cover only a part of it.
    """
    counts = {kind: impact.count(kind) for kind in LayerKind}
    return [*(["area"] if impact.is_cut else []), *_list_partly_covered(counts)]


def _list_partly_covered(counts: Mapping[LayerKind, FeatureCount | None]) -> list[str]:
    return [kind.value for kind, one in counts.items() if one is not None and not one.is_complete]


# -- Export of an event's confirmed changes --------------------------------------------------------


ExportFormat = Literal["gpkg", "geojson", "kmz", "csv", "xml"]
"""Format of a file of changes, which its name ends in; `_BYTES` encodes those that GDAL does not."""
MEDIA_TYPES: Mapping[ExportFormat, str] = {
    "gpkg": "application/geopackage+sqlite3",
    "geojson": "application/geo+json",
    "kmz": "application/vnd.google-earth.kmz",
    "csv": "text/csv; charset=utf-8",
    "xml": "application/cap+xml",
}
SUFFIXES = tuple(f".{one}" for one in MEDIA_TYPES)

LAYER = "changes"
# as on the map page, `web/src/map/colours.ts`
_COLOURS = {ChangeKind.LANDSLIDE: "d1300b", ChangeKind.FLOOD: "1f6fb2", ChangeKind.OTHER: "8a6d3b"}
_KML_STYLES = {kind: KmlStyle(kind.value, colour, 3, "40") for kind, colour in _COLOURS.items()}
_CATEGORIES = {ChangeKind.LANDSLIDE: "Geo", ChangeKind.FLOOD: "Met", ChangeKind.OTHER: "Other"}
_M2_PER_HA = 1e4
_NUMBERS = {"score", "area_ha", "area_m2", "length_m", "slope_deg"}
_NUMBERS |= {"tie_m", "rmse_m", "error_m", "area_error_m2"}
_OWN_COLUMNS = (
    *("change_id", "kind", "score", "no_score", "area_ha", "area_m2", "length_m", "slope_deg"),
    *("commune", "commune_name", "tie_m", "rmse_m", "error_m", "area_error_m2", "at_least"),
    *("before", "after", "before_time", "after_time", "doubts", "doubts_vi"),
    *("note", "note_by", "decided_by", "decided", "event", "drill"),
)
_COLUMNS = (*_OWN_COLUMNS, *IMPACT_COLUMNS)
_CAP_NOTE = _("draft from aerial pictures, not a warning")
_CAP_DRILL = _("EXERCISE: not a real situation")


@dataclass(frozen=True, kw_only=True, slots=True)
class _ExportContent:
    """Data of an export: confirmed changes of one event, and what describes them.

    Attributions, impacts and comparisons are by change id, names of communes by code, ends and names of
    flights by mosaic. language: of text for people.
    """

    event: Event
    lines: Sequence[ChangeVersion]
    impacts: Mapping[str, ChangeImpact]
    signatures: Mapping[str, ChangeAttribution]
    names: Mapping[str, str]
    ends: Mapping[str, int]
    found_by: Mapping[str, Comparison | None]
    sender: str
    at_ns: int
    flights: Mapping[str, str]
    language: str


def export_changes(
    workspace: Workspace,
    out: Path,
    event: str,
    policy: AccessPolicy = UNRESTRICTED,
    language: str = "vi",
) -> int:
    """Write the confirmed changes of an event (name or id); return their number.

    The name's ending decides the format. Changes that the access policy hides are left out. .gpkg is in the
    UTM zone of the first change, all others in WGS 84 degrees. language: of the columns for people ("vi" or
    "en"). Raises NotFound, OptionUnusable (another ending), InputUnusable (no such folder; a CAP message
    without changes), StorageFailed.
    """
    suffix = require_suffix(out, SUFFIXES)
    require_output_path(out)
    found = workspace.catalog.flights.event(event)
    confirmed = workspace.catalog.changes.current(found.event_id, statuses=[ChangeStatus.ACCEPTED])
    lines = [one for one in confirmed if not policy.hides_change(one)]
    names = {one.flight_id: one.name for one in workspace.catalog.flights.flights()}
    mosaics = workspace.catalog.tiles.mosaics()
    content = _ExportContent(
        event=found,
        lines=lines,
        impacts={one.line.change_id: one for one in compute_impact(workspace, lines, policy=policy).changes},
        signatures={
            line.change_id: sign
            for line, sign in zip(lines, workspace.catalog.changes.list_attributions(lines), strict=True)
        },
        names=workspace.catalog.boundaries.names(),
        ends=read_flight_ends(workspace),
        found_by={
            line.change_id: one
            for line, one in zip(
                lines, match_comparisons(make_comparison_reader(workspace.catalog), lines), strict=True
            )
        },
        sender=workspace.cap_sender or workspace.box,
        at_ns=workspace.clock_ns(),
        flights={one.mosaic_id: names[one.flight_id] for one in mosaics if one.flight_id in names},
        language=language,
    )
    if suffix == ".xml" and not content.lines:
        raise _make_empty_error(out, content.event.name, policy)
    if suffix in _BYTES:
        write_file_atomically(out, _BYTES[suffix](content))
    else:
        crs = _crs(content.lines) if suffix == ".gpkg" else WGS84
        rows = [_row(line, content) for line in content.lines]
        fields: dict[str, NDArray[Any]] = {
            name: np.array([row[name] for row in rows], np.float64 if name in _NUMBERS else object)
            for name in _OWN_COLUMNS
        }
        fields |= {name: build_impact_field(name, [row[name] for row in rows]) for name in IMPACT_COLUMNS}
        shapes = np.empty(len(rows), dtype=object)
        shapes[:] = [shapely.from_wkb(line.wkb) for line in content.lines]
        if rows:
            shapes = shapely.transform(shapes, make_point_transform(WGS84, crs))
        write_features(
            out, [FeatureLayer(name=LAYER, kind="MultiPolygon", shapes=shapes, fields=fields)], crs=crs
        )
    return len(content.lines)


def _make_empty_error(out: Path, event: str, policy: AccessPolicy) -> InputUnusable:
    """Return the error for a CAP message without changes.

    A table may be empty, but an empty message would be read as "nothing happened". For an account with a
    restricted policy the text refers to what it may see, whether or not anything is confirmed elsewhere.
    """
    if policy.is_nothing:
        return InputUnusable(
            _(
                "{name}: nothing is confirmed in {event}, and a CAP message has something to say; accept "
                "changes on the map, then export again",
                name=out.name,
                event=event,
            )
        )
    return InputUnusable(
        _(
            "{name}: nothing that you may see is confirmed in {event}, and a CAP message has something to "
            "say; accept changes on the map, then export again",
            name=out.name,
            event=event,
        )
    )


def _crs(lines: Sequence[ChangeVersion]) -> str:
    """Return the UTM zone of the first change; for an empty layer any will do."""
    if not lines:
        return choose_work_crs(105.0, 21.0)
    west, south, east, north = lines[0].bounds_lonlat_deg
    return choose_work_crs((west + east) / 2.0, (south + north) / 2.0)


def _row(line: ChangeVersion, content: _ExportContent) -> dict[str, str | float]:
    """Return a change's attributes by column. NaN: not known."""
    sign = content.signatures[line.change_id]
    dates = get_image_dates(line.before_shown, line.after_shown, content.ends)
    return {
        "change_id": line.change_id,
        "kind": line.kind.value,
        "score": _score(line.probability),
        "no_score": line.no_score,
        "area_ha": round(line.area_m2 / _M2_PER_HA, 4),
        "area_m2": round(line.area_m2, 1),
        "length_m": round(line.length_m, 1),
        "slope_deg": _number(line.slope_deg, 1),
        "commune": line.commune,
        "commune_name": content.names.get(line.commune, ""),
        "tie_m": _number(line.tie_m, 1),
        "rmse_m": _number(line.rmse_m, 3),
        "error_m": _number(line.error_m, 2),
        "area_error_m2": round(estimate_area_error(line), 1),
        "at_least": ", ".join(list_lower_bounds(content.impacts[line.change_id])),
        "before": line.before_shown,
        "after": line.after_shown,
        **dict(zip(("before_time", "after_time"), map(_time, dates), strict=True)),
        **_doubts(content.found_by[line.change_id]).to_fields("doubts"),
        "note": line.note,
        "note_by": sign.note_by,
        "decided_by": sign.decided_by,
        "decided": format_iso(sign.decided_ns, "seconds"),
        "event": content.event.name,
        "drill": DRILL_MARK if content.event.is_drill else "",
        **build_impact_columns(content.impacts[line.change_id]),
    }


def _doubts(found_by: Comparison | None) -> Message:
    """Return the comparison's doubts about its changes."""
    return join(found_by.doubts if found_by is not None else (), "; ")


def _time(at_ns: int | None) -> str:
    return "" if at_ns is None else format_iso(at_ns, "seconds")


def _number(value: float | None, places: int) -> float:
    return float("nan") if value is None else round(value, places)


def _score(probability: float | None) -> float:
    """Round to three decimals; a probability below one stays below one."""
    if probability is None or probability >= 1.0:
        return _number(probability, 3)
    return min(round(probability, 3), 0.999)


def _words(row: Mapping[str, str | float]) -> dict[str, str]:
    """Return the values as text; unknown values are empty."""
    return {name: "" if value != value else str(value) for name, value in row.items()}  # noqa: PLR0124  NaN


def _csv(content: _ExportContent) -> bytes:
    """Encode as CSV, columns for people first."""
    names = [one.in_language(content.language) for one in COLUMN_NAMES]
    rows = [[*names, *_COLUMNS, "lon_deg", "lat_deg", "wkt"]]
    for line in content.lines:
        shape = shapely.from_wkb(line.wkb)
        inside = shape.representative_point()
        place = [f"{inside.x:.7f}", f"{inside.y:.7f}", shapely.to_wkt(shape, rounding_precision=7)]
        cells = [*_read(line, content), *_words(_row(line, content)).values()]
        rows.append([*map(escape_cell, cells), *place])
    return encode_csv(rows)


def _read(line: ChangeVersion, content: _ExportContent) -> list[str]:
    sign = content.signatures[line.change_id]
    decided = (sign.decided_by, sign.decided_ns)
    dates_ns = get_image_dates(line.before_shown, line.after_shown, content.ends)
    commune = content.names.get(line.commune, "")
    language = content.language
    before, after = (
        _pictures(shown, content.flights, language) for shown in (line.before_shown, line.after_shown)
    )
    is_cut = content.impacts[line.change_id].is_cut
    area = format_area(line.area_m2, estimate_area_error(line), is_lower_bound=is_cut)
    taken_before, taken_after = ("" if at_ns is None else format_minute(at_ns) for at_ns in dates_ns)
    return [
        CHANGE_KIND_NAMES[line.kind].in_language(language),
        replace_no_break_spaces(area.in_language(language)),
        commune or BEYOND_BOUNDARIES.in_language(language),
        _probability(line, language),
        *(before, taken_before, after, taken_after),
        *(decided[0], format_minute(decided[1])),
    ]


def _name(line: ChangeVersion, content: _ExportContent) -> str:
    place = content.names.get(line.commune, "")
    kind = CHANGE_KIND_NAMES[line.kind].in_language("vi")
    area = format_area(line.area_m2, is_lower_bound=content.impacts[line.change_id].is_cut)
    size = replace_no_break_spaces(area.in_language("vi"))
    return f"{kind} {size}, {place}" if place else f"{kind} {size}"


def _kmz(content: _ExportContent) -> bytes:
    placemarks = [
        Placemark(
            shape=shapely.from_wkb(line.wkb),
            name=_name(line, content),
            values=_words(_row(line, content)),
            style=_KML_STYLES[line.kind],
        )
        for line in content.lines
    ]
    title = f"{DRILL_MARK}: {content.event.name}" if content.event.is_drill else content.event.name
    out = io.BytesIO()
    write_kmz(out, title, [], placemarks)
    return out.getvalue()


def _cap(content: _ExportContent) -> bytes:
    """Encode as a CAP alert.

    The identifier is derived from the content: the same changes make the same message.
    """
    lines_text = "\n".join(f"{line.change_id} {line.version}" for line in content.lines)
    digest = hashlib.sha256(f"{content.event.event_id}\n{lines_text}".encode()).hexdigest()[:32]
    places = [
        CapEvent(
            shape=shapely.from_wkb(line.wkb),
            event=CHANGE_KIND_NAMES[line.kind].in_language("vi"),
            category=_CATEGORIES[line.kind],
            certainty="Observed",
            description=_name(line, content) + (f". {line.note}" if line.note else ""),
            area=content.names.get(line.commune, "") or BEYOND_BOUNDARIES.in_language("vi"),
            geocode=line.commune,
        )
        for line in content.lines
    ]
    note = _CAP_DRILL if content.event.is_drill else _CAP_NOTE
    return encode_cap_alert(
        f"flycam-{digest}",
        content.sender,
        content.at_ns,
        f"{note.in_language('vi')} / {note}",
        places,
        is_drill=content.event.is_drill,
    )


_BYTES: dict[str, Callable[[_ExportContent], bytes]] = {".kmz": _kmz, ".csv": _csv, ".xml": _cap}
