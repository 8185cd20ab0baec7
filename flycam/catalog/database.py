"""The database behind the catalogue: connections, transactions, locks and errors.

SQLite runs in WAL mode with full synchronisation: a committed decision survives a power cut, and readers
never wait for the writer. A write transaction takes SQLite's write lock at its beginning, so that what it
has read cannot change before it commits; PostgreSQL locks the rows that matter instead.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy
from sqlalchemy import Connection, Engine, Select, Table, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from flycam.catalog.audit_key import AuditKey
from flycam.catalog.migrations import HEAD, alembic_version, read_revision, stamp_head, upgrade_schema
from flycam.catalog.tables import metadata, parse_row
from flycam.errors import CatalogUnavailable, DiskFull, FlightBusy, InputUnusable, StorageFailed
from flycam.messages import _
from flycam.model.text import strip_url_credentials
from flycam.storage.files import get_free_bytes, make_folder

# -- Lock held by a PostgreSQL session, and its recovery after the session ended -------------------
#
# A server restart, or a broken connection, ends the session without a notice to its holder. So the holder
# checks (`SessionLock.require`) in each transaction that writes what nobody else may write at the same time:
#
# - The session lives: the lock is held.
# - It ended, and the lock is free and nobody has held it since: it is taken again, and the work goes on. If
#   the server has not noticed the broken connection yet, the old session is ended there first.
# - Another holds it, or held it since: FlightBusy, and nothing is written. What the other did meanwhile (a
#   withdrawal) is not known to this work, which ends here and is begun again by its command.
#
# A new holder waits until transactions of the former one, which had checked in time, are over.


CREATE_TURNS_TABLE = "CREATE TABLE IF NOT EXISTS lock_turns (name TEXT PRIMARY KEY, turns BIGINT NOT NULL)"
"""Count of how often each lock was taken. Not part of the catalogue: a copy of it has no locks."""

_NEXT_TURN = text(
    "INSERT INTO lock_turns AS t (name, turns) VALUES (:name, 1) "
    "ON CONFLICT (name) DO UPDATE SET turns = t.turns + 1 RETURNING turns"
)
_TURN = text("SELECT turns FROM lock_turns WHERE name = :name")
_END_OLD = text(
    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
    "AND pid = :pid AND ((classid::bigint << 32) | objid::bigint) = :key"
)
# until the server has removed an ended session
_MAX_TRIES, _PAUSE_S = 100, 0.05


class SessionLock:
    """One lock by its name. Thread-safe."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine, self.name = engine, name
        self._key, self._writing = _key_of(name), _key_of(f"writing under {name}")
        self._guard = threading.Lock()
        self._session: Connection | None = None
        self._turn = self._pid = 0

    def take(self) -> None:
        """Take the lock. Raises FlightBusy if another holds it, SQLAlchemyError."""
        session = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            if not session.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": self._key}).scalar():
                raise make_flight_busy(self.name)
            self._turn = session.execute(_NEXT_TURN, {"name": self.name}).scalar_one()
            # wait for transactions that still write as its former holders; later ones fail in `require`
            session.execute(text("SELECT pg_advisory_lock(:key)"), {"key": self._writing})
            session.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": self._writing})
            self._pid = _pid_of(session)
        except BaseException:
            _end(session)
            raise
        self._session = session

    def require(self, writing: Connection) -> None:
        """Keep the lock until the transaction of `writing` ends.

        Call it in that transaction before anything is written. Raises FlightBusy if the lock is lost for
        good, SQLAlchemyError.
        """
        writing.execute(text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": self._writing})
        with self._guard:
            if not self._is_held():
                self._take_again()

    def release(self) -> None:
        """Release the lock; does nothing if it was released or lost before."""
        with self._guard:
            session, self._session = self._session, None
            if session is not None:
                _end(session)

    def _is_held(self) -> bool:
        if self._session is None:
            return False
        try:
            self._session.execute(text("SELECT 1"))
        except SQLAlchemyError:  # the session ended, and the lock with it
            self._session.invalidate()
            self._session.close()
            self._session = None
            return False
        return True

    def _take_again(self) -> None:
        session = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            self._require_last(session)
            session.execute(_END_OLD, {"pid": self._pid, "key": self._key})
            for __ in range(_MAX_TRIES):
                if session.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": self._key}).scalar():
                    break
                self._require_last(session)
                time.sleep(_PAUSE_S)
            else:
                raise _lost(self.name)
            self._require_last(session)
            self._pid = _pid_of(session)
        except BaseException:
            _end(session)
            raise
        self._session = session

    def _require_last(self, session: Connection) -> None:
        """Raise FlightBusy if another has held the lock since."""
        if session.execute(_TURN, {"name": self.name}).scalar() != self._turn:
            raise _lost(self.name)


def make_flight_busy(name: str) -> FlightBusy:
    """Make the error of a lock that another process holds."""
    return FlightBusy(
        _(
            "{name}: another process is writing this flight at this moment; wait for it and run again",
            name=name,
        )
    )


def _lost(name: str) -> FlightBusy:
    return FlightBusy(
        _(
            "{name}: the database ended the session that held this flight, and another "
            "process has begun to write it since; nothing more was written here: wait for "
            "the other and run again",
            name=name,
        )
    )


def _end(session: Connection) -> None:
    """End a session with all its locks.

    The pool keeps no session that may hold one.
    """
    with suppress(SQLAlchemyError):
        session.execute(text("SELECT pg_advisory_unlock_all()"))
        session.close()
        return
    session.invalidate()
    session.close()


def _pid_of(session: Connection) -> int:
    return int(session.execute(text("SELECT pg_backend_pid()")).scalar_one())


def _key_of(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)


# -- Engine and transactions, and translation of database errors -----------------------------------


_BUSY_TIMEOUT_S = 30.0
_CONNECT_TIMEOUT_S = 10
_MIN_FREE_BYTES = 16 << 20  # with less, a disk counts as full
# "flycam" in ASCII: held while the schema is made, so that only one process makes it
_SCHEMA_LOCK = 0x666C7963616D
_SAFE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_Record = TypeVar("_Record")


class Database:
    """Engine, dialect and locks of one catalogue. Thread-safe, not fork-safe.

    audit_key  signs the lines of the audit log; None: they are not signed
    """

    def __init__(self, url: str, audit_key: AuditKey | None = None) -> None:
        self._url = _parse(url)
        self.audit_key = audit_key
        self.place = (self._url.database or ":memory:") if self.is_sqlite else strip_url_credentials(url)
        self._engine = self._make_engine()
        self._held: dict[str, SessionLock] = {}
        self._holding = threading.Lock()
        try:
            self._make_schema()
        except BaseException:
            self._engine.dispose()
            raise

    @property
    def is_sqlite(self) -> bool:
        return self._url.get_backend_name() == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection with one consistent snapshot. Raises CatalogUnavailable."""
        with self._translate_errors(), self._engine.connect() as connection, connection.begin():
            yield connection

    def fetch(self, kind: Callable[..., _Record], query: Select[Any]) -> list[_Record]:
        """Return the records that a query selects, at one moment.

        kind  their class, or what converts a row to one. Raises CatalogUnavailable
        """
        parse = partial(parse_row, kind) if isinstance(kind, type) else kind
        with self.read() as connection:
            return [parse(row) for row in connection.execute(query)]

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Yield a connection whose reads all see one moment, however long it takes.

        Raises CatalogUnavailable.
        """
        with self._translate_errors(), self._engine.connect() as connection:
            if not self.is_sqlite:
                # PostgreSQL's default isolation would give each statement a snapshot of its own
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                yield connection

    @contextmanager
    def write(self, alone_in: Table | None = None) -> Iterator[Connection]:
        """Yield a write transaction: all or nothing, and on disk on return.

        With `alone_in` nobody else writes that table until the transaction ends, so what is read there still
        holds when it is written. (SQLite has one writer at any time.) Raises CatalogUnavailable, DiskFull.
        """
        with self._translate_errors(), self._engine.connect() as connection:
            if self.is_sqlite:
                connection.execution_options(flycam_write=True)
            with connection.begin():
                if alone_in is not None:
                    self.lock_table(connection, alone_in)
                yield connection

    def lock_table(self, connection: Connection, table: Table) -> None:
        """Keep others from writing `table` until the transaction ends.

        For a `write` without `alone_in` that writes other data long before it: all others that lock the table
        would wait.
        """
        if not self.is_sqlite:
            connection.exec_driver_sql(f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE")

    def insert(self, table: Table) -> Any:
        """Return an INSERT of this dialect, which supports ON CONFLICT."""
        if self.is_sqlite:
            from sqlalchemy.dialects.sqlite import insert as sqlite_insert  # noqa: PLC0415  one dialect is used

            return sqlite_insert(table)
        from sqlalchemy.dialects.postgresql import insert  # noqa: PLC0415  one dialect is used

        return insert(table)

    def upsert(self, table: Table) -> Any:
        """Return an INSERT that overwrites the row of the same primary key."""
        statement = self.insert(table)
        keys = [column.name for column in table.primary_key]
        changed = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in keys}
        return statement.on_conflict_do_update(index_elements=keys, set_=changed)

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        """Hold the lock `name` against all others; it dies with its process.

        Raises FlightBusy at once if another process or thread holds it. PostgreSQL may end it while it is
        held: see `require_held`.
        """
        lock = self._file_lock(name) if self.is_sqlite else self._session_lock(name)
        with lock:
            yield

    def require_held(self, connection: Connection, *names: str) -> None:
        """Require that locks taken by this database last until `connection` commits.

        Call it before the transaction writes. Locks of other names are not checked. Raises FlightBusy if one
        was lost, and nothing may be written any more (see `SessionLock`).
        """
        with self._holding:
            locks = [self._held[name] for name in names if name in self._held]
        for lock in locks:
            lock.require(connection)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _make_engine(self) -> Engine:
        if not self.is_sqlite:
            return sqlalchemy.create_engine(
                self._url, pool_pre_ping=True, connect_args={"connect_timeout": _CONNECT_TIMEOUT_S}
            )
        if self.place == ":memory:":
            raise CatalogUnavailable(
                _("a catalogue in memory would lose decisions; name a file: sqlite:///FILE")
            )
        try:
            make_folder(Path(self.place).parent)
        except OSError as error:
            raise CatalogUnavailable(
                _(
                    "{place}: its folder cannot be made ({error}); choose another",
                    place=self.place,
                    error=error,
                )
            ) from error
        engine = sqlalchemy.create_engine(
            self._url, max_overflow=64, connect_args={"timeout": _BUSY_TIMEOUT_S, "check_same_thread": False}
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    def _make_schema(self) -> None:
        with self.write() as connection:
            if not self.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _SCHEMA_LOCK})
                connection.execute(text("CREATE EXTENSION IF NOT EXISTS postgis"))
                connection.execute(text(CREATE_TURNS_TABLE))
            known = sqlalchemy.inspect(connection)
            if known.has_table(alembic_version.name):
                found = read_revision(connection)
                if found != HEAD:
                    self._upgrade(connection, found)
            elif known.has_table("schema_info"):  # of a development version, before the baseline
                raise self._make_other_schema("before 0.1.0")
            else:
                metadata.create_all(connection, checkfirst=False)
                stamp_head(connection)

    def _upgrade(self, connection: Connection, found: str | None) -> None:
        from alembic.util import CommandError  # noqa: PLC0415  100 ms that only an older catalogue has to pay

        try:
            upgrade_schema(connection)
        except CommandError as error:
            raise self._make_other_schema(str(found)) from error

    def _make_other_schema(self, found: str) -> CatalogUnavailable:
        return CatalogUnavailable(
            _(
                "{place}: this catalogue has schema {found}, this flycam reads "
                "{schema_version}; use the flycam that wrote it, or another data folder",
                place=self.place,
                found=found,
                schema_version=HEAD,
            )
        )

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            # a taken name, which the callers that write names handle; else a bug, which must be loud
            raise
        except DBAPIError as error:
            raise self._trouble(error) from error
        except SQLAlchemyError as error:
            raise CatalogUnavailable(
                _("{place}: {error}; run again", place=self.place, error=error)
            ) from error

    def _trouble(self, error: DBAPIError) -> Exception:
        cause = " ".join(str(error.orig).split())
        if "disk I/O error" in cause and has_free_space(Path(self.place)):
            return StorageFailed(
                _(
                    "{place}: the disk does not read or write ({reason}), though it has "
                    "space: it may be dying; make a backup on another disk at once (flycam "
                    "backup), then have it checked",
                    place=self.place,
                    reason=cause,
                )
            )
        if "disk is full" in cause or "No space left" in cause or "disk I/O error" in cause:
            return DiskFull(
                _(
                    "{place}: no space left for the catalogue ({reason}); free some and run again",
                    place=self.place,
                    reason=cause,
                )
            )
        if "is locked" in cause:
            return CatalogUnavailable(
                _(
                    "{place}: another process held the catalogue for {busy_timeout_s:.0f} s; run again",
                    place=self.place,
                    busy_timeout_s=_BUSY_TIMEOUT_S,
                )
            )
        if "NUL (0x00)" in cause:
            # PostgreSQL takes none; nothing is wrong with the database
            return InputUnusable(_("a name or a text holds control characters; write it without them"))
        if "malformed" in cause:
            return CatalogUnavailable(
                _(
                    "{place}: this catalogue's file is damaged ({reason}); put the last "
                    "backup into a new folder: flycam restore",
                    place=self.place,
                    reason=cause,
                )
            )
        if "not a database" in cause:
            return CatalogUnavailable(
                _("{place}: this file is not a flycam catalogue; name another", place=self.place)
            )
        return CatalogUnavailable(
            _(
                "{place}: {reason}; check that the database is there and run again",
                place=self.place,
                reason=cause,
            )
        )

    @contextmanager
    def _file_lock(self, name: str) -> Iterator[None]:
        folder = Path(f"{self.place}.locks")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / _file_name(name)).open("ab")
        except OSError as error:
            raise CatalogUnavailable(
                _("{folder}: cannot be written ({error}); make it writable", folder=folder, error=error)
            ) from error
        with closing(lock):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise make_flight_busy(name) from error
            yield

    @contextmanager
    def _session_lock(self, name: str) -> Iterator[None]:
        lock = SessionLock(self._engine, name)
        with self._translate_errors():
            lock.take()
        with self._holding:
            self._held[name] = lock
        try:
            yield
        finally:
            with self._holding:
                del self._held[name]
            lock.release()


