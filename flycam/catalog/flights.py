"""Flights and their frames, withdrawals, placements, live reports and video."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from itertools import islice
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from sqlalchemy import BindParameter, Connection, Row, Select, bindparam, delete, func, or_, select, update
from sqlalchemy.exc import IntegrityError

from flycam.catalog import tables
from flycam.catalog.audit import write_entries
from flycam.catalog.database import Database
from flycam.catalog.tables import (
    apply_withdrawal,
    exterior_to_json,
    fetch_withdrawals,
    interior_to_json,
    kept_originals,
    parse_event_row,
    parse_flight_row,
    parse_frame_row,
    parse_row,
    provenance_from_json,
    rank_withdrawal,
    to_event_row,
    to_flight_row,
    to_frame_row,
    to_row,
    to_withdrawal_columns,
)
from flycam.errors import NameTaken, NotFound, StoreConflict
from flycam.geometry.grid import TileId
from flycam.geometry.pose import ExteriorOrientation, PoseSource
from flycam.messages import Message, _, decode_message, encode_message
from flycam.model.flight import Event, Flight, FlightState, Layer, is_flat_datum
from flycam.model.frame import Provenance, derive_frame_id
from flycam.model.records import AuditEntry, BoundsLonLat, FrameRecord, FrameStatus, Placement, Withdrawal
from flycam.model.text import to_canonical_name

# -- Frames, withdrawals and placements: the recorded set from which every mosaic is derived -------
#
# Frames are found by id, by tile, and by the hash of their original. Footprints are in WGS 84 degrees.
# Placements are a trace of each replaced pose and terrain, a grow-only set; the greatest is in force.


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
# same whatever bytes it is stored as, so its hash is recorded. Several frames may name one original, if a
# peer says so: what is withheld of one of them is withheld of the original.


_c = tables.film_pictures.c


def record_video_frames(connection: Connection, insert: Any, frames: Iterable[FrameRecord]) -> None:
    """Record the hashes of video frames within a transaction.

    Skips frames that are found by their hash alone.

    insert  into `film_pictures`, of the database's dialect
    """
    sources = {(one.header.provenance.source_sha256, one.frame_id) for one in frames}
    rows = [
        {"source_sha256": sha256, "frame_id": frame_id}
        for sha256, frame_id in sorted(sources)  # sorted to avoid deadlocks
        if _is_noted(sha256, frame_id)
    ]
    if rows:
        connection.execute(insert.on_conflict_do_nothing(), rows)


def find_frame_ids(connection: Connection, hashes: Sequence[str]) -> dict[str, list[str]]:
    """Return the ids that the frames of these originals have if they exist.

    The photo's own id, which its bytes prove, comes first.
    """
    found = {sha256: [derive_frame_id(sha256)] for sha256 in hashes}
    for start in range(0, len(hashes), _ROWS_AT_ONCE):
        query = select(_c.source_sha256, _c.frame_id).order_by(_c.frame_id)
        query = query.where(_c.source_sha256.in_(list(hashes[start : start + _ROWS_AT_ONCE])))
        for row in connection.execute(query):
            found[row.source_sha256].append(row.frame_id)
    return found


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
        return self._database.fetch(
            parse_frame_row, query.order_by(tables.frames.c.captured_ns, tables.frames.c.frame_id)
        )

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
        found = self._database.fetch(
            parse_frame_row, select(tables.frames).where(tables.frames.c.frame_id == frame_id)
        )
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
        return self.list_by_original(sha256)[0]

    def list_by_original(self, sha256: str) -> list[FrameRecord]:
        """Return all frames that name an original, the one proven by its bytes first.

        Raises NotFound if there is none.
        """
        with self._database.read() as connection:
            frame_ids = find_frame_ids(connection, [sha256])[sha256]
        found = {one.frame_id: one for one in self.get_many(frame_ids)}
        if not found:
            raise make_photo_not_found(sha256)
        return [found[frame_id] for frame_id in frame_ids if frame_id in found]

    def find_flights(self, frame_ids: Iterable[str]) -> dict[str, str]:
        """Return the flight of each of these frames that is recorded."""
        unique, found = sorted(set(frame_ids)), dict[str, str]()
        c = tables.frames.c
        with self._database.read() as connection:
            for start in range(0, len(unique), _ROWS_AT_ONCE):
                some = unique[start : start + _ROWS_AT_ONCE]
                query = select(c.frame_id, c.flight_id).where(c.frame_id.in_(some))
                found.update((row.frame_id, row.flight_id) for row in connection.execute(query))
        return found

    def find_by_originals(self, hashes: Iterable[str]) -> dict[str, dict[str, str]]:
        """Return by original (SHA-256) the frames that name it, each with its flight."""
        unique = sorted(set(hashes) - {""})
        with self._database.read() as connection:
            named = find_frame_ids(connection, unique)
        flights = self.find_flights(frame_id for some in named.values() for frame_id in some)
        return {
            sha256: {frame_id: flights[frame_id] for frame_id in some if frame_id in flights}
            for sha256, some in named.items()
        }

    def get_many(self, frame_ids: Sequence[str]) -> list[FrameRecord]:
        """Return those of these frames that are recorded."""
        found: list[FrameRecord] = []
        for start in range(0, len(frame_ids), _ROWS_AT_ONCE):
            part = list(frame_ids[start : start + _ROWS_AT_ONCE])
            found += self._database.fetch(
                parse_frame_row, select(tables.frames).where(tables.frames.c.frame_id.in_(part))
            )
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
        return self._database.fetch(parse_frame_row, query.order_by(c.captured_ns, c.frame_id))

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
        return self._database.fetch(Withdrawal, query)

    def lift_withdrawals(self, frame_ids: Collection[str]) -> None:
        """Undo withdrawals that only a revoked peer made; frames with a pose are on the map again."""
        c, w = tables.frames.c, tables.withdrawals.c
        with self._database.write(alone_in=tables.frames) as connection:
            connection.execute(delete(tables.withdrawals).where(w.frame_id.in_(list(frame_ids))))
            withdrawn = c.frame_id.in_(list(frame_ids)), c.status == FrameStatus.WITHDRAWN.value
            lifted = update(tables.frames).where(*withdrawn)
            used = {"status": FrameStatus.USED.value, "reason": "", "message": ""}
            connection.execute(lifted.where(c.exterior.is_not(None)).values(**used))
            connection.execute(lifted.where(c.exterior.is_(None)).values(status=FrameStatus.REJECTED.value))

    def list_withdrawals(self, frame_ids: Iterable[str]) -> list[Withdrawal]:
        """Return the withdrawals of these frames."""
        unique, found = sorted(set(frame_ids)), list[Withdrawal]()
        with self._database.read() as connection:
            for start in range(0, len(unique), _ROWS_AT_ONCE):
                found += fetch_withdrawals(connection, unique[start : start + _ROWS_AT_ONCE]).values()
        return found

    def count_withdrawals(self) -> int:
        """Count the withdrawn frames; none ever comes back."""
        with self._database.read() as connection:
            return connection.execute(select(func.count()).select_from(tables.withdrawals)).scalar_one()

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


# -- Order, ids and rows of placements -------------------------------------------------------------
#
# A frame that was orthorectified once has no row here: its only placement is in the frame's own row. When it
# is reprocessed both are entered, and the frame's row follows the one in force.


SET_ASIDE_REASON = "set_aside"
"""Reason of a frame that was on the map and cannot be orthorectified on the terrain known now."""

_FRAMES_AT_ONCE = 2000


def derive_placement_id(placement: Placement) -> str:
    """Return 24 hex digits from frame, version, camera, pose, terrain and layer.

    They are the same on every node.
    """
    content = (
        placement.frame_id,
        str(placement.version),
        "" if placement.interior is None else interior_to_json(placement.interior),
        "" if placement.exterior is None else exterior_to_json(placement.exterior),
        placement.dem_id or "",
        # colour adds nothing, so that ids made before layers existed stay the same
        *(() if placement.layer is Layer.COLOUR else (placement.layer.value,)),
    )
    return hashlib.sha256("\n".join(content).encode()).hexdigest()[:24]


def rank_placement(placement: Placement) -> tuple[int, bool, bool, str, str]:
    """Return the sort key of a frame's placements; the greatest is in force.

    The order is total, and from content alone. Of one version terrain precedes a plane. Of two terrains the
    greater id wins, which is the same for a whole flight: frames that two nodes orthorectified are all on one
    of them, and not each on another.
    """
    exterior, dem_id = placement.exterior, placement.dem_id or ""
    is_laid = exterior is not None
    return (placement.version, is_laid, is_on_terrain(exterior), dem_id, derive_placement_id(placement))


def is_on_terrain(exterior: ExteriorOrientation | None) -> bool:
    """Return True if a pose was computed above known terrain, not above a plane."""
    return exterior is not None and not is_flat_datum(exterior.vertical_datum)


def select_current_placement(placements: Sequence[Placement]) -> Placement:
    """Return the greatest of a frame's placements (at least one)."""
    return max(placements, key=rank_placement)


