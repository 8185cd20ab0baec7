"""Frames and withdrawals: the recorded set from which every mosaic is derived.

Frames are found by id, by tile, and by the hash of their original. Footprints are in WGS 84 degrees.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from sqlalchemy import Connection, Select, func, select, update

from flycam.catalog import tables
from flycam.catalog.database import Database
from flycam.catalog.placements import apply_placements, fetch_placements, join_placements, to_placement
from flycam.catalog.rows import (
    apply_withdrawal,
    fetch_withdrawals,
    parse_frame_row,
    parse_row,
    provenance_from_json,
    rank_withdrawal,
    to_frame_row,
    to_row,
    to_withdrawal_columns,
)
from flycam.catalog.tables import kept_originals
from flycam.errors import NotFound
from flycam.geometry.grid import TileId
from flycam.messages import _
from flycam.model.frame import Provenance, derive_frame_id
from flycam.model.records import BoundsLonLat, FrameRecord, FrameStatus, Placement, Withdrawal

# -- Footprints of recorded frames -----------------------------------------------------------------


def parse_footprints(frames: Iterable[FrameRecord]) -> NDArray[np.object_]:
    """Return valid polygons in WGS 84 degrees, without frames that have none."""
    return np.asarray(shapely.make_valid(_recorded(frames)), dtype=object)


def compute_footprint_bounds(frames: Iterable[FrameRecord]) -> BoundsLonLat | None:
    """Return (west, south, east, north) in degrees of all footprints; None without."""
    outlines = _recorded(frames)
    if not len(outlines):
        return None
    west, south, east, north = (float(side) for side in shapely.total_bounds(outlines))
    return west, south, east, north


def _recorded(frames: Iterable[FrameRecord]) -> NDArray[np.object_]:
    written = [frame.footprint_wkb for frame in frames if frame.footprint_wkb is not None]
    return np.asarray(shapely.from_wkb(np.array(written, dtype=object)), dtype=object)


# -- Frames by the hash of their original ----------------------------------------------------------
#
# A photo's frame id is made of that hash; a video frame's of the video and its time in it, so that it is the
# same whatever bytes it is stored as, so its hash is recorded.


_c = tables.film_pictures.c


def record_video_frames(connection: Connection, insert: Any, frames: Iterable[FrameRecord]) -> None:
    """Record the hashes of video frames within a transaction.

    Skips frames that are found by their hash alone.

    insert  into `film_pictures`, of the database's dialect
    """
    sources = {one.header.provenance.source_sha256: one.frame_id for one in frames}
    rows = [
        {"source_sha256": sha256, "frame_id": frame_id}
        for sha256, frame_id in sorted(sources.items())  # sorted to avoid deadlocks
        if _is_noted(sha256, frame_id)
    ]
    if rows:
        connection.execute(insert.on_conflict_do_nothing(index_elements=["source_sha256"]), rows)


def find_frame_id(connection: Connection, sha256: str) -> str:
    """Return the id that the frame of an original has if it exists."""
    noted = connection.execute(select(_c.frame_id).where(_c.source_sha256 == sha256)).scalar()
    return derive_frame_id(sha256) if noted is None else noted


def _is_noted(sha256: str, frame_id: str) -> bool:
    return bool(sha256) and frame_id != derive_frame_id(sha256)


# -- Originals whose bytes were once in this node's store ------------------------------------------
#
# One that is not there any more is lost or purged. Originals of other nodes' frames may never have been here.


_ROWS_AT_ONCE = 2000


class StoredOriginals:
    """A set of SHA-256 (hex) that only grows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, hashes: Iterable[str]) -> None:
        """Record that these are in the store durably; on disk on return."""
        unique = set(hashes)
        new = unique - self.filter_known(unique)  # no transaction without new hashes
        if new:
            with self._database.write() as connection:
                record_stored(connection, self._database, new)

    def filter_known(self, hashes: Iterable[str]) -> set[str]:
        """Return those of these that were once here."""
        unique, found = sorted(set(hashes)), set[str]()
        c = kept_originals.c
        with self._database.read() as connection:
            for start in range(0, len(unique), _ROWS_AT_ONCE):
                some = unique[start : start + _ROWS_AT_ONCE]
                found.update(connection.execute(select(c.sha256).where(c.sha256.in_(some))).scalars())
        return found


