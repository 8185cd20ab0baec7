"""Placements of reprocessed frames: a trace of each replaced pose and terrain.

It is a grow-only set; the greatest placement of a frame is in force.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, select

from flycam.catalog import tables
from flycam.catalog.database import Database
from flycam.catalog.rows import (
    exterior_to_json,
    interior_to_json,
    parse_frame_row,
    parse_row,
    to_frame_row,
    to_row,
)
from flycam.errors import NotFound
from flycam.geometry.pose import ExteriorOrientation, PoseSource
from flycam.messages import _
from flycam.model.flight import is_flat_datum
from flycam.model.layer import Layer
from flycam.model.records import FrameRecord, FrameStatus, Placement

# -- Order, ids and rows of placements -------------------------------------------------------------
#
# A frame that was orthorectified once has no row here: its only placement is in the frame's own row. When it
# is reprocessed both are entered, and the frame's row follows the one in force.


SET_ASIDE_REASON = "set_aside"
"""Reason of a frame that was on the map and cannot be orthorectified on the terrain known now."""

_IDS_AT_ONCE = 2000


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
    for start in range(0, len(frame_ids), _IDS_AT_ONCE):
        some = list(frame_ids[start : start + _IDS_AT_ONCE])
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

    def list_for_flight(self, flight_id: str) -> list[Placement]:
        """Return all placements of a flight's reprocessed frames, by frame and version."""
        c = tables.placements.c
        query = select(tables.placements).where(c.flight_id == flight_id)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(c.frame_id, c.version, c.placement_id))
            return [parse_row(Placement, row) for row in rows]

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
    for start in range(0, len(frame_ids), _IDS_AT_ONCE):
        some = list(frame_ids[start : start + _IDS_AT_ONCE])
        query = select(tables.frames).where(tables.frames.c.frame_id.in_(some))
        found.update((row.frame_id, parse_frame_row(row)) for row in connection.execute(query))
    return found