def to_placement(record: FrameRecord, **trace: Any) -> Placement:
    """Return the placement in a frame's record.

    trace  reason, authority, placed_ns (version if set aside)
    """
    if record.exterior is None:
        return Placement(
            frame_id=record.frame_id, flight_id=record.flight_id, layer=record.header.layer, **trace
        )
    return Placement(
        frame_id=record.frame_id,
        flight_id=record.flight_id,
        layer=record.header.layer,
        interior=record.header.interior,
        exterior=record.exterior,
        dem_id=record.dem_id,
        footprint_wkb=record.footprint_wkb,
        gsd_m=record.gsd_m,
        tiles=record.tiles,
        **({"version": record.exterior.version} | trace),
    )


def was_orthorectified(record: FrameRecord) -> bool:
    """Return True if a frame is, or was once, orthorectified.

    "Once" is before it was withdrawn or set aside.
    """
    return record.status is not FrameStatus.REJECTED or record.reason == SET_ASIDE_REASON


def apply_placements(record: FrameRecord, placements: Sequence[Placement]) -> FrameRecord:
    """Return the record with the placement in force; a withdrawn one stays withdrawn."""
    best = select_current_placement(placements)
    changes: dict[str, Any] = {
        "exterior": best.exterior,
        "dem_id": best.dem_id,
        "footprint_wkb": best.footprint_wkb,
        "gsd_m": best.gsd_m,
        "tiles": best.tiles,
    }
    if record.status is not FrameStatus.WITHDRAWN:
        used = best.exterior is not None
        changes["status"] = FrameStatus.USED if used else FrameStatus.REJECTED
        changes["reason"] = "" if used else SET_ASIDE_REASON
        changes["message"] = "" if used else best.reason
    header = replace(record.header, layer=best.layer)
    if best.exterior is not None and best.interior is not None:
        prior = replace(best.exterior, version=header.exterior_prior.version)
        if best.exterior.source is PoseSource.REGISTERED:
            # a registered pose comes from the frame's neighbours; the prior stays what the log states
            prior = header.exterior_prior
        header = replace(header, interior=best.interior, exterior_prior=prior)
    changes["header"] = header
    return replace(record, **changes)


