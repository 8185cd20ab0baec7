"""Conversion of frames and withdrawals to and from rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, select

from flycam.catalog import tables
from flycam.catalog.geometry_json import (
    exterior_from_json,
    exterior_to_json,
    interior_from_json,
    interior_to_json,
    provenance_from_json,
    provenance_to_json,
)
from flycam.catalog.records import FrameRecord, FrameStatus, Withdrawal
from flycam.frame.frame import FrameHeader, Layer
from flycam.geometry.grid import TileRange

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
