"""Records as rows of the catalogue: one codec for all tables.

A column holds the field of its name: numbers as they are (NULL for NaN), of enumerations the value, of
lists of text one item a line, and of other values their JSON text.

Orientations and provenance are stored exactly: every float comes back as the same float. Python writes the
shortest decimal that reads back as the same double, so nothing is rounded. NaN and infinities are written as
Python's json reads them; the text is for this catalogue, not for browsers.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from sqlalchemy import Connection, Row, Table, and_, select, tuple_, update

from flycam.catalog import tables
from flycam.geometry.camera import InteriorOrientation, LensModel
from flycam.geometry.grid import TileId, TileRange
from flycam.geometry.pose import CameraMotion, ExteriorOrientation, PoseSource
from flycam.messages import Message, decode_message, encode_message
from flycam.model.flight import Event, Flight
from flycam.model.frame import FrameHeader, Provenance, TileRecord
from flycam.model.records import BoundsLonLat, FrameRecord, FrameStatus, MosaicInfo, Withdrawal
from flycam.model.text import to_canonical_name, to_visible

# -- Orientations and provenance as JSON text ------------------------------------------------------


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _floats(values: Any) -> list[float]:
    return [float(v) for v in values]


@lru_cache(maxsize=256)
def interior_to_json(interior: InteriorOrientation) -> str:
    """Return the JSON text of an interior orientation.

    A flight has one camera, so the last few are cached.
    """
    return _text(
        {
            "model": interior.model.value,
            "size": [int(v) for v in interior.image_size_px],
            "focal": _floats(interior.focal_length_px),
            "centre": _floats(interior.principal_point_px),
            "distortion": _floats(interior.distortion),
            "readout_s": None if interior.readout_s is None else float(interior.readout_s),
            "calibration_id": interior.calibration_id,
            "sigma_focal_rel": float(interior.sigma_focal_rel),
        }
    )


@lru_cache(maxsize=256)
def interior_from_json(text: str) -> InteriorOrientation:
    """Parse an interior orientation; inverse of `interior_to_json`.

    Frames of one camera share one value.
    """
    value = json.loads(text)
    return InteriorOrientation(
        model=LensModel(value["model"]),
        image_size_px=tuple(value["size"]),
        focal_length_px=tuple(value["focal"]),
        principal_point_px=tuple(value["centre"]),
        distortion=tuple(value["distortion"]),
        readout_s=value["readout_s"],
        calibration_id=value["calibration_id"],
        sigma_focal_rel=value["sigma_focal_rel"],
    )


def exterior_to_json(exterior: ExteriorOrientation) -> str:
    """Return the JSON text of an exterior orientation.

    "height_on_terrain" is there only if true, "motion" only if the pose has one.
    """
    motion = exterior.motion
    moves = motion and {"velocity": _floats(motion.velocity_mps), "turn": _floats(motion.turn_radps)}
    return _text(
        {
            "centre": _floats(exterior.projection_centre_m),
            "rotation": [_floats(row) for row in exterior.rotation],
            "work_crs": exterior.work_crs,
            "vertical_datum": exterior.vertical_datum,
            "grid_scale": float(exterior.grid_scale),
            "sigma_position_m": _floats(exterior.sigma_position_m),
            "sigma_attitude_rad": _floats(exterior.sigma_attitude_rad),
            "source": exterior.source.value,
            "version": int(exterior.version),
            **({"height_on_terrain": True} if exterior.height_on_terrain else {}),
            **({"motion": moves} if moves else {}),
        }
    )


def exterior_from_json(text: str) -> ExteriorOrientation:
    """Parse an exterior orientation; inverse of `exterior_to_json`."""
    value = json.loads(text)
    first, second, third = (tuple(row) for row in value["rotation"])
    return ExteriorOrientation(
        projection_centre_m=tuple(value["centre"]),
        rotation=(first, second, third),
        work_crs=value["work_crs"],
        vertical_datum=value["vertical_datum"],
        grid_scale=value["grid_scale"],
        sigma_position_m=tuple(value["sigma_position_m"]),
        sigma_attitude_rad=tuple(value["sigma_attitude_rad"]),
        source=PoseSource(value["source"]),
        version=value["version"],
        height_on_terrain=value.get("height_on_terrain", False),
        motion=_motion_of(value["motion"]) if "motion" in value else None,
    )


def _motion_of(value: dict[str, Any]) -> CameraMotion:
    return CameraMotion(velocity_mps=tuple(value["velocity"]), turn_radps=tuple(value["turn"]))


def provenance_to_json(provenance: Provenance) -> str:
    """Return the JSON text of a frame's provenance."""
    value: dict[str, Any] = {
        "source_name": provenance.source_name,
        "source_sha256": provenance.source_sha256,
        "camera": provenance.camera,
        "operator": provenance.operator,
        "settled": list(provenance.settled),
    }
    if provenance.film is not None:
        value["film"] = provenance.film
    return _text(value)