def fetch_placements(connection: Connection, frame_ids: Sequence[str]) -> dict[str, list[Placement]]:
    """Return known placements of these frames.

    Frames that were orthorectified once at most have no entry.
    """
    found: dict[str, list[Placement]] = {}
    for start in range(0, len(frame_ids), _FRAMES_AT_ONCE):
        some = list(frame_ids[start : start + _FRAMES_AT_ONCE])
        query = select(tables.placements).where(tables.placements.c.frame_id.in_(some))
        for row in connection.execute(query.order_by(tables.placements.c.placement_id)):
            found.setdefault(row.frame_id, []).append(parse_row(Placement, row))
    return found


def join_placements(
    connection: Connection, database: Database, known: Sequence[Placement], new: Sequence[Placement]
) -> list[Placement]:
    """Merge two sets of placements, in the table too; return the union.

    Of two traces of one placement the earlier is kept.
    """
    joined = {derive_placement_id(one): one for one in known}
    changed: dict[str, Placement] = {}
    for one in new:
        name = derive_placement_id(one)
        before = joined.get(name)
        if before is None or _trace(one) < _trace(before):
            joined[name] = changed[name] = one
    if changed:
        rows = [to_row(tables.placements, changed[name], placement_id=name) for name in sorted(changed)]
        connection.execute(database.upsert(tables.placements), rows)
    return list(joined.values())


def _trace(placement: Placement) -> tuple[bool, int, str, str]:
    # an empty trace comes last: a frame's own row does not record the reason of its placement
    return (placement.placed_ns == 0, placement.placed_ns, placement.authority, placement.reason)


# -- Placements by frame, a grow-only set ----------------------------------------------------------


