"""Export of settlements: as JSON, and as a file of points."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from flycam.errors import OptionUnusable
from flycam.frame.flight import DRILL_MARK, Event
from flycam.frame.text_normalization import escape_cell
from flycam.frame.timestamp import format_iso
from flycam.geodata.crs import WGS84
from flycam.geodata.feature_file import FeatureLayer, write_features
from flycam.messages import _
from flycam.pipeline.atomic_file import write_file_atomically
from flycam.pipeline.settlements import REACH_M, Settlement, list_event_settlements
from flycam.pipeline.workspace import Workspace

PointTransform = Callable[[NDArray[np.float64]], NDArray[np.float64]]

SUFFIXES = (".csv", ".geojson", ".gpkg")
_COLUMNS = (
    *("settlement_id", "name", "commune", "commune_name", "access", "proposed", "roads_say"),
    *("said_by", "said", "note", "in_layer", "event", "drill"),
)


def _as_they_are(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return points


def serialize_settlement(one: Settlement) -> dict[str, Any]:
    """Return a settlement's status as JSON.

    `access` is what a person reported, unknown where nobody has (`said_by` null); `proposed` is inferred from
    cut roads. version: 0 where nobody has reported.
    """
    line = one.line
    return {
        "settlement_id": one.settlement_id,
        "name": one.name,
        "commune": one.commune,
        "commune_name": one.commune_name,
        "access": one.access.value,
        "proposed": one.road_evidence.proposed_access.value,
        "roads_say": one.road_evidence.value,
        "version": line.version if line else 0,
        "said_by": line.author if line else None,
        "said": format_iso(line.at_ns, "seconds") if line else None,
        "note": line.note if line else "",
        "in_layer": one.is_from_layer,
        "lonlat": [round(one.shape.x, 7), round(one.shape.y, 7)],
    }


def export_settlements(workspace: Workspace, out: Path, event: str, reach_m: float = REACH_M) -> int:
    """Write settlements of an event (name or id) to .csv, .geojson or .gpkg.

    Returns their number. WGS 84. Raises OptionUnusable (another suffix), NotFound, InputUnusable (an invalid
    reach), StorageFailed.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise OptionUnusable(
            _("{out}: give a name that ends in {endings}", out=out, endings=", ".join(SUFFIXES))
        )
    found = workspace.catalog.flights.event(event)
    settlements = list_event_settlements(workspace, found, reach_m)
    if out.suffix.lower() == ".csv":
        write_file_atomically(out, _csv(settlements, found))
    else:
        write_features(out, [build_settlement_layer([(found, one) for one in settlements])], crs=WGS84)
    return len(settlements)


def build_settlement_layer(
    settlements: Sequence[tuple[Event, Settlement]], transform: PointTransform = _as_they_are
) -> FeatureLayer:
    """Build a layer of points, transformed from WGS 84.

    It has the same columns if empty.
    """
    rows = [_row(one, event) for event, one in settlements]
    shapes = np.empty(len(rows), dtype=object)
    shapes[:] = [shapely.transform(one.shape, transform) for _, one in settlements]
    fields = {name: np.array([row[name] for row in rows], dtype=object) for name in _COLUMNS}
    return FeatureLayer(name="settlements", kind="Point", shapes=shapes, fields=fields)


def _row(one: Settlement, event: Event) -> dict[str, str]:
    said = serialize_settlement(one)
    drill = DRILL_MARK if event.is_drill else ""
    words = {**said, "in_layer": "yes" if one.is_from_layer else "no", "event": event.name, "drill": drill}
    return {name: "" if words[name] is None else str(words[name]) for name in _COLUMNS}


def _csv(settlements: Sequence[Settlement], event: Event) -> bytes:
    """Encode as CSV with the byte order mark by which spreadsheets recognise UTF-8."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*_COLUMNS, "lon_deg", "lat_deg"])
    for one in settlements:
        cells = map(escape_cell, _row(one, event).values())
        writer.writerow([*cells, f"{one.shape.x:.7f}", f"{one.shape.y:.7f}"])
    return out.getvalue().encode("utf-8-sig")
