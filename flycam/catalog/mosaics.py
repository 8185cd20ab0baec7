"""Mosaics, the tile log, the head of every tile, and finished revisions.

Every reader follows the log: `seq` is assigned under a lock of the mosaic and committed in the same
transaction, so a reader whose cursor is n has seen every line up to n, for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from flycam.catalog import tables
from flycam.catalog.database import Database
from flycam.catalog.flights import format_finish_lock
from flycam.catalog.tables import fetch_heads, parse_row, show_revision, to_column, to_mosaic_row, to_row
from flycam.errors import NotFound, StoreConflict
from flycam.geometry.grid import TileId, TileRange
from flycam.messages import _
from flycam.model.frame import TileRecord
from flycam.model.records import MosaicInfo, RevisionFrame, RevisionRecord, RevisionState


class Tiles:
    """Mosaic revisions, tile heads and the tile log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put_mosaic(self, mosaic: MosaicInfo) -> None:
        """Open a mosaic revision; with the same values again it changes nothing.

        A new revision with published=True becomes the one that is shown. Raises StoreConflict if the revision
        exists with another flight, layer or zoom: those are fixed when a mosaic opens.
        """
        c = tables.mosaics.c
        with self._database.write() as connection:
            self._lock_log(connection, mosaic.mosaic_id)
            query = select(tables.mosaics).where(
                c.mosaic_id == mosaic.mosaic_id, c.revision == mosaic.revision
            )
            found = connection.execute(query).first()
            if found is not None:
                before = replace(parse_row(MosaicInfo, found), published=mosaic.published)
                if before != mosaic:
                    raise StoreConflict(
                        f"{mosaic.mosaic_id} revision {mosaic.revision}: opened before as "
                        f"{before.layer.value}, zoom {before.base_zoom}-{before.min_zoom}, "
                        f"of flight {before.flight_id}; "
                        "open a new revision"
                    )
                return
            connection.execute(tables.mosaics.insert(), to_mosaic_row(mosaic))
            if mosaic.published:
                self._show(connection, mosaic.mosaic_id, mosaic.revision)

    def mosaics(self, flight_id: str | None = None) -> list[MosaicInfo]:
        """Return all mosaic revisions, or those of a flight, by mosaic and revision."""
        c = tables.mosaics.c
        query = select(tables.mosaics).order_by(c.mosaic_id, c.revision)
        if flight_id is not None:
            query = query.where(c.flight_id == flight_id)
        return self._database.fetch(MosaicInfo, query)

    def mosaic(self, mosaic_id: str, revision: int | None = None) -> MosaicInfo:
        """Return one revision, or raise NotFound.

        Without `revision` the published one, else the newest.
        """
        c = tables.mosaics.c
        query = select(tables.mosaics).where(c.mosaic_id == mosaic_id)
        if revision is not None:
            query = query.where(c.revision == revision)
        with self._database.read() as connection:
            found = connection.execute(query.order_by(c.published.desc(), c.revision.desc())).first()
        if found is None:
            raise make_mosaic_not_found(mosaic_id, revision)
        return parse_row(MosaicInfo, found)

    def publish(self, mosaic_id: str, revision: int) -> None:
        """Show this revision from now on. Atomic. Raises NotFound, FlightBusy."""
        with self._database.write() as connection:
            self._require_held(connection, mosaic_id)
            self._lock_log(connection, mosaic_id)
            self._show(connection, mosaic_id, revision)

    def hide(self, mosaic_id: str) -> None:
        """Show no revision of a mosaic whose frames were all moved to another.

        `publish` shows it again. Raises FlightBusy.
        """
        with self._database.write() as connection:
            self._require_held(connection, mosaic_id)
            self._lock_log(connection, mosaic_id)
            shown = update(tables.mosaics).where(tables.mosaics.c.mosaic_id == mosaic_id)
            connection.execute(shown.values(published=False))

    def append(
        self, records: Sequence[TileRecord], expected: Mapping[TileId, str | None]
    ) -> list[TileRecord]:
        """Make these objects the heads of their tiles, all or none, and log them.

        records   of one mosaic revision, each tile once; their `seq` is ignored
        expected  content hash of the head each record was made from; None, or no entry: there was no head

        Returns the records with their seq, in the order given. A tile whose head is this very object already
        keeps its line (a resend changes nothing). Raises StoreConflict if a head has moved: read it again,
        merge, and retry. FlightBusy if this process held the flight's lock and lost it. NotFound without
        `put_mosaic`; ValueError for records of several mosaics or zooms outside the mosaic's.
        """
        if not records:
            return []
        mosaic_id, revision = _only_mosaic(records)
        with self._database.write() as connection:
            flight_id = self._check_zooms(connection, mosaic_id, revision, records)
            self._database.require_held(connection, flight_id, format_finish_lock(flight_id))
            last = self._lock_log(connection, mosaic_id)
            heads = fetch_heads(connection, mosaic_id, revision, [r.tile_id for r in records])
            fresh: list[TileRecord] = []
            answer: list[TileRecord] = []
            for record in records:
                head = heads.get(record.tile_id)
                if head is not None and _same_object(head, record):
                    answer.append(head)
                    continue
                _compare(record, head, expected.get(record.tile_id))
                fresh.append(replace(record, seq=last + len(fresh) + 1))
                answer.append(fresh[-1])
            self._write(connection, mosaic_id, last, fresh)
        return answer

    def relog_heads(self, mosaic_id: str, revision: int, tile_ids: Sequence[TileId]) -> list[TileRecord]:
        """Log the unchanged heads of these tiles again at the end of the log.

        For readers whose cursor passed them without the object. Tiles without a head are left out.
        """
        with self._database.write() as connection:
            last = self._lock_log(connection, mosaic_id)
            heads = fetch_heads(connection, mosaic_id, revision, tile_ids)
            again = [replace(one, seq=last + number) for number, one in enumerate(heads.values(), 1)]
            self._write(connection, mosaic_id, last, again)
        return again

    def head(self, mosaic_id: str, revision: int, tile: TileId) -> TileRecord | None:
        """Return the current object of a tile; None if the tile is empty."""
        with self._database.read() as connection:
            return fetch_heads(connection, mosaic_id, revision, [tile]).get(tile)

    def heads(
        self, mosaic_id: str, revision: int, z: int | None = None, tiles: TileRange | None = None
    ) -> list[TileRecord]:
        """Return heads by zoom, row and column.

        Of one zoom or of a range of tiles if given.
        """
        c = tables.tile_heads.c
        query = select(tables.tile_heads).where(c.mosaic_id == mosaic_id, c.revision == revision)
        if z is not None:
            query = query.where(c.z == z)
        if tiles is not None:
            query = query.where(
                c.z == tiles.z,
                c.x >= tiles.x_start,
                c.x < tiles.x_stop,
                c.y >= tiles.y_start,
                c.y < tiles.y_stop,
            )
        return self._database.fetch(TileRecord, query.order_by(c.z, c.y, c.x))

    def count(self, mosaic_id: str, revision: int) -> int:
        """Count the tiles of a mosaic revision."""
        c = tables.tile_heads.c
        heads = select(func.count()).select_from(tables.tile_heads)
        with self._database.read() as connection:
            found = connection.execute(heads.where(c.mosaic_id == mosaic_id, c.revision == revision))
            return int(found.scalar_one())

    def get_heads(self, mosaic_id: str, revision: int, wanted: Sequence[TileId]) -> dict[TileId, TileRecord]:
        """Return the heads of these tiles, without tiles that have none."""
        with self._database.read() as connection:
            return fetch_heads(connection, mosaic_id, revision, wanted)

    def log_since(self, mosaic_id: str, seq: int, limit: int = 1000) -> list[TileRecord]:
        """Return at most `limit` log lines after `seq`, of all revisions, in order."""
        c = tables.tile_log.c
        query = select(tables.tile_log).where(c.mosaic_id == mosaic_id, c.seq > seq).order_by(c.seq)
        return self._database.fetch(TileRecord, query.limit(limit))

    def list_before(self, mosaic_id: str, written_ns: int, *, z: int) -> dict[TileId, TileRecord]:
        """Return the live tiles of a zoom as they were in the log before a time, by tile."""
        c = tables.tile_log.c
        of_it = c.mosaic_id == mosaic_id, c.revision == LIVE_REVISION, c.z == z
        last = select(func.max(c.seq)).where(*of_it, c.written_ns < written_ns).group_by(c.x, c.y)
        query = select(tables.tile_log).where(c.mosaic_id == mosaic_id, c.seq.in_(last))
        return {one.tile_id: one for one in self._database.fetch(TileRecord, query)}

    def last_seq(self, mosaic_id: str) -> int:
        """Return the number of the last line of a mosaic's log; 0 before the first."""
        query = select(tables.tile_logs.c.last_seq).where(tables.tile_logs.c.mosaic_id == mosaic_id)
        with self._database.read() as connection:
            return connection.execute(query).scalar() or 0

    def origins(self) -> set[str]:
        """Return the node names in the lines here: all names that this node has had.

        Reads all logs.
        """
        with self._database.read() as connection:
            return set(connection.execute(select(tables.tile_log.c.origin).distinct()).scalars())

    def _require_held(self, connection: Connection, mosaic_id: str) -> None:
        """Require the locks of a mosaic's flight, if this process took them."""
        c = tables.mosaics.c
        query = select(c.flight_id).where(c.mosaic_id == mosaic_id).limit(1)
        for flight_id in connection.execute(query).scalars().all():
            self._database.require_held(connection, flight_id, format_finish_lock(flight_id))

    def _lock_log(self, connection: Connection, mosaic_id: str) -> int:
        """Hold this mosaic's log until the transaction ends; return its last seq."""
        start = self._database.insert(tables.tile_logs).on_conflict_do_nothing()
        connection.execute(start, {"mosaic_id": mosaic_id, "last_seq": 0})
        query = select(tables.tile_logs.c.last_seq).where(tables.tile_logs.c.mosaic_id == mosaic_id)
        if not self._database.is_sqlite:
            # held until the commit, so that numbers become visible in order and no reader skips a line
            query = query.with_for_update()
        return int(connection.execute(query).scalar_one())

    def _show(self, connection: Connection, mosaic_id: str, revision: int) -> None:
        if not show_revision(connection, mosaic_id, revision):
            raise make_mosaic_not_found(mosaic_id, revision)

    def _check_zooms(
        self, connection: Connection, mosaic_id: str, revision: int, records: Sequence[TileRecord]
    ) -> str:
        """Raise ValueError for a zoom outside the mosaic's; return its flight id."""
        c = tables.mosaics.c
        query = select(c.min_zoom, c.base_zoom, c.flight_id).where(
            c.mosaic_id == mosaic_id, c.revision == revision
        )
        found = connection.execute(query).first()
        if found is None:
            raise make_mosaic_not_found(mosaic_id, revision)
        for record in records:
            if not found.min_zoom <= record.tile_id.z <= found.base_zoom:
                raise ValueError(
                    f"tile {record.tile_id} is outside {mosaic_id}'s zooms {found.min_zoom}-{found.base_zoom}"
                )
        return str(found.flight_id)

    def _write(self, connection: Connection, mosaic_id: str, last: int, fresh: list[TileRecord]) -> None:
        if not fresh:
            return
        rows = [to_row(tables.tile_log, record) for record in fresh]
        connection.execute(tables.tile_log.insert(), rows)
        connection.execute(self._database.upsert(tables.tile_heads), rows)
        log = tables.tile_logs
        connection.execute(update(log).where(log.c.mosaic_id == mosaic_id).values(last_seq=last + len(fresh)))