class Placements:
    """Placements by frame, a grow-only set; the greatest is in the frame's record.

    Only reprocessed frames have entries. The placement in force is a function of the set, so two nodes that
    learn the same placements in another order agree. A withdrawn frame stays withdrawn.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def supersede(
        self, records: Sequence[FrameRecord], reason: str, authority: str, at_ns: int
    ) -> list[FrameRecord]:
        """Record new placements of frames, all or none; return the frames as recorded.

        Their poses get a version above every known one of the frame; without a pose a frame is set aside, for
        the reason in its message. Results of the preflight check come with the record. Raises NotFound for a
        frame that was never recorded, FlightBusy as `Frames.put` does.
        """
        with self._database.write(alone_in=tables.frames) as connection:
            self._database.require_held(connection, *sorted({record.flight_id for record in records}))
            recorded = _fetch_current_frames(connection, [record.frame_id for record in records])
            known = fetch_placements(connection, list(recorded))
            answer = []
            for record in records:
                before = recorded.get(record.frame_id)
                if before is None:
                    raise NotFound(
                        _(
                            "{frame_id}: this frame was never recorded; ingest it first",
                            frame_id=record.frame_id,
                        )
                    )
                placed = self._merge(connection, before, known.get(record.frame_id, []), [])
                version = 1 + max((one.version for one in placed), default=-1)
                new = _next(record, version, reason, authority, at_ns)
                placed = join_placements(connection, self._database, placed, [new])
                answer.append(self._follow(connection, replace(before, header=record.header), placed))
            return answer

    def learn(self, placements: Iterable[Placement]) -> None:
        """Add placements from another node; frames known here follow."""
        by_frame: dict[str, list[Placement]] = {}
        for placement in placements:
            by_frame.setdefault(placement.frame_id, []).append(placement)
        with self._database.write(alone_in=tables.frames) as connection:
            recorded = _fetch_current_frames(connection, list(by_frame))
            known = fetch_placements(connection, list(by_frame))
            for frame_id, new in sorted(by_frame.items()):
                before = recorded.get(frame_id)
                placed = self._merge(connection, before, known.get(frame_id, []), new)
                if before is not None:
                    self._follow(connection, before, placed)

    def list_for_frames(self, frames: Sequence[FrameRecord]) -> dict[str, list[Placement]]:
        """Return every placement that these frames ever had here, by frame; none without a pose."""
        with self._database.read() as connection:
            known = fetch_placements(connection, [one.frame_id for one in frames])
        found: dict[str, list[Placement]] = {}
        for frame in frames:
            placed = {derive_placement_id(one): one for one in known.get(frame.frame_id, ())}
            if frame.exterior is not None:
                own = to_placement(frame)
                placed.setdefault(derive_placement_id(own), own)
            found[frame.frame_id] = [one for one in placed.values() if one.exterior is not None]
        return found

    def find_unverified(self, frame_ids: Iterable[str]) -> set[str]:
        """Return those of these frames with a placement whose footprint only a peer stated."""
        unique, found = sorted(set(frame_ids)), set[str]()
        c = tables.unverified_footprints.c
        with self._database.read() as connection:
            for start in range(0, len(unique), _FRAMES_AT_ONCE):
                some = unique[start : start + _FRAMES_AT_ONCE]
                found.update(connection.execute(select(c.frame_id).where(c.frame_id.in_(some))).scalars())
        return found

    def remove(self, names: Collection[tuple[str, str]]) -> None:
        """Remove placements that only a revoked peer made; their frames follow the greatest that is left.

        names  (frame id, placement id)
        """
        c, u = tables.placements.c, tables.unverified_footprints.c
        frame_ids = sorted({frame_id for frame_id, _ in names})
        with self._database.write(alone_in=tables.frames) as connection:
            for frame_id, placement_id in names:
                of_it = c.frame_id == frame_id, c.placement_id == placement_id
                connection.execute(delete(tables.placements).where(*of_it))
                connection.execute(
                    delete(tables.unverified_footprints).where(
                        u.frame_id == frame_id, u.placement_id == placement_id
                    )
                )
            recorded, left = (
                _fetch_current_frames(connection, frame_ids),
                fetch_placements(connection, frame_ids),
            )
            for frame_id, record in recorded.items():
                if left.get(frame_id):
                    self._follow(connection, record, left[frame_id])

    def put_footprints(self, footprints: Mapping[tuple[str, str], bytes]) -> None:
        """Replace footprints that a peer stated by those computed here.

        footprints  polygons (WKB, lon/lat) by frame id and placement id
        """
        c, u, f = tables.placements.c, tables.unverified_footprints.c, tables.frames.c
        rows: list[dict[str, Any]] = [
            {"of_frame": frame_id, "of_placement": placement_id, "wkb": wkb}
            for (frame_id, placement_id), wkb in sorted(footprints.items())
        ]
        of_frame: BindParameter[str] = bindparam("of_frame")
        of_placement: BindParameter[str] = bindparam("of_placement")
        with self._database.write(alone_in=tables.frames) as connection:
            recorded = _fetch_current_frames(connection, sorted({frame_id for frame_id, _ in footprints}))
            in_force = [
                row
                for row in rows
                if (frame := recorded.get(row["of_frame"])) is not None
                and derive_placement_id(to_placement(frame)) == row["of_placement"]
            ]
            of_it = c.frame_id == of_frame, c.placement_id == of_placement
            connection.execute(
                update(tables.placements).where(*of_it).values(footprint_wkb=bindparam("wkb")), rows
            )
            if in_force:
                own = update(tables.frames).where(f.frame_id == of_frame)
                connection.execute(own.values(footprint_wkb=bindparam("wkb")), in_force)
            done = u.frame_id == of_frame, u.placement_id == of_placement
            connection.execute(delete(tables.unverified_footprints).where(*done), rows)

    def list_for_flight(self, flight_id: str) -> list[Placement]:
        """Return all placements of a flight's reprocessed frames, by frame and version."""
        c = tables.placements.c
        query = select(tables.placements).where(c.flight_id == flight_id)
        return self._database.fetch(Placement, query.order_by(c.frame_id, c.version, c.placement_id))

    def _merge(
        self,
        connection: Connection,
        current: FrameRecord | None,
        known: Sequence[Placement],
        new: Sequence[Placement],
    ) -> list[Placement]:
        """Return all placements of one frame: in the table, in its own row, and new."""
        own = [to_placement(current)] if current is not None and current.exterior is not None else []
        return join_placements(connection, self._database, known, [*own, *new])

    def _follow(
        self, connection: Connection, record: FrameRecord, placements: Sequence[Placement]
    ) -> FrameRecord:
        record = apply_placements(record, placements)
        connection.execute(self._database.upsert(tables.frames), to_frame_row(record))
        return record


