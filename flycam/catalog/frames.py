"""Frames and withdrawals: the recorded set that every mosaic is a fold over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Row, Select, select, update

from flycam.catalog import tables
from flycam.catalog.database import Database
from flycam.catalog.geometry_json import (
    exterior_from_json,
    exterior_to_json,
    interior_from_json,
    interior_to_json,
    provenance_from_json,
    provenance_to_json,
)
from flycam.catalog.records import FrameRecord, FrameStatus, Withdrawal
from flycam.errors import NotFound
from flycam.frame.frame import FrameHeader, Layer
from flycam.geometry.grid import TileId, TileRange

_ROWS_AT_ONCE = 2000
_WITHDRAWN_REASON = "withdrawn"


class Frames:
    """Frames by their content-derived id.

    Inside an epoch a frame contributes one patch, so the pose and terrain first recorded for a used frame
    stay: putting it again changes nothing. A rejected frame may be replaced, for its reason may no longer
    hold. A withdrawn frame stays withdrawn, whichever came first, frame or withdrawal.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, records: Iterable[FrameRecord]) -> list[FrameRecord]:
        """Record frames; idempotent. Returns them as they stand, which is what must be rectified."""
        standing: dict[str, FrameRecord] = {}
        order: list[str] = []
        remaining = iter(records)
        with self._database.write(alone_in=tables.frames) as connection:
            while chunk := list(islice(remaining, _ROWS_AT_ONCE)):
                order.extend(record.frame_id for record in chunk)
                standing.update(self._put_chunk(connection, chunk))
        return [standing[frame_id] for frame_id in order]

    def of_flight(self, flight_id: str, status: FrameStatus | None = None) -> list[FrameRecord]:
        """Frames of a flight in order of capture; of one status if given."""
        query = select(tables.frames).where(tables.frames.c.flight_id == flight_id)
        if status is not None:
            query = query.where(tables.frames.c.status == status.value)
        return self._fetch(query.order_by(tables.frames.c.captured_ns, tables.frames.c.frame_id))

    def get(self, frame_id: str) -> FrameRecord:
        """One frame; NotFound."""
        found = self._fetch(select(tables.frames).where(tables.frames.c.frame_id == frame_id))
        if not found:
            raise NotFound(f"{frame_id}: no such frame; take the id from the flight's list of frames")
        return found[0]

    def touching(self, flight_id: str, tile: TileId, status: FrameStatus | None = None) -> list[FrameRecord]:
        """Frames whose recorded tiles hold this base-zoom tile, of any status unless one is given."""
        c = tables.frames.c
        query = select(tables.frames).where(
            c.flight_id == flight_id,
            c.tile_z == tile.z,
            c.x_start <= tile.x,
            c.x_stop > tile.x,
            c.y_start <= tile.y,
            c.y_stop > tile.y,
        )
        if status is not None:
            query = query.where(c.status == status.value)
        return self._fetch(query.order_by(c.captured_ns, c.frame_id))

    def withdraw(self, withdrawals: Sequence[Withdrawal]) -> list[str]:
        """Take frames out for good; returns the ids that were not withdrawn before, sorted.

        A frame that is not known yet may be withdrawn: it will be withdrawn when it comes. Of two
        withdrawals of one frame the earlier one is kept, so boxes that exchange them agree.
        """
        earliest: dict[str, Withdrawal] = {}
        for withdrawal in sorted(withdrawals, key=_precedence):
            earliest.setdefault(withdrawal.frame_id, withdrawal)
        if not earliest:
            return []
        with self._database.write(alone_in=tables.frames) as connection:
            known = _withdrawals_of(connection, list(earliest))
            for frame_id, withdrawal in sorted(earliest.items()):
                before = known.get(frame_id)
                if before is None or _precedence(withdrawal) < _precedence(before):
                    self._withdraw_one(connection, withdrawal)
        return sorted(set(earliest) - set(known))

    def withdrawals(self, flight_id: str | None = None) -> list[Withdrawal]:
        """All withdrawals, or those of a flight's frames, in order of time."""
        c = tables.withdrawals.c
        query = select(tables.withdrawals).order_by(c.withdrawn_ns, c.frame_id)
        if flight_id is not None:
            of_flight = select(tables.frames.c.frame_id).where(tables.frames.c.flight_id == flight_id)
            query = query.where((c.flight_id == flight_id) | c.frame_id.in_(of_flight))
        with self._database.read() as connection:
            return [_withdrawal(row) for row in connection.execute(query)]

    def _fetch(self, query: Select[Any]) -> list[FrameRecord]:
        with self._database.read() as connection:
            return [_record(row) for row in connection.execute(query)]

    def _put_chunk(self, connection: Connection, chunk: Sequence[FrameRecord]) -> dict[str, FrameRecord]:
        ids = [record.frame_id for record in chunk]
        query = select(tables.frames).where(tables.frames.c.frame_id.in_(ids))
        kept = {
            row.frame_id: _record(row)
            for row in connection.execute(query)
            if row.status != FrameStatus.REJECTED.value
        }
        gone = _withdrawals_of(connection, ids)
        rows = {record.frame_id: _row(record, gone) for record in chunk if record.frame_id not in kept}
        if rows:
            ordered = [rows[frame_id] for frame_id in sorted(rows)]
            connection.execute(self._database.upsert(tables.frames), ordered)
        fresh = {record.frame_id: _amended(record, gone) for record in chunk if record.frame_id in rows}
        return fresh | kept

    def _withdraw_one(self, connection: Connection, withdrawal: Withdrawal) -> None:
        row = {
            "frame_id": withdrawal.frame_id,
            "flight_id": withdrawal.flight_id,
            "reason": withdrawal.reason,
            "authority": withdrawal.authority,
            "withdrawn_ns": withdrawal.withdrawn_ns,
        }
        connection.execute(self._database.upsert(tables.withdrawals), row)
        connection.execute(
            update(tables.frames)
            .where(tables.frames.c.frame_id == withdrawal.frame_id)
            .values(
                status=FrameStatus.WITHDRAWN.value, reason=_WITHDRAWN_REASON, message=_message(withdrawal)
            )
        )


