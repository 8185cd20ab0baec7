"""Lock held by a PostgreSQL session, and its recovery after the session ended.

A server restart, or a broken connection, ends the session without telling its holder. So the holder asks
(`require`) in each transaction that writes what nobody else may write at the same time:

- The session lives: the lock is held.
- It ended, and the lock is free and nobody has held it since: it is taken again, and the work goes on. If
  the server has not noticed the broken connection yet, the old session is ended there first.
- Another holds it, or held it since: FlightBusy, and nothing is written. What the other did meanwhile (a
  withdrawal) is not known to this work, which ends here and is begun again by its command.

A new holder waits until transactions of the former one, which had asked in time, are over.
"""

from __future__ import annotations

import hashlib
import threading
import time
from contextlib import suppress

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from flycam.errors import FlightBusy
from flycam.messages import _

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
