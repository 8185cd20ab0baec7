"""Finished revisions: inputs, poses of frames, statistics, and publication.

A record states whether its revision may be shown. The pointer to the revision on show
(`MosaicInfo.published`) moves in the same transaction as the state, so there is no moment at which an
unfinished revision, or one that holds a withdrawn frame, is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from flycam.catalog import tables
from flycam.catalog.database import Database
from flycam.catalog.flights import format_finish_lock
from flycam.catalog.rows import (
    parse_row,
    show_revision,
    to_column,
    to_mosaic_row,
    to_row,
)
from flycam.errors import NotFound, StoreConflict
from flycam.messages import _
from flycam.model.records import MosaicInfo, RevisionFrame, RevisionRecord, RevisionState

LIVE_REVISION = 0
_IDS_AT_ONCE = 5000
_ABANDONED_REASON = "given up before it was complete"


class Revisions:
    """Revisions 1 and up of every mosaic; the live one, 0, has no record here."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, mosaic: MosaicInfo, inputs_hash: str, options: Mapping[str, Any], now_ns: int) -> int:
        """Return the number under which to write a revision of these inputs.

        It is that of an interrupted run, else the next. Revisions that other inputs left half-written are
        retired.

        mosaic  any revision of the mosaic: layer and zooms are taken from it
        """
        r = tables.revisions.c
        with self._database.write(alone_in=tables.revisions) as connection:
            building = (r.mosaic_id == mosaic.mosaic_id) & (r.state == RevisionState.BUILDING.value)
            found = connection.execute(
                select(r.revision).where(building, r.inputs_hash == inputs_hash).order_by(r.revision.desc())
            ).scalar()
            others = update(tables.revisions).where(building, r.inputs_hash != inputs_hash)
            connection.execute(others.values(state=RevisionState.RETIRED.value, why=_ABANDONED_REASON))
            if found is not None:
                return int(found)
            m = tables.mosaics.c
            last = select(func.max(m.revision)).where(m.mosaic_id == mosaic.mosaic_id)
            number = (connection.execute(last).scalar() or LIVE_REVISION) + 1
            connection.execute(tables.mosaics.insert(), to_mosaic_row(replace(mosaic, revision=number)))
            record = RevisionRecord(
                mosaic_id=mosaic.mosaic_id,
                revision=number,
                made_ns=now_ns,
                inputs_hash=inputs_hash,
                options=options,
            )
            connection.execute(tables.revisions.insert(), to_row(tables.revisions, record))
            return number

    def put_frames(self, mosaic_id: str, revision: int, frames: Iterable[RevisionFrame]) -> None:
        """Record the frames of a revision being written, in place of former ones."""
        c = tables.revision_frames.c
        mine = {"mosaic_id": mosaic_id, "revision": revision}
        rows = [to_row(tables.revision_frames, frame, **mine) for frame in frames]
        with self._database.write() as connection:
            _require(connection, mosaic_id, revision)
            old = delete(tables.revision_frames)
            connection.execute(old.where(c.mosaic_id == mosaic_id, c.revision == revision))
            if rows:
                connection.execute(tables.revision_frames.insert(), rows)

    def publish(self, record: RevisionRecord) -> RevisionRecord:
        """Record a revision as complete and show it; return its record. Atomic.

        Raises NotFound; StoreConflict if a frame that it holds was withdrawn meanwhile, or it was retired;
        FlightBusy if this process held the flight's finishing and lost it.
        """
        complete = replace(record, state=RevisionState.PUBLISHED, why="")
        with self._database.write(alone_in=tables.frames) as connection:
            found = _require(connection, record.mosaic_id, record.revision)
            self._database.require_held(
                connection, format_finish_lock(_flight_of(connection, record.mosaic_id))
            )
            withdrawn = _withdrawn_in(connection, record.mosaic_id, record.revision)
            if withdrawn or found.state is RevisionState.RETIRED:
                what = f"{withdrawn} of its frames were withdrawn" if withdrawn else "it was retired"
                name = f"{record.mosaic_id} revision {record.revision}"
                raise StoreConflict(
                    _("{name}: {what} while it was made; run finish again", name=name, what=what)
                )
            connection.execute(self._database.upsert(tables.revisions), to_row(tables.revisions, complete))
            show_revision(connection, record.mosaic_id, record.revision)
        return complete

    def put_reports(self, mosaic_id: str, revision: int, reports: Mapping[str, str]) -> None:
        """Record the quality reports of a revision (see `RevisionRecord.reports`).

        Raises NotFound.
        """
        c = tables.revisions.c
        this = update(tables.revisions).where(c.mosaic_id == mosaic_id, c.revision == revision)
        with self._database.write() as connection:
            _require(connection, mosaic_id, revision)
            connection.execute(this.values(reports=to_column(reports)))

    def retire_holding(self, frame_ids: Sequence[str], why: str) -> list[RevisionRecord]:
        """Retire every revision that holds one of these frames; return their records.

        The records are as before. If one of them was shown, the newest complete revision without the frames
        replaces it, else the live one. Atomic.
        """
        with self._database.write(alone_in=tables.frames) as connection:
            affected = [record for record in _holding(connection, frame_ids) if _is_alive(record)]
            r = tables.revisions.c
            for record in affected:
                this = (r.mosaic_id == record.mosaic_id) & (r.revision == record.revision)
                retired = update(tables.revisions).where(this)
                connection.execute(retired.values(state=RevisionState.RETIRED.value, why=why))
            for mosaic_id in sorted({record.mosaic_id for record in affected}):
                _show_what_is_left(connection, mosaic_id)
        return affected

    def list_for_mosaic(self, mosaic_id: str) -> list[RevisionRecord]:
        """Return all revisions of a mosaic, oldest first."""
        c = tables.revisions.c
        query = select(tables.revisions).where(c.mosaic_id == mosaic_id).order_by(c.revision)
        return self._database.fetch(RevisionRecord, query)

    def all(self) -> list[RevisionRecord]:
        """Return all revisions of all mosaics, by mosaic, oldest first."""
        query = select(tables.revisions).order_by(tables.revisions.c.mosaic_id, tables.revisions.c.revision)
        return self._database.fetch(RevisionRecord, query)

    def get(self, mosaic_id: str, revision: int) -> RevisionRecord:
        """Return one revision, or raise NotFound."""
        with self._database.read() as connection:
            return _require(connection, mosaic_id, revision)

    def find_by_inputs(self, mosaic_id: str, inputs_hash: str) -> RevisionRecord | None:
        """Return the newest complete revision of these inputs, None if there is none."""
        made = [
            record
            for record in self.list_for_mosaic(mosaic_id)
            if record.inputs_hash == inputs_hash and record.state is RevisionState.PUBLISHED
        ]
        return made[-1] if made else None

    def frames(self, mosaic_id: str, revision: int) -> list[RevisionFrame]:
        """Return the frames of a revision, by id."""
        c = tables.revision_frames.c
        query = select(tables.revision_frames).where(c.mosaic_id == mosaic_id, c.revision == revision)
        return self._database.fetch(RevisionFrame, query.order_by(c.frame_id))

    def frame(self, mosaic_id: str, revision: int, frame_id: str) -> RevisionFrame | None:
        """Return one frame as a revision used it, None if it did not."""
        c = tables.revision_frames.c
        query = select(tables.revision_frames).where(
            c.mosaic_id == mosaic_id, c.revision == revision, c.frame_id == frame_id
        )
        with self._database.read() as connection:
            found = connection.execute(query).first()
        return None if found is None else parse_row(RevisionFrame, found)

    def list_frame_uses(self, frame_ids: Sequence[str]) -> list[tuple[str, int, str]]:
        """Return (mosaic, revision, frame) of every use of these frames.

        Of revisions in any state.
        """
        c = tables.revision_frames.c
        found: list[tuple[str, int, str]] = []
        with self._database.read() as connection:
            for start in range(0, len(frame_ids), _IDS_AT_ONCE):
                some = list(frame_ids[start : start + _IDS_AT_ONCE])
                query = select(c.mosaic_id, c.revision, c.frame_id).where(c.frame_id.in_(some))
                found += [(row.mosaic_id, row.revision, row.frame_id) for row in connection.execute(query)]
        return found