def make_mosaic_not_found(mosaic_id: str, revision: int | None = None) -> NotFound:
    """Make the error of a mosaic that is missing or, in the same words, hidden."""
    which = mosaic_id[:128] if revision is None else f"{mosaic_id[:128]} revision {revision}"
    return NotFound(_("{which}: no such mosaic; take the id from the flight's list", which=which))


def _only_mosaic(records: Sequence[TileRecord]) -> tuple[str, int]:
    mosaics = {(record.mosaic_id, record.revision) for record in records}
    if len(mosaics) != 1:
        raise ValueError(f"one append writes one mosaic revision, not {len(mosaics)}")
    if len({record.tile_id for record in records}) != len(records):
        raise ValueError("one append names a tile once")
    return mosaics.pop()


def _same_object(head: TileRecord, record: TileRecord) -> bool:
    return (head.content_hash, head.epoch, head.key) == (record.content_hash, record.epoch, record.key)


def _compare(record: TileRecord, head: TileRecord | None, expected: str | None) -> None:
    found = None if head is None else head.content_hash
    if found != expected:
        raise StoreConflict(
            _(
                "tile {tile_id} of {mosaic_id}: its head is {found}, not {expected}; read it "
                "again, merge and retry",
                tile_id=record.tile_id,
                mosaic_id=record.mosaic_id,
                found=found,
                expected=expected,
            )
        )


# -- Finished revisions: inputs, poses of frames, statistics, and publication ----------------------
#
# A record states whether its revision may be shown. The pointer to the revision on show
# (`MosaicInfo.published`) moves in the same transaction as the state, so there is no moment at which an
# unfinished revision, or one that holds a withdrawn frame, is shown.


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
