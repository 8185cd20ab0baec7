"""Originals whose bytes were once in this node's store.

One that is not there any more is lost or purged. Originals of other nodes' frames may never have been here.
"""

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
        """Record that these are in the store durably; on disk on return."""
        asked = set(hashes)
        new = asked - self.filter_known(asked)  # no transaction without new hashes
        if new:
            with self._database.write() as connection:
                record_stored(connection, self._database, new)

    def filter_known(self, hashes: Iterable[str]) -> set[str]:
        """Return those of these that were once here."""
        asked, found = sorted(set(hashes)), set[str]()
        c = kept_originals.c
        with self._database.read() as connection:
            for start in range(0, len(asked), _ROWS_AT_ONCE):
                some = asked[start : start + _ROWS_AT_ONCE]
                found.update(connection.execute(select(c.sha256).where(c.sha256.in_(some))).scalars())
        return found


def record_stored(connection: Connection, database: Database, hashes: Iterable[str]) -> None:
    """Record hashes as `StoredOriginals.note`, within a transaction."""
    # sorted, so that no two transactions wait for each other
    rows = [{"sha256": sha256} for sha256 in sorted(set(hashes))]
    if rows:
        insert = database.insert(kept_originals).on_conflict_do_nothing(index_elements=["sha256"])
        connection.execute(insert, rows)
