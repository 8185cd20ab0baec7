"""The catalogue (one database with an attribute for each topic) and snapshots.

A catalogue is saved at one moment into a single file, and restored into an empty one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from sqlalchemy import Connection, Row, delete, select

from flycam.catalog import tables
from flycam.catalog.access import Accounts, Guests, Identities, OneTimeCodes, Redactions, Restrictions, Tokens
from flycam.catalog.audit import Audit
from flycam.catalog.audit_key import AuditKey
from flycam.catalog.board import Boundaries, Briefings, Marks, Settlements, SpecialistLayers
from flycam.catalog.changes import Changes, Comparisons
from flycam.catalog.database import Database, has_free_space
from flycam.catalog.flights import (
    Flights,
    Frames,
    LiveFlightReports,
    Placements,
    StoredOriginals,
    VideoSegments,
)
from flycam.catalog.migrations import alembic_version
from flycam.catalog.mosaics import Revisions, Tiles
from flycam.catalog.packs import Packs
from flycam.catalog.peers import Peers
from flycam.catalog.retention import Retention
from flycam.catalog.tables import metadata, parse_row, to_row
from flycam.errors import CatalogUnavailable, DiskFull, FlycamError, NotFound
from flycam.messages import _
from flycam.model.records import DemRecord

# -- Registered terrain files ----------------------------------------------------------------------


_WITH_SIGMAS = select(
    tables.dems, tables.dem_sigmas.c.vertical_m, tables.dem_sigmas.c.horizontal_m
).outerjoin_from(tables.dems, tables.dem_sigmas, tables.dems.c.dem_id == tables.dem_sigmas.c.dem_id)


class Terrain:
    """DEMs by their content-derived id."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put_dem(self, dem: DemRecord) -> None:
        """Register a DEM.

        Registering the same file again overwrites its path, and its sigmas if they are stated, nothing else.
        """
        east_m, north_m = map(float, dem.post_spacing_m)
        row = to_row(tables.dems, dem, spacing_east_m=east_m, spacing_north_m=north_m)
        statement = self._database.insert(tables.dems)
        moved = {name: statement.excluded[name] for name in ("name", "path", "key", "vertical_datum")}
        with self._database.write() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["dem_id"], set_=moved), row)
            if dem.sigma_m is not None:
                vertical_m, horizontal_m = dem.sigma_m
                sigmas = {"dem_id": dem.dem_id, "vertical_m": vertical_m, "horizontal_m": horizontal_m}
                connection.execute(self._database.upsert(tables.dem_sigmas), sigmas)

    def remove_dem(self, dem_id: str) -> DemRecord:
        """Remove a DEM; return its record, or raise NotFound.

        Its bytes, and the mosaics orthorectified on it, stay.
        """
        dem = self.dem(dem_id)
        with self._database.write() as connection:
            connection.execute(delete(tables.dems).where(tables.dems.c.dem_id == dem_id))
            connection.execute(delete(tables.dem_sigmas).where(tables.dem_sigmas.c.dem_id == dem_id))
        return dem

    def dems(self) -> list[DemRecord]:
        """Return all registered DEMs, the latest first."""
        c = tables.dems.c
        query = _WITH_SIGMAS.order_by(c.added_ns.desc(), c.dem_id)
        return self._database.fetch(_dem, query)

    def dem(self, dem_id: str) -> DemRecord:
        """Return one DEM, or raise NotFound."""
        with self._database.read() as connection:
            found = connection.execute(_WITH_SIGMAS.where(tables.dems.c.dem_id == dem_id)).first()
        if found is None:
            raise NotFound(
                _("{dem_id}: no such terrain; register it with: flycam dem add FILE", dem_id=dem_id)
            )
        return _dem(found)


def _dem(row: Row[Any]) -> DemRecord:
    sigma_m = None if row.vertical_m is None else (row.vertical_m, row.horizontal_m)
    post_spacing_m = (row.spacing_east_m, row.spacing_north_m)
    return parse_row(DemRecord, row, post_spacing_m=post_spacing_m, sigma_m=sigma_m)


# -- The catalogue (one database with an attribute for each topic) and snapshots -------------------


# -- Snapshot of a catalogue in one file, and its restoration --------------------------------------
#
# The file is a SQLite catalogue whatever database it came from, and it restores into either. SQLite is copied
# by its online backup; of PostgreSQL every table is read in one transaction that sees one moment.


_ROWS_AT_ONCE = 5000
_COMPUTED_OBJECTS = """
    SELECT name FROM sqlite_master WHERE type NOT IN ('table', 'index') OR rootpage = 0
    UNION ALL
    SELECT tables.name FROM sqlite_master AS tables JOIN pragma_table_xinfo(tables.name) AS columns
    WHERE tables.type = 'table' AND columns.hidden
"""
_TABLES = [table for table in metadata.sorted_tables if table is not alembic_version]


def save_snapshot(database: Database, path: Path) -> None:
    """Write the whole catalogue at this moment into a new file; others go on writing.

    Raises CatalogUnavailable (the database does not read whole, or the file cannot be written), DiskFull.
    """
    if database.is_sqlite:
        with _file(path) as copy, database.snapshot() as connection:
            # all pages in one step: the copy would begin anew whenever somebody writes between steps
            _driver(connection).backup(copy, pages=-1)
    else:
        with (
            closing(Database(f"sqlite:///{path}")) as saved,
            database.snapshot() as source,
            saved.write() as target,
        ):
            _copy_rows(source, target)
    merge_wal(path)
    with _file(path) as copy:
        problems = _quick_check(copy)
    if problems:
        raise CatalogUnavailable(
            _(
                "{place}: the catalogue is damaged ({reason}), and is not saved over a whole "
                "one; restore the last backup into a new folder",
                place=database.place,
                reason=problems[0],
            )
        )