def _next(record: FrameRecord, version: int, reason: str, authority: str, at_ns: int) -> Placement:
    if record.exterior is None:
        reason = record.message
    else:
        record = replace(record, exterior=replace(record.exterior, version=version))
    return to_placement(record, version=version, reason=reason, authority=authority, placed_ns=at_ns)


def _fetch_current_frames(connection: Connection, frame_ids: Sequence[str]) -> dict[str, FrameRecord]:
    found: dict[str, FrameRecord] = {}
    for start in range(0, len(frame_ids), _FRAMES_AT_ONCE):
        some = list(frame_ids[start : start + _FRAMES_AT_ONCE])
        query = select(tables.frames).where(tables.frames.c.frame_id.in_(some))
        found.update((row.frame_id, parse_frame_row(row)) for row in connection.execute(query))
    return found


# -- Flights, their events, and the lock that lets one process write a flight ----------------------


_FLIGHTS_AT_ONCE = 5000


class Flights:
    """Events and flights, found by id or name; names of flights are unique."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put_event(self, event: Event) -> None:
        """Write or overwrite an event. Raises NameTaken for another event's name."""
        try:
            with self._database.write() as connection:
                connection.execute(self._database.upsert(tables.events), to_event_row(event))
        except IntegrityError as error:
            raise NameTaken(
                _("{name}: another event has this name; choose another", name=event.name)
            ) from error

    def event(self, ref: str) -> Event:
        """Return the event of this id or name, or raise NotFound."""
        with self._database.read() as connection:
            found = _by_id_or_name(connection, tables.events, tables.events.c.event_id, ref)
        if found is None:
            raise NotFound(
                _("{ref}: no such event; name one that exists, or begin it with an ingest", ref=ref)
            )
        return parse_event_row(found)

    def events(self) -> list[Event]:
        """Return all events, the latest first; those without a beginning last."""
        begins = tables.events.c.starts_ns
        query = select(tables.events).order_by(begins.is_(None), begins.desc(), tables.events.c.event_id)
        return self._database.fetch(parse_event_row, query)

    def put_flight(self, flight: Flight) -> None:
        """Write or overwrite a flight.

        Raises NameTaken if its name is another flight's name or id, FlightBusy if this process held its lock
        and lost it.
        """
        try:
            with self._database.write(alone_in=tables.flights) as connection:
                self._database.require_held(connection, flight.flight_id)
                _require_no_id(connection, flight.name, flight.flight_id)
                connection.execute(self._database.upsert(tables.flights), to_flight_row(flight))
        except IntegrityError as error:
            raise _make_name_taken(flight.name) from error

    def flight(self, ref: str) -> Flight:
        """Return the flight of this id or name, or raise NotFound."""
        with self._database.read() as connection:
            found = _by_id_or_name(connection, tables.flights, tables.flights.c.flight_id, ref)
        if found is None:
            raise make_flight_not_found(ref)
        return parse_flight_row(found)

    def flights(self, event_id: str | None = None, state: FlightState | None = None) -> list[Flight]:
        """Return flights, newest capture first; of one event or state if given."""
        c = tables.flights.c
        query = select(tables.flights).order_by(c.last_ns.desc(), c.flight_id)
        if event_id is not None:
            query = query.where(c.event_id == event_id)
        if state is not None:
            query = query.where(c.state == state.value)
        return self._database.fetch(parse_flight_row, query)

    def states(self) -> list[tuple[str, str]]:
        """Return (flight_id, state) of every flight, by id: cheap enough to poll."""
        c = tables.flights.c
        with self._database.read() as connection:
            rows = connection.execute(select(c.flight_id, c.state).order_by(c.flight_id))
            return [(row.flight_id, row.state) for row in rows]

    def rename(self, flight_id: str, name: str, audit_entry: AuditEntry) -> Flight:
        """Rename a flight, with its audit entry.

        Raises NotFound, and NameTaken and FlightBusy as `put_flight`.
        """
        try:
            # lock order as in `move`, the audit log first: two transactions in opposite order would deadlock
            with self._database.write(alone_in=tables.audit_log) as connection:
                self._database.lock_table(connection, tables.flights)
                self._database.require_held(connection, flight_id)
                _require_no_id(connection, name, flight_id)
                of_flight = tables.flights.c.flight_id == flight_id
                renamed = update(tables.flights).where(of_flight).values(name=to_canonical_name(name))
                if not connection.execute(renamed).rowcount:
                    raise make_flight_not_found(flight_id)
                write_entries(connection, [audit_entry], self._database.audit_key)
        except IntegrityError as error:
            raise _make_name_taken(name) from error
        return self.flight(flight_id)

    def move(self, flight_id: str, event_id: str, audit_entry: AuditEntry) -> Flight:
        """Move a flight to another event, with its audit entry.

        Raises NotFound, FlightBusy as `put_flight`.
        """
        c = tables.flights.c
        with self._database.write(alone_in=tables.audit_log) as connection:
            self._database.require_held(connection, flight_id)
            connection.execute(
                update(tables.flights).where(c.flight_id == flight_id).values(event_id=event_id)
            )
            write_entries(connection, [audit_entry], self._database.audit_key)
        return self.flight(flight_id)

    def flight_of_frames(self, frame_ids: Sequence[str]) -> str | None:
        """Return the flight that holds most of these frames; None if none does.

        The smaller id wins a tie.
        """
        counts: dict[str, int] = {}
        c = tables.frames.c
        with self._database.read() as connection:
            for start in range(0, len(frame_ids), _FLIGHTS_AT_ONCE):
                chunk = list(frame_ids[start : start + _FLIGHTS_AT_ONCE])
                query = select(c.flight_id, func.count()).where(c.frame_id.in_(chunk)).group_by(c.flight_id)
                for flight_id, count in connection.execute(query):
                    counts[flight_id] = counts.get(flight_id, 0) + count
        return min(counts, key=lambda flight_id: (-counts[flight_id], flight_id), default=None)

    def find_by_frames(self, frame_ids: Sequence[str]) -> set[str]:
        """Return the flights with one of these frames on the map, now or before."""
        c = tables.frames.c
        was_on_the_map = or_(c.status != FrameStatus.REJECTED.value, c.reason == SET_ASIDE_REASON)
        found: set[str] = set()
        with self._database.read() as connection:
            for start in range(0, len(frame_ids), _FLIGHTS_AT_ONCE):
                chunk = list(frame_ids[start : start + _FLIGHTS_AT_ONCE])
                query = select(c.flight_id).where(c.frame_id.in_(chunk), was_on_the_map).distinct()
                found.update(row.flight_id for row in connection.execute(query))
        return found

    @contextmanager
    def lock(self, flight_id: str) -> Iterator[None]:
        """Hold a flight for writing, or by `format_finish_lock` for finishing.

        Ends with the block or with the process. Raises FlightBusy at once.
        """
        with self._database.exclusive(flight_id):
            yield


