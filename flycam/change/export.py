"""Export of confirmed changes: GeoPackage, GeoJSON, KMZ, CSV, CAP.

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
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from flycam.access.policy import UNRESTRICTED, AccessPolicy
from flycam.catalog.changes import (
    ChangeAttribution,
    ChangeVersion,
    ComparedWindow,
    Comparison,
    parse_image_reference,
    parse_source_pair,
)
from flycam.change.comparison_store import make_comparison_reader, match_comparisons
from flycam.change.impact import ChangeImpact, compute_impact
from flycam.change.impact_report import IMPACT_COLUMNS, build_impact_columns, build_impact_field
from flycam.change.outlines import DECIMALS, ChangeTotals, estimate_area_error
from flycam.errors import InputUnusable, OptionUnusable
from flycam.geodata.crs import WGS84, choose_work_crs, make_point_transform
from flycam.geodata.feature_file import (
    CapEvent,
    FeatureLayer,
    KmlStyle,
    Placemark,
    encode_cap_alert,
    encode_csv,
    write_features,
    write_kmz,
)
from flycam.messages import Message, _, join
from flycam.model.board import CHANGE_KIND_NAMES, NO_SCORE_REASONS, ChangeKind, ChangeStatus, LayerKind
from flycam.model.flight import DRILL_MARK, Event
from flycam.model.records import MosaicInfo
from flycam.model.text import (
    escape_cell,
    format_area,
    format_area_with_sigma,
    format_percent,
    replace_no_break_spaces,
)
from flycam.model.time import format_iso, format_minute
from flycam.mosaic.export import require_output_path
from flycam.storage.files import write_file_atomically
from flycam.workspace import Workspace

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


AREA = "area"
# a cell of the change detection
_RIM_M = 2.0


def list_lower_bounds(line: ChangeVersion, comparison: Comparison | None, impact: ChangeImpact) -> list[str]:
    """Return the figures of a change that are lower bounds.

    AREA where the change reaches the rim of the compared ground (an image's edge, a cloud, the requested
    area), beyond which nothing was compared; a hand-drawn change has no such rim. Then the kinds of features
    whose layers cover only a part of it.
    """
    counts = {kind: impact.count(kind) for kind in LayerKind}
    partly = [kind.value for kind, count in counts.items() if count is not None and not count.is_complete]
    return [*([AREA] if comparison is not None and _is_cut(line, comparison) else []), *partly]


def _is_cut(line: ChangeVersion, found_by: Comparison) -> bool:
    west, south, east, north = line.bounds_lonlat_deg
    to_work = make_point_transform(WGS84, choose_work_crs((west + east) / 2.0, (south + north) / 2.0))
    shape = shapely.transform(shapely.from_wkb(line.wkb), to_work)
    rim = shapely.transform(shapely.from_wkb(found_by.wkb).boundary, to_work)
    return bool(shape.distance(rim) <= _RIM_M)


# -- Export of an event's confirmed changes --------------------------------------------------------


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
    suffix = out.suffix.lower()
    if out.suffix.lower() not in SUFFIXES:
        raise OptionUnusable(
            _("{out}: give a name that ends in {endings}", out=out, endings=", ".join(SUFFIXES))
        )
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
        "at_least": ", ".join(
            list_lower_bounds(line, content.found_by[line.change_id], content.impacts[line.change_id])
        ),
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
    area = format_area_with_sigma(line.area_m2, estimate_area_error(line))
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
    return f"{kind} {replace_no_break_spaces(format_area(line.area_m2).in_language('vi'))}" + (
        f", {place}" if place else ""
    )


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
SUFFIXES = (".gpkg", ".geojson", *_BYTES)