def merge_wal(path: Path) -> None:
    """Merge the write-ahead log into a catalogue's file once nobody has it open.

    The file is complete in itself then. Raises CatalogUnavailable, DiskFull.
    """
    with _file(path) as copy:
        copy.execute("PRAGMA journal_mode=DELETE")


def restore_snapshot(database: Database, path: Path) -> None:
    """Load a saved catalogue into this one, which is empty: all or nothing.

    A file of an older schema is migrated in place, so pass a copy. Raises CatalogUnavailable, DiskFull.
    """
    with (
        closing(Database(f"sqlite:///{path}")) as saved,
        saved.snapshot() as source,
        database.write() as target,
    ):
        _copy_rows(source, target)


def has_rows_only(path: Path) -> bool:
    """Check that a saved catalogue has no view, trigger or computed column.

    Those could produce rows without end. Nothing is written, and no journal beside it is read.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as file:
            return file.execute(_COMPUTED_OBJECTS).fetchone() is None
    except sqlite3.Error:
        return False


def is_database_empty(database: Database) -> bool:
    """Check whether nothing was ever entered."""
    with database.read() as connection:
        return all(connection.execute(select(table).limit(1)).first() is None for table in _TABLES)


def check_integrity(database: Database) -> list[str]:
    """Return what the database finds wrong with its own file.

    Empty if it is intact, or a server that watches itself.
    """
    if not database.is_sqlite:
        return []
    # a connection of its own, because a damaged file breaks transactions
    with _file(Path(database.place)) as file:
        return _quick_check(file)


def _quick_check(file: sqlite3.Connection) -> list[str]:
    try:
        problems = [str(row[0]) for row in file.execute("PRAGMA quick_check(10)")]
    except sqlite3.DatabaseError as error:  # too damaged to be checked
        return [str(error)]
    return [] if problems == ["ok"] else problems


def _copy_rows(source: Connection, target: Connection) -> None:
    for table in _TABLES:
        rows = source.execution_options(yield_per=_ROWS_AT_ONCE).execute(select(table))
        for some in rows.partitions():
            target.execute(table.insert(), [dict(row._mapping) for row in some])


def _driver(connection: Connection) -> sqlite3.Connection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)  # noqa: S101  for the types
    return driver


@contextmanager
def _file(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise _trouble(path, error) from error


def _trouble(path: Path, error: sqlite3.Error) -> FlycamError:
    if "full" in str(error) or ("disk I/O" in str(error) and not has_free_space(path)):
        return DiskFull(
            _(
                "{path}: no space left for a copy of the catalogue ({error}); free some and run again",
                path=path,
                error=error,
            )
        )
    return CatalogUnavailable(
        _(
            "{path}: no copy of the catalogue can be made here ({error}); check the disk, or name another",
            path=path,
            error=error,
        )
    )


# -- Catalogue: an attribute for each topic --------------------------------------------------------


class Catalog:
    """The catalogue. Thread-safe; each process opens its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.flights = Flights(database)
        self.frames = Frames(database)
        self.placements = Placements(database)
        self.tiles = Tiles(database)
        self.airborne = LiveFlightReports(database)
        self.recordings = VideoSegments(database)
        self.revisions = Revisions(database)
        self.terrain = Terrain(database)
        self.boundaries = Boundaries(database)
        self.layers = SpecialistLayers(database)
        self.marks = Marks(database)
        self.changes = Changes(database)
        self.comparisons = Comparisons(database)
        self.briefings = Briefings(database)
        self.packs = Packs(database)
        self.settlements = Settlements(database)
        self.accounts = Accounts(database)
        self.tokens = Tokens(database)
        self.codes = OneTimeCodes(database)
        self.restrictions = Restrictions(database)
        self.redactions = Redactions(database)
        self.retention = Retention(database)
        self.peers = Peers(database)
        self.kept_originals = StoredOriginals(database)
        self.guests = Guests(database)
        self.identities = Identities(database)
        self.audit = Audit(database)

    @property
    def place(self) -> str:
        """Location of the catalogue, without its password."""
        return self._database.place

    @property
    def folder(self) -> Path | None:
        """Folder of the catalogue's file; None if a server keeps it."""
        return Path(self._database.place).parent if self._database.is_sqlite else None

    def save(self, path: Path) -> None:
        """Write everything at this moment into one new file (`save_snapshot`)."""
        save_snapshot(self._database, path)

    def fill(self, path: Path) -> None:
        """Load such a file into this catalogue, which is empty: all or nothing."""
        restore_snapshot(self._database, path)

    def is_empty(self) -> bool:
        """Check whether nothing was ever entered."""
        return is_database_empty(self._database)

    def check(self) -> list[str]:
        """Return what the database finds wrong with its own file."""
        return check_integrity(self._database)

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def __enter__(self) -> Catalog:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()


def open_catalog(url: str, audit_key: Path | None = None, known_keys: Collection[str] = ()) -> Catalog:
    """Open the catalogue at a database address; make missing tables.

    `sqlite:///FILE` or `postgresql+psycopg://user:password@host/name`. audit_key: the file of the key that
    signs the audit log, made when it is needed; None: nothing is signed. known_keys: public keys of other
    nodes that write into it. Raises CatalogUnavailable.
    """
    return Catalog(Database(url, None if audit_key is None else AuditKey(audit_key, known_keys)))