def format_finish_lock(flight_id: str) -> str:
    """Return the name of the lock for finishing a flight.

    Others may write its live revision meanwhile.
    """
    return f"finish-{flight_id}"


def require_in_event(connection: Connection, flight_ids: Collection[str], event_id: str) -> None:
    """Require that these flights stay in an event until the transaction ends.

    The transaction has the audit log alone, as that of `Flights.move`. Raises StoreConflict.
    """
    c = tables.flights.c
    query = select(c.name).where(c.flight_id.in_(flight_ids), c.event_id != event_id).order_by(c.name)
    moved = connection.execute(query).scalars().first() if flight_ids else None
    if moved is not None:
        raise StoreConflict(
            _(
                "{moved}: was moved to another event while it was compared, so that nothing "
                "of it was put up for review; run the comparison again",
                moved=moved,
            )
        )


def make_flight_not_found(ref: str) -> NotFound:
    """Make the error of a flight that is missing, or hidden from the account."""
    return NotFound(_("{ref}: no such flight; give the id or the name that ingest printed", ref=ref))


def _make_name_taken(name: str) -> NameTaken:
    return NameTaken(
        _("{name}: another flight has this name; use its id, or choose another name with --name", name=name)
    )


def _require_no_id(connection: Connection, name: str, flight_id: str) -> None:
    """Raise NameTaken if a flight's name is another flight's id.

    The caller is the only writer of flights.
    """
    ids = tables.flights.c.flight_id
    if connection.execute(select(ids).where(ids == name, ids != flight_id)).first() is not None:
        raise _make_name_taken(name)


def _by_id_or_name(connection: Connection, table: Any, ids: Any, ref: str) -> Row[Any] | None:
    query: Select[Any] = select(table).where(or_(ids == ref, table.c.name == to_canonical_name(ref)))
    return connection.execute(query.order_by((ids == ref).desc())).first()


