"""Export of confirmed changes: GeoPackage, GeoJSON, KMZ, CSV, CAP.

CAP messages are Draft or Exercise only.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from flycam.catalog.access_policy import UNRESTRICTED, AccessPolicy
from flycam.catalog.change_attribution import ChangeAttribution
from flycam.catalog.change_version import ChangeVersion
from flycam.catalog.comparisons import Comparison
from flycam.drill.drill_mark import DRILL_MARK
from flycam.errors import InputUnusable, OptionUnusable
from flycam.frame.change import ChangeKind, ChangeStatus
from flycam.frame.flight import Event
from flycam.frame.text_normalization import escape_cell
from flycam.frame.timestamp import format_iso
from flycam.geodata.cap_file import CapEvent, encode_cap_alert
from flycam.geodata.crs import WGS84, choose_work_crs, make_point_transform
from flycam.geodata.feature_file import FeatureLayer, write_features
from flycam.geodata.kmz_features import PolygonPlacemark, encode_kmz
from flycam.messages import Message, _, join
from flycam.pipeline.atomic_file import write_file_atomically
from flycam.pipeline.change.change_outlines import estimate_area_error
from flycam.pipeline.change.comparison_store import make_comparison_reader, match_comparisons
from flycam.pipeline.change.csv_columns import (
    BEYOND_BOUNDARIES,
    COLUMN_NAMES,
    format_cells,
    list_flight_names,
)
from flycam.pipeline.change.image_dates import get_image_dates, read_flight_ends
from flycam.pipeline.change.impact import ChangeImpact, compute_impact
from flycam.pipeline.change.impact_tables import IMPACT_COLUMNS, build_impact_columns, build_impact_field
from flycam.pipeline.change.lower_bounds import list_lower_bounds
from flycam.pipeline.mosaic_export import require_output_path
from flycam.pipeline.workspace import Workspace
from flycam.report.change_names import CHANGE_KIND_NAMES
from flycam.report.number_format import format_area, replace_no_break_spaces

LAYER = "changes"
_COLOURS = {ChangeKind.LANDSLIDE: "d1495b", ChangeKind.FLOOD: "1f6fb2", ChangeKind.OTHER: "8a6d3b"}
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
    require_change_file(out)
    require_output_path(out)
    told = _gather_content(workspace, event, policy, language)
    if suffix == ".xml" and not told.lines:
        raise _make_empty_error(out, told.event.name, policy)
    if suffix in _BYTES:
        write_file_atomically(out, _BYTES[suffix](told))
    else:
        crs = _crs(told.lines) if suffix == ".gpkg" else WGS84
        write_features(out, [_layer(told, crs)], crs=crs)
    return len(told.lines)


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


def require_change_file(out: Path) -> None:
    """Raise OptionUnusable unless the name's ending is that of a known format."""
    if out.suffix.lower() not in SUFFIXES:
        raise OptionUnusable(
            _("{out}: give a name that ends in {endings}", out=out, endings=", ".join(SUFFIXES))
        )


def _gather_content(workspace: Workspace, event: str, policy: AccessPolicy, language: str) -> _ExportContent:
    found = workspace.catalog.flights.event(event)
    confirmed = workspace.catalog.changes.current(found.event_id, statuses=[ChangeStatus.ACCEPTED])
    lines = [one for one in confirmed if not policy.hides_change(one)]
    return _ExportContent(
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
        flights=list_flight_names(workspace),
        language=language,
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


def _layer(content: _ExportContent, crs: str) -> FeatureLayer:
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
    return FeatureLayer(name=LAYER, kind="MultiPolygon", shapes=shapes, fields=fields)


def _words(row: Mapping[str, str | float]) -> dict[str, str]:
    """Return the values as text; unknown values are empty."""
    return {name: "" if value != value else str(value) for name, value in row.items()}  # noqa: PLR0124  NaN


def _csv(content: _ExportContent) -> bytes:
    """Encode as CSV, columns for people first.

    With a byte order mark, without which Excel does not read Vietnamese.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    names = [one.in_language(content.language) for one in COLUMN_NAMES]
    writer.writerow([*names, *_COLUMNS, "lon_deg", "lat_deg", "wkt"])
    for line in content.lines:
        shape = shapely.from_wkb(line.wkb)
        inside = shape.representative_point()
        place = [f"{inside.x:.7f}", f"{inside.y:.7f}", shapely.to_wkt(shape, rounding_precision=7)]
        cells = [*_read(line, content), *_words(_row(line, content)).values()]
        writer.writerow([*map(escape_cell, cells), *place])
    return out.getvalue().encode("utf-8-sig")


def _read(line: ChangeVersion, content: _ExportContent) -> list[str]:
    sign = content.signatures[line.change_id]
    return format_cells(
        line,
        (sign.decided_by, sign.decided_ns),
        get_image_dates(line.before_shown, line.after_shown, content.ends),
        content.names.get(line.commune, ""),
        content.flights,
        content.language,
    )


def _title(content: _ExportContent) -> str:
    return f"{DRILL_MARK}: {content.event.name}" if content.event.is_drill else content.event.name


def _name(line: ChangeVersion, content: _ExportContent) -> str:
    place = content.names.get(line.commune, "")
    kind = CHANGE_KIND_NAMES[line.kind].in_language("vi")
    return f"{kind} {replace_no_break_spaces(format_area(line.area_m2).in_language('vi'))}" + (
        f", {place}" if place else ""
    )


def _kmz(content: _ExportContent) -> bytes:
    return encode_kmz(
        _title(content),
        [
            PolygonPlacemark(
                shape=shapely.from_wkb(line.wkb),
                name=_name(line, content),
                values=_words(_row(line, content)),
                colour=_COLOURS[line.kind],
            )
            for line in content.lines
        ],
    )


def _cap(content: _ExportContent) -> bytes:
    """Encode as a CAP alert.

    The identifier is derived from the content: the same changes make the same message.
    """
    said = "\n".join(f"{line.change_id} {line.version}" for line in content.lines)
    digest = hashlib.sha256(f"{content.event.event_id}\n{said}".encode()).hexdigest()[:32]
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
