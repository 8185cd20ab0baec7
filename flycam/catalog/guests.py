"""Guest links.

A secret is 256 random bits, stored as its SHA-256, as tokens of accounts are.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from sqlalchemy import Row, select, update

from flycam.catalog import tables
from flycam.catalog.accounts import hash_token
from flycam.catalog.audit import write_entries
from flycam.catalog.database import Database
from flycam.catalog.records import AuditEntry
from flycam.catalog.sharing_records import Guest
from flycam.catalog.sharing_tables import guests
from flycam.errors import NotFound
from flycam.messages import _

# links that another process revoked stop working after this
_CACHE_TTL_S = 2.0


class Guests:
    """Guest links by id and by secret.

    All are held in memory and read again after two seconds: a link that is revoked elsewhere stops working
    within two seconds, an expired one at once.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._by_hash: dict[str, Guest] = {}
        self._read_at = float("-inf")

    def put(self, guest: Guest, audit_entry: AuditEntry | None = None) -> None:
        """Write a link, with its audit entry."""
        row = {
            "guest_id": guest.guest_id,
            "secret_hash": guest.secret_hash,
            "event_id": guest.event_id,
            "communes": "\n".join(guest.communes),
            "made_by": guest.made_by,
            "made_ns": guest.made_ns,
            "expires_ns": guest.expires_ns,
            "revoked_ns": guest.revoked_ns,
            "made_with": guest.made_with,
        }
        with self._database.write(alone_in=tables.audit_log) as connection:
            connection.execute(self._database.upsert(guests), row)
            write_entries(connection, [audit_entry] if audit_entry else [], self._database.audit_key)
        self._forget()

    def all(self) -> list[Guest]:
        """Return every link there ever was, newest first."""
        query = select(guests).order_by(guests.c.made_ns.desc(), guests.c.guest_id)
        with self._database.read() as connection:
            return [_guest(row) for row in connection.execute(query)]

    def revoke(self, guest_id: str, at_ns: int, audit_entry: AuditEntry | None = None) -> Guest:
        """Revoke a link, with its audit entry; one already revoked stays as it is.

        Raises NotFound.
        """
        of_it = guests.c.guest_id == guest_id
        with self._database.write(alone_in=tables.audit_log) as connection:
            still = update(guests).where(of_it, guests.c.revoked_ns.is_(None)).values(revoked_ns=at_ns)
            connection.execute(still)
            row = connection.execute(select(guests).where(of_it)).first()
            write_entries(connection, [audit_entry] if audit_entry and row else [], self._database.audit_key)
        self._forget()
        if row is None:
            raise NotFound(
                _("{guest_id}: there is no such guest link; see 'flycam guests list'", guest_id=guest_id[:80])
            )
        return _guest(row)

    def find_by_secret(self, secret: str, now_ns: int) -> Guest | None:
        """Return the link of a secret if it is valid now."""
        found = self._current().get(hash_token(secret))
        return found if found is not None and found.is_valid(now_ns) else None

    def _current(self) -> dict[str, Guest]:
        with self._lock:
            if time.monotonic() - self._read_at >= _CACHE_TTL_S:
                self._by_hash = {one.secret_hash: one for one in self.all()}
                self._read_at = time.monotonic()
            return self._by_hash

    def _forget(self) -> None:
        with self._lock:
            self._read_at = float("-inf")


def _guest(row: Row[Any]) -> Guest:
    values = dict(row._mapping)
    return Guest(**{**values, "communes": tuple(row.communes.splitlines())})