# -- Live flights: latest report of each, and segments of their recorded video ---------------------
#
# Readers poll the report; a report that does not come is news, too.


# -- Segments of recorded video --------------------------------------------------------------------
#
# The bytes are in the object store. A segment that was deleted to free space keeps its row: its description
# and its hash stay known.


_mine = tables.recordings


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoSegment:
    """A stretch of a live flight's video as received, playable alone.

    began_ns   UTC of its first frame, as frames of the stream are dated
    codec      as browsers name it (RFC 6381)
    let_go_ns  when its bytes were deleted, UTC; None: they are kept
    """

    sha256: str
    flight_id: str
    began_ns: int
    seconds: float
    pictures: int
    size_bytes: int
    codec: str
    let_go_ns: int | None = None

    @property
    def ended_ns(self) -> int:
        """UTC at which its last frame ended."""
        return self.began_ns + round(self.seconds * 1e9)


class VideoSegments:
    """Segments by their hash."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, piece: VideoSegment) -> None:
        """Record a segment whose bytes are kept; idempotent.

        Raises CatalogUnavailable, DiskFull.
        """
        insert = self._database.insert(_mine).on_conflict_do_nothing()
        with self._database.write() as connection:
            connection.execute(insert, to_row(_mine, piece))

    def list_for_flight(self, flight_id: str) -> list[VideoSegment]:
        """Return all segments of a flight, oldest first, deleted ones too."""
        query = select(_mine).where(_mine.c.flight_id == flight_id).order_by(_mine.c.began_ns, _mine.c.sha256)
        return self._database.fetch(VideoSegment, query)

    def list_stored(self) -> list[VideoSegment]:
        """Return the segments of all flights whose bytes are kept, oldest first."""
        query = select(_mine).where(_mine.c.let_go_ns.is_(None)).order_by(_mine.c.began_ns, _mine.c.sha256)
        return self._database.fetch(VideoSegment, query)

    def sum_stored_seconds(self, flight_id: str) -> float:
        """Return the seconds of a flight's video that are kept; 0 if none are."""
        kept = _mine.c.flight_id == flight_id, _mine.c.let_go_ns.is_(None)
        with self._database.read() as connection:
            return float(connection.execute(select(func.sum(_mine.c.seconds)).where(*kept)).scalar() or 0.0)

    def list_excess(self, max_bytes: int, exclude: Collection[str] = ()) -> list[VideoSegment]:
        """Return the oldest segments beyond `max_bytes` over all flights.

        Without them no more than that is kept; segments of the flights `exclude` are never among them.
        """
        kept = _mine.c.let_go_ns.is_(None)
        newest_first = (_mine.c.began_ns.desc(), _mine.c.sha256.desc())
        total = func.sum(_mine.c.size_bytes).over(order_by=newest_first)
        counted = select(_mine, total.label("total")).where(kept).subquery()
        beyond = counted.c.total > max_bytes, counted.c.flight_id.not_in(list(exclude))
        query = select(counted).where(*beyond).order_by(counted.c.began_ns)
        return self._database.fetch(VideoSegment, query)

    def mark_deleted(self, sha256: str, at_ns: int) -> None:
        """Record that a segment's bytes are kept no longer."""
        change = update(_mine).where(_mine.c.sha256 == sha256, _mine.c.let_go_ns.is_(None))
        with self._database.write() as connection:
            connection.execute(change.values(let_go_ns=at_ns))


# -- Report of a live flight: position, footprint, state of the links ------------------------------
#
# Durations are the reporter's own, by a monotonic clock: a reader adds the age of the report by its own
# clock, so that no two machines have to agree on the time.


LonLat = tuple[float, float]