def _is_alive(record: RevisionRecord) -> bool:
    return record.state is not RevisionState.RETIRED


def _flight_of(connection: Connection, mosaic_id: str) -> str:
    c = tables.mosaics.c
    query = select(c.flight_id).where(c.mosaic_id == mosaic_id).limit(1)
    return str(connection.execute(query).scalar_one())


def _require(connection: Connection, mosaic_id: str, revision: int) -> RevisionRecord:
    c = tables.revisions.c
    query = select(tables.revisions).where(c.mosaic_id == mosaic_id, c.revision == revision)
    found = connection.execute(query).first()
    if found is None:
        raise NotFound(
            _(
                "{mosaic_id}: it has no finished revision {revision}; see the flight's list",
                mosaic_id=mosaic_id,
                revision=revision,
            )
        )
    return parse_row(RevisionRecord, found)


def _withdrawn_in(connection: Connection, mosaic_id: str, revision: int) -> int:
    c = tables.revision_frames.c
    query = (
        select(func.count())
        .select_from(tables.revision_frames)
        .join(tables.withdrawals, tables.withdrawals.c.frame_id == c.frame_id)
        .where(c.mosaic_id == mosaic_id, c.revision == revision)
    )
    return int(connection.execute(query).scalar_one())


def _holding(connection: Connection, frame_ids: Sequence[str]) -> list[RevisionRecord]:
    c = tables.revision_frames.c
    found: set[tuple[str, int]] = set()
    for start in range(0, len(frame_ids), _IDS_AT_ONCE):
        some = list(frame_ids[start : start + _IDS_AT_ONCE])
        query = select(c.mosaic_id, c.revision).distinct().where(c.frame_id.in_(some))
        found.update((row.mosaic_id, row.revision) for row in connection.execute(query))
    return [_require(connection, mosaic_id, revision) for mosaic_id, revision in sorted(found)]


def _show_what_is_left(connection: Connection, mosaic_id: str) -> None:
    """Replace a shown retired revision by the newest complete one, else the live one."""
    r, m = tables.revisions.c, tables.mosaics.c
    shown = select(m.revision).where(m.mosaic_id == mosaic_id, m.published)
    number = connection.execute(shown).scalar() or LIVE_REVISION
    states = {
        row.revision: row.state
        for row in connection.execute(select(r.revision, r.state).where(r.mosaic_id == mosaic_id))
    }
    if states.get(number) == RevisionState.RETIRED.value:
        complete = [one for one, state in states.items() if state == RevisionState.PUBLISHED.value]
        show_revision(connection, mosaic_id, max(complete, default=LIVE_REVISION))
