"""Confirmed changes into files: GeoPackage, GeoJSON, KMZ, CSV, and CAP as Draft or Exercise only."""

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

from flycam.catalog.change_line import ChangeLine
from flycam.catalog.change_signing import Signature
from flycam.catalog.comparisons import Comparison
from flycam.catalog.withholding import NOTHING_WITHHELD, Withholding
from flycam.errors import InputUnusable, OptionUnusable
from flycam.frame.change import ChangeKind, ChangeStatus
from flycam.frame.flight import Event
from flycam.frame.moment import iso
from flycam.frame.spelling import plain_cell
from flycam.geodata.cap_file import CapPlace, cap_alert
from flycam.geodata.crs import WGS84, point_transform, work_crs_for
from flycam.geodata.feature_file import FeatureLayer, write_features
from flycam.geodata.kml_file import Placemark, kmz
from flycam.messages import Bilingual, _
from flycam.pipeline.change.at_least import at_least
from flycam.pipeline.change.compared_keeping import found_by, read_once
from flycam.pipeline.change.impact import ChangeImpact, impact_of
from flycam.pipeline.change.impact_words import IMPACT_COLUMNS, impact_columns, impact_field
from flycam.pipeline.change.picture_dates import dates_of, ends_of
from flycam.pipeline.change.reading_columns import flight_names, reading_cells, reading_head
from flycam.pipeline.change.shapes import area_error_of
from flycam.pipeline.export import require_place
from flycam.pipeline.whole_file import write_file
from flycam.pipeline.workspace import Workspace
from flycam.report.change_names import CHANGE_KINDS
from flycam.report.numbers import area, plain

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
_DRILL = "DIỄN TẬP"
_CAP_NOTE = "Bản nháp từ ảnh bay chụp, chưa phải tin cảnh báo / draft from aerial pictures, not a warning"
_CAP_DRILL = f"{_DRILL}: không phải tình huống thật / EXERCISE: not a real situation"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Told:
    """What a file tells: confirmed changes of one event, whose each is, what it touches and by which
    comparison it was found (all by id), communes' names by code, and by mosaic when its flight ended and what
    that is called; language: of what people read."""

    event: Event
    lines: Sequence[ChangeLine]
    impacts: Mapping[str, ChangeImpact]
    signatures: Mapping[str, Signature]
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
    withholding: Withholding = NOTHING_WITHHELD,
    language: str = "vi",
) -> int:
    """Write the confirmed changes of an event (name or id), by the name's ending; how many.

    Those that are withheld are left out. .gpkg is in the UTM zone of the first of them, all others in WGS 84
    degrees. language: of the columns for people ("vi" or "en"). Raises NotFound, OptionUnusable (another
    ending), InputUnusable (no such folder; a message of nothing), StorageTrouble.
    """
    suffix = out.suffix.lower()
    require_change_file(out)
    require_place(out)
    told = _told(workspace, event, withholding, language)
    if suffix == ".xml" and not told.lines:
        raise _nothing_to_tell(out, told.event.name, withholding)
    if suffix in _BYTES:
        write_file(out, _BYTES[suffix](told))
    else:
        crs = _crs(told.lines) if suffix == ".gpkg" else WGS84
        write_features(out, [_layer(told, crs)], crs=crs)
    return len(told.lines)


def _nothing_to_tell(out: Path, event: str, withholding: Withholding) -> InputUnusable:
    """A table may be empty; a message that says nothing is taken for one that says that nothing happened. To
    whom something is withheld it is said of what they may see, whether or not anything is confirmed there."""
    seen, seen_vi = ("", "") if withholding.is_nothing else (" that you may see", " trong phạm vi được xem")
    return InputUnusable(
        _(
            "{name}: nothing{seen} is confirmed in {event}, and a CAP message has something "
            "to say; accept changes on the map, then export again",
            name=out.name,
            seen=Bilingual(seen, seen_vi),
            event=event,
        )
    )


def require_change_file(out: Path) -> None:
    """Raise OptionUnusable for a name by which none of the formats is opened."""
    if out.suffix.lower() not in ENDINGS:
        raise OptionUnusable(
            _("{out}: give a name that ends in {endings}", out=out, endings=", ".join(ENDINGS))
        )


def _told(workspace: Workspace, event: str, withholding: Withholding, language: str) -> _Told:
    found = workspace.catalog.flights.event(event)
    confirmed = workspace.catalog.changes.current(found.event_id, statuses=[ChangeStatus.ACCEPTED])
    lines = [one for one in confirmed if not withholding.hides_change(one)]
    return _Told(
        event=found,
        lines=lines,
        impacts={
            one.line.change_id: one for one in impact_of(workspace, lines, withholding=withholding).changes
        },
        signatures={
            line.change_id: sign
            for line, sign in zip(lines, workspace.catalog.changes.signatures(lines), strict=True)
        },
        names=workspace.catalog.boundaries.names(),
        ends=ends_of(workspace),
        found_by={
            line.change_id: one
            for line, one in zip(lines, found_by(read_once(workspace.catalog), lines), strict=True)
        },
        sender=workspace.cap_sender or workspace.box,
        at_ns=workspace.clock_ns(),
        flights=flight_names(workspace),
        language=language,
    )


def _crs(lines: Sequence[ChangeLine]) -> str:
    """The UTM zone of the first; where there is none, any will do for an empty layer."""
    if not lines:
        return work_crs_for(105.0, 21.0)
    west, south, east, north = lines[0].bounds_lonlat_deg
    return work_crs_for((west + east) / 2.0, (south + north) / 2.0)


