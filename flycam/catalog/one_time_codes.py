"""One-time codes that sign an account in: typed by hand, short-lived, stored as their SHA-256.

Also used one-time links and sessions that signed out, of which a server stores nothing before.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, select, update

from flycam.catalog import tables, tokens
from flycam.catalog.access_records import OneTimeCode
from flycam.catalog.access_tables import one_time_codes
from flycam.catalog.accounts import hash_token
from flycam.catalog.audit import write_entries
from flycam.catalog.database import Database
from flycam.catalog.records import AuditEntry
from flycam.errors import AccessDenied
from flycam.messages import _


class OneTimeCodes:
    """One-time codes, one at a time for each account."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, code: OneTimeCode, audit_entry: AuditEntry) -> None:
        """Write a new code in place of the account's former one, with its audit entry.

        Raises NotFound (no such account).
        """
        c = one_time_codes.c
        before = update(one_time_codes).where(c.account == code.account, c.ended_ns.is_(None))
        with self._database.write(alone_in=tables.audit_log) as connection:
            tokens.require_account(connection, code.account)
            connection.execute(before.values(ended_ns=code.made_ns))
            connection.execute(one_time_codes.insert(), asdict(code))
            write_entries(connection, [audit_entry], self._database.audit_key)

    def spend(self, code_hash: str, at_ns: int) -> OneTimeCode:
        """Use a code, at most once over all processes.

        Raises AccessDenied, whose message says why.
        """
        with self._database.write(alone_in=tables.audit_log) as connection:
            code = _found(connection, code_hash, at_ns)
            of_it = one_time_codes.c.code_hash == code_hash
            connection.execute(update(one_time_codes).where(of_it).values(ended_ns=at_ns, is_used=True))
        return code

    def mark_spent(self, secret: str, account: str, expires_ns: int, at_ns: int) -> bool:
        """Record that a one-time link was used, or a session signed out.

        Returns True the first time, over all processes.
        """
        used = OneTimeCode(
            code_hash=hash_token(secret),
            account=account,
            token_id="",
            made_ns=at_ns,
            expires_ns=expires_ns,
            ended_ns=at_ns,
            is_used=True,
        )
        same = select(one_time_codes.c.code_hash).where(one_time_codes.c.code_hash == used.code_hash)
        with self._database.write(alone_in=tables.audit_log) as connection:
            is_first = connection.execute(same).first() is None
            if is_first:
                connection.execute(one_time_codes.insert(), asdict(used))
        return is_first

    def is_spent(self, secret: str) -> bool:
        """Check whether a one-time link was used, or a session signed out."""
        same = select(one_time_codes.c.code_hash).where(one_time_codes.c.code_hash == hash_token(secret))
        with self._database.read() as connection:
            return connection.execute(same).first() is not None


def _found(connection: Connection, code_hash: str, at_ns: int) -> OneTimeCode:
    row = connection.execute(select(one_time_codes).where(one_time_codes.c.code_hash == code_hash)).first()
    if row is None:
        raise _wrong()
    code = _code(row)
    if code.is_used:
        raise AccessDenied(_("this code was used already, and lets in once only; ask for a new one"))
    if code.ended_ns is not None:
        raise AccessDenied(
            _("this code was ended by a newer one, or by a new token of its account; use the last one made")
        )
    if code.expires_ns <= at_ns:
        raise AccessDenied(
            _("this code has expired; ask for a new one (on the server: flycam account code NAME)")
        )
    return code


def _wrong() -> AccessDenied:
    return AccessDenied(_("this code is wrong; compare it letter by letter, or ask for a new one"))


def _code(row: Row[Any]) -> OneTimeCode:
    return OneTimeCode(**dict(row._mapping))
