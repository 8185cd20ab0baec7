"""Originals whose bytes lay in this house's store once: what of them is not there any more is lost, or was
let go. Those of other boxes' frames may never have been here."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, select

from flycam.catalog.database import Database
from flycam.catalog.retention_tables import kept_originals

_ROWS_AT_ONCE = 2000


class StoredOriginals:
    """A set of SHA-256 (hex) that only grows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, hashes: Iterable[str]) -> None:
        """These lie in the store, and stay there through a power cut; on disk when the call returns."""
        asked = set(hashes)
        new = asked - self.filter_known(asked)  # nothing is written where nothing is new
        if new:
            with self._database.write() as connection:
                record_stored(connection, self._database, new)

    def filter_known(self, hashes: Iterable[str]) -> set[str]:
        """Those of these that lay here."""
        asked, found = sorted(set(hashes)), set[str]()
        c = kept_originals.c
        with self._database.read() as connection:
            for start in range(0, len(asked), _ROWS_AT_ONCE):
                some = asked[start : start + _ROWS_AT_ONCE]
                found.update(connection.execute(select(c.sha256).where(c.sha256.in_(some))).scalars())
        return found


def record_stored(connection: Connection, database: Database, hashes: Iterable[str]) -> None:
    """As `KeptOriginals.note`, in the step that is under way."""
    rows = [
        {"sha256": sha256} for sha256 in sorted(set(hashes))
    ]  # sorted, so that no two wait for each other
    if rows:
        insert = database.insert(kept_originals).on_conflict_do_nothing(index_elements=["sha256"])
        connection.execute(insert, rows)