def _row(line: ChangeLine, told: _Told) -> dict[str, str | float]:
    """What is said of a change, by column. NaN: not known."""
    sign = told.signatures[line.change_id]
    dates = dates_of(line.before_shown, line.after_shown, told.ends)
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
        "commune_name": told.names.get(line.commune, ""),
        "tie_m": _number(line.tie_m, 1),
        "rmse_m": _number(line.rmse_m, 3),
        "error_m": _number(line.error_m, 2),
        "area_error_m2": round(area_error_of(line), 1),
        "at_least": ", ".join(at_least(line, told.found_by[line.change_id], told.impacts[line.change_id])),
        "before": line.before_shown,
        "after": line.after_shown,
        **dict(zip(("before_time", "after_time"), map(_time, dates), strict=True)),
        **dict(zip(("doubts", "doubts_vi"), _doubts(told.found_by[line.change_id]), strict=True)),
        "note": line.note,
        "note_by": sign.note_by,
        "decided_by": sign.decided_by,
        "decided": iso(sign.decided_ns, "seconds"),
        "event": told.event.name,
        "drill": _DRILL if told.event.is_drill else "",
        **impact_columns(told.impacts[line.change_id]),
    }


def _doubts(found_by: Comparison | None) -> tuple[str, str]:
    """Why all found between its two pictures is less sure than elsewhere, in English and in Vietnamese."""
    said = found_by.doubts if found_by is not None else ()
    return "; ".join(english for english, _ in said), "; ".join(vietnamese for _, vietnamese in said)


def _time(at_ns: int | None) -> str:
    return "" if at_ns is None else iso(at_ns, "seconds")


def _number(value: float | None, places: int) -> float:
    return float("nan") if value is None else round(value, places)


def _score(probability: float | None) -> float:
    """With three decimals, and never as certain: a probability below one does not become one."""
    if probability is None or probability >= 1.0:
        return _number(probability, 3)
    return min(round(probability, 3), 0.999)


def _layer(told: _Told, crs: str) -> FeatureLayer:
    rows = [_row(line, told) for line in told.lines]
    fields: dict[str, NDArray[Any]] = {
        name: np.array([row[name] for row in rows], np.float64 if name in _NUMBERS else object)
        for name in _OWN_COLUMNS
    }
    fields |= {name: impact_field(name, [row[name] for row in rows]) for name in IMPACT_COLUMNS}
    shapes = np.empty(len(rows), dtype=object)
    shapes[:] = [shapely.from_wkb(line.wkb) for line in told.lines]
    if rows:
        shapes = shapely.transform(shapes, point_transform(WGS84, crs))
    return FeatureLayer(name=LAYER, kind="MultiPolygon", shapes=shapes, fields=fields)


def _words(row: Mapping[str, str | float]) -> dict[str, str]:
    """As text; what is not known is empty."""
    return {name: "" if value != value else str(value) for name, value in row.items()}  # noqa: PLR0124  NaN


def _csv(told: _Told) -> bytes:
    """With a byte order mark, without which Excel does not read Vietnamese; what people read stands first."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*reading_head(told.language), *_COLUMNS, "lon_deg", "lat_deg", "wkt"])
    for line in told.lines:
        shape = shapely.from_wkb(line.wkb)
        inside = shape.representative_point()
        place = [f"{inside.x:.7f}", f"{inside.y:.7f}", shapely.to_wkt(shape, rounding_precision=7)]
        cells = [*_read(line, told), *_words(_row(line, told)).values()]
        writer.writerow([*map(plain_cell, cells), *place])
    return out.getvalue().encode("utf-8-sig")


def _read(line: ChangeLine, told: _Told) -> list[str]:
    sign = told.signatures[line.change_id]
    return reading_cells(
        line,
        (sign.decided_by, sign.decided_ns),
        dates_of(line.before_shown, line.after_shown, told.ends),
        told.names.get(line.commune, ""),
        told.flights,
        told.language,
    )


def _title(told: _Told) -> str:
    return f"{_DRILL}: {told.event.name}" if told.event.is_drill else told.event.name


def _name(line: ChangeLine, told: _Told) -> str:
    place = told.names.get(line.commune, "")
    return f"{CHANGE_KINDS[line.kind][0]} {plain(area(line.area_m2, 'vi'))}" + (f", {place}" if place else "")


def _kmz(told: _Told) -> bytes:
    return kmz(
        _title(told),
        [
            Placemark(
                shape=shapely.from_wkb(line.wkb),
                name=_name(line, told),
                values=_words(_row(line, told)),
                colour=_COLOURS[line.kind],
            )
            for line in told.lines
        ],
    )


def _cap(told: _Told) -> bytes:
    """The identifier tells what is in it: the same changes, the same message."""
    said = "\n".join(f"{line.change_id} {line.version}" for line in told.lines)
    digest = hashlib.sha256(f"{told.event.event_id}\n{said}".encode()).hexdigest()[:32]
    places = [
        CapPlace(
            shape=shapely.from_wkb(line.wkb),
            event=CHANGE_KINDS[line.kind][0],
            category=_CATEGORIES[line.kind],
            certainty="Observed",
            description=_name(line, told) + (f". {line.note}" if line.note else ""),
            area=told.names.get(line.commune, "") or "ngoài ranh giới đã biết",
            geocode=line.commune,
        )
        for line in told.lines
    ]
    note = _CAP_DRILL if told.event.is_drill else _CAP_NOTE
    return cap_alert(f"flycam-{digest}", told.sender, told.at_ns, note, places, is_drill=told.event.is_drill)


_BYTES: dict[str, Callable[[_Told], bytes]] = {".kmz": _kmz, ".csv": _csv, ".xml": _cap}
ENDINGS = (".gpkg", ".geojson", *_BYTES)