def provenance_from_json(text: str) -> Provenance:
    """Parse a provenance; inverse of `provenance_to_json`."""
    value = json.loads(text)
    value["settled"] = tuple(value["settled"])
    return Provenance(**value)


# -- Conversion of any record to and from a row ----------------------------------------------------


_Record = TypeVar("_Record")

BOX_COLUMNS = ("west", "south", "east", "north")

_PARTS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    **{side: ("bounds_lonlat_deg", itemgetter(number)) for number, side in enumerate(BOX_COLUMNS)},
    **{name: ("tile_id", attrgetter(name)) for name in ("z", "x", "y")},
    "tile_z": ("tiles", attrgetter("z")),
    **{name: ("tiles", attrgetter(name)) for name in ("x_start", "y_start", "x_stop", "y_stop")},
}
"""Fields that take several columns: by column the field, and which part of it."""


def parse_box(row: Row[Any]) -> BoundsLonLat | None:
    """Return (west, south, east, north) of a row; None without a box."""
    return None if row.west is None else (row.west, row.south, row.east, row.north)


def _parse_tile_range(row: Row[Any]) -> TileRange | None:
    if row.tile_z is None:
        return None
    return TileRange(
        z=row.tile_z, x_start=row.x_start, y_start=row.y_start, x_stop=row.x_stop, y_stop=row.y_stop
    )


_WHOLE: Mapping[str, Callable[[Row[Any]], Any]] = {
    "bounds_lonlat_deg": parse_box,
    "tile_id": lambda row: TileId(z=row.z, x=row.x, y=row.y),
    "tiles": _parse_tile_range,
}
"""Readers of the fields that take several columns."""