def record_stored(connection: Connection, database: Database, hashes: Iterable[str]) -> None:
    """Record hashes as `StoredOriginals.note`, within a transaction."""
    # sorted, so that no two transactions wait for each other
    rows = [{"sha256": sha256} for sha256 in sorted(set(hashes))]
    if rows:
        insert = database.insert(kept_originals).on_conflict_do_nothing(index_elements=["sha256"])
        connection.execute(insert, rows)


# -- Frames by id, and their withdrawals -----------------------------------------------------------


class Frames:
    """Frames by their content-derived id.

    Inside an epoch a frame contributes one orthopatch, so the pose and terrain first recorded for a used
    frame stay: putting it again changes nothing. Another pose or terrain comes by `Placements.supersede`. A
    rejected frame may be replaced, because its reason may no longer hold. A withdrawn frame stays withdrawn,
    whichever came first, frame or withdrawal; but its placement is recorded if it had none here: its pixels
    may be in tiles of another node.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, records: Iterable[FrameRecord], *, is_stored: bool = False) -> list[FrameRecord]:
        """Record frames, idempotently; return them as recorded, to be orthorectified.

        is_stored  the originals of those used are in the store, as `StoredOriginals.note` requires

        Raises FlightBusy if this process held the lock of their flight and lost it: its new holder may be
        through with the flight, and nobody would orthorectify what is recorded after.
        """
        recorded: dict[str, FrameRecord] = {}
        order: list[str] = []
        remaining = iter(records)
        with self._database.write(alone_in=tables.frames) as connection:
            while chunk := list(islice(remaining, _ROWS_AT_ONCE)):
                self._database.require_held(connection, *sorted({record.flight_id for record in chunk}))
                order.extend(record.frame_id for record in chunk)
                recorded.update(self._put_chunk(connection, chunk))
                if is_stored:
                    used = (one.header.provenance for one in chunk if one.status is FrameStatus.USED)
                    record_stored(connection, self._database, (one.source_sha256 for one in used))
        return [recorded[frame_id] for frame_id in order]

    def list_for_flight(self, flight_id: str, status: FrameStatus | None = None) -> list[FrameRecord]:
        """Return frames of a flight in order of capture; of one status if given."""
        query = select(tables.frames).where(tables.frames.c.flight_id == flight_id)
        if status is not None:
            query = query.where(tables.frames.c.status == status.value)
        return self._fetch(query.order_by(tables.frames.c.captured_ns, tables.frames.c.frame_id))

    def count_used(self) -> dict[str, int]:
        """Count the frames on the map, by flight; flights without any are left out."""
        c = tables.frames.c
        query = select(c.flight_id, func.count()).where(c.status == FrameStatus.USED.value)
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(query.group_by(c.flight_id))}

    def find_latest_originals(self, flight_id: str | None = None) -> dict[str, Provenance]:
        """Return by flight the provenance of its latest capture, whatever its status.

        Of all flights, or of this one; those without frames are left out.
        """
        c, flight = tables.frames.c, tables.flights.c.flight_id
        newest = select(c.provenance).where(c.flight_id == flight)
        newest = newest.order_by(c.captured_ns.desc(), c.frame_id.desc()).limit(1)
        query = select(flight, newest.correlate(tables.flights).scalar_subquery().label("provenance"))
        if flight_id is not None:
            query = query.where(flight == flight_id)
        with self._database.read() as connection:
            rows = connection.execute(query)
            return {row.flight_id: provenance_from_json(row.provenance) for row in rows if row.provenance}

    def get(self, frame_id: str) -> FrameRecord:
        """Return one frame, or raise NotFound."""
        found = self._fetch(select(tables.frames).where(tables.frames.c.frame_id == frame_id))
        if not found:
            raise NotFound(
                _(
                    "{frame_id}: no such frame; take the id from the flight's list of frames",
                    frame_id=frame_id,
                )
            )
        return found[0]

    def get_by_original(self, sha256: str) -> FrameRecord:
        """Return the frame of a stored photo or video frame, or raise NotFound.

        sha256  of its bytes as they are stored
        """
        with self._database.read() as connection:
            frame_id = find_frame_id(connection, sha256)
        found = self.get_many([frame_id])
        if not found:
            raise make_photo_not_found(sha256)
        return found[0]

    def get_many(self, frame_ids: Sequence[str]) -> list[FrameRecord]:
        """Return those of these frames that are recorded."""
        found: list[FrameRecord] = []
        for start in range(0, len(frame_ids), _ROWS_AT_ONCE):
            part = list(frame_ids[start : start + _ROWS_AT_ONCE])
            found += self._fetch(select(tables.frames).where(tables.frames.c.frame_id.in_(part)))
        return found

    def list_touching_tile(
        self, flight_id: str, tile: TileId, status: FrameStatus | None = None
    ) -> list[FrameRecord]:
        """Return frames whose recorded tiles include this base-zoom tile.

        Of any status unless one is given.
        """
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
        """Withdraw frames for ever; return the newly withdrawn ids, sorted.

        A frame that is not known yet may be withdrawn: it will be withdrawn when it comes. Of two withdrawals
        of one frame the earlier one is kept, so nodes that exchange them agree. Raises FlightBusy as `put`
        does.
        """
        earliest: dict[str, Withdrawal] = {}
        for withdrawal in sorted(withdrawals, key=rank_withdrawal):
            earliest.setdefault(withdrawal.frame_id, withdrawal)
        if not earliest:
            return []
        with self._database.write(alone_in=tables.frames) as connection:
            flights = {one.flight_id for one in earliest.values() if one.flight_id}
            self._database.require_held(connection, *sorted(flights))
            known = fetch_withdrawals(connection, list(earliest))
            for frame_id, withdrawal in sorted(earliest.items()):
                before = known.get(frame_id)
                if before is None or rank_withdrawal(withdrawal) < rank_withdrawal(before):
                    self._withdraw_one(connection, withdrawal)
        return sorted(set(earliest) - set(known))

    def withdrawals(self, flight_id: str | None = None) -> list[Withdrawal]:
        """Return all withdrawals, or those of a flight's frames, in order of time."""
        c = tables.withdrawals.c
        query = select(tables.withdrawals).order_by(c.withdrawn_ns, c.frame_id)
        if flight_id is not None:
            of_flight = select(tables.frames.c.frame_id).where(tables.frames.c.flight_id == flight_id)
            query = query.where((c.flight_id == flight_id) | c.frame_id.in_(of_flight))
        with self._database.read() as connection:
            return [parse_row(Withdrawal, row) for row in connection.execute(query)]

    def count_withdrawals(self) -> int:
        """Count the withdrawn frames; none ever comes back."""
        with self._database.read() as connection:
            return connection.execute(select(func.count()).select_from(tables.withdrawals)).scalar_one()

    def _fetch(self, query: Select[Any]) -> list[FrameRecord]:
        with self._database.read() as connection:
            return [parse_frame_row(row) for row in connection.execute(query)]

    def _put_chunk(self, connection: Connection, chunk: Sequence[FrameRecord]) -> dict[str, FrameRecord]:
        ids = [record.frame_id for record in chunk]
        query = select(tables.frames).where(tables.frames.c.frame_id.in_(ids))
        kept = {
            row.frame_id: parse_frame_row(row)
            for row in connection.execute(query)
            if row.status != FrameStatus.REJECTED.value and row.exterior is not None
        }
        withdrawals, placed = fetch_withdrawals(connection, ids), fetch_placements(connection, ids)
        fresh: dict[str, FrameRecord] = {}
        for record in chunk:
            if record.frame_id not in kept:
                known = placed.get(record.frame_id)
                current = self._placed(connection, record, known) if known else record
                fresh[record.frame_id] = apply_withdrawal(current, withdrawals)
        if fresh:
            rows = [to_frame_row(fresh[frame_id]) for frame_id in sorted(fresh)]
            connection.execute(self._database.upsert(tables.frames), rows)
            record_video_frames(connection, self._database.insert(tables.film_pictures), fresh.values())
        return fresh | kept

    def _placed(self, connection: Connection, record: FrameRecord, known: Sequence[Placement]) -> FrameRecord:
        """Return the record with the placement in force of a reprocessed frame.

        It was reprocessed here, or on a node that sent its placements.
        """
        new = [to_placement(record)] if record.exterior is not None else []
        return apply_placements(record, join_placements(connection, self._database, known, new))

    def _withdraw_one(self, connection: Connection, withdrawal: Withdrawal) -> None:
        upsert = self._database.upsert(tables.withdrawals)
        connection.execute(upsert, to_row(tables.withdrawals, withdrawal))
        connection.execute(
            update(tables.frames)
            .where(tables.frames.c.frame_id == withdrawal.frame_id)
            .values(**to_withdrawal_columns(withdrawal))
        )


def make_photo_not_found(sha256: str) -> NotFound:
    """Make the error of a photo of no flight here, or of a hidden one."""
    return NotFound(_("{sha256}: no photo of any flight; take the hash from a pixel's card", sha256=sha256))
