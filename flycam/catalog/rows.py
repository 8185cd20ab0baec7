"""Conversion of records to and from catalogue rows, and their JSON columns.

Orientations and provenance are stored as JSON text, exactly: every float comes back as the same float. Python
writes the shortest decimal that reads back as the same double, so nothing is rounded. NaN and infinities are
written as Python's json reads them; the text is for this catalogue, not for browsers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Row, and_, select, tuple_, update

from flycam.catalog import tables
from flycam.catalog.tables import parse_box, to_box_columns
from flycam.geometry.camera import InteriorOrientation, LensModel
from flycam.geometry.grid import TileId, TileRange
from flycam.geometry.pose import CameraMotion, ExteriorOrientation, PoseSource
from flycam.model.flight import Event, EventKind, Flight, FlightState
from flycam.model.frame import FrameHeader, Provenance, TileRecord
from flycam.model.layer import Layer
from flycam.model.records import FrameRecord, FrameStatus, MosaicInfo, Withdrawal
from flycam.model.text import to_canonical_name, to_visible

# -- Conversion of flights and events to and from rows ---------------------------------------------


def to_event_row(event: Event) -> dict[str, Any]:
    """Convert an event to a row."""
    return {
        "event_id": event.event_id,
        "name": to_canonical_name(event.name),
        "kind": event.kind.value,
        "is_drill": event.is_drill,
        "risk_level": event.risk_level,
        "starts_ns": event.starts_ns,
        "ends_ns": event.ends_ns,
    }


def parse_event_row(row: Row[Any]) -> Event:
    """Convert a row to an event; inverse of `to_event_row`."""
    return Event(
        event_id=row.event_id,
        name=to_visible(row.name),  # from another node
        kind=EventKind(row.kind),
        is_drill=row.is_drill,
        risk_level=row.risk_level,
        starts_ns=row.starts_ns,
        ends_ns=row.ends_ns,
    )


def to_flight_row(flight: Flight) -> dict[str, Any]:
    """Convert a flight to a row."""
    return {
        "flight_id": flight.flight_id,
        "name": to_canonical_name(flight.name),
        "event_id": flight.event_id,
        "state": flight.state.value,
        "work_crs": flight.work_crs,
        "vertical_datum": flight.vertical_datum,
        "dem_id": flight.dem_id,
        "gsd_m": float(flight.gsd_m),
        "first_ns": int(flight.first_ns),
        "last_ns": int(flight.last_ns),
        **to_box_columns(flight.bounds_lonlat_deg),
        "operator": flight.operator,
        "warnings": json.dumps(list(flight.warnings), ensure_ascii=False),
    }


def parse_flight_row(row: Row[Any]) -> Flight:
    """Convert a row to a flight; inverse of `to_flight_row`."""
    return Flight(
        flight_id=row.flight_id,
        name=to_visible(row.name),  # from another node
        event_id=row.event_id,
        state=FlightState(row.state),
        work_crs=row.work_crs,
        vertical_datum=row.vertical_datum,
        dem_id=row.dem_id,
        gsd_m=row.gsd_m,
        first_ns=row.first_ns,
        last_ns=row.last_ns,
        bounds_lonlat_deg=parse_box(row),
        operator=row.operator,
        warnings=tuple(json.loads(row.warnings)),
    )


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


# -- Conversion of frames and withdrawals to and from rows -----------------------------------------


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
    return {row.frame_id: parse_withdrawal_row(row) for row in connection.execute(query)}


def parse_withdrawal_row(row: Row[Any]) -> Withdrawal:
    """Convert a row to a withdrawal."""
    return Withdrawal(
        frame_id=row.frame_id,
        flight_id=row.flight_id,
        reason=row.reason,
        authority=row.authority,
        withdrawn_ns=row.withdrawn_ns,
    )


def to_frame_row(record: FrameRecord) -> dict[str, Any]:
    """Convert a frame to a row."""
    header, tiles = record.header, record.tiles
    return {
        "frame_id": header.frame_id,
        "flight_id": record.flight_id,
        "captured_ns": int(header.captured_ns),
        "layer": header.layer.value,
        "status": FrameStatus(record.status).value,
        "reason": record.reason,
        "message": record.message,
        "interior": interior_to_json(header.interior),
        "exterior_prior": exterior_to_json(header.exterior_prior),
        "provenance": provenance_to_json(header.provenance),
        "exterior": None if record.exterior is None else exterior_to_json(record.exterior),
        "dem_id": record.dem_id,
        "footprint_wkb": record.footprint_wkb,
        "gsd_m": None if record.gsd_m is None else float(record.gsd_m),
        **to_tile_columns(tiles),
    }


def apply_withdrawal(record: FrameRecord, withdrawals: Mapping[str, Withdrawal]) -> FrameRecord:
    """Return the record, withdrawn if a withdrawal names its frame."""
    withdrawal = withdrawals.get(record.frame_id)
    if withdrawal is None:
        return record
    return replace(
        record, status=FrameStatus.WITHDRAWN, reason=_WITHDRAWN_REASON, message=_message(withdrawal)
    )


def parse_frame_row(row: Row[Any]) -> FrameRecord:
    """Convert a row to a frame; inverse of `to_frame_row`."""
    header = FrameHeader(
        frame_id=row.frame_id,
        captured_ns=row.captured_ns,
        layer=Layer(row.layer),
        interior=interior_from_json(row.interior),
        exterior_prior=exterior_from_json(row.exterior_prior),
        provenance=provenance_from_json(row.provenance),
    )
    return FrameRecord(
        header=header,
        flight_id=row.flight_id,
        status=FrameStatus(row.status),
        reason=row.reason,
        message=row.message,
        exterior=None if row.exterior is None else exterior_from_json(row.exterior),
        dem_id=row.dem_id,
        footprint_wkb=row.footprint_wkb,
        gsd_m=row.gsd_m,
        tiles=parse_tile_columns(row),
    )


def to_tile_columns(tiles: TileRange | None) -> dict[str, int | None]:
    """Convert a rectangle of tiles to columns."""
    return {
        "tile_z": None if tiles is None else int(tiles.z),
        "x_start": None if tiles is None else int(tiles.x_start),
        "y_start": None if tiles is None else int(tiles.y_start),
        "x_stop": None if tiles is None else int(tiles.x_stop),
        "y_stop": None if tiles is None else int(tiles.y_stop),
    }


def parse_tile_columns(row: Row[Any]) -> TileRange | None:
    """Convert columns to a rectangle of tiles; inverse of `to_tile_columns`."""
    if row.tile_z is None:
        return None
    return TileRange(
        z=row.tile_z, x_start=row.x_start, y_start=row.y_start, x_stop=row.x_stop, y_stop=row.y_stop
    )


# -- Conversion of mosaics, tile heads and lines of the tile log to and from rows ------------------


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
            record = parse_tile_row(row)
            found[record.tile_id] = record
    return found


def show_revision(connection: Connection, mosaic_id: str, revision: int) -> bool:
    """Show this revision of the mosaic; return False if there is none of that number."""
    c = tables.mosaics.c
    of_mosaic = update(tables.mosaics).where(c.mosaic_id == mosaic_id)
    connection.execute(of_mosaic.where(c.revision != revision).values(published=False))
    return connection.execute(of_mosaic.where(c.revision == revision).values(published=True)).rowcount > 0


def to_mosaic_row(mosaic: MosaicInfo) -> dict[str, Any]:
    """Convert a mosaic to a new row.

    Only `publish` shows it, so that at most one revision is shown.
    """
    return {
        "mosaic_id": mosaic.mosaic_id,
        "revision": mosaic.revision,
        "flight_id": mosaic.flight_id,
        "layer": mosaic.layer.value,
        "base_zoom": mosaic.base_zoom,
        "min_zoom": mosaic.min_zoom,
        "published": False,
    }


def parse_mosaic_row(row: Row[Any]) -> MosaicInfo:
    """Convert a row to a mosaic; inverse of `to_mosaic_row`."""
    return MosaicInfo(
        mosaic_id=row.mosaic_id,
        flight_id=row.flight_id,
        layer=Layer(row.layer),
        revision=row.revision,
        base_zoom=row.base_zoom,
        min_zoom=row.min_zoom,
        published=row.published,
    )


def to_tile_row(record: TileRecord) -> dict[str, Any]:
    """Convert a tile record to a row of the log and of the heads."""
    return {
        "mosaic_id": record.mosaic_id,
        "seq": record.seq,
        "revision": record.revision,
        "z": int(record.tile_id.z),
        "x": int(record.tile_id.x),
        "y": int(record.tile_id.y),
        "origin": record.origin,
        "epoch": record.epoch,
        "key": record.key,
        "content_hash": record.content_hash,
        "written_ns": int(record.written_ns),
    }


def parse_tile_row(row: Row[Any]) -> TileRecord:
    """Convert a row to a tile record; inverse of `to_tile_row`."""
    return TileRecord(
        seq=row.seq,
        origin=row.origin,
        mosaic_id=row.mosaic_id,
        revision=row.revision,
        epoch=row.epoch,
        tile_id=TileId(z=row.z, x=row.x, y=row.y),
        key=row.key,
        content_hash=row.content_hash,
        written_ns=row.written_ns,
    )
