"""Placements of reprocessed frames: a trace of every pose and terrain that another replaced."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sqlalchemy import Connection, select

from flycam.catalog import tables
from flycam.catalog.database import Database
from flycam.catalog.frame_rows import parse_frame_row, to_frame_row
from flycam.catalog.placement_rows import (
    apply_placements,
    fetch_placements,
    join_placements,
    parse_placement_row,
    to_placement,
)
from flycam.catalog.records import FrameRecord, Placement
from flycam.errors import NotFound
from flycam.messages import _

_IDS_AT_ONCE = 2000


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
            standing = _fetch_current_frames(connection, [record.frame_id for record in records])
            known = fetch_placements(connection, list(standing))
            answer = []
            for record in records:
                before = standing.get(record.frame_id)
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
            standing = _fetch_current_frames(connection, list(by_frame))
            known = fetch_placements(connection, list(by_frame))
            for frame_id, new in sorted(by_frame.items()):
                before = standing.get(frame_id)
                placed = self._merge(connection, before, known.get(frame_id, []), new)
                if before is not None:
                    self._follow(connection, before, placed)

    def list_for_flight(self, flight_id: str) -> list[Placement]:
        """Return all placements of a flight's reprocessed frames, by frame and version."""
        c = tables.placements.c
        query = select(tables.placements).where(c.flight_id == flight_id)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(c.frame_id, c.version, c.placement_id))
            return [parse_placement_row(row) for row in rows]

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