def has_free_space(path: Path) -> bool:
    """Return True if the disk of a catalogue's file has free space.

    A write that failed has another cause then.
    """
    try:
        return get_free_bytes(path.parent) > _MIN_FREE_BYTES
    except OSError:
        return False


def _file_name(name: str) -> str:
    if _SAFE_NAME.fullmatch(name):
        return f"{name}.lock"
    return f"{hashlib.sha256(name.encode()).hexdigest()}.lock"


def parse_database_path(url: str) -> Path | None:
    """Return the catalogue's file at a database address, existing or not.

    None if a server keeps it. Raises CatalogUnavailable for an invalid address.
    """
    parsed = _parse(url)
    is_file = parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:")
    return Path(parsed.database or "") if is_file else None


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        parsed.get_dialect()
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError) as error:
        raise CatalogUnavailable(
            _("FLYCAM_DATABASE: no database address; write sqlite:///FILE or postgresql+psycopg://…")
        ) from error
    if backend not in ("sqlite", "postgresql"):
        raise CatalogUnavailable(
            _(
                "FLYCAM_DATABASE: {backend} is not supported; write sqlite:///FILE or postgresql+psycopg://…",
                backend=backend,
            )
        )
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    return parsed


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # sqlite3's own implicit transactions would begin after the first read, so flycam begins them itself
    connection.isolation_level = None
    # WAL lets readers go on beside the writer; FULL makes a commit survive a power cut
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "temp_store=MEMORY", "cache_size=-16000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("flycam_write", False)
    # the write lock at once: what the transaction reads cannot change before it commits
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
