"""Mosaics, the tile log and the head of every tile.

Every reader follows the log: `seq` is assigned under a lock of the mosaic and committed in the same
transaction, so a reader whose cursor is n has seen every line up to n, for ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection, func, select, update

from flycam.catalog import tables
from flycam.catalog.database import Database
from flycam.catalog.flights import format_finish_lock
from flycam.catalog.rows import (
    fetch_heads,
    parse_row,
    show_revision,
    to_mosaic_row,
    to_row,
)
from flycam.errors import NotFound, StoreConflict
from flycam.geometry.grid import TileId, TileRange
from flycam.messages import _
from flycam.model.frame import TileRecord
from flycam.model.records import MosaicInfo


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