def _precedence(withdrawal: Withdrawal) -> tuple[int, str, str, str]:
    return (withdrawal.withdrawn_ns, withdrawal.authority, withdrawal.reason, withdrawal.flight_id)


def _message(withdrawal: Withdrawal) -> str:
    return f"{withdrawal.reason} ({withdrawal.authority})"


def _withdrawals_of(connection: Connection, frame_ids: Sequence[str]) -> dict[str, Withdrawal]:
    query = select(tables.withdrawals).where(tables.withdrawals.c.frame_id.in_(frame_ids))
    return {row.frame_id: _withdrawal(row) for row in connection.execute(query)}


def _withdrawal(row: Row[Any]) -> Withdrawal:
    return Withdrawal(
        frame_id=row.frame_id,
        flight_id=row.flight_id,
        reason=row.reason,
        authority=row.authority,
        withdrawn_ns=row.withdrawn_ns,
    )


def _row(record: FrameRecord, gone: dict[str, Withdrawal]) -> dict[str, Any]:
    record = _amended(record, gone)
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
        "tile_z": None if tiles is None else int(tiles.z),
        "x_start": None if tiles is None else int(tiles.x_start),
        "y_start": None if tiles is None else int(tiles.y_start),
        "x_stop": None if tiles is None else int(tiles.x_stop),
        "y_stop": None if tiles is None else int(tiles.y_stop),
    }


def _amended(record: FrameRecord, gone: dict[str, Withdrawal]) -> FrameRecord:
    withdrawal = gone.get(record.frame_id)
    if withdrawal is None:
        return record
    return replace(
        record, status=FrameStatus.WITHDRAWN, reason=_WITHDRAWN_REASON, message=_message(withdrawal)
    )


def _record(row: Row[Any]) -> FrameRecord:
    header = FrameHeader(
        frame_id=row.frame_id,
        captured_ns=row.captured_ns,
        layer=Layer(row.layer),
        interior=interior_from_json(row.interior),
        exterior_prior=exterior_from_json(row.exterior_prior),
        provenance=provenance_from_json(row.provenance),
    )
    tiles = None
    if row.tile_z is not None:
        tiles = TileRange(
            z=row.tile_z, x_start=row.x_start, y_start=row.y_start, x_stop=row.x_stop, y_stop=row.y_stop
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
        tiles=tiles,
    )
