"""What ground was compared, by which pictures: what tells "nothing was found" from "nobody looked"."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, func, select, update

from flycam.catalog.audit import write_entries
from flycam.catalog.board_tables import comparisons
from flycam.catalog.bounding_boxes import to_box_columns
from flycam.catalog.database import Database
from flycam.catalog.flights import require_in_event
from flycam.catalog.image_reference import list_mosaic_ids, parse_source_pair
from flycam.catalog.records import AuditEntry, BoundsLonLat
from flycam.catalog.tables import audit_log


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedWindow:
    """One window by which AFTER was laid onto BEFORE. lonlat_deg: its middle; state: agreed, disagreed or not
    found; residual_m: how far off the field that was made without it, None where it was not found."""

    lonlat_deg: tuple[float, float]
    state: str
    residual_m: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Ground on which changes of one event were looked for between two pictures. Another area asked for is
    another comparison; together they are what was looked at.

    before_shown, after_shown  as `ChangeVersion` has them
    rmse_m                     how well the two lie on each other
    author                     who had changes looked for, at `at_ns`
    wkb                        multipolygon, WGS 84; never more than was compared
    doubts                     why every change found by it is less sure than elsewhere: most windows
                               disagree, a side was a live mosaic (each in English and in Vietnamese)
    warnings                   what else whoever decides by it has to know; of neither anything is on record
                               before schema 20
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
    doubts: tuple[tuple[str, str], ...] = ()
    warnings: tuple[tuple[str, str], ...] = ()

    @property
    def mosaics(self) -> tuple[str, ...]:
        """Ids of the mosaics that were compared; pictures have none."""
        return list_mosaic_ids(self.before_shown, self.after_shown)

    @property
    def pair(self) -> tuple[str, str]:
        """Between which two pictures, whatever their revisions."""
        return parse_source_pair(self.before_shown, self.after_shown)


class Comparisons:
    """By id, each kept once; doubts and warnings that one came without are filled in when they come. One is
    on disk when `add` returns."""

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
        """Keep those that are not known yet, with what the audit log tells of so many; how many were not.
        windows: of the one that is added; what comes from another box has none. One that is known without
        doubts and warnings, for it came through a box before schema 20, takes those of the same that has.
        flight_ids: flights that their event has; StoreConflict where one was moved out of it."""
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
            for one in records:
                if one.comparison_id in known and (one.doubts or one.warnings):
                    is_bare = (c.doubts == _EMPTY_JSON) & (c.warnings == _EMPTY_JSON)
                    bare = update(comparisons).where(c.comparison_id == one.comparison_id, is_bare)
                    connection.execute(bare.values(**_remarks(one)))
        return len(new)

    def list_for_event(self, event_id: str, until_ns: int | None = None) -> list[Comparison]:
        """Every one of an event, the first first; until_ns: those that were made by then (UTC)."""
        c = comparisons.c
        plain = [column for column in c if column.name != "windows"]
        query = select(*plain).where(c.event_id == event_id).order_by(c.at_ns, c.comparison_id)
        if until_ns is not None:
            query = query.where(c.at_ns <= until_ns)
        with self._database.read() as connection:
            return [_comparison(row) for row in connection.execute(query)]

    def windows(self, comparison_id: str) -> list[ComparedWindow]:
        """The windows of one; none of what came from another box, or is not known."""
        c = comparisons.c
        with self._database.read() as connection:
            data = connection.execute(select(c.windows).where(c.comparison_id == comparison_id)).scalar()
        return [] if data is None else _windows(bytes(data))

    def events(self) -> set[str]:
        """Events of which anything was compared."""
        with self._database.read() as connection:
            return set(connection.execute(select(comparisons.c.event_id).distinct()).scalars())

    def stamp(self) -> int:
        """Grows with every one, and where doubts or warnings are filled in."""
        c = comparisons.c
        said = func.count().filter((c.doubts != _EMPTY_JSON) | (c.warnings != _EMPTY_JSON))
        with self._database.read() as connection:
            return int(connection.execute(select(func.count() + said).select_from(comparisons)).scalar_one())


_EMPTY_JSON = "[]"
_PLAIN = (
    "comparison_id",
    "event_id",
    "before_shown",
    "after_shown",
    "rmse_m",
    "author",
    "at_ns",
    "wkb",
)


def _row(one: Comparison, windows: Sequence[ComparedWindow]) -> dict[str, Any]:
    said = [[*window.lonlat_deg, window.state, window.residual_m] for window in windows]
    return {
        **{name: getattr(one, name) for name in _PLAIN},
        "windows": zlib.compress(json.dumps(said, separators=(",", ":")).encode()),
        **_remarks(one),
        **to_box_columns(one.bounds_lonlat_deg),
    }


def _remarks(one: Comparison) -> dict[str, str]:
    return {
        "doubts": json.dumps(one.doubts, ensure_ascii=False),
        "warnings": json.dumps(one.warnings, ensure_ascii=False),
    }


def _windows(data: bytes) -> list[ComparedWindow]:
    return [
        ComparedWindow(lonlat_deg=(lon, lat), state=state, residual_m=residual_m)
        for lon, lat, state, residual_m in json.loads(zlib.decompress(data))
    ]


def _comparison(row: Row[Any]) -> Comparison:
    return Comparison(
        **{name: getattr(row, name) for name in _PLAIN},
        bounds_lonlat_deg=(row.west, row.south, row.east, row.north),
        doubts=_parse_pairs(row.doubts),
        warnings=_parse_pairs(row.warnings),
    )


def _parse_pairs(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((english, vietnamese) for english, vietnamese in json.loads(text))