class LiveFlightPhase(StrEnum):
    """Phase of a live flight.

    CLOSING orthorectifies the remaining frames, and no more arrive; ENDED is reported once.
    """

    FLYING = "flying"
    CLOSING = "closing"
    ENDED = "ended"


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkState:
    """State of one link; silent_s: since the last data over it, None: nothing yet."""

    silent_s: float | None = None
    is_lost: bool = False
    connections: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class AircraftState:
    """Last reported position of the aircraft.

    heading_deg  of its nose, else of its course over ground, clockwise from true north; None: not known
    above_m      metres above take-off, None: not reported
    age_s        seconds since
    """

    lonlat_deg: LonLat
    heading_deg: float | None = None
    above_m: float | None = None
    age_s: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveFlightReport:
    """One report. Times are UTC nanoseconds, places WGS 84 longitude and latitude.

    is_recording   a recorded video played again: its aircraft is not there now
    run, beat      the run of the flight that reports, and the number of its report
    told_ns        time of the report, by the reporter's clock
    track          where the aircraft has been, oldest first, thinned where it is long
    footprint      ground in the newest frame that the log covers; empty: not known
    picture_ns     when the newest frame was taken; picture_age_s: seconds since then, as far as known; None:
                   none yet
    laid_ns        when the newest frame on the map was taken, None: none yet
    left_out       frames and samples not used, by reason
    remarks        further remarks
    recorded_s     seconds of the stream that are recorded; None: it is not recorded
    picture_key    store key of its newest frame, reduced; None: none is shown
    failure        why it ended, if abnormally
    is_matching    the clock offset of video and log is still being estimated: frames are orthorectified
                   provisionally, and reprocessed
    """

    flight_id: str
    event_id: str
    name: str
    is_drill: bool
    is_recording: bool
    run: str
    beat: int
    told_ns: int
    phase: LiveFlightPhase = LiveFlightPhase.FLYING
    aircraft: AircraftState | None = None
    track: tuple[LonLat, ...] = ()
    footprint: tuple[LonLat, ...] = ()
    picture_ns: int | None = None
    picture_age_s: float | None = None
    laid_ns: int | None = None
    video: LinkState = LinkState()
    telemetry: LinkState = LinkState()
    left_out: Mapping[str, int] = field(default_factory=dict)
    remarks: tuple[Message, ...] = ()
    failure: Message | None = None
    recorded_s: float | None = None
    picture_key: str | None = None
    is_matching: bool = False


# -- Reports in the database -----------------------------------------------------------------------


_COLUMNS = ("flight_id", "event_id", "name", "run", "beat", "told_ns")


class LiveFlightReports:
    """Reports of live flights, one row a flight: each report replaces the one before."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, report: LiveFlightReport) -> None:
        """Write a report. Raises CatalogUnavailable, DiskFull."""
        values = asdict(replace(report, remarks=(), failure=None))
        values["remarks"] = [encode_message(one) for one in report.remarks]
        values["failure"] = report.failure and encode_message(report.failure)
        row = {name: values.pop(name) for name in _COLUMNS}
        row["report"] = json.dumps(values, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        with self._database.write() as connection:
            connection.execute(self._database.upsert(tables.airborne), row)

    def end(self, flight_id: str, told_ns: int) -> None:
        """Mark a flight whose program was killed as ended.

        Does nothing if it has no report, or has ended itself. Raises CatalogUnavailable, DiskFull.
        """
        for report in self.list_since(0):
            if report.flight_id == flight_id and report.phase is not LiveFlightPhase.ENDED:
                self.put(replace(report, phase=LiveFlightPhase.ENDED, told_ns=told_ns, beat=report.beat + 1))

    def delete_before(self, told_ns: int) -> None:
        """Delete reports older than `told_ns`, which are no longer shown."""
        with self._database.write() as connection:
            connection.execute(delete(tables.airborne).where(tables.airborne.c.told_ns < told_ns))

    def list_since(self, told_ns: int) -> list[LiveFlightReport]:
        """Return reports since `told_ns` by flight id, without withdrawn flights.

        Name and event are those that the flight has on record.
        """
        reports, flights = tables.airborne, tables.flights
        query = (
            select(
                reports.c.flight_id,
                reports.c.run,
                reports.c.beat,
                reports.c.told_ns,
                reports.c.report,
                func.coalesce(flights.c.name, reports.c.name).label("name"),
                func.coalesce(flights.c.event_id, reports.c.event_id).label("event_id"),
            )
            .outerjoin_from(reports, flights, reports.c.flight_id == flights.c.flight_id)
            .where(
                reports.c.told_ns >= told_ns,
                or_(flights.c.state.is_(None), flights.c.state != FlightState.WITHDRAWN.value),
            )
            .order_by(reports.c.flight_id)
        )
        return self._database.fetch(_airborne, query)


def _airborne(row: Any) -> LiveFlightReport:
    """Convert a row and its JSON to a report; lists become tuples again."""
    values: dict[str, Any] = json.loads(row.report)
    values |= {name: getattr(row, name) for name in _COLUMNS}
    values |= {name: tuple(tuple(one) for one in values[name]) for name in ("track", "footprint")}
    values["remarks"] = tuple(map(decode_message, values["remarks"]))
    values |= {name: LinkState(**values[name]) for name in ("video", "telemetry")}
    if values["aircraft"] is not None:
        aircraft: dict[str, Any] = values["aircraft"]
        values["aircraft"] = AircraftState(**{**aircraft, "lonlat_deg": tuple(aircraft["lonlat_deg"])})
    if values["failure"] is not None:
        values["failure"] = decode_message(values["failure"])
    return LiveFlightReport(**{**values, "phase": LiveFlightPhase(values["phase"])})
