"""Recorded video of live flights by segment: time, length and hash. The bytes are in the object store.

A segment that was deleted to free space keeps its row: its description and its hash stay known.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, update

from flycam.catalog import tables
from flycam.catalog.database import Database

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
        row = {name: getattr(piece, name) for name in _mine.columns.keys()}  # noqa: SIM118  no mapping
        with self._database.write() as connection:
            connection.execute(self._database.insert(_mine).on_conflict_do_nothing(), row)

    def list_for_flight(self, flight_id: str) -> list[VideoSegment]:
        """Return all segments of a flight, oldest first, deleted ones too."""
        query = select(_mine).where(_mine.c.flight_id == flight_id).order_by(_mine.c.began_ns, _mine.c.sha256)
        with self._database.read() as connection:
            return [_piece(row) for row in connection.execute(query)]

    def list_stored(self) -> list[VideoSegment]:
        """Return the segments of all flights whose bytes are kept, oldest first."""
        query = select(_mine).where(_mine.c.let_go_ns.is_(None)).order_by(_mine.c.began_ns, _mine.c.sha256)
        with self._database.read() as connection:
            return [_piece(row) for row in connection.execute(query)]

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
        with self._database.read() as connection:
            return [_piece(row) for row in connection.execute(query)]

    def mark_deleted(self, sha256: str, at_ns: int) -> None:
        """Record that a segment's bytes are kept no longer."""
        change = update(_mine).where(_mine.c.sha256 == sha256, _mine.c.let_go_ns.is_(None))
        with self._database.write() as connection:
            connection.execute(change.values(let_go_ns=at_ns))


def _piece(row: Any) -> VideoSegment:
    return VideoSegment(**{name: getattr(row, name) for name in _mine.columns.keys()})  # noqa: SIM118  no mapping