_TEXTS: Mapping[type, tuple[Callable[[Any], str], Callable[[str], Any]]] = {
    InteriorOrientation: (interior_to_json, interior_from_json),
    ExteriorOrientation: (exterior_to_json, exterior_from_json),
    Provenance: (provenance_to_json, provenance_from_json),
    Message: (
        lambda message: json.dumps(encode_message(message), ensure_ascii=False),
        lambda text: decode_message(json.loads(text)),
    ),
    tuple: ("\n".join, lambda text: tuple(text.splitlines())),
    # NaN is not valid JSON: callers must pass None for what is not known
    Mapping: (
        lambda value: json.dumps(dict(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False),
        json.loads,
    ),
}
"""Writers and readers of values that are text in the catalogue."""

_ABSENT = object()


def to_row(table: Table, *records: Any, **columns: Any) -> dict[str, Any]:
    """Convert a record to a row of a table; inverse of `parse_row`.

    records  several: each column comes from the first that has it
    columns  given instead
    """
    row = dict(columns)
    for name, field, part, kind in _list_columns(table):
        if name not in columns:
            value = _get_field(records, field)
            row[name] = to_column(value if value is None or part is None else part(value), kind)
    return row


def _get_field(records: Sequence[Any], field: str) -> Any:
    for one in records:
        value = getattr(one, field, _ABSENT)
        if value is not _ABSENT:
            return value
    raise AttributeError(field)


def parse_row(kind: type[_Record], row: Any, **given: Any) -> _Record:
    """Convert a row to a record; inverse of `to_row`.

    given  fields that are not taken from the row; those without a column keep their default

    Raises ValueError for a value that an enumeration does not have.
    """
    fields = dict(given)
    for name, decode in _list_fields(kind):  # type: ignore[arg-type]
        if name in given:
            continue
        if name in _WHOLE:
            fields[name] = _WHOLE[name](row)
            continue
        value = getattr(row, name, _ABSENT)
        if value is not _ABSENT:
            fields[name] = decode(value)
    return kind(**fields)


@lru_cache(maxsize=64)
def _list_columns(table: Table) -> list[tuple[str, str, Callable[[Any], Any] | None, type]]:
    """List the name of each column, its field, which part of that, and its type."""
    return [
        (column.name, *_PARTS.get(column.name, (column.name, None)), column.type.python_type)
        for column in table.columns
    ]


@lru_cache(maxsize=64)
def _list_fields(kind: type) -> list[tuple[str, Callable[[Any], Any]]]:
    """List the fields of a record, and what reads their columns."""
    hints = get_type_hints(kind)
    return [(one.name, _choose_decoder(hints[one.name])) for one in dataclasses.fields(kind)]


def _choose_decoder(hint: Any) -> Callable[[Any], Any]:
    if hint is float:
        return lambda value: math.nan if value is None else value
    if type(None) in get_args(hint):
        (hint,) = (one for one in get_args(hint) if one is not type(None))
    origin = get_origin(hint) or hint
    is_enum = isinstance(origin, type) and issubclass(origin, Enum)
    if not (is_enum or origin in _TEXTS):
        return lambda value: value
    read = origin if is_enum else _TEXTS[origin][1]
    return lambda value: None if value is None else read(value)


def to_column(value: Any, kind: type = str) -> Any:
    """Convert a value to a column of a Python type, numbers of NumPy too."""
    if value is None:
        return None
    if kind is float:
        return None if math.isnan(value) else float(value)
    if type(value) is kind:
        return value
    if isinstance(value, Enum):
        return value.value
    write = next((write for one, (write, _read) in _TEXTS.items() if isinstance(value, one)), kind)
    return write(value)


# -- Flights, events, frames, withdrawals and mosaics as rows --------------------------------------


def to_event_row(event: Event) -> dict[str, Any]:
    """Convert an event to a row."""
    return to_row(tables.events, event, name=to_canonical_name(event.name))


def parse_event_row(row: Row[Any]) -> Event:
    """Convert a row to an event; inverse of `to_event_row`."""
    return parse_row(Event, row, name=to_visible(row.name))  # from another node


def to_flight_row(flight: Flight) -> dict[str, Any]:
    """Convert a flight to a row."""
    warnings = json.dumps(list(flight.warnings), ensure_ascii=False)
    return to_row(tables.flights, flight, name=to_canonical_name(flight.name), warnings=warnings)


def parse_flight_row(row: Row[Any]) -> Flight:
    """Convert a row to a flight; inverse of `to_flight_row`."""
    # the name may be from another node
    return parse_row(Flight, row, name=to_visible(row.name), warnings=tuple(json.loads(row.warnings)))


def to_frame_row(record: FrameRecord) -> dict[str, Any]:
    """Convert a frame to a row."""
    return to_row(tables.frames, record, record.header)


def parse_frame_row(row: Row[Any]) -> FrameRecord:
    """Convert a row to a frame; inverse of `to_frame_row`."""
    return parse_row(FrameRecord, row, header=parse_row(FrameHeader, row))


def to_mosaic_row(mosaic: MosaicInfo) -> dict[str, Any]:
    """Convert a mosaic to a new row.

    Only `publish` shows it, so that at most one revision is shown.
    """
    return to_row(tables.mosaics, mosaic, published=False)


_WITHDRAWN_REASON = "withdrawn"


def rank_withdrawal(withdrawal: Withdrawal) -> tuple[int, str, str, str]:
    """Return the sort key of a frame's withdrawals; the smallest is kept."""
    return (withdrawal.withdrawn_ns, withdrawal.authority, withdrawal.reason, withdrawal.flight_id)


def to_withdrawal_columns(withdrawal: Withdrawal) -> dict[str, Any]:
    """Return the columns of a frame's row that a withdrawal sets."""
    return {
        "status": FrameStatus.WITHDRAWN.value,
        "reason": _WITHDRAWN_REASON,
        "message": _message(withdrawal),
    }


def _message(withdrawal: Withdrawal) -> str:
    return f"{withdrawal.reason} ({withdrawal.authority})"


def fetch_withdrawals(connection: Connection, frame_ids: Sequence[str]) -> dict[str, Withdrawal]:
    """Return the withdrawals of these frames, by frame."""
    query = select(tables.withdrawals).where(tables.withdrawals.c.frame_id.in_(frame_ids))
    return {row.frame_id: parse_row(Withdrawal, row) for row in connection.execute(query)}


def apply_withdrawal(record: FrameRecord, withdrawals: Mapping[str, Withdrawal]) -> FrameRecord:
    """Return the record, withdrawn if a withdrawal names its frame."""
    withdrawal = withdrawals.get(record.frame_id)
    if withdrawal is None:
        return record
    return replace(
        record, status=FrameStatus.WITHDRAWN, reason=_WITHDRAWN_REASON, message=_message(withdrawal)
    )


# -- Heads of tiles, and the revision that is shown ------------------------------------------------


_TILES_AT_ONCE = 5000


def fetch_heads(
    connection: Connection, mosaic_id: str, revision: int, wanted: Sequence[TileId]
) -> dict[TileId, TileRecord]:
    """Return the heads of these tiles, without tiles that have none."""
    c = tables.tile_heads.c
    of_mosaic = and_(c.mosaic_id == mosaic_id, c.revision == revision)
    found: dict[TileId, TileRecord] = {}
    for start in range(0, len(wanted), _TILES_AT_ONCE):
        addresses = [(tile.z, tile.x, tile.y) for tile in wanted[start : start + _TILES_AT_ONCE]]
        query = select(tables.tile_heads).where(of_mosaic, tuple_(c.z, c.x, c.y).in_(addresses))
        for row in connection.execute(query):
            record = parse_row(TileRecord, row)
            found[record.tile_id] = record
    return found


def show_revision(connection: Connection, mosaic_id: str, revision: int) -> bool:
    """Show this revision of the mosaic; return False if there is none of that number."""
    c = tables.mosaics.c
    of_mosaic = update(tables.mosaics).where(c.mosaic_id == mosaic_id)
    connection.execute(of_mosaic.where(c.revision != revision).values(published=False))
    return connection.execute(of_mosaic.where(c.revision == revision).values(published=True)).rowcount > 0
