"""Comparisons: which ground was compared, by which images.

They tell "nothing found" from "never compared".
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, func, select

from flycam.catalog.audit import write_entries
from flycam.catalog.changes import list_mosaic_ids, parse_source_pair
from flycam.catalog.database import Database
from flycam.catalog.flights import require_in_event
from flycam.catalog.rows import parse_row, to_row
from flycam.catalog.tables import audit_log, comparisons
from flycam.messages import Message, decode_message, encode_message
from flycam.model.records import AuditEntry, BoundsLonLat


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedWindow:
    """One window by which AFTER was coregistered with BEFORE.

    lonlat_deg  its middle
    state       agreed, disagreed or not found
    residual_m  distance from the field that was fitted without it, None if not found
    """

    lonlat_deg: tuple[float, float]
    state: str
    residual_m: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Ground on which changes of one event were searched for between two images.

    Another requested area is another comparison; together they are the ground that was compared.

    before_shown, after_shown  as in `ChangeVersion`
    rmse_m                     of the coregistration
    author                     who started the search, at `at_ns`
    wkb                        multipolygon, WGS 84; never more than was compared
    doubts                     why every change found by it is less sure than elsewhere: most windows
                               disagree, a side was a live mosaic
    warnings                   what else a reviewer has to know
    """

    comparison_id: str
    event_id: str
    before_shown: str
    after_shown: str
    rmse_m: float
    author: str
    at_ns: int
    wkb: bytes
    bounds_lonlat_deg: BoundsLonLat
    doubts: tuple[Message, ...] = ()
    warnings: tuple[Message, ...] = ()

    @property
    def mosaics(self) -> tuple[str, ...]:
        """Ids of the mosaics that were compared; image files have none."""
        return list_mosaic_ids(self.before_shown, self.after_shown)

    @property
    def pair(self) -> tuple[str, str]:
        """The two images that were compared, whatever their revisions."""
        return parse_source_pair(self.before_shown, self.after_shown)


class Comparisons:
    """Comparisons by id, each stored once, on disk when `add` returns."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        records: Sequence[Comparison],
        windows: Sequence[ComparedWindow] = (),
        make_audit_entry: Callable[[int], AuditEntry] | None = None,
        *,
        flight_ids: Collection[str] = (),
    ) -> int:
        """Add unknown comparisons with one audit entry; return how many were unknown.

        windows     of the one that is added; those from other nodes have none
        flight_ids  flights of their event; StoreConflict if one was moved out of it
        """
        if not records:
            return 0
        c = comparisons.c
        with self._database.write(alone_in=audit_log) as connection:
            require_in_event(connection, flight_ids, records[0].event_id)
            ids = {one.comparison_id for one in records}
            known = set(connection.execute(select(c.comparison_id).where(c.comparison_id.in_(ids))).scalars())
            new = {one.comparison_id: _row(one, windows) for one in records if one.comparison_id not in known}
            if new:
                connection.execute(comparisons.insert(), list(new.values()))
                write_entries(
                    connection,
                    [make_audit_entry(len(new))] if make_audit_entry else [],
                    self._database.audit_key,
                )
        return len(new)

    def list_for_event(self, event_id: str, until_ns: int | None = None) -> list[Comparison]:
        """Return all comparisons of an event, oldest first.

        until_ns  only those made by then (UTC)
        """
        c = comparisons.c
        plain = [column for column in c if column.name != "windows"]
        query = select(*plain).where(c.event_id == event_id).order_by(c.at_ns, c.comparison_id)
        if until_ns is not None:
            query = query.where(c.at_ns <= until_ns)
        with self._database.read() as connection:
            return [_comparison(row) for row in connection.execute(query)]

    def windows(self, comparison_id: str) -> list[ComparedWindow]:
        """Return the windows of one; none if it is unknown or from another node."""
        c = comparisons.c
        with self._database.read() as connection:
            data = connection.execute(select(c.windows).where(c.comparison_id == comparison_id)).scalar()
        return [] if data is None else _windows(bytes(data))

    def events(self) -> set[str]:
        """Return the events with any comparison."""
        with self._database.read() as connection:
            return set(connection.execute(select(comparisons.c.event_id).distinct()).scalars())

    def stamp(self) -> int:
        """Return a number that grows with every one."""
        with self._database.read() as connection:
            return int(connection.execute(select(func.count()).select_from(comparisons)).scalar_one())


def _row(one: Comparison, windows: Sequence[ComparedWindow]) -> dict[str, Any]:
    rows = [[*window.lonlat_deg, window.state, window.residual_m] for window in windows]
    packed = zlib.compress(json.dumps(rows, separators=(",", ":")).encode())
    return to_row(
        comparisons, one, windows=packed, doubts=_encode(one.doubts), warnings=_encode(one.warnings)
    )


def _encode(remarks: Sequence[Message]) -> str:
    return json.dumps([encode_message(remark) for remark in remarks], ensure_ascii=False)


def _windows(data: bytes) -> list[ComparedWindow]:
    return [
        ComparedWindow(lonlat_deg=(lon, lat), state=state, residual_m=residual_m)
        for lon, lat, state, residual_m in json.loads(zlib.decompress(data))
    ]


def _comparison(row: Row[Any]) -> Comparison:
    return parse_row(Comparison, row, doubts=_decode(row.doubts), warnings=_decode(row.warnings))


def _decode(text: str) -> tuple[Message, ...]:
    return tuple(map(decode_message, json.loads(text)))
